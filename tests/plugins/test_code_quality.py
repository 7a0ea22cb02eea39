"""code_quality against the definitions of bigcode-dataset, in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, check_filter, measure
from curator_plugins.filters.code_quality import CodeQuality
from tests.plugins.peers import real_texts, some_text


def bigcode(text: str) -> tuple[int | None, float | None, float | None, float | None]:
    """add_stats, and the alphabetic share of basic_filters_per_extension."""
    if not text:
        return None, None, None, None
    lengths = [len(line) for line in text.splitlines()]
    mean = sum(lengths) / len(lengths)
    return (
        max(lengths),
        mean,
        sum(map(str.isalnum, text)) / len(text),
        sum(map(str.isalpha, text)) / len(text),
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", (None, None, None, None)),
        ("\n", (0, 0.0, 0.0, 0.0)),
        ("ab\r\n\r\nc1\x0c", (2, 4 / 3, 4 / 9, 3 / 9)),
        ("x²Ⅷ一é!", (6, 6.0, 5 / 6, 3 / 6)),
    ],
)
def test_signals(text: str, wanted: tuple[float | None, ...]) -> None:
    """Lines as str.splitlines has them, shares of all characters, line ends among them; undefined for nothing."""
    assert measure(CodeQuality, text).rows() == [wanted]


def test_rules() -> None:
    """The limits themselves pass; each rule by its name in the reference's order; null switches it off."""
    long, wide, sparse = "x" * 1001, "x" * 101, "x" * 24 + "." * 76
    drop = {
        f"{long}\n" + "y\n" * 99: "line_max",
        wide: "line_mean",
        sparse: "alphanum_frac",
        f"{long}": "line_max",
    }
    check_filter(CodeQuality, keep=["x" * 100, "x" * 25 + "." * 75, "", "a = 1\n"], drop=drop)
    check_filter(CodeQuality, keep=list(drop), line_max=None, line_mean=None, alphanum_frac=None)
    check_filter(CodeQuality, keep=["ab"], drop={"a1": "alphabetic_frac"}, alphabetic_frac=0.6)


@settings(max_examples=300, deadline=None)
@given(st.lists(some_text("def", "x = 1", ";", "é", "ʰ", "₂"), max_size=4))
def test_as_bigcode(texts: list[str]) -> None:
    """Any texts: the same numbers, to the last bit."""
    assert measure(CodeQuality, *texts).rows() == [bigcode(text) for text in texts]


def test_as_bigcode_on_real_texts() -> None:
    """The same on real documents, code among them."""
    texts = [*real_texts(), *HARD_TEXTS]
    assert measure(CodeQuality, *texts).rows() == [bigcode(text) for text in texts]
