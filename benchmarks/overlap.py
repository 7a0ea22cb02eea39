"""Overlap of training and held-out texts by 13-grams of words: copies are found, shared passages cut out.

13-grams of lower-cased words and GPT-3's rule (Brown et al. 2020, appendix C): a 13-gram in more than ten training
documents is boilerplate, and no sign of contamination. A text of fewer words is one gram. A gram is 64 bits of hash.
A training document copies a held-out one where eight tenths of all their grams are the same, boilerplate too, or where
it holds eight tenths of the other's that are not boilerplate. Not found: reworded copies, copies that the training
texts hold more than ten times (but for whole ones). Cost: 2 M words a second of one core.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

N = 13
BOILERPLATE = 10  # training documents that hold a gram at most for it to count
COPY = 0.8
WORD = re.compile(r"\w+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

U64 = NDArray[np.uint64]


def grams(text: str, known: dict[str, int]) -> U64:
    """uint64[words - 12], at least one where there is a word: the gram that begins at each. `known` keeps the hashes of words."""
    hashes = []
    for word in WORD.findall(text.lower()):
        hashed = known.get(word)
        if hashed is None:
            hashed = known[word] = xxhash.xxh3_64_intdigest(word.encode())
        hashes.append(hashed)
    words = np.array(hashes, dtype=np.uint64)
    width = min(N, len(words))
    if not width:
        return words
    found = np.zeros(len(words) - width + 1, dtype=np.uint64)
    for offset in range(width):  # unsigned arithmetic, modulo 2**64
        found = found * _FACTOR + words[offset : offset + len(found)]
    return found


@dataclass(frozen=True)
class Grams:
    """The distinct grams of some texts: `gram[i]` stands in text `document[i]`, of `documents`."""

    gram: U64
    document: NDArray[np.int64]
    documents: int

    @staticmethod
    def of(texts: Sequence[str]) -> Grams:
        known: dict[str, int] = {}
        each = [np.unique(grams(text, known)) for text in texts]
        numbers = np.repeat(np.arange(len(each)), [len(found) for found in each])
        return Grams(np.concatenate([np.empty(0, np.uint64), *each]), numbers, len(each))

    def only(self, chosen: NDArray[np.bool_]) -> Grams:
        """Some of the grams, of as many texts."""
        return Grams(self.gram[chosen], self.document[chosen], self.documents)

    def sizes(self) -> NDArray[np.int64]:
        """int64[documents]: the grams of each text."""
        return np.bincount(self.document, minlength=self.documents)


def among(values: U64, ordered: U64) -> NDArray[np.bool_]:
    """Which values are in `ordered`. numpy's isin would sort it again for each text."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)


def boilerplate(arms: Sequence[Grams]) -> U64:
    """The grams that more than ten documents of one arm hold, sorted."""
    found = [np.empty(0, np.uint64)]
    for arm in arms:
        gram, count = np.unique(arm.gram, return_counts=True)
        found.append(gram[count > BOILERPLATE])
    return np.unique(np.concatenate(found))


def copies(training: Grams, held_out: Grams, common: U64) -> Iterator[tuple[int, int, float]]:
    """(training document, held-out document, how alike they are), for those that are copies."""
    sizes, rare = training.sizes(), ~np.isin(held_out.gram, common)
    training = training.only(np.isin(training.gram, held_out.gram))
    training_rare = training.only(~np.isin(training.gram, common))
    for number in range(held_out.documents):
        own = held_out.document == number
        whole, telling = held_out.gram[own], held_out.gram[own & rare]
        shared = training.only(np.isin(training.gram, whole)).sizes()
        alike = shared / np.maximum(sizes + len(whole) - shared, 1)
        if len(telling) >= N:  # a few words are in many texts
            held = training_rare.only(np.isin(training_rare.gram, telling)).sizes()
            alike = np.maximum(alike, held / len(telling))
        for found in np.flatnonzero(alike >= COPY):
            yield int(found), number, float(alike[found])


def without(texts: Sequence[str], forbidden: U64) -> tuple[list[str], int, int]:
    """The texts less the lines that have part in a forbidden gram (sorted); texts and characters that this changed."""
    known: dict[str, int] = {}
    left, changed, characters = [], 0, 0
    for text in texts:
        before = text
        while (bad := among(grams(text, known), forbidden)).any():
            text = _cut(text, np.flatnonzero(bad))
        left.append(text)
        changed, characters = changed + (text != before), characters + len(before) - len(text)
    return left, changed, characters


def _cut(text: str, begins: NDArray[np.int64]) -> str:
    """The text less the lines of the words from each of `begins` on, 13 of them."""
    inside = {int(begin) + offset for begin in begins for offset in range(N)}
    kept, word = [], 0
    for line in text.splitlines(keepends=True):
        here = len(WORD.findall(line.lower()))
        if not inside.intersection(range(word, word + here)):
            kept.append(line)
        word += here
    return "".join(kept)
