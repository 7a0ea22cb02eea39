"""Parquet text shards, as datasets on hubs are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curator import Exporter, hookimpl

if TYPE_CHECKING:
    import polars as pl


class Parquet(Exporter):
    """Parquet shards with a column `text` (zstd, row groups of 1,024 so that ranks can stride them)."""

    version = 1

    shard_bytes: Annotated[int, "bytes of text a file"] = 256 << 20
    row_group: Annotated[int, "documents a row group"] = 1024

    def write(self, frames: Iterator[pl.DataFrame], folder: Path, name: str) -> list[tuple[str, int]]:
        import polars as pl
        import pyarrow.parquet as pq

        written: list[tuple[str, int]] = []
        writer: pq.ParquetWriter | None = None
        size = 0
        for frame in frames:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                written.append((f"{name}-{len(written):05d}.parquet", 0))
                writer = pq.ParquetWriter(
                    folder / written[-1][0], table.schema, compression="zstd", use_dictionary=False
                )
            writer.write_table(table, row_group_size=self.row_group)
            written[-1] = (written[-1][0], written[-1][1] + frame.height)
            size += int(frame["text"].str.len_bytes().sum())
            if size >= self.shard_bytes:
                writer.close()
                writer, size = None, 0
        if writer is not None:
            writer.close()
        return written


@hookimpl
def register_exporters(register: Any) -> None:
    register(Parquet)
