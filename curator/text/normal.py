"""Normalised text, as near-duplicate search compares it.

Rules, in order (datatrove's `simplify_text` with its defaults): lower case; a number of any script with at
most one decimal part becomes 0; punctuation becomes a space; NFD without nonspacing marks (Mn).

Algorithm: one pass, each code point through a table of its lower-case, decomposed form without marks, which
is what the rules do to it wherever it stands. Three things depend on neighbours: numbers are matched in the
kernel; a capital sigma (final or not) is lowered by Python before; and canonical reordering, which without
Mn could only swap two neighbouring spacing marks of different class (as in musical notation) and is left
out. Linear, 120-165 MB/s, 70-85 with the words. Rejected: normalising each distinct chunk in Python and
remembering it, which needs a table, and Python for every new chunk.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import DIGIT, PUNCTUATION, SPACE, classes
from curator.text.words import Bytes, Offsets, buffers, decode

_FOLDED = (range(0x30000), range(0xE0100, 0xE01F0))  # no other code point changes
_GROWTH = 3  # a Hangul syllable of 3 bytes becomes up to three letters of 3 bytes


@cache
def folds() -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """`row` uint16[0xE01F0], where 0 means unchanged, and `forms` int32[n, 3], code points, filled with 0."""
    plain = [c for part in _FOLDED for c in part if not 0xD800 <= c < 0xE000 and c != 0x0A]
    lowered = "\n".join(map(chr, plain)).lower()
    decomposed = unicodedata.normalize("NFD", lowered)
    kept = "".join(c for c in decomposed if c.isascii() or unicodedata.category(c) != "Mn")
    row = np.zeros(_FOLDED[-1].stop, np.uint16)
    forms = [[0, 0, 0]]
    for c, form in zip(plain, kept.split("\n"), strict=True):
        if form != chr(c):
            row[c] = len(forms)
            forms.append([*map(ord, form), 0, 0, 0][:3])
    row.setflags(write=False)
    return row, np.array(forms, np.int32)


@njit(nogil=True, cache=True)
def _encode(c: int, out: Bytes, at: int) -> int:
    """Write code point `c` as UTF-8 at `at`; returns where the next goes."""
    if c < 0x80:
        out[at] = c
        return at + 1
    if c < 0x800:
        out[at] = 0xC0 | c >> 6
        out[at + 1] = 0x80 | c & 0x3F
        return at + 2
    if c < 0x10000:
        out[at] = 0xE0 | c >> 12
        out[at + 1] = 0x80 | c >> 6 & 0x3F
        out[at + 2] = 0x80 | c & 0x3F
        return at + 3
    out[at] = 0xF0 | c >> 18
    out[at + 1] = 0x80 | c >> 12 & 0x3F
    out[at + 2] = 0x80 | c >> 6 & 0x3F
    out[at + 3] = 0x80 | c & 0x3F
    return at + 4


@njit(nogil=True, cache=True)
def _is_decimal_mark(c: np.int64) -> bool:
    return bool(c == 0x2E or c == 0x2C or c == 0x60C or c == 0x66B or 0x2396 <= c <= 0x2398)


@njit(nogil=True, cache=True)
def _number_end(data: Bytes, at: int, stop: int, table: Bytes) -> int:
    """Where the number that starts at `at` ends: digits, and once a decimal mark with digits."""
    marks = 0
    while at < stop:
        c, width = decode(data, at)
        if not table[c] & DIGIT:
            after = at + width
            if marks or not _is_decimal_mark(c) or after >= stop or not table[decode(data, after)[0]] & DIGIT:
                break
            marks = 1
        at += width
    return at


@njit(nogil=True, cache=True)
def _normalize(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    row: NDArray[np.uint16],
    forms: NDArray[np.int32],
    out: Bytes,
    out_offsets: Offsets,
) -> None:
    end = 0
    for d in range(len(offsets) - 1):
        out_offsets[d] = end
        at, stop = offsets[d], offsets[d + 1]
        while at < stop:
            c, width = decode(data, at)
            kind = table[c]
            if kind & DIGIT:
                at = _number_end(data, at, stop, table)
                out[end] = 0x30
                end += 1
                continue
            if kind & (SPACE | PUNCTUATION):
                out[end] = 0x20
                end += 1
            elif c < len(row) and row[c]:
                form = forms[row[c]]
                for i in range(3):
                    if form[i]:
                        end = _encode(form[i], out, end)
            else:
                for i in range(width):
                    out[end + i] = data[at + i]
                end += width
            at += width
    out_offsets[len(offsets) - 1] = end


@njit(nogil=True, cache=True)
def _places(
    data: Bytes, table: Bytes, row: NDArray[np.uint16], forms: NDArray[np.int32], places: NDArray[np.int64]
) -> int:
    at = character = n = 0
    inside = False
    while at < len(data):
        c, width = decode(data, at)
        kind = table[c]
        after, characters, shows = at + width, 1, True
        if kind & DIGIT:
            after, characters = _number_end(data, at, len(data), table), 0
            while at < after:
                at += decode(data, at)[1]
                characters += 1
        elif kind & (SPACE | PUNCTUATION):
            n += inside
            inside = shows = False
        elif c < len(row) and row[c]:
            shows = forms[row[c], 0] != 0
        if shows and not inside:
            places[n, 0] = character
            inside = True
        at, character = after, character + characters
        if inside:
            places[n, 1] = character
    return n + inside


def word_places(text: str) -> NDArray[np.int64]:
    """Where each word of the normalised text stands in the text as it is: int64[n_words, 2], characters [start, stop)."""
    places = np.empty((len(text) // 2 + 1, 2), np.int64)
    data = np.frombuffer(text.encode() or b"\0", np.uint8)[: len(text.encode())]
    return places[: _places(data, classes(), *folds(), places)]


def normalize(texts: pa.LargeStringArray) -> tuple[Bytes, Offsets]:
    """The normalised texts as UTF-8 and int64[n + 1] offsets; runs of spaces are left as they come."""
    with_sigma = pc.match_substring(texts, "Σ")
    if pc.any(with_sigma).as_py():
        lowered = [text.as_py().lower() for text in texts.filter(with_sigma)]
        texts = pc.replace_with_mask(texts, with_sigma, pa.array(lowered, pa.large_string()))
    data, offsets = buffers(texts)
    out = np.empty(_GROWTH * int(offsets[-1] - offsets[0]) + 1, np.uint8)
    out_offsets = np.empty(len(offsets), np.int64)
    _normalize(data, offsets, classes(), *folds(), out, out_offsets)
    for array in (out, out_offsets):
        array.setflags(write=False)  # numba compiles once for read-only arrays, which Arrow's are
    return out, out_offsets
