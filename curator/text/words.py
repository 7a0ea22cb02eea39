"""The words of many texts as flat arrays, found by one pass over UTF-8 bytes.

Algorithm: decode, look the character's class up, and end a word at white space (or, for `marks_apart`, also
wherever two neighbours are not both word characters, or, for `letters_apart`, belong to a script without
spaces between words); hash the word's bytes. Linear, 130-200 MB/s a core.
Rejected: str.split (66 MB/s, and a Python object a word), and Arrow's or Polars' splitting (strings again,
then a pass for each measure).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import xxhash
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import ALPHA, NON_SYMBOL, SPACE, UNSPACED, WORD, classes
from curator.text.xxh3 import xxh3

#: the stop words of the Gopher rules; a word's flags hold its place in this list, from 1, times STOP_WORD
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
STOP_WORD = 16
FLAGS = NON_SYMBOL | ALPHA

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Words:
    """Words of all documents in order; those of document d are `[doc_offsets[d]:doc_offsets[d + 1]]`.

    `doc_offsets` int64[n_docs + 1]; `hashes` uint64[n_words], xxh3_64 of the word's UTF-8; `lengths`
    uint32[n_words], code points; `flags` uint8[n_words]: bit NON_SYMBOL (has a character outside datatrove's
    PUNCTUATION_SET), bit ALPHA (has a letter), and in the upper four bits 1 + its place in STOP_WORDS, or 0.
    """

    doc_offsets: Offsets
    hashes: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    flags: Bytes

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def counts(self) -> Offsets:
        """Words in each document, int64[n_docs]."""
        return np.diff(self.doc_offsets)


def buffers(texts: pa.LargeStringArray) -> tuple[Bytes, Offsets]:
    """The UTF-8 bytes of all texts and int64[n + 1] offsets into them; no copy. A null is an empty text."""
    if texts.null_count:
        texts = texts.fill_null("")
    _, offsets, data = texts.buffers()
    found = np.frombuffer(offsets, np.int64) if offsets and offsets.size else np.zeros(1, np.int64)
    found = found[texts.offset : texts.offset + len(texts) + 1]
    found.setflags(write=False)
    return np.frombuffer(data if data and data.size else b"\0", np.uint8), found


@cache
def stop_hashes() -> NDArray[np.uint64]:
    """xxh3_64 of each of STOP_WORDS, uint64[8]."""
    return np.array([xxhash.xxh3_64_intdigest(word.encode()) for word in STOP_WORDS], np.uint64)


@njit(nogil=True, cache=True)
def decode(data: Bytes, at: int) -> tuple[np.int64, int]:
    """The code point at `at` (valid UTF-8) and its length in bytes."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, 1
    second = np.int64(data[at + 1]) & 0x3F
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | second, 2
    third = np.int64(data[at + 2]) & 0x3F
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | second << 6 | third, 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | np.int64(data[at + 3]) & 0x3F, 4


@njit(nogil=True, cache=True)
def _split(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    stops: NDArray[np.uint64],
    marks_apart: bool,
    alone: int,
    doc_offsets: Offsets,
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.uint32],
    flags: Bytes,
) -> int:
    """Fill the arrays of `Words`; returns the number of words."""
    n = 0
    for d in range(len(offsets) - 1):
        doc_offsets[d] = n
        at, stop = offsets[d], offsets[d + 1]
        start, characters, seen, before = at, 0, 0, 0
        while at <= stop:
            if at < stop:
                c, width = decode(data, at)
                kind = table[c]
            else:
                kind, width = np.uint8(SPACE), 1
            if characters and (
                kind & SPACE or (marks_apart and (not kind & before & WORD or (kind | before) & alone))
            ):
                size = at - start
                h = xxh3(data, np.uint64(start), np.uint64(size))
                stop_word = 0
                if size <= 4:
                    for s in range(len(stops)):
                        if stops[s] == h:
                            stop_word = s + 1
                hashes[n] = h
                lengths[n] = characters
                flags[n] = (seen & FLAGS) | stop_word * STOP_WORD
                n += 1
                start, characters, seen = at, 0, 0
            at += width
            before = kind
            if kind & SPACE:
                start = at
            else:
                characters += 1
                seen |= kind
    doc_offsets[len(offsets) - 1] = n
    return n


def split(data: Bytes, offsets: Offsets, *, marks_apart: bool = False, letters_apart: bool = False) -> Words:
    """The words between white space; `marks_apart`: runs of word characters, any other character alone;
    `letters_apart`: so is a letter of a script that is written without spaces.
    """
    n_bytes = int(offsets[-1] - offsets[0])
    most = n_bytes if marks_apart else (n_bytes + len(offsets)) // 2 + 1  # only what is written takes memory
    doc_offsets = np.empty(len(offsets), np.int64)
    hashes, lengths, flags = np.empty(most, np.uint64), np.empty(most, np.uint32), np.empty(most, np.uint8)
    n = _split(
        data,
        offsets,
        classes(),
        stop_hashes(),
        marks_apart,
        UNSPACED * letters_apart,
        doc_offsets,
        hashes,
        lengths,
        flags,
    )
    return Words(doc_offsets, hashes[:n], lengths[:n], flags[:n])


Splitter = Callable[[pa.LargeStringArray], Words]
