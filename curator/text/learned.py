"""Word tables kept between runs: immutable generations, read through memory maps.

A file is one line of JSON (format, the tokenizer's version, the lengths of the arrays, the checksum of what
follows), filled up to HEADER bytes, then the arrays of `Table`, each filled up to 64 bytes. It is written
under another name, synced and renamed. Readers take the newest generation of their tokenizer's version that
is whole and pass over all others: a table decides how fast words are made, never which. Checking reads
the file once. Rejected: pickle or npz (no memory map), and a database (a writer would lock its readers out).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from curator.text.table import Overlay, Table

FORMAT = "curator words 2"
HEADER = 1024
ALIGNED = 64


def _slug(version: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", version)


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNED) * ALIGNED


def write(path: Path, version: str, table: Table) -> None:
    """Write one table, whole or not at all."""
    parts = [array.tobytes().ljust(_padded(array.nbytes), b"\0") for array in table]
    checksum = xxhash.xxh3_128()
    for part in parts:
        checksum.update(part)
    header = {
        "format": FORMAT,
        "tokenizer": version,
        "lengths": [len(array) for array in table],
        "xxh3_128": checksum.hexdigest(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(json.dumps(header).encode().ljust(HEADER - 1) + b"\n")
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def read(path: Path) -> tuple[str, Table] | None:
    """The tokenizer's version and the table, mapped read-only; None for anything that is not whole."""
    try:
        data = np.memmap(path, np.uint8, mode="r")
        header = json.loads(data[:HEADER].tobytes())
        checksum = xxhash.xxh3_128_hexdigest(data[HEADER:].data)
        if header["format"] != FORMAT or checksum != header["xxh3_128"]:
            return None
        arrays: list[Any] = []
        at = HEADER
        empty: tuple[NDArray[Any], ...] = Table.empty()
        for like, length in zip(empty, header["lengths"], strict=True):
            shape = (length, *like.shape[1:])
            n_bytes = like.itemsize * int(np.prod(shape))
            arrays.append(np.asarray(data[at : at + n_bytes]).view(like.dtype).reshape(shape))
            at += _padded(n_bytes)
        return (header["tokenizer"], Table(*arrays)) if at == len(data) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _generations(folder: Path, version: str) -> list[tuple[int, Path]]:
    """Numbers and paths of a tokenizer's generations, newest first."""
    paths = folder.glob(f"{_slug(version)}.{'[0-9]' * 6}.words")
    return sorted(((int(path.name.split(".")[-2]), path) for path in paths), reverse=True)


def newest(folder: Path | None, version: str) -> Table | None:
    """The newest whole generation for this version of a tokenizer."""
    for _, path in _generations(folder, version) if folder else []:
        found = read(path)
        if found and found[0] == version:
            return found[1]
    return None


def merge(generations: Path, learned: Iterable[Path], max_bytes: int = 256 << 20) -> list[Path]:
    """Write the next generation of every tokenizer that something was learned for; returns their paths.

    Beyond `max_bytes` nothing more is taken in. The generation before is kept for readers that are about to
    open it, older ones are removed. The learned files stay the caller's.
    """
    written = []
    for version, tables in _by_version(learned).items():
        before = newest(generations, version)
        merged = Overlay(Table.empty())
        for table in [before, *tables] if before else tables:
            if merged.n_bytes + sum(array.nbytes for array in table) <= max_bytes:
                merged.add(table)
        old = _generations(generations, version)
        path = generations / f"{_slug(version)}.{old[0][0] + 1 if old else 1:06d}.words"
        write(path, version, merged.table)
        written.append(path)
        for _, stale in old[1:]:
            stale.unlink(missing_ok=True)
    return written


def _by_version(paths: Iterable[Path]) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = {}
    for version, table in _whole(paths):
        found.setdefault(version, []).append(table)
    return found


def _whole(paths: Iterable[Path]) -> Iterator[tuple[str, Table]]:
    for path in sorted(paths):
        table = read(path)
        if table:
            yield table
