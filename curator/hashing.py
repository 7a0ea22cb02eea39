"""The hash of a file, as the catalog and manifests state it."""

from __future__ import annotations

from pathlib import Path

import xxhash


def file_hash(path: Path) -> str:
    """The xxh3-128 of a file, in hex; read piece by piece."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
