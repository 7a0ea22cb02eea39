"""JSON lines, compressed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import write_card

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Blend, Shard

METADATA = ("url", "title", "published", "license", "domain", "language")
FEATURES: list[dict[str, Any]] = [
    *({"name": name, "dtype": "string"} for name in ("id", "text", "source")),
    {
        "name": "metadata",
        "struct": [{"name": n, "dtype": "timestamp[us]" if n == "published" else "string"} for n in METADATA],
    },
]
CARD = """# Texts in JSON lines

A configuration a component, with its splits: `load_dataset("path/of/this/folder", "<component>", split="train")`.
Each document is there once; `heldout` is never trained on.
"""


class Jsonl(Exporter):
    """JSON lines as dolma defines a document; zstd, gzip or plain.

        <component>/train-00000-of-0000N.jsonl.zst   {"id", "text", "source", "metadata": {"url", "title", ...}}
        <component>/heldout-00000-of-0000N.jsonl.zst
        README.md  blend.json                        as with parquet

    Dolma and DCLM take `id`, `text` and `source` and carry `metadata` along; datatrove's JsonlReader does so with all
    but `id` and `text`; torchtitan, levanter, Megatron's preprocess_data and `load_dataset` read `text`. Of `metadata`
    every line has every field, null where it is not known, and the card has the types: `load_dataset` would take them
    from the first file, and fail where a field is null in that one. It needs the zstandard package for .zst.
    """

    version = 2

    compression: Literal["zst", "gz", "none"] = "zst"

    @property
    def suffix(self) -> str:
        """.jsonl.zst, .jsonl.gz or .jsonl."""
        return ".jsonl" if self.compression == "none" else f".jsonl.{self.compression}"

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        import orjson

        path = Path(shard.component, shard.name + self.suffix)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        count = 0
        with self._open(folder / path) as file:
            for frame in documents:
                for row in frame.iter_rows(named=True):
                    record = {key: row[key] for key in ("id", "text", "source")}
                    record["metadata"] = {key: row[key] for key in METADATA}
                    file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
                count += frame.height
        return [(path.as_posix(), count)]

    def finish(self, folder: Path, blend: Blend) -> None:
        write_card(folder, self.suffix, CARD, blend, FEATURES)

    @contextmanager
    def _open(self, path: Path) -> Iterator[IO[bytes]]:
        with path.open("wb") as raw:
            if self.compression == "gz":
                # no name and no time in the header: the same documents give the same bytes
                with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                    yield file  # type: ignore[misc]  # it is one
            elif self.compression == "zst":
                import zstandard

                with zstandard.ZstdCompressor().stream_writer(raw) as file:
                    yield file
            else:
                yield raw


@hookimpl
def register_exporters(register: Any) -> None:
    register(Jsonl)
