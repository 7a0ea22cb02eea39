"""The files in a zip or tar archive, one by one, at a bounded cost.

The standard library reads both formats; what it takes on trust is checked here. Nothing is ever written under a
name that an archive gives.

**zip.** The directory at its end is read first, and refused whole where it lists too many files. What it says of a
file bounds what reading it costs, since no more than the stated size is unpacked and its CRC must be right. So a bomb
is known before it is opened: by its ratio; by the sum of all sizes; and by data that overlaps the next file's, as in
Fifield's (2019), where a few MB hold millions of files that share one stretch of data. Python looks for that since
3.11.8, and refuses archives of some programs that miscount by a few bytes; the 30 bytes of the header are left out
here, so those are read.

**tar.** A stream of any compression that `decompressed` knows, read once from its beginning; its headers are bounded
(the library holds a header of any size: a name of 10 GB), its size by the ratio to what is stored. A header that
cannot be read is damage: the library takes it for the end. Rejected: GNU's sparse files, which hold less than they say.
"""

from __future__ import annotations

import itertools
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import xxhash

from curator.files import MIB
from curator.lines import DamagedFile, decompressed, is_damage

SMALL = 16 * MIB  #: unpacked bytes that no ratio is asked of
DIRECTORY = 256 * MIB  #: bytes of a zip's directory, which is held
HEADER = MIB  #: bytes of one file's headers in a tar
BUFFER = MIB // 4  #: bytes of a tar at a time
NAME = 4096  #: characters of a name


class Refused(Exception):
    """Why an archive, or one file of it, is not read: (reason, detail)."""


@dataclass(frozen=True)
class Limits:
    """What one archive may cost: unpacked bytes of one file and of all, times as many as are stored, files."""

    member: int
    total: int
    ratio: float
    members: int


@dataclass(frozen=True)
class Member:
    """A file in an archive: at which number of a zip's directory, or byte of a tar; `name` is "" for the archive itself.

    `copy` writes its content, and raises Refused where that is damaged. `refused` says why it has none.
    """

    at: int
    name: str
    size: int = 0
    copy: Callable[[BinaryIO], None] | None = None
    refused: tuple[str, str] | None = None


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive, an empty one included."""
    return head.startswith((b"PK\3\4", b"PK\5\6"))


def clean(name: str) -> str | None:
    """A member's name without what says nothing; None for one that leads out of the archive, or is none."""
    parts = re.split(r"[/\\]", name)
    if len(name) > NAME or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name) or ".." in parts:
        return None
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or None


# -- zip


def zip_members(raw: BinaryIO, limits: Limits) -> list[Member]:
    """The files of a zip in the order of its directory. Raises Refused for an archive that cannot be read at all."""
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, _Guarded(raw, limits.members)))
    except Refused:
        raise
    except Exception as error:
        if not _is_bad_zip(error):
            raise
        raise Refused("damaged_file", f"{type(error).__name__}: {error}") from None
    infos = archive.infolist()
    ends = sorted({*(info.header_offset for info in infos), archive.start_dir})
    following = dict(itertools.pairwise(ends))
    seen: set[int] = set()
    starts: set[int] = set()
    total = 0
    members = []
    for at, info in enumerate(infos):
        if info.filename.endswith("/"):
            continue
        name = clean(info.filename)
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        total += info.file_size
        refused = _refused(name, info.filename, info.file_size, seen, limits)
        if stat.S_ISLNK(mode):
            refused = ("link", "a symbolic link")
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            refused = ("not_a_file", f"a special file, of mode {mode:o}")
        elif info.flag_bits & 0x1:
            refused = ("encrypted", "it is encrypted")
        elif info.header_offset in starts or (
            info.header_offset + info.compress_size > following.get(info.header_offset, 0)
        ):
            refused = ("bomb", "its data overlaps that of another file")
        elif info.file_size > max(SMALL, limits.ratio * info.compress_size):
            refused = ("bomb", f"{info.file_size} bytes out of {info.compress_size}: more than max_ratio: {limits.ratio}")
        elif not refused and total > limits.total:
            refused = ("bomb", f"{total} bytes up to this file: more than max_bytes: {limits.total}")
        starts.add(info.header_offset)
        copy = None if refused else _from_zip(archive, info)
        members.append(Member(at, name or info.filename, info.file_size, copy, refused))
    return members


def _from_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[BinaryIO], None]:
    def copy(to: BinaryIO) -> None:
        try:
            with archive.open(info) as file:
                while data := file.read(BUFFER):
                    to.write(data)
        except NotImplementedError as error:
            raise Refused("unsupported", str(error)) from None
        except Exception as error:
            if not _is_bad_zip(error):
                raise
            raise Refused("damaged_file", f"{type(error).__name__}: {error}") from None

    return copy


def _is_bad_zip(error: Exception) -> bool:
    bad = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error)
    return isinstance(error, bad) or is_damage(error) or getattr(error, "errno", None) == 22  # a seek to before 0


