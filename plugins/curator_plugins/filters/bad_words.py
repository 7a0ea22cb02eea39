"""The bad words of C4 (Raffel et al. 2020), in the 28 languages of LDNOOBW.

Algorithm: one regex a language over the texts in that language, in lower case, by Polars (Rust), whose
automaton looks at each byte once: 280 MB/s a core, lower case included. Rejected: Python's re (5 MB/s), and a
search for the words anywhere first, which finds one in 70 % of texts (ass in class) and so saves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Filter, hookimpl
from curator.patterns import NOT_WORD

if TYPE_CHECKING:
    from curator.documents import Documents

#: common parts of words in languages without spaces; never bad, in any language
_ALLOWED = {"sm", "グロ", "女の子", "性"}
_WITHOUT_BORDERS = ("ja", "th", "zh")


class BadWords(Filter):
    """Drop documents with a word of the lists of bad words that C4 used (LDNOOBW, 28 languages).

    As datatrove's C4BadWordsFilter: the text in lower case; a word must stand between characters that re's \\W
    matches or at an end of the text, but in Japanese, Thai and Chinese; C4's allowed words are no bad ones in
    any language. The language is that of an earlier step that fills `documents.language`, else
    `default_language`. `first_bad_word` is NULL where there is none, and both signals are in a language
    without a list, which drops nothing (datatrove stops there unless told otherwise).

    `keep_fraction` keeps that share of the documents with bad words: those whose doc_key is low, so that it is
    the same documents in every run, where datatrove draws at random. The lists are CC BY 4.0, Shutterstock;
    C4's list for English is an older one.
    """

    version = 1
    reads = ("documents.language",)
    signals: ClassVar[Any] = {"bad_words": bool, "first_bad_word": str}
    # the first digits: a run's --sample goes by the last ones
    rules: ClassVar[Any] = {
        "document_removed_with_badwords": "bad_words AND ($keep_fraction <= 0 OR "
        "('0x' || left(CAST(documents.doc_key AS VARCHAR), 8))::BIGINT >= $keep_fraction * 4294967296)"
    }

    default_language: Annotated[str, "of documents whose language is not known"] = "en"
    keep_fraction: Annotated[float, "share of the documents with bad words that stay"] = 0.0

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        languages = docs.signal("documents.language").fill_null(self.default_language)
        texts = docs.text.str.to_lowercase()
        found = pl.Series([None] * len(docs), dtype=pl.String)
        known = pl.Series([False] * len(docs))
        for language in languages.unique(maintain_order=True):
            if (pattern := bad_words(language)) is not None:
                rows = (languages == language).arg_true()
                found.scatter(rows, texts.gather(rows).str.extract(pattern, 1))
                known.scatter(rows, True)
        bad = pl.select(pl.when(known).then(found.is_not_null())).to_series()
        return {"bad_words": bad, "first_bad_word": found}


@cache
def bad_words(language: str) -> str | None:
    """The regex that finds the first bad word of a text in lower case; None where there is no list."""
    file = files("curator_plugins") / "lists" / "ldnoobw" / language
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z-]+)?", language) or not file.is_file():
        return None
    lines = {line.strip() for line in file.read_text(encoding="utf-8").split("\n")} - _ALLOWED - {""}
    words = "|".join(re.escape(word) for word in sorted(lines, key=lambda word: (-len(word), word)))
    return f"({words})" if language in _WITHOUT_BORDERS else f"(?:^|{NOT_WORD})({words})(?:{NOT_WORD}|$)"


@hookimpl
def register_filters(register: Any) -> None:
    register(BadWords)
