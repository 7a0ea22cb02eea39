"""The records of a crawler's file: WARC, WET and WAT through fastwarc, ARC by ourselves.

A record is held whole up to a limit, and the rest of it passed over. Damage (a member that does not decompress, a
header that is none, a length that lies) is told, and reading goes on at the next record that can be found from the
file as it is stored: the next gzip, zstd or lz4 member that begins like a record, or the next line of a plain file
that does. A file that is one single member ends at its damage.

Rejected: warcio, which is slower, and for ARC, which fastwarc does not read, too: it reads header lines of any
length, and stops at damage.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from curator import Rejected
from curator.files import MIB, open_raw
from curator.lines import compression
from curator_plugins.sources.crawl_parts import certain

HEADER = 32 << 10  #: bytes of a record's header at most, as fastwarc has it
MEMBER = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}
BEGINS = re.compile(rb"WARC/\d|(?:https?|ftp|dns|filedesc):\S{0,2000} [\d.:a-f]+ \d{14} ")
BEGINS_LINE = re.compile(
    rb"(?<=\n)WARC/[01]\.\d+\r?\n|(?<=\n)(?:https?|dns)\S{1,2000} \d+\.[\d.]+ \d{14} \S+ \d+\n"
)
PROBE = 4096  #: bytes that are looked at to tell whether a record begins
HTTP = re.compile(rb"HTTP/\d")


@dataclass(slots=True)
class Record:
    """`kind` is WARC's: response, revisit, …; `http` holds the headers of a response that has them."""

    kind: str
    url: str
    date: str | None
    size: int  #: bytes of the body as its header states it
    body: bytes = (
        b""  #: as stored: compressed and chunked as it came; of a larger one than the limit, nothing
    )
    id: str | None = None
    http: Any = None
    truncated: str | None = None
    language: str | None = None
    mime: str | None = None  #: as declared


class _Damage(Exception):
    """`lies`: the record before it is to blame."""

    def __init__(self, message: str, lies: bool = False) -> None:
        super().__init__(message)
        self.lies = lies


def records(
    uri: str, limit: int, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, Record | Rejected]]:
    """(place, record) of each record that begins in [start, stop), bodies up to `limit` bytes; Rejected where there
    is damage.

    A place is the offset in the file as stored of the member that holds the record, and `+n` for the n-th after it.
    Any cutting gives the same, except where `crawl_parts` says so.
    """
    with open_raw(uri) as file:
        for place, record in _records(file, limit, certain(file, start)):
            at = int(place.partition("+")[0])  # never less than the one before
            if stop is not None and at >= stop:
                return
            if at >= start:
                yield place, record


def _records(file: BinaryIO, limit: int, begin: int) -> Iterator[tuple[str, Record | Rejected]]:
    """Those from the one at `begin` on."""
    file.seek(0)
    kind = compression(file.read(6))
    file.seek(0)
    read = _arc if _begins(file.read(PROBE), kind).startswith(b"filedesc:") else _warc
    start: int | None = begin
    pending: Rejected | None = None  # told where reading goes on, unless it is met there again
    while start is not None:
        held: Record | None = None  # until what follows it shows that its length was right
        last, nth = start, 0
        file.seek(start)
        try:
            for at, record in read(file, kind, limit):
                if pending:
                    yield pending.position, pending
                    pending = None
                if held:
                    yield _place(last, nth), held
                nth = nth + 1 if held and last == at else 0
                last, held = at, record
            if held:
                yield _place(last, nth), held
            if kind == "gzip" and _is_cut(file, last):
                pending = Rejected(_place(last, nth + 1), "damaged_record", "the file ends within a member")
            break
        except _Damage as damage:
            blamed = not held or damage.lies
            place = _place(last, nth if blamed else nth + 1)
            if held and not blamed:
                yield _place(last, nth), held
            pending = Rejected(place, "damaged_record", str(damage))
            if blamed:
                yield place, pending
                pending = None
        start = _next(file, last + 1, kind)
    if pending:
        yield pending.position, pending


def _place(at: int, nth: int) -> str:
    return f"{at}+{nth}" if nth else str(at)


def _is_damage(error: OSError) -> bool:
    """Whether the content is to blame, and not the disk or network: fastwarc says OSError of it, and nothing more."""
    return type(error) is OSError and error.errno is None


def _warc(file: BinaryIO, kind: str | None, limit: int) -> Iterator[tuple[int, Record]]:
    from fastwarc.warc import ArchiveIterator

    found = iter(ArchiveIterator(file, parse_http=False, max_header_len=HEADER))
    while True:
        try:
            record = next(found, None)
            if record is None:
                return
            if "WARC-Type" not in record.headers or "Content-Length" not in record.headers:
                raise _Damage("the file ends within a record's header, or it is none")
            read = _record(record, limit)
        except OSError as error:
            if not _is_damage(error):
                raise
            raise _Damage(str(error), lies="Invalid WARC header" in str(error)) from None
        yield record.stream_pos, read


