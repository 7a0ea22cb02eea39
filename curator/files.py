"""Files to read: finding them, and telling whether they changed.

A path is a file, a folder (all files below it), a glob, or an fsspec URL of these; local paths start from
the recipe's folder.

Rejected: fsspec for local files too. It follows every link, finds hidden files, lists named pipes, and costs
0.1 ms a file.

**Keys.** A record without an id is called by its file's path below the folder that `path` names, so moving
that folder changes no key. Of several paths it is the folder that they have in common.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Annotated, Any, BinaryIO, ClassVar

import xxhash

from curator.errors import CuratorError, NothingToRead, UsageError
from curator.plugin import Part, Rejected, Source

MIB = 1 << 20

MAX_RATIO = 500.0  #: text compresses 3 to 100 times; gzip makes 340 of lines that are all the same, 1,030 of zeros

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"(\xb5/\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
SKIPPABLE_FRAME = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # how pzstd and seekable zstd files begin
FOREIGN = {b"PAR1": "Parquet", b"SQLite format 3\0": "SQLite", b"PK\3\4": "zip", b"%PDF-": "PDF"}
FOREIGN |= {b"7z\xbc\xaf\x27\x1c": "7z"}

ETAGS = ("ETag", "etag", "md5Hash", "sha256")  #: what file systems call a file's version

log = logging.getLogger(__name__)


class SourceChanged(CuratorError):
    """A file or table is not what it was when it was planned, or changed while it was read."""

    def __init__(self, uri: str, why: str = "its content changed after it was planned") -> None:
        super().__init__(f"{uri}: {why}; run again, and it is planned anew")


class FileSource(Source):
    """Base of the sources that read files."""

    path: Annotated[str | list[str], "a file, folder, glob or fsspec address, or several"]
    max_ratio: Annotated[
        float, "a compressed file is read up to 1 GiB, and beyond while it has no more than this many times its size"
    ] = MAX_RATIO

    #: what `relative` calls files that the host put elsewhere, by their path, as members of an archive
    called: ClassVar[Mapping[str, str]] = {}

    def files(self) -> list[str]:
        """Every file that `path` names, once, in a stable order."""
        if not self.path:
            raise UsageError(f"source {self.name!r}: path is empty; name a file, folder, glob or address")
        skipped: dict[str, Rejected] = {}
        found = dict.fromkeys(uri for path in self._paths() for uri in expand(path, self.base, skipped))
        self.skipped = skipped  # type: ignore[misc]  # no option, and of each source its own
        return list(found)

    def key_of(self, part: Part, position: str) -> str:
        return f"{self.relative(part.uri)}#{position}"

    def relative(self, uri: str) -> str:
        """The file's path below the folder that `path` names, or that several paths have in common."""
        return self.called.get(uri) or relative(uri, self._roots)

    @cached_property
    def _roots(self) -> list[str]:  # asked for every record without an id
        return [root_of(path, self.base) for path in self._paths()]

    def _paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path


# -- finding


def is_remote(path: str) -> bool:
    return re.match(r"(?!file:|local:)[\w.+-]+:(//|:)", path) is not None


def expand(path: str, base: str = ".", skipped: dict[str, Rejected] | None = None) -> list[str]:
    """The regular files that a path names, sorted; raises UsageError where there is none.

    Hidden files are left out unless named in full. Links in a folder or glob are followed only to files
    within that folder; a file named in full may be a link to anywhere. What else is no file that can be read goes
    into `skipped`, or is warned of.
    """
    if is_remote(path):
        return _expand_remote(path, base)
    root, pattern = _split(path, base)
    if not pattern and os.path.isfile(root):
        return [root]
    if pattern:
        found = [name for name in _globbed(root, pattern) if not os.path.isdir(name)]
    elif os.path.isdir(root):
        found = [os.path.join(folder, name) for folder, names in _walk(root) for name in names]
    elif os.path.lexists(root):
        raise UsageError(f"path {path!r} is {_kind(root)}, not a file: {root}")
    else:
        found = []
    real = cache(os.path.realpath)  # of folders, once for each: a million files take 13 CPU seconds
    refused = {name: told for name in found if (told := _refused(name, os.path.realpath(root), real))}
    if skipped is not None:
        skipped |= {name: Rejected("0", reason, kind) for name, (reason, kind) in refused.items()}
    else:
        for name, (_, kind) in refused.items():
            log.warning("skipped %s: it is %s", name, kind)
    files = sorted(set(found) - set(refused))
    if not files:
        why = "".join(f"; skipped {name}: it is {kind}" for name, (_, kind) in list(refused.items())[:3])
        raise NothingToRead(f"path {path!r} names no file in {root} (paths start from {base!r}){why}")
    return files


