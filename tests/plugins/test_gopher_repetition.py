"""gopher_repetition against datatrove's GopherRepetitionFilter, dolma's tagger, and a plain reading of the paper."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import check_filter, documents, measure
from curator.text.scripts import without_spaces
from curator.text.words import buffers
from curator_plugins.filters.gopher_quality import GopherQuality
from curator_plugins.filters.gopher_repetition import DUPLICATED, TOP, GopherRepetition
from tests.plugins.peers import datatrove, first_reasons, real_texts, reasons, some_text

LINES = [f"Sentence number {i} talks of topic{i} with word{i} and item{i}, plus thing{i} to note{i} that matter{i}." for i in range(8)]
U = "\n".join(LINES)
GOLDEN = {  # rules.md 2.11, observed on datatrove
    U: None,
    "\n".join(LINES + LINES[:3]): "dup_line_char_frac",
    "\n\n".join(LINES + LINES[:4]): "dup_para_frac",
    "": "empty",
    "  \n \n": None,
    "... !!! ???": "top_2_gram",
    "Hello wonderful world of data.": "top_2_gram",
    " ".join(f"word{i}" for i in range(12)): "top_3_gram",
    " ".join(f"word{i}" for i in range(60)): None,
}
HARD = [
    "a aa a aa a a aa a aa a",  # the same characters, other words: equal to datatrove
    "ab c d e f g  a bc d e f g  ab c d e fg a b c d e f g",
    "a " * 50,
    "- " * 7,
    "one two three four five " * 4,
    "one two three four five six seven eight nine ten eleven " * 3,
    "\n\na\n\n\n\nb\n\n",
    "a\n \nb\n \nc\n \na",
    "x\n" * 30,
    "\x1c\n\nsame\n\nsame\x1f",
    "日本語 日本語 日本語 日本語 日本語 日本語",
    "x" * 100_000,
    *GOLDEN,
]
texts = some_text("a", "aa", "aaa", "a b", "b", "the", ".", "\n\n\n")


def by_datatrove(found: list[str]) -> list[str | None]:
    pytest.importorskip("spacy", reason="datatrove's English words are spaCy's")
    return reasons(datatrove("filters", "GopherRepetitionFilter"), found)


def test_golden_cases() -> None:
    """The cases of rules.md, by the rule that datatrove names."""
    keep = [text for text, reason in GOLDEN.items() if reason is None]
    check_filter(GopherRepetition, keep=keep, drop={t: r for t, r in GOLDEN.items() if r}, as_in="datatrove")


def test_as_datatrove_on_hard_texts() -> None:
    assert first_reasons(GopherRepetition, HARD, as_in="datatrove") == by_datatrove(HARD)


def test_as_datatrove_on_real_texts() -> None:
    """Every decision and reason, in every language of the corpus."""
    found = real_texts()
    ours = first_reasons(GopherRepetition, found, as_in="datatrove")
    assert ours == by_datatrove(found)
    assert len(set(ours)) > 8


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=10, max_size=40))
def test_as_datatrove_on_any_text(found: list[str]) -> None:
    assert first_reasons(GopherRepetition, found, as_in="datatrove") == by_datatrove(found)


def later_copies(parts: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    later = [p for p in parts if p in seen or seen.add(p)]  # type: ignore[func-returns-value]
    return len(later), sum(map(len, later))


def as_published(text: str) -> dict[str, float | None]:
    """The publication's measures in plain Python, over words between white space."""
    words, n = text.split(), len(text)
    ends = [0]
    for word in words:
        ends.append(ends[-1] + len(word))
    paragraphs = [p for p in re.split("\n{2,}", text.strip()) if p.strip()]
    lines = [line for line in text.split("\n") if line.strip()]
    found: dict[str, float | None] = {}
    for name, parts in (("para", paragraphs), ("line", lines)):
        count, characters = later_copies(parts)
        found[f"dup_{name}_frac"] = count / len(parts) if parts else None
        found[f"dup_{name}_char_frac"] = characters / n if n else None
    for length in TOP:
        counted = Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1)).most_common(1)
        repeated = len(" ".join(counted[0][0])) * counted[0][1] if counted and counted[0][1] > 1 else 0
        found[f"top_{length}_gram"] = repeated / n if n else None
    for length in DUPLICATED:
        seen, covered = set(), set()
        for i in range(len(words) - length + 1):
            gram = tuple(words[i : i + length])
            if gram in seen:
                covered.update(range(ends[i], ends[i + length]))
            seen.add(gram)
        found[f"duplicated_{length}_n_grams"] = len(covered) / n if n else None
    return found


