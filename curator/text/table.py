"""The table chunk -> words, and the kernels that look chunks up in it and write their words out.

A chunk is what stands between two runs of white space. Its identity is two 64-bit hashes, the second of
which takes in the length; its text is not kept. Algorithm: open addressing with linear probing, at most half
full, over 4-byte entry numbers; entries and their words are appended and never move. Looking up is linear in
the text, 90-160 MB/s; an entry takes about 40 bytes and 13 for each word. Rejected: a numba typed dict
(cannot be memory-mapped) and keeping the chunk's bytes (a cache miss more for each look-up).

`_look_up` gives every chunk its entry number, entering unknown ones, so that the tokenizer runs between it
and `_spread`, once for each distinct unknown chunk. Chunks of more than LONGEST bytes are not entered: they
get numbers -1, -2, ... and live for one call. (With LONGEST 64, tokenizing URLs again and again took more than
half of a warm pass.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import SPACE, classes, first_bytes
from curator.text.words import Bytes, Offsets, Words, decode
from curator.text.xxh3 import U, read32, read64, xxh3

LONGEST = 128  # bytes of a chunk that is remembered
ODD = U(0x9E3779B97F4A7C15)

Keys = NDArray[np.uint64]
Index = NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)


class Table(NamedTuple):
    """`slots` int32[2**k], entry number or -1; `keys` uint64[n, 2]; entry e has the words
    `[ends[e]:ends[e + 1]]` of `hashes`, `lengths` and `flags`, which are as in `Words`.
    """

    slots: Index
    keys: Keys
    ends: Offsets
    hashes: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    flags: Bytes

    @classmethod
    def empty(cls) -> Table:
        return cls(
            np.full(1 << 10, -1, np.int32),
            np.empty((0, 2), np.uint64),
            np.zeros(1, np.int64),
            np.empty(0, np.uint64),
            np.empty(0, np.uint32),
            np.empty(0, np.uint8),
        )

    def read_only(self) -> Table:
        """The same table; numba compiles once for read-only arrays, and a mapped file's are."""
        for array in self:
            array.setflags(write=False)
        return self


@njit(nogil=True, cache=True)
def second_hash(data: Bytes, at: np.uint64, size: np.uint64) -> np.uint64:
    h, stop = size * ODD, at + size
    if size < U(4):
        h = (h ^ U(data[at]) ^ U(data[at + (size >> U(1))]) << U(8) ^ U(data[stop - U(1)]) << U(16)) * ODD
    elif size < U(8):
        h = (h ^ read32(data, at) ^ read32(data, stop - U(4)) << U(32)) * ODD
    else:
        while at + U(8) < stop:
            h = (h ^ read64(data, at)) * ODD
            h ^= h >> U(32)
            at += U(8)
        h = (h ^ read64(data, stop - U(8))) * ODD  # may overlap what was read before
    return h ^ h >> U(32)


@njit(nogil=True, cache=True)
def _slot(index: Index, keys: Keys, first: np.uint64, second: np.uint64) -> np.int64:
    """Where in `index` the chunk is, or the free place where it belongs."""
    mask = U(len(index) - 1)
    slot = first & mask
    while index[slot] >= 0 and (keys[index[slot], 0] != first or keys[index[slot], 1] != second):
        slot = (slot + U(1)) & mask
    return np.int64(slot)


@njit(nogil=True, cache=True)
def _reindex(index: Index, keys: Keys, n: int) -> None:
    """Enter the first `n` keys into an index of -1."""
    for e in range(n):
        index[_slot(index, keys, keys[e, 0], keys[e, 1])] = e


@njit(nogil=True, cache=True)
def _enter(index: Index, keys: Keys, n: int, others: Keys) -> NDArray[np.bool_]:
    """Enter those of `others` that are new, for which there is room; says which they were."""
    new = np.zeros(len(others), np.bool_)
    for i in range(len(others)):
        slot = _slot(index, keys, others[i, 0], others[i, 1])
        if index[slot] < 0:
            keys[n, 0], keys[n, 1] = others[i, 0], others[i, 1]
            index[slot] = n
            new[i] = True
            n += 1
    return new


