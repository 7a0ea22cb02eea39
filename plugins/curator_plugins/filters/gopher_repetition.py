"""The repetition rules of Gopher (Rae et al. 2021, table A1), as published, or as datatrove or dolma apply them.

Algorithm: `curator.text.segments` and `curator.text.repetition`, over the words that all filters share; 60-110
MB/s beside the making of the words. Rejected: the references' lists and counters of strings, nine for each
document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl

from curator import Filter, hookimpl
from curator_plugins.filters.ratios import NO_SPACES, ratio

if TYPE_CHECKING:
    from curator.documents import Documents

TOP, DUPLICATED = (2, 3, 4), (5, 6, 7, 8, 9, 10)


class GopherRepetition(Filter):
    """Drop documents that repeat lines, paragraphs or n-grams of words, by Gopher's table A1.

    Signals are shares of the text's characters, or of its lines and paragraphs, that are repetitions; a line,
    paragraph or n-gram repeats if an equal one stands before it.

    `as_in: paper` follows the publication over words between white space: lines and paragraphs are not blank,
    an n-gram that occurs once is no repetition (`top_n_gram` is then 0), and of the duplicated n-grams no
    character counts twice. In a script that is written without spaces the measures of n-grams are NULL, unless
    `words: unspaced`.

    `as_in: datatrove` gives datatrove's decisions and reasons exactly, over spaCy's words: the most frequent
    n-gram counts even if it occurs once, so short texts fail; newlines at the start and the end of a text are
    lines, which repeat; n-grams of 5 to 10 words are equal if their characters are, and what overlaps a repeated
    one is not looked at; an empty text is dropped as `empty`.

    `as_in: dolma` measures as dolma's tagger gopher_v2 does, over words between white space: a repeated line or
    n-gram counts with all its copies, the first too; shares of the most frequent n-gram are of the characters
    without white space, those of duplicated n-grams of all n-grams' characters, overlapping as they do. There
    are no paragraphs, and what a text is too short for is NULL.

    What is undefined is NULL and drops nothing. Limits of null switch a rule off.
    """

    version = 1

    as_in: Literal["paper", "datatrove", "dolma"] = "paper"
    words: Annotated[
        Literal["whitespace", "unicode", "unspaced", "spacy-en"] | None,
        "word tokenizer; that of the reference unless given",
    ] = None
    max_dup_para_frac: float | None = 0.3
    max_dup_para_char_frac: float | None = 0.2
    max_dup_line_frac: float | None = 0.3
    max_dup_line_char_frac: float | None = 0.2
    max_top_2_gram: float | None = 0.2
    max_top_3_gram: float | None = 0.18
    max_top_4_gram: float | None = 0.16
    max_duplicated_5_n_grams: float | None = 0.15
    max_duplicated_6_n_grams: float | None = 0.14
    max_duplicated_7_n_grams: float | None = 0.13
    max_duplicated_8_n_grams: float | None = 0.12
    max_duplicated_9_n_grams: float | None = 0.11
    max_duplicated_10_n_grams: float | None = 0.10

    measured: ClassVar[Sequence[str]] = (
        "dup_para_frac",
        "dup_para_char_frac",
        "dup_line_frac",
        "dup_line_char_frac",
        *(f"top_{n}_gram" for n in TOP),
        *(f"duplicated_{n}_n_grams" for n in DUPLICATED),
    )

    def signals(self) -> dict[str, Any]:
        return {"n_chars": int} | dict.fromkeys(self.measured, float)

    def rules(self) -> dict[str, str]:
        """In the order in which datatrove looks, which makes the first its reason."""
        empty = {"empty": "n_chars = 0"} if self.as_in == "datatrove" else {}
        return empty | {name: f"{name} > $max_{name}" for name in self.measured}

    @property
    def notes(self) -> dict[str, str]:  # type: ignore[override]
        return {NO_SPACES: "top_2_gram IS NULL AND n_chars > 0"} if self.as_in == "paper" else {}

    @property
    def tokenizer(self) -> str:
        return self.words or ("spacy-en" if self.as_in == "datatrove" else "whitespace")

    def versions(self) -> Mapping[str, str]:
        from curator.text import tokenizer_version

        return {"words": tokenizer_version(self.tokenizer)}

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        from curator.text.repetition import COVER, EVERY, SKIP, repetition
        from curator.text.scripts import without_spaces
        from curator.text.tokenizers import WITHOUT_SPACES
        from curator.text.words import buffers

        data, offsets = buffers(docs.arrow_text)
        words = docs.words(self.tokenizer)
        reading = {"paper": COVER, "datatrove": SKIP, "dolma": EVERY}[self.as_in]
        found = repetition(data, offsets, words, reading)
        n_grams: dict[str, pl.Series] = {}
        if self.as_in == "dolma":
            characters = _sums(words.lengths, words.doc_offsets)
            for at, n in enumerate(TOP):
                share = ratio(found.top[at], np.maximum(characters, 1))
                n_grams[f"top_{n}_gram"] = _where(found.top_count[at] > 0, share)
            for at, n in enumerate(DUPLICATED):
                share = ratio(found.duplicated[at], np.maximum(found.total[at], 1))
                n_grams[f"duplicated_{n}_n_grams"] = _where(words.counts >= n, share)
        else:
            for at, n in enumerate(TOP):
                count = found.top_count[at]
                top = found.top[at] + (n - 1) * count  # joined with spaces
                repeated = top if self.as_in == "datatrove" else np.where(count > 1, top, 0)
                n_grams[f"top_{n}_gram"] = ratio(repeated, found.characters)
            for at, n in enumerate(DUPLICATED):
                n_grams[f"duplicated_{n}_n_grams"] = ratio(found.duplicated[at], found.characters)
        if self.as_in == "paper" and self.tokenizer not in WITHOUT_SPACES:
            spaced = ~without_spaces(data, offsets)
            n_grams = {name: _where(spaced, values) for name, values in n_grams.items()}
        return {"n_chars": found.characters, **self._lines(docs, found.characters), **n_grams}

    def _lines(self, docs: Documents, characters: Any) -> dict[str, pl.Series]:
        from curator.text.segments import copies, segments
        from curator.text.words import buffers

        data, offsets = buffers(docs.arrow_text)
        if self.as_in == "dolma":
            line = copies(data, segments(data, offsets))
            none = pl.Series([None] * len(docs), dtype=pl.Float64)
            without_space = _sums(docs.words("whitespace").lengths, docs.words("whitespace").doc_offsets)
            share = ratio(line.repeated_characters, np.maximum(without_space, 1))
            return {
                "dup_para_frac": none,
                "dup_para_char_frac": none,
                "dup_line_frac": _where(characters > 0, ratio(line.repeated, line.segments), 0.0),
                "dup_line_char_frac": _where(characters > 0, share, 0.0),
            }
        blank = self.as_in == "datatrove"
        paragraph = copies(data, segments(data, offsets, newlines=2, stripped=True, blank=blank))
        line = copies(data, segments(data, offsets, blank=blank))
        return {
            "dup_para_frac": ratio(paragraph.later, paragraph.segments),
            "dup_para_char_frac": ratio(paragraph.later_characters, characters),
            "dup_line_frac": ratio(line.later, line.segments),
            "dup_line_char_frac": ratio(line.later_characters, characters),
        }


def _where(mask: Any, values: pl.Series, otherwise: float | None = None) -> pl.Series:
    return values.scatter(np.flatnonzero(~mask), otherwise)


def _sums(values: Any, offsets: Any) -> Any:
    """The sum of each document's values, int64[n_docs]."""
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
    return running[offsets[1:]] - running[offsets[:-1]]


@hookimpl
def register_filters(register: Any) -> None:
    register(GopherRepetition)
