"""What dolma's taggers count: gopher_v2 besides words and repetition, and c4_v2.

gopher_v2's lines stand between runs of newlines, so a newline at the start or the end of a text makes an empty
line; c4_v2's between newlines. Linear passes over the bytes, 100-200 MB/s. Rejected: lists of strings.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import xxhash
from numba import njit
from numpy.typing import NDArray

from curator.text.c4 import ANCHORS, BRACE, lower, phrases
from curator.text.characters import SPACE, classes, first_bytes
from curator.text.segments import strip
from curator.text.words import STOP_WORD, Bytes, Offsets, Words, decode
from curator.text.xxh3 import U, xxh3

MARKS = np.zeros(256, np.uint8)  # what ends a line, for c4_v2
MARKS[list(b'.?!"')] = 1
HASH, STAR, HYPHEN, NEWLINE, ELLIPSIS = 0x23, 0x2A, 0x2D, 0x0A, 0x2026


class Gopher(NamedTuple):
    """For each document, int64[n_docs] but for the median, which is float64[n_docs]."""

    median_word_length: NDArray[np.float64]
    stop_words: Offsets
    symbol_words: Offsets
    lines: Offsets
    bullet_lines: Offsets
    ellipsis_lines: Offsets


@njit(nogil=True, cache=True)
def _gopher(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    doc_offsets: Offsets,
    lengths: NDArray[np.uint32],
    flags: Bytes,
    medians: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Fill `found` int64[5, n_docs], in the order of `Gopher`."""
    for d in range(len(offsets) - 1):
        first, behind = doc_offsets[d], doc_offsets[d + 1]
        stops = 0
        for w in range(first, behind):
            stops += flags[w] >= STOP_WORD
        medians[d] = np.median(lengths[first:behind]) if first < behind else 0.0
        at, stop = offsets[d], offsets[d + 1]
        symbols = bullets = endings = 0
        lines = 1 if at < stop else 0
        fresh, symbol = True, False  # at a line's start; in a word that holds a symbol
        before = np.int64(NEWLINE)
        while at < stop:
            c, width = decode(data, at)
            at += width
            if c == NEWLINE:
                lines += before != NEWLINE or at - width == offsets[d]
                endings += before == ELLIPSIS
                fresh = True
            elif fresh:
                bullets += c in (STAR, HYPHEN)
                fresh = False
            if table[c] & SPACE:
                symbol = False
            elif not symbol and (c in (HASH, ELLIPSIS)):
                symbols += 1
                symbol = True
            before = c
        endings += before == ELLIPSIS
        found[0, d], found[1, d], found[2, d] = stops, symbols, lines
        found[3, d], found[4, d] = bullets, endings


def gopher(data: Bytes, offsets: Offsets, words: Words) -> Gopher:
    """Count over all texts; `words` are theirs, between white space."""
    n_docs = len(offsets) - 1
    medians, found = np.empty(n_docs, np.float64), np.empty((5, n_docs), np.int64)
    _gopher(data, offsets, classes(), words.doc_offsets, words.lengths, words.flags, medians, found)
    return Gopher(medians, *found)


class C4(NamedTuple):
    """For each document what dolma's tagger c4_v2 counts, int64[n_docs] (`naughty_words`: of whole words only), the
    texts without the lines that it would cut, and the texts in lower case as far as English phrases need it.
    """

    lines: Offsets
    without_mark: Offsets
    few_words: Offsets
    naughty_words: Offsets
    javascript: Offsets
    lorem_ipsum: Offsets
    curly_braces: Offsets
    kept: tuple[Bytes, Offsets]
    lower: tuple[Bytes, Offsets]


