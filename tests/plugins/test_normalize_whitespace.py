"""normalize_whitespace: what each option evens out, against the same in plain Python."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator.testing import measure
from curator_plugins.cleaners.normalize_whitespace import NormalizeWhitespace
from tests.plugins.peers import some_text

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "line ends": ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne", {}),
    "line ends left": ("a\r\nb\u2028c", "a\r\nb\u2028c", {"line_ends": False}),
    "runs": ("a  b\t\tc \u00a0 d\u3000e", "a b c d e", {}),
    "runs left": ("a  b\u00a0c", "a  b\u00a0c", {"collapse": False}),
    "indentation": ("if a:\n    b  c", "if a:\n b c", {}),
    "indentation left": ("if a:\n\t\tb  c", "if a:\n\t\tb c", {"keep_indentation": True}),
    "trailing": ("a \nb\t\n \nc", "a\nb\n\nc", {}),
    "trailing left": ("a \nb", "a \nb", {"trailing": False}),
    "blank lines": ("a\n\n\n\nb\n \n\t\nc", "a\n\nb\n\nc", {}),
    "no blank lines": ("a\n\n\nb\nc", "a\nb\nc", {"max_blank_lines": 0}),
    "blank lines left": ("a\n\n\n\nb", "a\n\n\n\nb", {"max_blank_lines": None}),
    "ends": ("\n\n  a b\x1f\n", "a b", {}),
    "ends left": ("\n a\n", "\n a\n", {"strip": False}),
    "zero width stays": ("a\u200bb\ufeff", "a\u200bb\ufeff", {}),
    "normal": ("A line.\n\nAnother, with words.", "A line.\n\nAnother, with words.", {}),
    "nothing": ("", "", {}),
    "white space only": (" \r\n\t\u2029", "", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of(case: str) -> None:
    """Each kind of white space, with the option that leaves it as it is."""
    text, wanted, options = CASES[case]
    assert measure(NormalizeWhitespace, text, **options).rows() == [(len(text) - len(wanted), wanted)]


def in_python(text: str, most: int | None, indent: bool) -> str:
    lines = re.split(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)
    kept: list[str] = []
    for line in lines:
        start = line[: len(line) - len(line.lstrip())] if indent else ""
        evened = re.sub(r"\s+", " ", line[len(start) :])
        kept.append((start + evened).rstrip())
    if most is None:
        return "\n".join(kept).strip()
    text = "\n".join(kept)
    return re.sub(rf"\n{{{most + 2},}}", "\n" * (most + 1), text).strip()


@settings(max_examples=300, deadline=None)
@given(some_text(), st.sampled_from([0, 1, 2, None]), st.booleans())
def test_as_in_python(text: str, most: int | None, indent: bool) -> None:
    """Any text becomes what str's own methods make of it, and stays so the second time."""
    options = {"max_blank_lines": most, "keep_indentation": indent}
    (cleaned,) = measure(NormalizeWhitespace, text, **options)["text"]
    assert cleaned == in_python(text, most, indent)
    assert measure(NormalizeWhitespace, cleaned, **options).rows() == [(0, cleaned)]


def test_a_negative_number_of_lines() -> None:
    """Refused when the recipe is loaded."""
    with pytest.raises(UsageError, match="max_blank_lines = -1: give 0 or more"):
        NormalizeWhitespace(max_blank_lines=-1)
