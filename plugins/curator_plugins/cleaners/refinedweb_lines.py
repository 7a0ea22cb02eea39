"""RefinedWeb's line rules (Penedo et al. 2023, appendix G.2), as DCLM wrote them down.

Algorithm: the rules one after the other over the whole batch, as in DCLM, since each strips the text and so
changes what the next sees of its first and last line; each is a regex over the lines of all texts. The four
about phrases look only at texts that have the phrase at all. About 60 MB/s a core. Rejected: one pass for all
rules, which cannot follow the strips; the reference's loops in Python.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl

from curator import Cleaner, hookimpl
from curator.patterns import NOT_WORD, SPACE, WHITESPACE, drop_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curator.documents import Documents

_COUNTED = (
    "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
)
# in either case; a Kelvin sign is a k in lower case
_NOUN = "".join(f"[{c}{c.upper()}]" if c != "|" else c for c in _COUNTED).replace("[kK]", "[kK\u212a]")
#: a line as "3 likes" or "1.2k followers »"
_COUNTER = rf"^{NOT_WORD}*\d[\d,.]*[kK\u212amMbB]?[{SPACE}]+(?:{_NOUN}){NOT_WORD}*$"
# Python's re.IGNORECASE takes U+0130 and U+0131 for i; the dots are any characters in DCLM, too
_CART = "(?i:[iİı]tems [iİı]n cart)"
_READ_MORE = "(?i:read more...)"
_SIGN_IN = "(?i:s[iİı]gn-[iİı]n)"
#: what a text holds at all, and what is cut out of its lines
_PHRASES = {
    _CART: rf"[{SPACE}]?{_CART}",
    rf"(?m){_READ_MORE}$": rf"[{SPACE}]?{_READ_MORE}$",
    rf"(?m)^{_SIGN_IN}": rf"^{_SIGN_IN}[{SPACE}]?",
}
_LINE = pl.col("line")
_ANY_WORD = r"(?:^|[ \n\r\t\x0b\x0c\x00])[\p{L}\p{N}]"


class RefinedwebLines(Cleaner):
    """Remove lines of menus, counters and buttons by RefinedWeb's rules (DCLM).

    In this order a line (between "\\n") goes where its share of upper-case characters is over
    `max_uppercase_ratio`; that of digits over `max_numeric_ratio`; it is a counter ("3 likes"); it has under
    `min_words` words, blank lines apart. Then "items in cart" anywhere, "Read more..." at the end and "Sign-in"
    at the start are cut out of lines of at most `max_phrase_words` words, and a line of which nothing is left
    goes. White space at both ends of the text goes. A null switches a rule off.

    A document of which more than `max_words_removed_ratio` of the words went is dropped; a word is what stands
    between ASCII white space and begins with a letter or digit. The texts and decisions are those of DCLM's
    dclm_baseline_refinedweb.yaml, from `word_counter_enricher` on, but that a text without such words has a
    ratio of NULL and is kept, where DCLM drops it, and that a text of which nothing is left is dropped by the
    ratio. `lines_removed` counts lines, not phrases.
    """

    version = 1
    signals: ClassVar[Any] = {"lines_removed": int, "chars_removed": int, "words_removed_ratio": float}
    rules: ClassVar[Any] = {"word_removal_ratio": "words_removed_ratio > $max_words_removed_ratio"}

    max_uppercase_ratio: Annotated[float | None, "of a line's characters"] = 0.5
    max_numeric_ratio: Annotated[float | None, "of a line's characters"] = 0.999999
    counters: Annotated[bool, 'remove lines as "3 likes"'] = True
    min_words: Annotated[int | None, "in a line that is not blank"] = 2
    max_phrase_words: Annotated[int | None, "in a line that phrases are cut out of"] = 10
    max_words_removed_ratio: float | None = 0.05

    def clean(self, docs: Documents) -> tuple[pl.Series, Mapping[str, Any]]:
        text, removed = docs.text, pl.Series([0] * len(docs), dtype=pl.Int64)
        for dropped, strips in self._drops():
            text, n = drop_lines(text, dropped)
            removed = removed + n
            if strips:
                text = text.str.strip_chars(WHITESPACE)
        if self.max_phrase_words is not None:
            for sign, phrase in _PHRASES.items():
                text, n = self._cut(text, sign, phrase)
                removed = removed + n
        chars = docs.text.str.len_chars().cast(int) - text.str.len_chars().cast(int)
        ratios = {"words_removed_ratio": _removed_ratio(docs, text)}
        return text, {"lines_removed": removed, "chars_removed": chars, **ratios}

    def _drops(self) -> list[tuple[pl.Expr, bool]]:
        """The rules that remove lines, and whether DCLM strips the text after each."""
        length, found = _LINE.str.len_chars(), []
        if self.max_uppercase_ratio is not None:
            ratio = _LINE.str.count_matches(r"\p{Uppercase}") / length
            found.append(((length > 0) & (ratio > self.max_uppercase_ratio), True))
        if self.max_numeric_ratio is not None:
            ratio = _LINE.str.count_matches(_digit()) / length
            found.append(((length > 0) & (ratio > self.max_numeric_ratio), True))
        if self.counters:
            found.append((_LINE.str.contains(_COUNTER), True))
        if self.min_words is not None:
            found.append(((_LINE != "") & ~_LINE.str.contains(_at_least(self.min_words)), False))
        return found

    def _cut(self, texts: pl.Series, sign: str, phrase: str) -> tuple[pl.Series, pl.Series]:
        """The texts without the phrase in short lines, stripped; and how many lines nothing was left of."""
        removed = pl.Series([0] * len(texts), dtype=pl.Int64)
        rows = texts.alias("line").to_frame().with_row_index("doc")
        rows = rows.filter(_LINE.str.contains(sign))
        if rows.height:
            short = ~_LINE.str.contains(_at_least((self.max_phrase_words or 0) + 1))
            lines = (
                rows.with_columns(_LINE.str.split("\n"))
                .explode("line")
                .with_columns(
                    pl.when(short).then(_LINE.str.replace_all(phrase, "")).otherwise(_LINE).alias("cut")
                )
            )
            empty = (_LINE != "") & (pl.col("cut").str.strip_chars(WHITESPACE) == "") & short
            texts_of = lines.with_columns(empty=empty).group_by("doc", maintain_order=True)
            left = texts_of.agg(pl.col("cut").filter(~pl.col("empty")), pl.col("empty").sum().cast(pl.Int64))
            texts = texts.clone().scatter(left["doc"], left["cut"].list.join("\n"))
            removed = removed.scatter(left["doc"], left["empty"])
        return texts.str.strip_chars(WHITESPACE), removed


@cache
def _digit() -> str:
    """Matches what `str.isdigit` takes: decimal digits, superscripts, circled ones, of all scripts."""
    return f"[{''.join(re.escape(c) for c in map(chr, range(0x20000)) if c.isdigit())}]"


def _at_least(words: int) -> str:
    """Matches a line of so many words of `str.split` or more."""
    return "" if words < 1 else rf"(?:[^{SPACE}]+[{SPACE}]+){{{words - 1}}}[^{SPACE}]"


def _removed_ratio(docs: Documents, text: pl.Series) -> pl.Series:
    """The share of words that went; null where there was none. Counted only where something changed."""
    from curator.text.alnum import fasttext_words
    from curator.text.words import buffers

    changed = docs.text != text
    before, after = (
        fasttext_words(*buffers(d.take(changed).arrow_text)) for d in (docs, docs.with_text(text))
    )
    share = pl.Series((before - after) / np.maximum(before, 1)).scatter(np.flatnonzero(before == 0), None)
    some = pl.select(pl.when(docs.text.str.contains(_ANY_WORD)).then(0.0)).to_series()
    return some.scatter(changed.arg_true(), share)


@hookimpl
def register_cleaners(register: Any) -> None:
    register(RefinedwebLines)
