"""What was fetched, as JSON lines in numbered files.

A line is on disk before `append` returns. The file being written is called `.open`; it gets its own name when
it is full or the run ends, and is never written again, so what was read of it stays valid. After a kill the
next run cuts off the line that was being written and closes the file. Rejected: a file a page (two fsyncs and
a directory entry each, and a part of the plan for each of a hundred thousand pages), and SQLite, whose pages
change in place, so that nothing could be cut into parts or signed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

FULL = 64 << 20  #: bytes of a file, and one line more


class PageLog:
    """The log in `folder`, which is made when something is written; one process may write it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None

    def __enter__(self) -> PageLog:
        self._repair()
        return self

    def __exit__(self, *_: object) -> None:
        self.seal()

    def files(self) -> list[str]:
        """The complete files, oldest first."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [os.path.join(self.folder, n) for n in sorted(names) if re.fullmatch(r"\d{6}\.jsonl", n)]

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line of the complete files, oldest first."""
        for name in self.files():
            with open(name, "rb") as file:
                yield from map(orjson.loads, file)

    def last(self) -> dict[str, Any] | None:
        """The last line of the complete files."""
        for name in reversed(self.files()):
            with open(name, "rb") as file:
                line = _last_line(file)
            if line:
                found: dict[str, Any] = orjson.loads(line)
                return found
        return None

    def append(self, line: dict[str, Any]) -> None:
        file = self._file or self._opened()
        file.write(orjson.dumps(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())
        if file.tell() >= FULL:
            self.seal()

    def seal(self) -> None:
        """Give the file that is being written its own name."""
        if self._file is not None:
            sealed(self._file)
            self._file = None

    def _opened(self) -> BinaryIO:
        os.makedirs(self.folder, exist_ok=True)
        last = self.files()[-1:]
        number = int(os.path.basename(last[0])[:6]) + 1 if last else 1
        self._file = open(os.path.join(self.folder, f"{number:06}.jsonl.open"), "xb")  # noqa: SIM115
        return self._file

    def _repair(self) -> None:
        for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []:
            if name.endswith(".jsonl.open"):
                path = os.path.join(self.folder, name)
                with open(path, "r+b") as file:
                    content = file.read()
                    file.truncate(content.rfind(b"\n") + 1)
                    os.fsync(file.fileno())
                os.rename(path, path.removesuffix(".open"))


def _last_line(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    for back in (1 << 16, 1 << 22, size):
        file.seek(max(size - back, 0))
        _, newline, line = file.read().rstrip(b"\n").rpartition(b"\n")
        if newline or back >= size:
            return line
    return b""


def write_whole(path: str, content: bytes) -> None:
    """Put the content at the path, all of it or, after a kill, nothing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".open", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".open", path)
    sync_folder(os.path.dirname(path))


def sealed(file: BinaryIO) -> None:
    """Close a file that is whole, and give it its own name, without `.open`."""
    file.close()
    os.rename(file.name, file.name.removesuffix(".open"))
    sync_folder(os.path.dirname(file.name))


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable; Windows has no such thing."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
