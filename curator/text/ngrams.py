"""Where n-grams of words of some texts stand in others: the items of a benchmark in the documents of a corpus.

Algorithm: what is looked up at each word of a document is the hash of the `shortest` words from there on, which
rolls: one multiplication for the word that comes in and one for the one that goes out. A bit set of 16 to 32
bits an n-gram says for most that no n-gram begins so; the others are searched for in the sorted hashes, and what
is found is compared word by word, so only two words of the same 64-bit hash could be taken for each other.
One length is looked up whatever the lengths of the n-grams, so texts shorter than an n-gram cost nothing more.

Cost: linear in the words of the documents, 430 MB/s of text on one core, given words, against 1.3 million n-grams
(a bit set of 4 MiB, 30 MB in all). Rejected: a set of hashes for each length (six look-ups a word for 8 to 13),
and a Bloom filter alone, as dolma and marin have, which cannot say which text an n-gram is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.repetition import BASE, SPREAD
from curator.text.words import Offsets, Words
from curator.text.xxh3 import U

Hashes = NDArray[np.uint64]

#: an n-gram of fewer different words is no text: rows of numbers (each of which is the word 0), filled-in lines
MIN_DISTINCT = 3
_BITS_A_GRAM = 16


class Found(NamedTuple):
    """N-grams in documents, by document, then place: `document`, `gram`, and `at`, the word of the document that
    it begins with, counted from the document's first; int64[n] each.
    """

    document: Offsets
    gram: Offsets
    at: Offsets


@dataclass(frozen=True)
class Ngrams:
    """The distinct n-grams of some texts, sorted by the hash of the words that each begins with.

    `text` int64[n_grams] is the text that an n-gram is of, `start` int64[n_grams] its first word in `words` (the
    hashes of all texts' words), `size` int64[n_grams] its words; `keys` uint64[n_grams] the sorted hashes of the
    first `shortest` of them. `totals` int64[n_texts]: the n-grams of each text.
    """

    words: Hashes
    text: Offsets
    start: Offsets
    size: Offsets
    keys: Hashes
    totals: Offsets
    shortest: int
    bits: Hashes
    shift: np.uint64

    @classmethod
    def of(cls, words: Words, ngram: int, shortest: int, max_texts: int | None = None) -> Ngrams:
        """The n-grams of `ngram` words; a text shorter than that, but not than `shortest`, is one itself.

        Each counts once in its text. Left out are those of fewer than MIN_DISTINCT different words, and those
        that stand in more than `max_texts` of the texts.
        """
        counts = words.counts
        size = np.minimum(counts, ngram)
        n_grams = np.where(counts >= shortest, counts - size + 1, 0)
        text = np.repeat(np.arange(len(counts)), n_grams)
        start = (
            words.doc_offsets[text] + np.arange(len(text)) - np.repeat(np.cumsum(n_grams) - n_grams, n_grams)
        )
        whole, keys, distinct = _describe(words.hashes, start, size[text], shortest)
        chosen = np.flatnonzero(distinct >= MIN_DISTINCT)
        order = chosen[np.lexsort((start[chosen], text[chosen], whole[chosen]))]
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(whole[order].view(np.int64)) != 0) | (np.diff(text[order]) != 0)
        order = order[first]
        if max_texts is not None:
            _, which, texts = np.unique(whole[order], return_inverse=True, return_counts=True)
            order = order[texts[which] <= max_texts]
        order = order[np.argsort(keys[order], kind="stable")]
        k = max(10, int(_BITS_A_GRAM * len(order)).bit_length())
        bits, shift = np.zeros(1 << (k - 6), np.uint64), U(64 - k)
        _set_bits(bits, shift, keys[order])
        return cls(
            words.hashes,
            text[order],
            start[order],
            size[text[order]],
            keys[order],
            np.bincount(text[order], minlength=len(counts)),
            shortest,
            bits,
            shift,
        )

    def find(self, words: Words) -> Found:
        """Where these n-grams stand in other texts."""
        index = (self.words, self.start, self.size, self.keys, self.shortest, self.bits, self.shift)
        counts = np.zeros(len(words.doc_offsets) - 1, np.int64)
        nothing = np.empty((3, 0), np.int64)
        _find(*index, words.doc_offsets, words.hashes, counts, nothing)
        found = np.empty((3, int(counts.sum())), np.int64)
        if found.size:
            _find(*index, words.doc_offsets, words.hashes, counts, found)
        return Found(*found)


@njit(nogil=True, cache=True)
def _describe(
    words: Hashes, start: Offsets, size: Offsets, shortest: int
) -> tuple[Hashes, Hashes, NDArray[np.int64]]:
    """Of each n-gram the hash of all its words, that of the first `shortest`, and its different words."""
    whole, keys = np.empty(len(start), np.uint64), np.empty(len(start), np.uint64)
    distinct = np.zeros(len(start), np.int64)
    for g in range(len(start)):
        first, h = start[g], U(0)
        for w in range(first, first + size[g]):
            if w == first + shortest:
                keys[g] = h
            h = h * BASE + words[w]
            seen = False
            for before in range(first, w):
                seen |= words[before] == words[w]
            distinct[g] += not seen
        if size[g] == shortest:
            keys[g] = h
        whole[g] = h ^ U(size[g])
    return whole, keys, distinct


@njit(nogil=True, cache=True)
def _set_bits(bits: Hashes, shift: np.uint64, keys: Hashes) -> None:
    for key in keys:
        bit = key * SPREAD >> shift
        bits[bit >> U(6)] |= U(1) << (bit & U(63))


@njit(nogil=True, cache=True)
def _first_not_below(keys: Hashes, key: np.uint64) -> int:
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _find(
    words: Hashes,
    start: Offsets,
    size: Offsets,
    keys: Hashes,
    shortest: int,
    bits: Hashes,
    shift: np.uint64,
    doc_offsets: Offsets,
    hashes: Hashes,
    counts: Offsets,
    found: NDArray[np.int64],
) -> None:
    """Count the n-grams in each document; where `found` int64[3, n] has room, write them, and read only those
    documents that were counted to have some.
    """
    writes, n = found.shape[1] > 0, 0
    out = U(1)
    for _ in range(shortest):
        out *= BASE
    for d in range(len(counts)):
        first, stop = doc_offsets[d], doc_offsets[d + 1]
        if writes and not counts[d]:
            continue
        h = U(0)
        for i in range(first, stop):
            h = h * BASE + hashes[i]
            at = i - shortest + 1
            if at < first:
                continue
            if at > first:
                h -= hashes[at - 1] * out
            bit = h * SPREAD >> shift
            if not bits[bit >> U(6)] >> (bit & U(63)) & U(1):
                continue
            g = _first_not_below(keys, h)
            while g < len(keys) and keys[g] == h:
                same = at + size[g] <= stop
                w = 0
                while same and w < size[g]:
                    same = words[start[g] + w] == hashes[at + w]
                    w += 1
                if same and writes:
                    found[0, n], found[1, n], found[2, n] = d, g, at - first
                    n += 1
                elif same:
                    counts[d] += 1
                g += 1