@njit(nogil=True, cache=True)
def _c4(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    spaces: Bytes,
    anchors: Bytes,
    naughty: NDArray[np.uint64],
    shapes: NDArray[np.int64],
    out: Bytes,
    out_offsets: Offsets,
    low: Bytes,
    low_offsets: Offsets,
    found: NDArray[np.int64],
) -> None:
    """Fill `found` int64[7, n_docs], in the order of `C4`."""
    end, low_end = 0, 0
    for d in range(len(offsets) - 1):
        out_offsets[d], low_offsets[d] = end, low_end
        for row in range(7):
            found[row, d] = 0
        at, text_stop = offsets[d], offsets[d + 1]
        size = lower(data, at, text_stop, low[low_end:])
        lorem, javascript, _ = phrases(low[low_end : low_end + size], size, anchors)
        found[4, d], found[5, d] = javascript, lorem
        low_end += size
        kept = 0
        while at <= text_stop:
            start = at
            while at < text_stop and data[at] != NEWLINE:
                found[6, d] += data[at] == BRACE
                at += 1
            stop = at
            at += 1
            first, last = strip(data, start, stop, table)
            marked = first < last and MARKS[data[last - 1]]
            words, place = 0, first
            while place < last:
                while place < last and spaces[data[place]] and table[decode(data, place)[0]] & SPACE:
                    place += decode(data, place)[1]
                begin = place
                while place < last and not (spaces[data[place]] and table[decode(data, place)[0]] & SPACE):
                    place += 1
                words += place > begin
            found[0, d] += 1
            found[1, d] += not marked
            found[2, d] += words < 3
            if marked and words >= 3:
                if kept:
                    out[end] = NEWLINE
                    end += 1
                for i in range(start, stop):
                    out[end] = data[i]
                    end += 1
                kept += 1
        place, text_stop = low_offsets[d], low_end
        while place < text_stop:
            begin = place
            while place < text_stop and not (spaces[low[place]] and table[decode(low, place)[0]] & SPACE):
                place += 1
            length = place - begin
            if 1 < length < 32 and shapes[low[begin], low[begin + 1]] >> length & 1:
                h = xxh3(low, U(begin), U(length))
                where = np.searchsorted(naughty, h)
                found[3, d] += where < len(naughty) and naughty[where] == h
            if place < text_stop:
                place += decode(low, place)[1]
    out_offsets[len(offsets) - 1], low_offsets[len(offsets) - 1] = end, low_end


@cache
def _naughty(words: tuple[str, ...]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The words' xxh3_64 hashes, sorted, and by their first two bytes a bit for each length, int64[256, 256]: no
    other word need be hashed.
    """
    encoded = [word.encode() for word in words]
    assert all(1 < len(word) < 32 for word in encoded), "words of 2 to 31 bytes"
    shapes = np.zeros((256, 256), np.int64)
    for word in encoded:
        shapes[word[0], word[1]] |= 1 << len(word)
    return np.array(sorted(map(xxhash.xxh3_64_intdigest, encoded)), np.uint64), shapes


def c4(data: Bytes, offsets: Offsets, naughty: tuple[str, ...]) -> C4:
    """Count over all texts; `naughty` are words in lower case, of 2 to 31 bytes."""
    n_docs, n_bytes = len(offsets) - 1, int(offsets[-1] - offsets[0])
    out, low = np.empty(n_bytes + 1, np.uint8), np.empty(n_bytes + 1, np.uint8)
    out_offsets, low_offsets = np.empty(n_docs + 1, np.int64), np.empty(n_docs + 1, np.int64)
    found = np.empty((7, n_docs), np.int64)
    _c4(
        data,
        offsets,
        classes(),
        first_bytes(SPACE),
        ANCHORS,
        *_naughty(naughty),
        out,
        out_offsets,
        low,
        low_offsets,
        found,
    )
    for array in (out, out_offsets, low, low_offsets):
        array.setflags(write=False)  # numba compiles once for read-only arrays, which Arrow's are
    counts = (found[0], found[1], found[2], found[3], found[4], found[5], found[6])
    return C4(*counts, (out, out_offsets), (low, low_offsets))
