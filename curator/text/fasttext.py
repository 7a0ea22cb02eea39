"""The best label of every text by a supervised fastText model: what fastText itself answers, from whole texts.

fastText reads a text as words between ASCII white space and NUL, and the end of the line as one more word. A
word stands for rows of the input matrix: its own where it is in the dictionary, and that of each of its
n-grams of characters, the word written as `<word>`. The mean of all rows, times the output matrix, gives the
labels' scores. All of that is done here, on the bytes of an Arrow buffer, in one pass.

Algorithm: the sum of a word's rows is kept in a direct-mapped table under two hashes of the word, so a common
word costs one look-up and one addition of `dim` numbers; a new one (a seventh of the words of the benchmark
corpus) costs 0.15 µs more and takes the place of whatever stood there. The table is of fixed size and never
read for what it should not hold: it changes how fast an answer comes, never the answer. Sums of a word are
rounded to float32 whether they were found or computed, and added in the text's order in float64; no
fastmath. So scores are equal for any batch, and within 3e-5 of fastText, which adds every row in float32.

Measured on lid.176.ftz and 251 MB of English web text, one core: 64-76 MB/s from the first batch on; the
fasttext package 10-14 MB/s. Rejected: fastText on the first 2000 characters (25-33 MB/s, but another decision
at a score of 0.65 for 0.40 % of the documents); no table (29 MB/s); a table of 2**20 words (no faster, and
88 MB instead of 6); the tables of `curator.text.table`, which split at Unicode's white space.

As in fastText, a word `</s>` ends the text and words that begin with `__label__` are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from curator.text.fasttext_file import HASH_BASE, Floats, Model, hash_on, read_model
from curator.text.words import Bytes, Offsets, buffers
from curator.text.xxh3 import U, xxh3

SPACE = np.isin(np.arange(256), list(b" \t\n\v\f\r\0"))
END = np.frombuffer(b"</s>", np.uint8)
LABEL = np.frombuffer(b"__label__", np.uint8)
SMOOTH = 1e-5  # fastText adds it to every probability before it takes the logarithm

Keys = NDArray[np.uint64]
Sums = NDArray[np.float64]


@njit(nogil=True, cache=True)
def _starts_with(word: Bytes, at: int, size: int, prefix: Bytes) -> bool:
    i = 0
    while i < len(prefix) and i < size and word[at + i] == prefix[i]:
        i += 1
    return i == len(prefix)


@njit(nogil=True, cache=True)
def _entry(word: Bytes, at: int, size: int, h: np.uint32, model: Model) -> int:
    """The word's number in the dictionary, or -1."""
    mask = np.uint32(len(model.slots) - 1)
    slot = h & mask
    while model.slots[slot] >= 0:
        e = model.slots[slot]
        start = model.ends[e]
        if model.ends[e + 1] - start == size:
            i = 0
            while i < size and model.names[start + i] == word[at + i]:
                i += 1
            if i == size:
                return int(e)
        slot = np.uint32((slot + np.uint32(1)) & mask)
    return -1


@njit(nogil=True, cache=True)
def _add(rows: Floats, row: int, total: Sums) -> None:
    for i in range(len(total)):
        total[i] += rows[row, i]


@njit(nogil=True, cache=True)
def _add_word(word: Bytes, size: int, h: np.uint32, model: Model, total: Sums) -> int:
    """Add the rows of the word `word[1:size + 1]` to `total`; returns how many there are."""
    entry, n = _entry(word, 1, size, h, model), 0
    if entry >= model.n_words or (entry < 0 and _starts_with(word, 1, size, LABEL)):
        return 0
    if entry >= 0:
        _add(model.rows, entry, total)
        n = 1
    stop, n_buckets = size + 2, np.uint32(len(model.buckets))
    word[0], word[size + 1], word[stop] = ord("<"), ord(">"), 0  # the 0 ends the last character
    for start in range(stop):
        if word[start] & 0xC0 == 0x80:
            continue
        g, at = HASH_BASE, start
        for length in range(1, model.max_n + 1):
            if at == stop:
                break
            g = hash_on(g, word[at])
            at += 1
            while word[at] & 0xC0 == 0x80:
                g = hash_on(g, word[at])
                at += 1
            if length >= model.min_n and not (length == 1 and (start == 0 or at == stop)):
                bucket = np.uint32(g % n_buckets)
                if model.kept[bucket >> 3] >> (bucket & 7) & 1:
                    _add(model.rows, model.buckets[bucket], total)
                    n += 1
    return n


