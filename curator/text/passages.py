"""Passages of a fixed number of units (words or characters): their hashes, and where to look for equal ones.

Two passages of `n` units are equal if they have the same rolling hashes (two polynomials, 128 bits). Keeping
those of every passage would take 16 bytes a unit, so a first look finds *anchors*: of the hashes of
k = (n + 1) / 2 units within a passage, the smallest, of equal ones the last (winnowing: Schleimer, Wilkerson,
Aiken 2003). Equal passages have equal anchors at equal places, so only passages whose anchor occurs elsewhere
can have a twin, and only their hashes are made, at a second look. About four anchors for every `n` units.

Linear: the smallest of a sliding window by two stacks' worth of prefix and suffix minima, no queue; 60-100 MB/s
of text for words. Rejected: a suffix array of the corpus, which takes 5 bytes and more of memory for each byte
of text, or a merge on disk; here memory is a batch's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import SPACE, classes
from curator.text.words import Bytes, Offsets, decode
from curator.text.xxh3 import U, xxh3

ANCHOR, KEY, CHECK = U(0x9E3779B97F4A7C15), U(0xD6E8FEB86659FD93), U(0xC2B2AE3D27D4EB4F)
Hashes = NDArray[np.uint64]


class Units(NamedTuple):
    """Words or characters of all documents; those of document d are `[doc_offsets[d]:doc_offsets[d + 1]]`.

    `starts`, `stops`: int64, bytes from the beginning of the document; `values`: uint64, equal for equal units.
    """

    doc_offsets: Offsets
    starts: Offsets
    stops: Offsets
    values: Hashes


class Passages(NamedTuple):
    """Every passage of n units, in order, as `Units`; `anchors`: int64, the unit in all where its anchor starts."""

    doc_offsets: Offsets
    anchors: Offsets


@njit(nogil=True, cache=True)
def _words(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    found: Offsets,
    starts: Offsets,
    stops: Offsets,
    values: Hashes,
) -> int:
    n = 0
    for d in range(len(offsets) - 1):
        found[d] = n
        base, at, stop = offsets[d], offsets[d], offsets[d + 1]
        start = at
        while at <= stop:
            c, width = decode(data, at) if at < stop else (np.int64(0x20), 1)
            if table[c] & SPACE:
                if at > start:
                    starts[n], stops[n] = start - base, at - base
                    values[n] = xxh3(data, U(start), U(at - start))
                    n += 1
                start = at + width
            at += width
    found[len(offsets) - 1] = n
    return n


@njit(nogil=True, cache=True)
def _of_character(c: np.int64) -> np.uint64:
    h = (U(c) + U(1)) * CHECK
    return h ^ h >> U(29)


@njit(nogil=True, cache=True)
def _characters(
    data: Bytes, offsets: Offsets, found: Offsets, starts: Offsets, stops: Offsets, values: Hashes
) -> int:
    n = 0
    for d in range(len(offsets) - 1):
        found[d] = n
        base, at, stop = offsets[d], offsets[d], offsets[d + 1]
        while at < stop:
            c, width = decode(data, at)
            starts[n], stops[n] = at - base, at + width - base
            values[n] = _of_character(c)
            n += 1
            at += width
    found[len(offsets) - 1] = n
    return n


def units(data: Bytes, offsets: Offsets, unit: str) -> Units:
    """The words (what stands between white space) or characters of all texts (UTF-8, int64[n + 1] offsets)."""
    n_bytes = int(offsets[-1] - offsets[0])
    most = n_bytes if unit == "characters" else (n_bytes + len(offsets)) // 2 + 1
    found = np.empty(len(offsets), np.int64)
    starts, stops, values = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.uint64)
    if unit == "characters":
        n = _characters(data, offsets, found, starts, stops, values)
    else:
        n = _words(data, offsets, classes(), found, starts, stops, values)
    return Units(found, starts[:n], stops[:n], values[:n])


@njit(nogil=True, cache=True)
def _rolling(values: Hashes, start: int, stop: int, n: int, base: np.uint64, out: Hashes, at: int) -> None:
    """out[at + i] = the polynomial hash of values[start + i : start + i + n]."""
    top = U(1)
    for _ in range(n):
        top *= base
    h = U(0)
    for i in range(start, stop):
        h = h * base + values[i]
        if i - start >= n:
            h -= values[i - n] * top
        if i - start >= n - 1:
            out[at + i - start - n + 1] = h


@njit(nogil=True, cache=True)
def _spread(h: np.uint64) -> np.uint64:
    h = (h ^ h >> U(32)) * KEY
    return h ^ h >> U(32)


@njit(nogil=True, cache=True)
def _passages(
    doc_offsets: Offsets, values: Hashes, n: int, k: int, found: Offsets, anchors: Offsets, hashes: Hashes
) -> int:
    """Fill `anchors`, and `hashes` with that of the k units that start at each unit. The sliding minimum runs in
    blocks of w: the smallest of any w in a row is that of a block's end and of the next one's beginning.
    """
    w = n - k + 1
    count = 0
    longest = 0
    for d in range(len(doc_offsets) - 1):
        longest = max(longest, doc_offsets[d + 1] - doc_offsets[d])
    tail = np.empty(longest + 1, np.int64)
    for d in range(len(doc_offsets) - 1):
        found[d] = count
        first, stop = doc_offsets[d], doc_offsets[d + 1]
        if stop - first < n:
            continue
        grams = stop - first - k + 1
        _rolling(values, first, stop, k, ANCHOR, hashes, first)
        for i in range(first, first + grams):
            hashes[i] = _spread(hashes[i])
        for i in range(grams - 1, -1, -1):  # tail[i]: the smallest from i to the end of its block
            if i == grams - 1 or (i + 1) % w == 0 or hashes[first + i] < hashes[first + tail[i + 1]]:
                tail[i] = i
            else:
                tail[i] = tail[i + 1]
        head = 0
        for last in range(grams):  # head: the smallest from the beginning of the block to `last`
            if last % w == 0 or hashes[first + last] <= hashes[first + head]:
                head = last
            if last >= w - 1:
                left = tail[last - w + 1]
                anchors[count] = first + (left if hashes[first + left] < hashes[first + head] else head)
                count += 1
    found[len(doc_offsets) - 1] = count
    return count


def passages(units: Units, n: int) -> tuple[Passages, Hashes]:
    """Every passage of `n` units, and the hash of the anchor that may start at each unit (uint64[n_units])."""
    found = np.empty(len(units.doc_offsets), np.int64)
    anchors, hashes = np.empty(len(units.values), np.int64), np.empty(len(units.values), np.uint64)
    count = _passages(units.doc_offsets, units.values, n, (n + 1) // 2, found, anchors, hashes)
    return Passages(found, anchors[:count]), hashes


class Found(NamedTuple):
    """Some passages or anchors; those of document d are `[doc_offsets[d]:doc_offsets[d + 1]]`.

    `starts`, `stops`: uint32, bytes from the beginning of the document; `keys`, `checks`: uint64.
    """

    doc_offsets: Offsets
    starts: NDArray[np.uint32]
    stops: NDArray[np.uint32]
    keys: Hashes
    checks: Hashes


@njit(nogil=True, cache=True)
def _distinct(doc_offsets: Offsets, anchors: Offsets, found: Offsets, chosen: Offsets) -> int:
    """The anchors in order, each once: neighbours share them, so equal ones stand side by side."""
    n = 0
    for d in range(len(doc_offsets) - 1):
        found[d] = n
        for i in range(doc_offsets[d], doc_offsets[d + 1]):
            if i == doc_offsets[d] or anchors[i] != anchors[i - 1]:
                chosen[n] = anchors[i]
                n += 1
    found[len(doc_offsets) - 1] = n
    return n


def anchors(units: Units, n: int) -> Found:
    """The anchors of all passages of `n` units; `checks` are 0, `stops` the ends of their first units."""
    every, hashes = passages(units, n)
    found, chosen = np.empty(len(every.doc_offsets), np.int64), np.empty(len(every.anchors), np.int64)
    count = _distinct(every.doc_offsets, every.anchors, found, chosen)
    chosen = chosen[:count]
    starts, stops = units.starts[chosen].astype(np.uint32), units.stops[chosen].astype(np.uint32)
    return Found(found, starts, stops, hashes[chosen], np.zeros(count, np.uint64))


@njit(nogil=True, cache=True)
def _anchored(
    doc_offsets: Offsets,
    unit_starts: Offsets,
    anchors: Offsets,
    shared_offsets: Offsets,
    shared: NDArray[np.uint32],
    found: Offsets,
    chosen: Offsets,
) -> int:
    """The passages (place among those of all) whose anchors start at one of the document's shared places."""
    n = 0
    for d in range(len(doc_offsets) - 1):
        found[d] = n
        at, stop = shared_offsets[d], shared_offsets[d + 1]
        for i in range(doc_offsets[d], doc_offsets[d + 1]):
            start = unit_starts[anchors[i]]
            while at < stop and shared[at] < start:
                at += 1
            if at < stop and shared[at] == start:
                chosen[n] = i
                n += 1
    found[len(doc_offsets) - 1] = n
    return n


