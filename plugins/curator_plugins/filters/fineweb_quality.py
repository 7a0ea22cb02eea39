"""The quality rules of FineWeb (Penedo et al. 2024, section 3.6), over lines and their ends.

Algorithm: lines, their last characters and lengths in one pass over the bytes (`curator.text.segments`); about
200 MB/s beside the making of the words. Rejected: the reference's lists of strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from curator import Filter, hookimpl
from curator_plugins.filters.ratios import NO_SPACES, ratio

if TYPE_CHECKING:
    from curator.documents import Documents


class FinewebQuality(Filter):
    """Drop documents whose lines end without a mark, are short, repeat, or outnumber the words.

    Lines stand between newlines, blank ones are left out, none is stripped: a space, a carriage return or a
    closing quotation mark behind the mark makes a line one without. `line_punct_ratio` is the share of lines
    that end in one of `stop_chars` (any mark that ends a sentence in any script unless given),
    `short_line_ratio` that of lines of at most `short_line_length` characters, `char_dup_ratio` the share of the
    text's characters, newlines apart, in lines that repeat an earlier one, `list_ratio` newlines to words.

    `as_in: datatrove` gives datatrove's decisions and reasons exactly, with spaCy's words; `as_in: paper` differs
    in the words, which stand between white space, so that a list ratio is higher there, and NULL in a script
    that is written without spaces (`words: unspaced` finds words there). A text without a line that is not
    blank is dropped as `empty`, and its ratios are NULL, which drops nothing. Limits of null switch a rule off.
    """

    version = 1

    as_in: Literal["paper", "datatrove"] = "paper"
    words: Annotated[str | None, "word tokenizer; that of the reference unless given"] = None
    stop_chars: Annotated[str | None, "the marks that may end a line"] = None
    short_line_length: Annotated[int, "characters of a short line, at most"] = 30
    min_line_punct_ratio: float | None = 0.12
    line_punct_exclude_zero: Annotated[bool, "keep texts without any such line"] = False
    max_short_line_ratio: float | None = 0.67
    max_char_dup_ratio: float | None = 0.01
    max_list_ratio: float | None = 0.3

    signals: ClassVar[Any] = {
        "n_lines": int,
        "line_punct_ratio": float,
        "short_line_ratio": float,
        "char_dup_ratio": float,
        "list_ratio": float,
    }
    #: in the order in which datatrove looks, which makes the first its reason
    rules: ClassVar[Any] = {
        "empty": "n_lines = 0",
        "line_punct_ratio": "line_punct_ratio < $min_line_punct_ratio "
        "AND NOT (line_punct_ratio = 0 AND $line_punct_exclude_zero)",
        "short_line_ratio": "short_line_ratio > $max_short_line_ratio",
        "char_dup_ratio": "char_dup_ratio > $max_char_dup_ratio",
        "list_ratio": "list_ratio > $max_list_ratio",
    }

    @property
    def notes(self) -> dict[str, str]:  # type: ignore[override]
        return {NO_SPACES: "list_ratio IS NULL AND n_lines > 0"} if self.as_in == "paper" else {}

    @property
    def tokenizer(self) -> str:
        return self.words or ("spacy-en" if self.as_in == "datatrove" else "whitespace")

    def versions(self) -> Mapping[str, str]:
        from curator.text import tokenizer_version

        return {"words": tokenizer_version(self.tokenizer)}

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        import numpy as np

        from curator.text.characters import terminal_marks
        from curator.text.scripts import without_spaces
        from curator.text.segments import copies, ends, segments
        from curator.text.tokenizers import WITHOUT_SPACES
        from curator.text.words import buffers

        data, offsets = buffers(docs.arrow_text)
        lines = segments(data, offsets, blank=False)
        copied = copies(data, lines)
        end = ends(data, offsets, lines, self.stop_chars or terminal_marks(), self.short_line_length)
        listed = ratio(end.newlines, docs.words(self.tokenizer).counts)
        if self.as_in == "paper" and self.tokenizer not in WITHOUT_SPACES:
            listed = listed.scatter(np.flatnonzero(without_spaces(data, offsets)), None)
        return {
            "n_lines": copied.segments,
            "line_punct_ratio": ratio(end.marked, copied.segments),
            "short_line_ratio": ratio(end.short, copied.segments),
            "char_dup_ratio": ratio(copied.later_characters, end.characters).scatter(
                np.flatnonzero(copied.segments == 0), None
            ),
            "list_ratio": listed.scatter(np.flatnonzero(copied.segments == 0), None),
        }


@hookimpl
def register_filters(register: Any) -> None:
    register(FinewebQuality)
