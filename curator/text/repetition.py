"""How much of a text its repeated n-grams of words make up, as the repetition rules of Gopher ask.

An n-gram is known by a 64-bit hash that two prefix sums give in one multiplication: with
W[i] = sum of h[k] * B**k for k < i and N no less than any i, the words i to i + n have
(W[i + n] - W[i]) * B**(N - i). Where h are hashes of words, n-grams of the same words are equal; where h are
characters and i counts those that are no white space, n-grams of the same characters are equal wherever their
words end, which is how datatrove joins the n-grams of its duplicate rules.

Algorithm: the most frequent n-gram (n = 2, 3, 4) is counted in an open addressing table; a 3-gram is only
looked up where its first 2-gram occurs twice, and so on. For n = 5 to 10 a position is looked up only where
what it begins with occurs elsewhere: the first m characters, where m is the length of the document's shortest
5-gram. Both leave out nothing that could be found, and save most of the look-ups: 150 MB/s for all nine
lengths of n-gram, 65 without. Tables serve all documents and lengths; stamps tell entries apart, so nothing is
cleared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import SPACE, classes
from curator.text.words import Bytes, Offsets, Words, decode
from curator.text.xxh3 import U

TOP = (2, 3, 4)
DUPLICATED = (5, 6, 7, 8, 9, 10)
BASE = U(0x9E3779B97F4A7C15)
SPREAD = U(0xD6E8FEB86659FD93)

Hashes = NDArray[np.uint64]
Entries = NDArray[np.uint64]


class Repetition(NamedTuple):
    """For each document and n, in code points without white space between words.

    `top` int64[3, n_docs]: of the most frequent n-gram (of those equally frequent, the first), its characters
    times its count, and `top_count` int64[3, n_docs] the count, 0 where there are fewer than n words.
    `duplicated` int64[6, n_docs]: of n-grams that occurred before, counted as `Reading` says; `total`
    int64[6, n_docs] of all n-grams, overlapping as they do. `characters` int64[n_docs]: of the whole text, with
    white space.
    """

    top: NDArray[np.int64]
    top_count: NDArray[np.int64]
    duplicated: NDArray[np.int64]
    total: NDArray[np.int64]
    characters: NDArray[np.int64]


#: how duplicated n-grams are counted: a repeated n-gram is passed over whole, and what overlaps it is not
#: looked at (datatrove); every character once that lies in a repeated n-gram (paper); every n-gram that occurs
#: more than once, all copies, as often as its characters are in one (dolma)
SKIP, COVER, EVERY = 0, 1, 2


STAMP, HASH, COUNT = range(3)  # columns of the table, beside each other for the cache's sake


@njit(nogil=True, cache=True)
def _slot(entries: Entries, mask: np.uint64, stamp: np.uint64, h: np.uint64) -> np.int64:
    """Where `h` is under this stamp, or the free place where it belongs."""
    slot = ((h ^ h >> U(32)) * SPREAD >> U(20)) & mask
    while entries[slot, STAMP] == stamp and entries[slot, HASH] != h:
        slot = (slot + U(1)) & mask
    return np.int64(slot)


@njit(nogil=True, cache=True)
def _count(entries: Entries, mask: np.uint64, stamp: np.uint64, h: np.uint64) -> np.int64:
    """Count `h`; returns its place."""
    slot = _slot(entries, mask, stamp, h)
    if entries[slot, STAMP] != stamp:
        entries[slot, STAMP], entries[slot, HASH], entries[slot, COUNT] = stamp, h, U(0)
    entries[slot, COUNT] += U(1)
    return slot


@njit(nogil=True, cache=True)
def _powers(n: int) -> Hashes:
    """BASE**k for k < n, uint64[n]."""
    powers = np.empty(n, np.uint64)
    power = U(1)
    for k in range(n):
        powers[k] = power
        power *= BASE
    return powers


@njit(nogil=True, cache=True)
def _prefix_of_words(hashes: Hashes, first: int, n: int, powers: Hashes, prefix: Hashes) -> None:
    total = U(0)
    for i in range(n):
        prefix[i] = total
        total += hashes[first + i] * powers[i]
    prefix[n] = total


@njit(nogil=True, cache=True)
def _prefix_of_characters(
    data: Bytes, start: int, stop: int, table: Bytes, powers: Hashes, prefix: Hashes
) -> tuple[int, int]:
    """Prefix sums over the characters that are no white space; returns their number and that of all."""
    total = U(0)
    n = n_all = 0
    at = start
    while at < stop:
        c, width = decode(data, at)
        at += width
        n_all += 1
        counts = 1 - (table[c] & SPACE) // SPACE  # no branch, which would be mispredicted at every word
        prefix[n] = total
        x = U(c) + SPREAD
        total += x * x * powers[n] * U(counts)
        n += counts
    prefix[n] = total
    return n, n_all


@njit(nogil=True, cache=True)
def _tops(
    n_words: int,
    prefix: Hashes,
    powers: Hashes,
    ends: Offsets,
    entries: Entries,
    slots: Offsets,
    places: Offsets,
    mask: np.uint64,
    stamp: np.uint64,
    d: int,
    top: NDArray[np.int64],
    top_count: NDArray[np.int64],
) -> int:
    """The most frequent n-grams. Leaves in `places` where the first four words occur elsewhere; their number."""
    n_places, last = n_words, len(powers) - 1
    for i in range(n_words):
        places[i] = i
    for n in range(2, 5):
        stamp += U(1)
        n_here = 0
        for p in range(n_places):
            i = places[p]
            if i + n > n_words:
                break
            h = (prefix[i + n] - prefix[i]) * powers[last - i]
            slots[p] = _count(entries, mask, stamp, h)
            n_here += 1
        best, first = np.int64(1), np.int64(0)  # no n-gram twice: the text's first is the most frequent
        kept = 0
        for p in range(n_here):
            count = np.int64(entries[slots[p], COUNT])
            if count > 1:
                if count > best:  # the first of those equally frequent is met first
                    best, first = count, np.int64(places[p])
                places[kept] = places[p]
                kept += 1
        n_places = kept
        if n_words >= n:
            top[n - 2, d], top_count[n - 2, d] = best * (ends[first + n] - ends[first]), best
        else:
            top[n - 2, d] = top_count[n - 2, d] = 0
    return n_places


@njit(nogil=True, cache=True)
def _places_of_characters(
    n_words: int,
    prefix: Hashes,
    powers: Hashes,
    ends: Offsets,
    entries: Entries,
    slots: Offsets,
    places: Offsets,
    mask: np.uint64,
    stamp: np.uint64,
) -> int:
    """Leave in `places` the words from where as many characters as the shortest 5-gram has occur elsewhere too."""
    least, last = ends[n_words], len(powers) - 1
    for i in range(n_words - 4):
        least = min(least, ends[i + 5] - ends[i])
    n_here = 0
    for i in range(n_words - 4):
        at = ends[i]
        h = (prefix[at + least] - prefix[at]) * powers[last - at]
        slots[i] = _count(entries, mask, stamp, h)
        n_here += 1
    kept = 0
    for i in range(n_here):
        if entries[slots[i], COUNT] > 1:
            places[kept] = i
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _duplicated(
    n: int,
    n_words: int,
    by_character: bool,
    reading: int,
    prefix: Hashes,
    powers: Hashes,
    ends: Offsets,
    entries: Entries,
    places: Offsets,
    n_places: int,
    mask: np.uint64,
    stamp: np.uint64,
) -> int:
    """Characters of repeated n-grams; only `places` can be where one begins."""
    found, last = np.int64(0), len(powers) - 1
    beyond = 0  # SKIP: the first word that may be looked at; COVER: the first that is not counted yet
    for p in range(n_places):
        i = places[p]
        if i + n > n_words:
            break
        if reading == SKIP and i < beyond:
            continue
        a, b = (ends[i], ends[i + n]) if by_character else (i, i + n)
        h = (prefix[b] - prefix[a]) * powers[last - a]
        slot = _count(entries, mask, stamp, h)
        length = ends[i + n] - ends[i]
        if entries[slot, COUNT] == U(1):
            continue
        if reading == EVERY:
            found += 2 * length if entries[slot, COUNT] == U(2) else length
        elif reading == SKIP:
            found += length
            beyond = i + n
        else:
            found += ends[i + n] - ends[max(i, beyond)]
            beyond = i + n
    return int(found)


@njit(nogil=True, cache=True)
def _repetition(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    doc_offsets: Offsets,
    word_hashes: Hashes,
    lengths: NDArray[np.uint32],
    reading: int,
    powers: Hashes,
    prefix: Hashes,
    character_prefix: Hashes,
    ends: Offsets,
    entries: Entries,
    slots: Offsets,
    places: Offsets,
    top: NDArray[np.int64],
    top_count: NDArray[np.int64],
    duplicated: NDArray[np.int64],
    total: NDArray[np.int64],
    characters: NDArray[np.int64],
) -> None:
    stamp = U(0)
    for d in range(len(offsets) - 1):
        first = doc_offsets[d]
        n_words = doc_offsets[d + 1] - first
        size = 16
        while size < 2 * n_words:
            size *= 2
        mask = U(size - 1)
        ends[0] = 0
        for i in range(n_words):
            ends[i + 1] = ends[i] + lengths[first + i]
        _prefix_of_words(word_hashes, first, n_words, powers, prefix)
        n_places = _tops(
            n_words,
            prefix,
            powers,
            ends,
            entries,
            slots,
            places,
            mask,
            stamp,
            d,
            top,
            top_count,
        )
        stamp += U(3)
        by_character = False
        if reading == SKIP:
            n_characters, characters[d] = _prefix_of_characters(
                data, offsets[d], offsets[d + 1], table, powers, character_prefix
            )
            by_character = n_characters == ends[n_words]  # else the words are not those of this text
            if by_character:
                stamp += U(1)
                n_places = _places_of_characters(
                    n_words,
                    character_prefix,
                    powers,
                    ends,
                    entries,
                    slots,
                    places,
                    mask,
                    stamp,
                )
        else:
            n = 0
            for i in range(offsets[d], offsets[d + 1]):
                n += (data[i] & 0xC0) != 0x80
            characters[d] = n
        for n in range(5, 11):
            stamp += U(1)
            duplicated[n - 5, d] = _duplicated(
                n,
                n_words,
                by_character,
                reading,
                character_prefix if by_character else prefix,
                powers,
                ends,
                entries,
                places,
                n_places,
                mask,
                stamp,
            )
            whole = np.int64(0)
            if reading == EVERY:
                for i in range(n_words - n + 1):
                    whole += ends[i + n] - ends[i]
            total[n - 5, d] = whole


def repetition(data: Bytes, offsets: Offsets, words: Words, reading: int) -> Repetition:
    """Measure the n-grams of all texts; `words` are theirs."""
    n_docs = len(offsets) - 1
    most = int(words.counts.max(initial=0))
    size = 16 << most.bit_length()
    longest = int(np.diff(offsets).max(initial=0)) if reading == SKIP else 0
    found = Repetition(
        np.empty((3, n_docs), np.int64),
        np.empty((3, n_docs), np.int64),
        np.empty((6, n_docs), np.int64),
        np.empty((6, n_docs), np.int64),
        np.empty(n_docs, np.int64),
    )
    _repetition(
        data,
        offsets,
        classes(),
        words.doc_offsets,
        words.hashes,
        words.lengths,
        reading,
        _powers(max(most, longest) + 1),
        np.empty(most + 1, np.uint64),
        np.empty(longest + 1, np.uint64),
        np.empty(most + 1, np.int64),
        np.zeros((size, 4), np.uint64),
        np.empty(most + 1, np.int64),
        np.empty(most + 1, np.int64),
        *found,
    )
    return found
