"""Sentences of lines, counted over words as spaCy's `sentencizer` does, or by marks alone.

Algorithm: one walk over a line's characters beside its words: a sentence ends with a word that is one of the
sentencizer's marks, and the next begins with the first word that is no punctuation. White space other than
one space is a token of spaCy's, and so it begins a sentence too. Linear, about 200 MB/s. Rejected: running
the sentencizer, which costs a `Doc` a line (0.5 MB/s).
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import SPACE, classes, terminal_marks
from curator.text.words import Bytes, Offsets, Words, decode

ENDS, PUNCTUATION, CLOSES = 1, 2, 4


@cache
def kinds(spacy: bool) -> NDArray[np.uint8]:
    """By code point, uint8[0x110000]: ENDS a sentence, is PUNCTUATION (category P), CLOSES a quotation."""
    table = np.zeros(len(classes()), np.uint8)
    for c in (*range(0x20000), *range(0xE0000, 0xE0200)):
        category = unicodedata.category(chr(c))
        if category.startswith("P"):
            table[c] |= PUNCTUATION
        if category in ("Pe", "Pf", "Pi") or chr(c) in "\"'":
            table[c] |= CLOSES
    marks = terminal_marks()
    if spacy:
        from spacy.pipeline import Sentencizer

        marks = "".join(Sentencizer.default_punct_chars)
    table[[ord(mark) for mark in marks]] |= ENDS
    table.setflags(write=False)
    return table


@njit(nogil=True, cache=True)
def _by_words(
    data: Bytes,
    start: int,
    stop: int,
    lengths: NDArray[np.uint32],
    word: int,
    table: Bytes,
    kinds: Bytes,
) -> tuple[int, int]:
    """Sentences of `data[start:stop]`, whose first word is number `word`; and the number behind its last."""
    n, seen, at = 1, False, start
    while at < stop:
        c, width = decode(data, at)
        if table[c] & SPACE:
            one_space = c == 0x20 and at > start
            at += width
            while at < stop:
                c, width = decode(data, at)
                if not table[c] & SPACE:
                    break
                one_space = False
                at += width
            if seen and not one_space:
                n += 1
                seen = False
            continue
        length = lengths[word]
        word += 1
        if length > 1 and not seen:  # neither ends a sentence nor begins one
            for _ in range(length):
                at += 1
                while at < stop and data[at] & 0xC0 == 0x80:
                    at += 1
            continue
        punctuation = True
        for _ in range(length):
            c, width = decode(data, at)
            punctuation &= (kinds[c] & PUNCTUATION) != 0
            at += width
        ends = length == 1 and (kinds[c] & ENDS) != 0
        if seen and not punctuation and not ends:
            n += 1
            seen = False
        elif ends:
            seen = True
    return n, word


@njit(nogil=True, cache=True)
def _by_marks(data: Bytes, start: int, stop: int, table: Bytes, kinds: Bytes) -> int:
    """Sentences of a line by marks alone: one ends where white space, or the line's end, is behind a mark and
    what closes a quotation; behind a mark that is not ASCII it always ends.
    """
    n, open_, ended = 0, False, False
    at = start
    while at < stop:
        c, width = decode(data, at)
        at += width
        if table[c] & SPACE:
            n += open_ and ended
            open_ = open_ and not ended
            ended = False
        elif kinds[c] & ENDS:
            open_, ended = True, True
            if c > 0x7F:
                n += 1
                open_, ended = False, False
        elif not kinds[c] & CLOSES:
            open_, ended = True, False
    return max(n + open_, 1)


@njit(nogil=True, cache=True)
def _sentences(
    data: Bytes,
    kept_offsets: Offsets,
    kept: NDArray[np.int64],
    by_words: bool,
    word_offsets: Offsets,
    lengths: NDArray[np.uint32],
    cited_offsets: Offsets,
    cited_lengths: NDArray[np.uint32],
    table: Bytes,
    kinds: Bytes,
    found: NDArray[np.int64],
    ranges: NDArray[np.int64],
) -> None:
    n_cited = 0
    for d in range(len(kept_offsets) - 1):
        found[d] = 0
        word, passed = word_offsets[d] if by_words else 0, np.int64(0)
        for k in range(kept_offsets[d], kept_offsets[d + 1]):
            start, stop = kept[k, 0], kept[k, 1]
            if not by_words:
                found[d] += _by_marks(data, start, stop, table, kinds)
                continue
            if kept[k, 2]:
                first = cited_offsets[n_cited]
                n, last = _by_words(data, start, stop, cited_lengths, first, table, kinds)
                n_cited += 1
            else:
                while passed < kept[k, 3]:
                    passed += lengths[word]
                    word += 1
                first = word
                n, word = _by_words(data, start, stop, lengths, first, table, kinds)
                last = word
                for w in range(first, last):
                    passed += lengths[w]
            ranges[k, 0], ranges[k, 1] = first, last
            found[d] += n


@njit(nogil=True, cache=True)
def _gather(
    kept_offsets: Offsets,
    kept: NDArray[np.int64],
    ranges: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.uint32],
    flags: Bytes,
    cited_hashes: NDArray[np.uint64],
    cited_lengths: NDArray[np.uint32],
    cited_flags: Bytes,
    doc_offsets: Offsets,
    out_hashes: NDArray[np.uint64],
    out_lengths: NDArray[np.uint32],
    out_flags: Bytes,
) -> None:
    n = 0
    for d in range(len(kept_offsets) - 1):
        doc_offsets[d] = n
        for k in range(kept_offsets[d], kept_offsets[d + 1]):
            for w in range(ranges[k, 0], ranges[k, 1]):
                if kept[k, 2]:
                    out_hashes[n], out_lengths[n], out_flags[n] = (
                        cited_hashes[w],
                        cited_lengths[w],
                        cited_flags[w],
                    )
                else:
                    out_hashes[n], out_lengths[n], out_flags[n] = hashes[w], lengths[w], flags[w]
                n += 1
    doc_offsets[len(kept_offsets) - 1] = n


def by_words(
    data: Bytes, kept_offsets: Offsets, kept: NDArray[np.int64], words: Words, cited: Words
) -> tuple[NDArray[np.int64], Words]:
    """Sentences of each document's kept lines, int64[n_docs], and the words of the lines joined.

    `kept` is as in `curator.text.c4.Lines`; `words` are those of the whole texts, `cited` those of the lines
    with citations cut out, one "document" each.
    """
    found, ranges = np.empty(len(kept_offsets) - 1, np.int64), np.zeros((len(kept), 2), np.int64)
    _sentences(
        data,
        kept_offsets,
        kept,
        True,
        words.doc_offsets,
        words.lengths,
        cited.doc_offsets,
        cited.lengths,
        classes(),
        kinds(True),
        found,
        ranges,
    )
    n_words = int((ranges[:, 1] - ranges[:, 0]).sum())
    gathered = Words(
        np.empty(len(kept_offsets), np.int64),
        np.empty(n_words, np.uint64),
        np.empty(n_words, np.uint32),
        np.empty(n_words, np.uint8),
    )
    _gather(
        kept_offsets,
        kept,
        ranges,
        words.hashes,
        words.lengths,
        words.flags,
        cited.hashes,
        cited.lengths,
        cited.flags,
        gathered.doc_offsets,
        gathered.hashes,
        gathered.lengths,
        gathered.flags,
    )
    return found, gathered


def by_marks(data: Bytes, kept_offsets: Offsets, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sentences of each document's kept lines by their marks alone, int64[n_docs]."""
    none, no_lengths = np.zeros(1, np.int64), np.zeros(0, np.uint32)
    found, ranges = np.empty(len(kept_offsets) - 1, np.int64), np.zeros((0, 2), np.int64)
    _sentences(
        data,
        kept_offsets,
        kept,
        False,
        none,
        no_lengths,
        none,
        no_lengths,
        classes(),
        kinds(False),
        found,
        ranges,
    )
    return found
