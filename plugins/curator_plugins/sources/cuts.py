"""Records of a file, cut from its bytes at marks, without parsing what is between.

Two kinds: between marks, as `<page>` and `</page>`, and from one mark to the next, as the messages of an mbox. Where a
format promises that its marks stand nowhere else (MediaWiki escapes every `<` of a page), a part may begin anywhere
in the file and finds the next one: a file is cut into parts as files of lines are, and what is damaged ends with
its record. A record that begins again before it has ended is given up, and so is one of more than `max_bytes`,
which is never held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from curator import Rejected
from curator.lines import DamagedFile

MARK = 1024  #: bytes that no mark is longer than

Cut = tuple[int, bytes | Rejected]  #: offset of a record, and its bytes or why there are none


def until(pieces: Iterable[bytes], length: int | None) -> Iterator[bytes | None]:
    """The pieces, with None where `length` bytes are over."""
    for piece in pieces:
        if length is not None and length <= len(piece):
            yield piece[:length]
            yield None
            yield piece[length:]
            length = None
        else:
            yield piece
            length = None if length is None else length - len(piece)


def between(
    pieces: Iterable[bytes | None], opening: bytes, closing: bytes, max_bytes: int, start: int = 0
) -> Iterator[Cut]:
    """The records from a mark to the next closing one, marks included, in any case of letters.

    `opening` and `closing` are regular expressions. Records that begin after a None in `pieces` are another part's.
    `start` is the offset of the first piece.
    """
    marks = re.compile(b"(?P<opening>%s)|%s" % (opening, closing), re.IGNORECASE)
    yield from _cut(pieces, marks, max_bytes, bytearray(), start, closed=True)


def starting(pieces: Iterable[bytes | None], opening: bytes, max_bytes: int, start: int = 0) -> Iterator[Cut]:
    """The records that begin with a line that `opening` matches and end before the next, otherwise as in `between`.

    Where `start` is not 0, the pieces are from the byte before it on: by it one sees whether a line begins.
    """
    marks = re.compile(rb"(?P<opening>\n)(?=%s)" % opening)
    yield from _cut(pieces, marks, max_bytes, bytearray(b"" if start else b"\n"), start - 1, closed=False)


def _cut(
    pieces: Iterable[bytes | None],
    marks: re.Pattern[bytes],
    max_bytes: int,
    held: bytearray,
    base: int,
    closed: bool,
) -> Iterator[Cut]:
    """`base` is the offset of the first byte held; `closed` whether records have marks at their ends."""
    searched = 0  # up to where `held` was
    begun: int | None = None  # offset of the record that is open
    stop: int | None = None
    try:
        for piece in pieces:
            if piece is None:
                stop = base + len(held)
                continue
            held += piece
            while found := marks.search(held, searched):
                searched = found.end()
                if begun is not None and not (closed and found["opening"]):
                    yield begun, _record(held, base, begun, searched, max_bytes)
                elif begun is not None:
                    yield begun, Rejected(str(begun), "unclosed", "another record begins before it ends")
                begun = None
                if found["opening"]:
                    begun = base + (found.start() if closed else searched)
                    if stop is not None and begun >= stop:
                        return
            searched = max(searched, len(held) - MARK)
            if begun is None and stop is not None and base + searched >= stop:
                return
            fits = begun is not None and base + len(held) - begun <= max_bytes
            keep = begun - base if begun is not None and fits else searched
            del held[:keep]
            base += keep
            searched -= keep
        if begun is not None and closed:
            yield begun, Rejected(str(begun), "unclosed", "the file ends before it does")
        elif begun is not None:
            yield begun, _record(held, base, begun, len(held), max_bytes)
    except DamagedFile as error:
        at = base + len(held)
        lost = "" if begun is None else f"; the record from byte {begun} on is lost with it"
        yield at, Rejected(str(at), error.reason, f"{error}{lost}")


def _record(held: bytearray, base: int, begun: int, end: int, max_bytes: int) -> bytes | Rejected:
    length = base + end - begun
    if length > max_bytes:
        return Rejected(str(begun), "too_large", f"a record of {length} bytes, more than {max_bytes}")
    return bytes(held[begun - base : end])