@njit(nogil=True, cache=True)
def _look_up(
    data: Bytes,
    offsets: Offsets,
    table: Bytes,
    spaces: Bytes,
    base_index: Index,
    base_keys: Keys,
    index: Index,
    keys: Keys,
    state: Offsets,
    new: Offsets,
    long: Offsets,
    entries: NDArray[np.int32],
    doc_offsets: Offsets,
) -> bool:
    """The entry of each chunk; unknown ones are entered, their bytes written to `new` [start, stop].

    `state` = [document, byte, chunks, keys, new, long], from which it goes on when called again; false when
    there is no room for another key. (Growing the arrays in here would make numba count references at every
    byte: 8 times slower.) A long chunk gets -1, -2, ...
    """
    first_doc, at, n = state[0], state[1], state[2]
    n_keys, n_new, n_long = state[3], state[4], state[5]
    room = n_new + min(len(keys), len(index) // 2) - n_keys
    for d in range(first_doc, len(offsets) - 1):
        if d > first_doc or at < offsets[d]:
            at = offsets[d]
            doc_offsets[d] = n
        start, stop = at, offsets[d + 1]
        while at <= stop:
            # byte by byte: those of a longer character go on in a chunk, but for the few that are white space
            while at < stop and not (spaces[data[at]] and table[decode(data, at)[0]] & SPACE):
                at += 1
            size = at - start
            if size > 0:
                if size > LONGEST:
                    long[n_long, 0], long[n_long, 1] = start, start + size
                    n_long += 1
                    entries[n] = -n_long
                    n += 1
                else:
                    one, two = xxh3(data, U(start), U(size)), second_hash(data, U(start), U(size))
                    entry = base_index[_slot(base_index, base_keys, one, two)]
                    if entry < 0:
                        slot = _slot(index, keys, one, two)
                        if index[slot] < 0:
                            if n_new == room:
                                state[:] = np.array([d, start, n, n_keys, n_new, n_long])
                                return False
                            keys[n_keys, 0], keys[n_keys, 1] = one, two
                            index[slot] = n_keys
                            new[n_new, 0], new[n_new, 1] = start, start + size
                            n_keys += 1
                            n_new += 1
                        entry = index[slot] + len(base_keys)
                    entries[n] = entry
                    n += 1
            at += decode(data, at)[1] if at < stop else 1
            start = at
    doc_offsets[len(offsets) - 1] = n
    state[:] = np.array([len(offsets) - 1, 0, n, n_keys, n_new, n_long])
    return True


@njit(nogil=True, cache=True)
def _count(entries: NDArray[np.int32], base_ends: Offsets, ends: Offsets, n_keys: int) -> int:
    """The words of all chunks. Gives the long chunks their entries, behind the `n_keys` of the table."""
    n, n_base = 0, len(base_ends) - 1
    for i in range(len(entries)):
        if entries[i] < 0:
            entries[i] = n_base + n_keys - 1 - entries[i]
        e = entries[i]
        n += base_ends[e + 1] - base_ends[e] if e < n_base else ends[e - n_base + 1] - ends[e - n_base]
    return n


@njit(nogil=True, cache=True)
def _spread(
    entries: NDArray[np.int32],
    offsets: Offsets,
    base: Table,
    own: Table,
    doc_offsets: Offsets,
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.uint32],
    flags: Bytes,
) -> None:
    """Write the words of every chunk in order."""
    n, n_base = 0, len(base.keys)
    for d in range(len(offsets) - 1):
        doc_offsets[d] = n
        for i in range(offsets[d], offsets[d + 1]):
            e = entries[i]
            if e < n_base:
                for w in range(base.ends[e], base.ends[e + 1]):
                    hashes[n], lengths[n], flags[n] = base.hashes[w], base.lengths[w], base.flags[w]
                    n += 1
            else:
                e -= n_base
                for w in range(own.ends[e], own.ends[e + 1]):
                    hashes[n], lengths[n], flags[n] = own.hashes[w], own.lengths[w], own.flags[w]
                    n += 1
    doc_offsets[len(offsets) - 1] = n


class _Growing(Generic[Scalar]):
    """An array that is appended to; what was appended can be cut off again."""

    def __init__(self, first: NDArray[Scalar]) -> None:
        self._values, self.size = first.copy(), len(first)

    def append(self, values: NDArray[Scalar]) -> None:
        size = self.size + len(values)
        if size > len(self._values):
            self._values = np.concatenate([self.view, np.empty(size + 512, self._values.dtype)])
        self._values[self.size : size] = values
        self.size = size

    @property
    def view(self) -> NDArray[Scalar]:
        return self._values[: self.size]