def _record(record: Any, limit: int) -> Record:
    headers = record.headers
    http = None
    size = record.content_length
    kind = (headers.get("WARC-Type") or "").lower()
    if record.is_http and kind == "response":
        try:
            record.parse_http(max_header_len=HEADER, strict_mode=False)
            http, size = record.http_headers, record.content_length
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and not _is_damage(error):
                raise
            kind = "bad_http"
    wanted = kind in ("response", "resource", "conversion") and size <= limit
    body = record.reader.read(size) if wanted and size else b""
    there = len(body) if wanted else record.consume()
    if there < size:
        raise _Damage(f"{there} of {size} bytes are there")
    return Record(
        kind=kind,
        url=(headers.get("WARC-Target-URI") or "").strip("<>"),
        date=headers.get("WARC-Date"),
        size=size,
        body=body,
        id=(headers.get("WARC-Record-ID") or "").strip("<>") or None,
        http=http,
        truncated=headers.get("WARC-Truncated"),
        language=headers.get("WARC-Identified-Content-Language"),
        mime=http.get("Content-Type") if http is not None else headers.get("Content-Type"),
    )


# -- ARC


def _opened(file: BinaryIO, kind: str | None) -> Any:
    from fastwarc.stream_io import GzipReader, Lz4Reader, ZstdReader

    readers = {"gzip": GzipReader, "zstd": ZstdReader, "lz4": Lz4Reader}
    return readers[kind](file) if kind in readers else file


def _begins(data: bytes, kind: str | None) -> bytes:
    """How the content of these bytes begins, which may end anywhere."""
    try:
        return bytes(_opened(io.BytesIO(data), kind).read(PROBE // 16))
    except OSError:
        return b""


def _arc(file: BinaryIO, kind: str | None, limit: int) -> Iterator[tuple[int, Record]]:
    stream = _opened(file, kind)
    try:
        while (header := _line(stream))[1]:
            at, line = header
            if not line.strip():
                continue
            # URL, IP, date, [status, checksum, location, offset, name of the file,] MIME, length; a URL may have spaces
            fields = line.decode("latin-1").split()
            if len(fields) < 5 or not re.fullmatch(r"\d{1,15}", fields[-1]) or not line.endswith(b"\n"):
                raise _Damage(f"no header of a record: {line[:80]!r}", lies=True)
            size = int(fields[-1])
            block = stream.read(size) if size <= limit else b""
            there = len(block) if size <= limit else _skip(stream, size)
            if there < size:
                raise _Damage(f"{there} of {size} bytes are there")
            yield at, _arc_record(fields, block, size)
    except OSError as error:
        if not _is_damage(error):
            raise
        raise _Damage(str(error)) from None


def _line(stream: Any) -> tuple[int, bytes]:
    """(offset of its member as stored, line). Byte by byte: what is read ahead may be of the next member."""
    line = bytearray()
    at = 0
    while len(line) < HEADER and (byte := stream.read(1)):
        if not line:
            at = (
                stream.frame_start_position()
                if hasattr(stream, "frame_start_position")
                else stream.tell() - 1
            )
        line += byte
        if byte == b"\n":
            break
    return at or 0, bytes(line)


def _skip(stream: Any, size: int) -> int:
    """How many of so many bytes there were to pass over."""
    left = size
    while left > 0 and (data := stream.read(min(left, MIB))):
        left -= len(data)
    return size - left


def _arc_record(fields: list[str], block: bytes, size: int) -> Record:
    from fastwarc.warc import HeaderMap

    url, date = fields[0], next((f for f in fields[1:] if re.fullmatch(r"\d{14}", f)), None)
    kind, http, mime = "response", None, fields[3] if len(fields) == 5 else None
    if url.startswith("filedesc:"):
        kind = "warcinfo"
    elif HTTP.match(block):
        http = HeaderMap("latin1")
        try:
            block = block[http.parse(io.BytesIO(block)) :]
        except (OSError, ValueError):
            kind = "bad_http"
    day = f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z" if date else None
    return Record(
        kind=kind,
        url=url,
        date=day,
        size=size,
        body=block,
        id=f"{date}/{url}" if date else None,
        http=http,
        mime=http.get("Content-Type") if http is not None else mime,
    )


# -- after damage


def _is_cut(file: BinaryIO, at: int) -> bool:
    """Whether the file ends within the member that begins there or one after it, where fastwarc sees no more."""
    from isal import isal_zlib

    file.seek(at)
    member = None
    try:
        while data := file.read(PROBE):
            while data := data if member else data.lstrip(b"\0"):
                member = member or isal_zlib.decompressobj(wbits=31)
                member.decompress(data)
                data, member = member.unused_data, None if member.eof else member
    except isal_zlib.error:  # type: ignore[misc]  # its stub has an instance
        return False
    return member is not None


def _next(file: BinaryIO, at: int, kind: str | None) -> int | None:
    """Where the next record begins that can be read from there."""
    if kind not in (*MEMBER, None):
        return None
    file.seek(at)
    before = b""
    while data := file.read(MIB):
        window = before + data
        last = max(len(window) - PROBE, 0) if len(data) == MIB else len(window)
        found = _first(window, last, kind)
        if found is not None:
            return at + found
        before, at = window[last:], at + last
    return None


def _first(window: bytes, last: int, kind: str | None) -> int | None:
    if kind is None:
        match = BEGINS_LINE.search(window)
        return match.start() if match else None
    at = -1
    while 0 <= (at := window.find(MEMBER[kind], at + 1)) < last:
        if BEGINS.match(_begins(window[at : at + PROBE], kind)):
            return at
    return None
