"""refinedweb_lines: each rule, and all of them against DCLM's, written anew here in plain Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fasttext
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, check_filter, measure
from curator_plugins.cleaners.refinedweb_lines import RefinedwebLines
from tests.plugins.peers import by_line, real_texts, some_text

PLAIN = "A sentence of some words, which stays."
COUNTER = re.compile(
    r"^\W*\d(?:,|\.|\d)*(?:k|m|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|"
    r"downloads|views|followers)\W*$"
)


def cut(text: str, pattern: str) -> str:
    """DCLM's substring_line_modifier with max_length 10 and remove_substring_only."""
    kept = []
    for line in text.split("\n"):
        if len(line.split()) <= 10:
            shorter = re.sub(pattern, "", line, flags=re.I)
            if line and (not shorter or shorter.isspace()):
                continue
            line = shorter
        kept.append(line)
    return "\n".join(kept).strip()


def words(text: str) -> int:
    return sum(word[0].isalnum() for word in fasttext.FastText.tokenize(text) if word.strip())


def dclm(text: str) -> tuple[str, float | None]:
    """The text and the ratio of words removed; None where DCLM would divide by 0, and drops."""
    before, read = words(text), text
    ratio: Callable[[Any, str], float] = lambda test, line: sum(map(test, line)) / len(line)  # noqa: E731
    text = by_line(lambda line: not line or ratio(str.isupper, line) <= 0.5, text).strip()
    text = by_line(lambda line: not line or ratio(str.isdigit, line) <= 0.999999, text).strip()
    text = by_line(lambda line: not COUNTER.search(line.lower()), text).strip()
    text = by_line(lambda line: not line or len(line.split()) >= 2, text)
    text = cut(text, r"\s?(?:items in cart)")
    text = cut(text, r"\s?(?:read more...)$")
    text = cut(text, r"^(?:sign-in)\s?")
    if not before:
        return text, None
    return text, (before - words(text)) / before if text != read else 0.0


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("BUY NOW, while it lasts", "BUY NOW, while it lasts"),
        ("BUY IT NOW, sir", None),
        ("123456", None),
        ("1234 5678", "1234 5678"),  # the space is no digit
        ("²³ ¹", "²³ ¹"),
        ("²³¹", None),
        ("3 likes", None),
        ("» 1.2K  Followers «", None),
        ("3 likes of mine", "3 likes of mine"),
        ("Home", None),
        ("", ""),
        ("  \t", None),
        ("You have 3 items in cart", "You have 3"),
        ("items IN cart", None),
        ("all of these words are more than ten, so 3 items in cart", "all of these words are more than ten, so 3 items in cart"),
        ("The news of today Read more...", "The news of today"),
        ("The news of today read more!!!", "The news of today"),
        ("Read more... of the news", "Read more... of the news"),
        ("Sign-in to your account", "to your account"),
        ("Please sign-in here", "Please sign-in here"),
    ],
)  # fmt: skip
def test_lines(line: str, left: str | None) -> None:
    """What becomes of a line between two that stay."""
    text = f"{PLAIN}\n{line}\n{PLAIN}"
    wanted = "\n".join([PLAIN, *([] if left is None else [left]), PLAIN])
    (row,) = measure(RefinedwebLines, text).to_dicts()
    assert (row["text"], row["lines_removed"]) == (wanted, left is None)
    assert row["chars_removed"] == len(text) - len(wanted)
    assert row["words_removed_ratio"] == (words(text) - words(wanted)) / words(text)


def test_each_rule_may_be_off() -> None:
    """With its option null nothing goes, and its line alone is kept by nothing else."""
    lines = {
        "max_uppercase_ratio": "BUY IT NOW",
        "max_numeric_ratio": "123",
        "counters": "3 likes",
        "min_words": "Home",
    }
    lines["max_phrase_words"] = "Sign-in now"
    off = {**dict.fromkeys(lines), "counters": False}
    text = "\n".join([PLAIN, *lines.values(), PLAIN])
    assert measure(RefinedwebLines, text, **off)["text"].to_list() == [text]
    for option, line in lines.items():
        default = getattr(RefinedwebLines, option)
        (row,) = measure(RefinedwebLines, text, **{**off, option: default}).to_dicts()
        assert line not in row["text"].split("\n")
        others = {"BUY IT NOW", "Home", "3 likes"} if option != "min_words" else {"BUY IT NOW", "3 likes"}
        assert others - {line} <= set(row["text"].split("\n"))


def test_the_rule() -> None:
    """Over 5 % of the words: dropped; an unchanged text, or one without words, is kept."""
    twenty = " ".join(["word"] * 19)
    check_filter(
        RefinedwebLines,
        keep=[PLAIN, f"{twenty}\nHome", "", " \n ", "..."],
        drop={f"{twenty}\nHome\nNews": "word_removal_ratio", "HOME": "word_removal_ratio"},
    )
    check_filter(RefinedwebLines, keep=["HOME"], max_words_removed_ratio=None)
    assert measure(RefinedwebLines, "", "...", "x y", "x")["words_removed_ratio"].to_list() == [
        None,
        None,
        0.0,
        1.0,
    ]


PIECES = ["LOUD", "Word two", "12", "٣", "²", "3 likes", "1,5m\u00a0views!", "4K shares", "\nitems in cart", "Itemſ\u2009ın CART",
          "Read more...", "\nread moreabc\n", "\nSign-in", "sİgn-in ", "Ⅷ", "ǅ", "one two three four five six seven"]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(some_text(*PIECES), max_size=4))
@example(["\u3000Word here\n 12 \nSign-in a b", " \n\x1cHOME\n\u3000some words\nread more... "])
def test_as_dclm(texts: list[str]) -> None:
    """Texts and ratios are DCLM's, with all its strips between the rules."""
    found = measure(RefinedwebLines, *texts)
    assert found.select("text", "words_removed_ratio").rows() == [dclm(text) for text in texts]


def test_as_dclm_on_real_texts() -> None:
    """The same on real documents, of which some are dropped and some cleaned."""
    texts = [*real_texts(), *HARD_TEXTS]
    found = measure(RefinedwebLines, *texts)
    assert found.select("text", "words_removed_ratio").rows() == [dclm(text) for text in texts]
    assert 10 < (found["words_removed_ratio"] > 0.05).sum() < (found["lines_removed"] > 0).sum() < len(texts)
