"""n-grams and the places of words, against plain Python."""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.text import Chunks, Words
from curator.text.ngrams import MIN_DISTINCT, Found, Ngrams
from curator.text.normal import word_places
from tests.plugins.peers import some_text


def words(texts: list[str]) -> Words:
    return Chunks().words(pa.array(texts, pa.large_string()), "normalized")


def split(texts: list[str]) -> list[tuple[int, ...]]:
    found = words(texts)
    return [tuple(found.hashes[a:b].tolist()) for a, b in itertools.pairwise(found.doc_offsets)]


def grams_of(
    texts: list[str], ngram: int, shortest: int, max_texts: int | None
) -> list[dict[tuple[int, ...], None]]:
    """The distinct n-grams of each text, in order."""
    found = []
    for text in split(texts):
        size = min(ngram, len(text))
        grams = [text[i : i + size] for i in range(len(text) - size + 1)] if len(text) >= shortest else []
        found.append(dict.fromkeys(g for g in grams if len(set(g)) >= MIN_DISTINCT))
    texts_with = Counter(g for grams in found for g in grams)
    return [{g: None for g in grams if max_texts is None or texts_with[g] <= max_texts} for grams in found]


def plain(
    items: list[str], documents: list[str], *options: int | None
) -> set[tuple[int, int, tuple[int, ...], int]]:
    """(document, item, n-gram, place), by comparing everything with everything."""
    return {
        (d, t, g, i)
        for t, grams in enumerate(grams_of(items, *options))  # type: ignore[arg-type]
        for g in grams
        for d, document in enumerate(split(documents))
        for i in range(len(document) - len(g) + 1)
        if document[i : i + len(g)] == g
    }


def named(index: Ngrams, found: Found) -> list[tuple[int, int, tuple[int, ...], int]]:
    rows = zip(*(column.tolist() for column in found), strict=True)
    return [
        (d, int(index.text[g]), tuple(index.words[index.start[g] :][: index.size[g]].tolist()), at)
        for d, g, at in rows
    ]


few = st.lists(st.sampled_from([*"abcdE", "é", "1", "2.5", ",", "\n", "x-y", "Σ"]), max_size=24).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(few, min_size=1, max_size=6),
    st.lists(few, max_size=4),
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(sorted),
    st.none() | st.integers(1, 3),
)
def test_as_plain_python(items: list[str], documents: list[str], sizes: list[int], most: int | None) -> None:
    """Every n-gram of every item at every place of every document, each once, by document and place."""
    shortest, ngram = sizes
    index = Ngrams.of(words(items), ngram, shortest, most)
    found = named(index, index.find(words(documents)))
    assert set(found) == plain(items, documents, ngram, shortest, most)
    assert len(set(found)) == len(found)
    assert [(d, at) for d, *_, at in found] == sorted((d, at) for d, *_, at in found)
    assert index.totals.tolist() == [len(g) for g in grams_of(items, ngram, shortest, most)]


def test_equal_hashes_are_told_apart() -> None:
    """Words of the same rolling hash are no n-gram: all words are compared."""
    index = Ngrams.of(words(["one two three four"]), 4, 2)
    same_start = words(["one two three five", "one two", "one two three four"])
    assert index.find(same_start).document.tolist() == [2]


def test_nothing() -> None:
    """No items with words, no documents, empty documents: nothing is found."""
    none = Ngrams.of(words(["", "a b"]), 13, 8)
    assert none.totals.tolist() == [0, 0]
    assert none.find(words(["a b c d e f g h"])).at.tolist() == []
    some = Ngrams.of(words(["a b c d e f g h"]), 13, 8)
    assert [some.find(words(texts)).at.tolist() for texts in ([], [""], ["", "A, b c d e f g h!"])] == [
        [],
        [],
        [0],
    ]


@settings(max_examples=500, deadline=None)
@given(some_text("1.5", "1.5.6", "٣٫١٤", "Σ", "İ", "e\u0301", "\u0301", "a-b", "한국", "x"))
def test_word_places(text: str) -> None:
    """As many places as words, apart and in order, each with the text of its word."""
    places = word_places(text)
    cut = [text[start:stop] for start, stop in places.tolist()]
    assert split(cut) == [(h,) for h in split([text])[0]]
    assert (places[:, 0] < places[:, 1]).all()
    assert (places[1:, 0] >= places[:-1, 1]).all()


@pytest.mark.slow
def test_word_places_of_every_character() -> None:
    """Alone, within a word, and between two: as many words as the normalised text has."""
    every = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    for form in ("{}", "a{}b", "a {} b"):
        texts = [form.format(c) for c in every]
        assert np.array_equal([len(word_places(text)) for text in texts], words(texts).counts)