class _Guarded:
    """A zip file whose directory is not larger than allowed: it is read at once, and made objects of."""

    def __init__(self, raw: BinaryIO, members: int) -> None:
        self._raw, self._members = raw, members

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(DIRECTORY + 1 if size < 0 else min(size, DIRECTORY + 1))
        if len(data) > DIRECTORY or data.count(b"PK\1\2") > self._members:
            raise Refused("too_many_members", f"more files than max_members: {self._members}")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


# -- tar


def tar_members(uri: str, stored: int, limits: Limits) -> Iterator[Member]:
    """The files of a tar of `stored` bytes, in order; each must be copied before the next is asked for.

    The last may be the archive itself, refused for what keeps it from being read on.
    """
    most = min(limits.total, max(SMALL, int(limits.ratio * stored)) if stored else limits.total)
    stream = _Stream(decompressed(uri), most)
    seen: set[int] = set()
    at = count = 0
    try:
        stream.allow(HEADER)
        with tarfile.open(
            fileobj=cast(Any, stream), mode="r|", bufsize=BUFFER, tarinfo=_Header, encoding="utf-8", errors="backslashreplace"
        ) as tar:  # fmt: skip
            while True:
                stream.allow(HEADER)
                info = tar.next()
                if info is None:
                    return
                vars(tar)["members"] = []  # it would hold them all
                at, end, count = info.offset, tar.offset, count + 1
                if count > limits.members:
                    raise Refused("too_many_members", f"more files than max_members: {limits.members}")
                if end > most:
                    raise Refused("bomb", f"{end} bytes: more than max_bytes, or than max_ratio of {stored} stored")
                if not info.isdir():
                    stream.allow(end - info.offset_data)
                    yield _tar_member(tar, info, seen, stream, limits)
                    if stream.failed:
                        return
                stream.allow(max(end - stream.position, 0))
                if end > tar.fileobj.tell():
                    tar.fileobj.seek(end - 1)
    except Refused as why:
        yield Member(at, "", refused=why.args)
    except (DamagedFile, tarfile.TarError, ValueError, OverflowError, EOFError, struct.error) as error:
        if isinstance(error, tarfile.TarError) and not count:
            yield Member(at, "", refused=("wrong_format", f"neither zip nor tar: {error}"))
        else:
            yield Member(at, "", refused=("damaged_file", f"from byte {at} of the archive: {error}"))


def _tar_member(
    tar: tarfile.TarFile, info: tarfile.TarInfo, seen: set[int], stream: _Stream, limits: Limits
) -> Member:
    name = clean(info.name)
    refused = _refused(name, info.name, info.size, seen, limits)
    if info.issym() or info.islnk():
        refused = ("link", f"a link to {info.linkname}")
    elif not info.isreg() or info.issparse():
        refused = ("not_a_file", "a sparse file" if info.isreg() else "a device or named pipe")

    def copy(to: BinaryIO) -> None:
        try:
            file = tar.extractfile(info)
            while data := file.read(BUFFER):  # type: ignore[union-attr]
                to.write(data)
        except Refused:
            raise
        except (DamagedFile, tarfile.TarError, ValueError, EOFError) as error:
            stream.failed = True
            raise Refused("damaged_file", str(error)) from None

    return Member(info.offset, name or info.name, info.size, None if refused else copy, refused)


class _Header(tarfile.TarInfo):
    """A header that is damage where it is none: the library takes it for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from None
        if info.size < 0:
            raise tarfile.ReadError("a file of less than nothing")
        return info


class _Stream:
    """What tarfile reads: pieces of a file, and no more of them than it is allowed."""

    def __init__(self, pieces: Iterator[bytes], most: int) -> None:
        self._pieces, self._most = pieces, most
        self._held = bytearray()
        self._until = 0
        self.position = 0
        self.failed = False

    def allow(self, size: int) -> None:
        """Allow `size` bytes more than were read, and what is buffered."""
        self._until = self.position + size + 2 * BUFFER

    def read(self, size: int) -> bytes:
        if self.position + size > self._until:
            raise Refused("damaged_file", f"a header of more than {HEADER} bytes")
        if self.position + size > self._most + HEADER:
            raise Refused("bomb", f"more than {self._most} bytes: max_bytes, or max_ratio of what is stored")
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        data = bytes(self._held[:size])
        del self._held[:size]
        self.position += len(data)
        return data


def _refused(
    name: str | None, given: str, size: int, seen: set[int], limits: Limits
) -> tuple[str, str] | None:
    """What is wrong with a file's name or size; the first of a name wins."""
    if name is None:
        return "unsafe_name", f"{given[:100]!r} is no path within the archive"
    hashed = xxhash.xxh3_64_intdigest(name.encode(errors="surrogateescape"))
    if hashed in seen:
        return "duplicate_name", "the archive has an earlier file of that name"
    seen.add(hashed)
    if size > limits.member:
        return "too_large", f"{size} bytes, more than max_member_bytes: {limits.member}"
    return None
