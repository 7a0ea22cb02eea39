"""Where a crawler's file can be cut, and from where a part of it has to be read.

A part is a range of stored bytes and owns the records that begin in it. To give what a reading from the file's
beginning gives there, damage included, it is read from a record at or before its first byte that such a reading
comes to for certain; what it finds before that byte is passed over.

**Plain files.** The headers are followed from the file's beginning, from length to length, without what is between:
a page that holds records itself, as a crawled .warc, is never looked into. That is 9 us a record, for each part those before it, so parts are 8 at most: 30 us a record in
all, where parsing takes 20-75 us and extraction milliseconds. Rejected: searching for a record that
others follow, because a page that ends within its last record's body is followed by the file's own.

**gzip.** A member that is stored, not compressed, shows the bytes of its page, which may be members with records. But
a stored block has 65,535 bytes at most, and then comes the next one's header. So what is looked for is members, each
one whole record whose checksum is right, that follow each other for more than that. What remains is a page
that was made to deceive, by one who foresees where the crawler's compressor puts its blocks.

Where there is nothing certain, as after damage in a plain file or in one of huge records, reading begins further up,
at the file's beginning in the end: it costs time, and the records are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from curator import Part
from curator.files import MIB, open_raw, signature, size_of
from curator.lines import GUESSED_RATIO, MAX_PARTS, compression, expected_size

PART = 128 * MIB  #: stored bytes of a part, more where a plain file would have more than MAX_PARTS
STORED = 65_535  #: bytes of a stored block of deflate at most (RFC 1951, 3.2.4)
LARGEST = 16 * MIB  #: stored bytes of a member that is checked
WINDOW = MIB  #: bytes that are searched at a time, backwards
FED = 4096  #: bytes that are read at a time, and that nearly all headers fit in
HEADER = 32 << 10
MEMBER = b"\x1f\x8b\x08"
END = b"\r\n\r\n"  #: of a record
HEAD = re.compile(rb"WARC/[01]\.\d{1,3}\r\n(?:[!-9;-~]+:[^\r\n]*\r\n)+\r\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?=\r\n)", re.I)
TYPE = re.compile(rb"\r\nwarc-type:", re.I)


def crawl_parts(uri: str) -> Iterator[Part]:
    """The parts of a file: several if it is large and WARC, plain or gzip with a member for each record."""
    signed, stored = signature(uri), size_of(uri)
    if stored <= PART or not _can_be_cut(uri):
        yield Part(uri, signature=signed, size=expected_size(uri))
        return
    with open_raw(uri) as file:
        plain = compression(file.read(6)) is None
    step = max(PART, stored // MAX_PARTS + 1) if plain else PART
    for start in (starts := range(0, stored, step)):
        stop = None if start == starts[-1] else start + step
        yield Part(uri, start, stop, signed, min(step, stored - start) * (1 if plain else GUESSED_RATIO))


def certain(file: BinaryIO, start: int) -> int:
    """Offset of a record at or before `start` that a reading from the file's beginning comes to."""
    if not start:
        return 0
    file.seek(0)
    kind = compression(file.read(6))
    if kind is None:
        return _last(_plain(file), start)
    return _member_before(file, start) if kind == "gzip" else 0


def _can_be_cut(uri: str) -> bool:
    """Whether the file begins with two records as they are expected."""
    with open_raw(uri) as file:
        kind = compression(file.read(6))
        if kind is None:
            return len([at for at, _ in zip(_plain(file), range(2), strict=False)]) == 2
        first = _end(file, 0) if kind == "gzip" else None
        return first is not None and _end(file, first) is not None


def _head(data: bytes) -> tuple[int, int] | None:
    """(bytes of the header, of the body) of the record that begins there."""
    found = HEAD.match(data)
    lengths = LENGTH.findall(found[0]) if found else []
    if not found or len(lengths) != 1 or not TYPE.search(found[0]):
        return None
    return found.end(), int(lengths[0])


def _plain(file: BinaryIO) -> Iterator[int]:
    """The offsets of the records from the file's beginning on, as long as each follows the one before."""
    at, gap = 0, b""
    while True:
        file.seek(at)
        data = file.read(FED)
        head = _head(data[len(gap) :]) or _head((data + file.read(HEADER - FED))[len(gap) :])
        if head is None or not data.startswith(gap):
            return
        yield at + len(gap)
        at, gap = at + len(gap) + sum(head), END


def _last(offsets: Iterator[int], start: int) -> int:
    """The last of them that is not after `start`."""
    last = 0
    for at in offsets:
        if at > start:
            break
        last = at
    return last


def _member_before(file: BinaryIO, start: int) -> int:
    """A member at or before `start` that is certain to be none of a page."""
    stop = start + 1
    while stop > 0:
        begin = max(stop - WINDOW, 0)
        file.seek(begin)
        window = file.read(stop - begin + len(MEMBER) - 1)
        at = -1
        while (at := window.find(MEMBER, at + 1)) >= 0:
            if _is_certain(file, begin + at):
                return begin + at
        stop = begin
    return 0


def _is_certain(file: BinaryIO, at: int) -> bool:
    end: int | None = at
    while end is not None and end - at <= STORED:
        end = _end(file, end)
    return end is not None


def _end(file: BinaryIO, at: int) -> int | None:
    """Where the member ends that begins there, if it is whole and holds one whole record and nothing else."""
    from isal import isal_zlib

    member = isal_zlib.decompressobj(wbits=31)
    begun, made, expected = b"", 0, -1
    file.seek(at)
    read = 0
    try:
        while not member.eof:
            data = file.read(FED)
            read += len(data)
            if not data or read > LARGEST:
                return None
            out = member.decompress(data)
            made += len(out)
            if expected < 0:
                begun += out
                head = _head(begun)
                if head is not None:
                    expected = sum(head)
                elif len(begun) > HEADER or not begun.startswith(b"WARC/"[: len(begun)]):
                    return None
            if expected >= 0 and made > expected + len(END):
                return None
    except isal_zlib.error:  # type: ignore[misc]  # its stub has an instance
        return None
    return at + read - len(member.unused_data) if 0 <= expected <= made else None