def root_of(path: str, base: str = ".") -> str:
    """What stands before a path's first wildcard: the folder, or the file if there is none."""
    return (_split_remote if is_remote(path) else _split)(path, base)[0]


def relative(uri: str, roots: Sequence[str]) -> str:
    """A file's path below the deepest folder common to all `roots`."""
    if len(roots) == 1:
        common = roots[0].rstrip("/")
    elif any(map(is_remote, roots)):
        common = ""  # nothing is common to different servers: the whole address
    else:
        common = os.path.commonpath(roots)
    name = uri.rpartition("/")[2] if uri == common else uri.removeprefix(common + "/")
    return name.partition("?")[0] if uri.startswith("http") else name


def _split(path: str, base: str) -> tuple[str, str]:
    """A local path as (absolute path without wildcards, pattern below it)."""
    path = os.path.expanduser(re.sub(r"^(file|local)://", "", path))
    full = os.path.normpath(os.path.join(os.path.abspath(base), path))
    if not glob.has_magic(path) or os.path.lexists(full):
        return full, ""
    literal = re.split(r"[*?\[]", path, maxsplit=1)[0]
    folder = literal[: literal.rfind("/") + 1]
    return os.path.normpath(os.path.join(os.path.abspath(base), folder)), path[len(folder) :]


def _globbed(root: str, pattern: str) -> Iterator[str]:
    """What matches, hidden names left out; `**` goes through no link: two links to their own folder are 2^40 paths."""
    parts = pattern.split("/")
    if "**" not in parts:
        yield from (os.path.join(root, name) for name in glob.iglob(pattern, root_dir=root))
        return
    at = parts.index("**")
    head, tail = "/".join(parts[:at]), "/".join(parts[at + 1 :]) or "*"
    for start in _globbed(root, head) if head else (root,):
        for folder, _ in _walk(start):
            yield from _globbed(folder, tail)


def _walk(root: str) -> Iterator[tuple[str, list[str]]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield folder, [name for name in names if not name.startswith(".")]


def _kind(path: str) -> str:
    if not os.path.exists(path):
        return "a link to nothing"
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(os.stat(path).st_mode), "not a regular file")


def _refused(path: str, root: str, real: Callable[[str], str]) -> tuple[str, str] | None:
    """Reason and detail of what cannot be read."""
    folder, name = os.path.split(path)
    try:
        linked = not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        linked = True
    if linked and not os.path.isfile(path):
        return "not_a_file", _kind(path)
    target = os.path.realpath(path) if linked else os.path.join(real(folder), name)
    if target == root or target.startswith(root.rstrip("/") + "/"):
        return None if os.access(path, os.R_OK) else ("unreadable", "a file that this user may not read")
    return "link", f"a link out of {root} (name {target} itself, or its folder, to read it)"


def _split_remote(path: str, base: str) -> tuple[str, str]:
    head, chain, tail = path.partition("::")
    wildcards = r"[*\[]" if head.startswith("http") else r"[*?\[]"
    literal = re.split(wildcards, head, maxsplit=1)[0]
    if literal == head:
        return path, ""
    folder = literal[: literal.rfind("/") + 1]
    return folder.rstrip("/"), head[len(folder) :] + chain + tail


def _expand_remote(path: str, base: str) -> list[str]:
    secret = re.match(r"([\w.+-]+://[^/@]*?):(?!\d+/)[^@]*@", path)  # it may hold slashes, where a port has none before
    if secret:
        shown = f"{secret[1]}:***@{path[secret.end() :]}"
        raise UsageError(f"path {shown!r} holds a password; put it into fsspec's configuration instead")
    head, chain, tail = path.rpartition("::")
    if chain and not is_remote(tail):  # as in zip://*.jsonl::archive.zip
        path = head + chain + _split(tail, base)[0]
    fs, inside = _file_system(path)
    try:
        fs.invalidate_cache()
        if _split_remote(path, base)[1]:
            names = [name for name, info in fs.glob(inside, detail=True).items() if info["type"] == "file"]
        elif not path.startswith("http") and fs.isdir(inside):
            names = fs.find(inside)
        else:
            fs.info(inside)
            return [path]
    except Exception as error:  # each file system has its own
        told = error.__cause__ if path.startswith("http") and error.__cause__ else error  # it calls all not found
        if not isinstance(told, FileNotFoundError) and getattr(told, "status", None) not in (404, 410):
            raise CuratorError(f"path {path!r} cannot be listed: {type(told).__name__}: {told}") from error
        names = []
    if not names:
        raise NothingToRead(f"path {path!r} names no file or folder")
    head, chain, tail = path.partition("::")
    protocol = head.partition("://")[0]
    return [(n if "://" in n else f"{protocol}://{n.lstrip('/')}") + chain + tail for n in sorted(names)]


