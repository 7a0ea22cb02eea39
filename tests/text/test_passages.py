"""Anchors and passages against plain Python: equal passages, and only they, are found through shared anchors."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.text import passages
from curator.text.spans import cut, line_spans
from curator.text.words import buffers


def per_document(found: passages.Found) -> list[list[tuple[int, int, int, int]]]:
    rows = list(
        zip(
            found.starts.tolist(),
            found.stops.tolist(),
            found.keys.tolist(),
            found.checks.tolist(),
            strict=True,
        )
    )
    return [rows[a:b] for a, b in zip(found.doc_offsets[:-1], found.doc_offsets[1:], strict=True)]


def units_of(text: str, unit: str) -> list[str]:
    return text.split() if unit == "words" else list(text)


alphabet = st.text("ab", max_size=40) | st.text("ab é\n中", max_size=40)


@pytest.mark.parametrize("unit", ["words", "characters"])
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(alphabet, min_size=1, max_size=5), n=st.integers(4, 7))
def test_passages_with_a_twin_are_found(texts: list[str], n: int, unit: str) -> None:
    """Of all passages those that occur twice are found, where they stand; equal keys and checks say equal texts."""
    data, offsets = buffers(pa.array(texts, pa.large_string()))
    units = passages.units(data, offsets, unit)
    anchors = per_document(passages.anchors(units, n))
    often = Counter(key for document in anchors for _, _, key, _ in document)
    shared = [[start for start, _, key, _ in document if often[key] > 1] for document in anchors]
    shared_offsets = np.append(0, np.cumsum([len(s) for s in shared])).astype(np.int64)
    flat = np.array([start for document in shared for start in document], np.uint32)
    found = per_document(passages.anchored(units, n, shared_offsets, flat))
    places: dict[tuple[int, int], set[tuple[str, ...]]] = defaultdict(set)
    by_hash: dict[tuple[int, int], list[Any]] = defaultdict(list)
    every: Counter[tuple[str, ...]] = Counter()
    for text, document in zip(texts, found, strict=True):
        own = units_of(text, unit)
        every.update(tuple(own[i : i + n]) for i in range(len(own) - n + 1))
        for start, stop, key, check in document:
            passage = text.encode()[start:stop].decode()
            by_hash[key, check].append(passage)
            places[key, check].add(tuple(units_of(passage, unit)))
    assert all(len(texts) == 1 for texts in places.values())
    told = Counter(next(iter(places[h])) for h, copies in by_hash.items() for _ in copies)
    repeated = {p: count for p, count in every.items() if count > 1}
    assert {p: told[p] for p in repeated} == repeated
    assert len({next(iter(p)) for p in places.values()}) == len(places)


def test_anchors_are_few() -> None:
    """About 2 / (w + 1) of the units are anchors, w being the places in a passage for one."""
    draw = np.random.default_rng(0)
    text = " ".join(str(n) for n in draw.integers(0, 10**9, 100_000))
    units = passages.units(*buffers(pa.array([text], pa.large_string())), "words")
    assert len(passages.anchors(units, 50).keys) / 100_000 == pytest.approx(2 / 27, rel=0.05)


@pytest.mark.parametrize("paragraphs", [False, True])
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.text("aB1, \n\t\r\x85é", max_size=30), min_size=1, max_size=5))
def test_line_spans(texts: list[str], paragraphs: bool) -> None:
    """Spans tell every line that is not blank; equal hashes say equal lines, but for white space around them."""
    data, offsets = buffers(pa.array(["x", *texts], pa.large_string())[1:])
    found = line_spans(data, offsets, paragraphs=paragraphs, normalized=False, min_characters=1)
    by_hash: dict[tuple[int, int], set[str]] = defaultdict(set)
    for text, document in zip(texts, per_document(found), strict=True):
        lines = [text.encode()[a:b].decode() for a, b, _, _ in document]
        expected: list[str] = []
        blank = True
        for line in text.split("\n"):
            if not line.strip():
                blank = True
            elif blank or not paragraphs:
                expected.append(line)
                blank = False
            else:
                expected[-1] += "\n" + line
        assert [line.strip() for line in lines] == [line.strip() for line in expected]
        for (_, _, key, check), line in zip(document, lines, strict=True):
            by_hash[key, check].add(line.strip())
    assert all(len(lines) == 1 for lines in by_hash.values())
    assert len({next(iter(lines)) for lines in by_hash.values()}) == len(by_hash)


def test_normalized_lines() -> None:
    """Case, numbers, accents and punctuation make no difference; lines without words are not compared."""
    texts = ["Page 12 of 90\nÉté!\n---", "\n  page 3 OF 7,\n\nete", "an other line"]
    data, offsets = buffers(pa.array(texts, pa.large_string()))
    found = line_spans(data, offsets, paragraphs=False, normalized=True, min_characters=1)
    hashes = [[row[2:] for row in document] for document in per_document(found)]
    assert hashes[0] == hashes[1]
    assert len({h for document in hashes for h in document}) == 3


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=12), min_size=1, max_size=5), data=st.data())
def test_cut(texts: list[str], data: st.DataObject) -> None:
    """What is left are the characters outside of the spans."""
    spans, expected = [], []
    for text in texts:
        marks = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
        ends = np.append(0, np.cumsum([len(c.encode()) for c in text])).astype(int)
        spans.append([(ends[i], ends[i + 1]) for i, gone in enumerate(marks) if gone])
        expected.append("".join(c for c, gone in zip(text, marks, strict=True) if not gone))
    flat = np.array([s for document in spans for s in document], np.uint32).reshape(-1, 2)
    span_offsets = np.append(0, np.cumsum([len(s) for s in spans])).astype(np.int64)
    buffer, offsets = buffers(pa.array(texts, pa.large_string()))
    left = cut(buffer, offsets, span_offsets, flat[:, 0].copy(), flat[:, 1].copy())
    assert left.to_pylist() == expected
