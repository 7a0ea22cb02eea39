"""Parquet text shards, as datasets on hubs are laid out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import write_card
from curator_plugins.exporters.tables import ROW_GROUP, write_table

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Blend, Shard

CARD = """# Texts in Parquet

A configuration a component, with its splits: `load_dataset("path/of/this/folder", "<component>", split="train")`.
Each document is there once; `heldout` is never trained on.
"""


class Parquet(Exporter):
    """Parquet text shards for datasets, torchtitan, levanter, datatrove and DuckDB.

        <component>/train-00000-of-0000N.parquet   id, text, source, url, title, published, license, domain, language
        <component>/heldout-00000-of-0000N.parquet
        README.md                                  the card: `load_dataset(folder, "<component>")` knows its splits
        blend.json                                 probabilities of interleave_datasets, and how many documents to draw

    zstd, row groups of 1,024 documents so that ranks can stride them.
    """

    version = 2

    row_group: Annotated[int, "documents a row group"] = ROW_GROUP

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        path = Path(shard.component, f"{shard.name}.parquet")
        return [(path.as_posix(), write_table(documents, folder / path, self.row_group))]

    def finish(self, folder: Path, blend: Blend) -> None:
        write_card(folder, ".parquet", CARD, blend)


@hookimpl
def register_exporters(register: Any) -> None:
    register(Parquet)