@njit(nogil=True, cache=True)
def _read(data: Bytes, offsets: Offsets, model: Model, keys: Keys, sums: Floats, means: Sums) -> None:
    """Write each text's mean of rows; NaN where it has none.

    Slot s of the table knows the word with hash `keys[s, 0]`, and second hash and size `keys[s, 1]`: it has
    `keys[s, 2]` rows, whose sum is `sums[s]`.
    """
    longest = 0
    for d in range(len(offsets) - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    word, dim = np.empty(longest + 3, np.uint8), model.rows.shape[1]
    new, total = np.empty(dim, np.float64), np.empty(dim, np.float64)
    mask = U(len(keys) - 1)
    h = HASH_BASE
    for byte in END:
        h = hash_on(h, byte)
    end = _entry(END, 0, len(END), h, model)
    for d in range(len(offsets) - 1):
        total[:] = 0
        n, at, stop = np.int64(0), offsets[d], offsets[d + 1]
        while at < stop:
            while at < stop and SPACE[data[at]]:
                at += 1
            h, start = HASH_BASE, at
            while at < stop and not SPACE[data[at]]:
                h = hash_on(h, data[at])
                at += 1
            size = at - start
            if size == 0 or (size == len(END) and _starts_with(data, start, size, END)):
                break
            first, second = xxh3(data, U(start), U(size)), U(h) | U(size) << U(32)
            s = first & mask
            if keys[s, 0] != first or keys[s, 1] != second:
                for i in range(size):
                    word[i + 1] = data[start + i]
                for i in range(dim):
                    new[i] = 0
                keys[s, 2] = _add_word(word, size, h, model, new)
                for i in range(dim):
                    sums[s, i] = new[i]
                keys[s, 0], keys[s, 1] = first, second
            for i in range(dim):
                total[i] += sums[s, i]
            n += np.int64(keys[s, 2])
        if end >= 0:
            _add(model.rows, end, total)
            n += 1
        for i in range(dim):
            means[d, i] = total[i] / n if n else np.nan


@njit(nogil=True, cache=True)
def _dot(one: Sums, row: Floats) -> float:
    total = 0.0
    for i in range(len(one)):
        total += one[i] * row[i]
    return total


@njit(nogil=True, cache=True)
def _best(means: Sums, output: Floats, tree: NDArray[np.int32], labels: Offsets, scores: Sums) -> None:
    """Write each text's best label and its probability; -1 and 0 where the text has no rows."""
    n, n_inner = len(output), len(tree)
    p = np.ones(n + n_inner, np.float64)
    for d in range(len(means)):
        labels[d], scores[d] = -1, 0
        if np.isnan(means[d, 0]):
            continue
        if n_inner:
            for i in range(n_inner - 1, -1, -1):
                right = 1 / (1 + np.exp(-_dot(means[d], output[i])))
                p[tree[i, 0]] = p[n + i] * (1 - right + SMOOTH)
                p[tree[i, 1]] = p[n + i] * (right + SMOOTH)
        else:
            for i in range(n):
                p[i] = _dot(means[d], output[i])
            p[:] = np.exp(p - p.max())
            p[:] = p / p.sum() + SMOOTH
        for i in range(n):
            if p[i] > scores[d]:
                labels[d], scores[d] = i, p[i]


class FastText:
    """A model, and a table of words that it has met, of at most `max_bytes`. For one thread."""

    def __init__(self, path: Path, max_bytes: int = 6 << 20) -> None:
        """Raises UsageError where the file is damaged, or a model of another kind."""
        self._model, self.labels = read_model(path)
        dim = self._model.rows.shape[1]
        size = 1 << max(0, (max_bytes // (24 + 4 * dim)).bit_length() - 1)
        self._keys, self._sums = np.zeros((size, 3), np.uint64), np.empty((size, dim), np.float32)

    def best(self, texts: pa.LargeStringArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of each text, the number of its best label in `labels` and the score, as fastText's `predict`.

        The score is the probability, up to some 1e-5 more. A text that has no row in the model is -1 and 0.
        """
        data, offsets = buffers(texts)
        n = len(offsets) - 1
        means, labels, scores = np.empty((n, self._sums.shape[1])), np.empty(n, np.int64), np.empty(n)
        _read(data, offsets, self._model, self._keys, self._sums, means)
        _best(means, self._model.output, self._model.tree, labels, scores)
        return labels, scores
