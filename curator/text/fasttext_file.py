"""A supervised fastText model as arrays, from the file that fastText 0.9 writes (format 12).

The file, little endian, without padding: magic and version; the arguments; the dictionary (words, then
labels, each with its count) and, where the model was pruned, which n-gram buckets kept which row; the input
matrix; the output matrix. A product-quantised row is a norm times the centroids that its codes name, and is
multiplied out here once: 3 MB for lid.176.ftz. Rejected: leaving the codes, as fastText does, which looks
every pair of numbers up again whenever an n-gram is met.

What the kernels of `curator.text.fasttext` cannot compute is refused by name: unsupervised models, n-grams of
words, and the losses of negative sampling and one-vs-all. The labels' tree of hierarchical softmax is not in
the file; it is Huffman's, built again from the labels' counts in fastText's order.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.errors import UsageError

MAGIC, VERSION = 793712314, 12
HIERARCHICAL, SOFTMAX, SUPERVISED = 1, 3, 3
LOSSES = {HIERARCHICAL: "hierarchical softmax", 2: "negative sampling", SOFTMAX: "softmax", 4: "one-vs-all"}
CENTROIDS = 256  # of each part of a quantised row: a code is one byte
HASH_BASE, HASH_PRIME = np.uint32(2166136261), np.uint32(16777619)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Model(NamedTuple):
    """Entry e (words first, then labels) is the bytes `[ends[e]:ends[e + 1]]` of `names`; `slots`, open
    addressing by hash, holds entries or -1. A word's row of `rows` is its number; the row of an n-gram is
    `buckets[hash % len(buckets)]`, or -1 where it was pruned, in which case its bit of `kept` is 0.
    `tree[i]` are the children of inner node `len(output) + i`; the leaves are the labels, the last is the root.
    It is empty for plain softmax.
    """

    n_words: int
    min_n: int
    max_n: int
    slots: NDArray[np.int32]
    names: Bytes
    ends: NDArray[np.int64]
    buckets: NDArray[np.int32]
    kept: Bytes
    rows: Floats
    output: Floats
    tree: NDArray[np.int32]


class _Reader:
    """Takes values off the front of a file's bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def values(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return found

    def name(self) -> bytes:
        start, self._at = self._at, self._data.index(b"\0", self._at) + 1
        return self._data[start : self._at - 1]

    def array(self, kind: str, *shape: int) -> NDArray[Any]:
        """A copy, so that it is aligned."""
        values = np.frombuffer(self._data, f"<{kind}", int(np.prod(shape)), self._at).reshape(shape)
        self._at += values.nbytes
        return values.copy()

    def matrix(self) -> Floats:
        (quantised,) = self.values("?")
        if not quantised:
            return self.array("f4", *self.values("qq"))
        with_norms, n, _, n_codes = self.values("?qqi")
        codes = self.array("u1", n, n_codes // n)
        rows = self._centroids(codes)
        if with_norms:
            rows *= self._centroids(self.array("u1", n, 1))
        return rows

    def _centroids(self, codes: Bytes) -> Floats:
        """Rows put together from the centroids that `codes` name; the last part may be shorter."""
        dim, parts, width, last = self.values("4i")
        centroids, at = self.array("f4", dim * CENTROIDS), 0
        rows = np.empty((len(codes), dim), np.float32)
        for part in range(parts):
            size = last if part == parts - 1 else width
            of_part = centroids[at : at + size * CENTROIDS].reshape(CENTROIDS, size)
            rows[:, part * width : part * width + size] = of_part[codes[:, part]]
            at += size * CENTROIDS
        return rows

    def at_end(self) -> bool:
        return self._at == len(self._data)


@njit(nogil=True, cache=True)
def hash_on(h: np.uint32, byte: np.uint8) -> np.uint32:
    """fastText's FNV-1a, one byte further: bytes are signed there, and numba would widen the product."""
    return np.uint32((h ^ np.uint32(np.int32(np.int8(byte)))) * HASH_PRIME)


@njit(nogil=True, cache=True)
def _index(names: Bytes, ends: NDArray[np.int64], slots: NDArray[np.int32]) -> None:
    """Enter every entry into `slots`, a power of two of -1."""
    mask = np.uint32(len(slots) - 1)
    for e in range(len(ends) - 1):
        h = HASH_BASE
        for i in range(ends[e], ends[e + 1]):
            h = hash_on(h, names[i])
        slot = h & mask
        while slots[slot] >= 0:
            slot = np.uint32((slot + np.uint32(1)) & mask)
        slots[slot] = e


def _tree(counts: list[int]) -> NDArray[np.int32]:
    """Huffman's tree: each inner node takes the two rarest that are left; leaves come commonest first."""
    n, leaf, node = len(counts), len(counts) - 1, len(counts)
    counts = counts + [10**15] * (n - 1)
    tree = np.empty((n - 1, 2), np.int32)
    for i in range(n - 1):
        for side in range(2):
            if leaf >= 0 and counts[leaf] < counts[node]:
                tree[i, side], leaf = leaf, leaf - 1
            else:
                tree[i, side], node = node, node + 1
        counts[n + i] = counts[tree[i, 0]] + counts[tree[i, 1]]
    return tree


def read_model(path: Path) -> tuple[Model, list[str]]:
    """The model and its labels. Raises UsageError where the file is damaged or of another kind."""
    try:
        return _read(_Reader(path.read_bytes()), path)
    except (struct.error, ValueError, IndexError, ArithmeticError, MemoryError) as error:
        raise UsageError(f"{path} is damaged: {error}; copy the model again") from error


def _read(file: _Reader, path: Path) -> tuple[Model, list[str]]:
    magic, version = file.values("2i")
    _require(magic == MAGIC, path, "is no fastText model", "a .bin or .ftz file")
    _require(
        version == VERSION, path, f"has format {version}", f"format {VERSION}, which fastText 0.9 writes"
    )
    _, _, _, _, _, word_ngrams, loss, kind, n_buckets, min_n, max_n, _, _ = file.values("12id")
    _require(kind == SUPERVISED, path, "was not trained with labels", "a supervised model")
    _require(word_ngrams == 1, path, f"has wordNgrams {word_ngrams}", "wordNgrams 1")
    known = f"the loss {LOSSES[HIERARCHICAL]} or {LOSSES[SOFTMAX]}"
    _require(loss in (HIERARCHICAL, SOFTMAX), path, f"has the loss {LOSSES.get(loss, loss)}", known)

    size, n_words, n_labels, _, n_pruned = file.values("3i2q")
    names, counts = [], []
    for _ in range(size):
        names.append(file.name())
        counts.append(file.values("qb")[0])
    buckets = n_words + np.arange(n_buckets, dtype=np.int32)
    if n_pruned >= 0:
        bucket, row = file.array("i4", n_pruned, 2).T
        buckets[:] = -1
        buckets[bucket] = n_words + row
    rows, output = file.matrix(), file.matrix()
    _require(file.at_end(), path, "goes on after its end", "an undamaged file")
    n_rows = 1 + max(n_words - 1, int(buckets.max(initial=-1)))
    if len(rows) < n_rows or output.shape != (n_labels, rows.shape[1]) or size != n_words + n_labels:
        raise ValueError("its matrices do not fit its dictionary")

    text = np.frombuffer(b"".join(names), np.uint8).copy()
    ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
    slots = np.full(1 << (2 * size).bit_length(), -1, np.int32)
    _index(text, ends, slots)
    model = Model(
        n_words,
        min_n,
        max_n if n_buckets else 0,
        slots,
        text,
        ends,
        buckets,
        np.packbits(buckets >= 0, bitorder="little"),
        rows,
        output,
        _tree(counts[n_words:]) if loss == HIERARCHICAL else np.empty((0, 2), np.int32),
    )
    return model, [name.decode() for name in names[n_words:]]


def _require(holds: bool, path: Path, found: str, wanted: str) -> None:
    if not holds:
        raise UsageError(f"{path} {found}; needed is {wanted}")
