"""Parquet shards of tokens, a list for each document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import write_card
from curator_plugins.exporters.tables import ROW_GROUP, write_table

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Blend, Shard

CARD = """# Tokens in Parquet

A configuration a component, with its splits: `load_dataset("path/of/this/folder", "<component>", split="train")`.
`input_ids` are a document's tokens, the last of them the one that ends it.
"""


class ParquetTokens(Exporter):
    """Parquet shards of tokens, for map-style datasets and the trainers that take them.

        <component>/train-00000-of-0000N.parquet   id, input_ids: a list of uint16 or uint32, its last the end token
        <component>/heldout-00000-of-0000N.parquet
        README.md  blend.json                      as with parquet

    Documents are whole: the reader cuts or packs them.
    """

    version = 1
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "tokens"

    row_group: Annotated[int, "documents a row group"] = ROW_GROUP

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        path = Path(shard.component, f"{shard.name}.parquet")
        frames = (frame.select("id", input_ids="tokens") for frame in documents)
        return [(path.as_posix(), write_table(frames, folder / path, self.row_group))]

    def finish(self, folder: Path, blend: Blend) -> None:
        write_card(folder, ".parquet", CARD, blend)


@hookimpl
def register_exporters(register: Any) -> None:
    register(ParquetTokens)
