"""Zip and tar archives of files that another source reads: `read:` names it, with its options.

    - archive: {name: laws, path: "laws.tar.gz", members: "**/*.xml", license: CC0-1.0, read: {xml: {record: act}}}

What every source has (`text`, `id`, `license`, …) stands with the archive, which is what the host asks: at two places
it would say two things. Where it does not, the inner source's own default holds. `read:` may be another `archive`; how
deep archives lie in archives is what the recipe says, never what they hold.

A member is copied to a temporary file, whose name is ours, and read as any file of the inner source, which needs to
know nothing of archives (`FileSource.called` tells it the name). So it is read only when it is whole: a wrong CRC costs
no half document. Disk: the largest member, once a worker, in `TMPDIR`. Cost: 0.2 ms a member over a file that lies in
a folder, and 4 ms/MB with inflating. Rejected: giving the inner source a stream, which sources that seek (Parquet,
zip) or sign their file cannot use; fsspec's zip:// and tar://, which unpack without limits, and index a whole tar first.

**Keys** are the archive's path as a folder: `laws.tar.gz/title-1/a.xml#0`, the same for any cutting. Links, devices,
names that lead out, encrypted files and second files of a name are rejected, each with its reason. Hidden files are
left out as in folders (`.git`, `__MACOSX/._a`), unless `members` names such.

**Parts** of a zip are ranges of its directory with 64 MiB unpacked. Those of a tar are ranges of its bytes, as of a
file of lines, and at most 8: each worker unpacks what lies before its own.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import FileSource, open_raw, signature, size_of, unchanged
from curator.lines import MAX_PARTS, PART, line_parts
from curator.options import Option
from curator_plugins.sources.members import Limits, Member, Refused, is_zip, tar_members, zip_members

LOOKED_AT = 64 << 20  #: unpacked bytes of a tar in which a plan looks for a first member


class Archive(FileSource):
    """Zip and tar archives, plain or compressed, of files that another source reads."""

    version = 1
    endings = (".zip", ".tar", ".tgz", ".tbz2", ".txz")

    members: Annotated[str, "glob of the files to read, as **/*.xml"] = "**"
    max_member_bytes: Annotated[int, "a larger file is quarantined"] = 4 << 30
    max_bytes: Annotated[int, "unpacked bytes of one archive"] = 256 << 30
    max_ratio: Annotated[float, "unpacked bytes for a stored one, from 16 MiB on"] = 200.0
    max_members: Annotated[int, "files of one archive"] = 1_000_000

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner: FileSource = self.__dict__.pop("read")  # it is a method too

    @classmethod
    def options(cls) -> dict[str, Option]:
        told = "the source that reads the files, as {xml: {record: act}}"
        return {**super().options(), "read": Option("read", FileSource, help=told)}

    def setup(self) -> None:
        self.inner.setup()

    def key_of(self, part: Part, position: str) -> str:
        return position

    def parts(self) -> Iterator[Part]:
        files = self.files()
        self._try(files[0])
        for uri in files:
            yield from self._parts_of(uri)

    def _parts_of(self, uri: str) -> Iterator[Part]:
        with open_raw(uri) as raw:
            if not is_zip(raw.read(4)):
                yield from _at_most(MAX_PARTS, list(line_parts(uri)))
                return
        signed = signature(uri)
        start = held = 0
        members = [m for m in self._members(uri) if m.name]
        for member, following in itertools.zip_longest(members, members[1:]):
            held += member.size if self._wants(member) and not member.refused else 0
            if held >= PART or not following:
                yield Part(uri, start, following.at if following else None, signed, held)
                start, held = following.at if following else 0, 0
        if not members:
            yield Part(uri, signature=signed)  # reading it says why

    def _try(self, uri: str) -> None:
        """Let the inner source say what is wrong with its options, by the first file that it would read."""
        for member in self._members(uri):
            if member.at > LOOKED_AT or member.size > LOOKED_AT:
                return
            if member.copy and self._wants(member):
                with tempfile.TemporaryDirectory(prefix="curator-") as folder:
                    try:
                        list(self._unpacked(uri, member, folder).parts())
                    except Refused:
                        return
                    except UsageError as error:
                        raise UsageError(self._told(error, uri, member, folder)) from None
                return

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        start, found = part.start or 0, False
        names: list[str] = []
        with unchanged(part), tempfile.TemporaryDirectory(prefix="curator-") as folder:
            for member in self._members(part.uri):
                if part.stop is not None and member.at >= part.stop:
                    return
                if not self._wants(member):
                    names += [member.name] if len(names) < 3 else []
                    continue
                found = True
                if member.at >= start:
                    yield from self._records(part.uri, member, folder)
        if not found:
            detail = f"no file matches members: {self.members!r}; there are {', '.join(names) or 'none'}"
            yield Rejected("0", "no_members", detail)

    def _records(self, uri: str, member: Member, folder: str) -> Iterator[dict[str, Any] | Rejected]:
        key = self._key(uri, member)
        if member.refused:
            yield Rejected(key, *member.refused)
            return
        try:
            inner = self._unpacked(uri, member, folder)
            for part in inner.parts():
                for number, record in enumerate(inner.read(part)):
                    if isinstance(record, Rejected):
                        detail = record.detail.replace(part.uri, key)
                        yield Rejected(inner.key_of(part, record.position), record.reason, detail)
                    else:
                        record["#position"] = inner.key_of(part, str(record.get("#position", number)))
                        yield record
        except Refused as why:
            yield Rejected(key, *why.args)
        except UsageError as error:
            yield Rejected(key, "unreadable", self._told(error, uri, member, folder))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, str(member.at)))

    def _unpacked(self, uri: str, member: Member, folder: str) -> FileSource:
        """The inner source over a copy of the member. Raises Refused."""
        path = os.path.join(folder, str(member.at))
        with open(path, "xb") as file:
            member.copy(file)  # type: ignore[misc]  # refused members have none
        inner = copy.copy(self.inner)
        inner.base = self.base  # type: ignore[misc]  # set as the host sets it
        inner.path = path
        inner.called = {path: self._key(uri, member)}  # type: ignore[misc]  # and this is the host's part here
        return inner

    def _told(self, error: UsageError, uri: str, member: Member, folder: str) -> str:
        """The error with the member's name for the file that it was copied to."""
        return str(error).replace(os.path.join(folder, str(member.at)), self._key(uri, member))

    def _key(self, uri: str, member: Member) -> str:
        name = f"{self.relative(uri)}/{member.name}" if member.name else self.relative(uri)
        return name.encode(errors="backslashreplace").decode()

    def _members(self, uri: str) -> Iterator[Member]:
        limits = Limits(self.max_member_bytes, self.max_bytes, self.max_ratio, self.max_members)
        with open_raw(uri) as raw:
            if is_zip(raw.read(4)):
                raw.seek(0)
                try:
                    yield from zip_members(raw, limits)
                except Refused as why:
                    yield Member(0, "", refused=why.args)
                return
        yield from tar_members(uri, size_of(uri), limits)

    def _wants(self, member: Member) -> bool:
        if not member.name or (member.refused and member.refused[0] == "unsafe_name"):
            return True
        hidden = re.search(r"(^|/)\.", member.name) and not re.search(r"(^|/)\.", self.members)
        return not hidden and self._pattern.match(member.name) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        from fsspec.utils import glob_translate

        return re.compile(glob_translate(self.members))


def _at_most(most: int, parts: list[Part]) -> Iterator[Part]:
    """The parts, joined so that they are not more than that."""
    step = -(-len(parts) // most)
    for i in range(0, len(parts), step):
        first, last = parts[i], parts[min(i + step, len(parts)) - 1]
        yield replace(first, stop=last.stop, size=sum(part.size for part in parts[i : i + step]))


@hookimpl
def register_sources(register: Any) -> None:
    register(Archive)
