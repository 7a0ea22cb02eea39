"""fineweb_quality against datatrove's FineWebQualityFilter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import check_filter, measure
from curator_plugins.filters.fineweb_quality import FinewebQuality
from tests.plugins.peers import datatrove, first_reasons, real_texts, reasons, some_text

LINES = [f"Sentence number {i} talks of topic{i} with word{i} and item{i}, plus thing{i} to note{i} that matter{i}." for i in range(8)]
U = "\n".join(LINES)
GOLDEN = {  # rules.md 2.11, observed on datatrove
    U: None,
    "": "empty",
    "  \n \n": "empty",
    "... !!! ???": "short_line_ratio",
    "\n".join([*LINES, LINES[0]]): "char_dup_ratio",
    "".join(f"{line}\n\n\n\n\n\n\n" for line in LINES): "list_ratio",
    "\n".join([*(f"tiny {i}." for i in range(7)), *LINES[:3]]): "short_line_ratio",
    "\n".join(line[:-1] for line in LINES): "line_punct_ratio",
    "x" * 29 + ".": "short_line_ratio",
    "x" * 30 + ".": None,
    "\n".join(f"{line} " for line in LINES): "line_punct_ratio",
    "\r\n".join(LINES): None,
}
texts = some_text("a line of more than thirty characters.", "the same line\n", "。", "…", ".\r\n", ".”", "\n\n\n\n", "word word word")


def by_datatrove(found: list[str], **options: object) -> list[str | None]:
    pytest.importorskip("spacy", reason="datatrove's English words are spaCy's")
    return reasons(datatrove("filters", "FineWebQualityFilter", **options), found)


def test_golden_cases() -> None:
    """The cases of rules.md, by the rule that datatrove names."""
    found = list(GOLDEN)
    by_them = by_datatrove(found)
    assert by_them == [GOLDEN[text] if "\r" not in text else by_them[-1] for text in found]
    keep = [text for text in found if GOLDEN[text] is None and "\r" not in text]
    drop = {text: reason for text, reason in GOLDEN.items() if reason}
    check_filter(FinewebQuality, keep=keep, drop=drop, as_in="datatrove")


def test_as_datatrove_on_real_texts() -> None:
    """Every decision and reason, in every language of the corpus; so with other options."""
    found = real_texts()
    ours = first_reasons(FinewebQuality, found, as_in="datatrove")
    assert ours == by_datatrove(found)
    assert set(ours) == {None, "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"}
    options = {"line_punct_exclude_zero": True, "stop_chars": (".", "।", ")"), "short_line_length": 60}
    ours = first_reasons(FinewebQuality, found, as_in="datatrove", **{**options, "stop_chars": ".।)"})
    assert ours == by_datatrove(found, **options)


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=10, max_size=40))
def test_as_datatrove_on_any_text(found: list[str]) -> None:
    assert first_reasons(FinewebQuality, found, as_in="datatrove") == by_datatrove(found)


def test_measures() -> None:
    """Shares of lines that are not blank; repeated characters without newlines; newlines to words."""
    text = "one two three.\n\nshort\none two three.\nand another one of more than thirty characters"
    (row,) = measure(FinewebQuality, text).to_dicts()
    assert row == {
        "n_lines": 4,
        "line_punct_ratio": 0.5,
        "short_line_ratio": 0.75,
        "char_dup_ratio": 14 / (len(text) - 4),
        "list_ratio": 4 / 15,
    }


def test_undefined_is_null() -> None:
    """No lines, no ratios; no spaces between words, no list ratio."""
    empty, japanese = measure(FinewebQuality, " \n ", "日本語の文章。\n").to_dicts()
    assert empty == {"n_lines": 0} | dict.fromkeys(list(empty)[1:])
    assert japanese["list_ratio"] is None
    assert japanese["line_punct_ratio"] == 1.0
    (row,) = measure(FinewebQuality, "日本語の文章。\n", words="unspaced").to_dicts()
    assert row["list_ratio"] == 1 / 7