@njit(nogil=True, cache=True)
def _hash_passages(doc_offsets: Offsets, values: Hashes, n: int, base: np.uint64, out: Hashes) -> None:
    at = 0
    for d in range(len(doc_offsets) - 1):
        first, stop = doc_offsets[d], doc_offsets[d + 1]
        if stop - first >= n:
            _rolling(values, first, stop, n, base, out, at)
            at += stop - first - n + 1


def anchored(units: Units, n: int, shared_offsets: Offsets, shared: NDArray[np.uint32]) -> Found:
    """The passages of `n` units whose anchor starts at a byte in `shared` (sorted in each document)."""
    every, _ = passages(units, n)
    found, chosen = np.empty(len(every.doc_offsets), np.int64), np.empty(len(every.anchors), np.int64)
    count = _anchored(every.doc_offsets, units.starts, every.anchors, shared_offsets, shared, found, chosen)
    chosen = chosen[:count]
    hashes = np.empty((2, len(every.anchors)), np.uint64)
    for base, row in zip((KEY, CHECK), hashes, strict=True):
        _hash_passages(units.doc_offsets, units.values, n, base, row)
    # a document of m >= n units has m - n + 1 passages
    docs = np.repeat(np.arange(len(found) - 1), np.diff(found))
    first = chosen - every.doc_offsets[docs] + units.doc_offsets[docs]
    starts = units.starts[first].astype(np.uint32)
    stops = units.stops[first + n - 1].astype(np.uint32)
    return Found(found, starts, stops, hashes[0][chosen], hashes[1][chosen])
