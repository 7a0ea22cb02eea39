"""symbol_lines against datatrove's SymbolLinesFormatter, byte for byte."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, measure
from curator_plugins.cleaners.symbol_lines import SymbolLines
from tests.plugins.peers import datatrove, real_texts, some_text


@pytest.mark.parametrize(
    ("text", "replace_char", "wanted", "removed"),
    [
        ("a\n---\n***\nb", "", "a\nb", 2),
        ("a\n---\n***\nb\n===", "§", "a\n§\nb\n§", 3),
        ("---\n\n***", "§", "§\n\n§", 2),
        ("a\r\n \t \r\n- - -\u2028b\n", "", "a\n \t \nb", 1),
        ("---", "", "", 1),
        ("-\t-", "", "-\t-", 0),  # a tab is neither a symbol nor a space
        ("", "", "", 0),
    ],
)
def test_lines_of_symbols(text: str, replace_char: str, wanted: str, removed: int) -> None:
    """They go, or each run becomes one line; blank lines stay; line ends become newlines."""
    assert measure(SymbolLines, text, replace_char=replace_char).rows() == [(removed, wanted)]


def test_other_symbols() -> None:
    """FineWeb-2's: what is left of tables becomes blank lines."""
    datatrove_s = datatrove("formatters.symbol_lines_remover", "SymbolLinesFormatter", ["|"], "\n")
    text = "a\n| |\n||\n---\nb | c\n|"
    assert measure(SymbolLines, text, symbols="|", replace_char="\n")["text"].to_list() == [datatrove_s.format(text)]


@functools.cache
def reference(replace_char: str) -> Any:
    return datatrove("formatters.symbol_lines_remover", "SymbolLinesFormatter", replace_char=replace_char)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(some_text("-", "---\n", "* * *", "\n!\n", "。", "．", "\x7f"), max_size=4),
    st.sampled_from(["", "§", "\n"]),
)
@example(["\n", "\n\n", "---\n", "a\n---\n", "\x1f", "\x1f-"], "")
def test_as_datatrove(texts: list[str], replace_char: str) -> None:
    """Any text, also next to others in a batch."""
    ours = measure(SymbolLines, *texts, replace_char=replace_char)["text"].to_list()
    assert ours == [reference(replace_char).format(text) for text in texts]


@pytest.mark.parametrize("replace_char", ["", "\n", "§"])
def test_as_datatrove_on_real_texts(replace_char: str) -> None:
    """Real documents and hard ones; some lose lines."""
    texts = [*real_texts(), *HARD_TEXTS]
    found = measure(SymbolLines, *texts, replace_char=replace_char)
    assert found["text"].to_list() == [reference(replace_char).format(text) for text in texts]
    assert (found["lines_removed"] > 0).sum() > 10