def spaced(found: list[str]) -> list[str]:
    unspaced = without_spaces(*buffers(pa.array(found, pa.large_string())))
    return [text for text, without in zip(found, unspaced, strict=True) if not without]


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=30))
def test_as_published_on_any_text(found: list[str]) -> None:
    """Kernel and plain Python agree on every measure, to the last bit."""
    measured = measure(GopherRepetition, *spaced(found)).drop("n_chars").to_dicts()
    assert measured == [as_published(text) for text in spaced(found)]


def test_as_published_on_real_texts() -> None:
    found = spaced(real_texts())
    measured = measure(GopherRepetition, *found).drop("n_chars").to_dicts()
    assert measured == [as_published(text) for text in found]


def test_scripts_without_spaces() -> None:
    """Most of the letters decide; digits and marks do not."""
    found = ["日本語と English", "ภาษาไทย 12", "한국어 낱말", "по-русски", "hello 世界", "", "12 …", "ខ្មែរ"]
    expected = [False, True, False, False, False, False, False, True]
    assert without_spaces(*buffers(pa.array(found, pa.large_string()))).tolist() == expected


def test_without_spaces_between_words_measures_of_words_are_null() -> None:
    """They come back with a tokenizer that finds words there."""
    text = "これは日本語の文章です。" * 20
    (row,) = measure(GopherRepetition, text).to_dicts()
    assert [name for name, value in row.items() if value is None] == [name for name in row if "gram" in name]
    (row,) = measure(GopherRepetition, text, words="unspaced").to_dicts()
    assert row["duplicated_10_n_grams"] == 0.95


@pytest.mark.parametrize("plugin", [GopherQuality, GopherRepetition])
def test_as_dolma(plugin: Any) -> None:
    """All measures of the tagger gopher_v2, on values that dolma itself gave (dolma_expected.py)."""
    with gzip.open(Path(__file__).with_name("dolma_expected.jsonl.gz")) as file:
        expected = [json.loads(line) for line in file]
    measured = measure(plugin, *(e["text"] for e in expected), as_in="dolma")
    names = {
        "n_words": "word_count",
        "median_word_length": "median_word_length",
        "symbol_ratio": "symbol_to_word_ratio",
        "alpha_word_ratio": "fraction_of_words_with_alpha_character",
        "stop_words": "required_word_count",
        "bullet_line_ratio": "fraction_of_lines_starting_with_bullet_point",
        "end_ellipsis_line_ratio": "fraction_of_lines_ending_with_ellipsis",
        "dup_line_frac": "fraction_of_duplicate_lines",
        "dup_line_char_frac": "fraction_of_characters_in_duplicate_lines",
        **{f"top_{n}_gram": f"fraction_of_characters_in_most_common_{n}grams" for n in TOP},
        **{f"duplicated_{n}_n_grams": f"fraction_of_characters_in_duplicate_{n}grams" for n in DUPLICATED},
    }
    compared = [name for name in measured.columns if name in names]
    assert len(compared) == (7 if plugin is GopherQuality else 11)
    for name in compared:
        theirs = [e["gopher"].get(names[name]) for e in expected]
        assert measured[name].to_list() == theirs, name
        assert len(set(theirs)) > 20 or "ratio" in name


def test_the_rules_have_their_options() -> None:
    """Null switches each rule off."""
    step = GopherRepetition(as_in="datatrove")
    off = dict.fromkeys(step.rule_options())
    assert len(off) == 13
    assert set(first_reasons(GopherRepetition, HARD, as_in="datatrove", **off)) == {None, "empty"}


def test_no_documents() -> None:
    assert pl.DataFrame(GopherRepetition().measure(documents())).height == 0
