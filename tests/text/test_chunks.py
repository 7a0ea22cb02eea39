# curled quotes are tokens of their own
"""spacy-en chunk by chunk against spaCy itself, and the tables that are kept between runs."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.text import Chunks, Words, merge
from curator.text.learned import read
from curator.text.table import LONGEST

spacy = pytest.importorskip("spacy", reason="spacy-en needs the extra: pip install 'corpus-curator[spacy]'")

DATA = Path(os.environ.get("CURATOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SOME = [
    "I can't... wait—really? $5.00/day, e-mail: a.b@c.com (x_y) 10% U.K. it’s",
    "Mr. O'Brien's rock'n'roll -- the dog's (it's), 'word.' \"cannot\" R. USA. 1900--the a-b-c's 3.14, (8)",
    '8) :-) 5km 1,234.5. 1.2.3.4 1..2 1.a x.y (10) "8" a10 10a I. AB. Ab. -a a- a----b',
    "don't. O'clock-ish's!",
]
PIECES = [
    *"aAzZs09.,;:?!)(\"'’-[]_*#$%@/…“”é—",
    *["--", "...", "word", "Word", "em", "x" * 130, " ", "\n"],
    *["'s", "n't", "cannot", "U.S", "km", "e.g", "don"],
]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def arrow(batch: list[str]) -> pa.LargeStringArray:
    return pa.array(batch, pa.large_string())


def same(a: Words, b: Words) -> bool:
    return all(map(np.array_equal, vars(a).values(), vars(b).values()))


@pytest.fixture(scope="module")
def by_spacy() -> Callable[[str], list[str]]:
    """As datatrove does it, on whole texts."""
    nlp = spacy.blank("en")

    def tokens(text: str) -> list[str]:
        with nlp.memory_zone():
            nlp.max_length = len(text) + 10
            return [stripped for token in nlp(text) if (stripped := token.text.strip())]

    return tokens


@pytest.fixture(scope="module")
def chunks() -> Chunks:
    """One for all tests, so that it knows some chunks already and others not."""
    return Chunks()


def check(found: Words, words: list[list[str]]) -> None:
    flat = [word for of_text in words for word in of_text]
    assert found.counts.tolist() == [len(of_text) for of_text in words]
    assert found.hashes.tolist() == [xxhash.xxh3_64_intdigest(word.encode()) for word in flat]
    assert found.lengths.tolist() == [len(word) for word in flat]


@settings(max_examples=1500, deadline=None)
@given(batch=st.lists(texts, max_size=3))
@example(batch=SOME)
def test_spacy_of_each_chunk(batch: list[str], chunks: Chunks, by_spacy: Any) -> None:
    expected = [[word for chunk in text.split() for word in by_spacy(chunk)] for text in batch]
    check(chunks.words(arrow(batch), "spacy-en"), expected)


def test_overlapping_emoticons_are_the_one_difference_to_whole_texts(chunks: Chunks, by_spacy: Any) -> None:
    assert by_spacy("x( :)y") == ["x", "(", ":", ")", "y"]
    check(chunks.words(arrow(["x( :)y"]), "spacy-en"), [["x", "(", ":)", "y"]])


def test_spacy_of_whole_texts(chunks: Chunks, by_spacy: Any) -> None:
    check(chunks.words(arrow(SOME), "spacy-en"), [by_spacy(text) for text in SOME])
    bench = DATA / "bench.jsonl.gz"
    if not bench.exists():
        pytest.skip(f"{bench} is not here; set CURATOR_TEST_DATA to a folder with bench.jsonl.gz")
    with gzip.open(bench) as file:
        real = [json.loads(next(file))["text"] for _ in range(250)]
    check(chunks.words(arrow(real), "spacy-en"), [by_spacy(text) for text in real])


def test_a_full_table_starts_afresh() -> None:
    small, large = Chunks(max_bytes=0), Chunks()
    for batch in (["one two three"], ["two three four!", "x" * (LONGEST + 1)], ["one, two"]):
        assert same(small.words(arrow(batch), "spacy-en"), large.words(arrow(batch), "spacy-en"))


def test_more_unknown_chunks_than_there_is_room(by_spacy: Any) -> None:
    batch = [" ".join(f"w{i}x{j}" for i in range(3000)) for j in range(2)] + ["end"]
    check(Chunks().words(arrow(batch), "spacy-en"), [text.split() for text in batch])


def test_a_failing_tokenizer_leaves_nothing_half_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = Chunks()
    chunks.words(arrow(["known words"]), "spacy-en")
    with monkeypatch.context() as patched:
        patched.setattr(type(chunks._learners["spacy-en"]), "__call__", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            chunks.words(arrow(["unknown words, these"]), "spacy-en")
    assert same(
        chunks.words(arrow(["known unknown"]), "spacy-en"),
        Chunks().words(arrow(["known unknown"]), "spacy-en"),
    )


def learn(folder: Path, cache: Path, *batches: list[str]) -> list[Path]:
    written: list[Path] = []
    for i, batch in enumerate(batches):
        chunks = Chunks(cache)
        chunks.words(arrow(batch), "spacy-en")
        written += chunks.save_learned(folder / f"{i}")
    return written


def test_generations_serve_later_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    expected = Chunks().words(arrow(SOME), "spacy-en")
    written = learn(tmp_path, cache, [SOME[0]], SOME)
    (first,) = merge(cache, written)
    later = Chunks(cache)
    monkeypatch.setattr(
        type(later._learners["spacy-en"]), "__call__", lambda *_: pytest.fail("not remembered")
    )
    assert same(later.words(arrow(SOME), "spacy-en"), expected)
    assert later.save_learned(tmp_path / "none") == []
    monkeypatch.undo()
    assert same(
        later.words(arrow(["new words", *SOME]), "spacy-en"),
        Chunks().words(arrow(["new words", *SOME]), "spacy-en"),
    )
    assert len(later.save_learned(tmp_path / "more")) == 1
    (second,) = merge(cache, [tmp_path / "more.spacy-en"])
    (third,) = merge(cache, [tmp_path / "more.spacy-en"])
    assert not first.exists()
    assert second.name < third.name
    assert same(Chunks(cache).words(arrow(SOME), "spacy-en"), expected)
    assert merge(cache, []) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "not a table", "missing"])
def test_a_damaged_generation_is_passed_over(tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    learned = learn(tmp_path, cache, SOME)
    (generation,) = merge(cache, learned)
    whole = generation.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    contents = {"truncated": whole[:-64], "flipped": flipped, "emptied": b"", "not a table": b"[]\n" * 1000}
    if damage == "missing":
        generation.unlink()
    else:
        generation.write_bytes(contents[damage])
        assert read(generation) is None
    assert same(Chunks(cache).words(arrow(SOME), "spacy-en"), Chunks().words(arrow(SOME), "spacy-en"))


def test_a_generation_of_another_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curator.text import chunks as module

    cache = tmp_path / "cache"
    with monkeypatch.context() as patched:
        patched.setattr(module, "tokenizer_version", lambda name: "spacy-en 0.0")
        merge(cache, learn(tmp_path, cache, SOME))
    fresh = Chunks(cache)
    fresh.words(arrow(SOME), "spacy-en")
    assert len(fresh.save_learned(tmp_path / "again")) == 1


def test_merging_stops_at_its_bound(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (generation,) = merge(cache, learn(tmp_path, cache, SOME), max_bytes=0)
    found = read(generation)
    assert found is not None
    assert len(found[1].keys) == 0
