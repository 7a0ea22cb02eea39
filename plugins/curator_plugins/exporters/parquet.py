"""Parquet text shards, as datasets on hubs are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curator import Exporter, hookimpl

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Shard


class Parquet(Exporter):
    """Parquet shards with a column `text` (zstd, row groups of 1,024 so that ranks can stride them)."""

    version = 1

    row_group: Annotated[int, "documents a row group"] = 1024

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        import polars as pl
        import pyarrow.parquet as pq

        path = Path(shard.component, f"{shard.name}.parquet")
        writer: pq.ParquetWriter | None = None
        count = 0
        for frame in documents:
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = pq.ParquetWriter(
                    folder / path, table.schema, compression="zstd", use_dictionary=False
                )
            writer.write_table(table, row_group_size=self.row_group)
            count += frame.height
        if writer is not None:
            writer.close()
        return [(path.as_posix(), count)]


@hookimpl
def register_exporters(register: Any) -> None:
    register(Parquet)
