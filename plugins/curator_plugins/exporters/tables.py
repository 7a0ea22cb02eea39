"""Parquet files: the same documents give the same bytes, however they come in frames.

Row groups of exactly the rows asked for (readers stride them), zstd, no dictionary and no statistics (texts and lists of
tokens gain nothing from either), and no Arrow schema, so that every reader sees plain strings. Rejected: DuckDB's COPY,
which gave row groups of 2,048 where 1,024 were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

ROW_GROUP = 1024  # documents
LEVEL = 3  # of zstd


def row_groups(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same documents in frames of `rows`, but for the last."""
    import polars as pl

    waiting: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        rest = frame
        while height + rest.height >= rows:
            yield pl.concat([*waiting, rest.head(rows - height)], rechunk=True)
            rest = rest.slice(rows - height)
            waiting, height = [], 0
        if rest.height:
            waiting.append(rest)
            height += rest.height
    if waiting:
        yield pl.concat(waiting, rechunk=True)


def write_table(frames: Iterator[pl.DataFrame], path: Path, rows: int = ROW_GROUP) -> int:
    """Write the documents to a file with row groups of `rows`, and say how many they are."""
    import polars as pl
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    writer: pq.ParquetWriter | None = None
    try:
        for group in row_groups(frames, rows):
            table = group.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or open_writer(path, table.schema)
            writer.write_table(table, row_group_size=rows)
            count += group.height
    finally:
        if writer is not None:
            writer.close()
    return count


def open_writer(path: Path, schema: Any) -> Any:
    """A pyarrow ParquetWriter of such files."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )

