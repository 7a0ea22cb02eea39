"""The line rules of C4 as a kernel: which lines a text keeps, what is cut out of them, and what they hold.

Algorithm: one pass over the bytes of each line counts its words, cuts citations out while copying it, and
writes a lower-case copy beside it, in which phrases are looked for around a rare letter of each; lines that
fall are taken back. Linear, 150 MB/s. Rejected: regular expressions over a list of lines.

Lines are those of `str.splitlines`, stripped; the lower-case copy is `str.lower` for whatever a phrase could
match: ASCII, and the Kelvin sign, the only other character that becomes an ASCII letter by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import DIGIT, LINE_END, SPACE, classes, first_bytes
from curator.text.segments import line_end, strip
from curator.text.words import Bytes, Offsets, decode

LF, BRACKET, CLOSING, BRACE, KELVIN = 0x0A, 0x5B, 0x5D, 0x7B, 0x212A


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


EDIT, NEEDED = _bytes("[edit]"), _bytes("[citation needed]")
LOREM_IPSUM, JAVASCRIPT = _bytes("lorem ipsum"), _bytes("javascript")
TERMS, PRIVACY, COOKIE = _bytes("terms of use"), _bytes("privacy policy"), _bytes("cookie policy")
USES, USE_OF, USE = _bytes("uses cookies"), _bytes("use of cookies"), _bytes("use cookies")
ELLIPSIS = _bytes("...")
ANCHORS = np.zeros(256, np.uint8)  # a rare letter of each phrase
ANCHORS[list(b"mjkvf")] = 1

#: what a line may fall by, as bits of what is asked for, and as rows of `Lines.removed`
LONG_WORD, NO_TERMINAL_MARK, FEW_WORDS, JAVASCRIPT_LINE, POLICY = range(5)
CITATIONS = 5


class Lines(NamedTuple):
    """The texts as their lines are kept, joined by newlines, not stripped, and for each document, int64[n_docs]:
    how many lines it had, how many fell by each rule (`removed` int64[5, n_docs]), citations cut out, and the
    first line, from 0, that holds "lorem ipsum" or a curly bracket and comes so far, or -1.

    `kept` are the kept lines of all documents: `[kept_offsets[d]:kept_offsets[d + 1]]` are those of document d.
    Of each: where it is in `data`, whether citations were cut out of it, and how many characters that are no
    white space stand before it in its text, int64[n, 4].
    """

    data: Bytes
    offsets: Offsets
    lines: Offsets
    removed: NDArray[np.int64]
    citations: Offsets
    lorem_ipsum: Offsets
    curly_bracket: Offsets
    kept_offsets: Offsets
    kept: NDArray[np.int64]


@njit(nogil=True, cache=True)
def _is(data: Bytes, at: int, first: int, stop: int, phrase: Bytes) -> bool:
    found = at >= first and at + len(phrase) <= stop
    i = 0
    while found and i < len(phrase):
        found = data[at + i] == phrase[i]
        i += 1
    return found


@njit(nogil=True, cache=True)
def _citation(data: Bytes, at: int, stop: int, table: Bytes) -> int:
    r"""Bytes of a match of `\\[\\d*]|\\[edit]|\\[citation needed]` at `at`, which holds "["; 0 if there is none."""
    end = at + 1
    while end < stop:
        c, width = decode(data, end)
        if c == CLOSING:
            return end + 1 - at
        if not table[c] & DIGIT:
            break
        end += width
    if _is(data, at, at, stop, EDIT):
        return len(EDIT)
    return len(NEEDED) if _is(data, at, at, stop, NEEDED) else 0


@njit(nogil=True, cache=True)
def phrases(low: Bytes, stop: int, anchors: Bytes) -> tuple[bool, bool, bool]:
    """Whether `low[:stop]`, in lower case, holds "lorem ipsum", "javascript", or a phrase of policies."""
    lorem = javascript = policy = False
    for i in range(stop):
        if not anchors[low[i]]:
            continue
        b = low[i]
        if b == 0x6D:  # m
            lorem = lorem or _is(low, i - 4, 0, stop, LOREM_IPSUM)
        elif b == 0x6A:  # j
            javascript = javascript or _is(low, i, 0, stop, JAVASCRIPT)
        elif b == 0x6B:  # k
            policy = (
                policy
                or _is(low, i - 3, 0, stop, COOKIE)
                or _is(low, i - 8, 0, stop, USES)
                or _is(low, i - 10, 0, stop, USE_OF)
                or _is(low, i - 7, 0, stop, USE)
            )
        elif b == 0x76:  # v
            policy = policy or _is(low, i - 3, 0, stop, PRIVACY)
        elif b == 0x66:  # f
            policy = policy or _is(low, i - 7, 0, stop, TERMS)
    return lorem, javascript, policy


@njit(nogil=True, cache=True)
def lower(data: Bytes, start: int, stop: int, low: Bytes) -> int:
    """Write `data[start:stop]` in lower case, as far as a phrase could match it; returns the bytes written."""
    n = 0
    i = start
    while i < stop:
        b = data[i]
        low[n] = b + 32 if 0x41 <= b <= 0x5A else b
        if b == 0xE2 and decode(data, i)[0] == KELVIN:
            low[n] = 0x6B
            i += 2
        n += 1
        i += 1
    return n


@njit(nogil=True, cache=True)
def _copy(
    data: Bytes, start: int, stop: int, table: Bytes, cut: bool, out: Bytes, to: int
) -> tuple[int, int]:
    """Copy a line, without its citations if they are cut out; returns where it ends and how many were."""
    if not cut:
        for i in range(start, stop):
            out[to + i - start] = data[i]
        return to + stop - start, 0
    cited, i = 0, start
    while i < stop:
        size = _citation(data, i, stop, table) if data[i] == BRACKET else 0
        if size:
            cited += 1
            i += size
        else:
            out[to] = data[i]
            to += 1
            i += 1
    return to, cited


@njit(nogil=True, cache=True)
def _words(data: Bytes, start: int, stop: int, table: Bytes, spaces: Bytes) -> tuple[int, int, int, bool]:
    """Of a line: its words, characters of the longest, and of all, and whether it holds a square bracket."""
    words = longest = letters = 0
    bracket = False
    at = start
    while at < stop:
        length = 0
        while at < stop:
            b = data[at]
            if spaces[b] and table[decode(data, at)[0]] & SPACE:
                break
            length += (b & 0xC0) != 0x80
            bracket |= b == BRACKET
            at += 1
        words += length > 0
        longest = max(longest, length)
        letters += length
        if at < stop:
            at += decode(data, at)[1]
    return words, longest, letters, bracket


@njit(nogil=True, cache=True)
def _lines(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    spaces: Bytes,
    line_ends: Bytes,
    anchors: Bytes,
    marks: Bytes,
    asked: int,
    min_words: int,
    max_word_length: int,
    out: Bytes,
    low: Bytes,
    out_offsets: Offsets,
    found: NDArray[np.int64],
    kept_offsets: Offsets,
    kept: NDArray[np.int64],
) -> int:
    """Fill `found` int64[9, n_docs]: lines, five kinds of removed ones, citations, lorem ipsum, curly bracket."""
    end, n_kept = 0, 0
    for d in range(len(offsets) - 1):
        out_offsets[d], kept_offsets[d] = end, n_kept
        for row in range(7):
            found[row, d] = 0
        found[7, d] = found[8, d] = -1
        letters = 0
        at = offsets[d]
        while at < offsets[d + 1]:
            start = at
            stop, at = line_end(data, at, offsets[d + 1], table, line_ends)
            line = found[0, d]
            found[0, d] += 1
            start, stop = strip(data, start, stop, table)
            words, longest, n_letters, bracket = _words(data, start, stop, table, spaces)
            before = letters
            letters += n_letters
            if asked >> LONG_WORD & 1 and longest > max_word_length:
                found[1 + LONG_WORD, d] += 1
                continue
            first = end + (n_kept > kept_offsets[d])  # behind the newline that joins
            cut = bracket and asked >> CITATIONS & 1 == 1
            to, cited = _copy(data, start, stop, table, cut, out, first)
            found[6, d] += cited
            if asked >> NO_TERMINAL_MARK & 1:
                last = to - 1
                while last > first and out[last] & 0xC0 == 0x80:
                    last -= 1
                marked = to > first and marks[decode(out, last)[0]] > 0
                if not marked or _is(out, to - 3, first, to, ELLIPSIS):
                    found[1 + NO_TERMINAL_MARK, d] += 1
                    continue
            if asked >> FEW_WORDS & 1 and words < min_words:
                found[1 + FEW_WORDS, d] += 1
                continue
            lowered = lower(out, first, to, low)
            lorem, javascript, policy = phrases(low, lowered, anchors)
            if lorem and found[7, d] < 0:
                found[7, d] = line
            if javascript and asked >> JAVASCRIPT_LINE & 1:
                found[1 + JAVASCRIPT_LINE, d] += 1
                continue
            if found[8, d] < 0:
                for i in range(first, to):
                    if out[i] == BRACE:
                        found[8, d] = line
                        break
            if policy and asked >> POLICY & 1:
                found[1 + POLICY, d] += 1
                continue
            if first > end:
                out[end] = LF
            kept[n_kept, 0], kept[n_kept, 1], kept[n_kept, 2], kept[n_kept, 3] = first, to, cited, before
            n_kept += 1
            end = to
    out_offsets[len(offsets) - 1], kept_offsets[len(offsets) - 1] = end, n_kept
    return n_kept


def lines(
    data: Bytes, offsets: Offsets, *, marks: str, asked: int, min_words: int, max_word_length: int
) -> Lines:
    """Apply the line rules whose bits are in `asked`; `marks` are what a line may end with."""
    n_docs, n_bytes = len(offsets) - 1, int(offsets[-1] - offsets[0])
    ends = np.zeros(len(classes()), np.uint8)
    ends[[ord(mark) for mark in marks]] = 1
    out, low = np.empty(n_bytes + n_docs + 4, np.uint8), np.empty(n_bytes + n_docs + 4, np.uint8)
    out_offsets, kept_offsets = np.empty(n_docs + 1, np.int64), np.empty(n_docs + 1, np.int64)
    found = np.empty((9, n_docs), np.int64)
    kept = np.empty((_most_lines(data, offsets, classes()), 4), np.int64)
    n_kept = _lines(
        data,
        offsets,
        classes(),
        first_bytes(SPACE),
        first_bytes(LINE_END),
        ANCHORS,
        ends,
        asked,
        min_words,
        max_word_length,
        out,
        low,
        out_offsets,
        found,
        kept_offsets,
        kept,
    )
    out.setflags(write=False)  # numba compiles once for read-only arrays, which Arrow's are
    return Lines(
        out,
        out_offsets,
        found[0],
        found[1:6],
        found[6],
        found[7],
        found[8],
        kept_offsets,
        kept[:n_kept],
    )


@njit(nogil=True, cache=True)
def _most_lines(data: Bytes, offsets: Offsets, table: Bytes) -> int:
    """At least as many as there are lines."""
    n = len(offsets)
    for i in range(offsets[0], offsets[-1]):
        n += data[i] < 0x20 or data[i] == 0xC2 or data[i] == 0xE2  # line ends begin with these
    return n


@njit(nogil=True, cache=True)
def _stripped(data: Bytes, offsets: Offsets, table: Bytes, out: Bytes, out_offsets: Offsets) -> None:
    end = 0
    for d in range(len(offsets) - 1):
        out_offsets[d] = end
        start, stop = strip(data, offsets[d], offsets[d + 1], table)
        for i in range(start, stop):
            out[end] = data[i]
            end += 1
    out_offsets[len(offsets) - 1] = end


def stripped(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets]:
    """All texts without white space around them."""
    out, out_offsets = np.empty(int(offsets[-1]) + 1, np.uint8), np.empty(len(offsets), np.int64)
    _stripped(data, offsets, classes(), out, out_offsets)
    for array in (out, out_offsets):
        array.setflags(write=False)
    return out, out_offsets
