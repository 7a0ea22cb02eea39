"""JSON lines, compressed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

from curator import Exporter, hookimpl

if TYPE_CHECKING:
    import polars as pl


class Jsonl(Exporter):
    """One JSON object a line with `text`, `id`, `source` and more; zstd, gzip or plain."""

    version = 1

    compression: Literal["zst", "gz", "none"] = "zst"
    shard_bytes: Annotated[int, "bytes of text a file"] = 256 << 20

    def write(self, frames: Iterator[pl.DataFrame], folder: Path, name: str) -> list[tuple[str, int]]:
        import orjson

        suffix = ".jsonl" if self.compression == "none" else f".jsonl.{self.compression}"
        written: list[tuple[str, int]] = []
        file: IO[bytes] | None = None
        size = 0
        for frame in frames:
            if file is None:
                written.append((f"{name}-{len(written):05d}{suffix}", 0))
                file = self._open(folder / written[-1][0])
            for row in frame.iter_rows(named=True):
                file.write(orjson.dumps({k: v for k, v in row.items() if v is not None}) + b"\n")
            written[-1] = (written[-1][0], written[-1][1] + frame.height)
            size += int(frame["text"].str.len_bytes().sum())
            if size >= self.shard_bytes:
                file.close()
                file, size = None, 0
        if file is not None:
            file.close()
        return written

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
