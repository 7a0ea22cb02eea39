"""regex: counts, limits, and what a wrong pattern says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from curator import RecipeError, UsageError
from curator.testing import check_filter, measure
from curator_plugins.filters.regex import Regex
from tests.conftest import Workshop, reasons
from tests.plugins import peers


def test_matches_are_counted() -> None:
    """Without overlap, over the whole text."""
    texts = ["aaaa", "baab\naa", "", "AA"]
    assert measure(Regex, *texts, pattern="aa")["matches"].to_list() == [2, 2, 0, 0]
    assert measure(Regex, *texts, pattern="(?i)aa")["matches"].to_list() == [2, 2, 0, 1]
    assert measure(Regex, *texts, pattern="(?m)^aa$")["matches"].to_list() == [0, 1, 0, 0]


def test_rules() -> None:
    """Found at all drops; other limits are options; both may be off."""
    check_filter(Regex, keep=["b"], drop={"a": "regex", "aa": "regex"}, pattern="a")
    check_filter(Regex, keep=["b", "a"], drop={"aa": "regex"}, pattern="a", max_matches=1)
    drop = {"a": "too_few_matches", "b": "too_few_matches"}
    check_filter(Regex, keep=["aa", "aaa"], drop=drop, pattern="a", max_matches=None, min_matches=2)
    check_filter(Regex, keep=["", "aaa"], pattern="a", max_matches=None)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ab(c", "pattern = 'ab(c': unclosed group at character 3"),
        (r"(?<=a)b", "look-around, including look-ahead and look-behind, is not supported at character 1"),
        (r"(a)\1", r"backreferences are not supported at character 4"),
    ],
)
def test_a_wrong_pattern(pattern: str, message: str) -> None:
    """The pattern, what is wrong with it, and where."""
    with pytest.raises(UsageError, match=re.escape(message)):
        Regex(pattern=pattern)


def test_a_wrong_pattern_in_a_recipe(workshop: Workshop, tmp_path: Path) -> None:
    """The error names file and line, too."""
    with pytest.raises(
        RecipeError, match=r"test.yaml:\d+: steps\[0\].regex.*unclosed group|test.yaml.*unclosed group"
    ):
        workshop.recipe([{"regex": {"pattern": "a("}}], [workshop.source("web", [{"id": "1", "text": "a"}])])


def test_in_a_run(workshop: Workshop) -> None:
    """Dropped with the rule's name."""
    texts = [{"id": "a", "text": "lorem ipsum"}, {"id": "b", "text": "dolor"}]
    assert reasons(workshop.curate([{"regex": {"pattern": "ipsum"}}], texts)) == {
        "a": "regex.regex",
        "b": None,
    }


@settings(max_examples=100, deadline=None)
@given(peers.some_text("ipsum", "IPSUM", "12", "a-b"))
def test_as_datatrove(text: str) -> None:
    """Patterns that mean the same in both: the same texts are dropped."""
    for pattern in ("ipsum", "(?i)ipsum|[0-9]{2}", r"\n\n", "a-?b"):
        (dropped,) = peers.reasons(peers.datatrove("filters.regex_filter", "RegexFilter", pattern), [text])
        assert (measure(Regex, text, pattern=pattern)["matches"][0] > 0) == (dropped is not None)
