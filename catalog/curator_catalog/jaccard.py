"""The true Jaccard similarity of sets, for edges that are verified: an Arrow function over sorted sets of hashes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def _jaccard(
    x: NDArray[np.uint64],
    x_starts: NDArray[np.int64],
    y: NDArray[np.uint64],
    y_starts: NDArray[np.int64],
    found: NDArray[np.float32],
) -> None:
    for p in range(len(found)):
        i, i_stop, j, j_stop = x_starts[p], x_starts[p + 1], y_starts[p], y_starts[p + 1]
        total, both = i_stop - i + j_stop - j, 0
        while i < i_stop and j < j_stop:
            both += x[i] == y[j]
            # either moves when equal
            i, j = i + (x[i] <= y[j]), j + (y[j] <= x[i])
        found[p] = both / max(1, total - both)


def jaccard(x: pa.ChunkedArray, y: pa.ChunkedArray) -> pa.Array:
    """float32 for each pair of sets: BLOBs of sorted, distinct uint64."""
    found = np.empty(len(x), np.float32)
    if len(x):  # DuckDB leaves out the rows with a NULL, if need be all
        _jaccard(*_sets(x), *_sets(y), found)
    return pa.array(found)


def _sets(blobs: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    rows = blobs.combine_chunks().cast(pa.large_binary())
    starts = np.frombuffer(rows.buffers()[1], np.int64)[rows.offset : rows.offset + len(rows) + 1]
    values = rows.buffers()[2]
    data = (
        np.frombuffer(values, np.uint64, int(starts[-1] - starts[0]) // 8, int(starts[0])) if values else None
    )
    return np.empty(0, np.uint64) if data is None else data, (starts - starts[0]) // 8
