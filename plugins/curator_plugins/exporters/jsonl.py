"""JSON lines, compressed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from curator import Exporter, hookimpl

if TYPE_CHECKING:
    import polars as pl

    from curator.exporting import Shard


class Jsonl(Exporter):
    """One JSON object a line with `text`, `id`, `source` and more; zstd, gzip or plain."""

    version = 1

    compression: Literal["zst", "gz", "none"] = "zst"

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        import orjson

        suffix = ".jsonl" if self.compression == "none" else f".jsonl.{self.compression}"
        path = Path(shard.component, shard.name + suffix)
        count = 0
        with self._open(folder / path) as file:
            for frame in documents:
                for row in frame.iter_rows(named=True):
                    file.write(orjson.dumps({k: v for k, v in row.items() if v is not None}) + b"\n")
                count += frame.height
        return [(path.as_posix(), count)]

    def _open(self, path: Path) -> IO[bytes]:
        if self.compression == "gz":
            # no name and no time in the header: the same documents give the same bytes
            return gzip.GzipFile(filename="", mode="wb", fileobj=path.open("wb"), mtime=0)  # type: ignore[return-value]  # it is one
        if self.compression == "zst":
            import zstandard

            return zstandard.open(path, "wb")  # type: ignore[no-any-return]  # no types
        return path.open("wb")


@hookimpl
def register_exporters(register: Any) -> None:
    register(Jsonl)
