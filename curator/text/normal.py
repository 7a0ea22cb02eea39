"""Normalised text, as near-duplicate search compares it.

Rules, in order (datatrove's `simplify_text` with its defaults): lower case; a number of any script with at
most one decimal part becomes 0; punctuation becomes a space; NFD without nonspacing marks (Mn).

Algorithm: one pass from the text to its words, each code point through a table of its lower-case, decomposed
form without marks, which is what the rules do to it wherever it stands. Three things depend on neighbours:
numbers are matched in the kernel; a capital sigma (final or not) is lowered by Python before; and canonical
reordering, which without Mn could only swap two neighbouring spacing marks of different class (as in musical
notation) and is left out. A word of ASCII letters that two registers hold, as nearly all of English, is
found eight bytes at a time, lowered and hashed there; any other is built in a buffer of one word. Linear, 200
MB/s. Rejected: normalised texts as an array, split by the kernel for white space (85 MB/s: each character
decoded twice, and each hash waits for bytes just stored); normalising each distinct chunk in Python and
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

from curator.text.characters import ALPHA, DIGIT, NON_SYMBOL, PUNCTUATION, SPACE, classes
from curator.text.words import FLAGS, STOP_WORD, Bytes, Offsets, Words, buffers, decode, stop_hashes
from curator.text.xxh3 import U, read64, xxh3, xxh3_of

_FOLDED = (range(0x30000), range(0xE0100, 0xE01F0))  # no other code point changes
SEPARATOR = 0x20
ONES, SMALL, TOP = U(0x0101010101010101), U(0x2020202020202020), U(0x8080808080808080)
PLACES = U(0x0001020304050607)  # times 2⁸ᵏ, its highest byte is k
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


@cache
def _ascii() -> Bytes:
    """What a byte becomes, uint8[256]: a letter in lower case, SEPARATOR, or 0 where the byte alone cannot say."""
    table = np.zeros(256, np.uint8)
    for byte, kind in enumerate(classes()[:0x80]):
        table[byte] = SEPARATOR if kind & (SPACE | PUNCTUATION) else 0 if kind & DIGIT else ord(chr(byte).lower())
    table.setflags(write=False)
    return table


@njit(nogil=True, cache=True)
def _stop_word(stops: NDArray[np.uint64], h: np.uint64) -> np.uint8:
    for s in range(len(stops)):
        if stops[s] == h:
            return np.uint8((s + 1) * STOP_WORD)
    return np.uint8(0)


@njit(nogil=True, cache=True, inline="always")
def _letters(eight: np.uint64) -> np.uint64:
    """How many of the eight bytes, from the lowest, are ASCII letters before the first that is not."""
    low = (eight | SMALL) & ~TOP
    other = ~((low + (TOP - U(0x61) * ONES)) & ~(low + (TOP - U(0x7B) * ONES)) & ~eight) & TOP
    if not other:
        return U(8)
    return (((other & (~other + U(1))) >> U(7)) * PLACES) >> U(56)


@njit(nogil=True, cache=True)
def _split(
    data: Bytes,
    offsets: Offsets,
    ascii: Bytes,
    table: Bytes,
    row: NDArray[np.uint16],
    forms: NDArray[np.int32],
    stops: NDArray[np.uint64],
    word: Bytes,
    doc_offsets: Offsets,
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.uint32],
    flags: Bytes,
) -> int:
    """Fill the arrays of `Words`; returns the number of words. `word` has room for the longest."""
    n, maybe_stop = 0, U(0)
    for s in range(len(stops)):
        maybe_stop |= U(1) << (stops[s] & U(63))
    for d in range(len(offsets) - 1):
        doc_offsets[d] = n
        at, stop = offsets[d], offsets[d + 1]
        end, characters, seen = 0, 0, 0
        while at <= stop:
            if not end and at + 16 <= stop:  # a word in lower case that two registers hold
                low, high = read64(data, U(at)), U(0)
                size = _letters(low)
                low |= SMALL
                if size == U(8):
                    high = read64(data, U(at) + U(8))
                    size += _letters(high)
                    high |= SMALL
                if size and size < U(16) and ascii[data[U(at) + size]] == SEPARATOR:
                    if size < U(8):
                        low &= (U(1) << U(8) * size) - U(1)
                    else:
                        high &= (U(1) << U(8) * (size - U(8))) - U(1)
                    h = xxh3_of(low, high, size)
                    hashes[n], lengths[n], flags[n] = h, size, np.uint8(ALPHA | NON_SYMBOL)
                    if size <= U(4) and maybe_stop >> (h & U(63)) & U(1):
                        flags[n] |= _stop_word(stops, h)
                    n += 1
                    at += np.int64(size) + 1
                    continue
            begin, plain = end, np.uint8(SEPARATOR)
            while at < stop:
                plain = ascii[data[at]]
                if plain <= SEPARATOR:
                    break
                word[end] = plain
                end += 1
                at += 1
            if at == stop:
                plain = np.uint8(SEPARATOR)
            if end > begin:
                characters += end - begin
                seen |= ALPHA | NON_SYMBOL
            width = 1
            if not plain:
                c, width = decode(data, at)
                kind = table[c]
                if kind & DIGIT:
                    at = _number_end(data, at, stop, table)
                    word[end] = 0x30
                    end += 1
                    characters += 1
                    seen |= NON_SYMBOL
                    continue
                if not kind & (SPACE | PUNCTUATION):
                    at += width
                    if c < len(row) and row[c]:
                        form = forms[row[c]]
                        for i in range(3):
                            if form[i]:
                                end = _encode(form[i], word, end)
                                characters += 1
                                seen |= table[form[i]]
                        continue
                    for i in range(width):
                        word[end + i] = data[at - width + i]
                    end += width
                    characters += 1
                    seen |= kind
                    continue
            at += width
            if characters:
                h = xxh3(word, U(0), U(end))
                hashes[n], lengths[n], flags[n] = h, characters, np.uint8(seen & FLAGS)
                if end <= 4:
                    flags[n] |= _stop_word(stops, h)
                n += 1
                end, characters, seen = 0, 0, 0
    doc_offsets[len(offsets) - 1] = n
    return n


def _room(n_offsets: int, most: int) -> Words:
    doc_offsets, hashes = np.empty(n_offsets, np.int64), np.empty(most, np.uint64)
    return Words(doc_offsets, hashes, np.empty(most, np.uint32), np.empty(most, np.uint8))


def normalized_words(texts: pa.LargeStringArray) -> Words:
    """The words between spaces of the normalised texts."""
    with_sigma = pc.match_substring(texts, "Σ")
    if pc.any(with_sigma).as_py():
        lowered = [text.as_py().lower() for text in texts.filter(with_sigma)]
        texts = pc.replace_with_mask(texts, with_sigma, pa.array(lowered, pa.large_string()))
    data, offsets = buffers(texts)
    longest = int(np.diff(offsets).max(initial=0))
    found = _room(len(offsets), (int(offsets[-1] - offsets[0]) + len(offsets)) // 2 + 1)
    n = _split(
        data,
        offsets,
        _ascii(),
        classes(),
        *folds(),
        stop_hashes(),
        np.empty(_GROWTH * longest + 1, np.uint8),
        found.doc_offsets,
        found.hashes,
        found.lengths,
        found.flags,
    )
    return Words(found.doc_offsets, found.hashes[:n], found.lengths[:n], found.flags[:n])


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
