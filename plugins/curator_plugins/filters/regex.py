"""A regular expression of the user's."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import polars as pl

from curator import Filter, UsageError, hookimpl


class Regex(Filter):
    """Drop documents by how often a regular expression matches; at all, unless told otherwise.

    `matches` counts what the pattern finds in the text, without overlap. The syntax is that of Rust's regex
    crate (docs.rs/regex), which Polars uses, and linear in time: (?i) ignores case, (?m) lets ^ and $ match at
    lines, (?s) lets the dot match line ends, \\p{Greek} is a script; there is no look-around and no
    back-reference. As datatrove's RegexFilter, whose Python syntax differs in these.
    """

    version = 1
    rules: ClassVar[Any] = {"regex": "matches > $max_matches", "too_few_matches": "matches < $min_matches"}

    pattern: Annotated[str, "in the syntax of Rust's regex crate"]
    max_matches: Annotated[int | None, "more drop the document"] = 0
    min_matches: Annotated[int | None, "fewer drop the document"] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        try:
            pl.Series([""]).str.count_matches(self.pattern)
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"pattern = {self.pattern!r}: {_explained(str(error))}") from None

    def signals(self) -> dict[str, pl.Expr]:
        return {"matches": pl.col("text").str.count_matches(self.pattern).cast(pl.Int64)}


def _explained(error: str) -> str:
    """What is wrong, and at which character, of the several lines that draw it."""
    reason, caret = re.search(r"^error: (.*)", error, re.M), re.search(r"^ {4}( *)\^", error, re.M)
    place = f" at character {len(caret[1]) + 1}" if caret else ""
    return (reason[1] if reason else error.splitlines()[0]) + place


@hookimpl
def register_filters(register: Any) -> None:
    register(Regex)
