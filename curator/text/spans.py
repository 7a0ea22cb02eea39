"""Spans of texts: the lines or paragraphs with hashes of 128 bits, and texts with some spans cut out.

Linear; hashing 500 MB/s and cutting 2 GB/s a core. The second hash is a polynomial over words of 8 bytes,
independent of the first (xxh3), so that lines can be compared over a corpus without the texts at hand.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import classes
from curator.text.normal import normalized_words
from curator.text.passages import Found, Hashes
from curator.text.segments import NEWLINE, Segments, segments, strip
from curator.text.table import second_hash
from curator.text.words import Bytes, Offsets
from curator.text.xxh3 import U, xxh3


@njit(nogil=True, cache=True)
def _hash_bytes(
    data: Bytes, starts: Offsets, stops: Offsets, table: Bytes, keys: Hashes, checks: Hashes
) -> None:
    for s in range(len(starts)):
        start, stop = strip(data, starts[s], stops[s], table)
        keys[s] = xxh3(data, U(start), U(stop - start))
        checks[s] = second_hash(data, U(start), U(stop - start))


@njit(nogil=True, cache=True)
def _hash_words(word_offsets: Offsets, words: Hashes, keys: Hashes, checks: Hashes) -> None:
    for s in range(len(word_offsets) - 1):
        key = check = U(word_offsets[s + 1] - word_offsets[s])
        for w in range(word_offsets[s], word_offsets[s + 1]):
            key = (key ^ words[w]) * U(0x9E3779B97F4A7C15)
            key ^= key >> U(32)
            check = check * U(0xD6E8FEB86659FD93) + words[w]
        keys[s], checks[s] = key, check


@njit(nogil=True, cache=True)
def _begin_paragraphs(
    data: Bytes, doc_offsets: Offsets, starts: Offsets, stops: Offsets, begins: NDArray[np.bool_]
) -> None:
    """A line that is not blank goes on a paragraph unless a blank one (two newlines) stands before it."""
    for d in range(len(doc_offsets) - 1):
        for s in range(doc_offsets[d] + 1, doc_offsets[d + 1]):
            newlines = 0
            for i in range(stops[s - 1], starts[s]):
                newlines += data[i] == NEWLINE
            begins[s] = newlines > 1


def line_spans(
    data: Bytes, offsets: Offsets, *, paragraphs: bool, normalized: bool, min_characters: int
) -> Found:
    """The lines (between newlines) or paragraphs (between blank lines) that are not blank.

    A span reaches to the beginning of the next one, so that it can be cut out. The hashes are of the line
    without white space around it, or, `normalized`, of its words as `curator.text.normal` has them. Lines of
    fewer than `min_characters` code points, and such without a word when `normalized`, are left out.
    """
    found = segments(data, offsets, newlines=1, stripped=False, blank=False)
    if paragraphs:
        begins = np.ones(len(found.starts), np.bool_)
        _begin_paragraphs(data, found.doc_offsets, found.starts, found.stops, begins)
        heads = np.flatnonzero(begins)
        found = Segments(
            np.append(0, np.cumsum(begins))[found.doc_offsets],
            found.starts[heads],
            np.append(found.stops, 0)[np.append(heads[1:], len(begins)) - 1],
            np.add.reduceat(found.characters, heads) if len(heads) else found.characters,
        )
    docs = np.repeat(np.arange(len(offsets) - 1), np.diff(found.doc_offsets))
    stops = np.empty(len(found.starts), np.int64)
    stops[:-1] = found.starts[1:]
    last = found.doc_offsets[1:][np.diff(found.doc_offsets) > 0] - 1
    stops[last] = offsets[1:][np.diff(found.doc_offsets) > 0]
    keys, checks = np.empty((2, len(stops)), np.uint64)
    kept = found.characters >= min_characters
    if normalized:
        # what lies between a line and the next one is white space
        bounds = np.append(found.starts, offsets[-1])
        lines = _strings(bounds, data)
        words = normalized_words(lines)
        _hash_words(words.doc_offsets, words.hashes, keys, checks)
        kept &= np.diff(words.doc_offsets) > 0
    else:
        _hash_bytes(data, found.starts, found.stops, classes(), keys, checks)
    chosen = np.flatnonzero(kept)
    base = offsets[docs[chosen]]
    return Found(
        np.append(0, np.cumsum(kept))[found.doc_offsets],
        (found.starts[chosen] - base).astype(np.uint32),
        (stops[chosen] - base).astype(np.uint32),
        keys[chosen],
        checks[chosen],
    )


@njit(nogil=True, cache=True)
def _copy_spans(
    data: Bytes,
    offsets: Offsets,
    span_offsets: Offsets,
    starts: NDArray[np.uint32],
    stops: NDArray[np.uint32],
    out: Bytes,
    out_offsets: Offsets,
) -> None:
    end = np.int64(0)
    out_offsets[0] = 0
    for d in range(len(offsets) - 1):
        for s in range(span_offsets[d], span_offsets[d + 1]):
            size = np.int64(stops[s]) - np.int64(starts[s])
            at = offsets[d] + np.int64(starts[s])
            for i in range(size):
                out[end + i] = data[at + i]
            end += size
            out_offsets[s + 1] = end


def _copied(
    data: Bytes,
    offsets: Offsets,
    span_offsets: Offsets,
    starts: NDArray[np.uint32],
    stops: NDArray[np.uint32],
) -> tuple[Bytes, Offsets]:
    """The spans' bytes, one after the other, and int64[n_spans + 1] where each begins."""
    size = int(stops.astype(np.int64).sum() - starts.astype(np.int64).sum())
    out, out_offsets = np.empty(size, np.uint8), np.empty(len(starts) + 1, np.int64)
    _copy_spans(data, offsets, span_offsets, starts, stops, out, out_offsets)
    return out, out_offsets


def cut(
    data: Bytes,
    offsets: Offsets,
    span_offsets: Offsets,
    starts: NDArray[np.uint32],
    stops: NDArray[np.uint32],
) -> pa.LargeStringArray:
    """The texts without the spans (bytes from their beginnings, sorted, apart), which end between characters."""
    # what is left: from the beginning or a span's stop to the next one's start or the end
    left_offsets = span_offsets + np.arange(len(span_offsets))
    left_starts = np.insert(stops, span_offsets[:-1], 0)
    left_stops = np.insert(starts, span_offsets[1:], np.diff(offsets).astype(np.uint32))
    out, bounds = _copied(data, offsets, left_offsets, left_starts, left_stops)
    return _strings(bounds[left_offsets], out)


def texts_of(
    data: Bytes,
    offsets: Offsets,
    span_offsets: Offsets,
    starts: NDArray[np.uint32],
    stops: NDArray[np.uint32],
) -> pa.LargeListArray:
    """The spans' texts, a list for each document; null where it has none."""
    out, bounds = _copied(data, offsets, span_offsets, starts, stops)
    texts, none = _strings(bounds, out), np.diff(span_offsets) == 0
    return pa.LargeListArray.from_arrays(span_offsets, texts, mask=pa.array(none))


def _strings(offsets: Offsets, data: Bytes) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
