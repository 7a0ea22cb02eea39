"""Files of one task: Parquet under names unique to the attempt, and a sidecar that says what they are."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from curator.hashing import file_hash
from curator_catalog import Catalog
from curator_catalog.durable import publish

TEXT_LEVEL = 3  #: zstd: 166 MB/s of text on one core at 3.3:1


class ParquetFile:
    """A Parquet file that grows batch by batch, so a split of any size needs the memory of one batch."""

    def __init__(self, folder: Path, path: str) -> None:
        self.path = path
        self._target = folder / path
        self._temporary = self._target.with_name(f".tmp-{self._target.name}")
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            dictionary = [f.name for f in table.schema if f.name in ("source", "license", "declared_domain")]
            self._writer = pq.ParquetWriter(
                self._temporary,
                table.schema,
                compression="zstd",
                compression_level=TEXT_LEVEL,
                use_dictionary=dictionary,
            )
        if frame.height:
            self._writer.write_table(table, row_group_size=max(1, frame.height))
            self.rows += frame.height

    def close(self) -> dict[str, Any] | None:
        """Make the file durable under its name; None if nothing was written."""
        if self._writer is None:
            return None
        self._writer.close()
        digest = file_hash(self._temporary)
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        size = self._temporary.stat().st_size
        publish(self._temporary, self._target)
        return {"path": self.path, "rows": self.rows, "bytes": size, "hash": digest}


class Attempt:
    """The files of one attempt at one task."""

    def __init__(self, corpus: str, shard_id: int) -> None:
        self.corpus = Path(corpus)
        self.name = f"{shard_id:06d}-{uuid.uuid4().hex[:12]}"
        self._files: dict[str, ParquetFile] = {}

    def write(self, kind: str, frame: pl.DataFrame) -> None:
        """Append to the file of `kind`: "text" and wide measures stay, "pending/…" is read once."""
        if kind not in self._files:
            folder, _, name = kind.partition("/")
            path = (
                f"shards/pending/{self.name}.{name}.parquet"
                if folder == "pending"
                else f"shards/{kind}/{self.name}.parquet"
            )
            self._files[kind] = ParquetFile(self.corpus, path)
        self._files[kind].write(frame)

    def close(self) -> dict[str, dict[str, Any]]:
        """Every written file by kind."""
        closed = {kind: file.close() for kind, file in self._files.items()}
        return {kind: info for kind, info in closed.items() if info is not None}

    def finish(self, sidecar: dict[str, Any]) -> None:
        """Write the sidecar, which makes the attempt's files ready to be registered."""
        target = self.corpus / "shards" / "pending" / f"{self.name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".tmp-{target.name}")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(sidecar, file)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, target)


def sweep(catalog: Catalog) -> int:
    """Delete what no transaction registered, the files of interrupted attempts; the bytes that they took."""
    with catalog.read(wait=600.0) as con:
        registered = {path for (path,) in con.execute("SELECT path FROM shards").fetchall()}
    freed = 0
    for path in (catalog.folder / "shards").rglob("*"):
        if path.is_file() and str(path.relative_to(catalog.folder)) not in registered:
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
    return freed
