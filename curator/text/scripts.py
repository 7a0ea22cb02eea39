"""Which texts are written without spaces between words, so that words between white space mean nothing there.

Algorithm: one pass that counts letters; a text counts as such where more than half of its letters are of
scripts like Han, kana or Thai (`characters.UNSPACED`). Linear, about 700 MB/s. Rejected: asking the language
label, which not every recipe has and which is wrong for a tenth of short texts.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from curator.text.characters import ALPHA, UNSPACED, classes
from curator.text.words import Bytes, Offsets, decode


@njit(nogil=True, cache=True)
def _without_spaces(data: Bytes, offsets: Offsets, table: Bytes, found: NDArray[np.bool_]) -> None:
    for d in range(len(offsets) - 1):
        letters = unspaced = 0
        at, stop = offsets[d], offsets[d + 1]
        while at < stop:
            c, width = decode(data, at)
            letters += (table[c] & ALPHA) != 0
            unspaced += (table[c] & UNSPACED) != 0
            at += width
        found[d] = 2 * unspaced > letters


def without_spaces(data: Bytes, offsets: Offsets) -> NDArray[np.bool_]:
    """Whether each text is mostly of a script that puts no spaces between words."""
    found = np.empty(len(offsets) - 1, np.bool_)
    _without_spaces(data, offsets, classes(), found)
    return found
