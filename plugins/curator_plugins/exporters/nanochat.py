"""Parquet shards for nanochat."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from curator import Exporter, hookimpl
from curator.exporting import BLENDED
from curator_plugins.exporters.tables import ROW_GROUP, open_writer, write_table

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Blend, Shard

#: sorts after every shard of training text
VALIDATION = "shard_99999.parquet"
#: a row group is what one rank takes: that of validation is small, so that few documents feed many ranks
VALIDATION_GROUPS = 16  # of them make up one of training
README = """# Texts for nanochat

A folder of each component. Point nanochat at one: `nanochat.dataset.DATA_DIR`, or a link in the place of that folder.
It takes every `*.parquet` in the order of names, and the last of them for validation. Each rank reads every
world-size-th row group of a file, which has {row_group:,} documents ({held:,} for validation): where a file has fewer row groups
than there are ranks, some get nothing of it.

It trains on one folder and knows no mixture: `curator export --blended` writes the mixture as one, `blended`.
"""
NOTHING_HELD_OUT = "\n`{component}` has no documents held out: its last shard, {last}, is of the training text, and is what nanochat validates on{alone}. Export with `holdout:` in the mixture.\n"
ALONE = " while it finds nothing to train on"
log = logging.getLogger("curator")


class Nanochat(Exporter):
    """Parquet text shards for nanochat, whose last file in the order of names is the validation set.

        <component>/shard_00000.parquet …   only `text`; zstd, row groups of 1,024, no dictionary, about 100 MB a file
        <component>/shard_99999.parquet     the documents held out, in smaller row groups
        README.md                           how to read it, and which component has nothing held out

    The number of the last is fixed: it is written when that of the training shards is not known, and readers sort
    names, they do not count. `blended` gets what is held out of all components.
    """

    version = 1
    cut: ClassVar[tuple[str, ...]] = ("train",)

    row_group: Annotated[int, "documents a row group"] = ROW_GROUP

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        held_out = shard.split == "heldout"
        path = Path(shard.component, VALIDATION if held_out else f"shard_{shard.number:05d}.parquet")
        texts = (frame.select("text") for frame in documents)
        rows = self._held_rows if held_out else self.row_group
        return [(path.as_posix(), write_table(texts, folder / path, rows))]

    def finish(self, folder: Path, blend: Blend) -> None:
        if (folder / BLENDED).is_dir():
            _gather(folder)
        text = README.format(row_group=self.row_group, held=self._held_rows)
        for component in sorted(p for p in folder.iterdir() if p.is_dir()):
            files = sorted(p.name for p in component.glob("*.parquet"))
            if files[-1] != VALIDATION:
                alone = ALONE if len(files) == 1 else ""
                note = NOTHING_HELD_OUT.format(component=component.name, last=files[-1], alone=alone)
                log.warning("nanochat: %s", note.strip())
                text += note
        (folder / "README.md").write_text(text, encoding="utf-8")

    @property
    def _held_rows(self) -> int:
        return max(1, self.row_group // VALIDATION_GROUPS)


def _gather(folder: Path) -> None:
    """Put what is held out of every component beside the blended stream, row group by row group."""
    import pyarrow.parquet as pq

    writer = None
    for path in sorted(folder.glob(f"*/{VALIDATION}")):
        file = pq.ParquetFile(path)
        writer = writer or open_writer(folder / BLENDED / VALIDATION, file.schema_arrow)
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            writer.write_table(group, row_group_size=max(1, group.num_rows))
    if writer is not None:
        writer.close()


@hookimpl
def register_exporters(register: Any) -> None:
    register(Nanochat)
