"""manifest.json: what an export is made of, and the hash of every file in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curator.errors import UsageError
from curator.exporting import BLENDED, SplitName

FORMAT_VERSION = 2
NAME = "manifest.json"
SPLITS: tuple[SplitName, ...] = ("train", "heldout")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of an export's folder, or of the file itself.

    Raises UsageError for a folder that is no export, and for one of another version.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"{path} is no export: it has no {NAME}; `curator export` writes one")
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{file} is no manifest of an export") from None
    if version != FORMAT_VERSION:
        raise UsageError(
            f"{path} is of format {version}, this curator reads {FORMAT_VERSION}; export again, or install the curator "
            f"that wrote it ({manifest.get('versions', {}).get('corpus-curator', 'unknown')})"
        )
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write it, the same bytes for the same values."""
    (folder / NAME).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def datasets(manifest: dict[str, Any]) -> list[tuple[str, SplitName]]:
    """(dataset, split) of all that an export writes, in the order of its documents: components, or one blended stream."""
    names = [c["name"] for c in manifest["components"]]
    if manifest["blended"]:
        return [(BLENDED, "train"), *((name, "heldout") for name in names)]
    return [(name, split) for name in names for split in SPLITS]


def files_of(manifest: dict[str, Any], format: str, dataset: str, split: str) -> list[tuple[str, int]]:
    """(path, documents) of the files that a format has of a dataset's split, in order."""
    found = [
        (about["start"], path, about["documents"])
        for path, about in manifest["files"].items()
        if (about.get("format"), about.get("dataset"), about.get("split")) == (format, dataset, split)
    ]
    return [(path, documents) for _, path, documents in sorted(found)]