def _file_system(uri: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, inside = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:  # a package is missing, or nobody knows the protocol
        raise UsageError(f"path {uri!r}: {error}") from error
    return fs, inside


# -- one file


@contextlib.contextmanager
def open_raw(uri: str) -> Iterator[BinaryIO]:
    """The file as it is stored."""
    if is_remote(uri):
        fs, inside = _file_system(uri)  # an archive closes its files when it is forgotten
        with fs.open(inside, "rb") as file:
            yield file
    else:
        if not os.path.isfile(uri) and os.path.lexists(uri):  # a pipe would be waited for
            raise SourceChanged(uri, f"it is {_kind(uri)} now, not a file")
        with open(uri, "rb") as file:
            yield file


def size_of(uri: str) -> int:
    """Bytes as stored; 0 where a server does not say."""
    return int(_info(uri).get("size") or 0)


def _info(uri: str, *, fresh: bool = False) -> dict[str, Any]:
    """What the file system says; unless `fresh`, it may say what it found when it listed the folder."""
    if not is_remote(uri):
        return {"size": os.stat(uri).st_size}
    fs, inside = _file_system(uri)
    if fresh:
        fs.invalidate_cache(inside)
    return dict(fs.info(inside))


def signature(uri: str, *, fresh: bool = False) -> str:
    """Changes when the content does: xxh3 of size and first and last MiB, or of a remote file's ETag.

    A change in the middle of a large file that keeps its size is not seen: to hash all of it would cost as
    much as reading it, at every start of a run.
    """
    info = _info(uri, fresh=fresh)
    size = info.get("size")
    etag = next((tag for name in ETAGS if (tag := info.get(name))), None)
    hashed = xxhash.xxh3_128(f"{size} {etag}".encode())
    if etag is None:
        with open_raw(uri) as file:
            hashed.update(file.read(MIB))
            if size and size > MIB:
                file.seek(max(size - MIB, MIB))
                hashed.update(file.read())
    return hashed.hexdigest()


@contextlib.contextmanager
def unchanged(part: Part) -> Iterator[None]:
    """Raises SourceChanged unless the file is what was planned, before and after it is read."""
    try:
        before = _stamp(part.uri)
        if part.signature and signature(part.uri, fresh=True) != part.signature:
            raise SourceChanged(part.uri)
        yield
        if _stamp(part.uri) != before:
            raise SourceChanged(part.uri, "it changed while it was read")
    except FileNotFoundError as error:
        raise SourceChanged(part.uri, "it vanished after it was planned") from error


def _stamp(uri: str) -> tuple[Any, ...]:
    if is_remote(uri):
        info = _info(uri, fresh=True)
        return tuple(info.get(name) for name in ("size", "LastModified", "created", "mtime", *ETAGS))
    found = os.stat(uri)
    return found.st_size, found.st_mtime_ns, found.st_ino


def compression(head: bytes) -> str | None:
    """The name of the compression that a file's first bytes announce."""
    announced = (name for magic, name in COMPRESSIONS.items() if head.startswith(magic))
    return next(announced, "zstd" if SKIPPABLE_FRAME.match(head) else None)


def refused(uri: str, wanted: str) -> Rejected | None:
    """Why a file is not read at all: it has another format, as Parquet where `wanted` is "JSON lines"."""
    kind = foreign(uri)
    return Rejected("0", "wrong_format", f"this is {kind}, not {wanted}") if kind else None


def foreign(uri: str) -> str | None:
    """What a file is that is no text at all, as "Parquet", "zip" or "gzip within gzip"."""
    with open_raw(uri) as file:
        head = file.read(16)
    outer = compression(head)
    if outer is None:
        return next((name for magic, name in FOREIGN.items() if head.startswith(magic)), None)
    from curator.lines import DamagedFile, decompressed

    try:
        head = next(decompressed(uri), b"")
    except DamagedFile:
        return None  # who reads it says so
    inner = compression(head) or next((name for magic, name in FOREIGN.items() if head.startswith(magic)), None)
    return inner and f"{inner} within {outer}"


def listed(names: Sequence[str], shown: int = 50) -> str:
    """Names in a message."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
