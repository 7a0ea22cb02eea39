"""c4_paragraphs against datatrove's C4ParagraphFilter."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, check_filter, measure
from curator_plugins.filters.c4_paragraphs import C4Paragraphs
from tests.plugins.peers import datatrove, real_texts, reasons, some_text

LONG, SHORT = "é" * 200, "x" * 199


@pytest.mark.parametrize(
    ("text", "lines", "third"),
    [
        ("", 1, None),
        ("a\nbb", 2, None),
        ("a\n\nbb", 3, 0),
        (f"{LONG}\nab\n{SHORT}\r\nabc\u2028d", 4, 5),
        ("日本\n日本語\n日\n本語日本", 4, 2),
    ],
)
def test_signals(text: str, lines: int, third: int | None) -> None:
    """Lines between newlines alone, in characters; undefined with fewer than three."""
    assert measure(C4Paragraphs, text).rows() == [(lines, third)]


def test_the_rule() -> None:
    """Three lines of 200 characters are enough; fewer or shorter are not; null switches a part off."""
    drop = dict.fromkeys([f"{LONG}\n{LONG}\n{SHORT}", f"{LONG}\n{LONG}", ""], "too_few_paragraphs")
    check_filter(C4Paragraphs, keep=[f"{LONG}\n\n{LONG}\n{LONG}"], drop=drop)
    check_filter(C4Paragraphs, keep=["a\nb\nc"], drop={"a\nb": "too_few_paragraphs"}, min_paragraph_len=None)
    check_filter(
        C4Paragraphs, keep=[f"{LONG}\n{LONG}"], drop={"a\nb\nc": "too_few_paragraphs"}, min_paragraphs=None
    )


@functools.cache
def reference() -> Any:
    return datatrove("filters.c4_filters", "C4ParagraphFilter")


@settings(max_examples=200, deadline=None)
@given(st.lists(some_text(LONG, SHORT, f"\n{LONG}\n"), max_size=5))
def test_as_datatrove(texts: list[str]) -> None:
    """Any texts: the signals say what the reference decides."""
    ours = [n < 3 or third < 200 for n, third in measure(C4Paragraphs, *texts).rows()]
    assert ours == [reason is not None for reason in reasons(reference(), texts)]


def test_as_datatrove_on_real_texts() -> None:
    """Real and hard documents: the same are dropped, and some are not."""
    texts = list(dict.fromkeys([*real_texts(), *HARD_TEXTS]))
    theirs = dict(zip(texts, reasons(reference(), texts), strict=True))
    assert set(theirs.values()) == {None, "< 3 paragraphs"}
    drop = {text: "too_few_paragraphs" for text, reason in theirs.items() if reason}
    check_filter(C4Paragraphs, keep=[text for text in texts if text not in drop], drop=drop)
