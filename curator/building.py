"""A folder that is built unit by unit under a temporary name, and renamed when it is whole.

Each finished unit is written into a journal with the hashes of its files, so that a build which was interrupted goes on
after the last of them. A full disk, or a mistake that is found on the way, leaves nothing behind.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout

from curator.errors import CuratorError, UsageError
from curator.hashing import file_hash

JOURNAL = ".journal.jsonl"
#: what a unit returns: its files below the folder, and what to say of each in the manifest
Written = dict[str, dict[str, Any]]


class Build:
    """A build in `folder`; `files` is what is in it: path -> bytes, xxh3_128 and what units say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: Written = {}
        self._done: set[str] = set()
        self._hashes: dict[tuple[int, int], str] = {}
        folder.mkdir(exist_ok=True)
        journal = folder / JOURNAL
        for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                break  # it was cut short
            if not all(self._is_whole(path, about) for path, about in entry["files"].items()):
                break
            self._done.add(entry["unit"])
            self.files |= entry["files"]
        # what comes after is made anew
        kept = [{"unit": u, "files": {}} for u in sorted(self._done)]
        lines = [*kept, {"unit": "", "files": self.files}] if self._done else []
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def _is_whole(self, path: str, about: dict[str, Any]) -> bool:
        file = self.folder / path
        return file.is_file() and file.stat().st_size == about["bytes"]

    def done(self, unit: str) -> bool:
        """Whether a unit was finished, now or before the interruption."""
        return unit in self._done

    def unit(self, name: str, make: Callable[[], Written]) -> None:
        """Make a unit, unless it is done: its files are hashed, brought to disk and put into the journal."""
        if name in self._done:
            return
        files = {}
        for path, about in make().items():
            file = self.folder / path
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            status = file.stat()
            place = (status.st_dev, status.st_ino)  # files that share their bytes are read once
            if place not in self._hashes:
                self._hashes[place] = file_hash(file)
            files[path] = {"bytes": status.st_size, "xxh3_128": self._hashes[place], **about}
        self.files |= files
        self._done.add(name)
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps({"unit": name, "files": files}) + "\n")

    def new_files(self, below: str) -> Iterable[str]:
        """Files below a folder that no unit has named yet."""
        for path in sorted((self.folder / below).rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name not in self.files:
                yield name


@contextmanager
def building(out: Path, identity: str) -> Iterator[Build]:
    """Build the folder `out`; what is in it when the block ends becomes `out`. `identity` says what is built.

    Raises UsageError where `out` exists, CuratorError where another process builds it or the disk is full.
    """
    out = out.absolute()
    if out.exists():
        raise UsageError(f"{out} exists; an export is never changed: name another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".tmp-{out.name}-{identity[:16]}")
    # not beside it, where it would stay
    lock = Path(tempfile.gettempdir()) / f"curator-{xxhash.xxh3_64_hexdigest(str(out.resolve()).encode())}.lock"
    try:
        with FileLock(lock).acquire(timeout=0):
            for other in out.parent.glob(f".tmp-{out.name}-{'?' * 16}"):
                if other != temporary:
                    shutil.rmtree(other)
            try:
                build = Build(temporary)
                yield build
                (temporary / JOURNAL).unlink()
                temporary.rename(out)
            except CuratorError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                    raise
                shutil.rmtree(temporary, ignore_errors=True)
                raise CuratorError(
                    f"no space left for {out}: {error.strerror}; nothing was written, free some and export again"
                ) from error
    except Timeout:
        raise CuratorError(f"another process is writing {out}; wait for it, or stop it") from None
