"""strip_markup_lines: which lines are markup and which are text, by option."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import measure
from curator_plugins.cleaners.strip_markup_lines import StripMarkupLines
from tests.plugins.peers import by_line, some_text

MARKUP = {
    "html": ["</div>", '  <p class="x y"> <br/>\t', "<!-- a > b -->", "<!DOCTYPE html>", "<h1><a-b:c></h1>"],
    "wiki": [
        '{| class="wikitable"', "|}", "|-", '|- style="color: red"', "[[Category:Rivers of Peru]]", "[[file:a.png|thumb]]",
        "__NOTOC__", " {{stub}} ",
    ],
    "markdown": ["---", "* * *", "=====", "|---|:--:|", "+---+---+", "```", "~~~python"],
    "braces": ["}", "});", " } } ", "[],", "body {", "a.b:hover, #c {", "function x() {"],
}  # fmt: skip
TEXT = [
    "", "   ", "Text <b>with</b> tags", "<3", "<john@example.org>", "a < b", "<p>Text", "[[Category:Rivers]] of Peru",
    "| cell || cell", "|-5 degrees", "{{stub}} text", "--", "- item", "# heading", "* a", "{ a }", "he said (so)", "...",
    "|+ Caption", "日本語", "```python print(1)```",
]  # fmt: skip


@pytest.mark.parametrize("option", MARKUP)
def test_each_option_names_its_lines(option: str) -> None:
    """With one option on, its lines go and all others stay; with all off nothing goes."""
    text = "\n".join(["first", *(line for lines in MARKUP.values() for line in lines), "last"])
    off = dict.fromkeys(MARKUP, False)
    wanted = by_line(lambda line: line not in MARKUP[option], text)
    chars = len(text) - len(wanted)
    assert measure(StripMarkupLines, text, **{**off, option: True}).rows() == [
        (len(MARKUP[option]), chars, wanted)
    ]
    assert measure(StripMarkupLines, text, **off).rows() == [(0, 0, text)]


def test_text_stays() -> None:
    """Lines with anything but markup are left, as are blank lines and other texts of the batch."""
    text = "\n".join(TEXT)
    assert measure(StripMarkupLines, text, "<p>", "a\n</p>\n").rows() == [
        (0, 0, text),
        (1, 3, ""),
        (1, 5, "a\n"),
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(some_text(*TEXT, *(line for lines in MARKUP.values() for line in lines)), max_size=4))
def test_it_only_removes_lines_and_repeats_nothing(texts: list[str]) -> None:
    """What is left are lines of the text, in order; a second time nothing goes."""
    once = measure(StripMarkupLines, *texts)
    for text, left, removed in zip(texts, once["text"], once["lines_removed"], strict=True):
        lines = iter(text.split("\n"))
        kept = left.split("\n") if left or removed <= text.count("\n") else []
        assert all(line in lines for line in kept)
        assert len(kept) == text.count("\n") + 1 - removed
    assert measure(StripMarkupLines, *once["text"])["text"].to_list() == once["text"].to_list()
