"""The quality rules of Gopher (Rae et al. 2021, appendix A.1.1), as published, or as datatrove or dolma apply them.

Algorithm: sums over the word tables that all filters share, and one pass over the bytes for the lines; about
200 MB/s beside the making of the words. Rejected: the reference's list of strings for each document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import xxhash

from curator import Filter, hookimpl
from curator_plugins.filters.ratios import NO_SPACES, ratio

if TYPE_CHECKING:
    from curator.documents import Documents


class GopherQuality(Filter):
    """Drop documents by Gopher's quality rules: length, word length, symbols, bullets, letters, stop words.

    `as_in: paper` follows the publication: words stand between white space, all of them count, and `stop_words`
    is how many of the listed ones occur (the, be, to, of, and, that, have, with; lower case). Where an earlier
    step tells languages, a text in another than English is looked at with that language's list in
    `stop_word_lists`, and is NULL without one. In a script that is written without spaces the measures of
    words are NULL, unless `words: unspaced`.

    `as_in: datatrove` gives datatrove's decisions and reasons exactly: words are spaCy's, where punctuation
    marks are words of their own; the limits on number and length of words look only at words with a character
    that is no punctuation, all other ratios are to all words. So a text has more words there, a shorter mean,
    and a lower share of words with a letter; "the," is a stop word there, not between white space. Languages
    play no part, unless there are `stop_word_lists`, as FineWeb-2 has them.

    `as_in: dolma` measures as dolma's tagger gopher_v2 does: words stand between white space, the median of
    their lengths counts, "#" and "…" are counted as words that hold one, `stop_words` with every occurrence, and
    lines stand between newlines, with "*" or "-" as bullets at their very beginning and "…" at their very end.

    What is undefined is NULL and drops nothing: the mean and ratios of a text without words, the shares of a
    text without lines (dolma: 0). Such a text is dropped as gopher_short_doc. `words` chooses another
    tokenizer. Limits of null switch a rule off.
    """

    version = 2

    as_in: Literal["paper", "datatrove", "dolma"] = "paper"
    words: Annotated[str | None, "word tokenizer; that of the reference unless given"] = None
    stop_word_lists: Annotated[dict[str, list[str]], "stop words of other languages, by ISO code"] = {}
    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_length: float | None = 3.0
    max_mean_word_length: float | None = 10.0
    max_hash_ratio: float | None = 0.1
    max_ellipsis_ratio: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_end_ellipsis_lines: float | None = 0.3
    min_alpha_ratio: float | None = 0.8
    min_stop_words: int | None = 2

    def signals(self) -> dict[str, Any]:
        dolma = self.as_in == "dolma"
        symbols = ("symbol_ratio",) if dolma else ("hash_ratio", "ellipsis_ratio")
        return {
            "n_words": int,
            **({} if dolma else {"n_non_symbol_words": int}),
            "median_word_length" if dolma else "mean_word_length": float,
            **dict.fromkeys(symbols, float),
            "bullet_line_ratio": float,
            "end_ellipsis_line_ratio": float,
            "alpha_word_ratio": float,
            "stop_words": int,
        }

    def rules(self) -> dict[str, str]:
        """In the order in which datatrove looks, which makes the first its reason."""
        counted = "n_non_symbol_words" if self.as_in == "datatrove" else "n_words"
        length = "median_word_length" if self.as_in == "dolma" else "mean_word_length"
        if self.as_in == "dolma":
            symbols = {"gopher_too_many_symbols": "symbol_ratio > $max_hash_ratio"}
        else:
            symbols = {
                "gopher_too_many_hashes": "hash_ratio > $max_hash_ratio",
                "gopher_too_many_ellipsis": "ellipsis_ratio > $max_ellipsis_ratio",
            }
        return {
            "gopher_short_doc": f"{counted} < $min_words",
            "gopher_long_doc": f"{counted} > $max_words",
            "gopher_below_avg_threshold": f"{length} < $min_mean_word_length",
            "gopher_above_avg_threshold": f"{length} > $max_mean_word_length",
            **symbols,
            "gopher_too_many_bullets": "bullet_line_ratio > $max_bullet_lines",
            "gopher_too_many_end_ellipsis": "end_ellipsis_line_ratio > $max_end_ellipsis_lines",
            "gopher_below_alpha_threshold": "alpha_word_ratio < $min_alpha_ratio",
            "gopher_enough_stop_words": "stop_words < $min_stop_words",
        }

    @property
    def notes(self) -> dict[str, str]:  # type: ignore[override]
        no_spaces = {NO_SPACES: "n_words IS NULL"} if self.as_in == "paper" else {}
        if not self.reads:
            return {}
        return no_spaces | {
            "in a language without a list of stop words (stop_word_lists takes one): that rule drops nothing there": (
                "stop_words IS NULL AND n_words IS NOT NULL"
            ),
        }

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        by_language = self.as_in == "paper" or (self.as_in == "datatrove" and self.stop_word_lists)
        return ("documents.language",) if by_language else ()

    @property
    def tokenizer(self) -> str:
        return self.words or ("spacy-en" if self.as_in == "datatrove" else "whitespace")

    def versions(self) -> Mapping[str, str]:
        from curator.text import tokenizer_version

        return {"words": tokenizer_version(self.tokenizer)}

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        if self.as_in == "dolma":
            return self._as_dolma(docs)
        from curator.text.lines import lines
        from curator.text.totals import totals
        from curator.text.words import buffers

        total = totals(docs.words(self.tokenizer))
        line = lines(*buffers(docs.arrow_text))
        if self.as_in == "paper":
            mean = ratio(total.characters, total.words)
        else:
            mean = ratio(total.non_symbol_characters, total.non_symbol_words)
        by_words = {
            "n_words": pl.Series(total.words),
            "n_non_symbol_words": pl.Series(total.non_symbol_words),
            "mean_word_length": mean,
            "hash_ratio": ratio(line.hashes, total.words),
            "ellipsis_ratio": ratio(line.ellipses, total.words),
            "alpha_word_ratio": ratio(total.alpha_words, total.words),
            "stop_words": pl.Series(total.stop_words),
        }
        if self.reads:
            by_words["stop_words"] = self._stop_words(docs, by_words["stop_words"])
        if self.as_in == "paper":
            by_words = self._in_words(docs, by_words)
        return by_words | {
            "bullet_line_ratio": ratio(line.bullet_lines, line.lines),
            "end_ellipsis_line_ratio": ratio(line.ellipsis_lines, line.lines),
        }

    def _stop_words(self, docs: Documents, english: pl.Series) -> pl.Series:
        """By the list of each document's language; English where no step tells languages."""
        languages = docs.signal("documents.language").fill_null("en")
        found = english.scatter(np.flatnonzero(languages != "en"), None)
        words = docs.words(self.tokenizer)
        for language, listed in self.stop_word_lists.items():
            hashes = np.array([xxhash.xxh3_64_intdigest(word.encode()) for word in listed], np.uint64)
            for d in np.flatnonzero(languages == language):
                here = words.hashes[words.doc_offsets[d] : words.doc_offsets[d + 1]]
                found[int(d)] = int(np.isin(hashes, here).sum())
        return found

    def _in_words(self, docs: Documents, measured: dict[str, pl.Series]) -> dict[str, pl.Series]:
        """NULL where the tokenizer finds no words for want of spaces."""
        from curator.text.scripts import without_spaces
        from curator.text.tokenizers import WITHOUT_SPACES
        from curator.text.words import buffers

        if self.tokenizer in WITHOUT_SPACES:
            return measured
        undefined = np.flatnonzero(without_spaces(*buffers(docs.arrow_text)))
        return {name: values.scatter(undefined, None) for name, values in measured.items()}

    def _as_dolma(self, docs: Documents) -> Mapping[str, Any]:
        from curator.text.dolma import gopher
        from curator.text.totals import totals
        from curator.text.words import buffers

        words = docs.words(self.tokenizer)
        total, found = totals(words), gopher(*buffers(docs.arrow_text), words)
        n_words, n_lines = np.maximum(total.words, 1), np.maximum(found.lines, 1)
        return {
            "n_words": total.words,
            "median_word_length": found.median_word_length,
            "symbol_ratio": found.symbol_words / n_words,
            "bullet_line_ratio": found.bullet_lines / n_lines,
            "end_ellipsis_line_ratio": found.ellipsis_lines / n_lines,
            "alpha_word_ratio": total.alpha_words / n_words,
            "stop_words": found.stop_words,
        }


@hookimpl
def register_filters(register: Any) -> None:
    register(GopherQuality)