class Overlay:
    """A table that grows, over `base`, which does not."""

    def __init__(self, base: Table) -> None:
        self.base = base.read_only()
        self.clear()

    def clear(self) -> None:
        none = Table.empty()
        self._index, self._keys, self._n = none.slots.copy(), none.keys, 0
        self._ends, self._hashes = _Growing(none.ends), _Growing(none.hashes)
        self._lengths, self._flags = _Growing(none.lengths), _Growing(none.flags)

    @property
    def table(self) -> Table:
        """What it has beyond its base."""
        words = self._hashes.view, self._lengths.view, self._flags.view
        return Table(self._index, self._keys[: self._n], self._ends.view, *words)

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self.table)

    def _grow(self, n: int) -> None:
        """Make room for `n` keys."""
        if n > len(self._keys):
            self._keys = np.concatenate([self._keys, np.empty((n, 2), np.uint64)])
        if 2 * n > len(self._index):
            self._index = np.full(2 << n.bit_length(), -1, np.int32)
            _reindex(self._index, self._keys, self._n)

    def add(self, other: Table) -> None:
        """Enter what `other` has and this lacks."""
        counts = np.diff(other.ends)
        self._grow(self._n + len(other.keys))
        new = _enter(self._index, self._keys, self._n, other.keys)
        chosen = np.repeat(new, counts)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[new])])
        self._append(Words(offsets, other.hashes[chosen], other.lengths[chosen], other.flags[chosen]))
        self._n += len(offsets) - 1

    def words(self, data: Bytes, offsets: Offsets, tokenize: Tokenize) -> Words:
        """The words of all texts; `tokenize` is called once, with the chunks that are not known yet."""
        try:
            entries, chunk_offsets, unknown, n_long = self._look_up(data, offsets)
            if len(unknown):
                starts, stops = np.ascontiguousarray(unknown.T)
                self._append(tokenize(data, starts, stops))
        except BaseException:
            self.clear()  # the index may name entries that have no words
            raise
        base, own = self.base, self.table
        n_words = _count(entries, base.ends, own.ends, self._n)
        words = Words(
            np.empty(len(offsets), np.int64),
            np.empty(n_words, np.uint64),
            np.empty(n_words, np.uint32),
            np.empty(n_words, np.uint8),
        )
        _spread(
            entries, chunk_offsets, base, own, words.doc_offsets, words.hashes, words.lengths, words.flags
        )
        self._forget(n_long)
        return words

    def _look_up(self, data: Bytes, offsets: Offsets) -> tuple[NDArray[np.int32], Offsets, Offsets, int]:
        """Entries of all chunks, offsets into them by document, and [start, stop] of the unknown chunks,
        of which the last `n_long` are not entered.
        """
        n_bytes = int(offsets[-1] - offsets[0])
        entries = np.empty((n_bytes + len(offsets)) // 2 + 1, np.int32)
        chunk_offsets = np.empty(len(offsets), np.int64)
        new, long = np.empty((len(entries), 2), np.int64), np.empty((n_bytes // LONGEST + 1, 2), np.int64)
        state = np.array([0, -1, 0, self._n, 0, 0])
        done = False
        while not done:
            done = _look_up(
                data,
                offsets,
                classes(),
                first_bytes(SPACE),
                self.base.slots,
                self.base.keys,
                self._index,
                self._keys,
                state,
                new,
                long,
                entries,
                chunk_offsets,
            )
            self._n = int(state[3])
            if not done:
                self._grow(2 * self._n + 512)
        n_new, n_long = int(state[4]), int(state[5])
        return entries[: state[2]], chunk_offsets, np.concatenate([new[:n_new], long[:n_long]]), n_long

    def _forget(self, n: int) -> None:
        """Cut off the words of the last `n` entries."""
        self._ends.size -= n
        for words in (self._hashes, self._lengths, self._flags):
            words.size = int(self._ends.view[-1])

    def _append(self, words: Words) -> None:
        self._ends.append(self._ends.view[-1] + words.doc_offsets[1:])
        self._hashes.append(words.hashes)
        self._lengths.append(words.lengths)
        self._flags.append(words.flags)


#: (bytes, starts, stops of chunks) -> their words, one "document" a chunk
Tokenize = Callable[[Bytes, Offsets, Offsets], Words]
