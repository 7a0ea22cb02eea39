"""Files of an earlier export that another would write again: linked, after their hashes were compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curator.errors import CuratorError
from curator.hashing import file_hash
from curator.index import rows_of
from curator.linking import link
from curator.manifest import read_manifest

if TYPE_CHECKING:
    from curator.building import Written

_SAME = ("versions", "tokenizer", "blended")


class Reuse:
    """What the export in `folder` has of one with this manifest and index. Raises UsageError for what is no export."""

    def __init__(self, folder: Path, manifest: dict[str, Any], index: pl.DataFrame) -> None:
        self._folder, self._manifest, self._index = folder, manifest, index
        self._old = read_manifest(folder)
        self._old_index = pl.read_parquet(folder / "documents.parquet")

    def link(self, into: Path, dataset: str, split: str, format: str | None = None) -> Written | None:
        """Link the files of a split, those of a format or else the payload; None where they would be others.

        Raises CuratorError for a file that is not what was exported.
        """
        if any(self._old[key] != self._manifest[key] for key in _SAME):
            return None
        if format is not None and self._old["formats"].get(format) != self._manifest["formats"][format]:
            return None
        columns = ["doc_key", "text_hash"]
        now = rows_of(self._index, self._manifest, dataset, split).select(columns)
        if not rows_of(self._old_index, self._old, dataset, split).select(columns).equals(now):
            return None
        found = {path: about for path, about in self._old["files"].items() if _is_of(path, about, dataset, split, format)}
        for path, about in found.items():
            if not (self._folder / path).is_file() or file_hash(self._folder / path) != about["xxh3_128"]:
                raise CuratorError(
                    f"{self._folder / path} is not what was exported; `curator export --verify {self._folder}` says what "
                    "else, and without --reuse it is written anew"
                )
            link(self._folder / path, into / path)
        return {path: {k: v for k, v in about.items() if k not in ("bytes", "xxh3_128")} for path, about in found.items()}


def _is_of(path: str, about: dict[str, Any], dataset: str, split: str, format: str | None) -> bool:
    if format is None:
        return path.startswith("tokens/") and Path(path).name in (f"{split}.{dataset}.bin", f"{split}.{dataset}.ends")
    return (about.get("format"), about.get("dataset"), about.get("split")) == (format, dataset, split)
