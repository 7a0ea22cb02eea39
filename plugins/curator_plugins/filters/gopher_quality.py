"""The quality rules of Gopher (Rae et al. 2021, appendix A.1.1), as published or as datatrove applies them.

Algorithm: sums over the word tables that all filters share, and one pass over the bytes for the lines; about
200 MB/s beside the making of the words. Rejected: the reference's list of strings for each document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl

from curator import Filter, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents


class GopherQuality(Filter):
    """Drop documents by Gopher's quality rules: length, word length, symbols, bullets, letters, stop words.

    `as_in: paper` follows the publication: words stand between white space, all of them count.
    `as_in: datatrove` gives datatrove's decisions and reasons exactly: words are spaCy's, where punctuation
    marks are words of their own; the limits on number and length of words look only at words with a character
    that is no punctuation, all other ratios are to all words. So a text has more words there, a shorter mean,
    and a lower share of words with a letter. Both count the distinct stop words among the, be, to, of, and,
    that, have, with, in lower case; "the," is one in datatrove's words, not between white space.
    `words` chooses another tokenizer. Limits of null switch a rule off (datatrove: also 0).

    What is undefined is NULL and drops nothing: the mean and ratios of a text without words, the shares of a
    text without lines. Such a text is dropped as gopher_short_doc.
    """

    version = 1

    as_in: Literal["paper", "datatrove"] = "paper"
    words: str | None = None
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

    signals: ClassVar[Any] = {
        "n_words": int,
        "n_non_symbol_words": int,
        "mean_word_length": float,
        "hash_ratio": float,
        "ellipsis_ratio": float,
        "bullet_line_ratio": float,
        "end_ellipsis_line_ratio": float,
        "alpha_word_ratio": float,
        "stop_words": int,
    }

    def rules(self) -> dict[str, str]:
        """In the order in which datatrove looks, which makes the first its reason."""
        counted = "n_words" if self.as_in == "paper" else "n_non_symbol_words"
        return {
            "gopher_short_doc": f"{counted} < $min_words",
            "gopher_long_doc": f"{counted} > $max_words",
            "gopher_below_avg_threshold": "mean_word_length < $min_mean_word_length",
            "gopher_above_avg_threshold": "mean_word_length > $max_mean_word_length",
            "gopher_too_many_hashes": "hash_ratio > $max_hash_ratio",
            "gopher_too_many_ellipsis": "ellipsis_ratio > $max_ellipsis_ratio",
            "gopher_too_many_bullets": "bullet_line_ratio > $max_bullet_lines",
            "gopher_too_many_end_ellipsis": "end_ellipsis_line_ratio > $max_end_ellipsis_lines",
            "gopher_below_alpha_threshold": "alpha_word_ratio < $min_alpha_ratio",
            "gopher_enough_stop_words": "stop_words < $min_stop_words",
        }

    @property
    def tokenizer(self) -> str:
        return self.words or ("whitespace" if self.as_in == "paper" else "spacy-en")

    def versions(self) -> Mapping[str, str]:
        from curator.text import tokenizer_version

        return {"words": tokenizer_version(self.tokenizer)}

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        from curator.text.lines import lines
        from curator.text.totals import totals
        from curator.text.words import buffers

        total = totals(docs.words(self.tokenizer))
        line = lines(*buffers(docs.arrow_text))
        if self.as_in == "paper":
            mean = _ratio(total.characters, total.words)
        else:
            mean = _ratio(total.non_symbol_characters, total.non_symbol_words)
        return {
            "n_words": total.words,
            "n_non_symbol_words": total.non_symbol_words,
            "mean_word_length": mean,
            "hash_ratio": _ratio(line.hashes, total.words),
            "ellipsis_ratio": _ratio(line.ellipses, total.words),
            "bullet_line_ratio": _ratio(line.bullet_lines, line.lines),
            "end_ellipsis_line_ratio": _ratio(line.ellipsis_lines, line.lines),
            "alpha_word_ratio": _ratio(total.alpha_words, total.words),
            "stop_words": total.stop_words,
        }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> pl.Series:
    """`part / whole`, null where `whole` is 0."""
    return pl.Series(part / np.maximum(whole, 1)).scatter(np.flatnonzero(whole == 0), None)


@hookimpl
def register_filters(register: Any) -> None:
    register(GopherQuality)
