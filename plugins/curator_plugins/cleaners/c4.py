"""The rules of C4 (Raffel et al. 2020, section 2.2): lines that fall, and documents that fall for what they hold.

Algorithm: `curator.text.c4` and `curator.text.sentences`, kernels over the bytes; the words of the kept lines
are taken from those of the whole text, so that later steps have them for nothing. Rejected: the references'
loops over lines, which tokenize every line again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl

from curator import Cleaner, hookimpl

if TYPE_CHECKING:
    import pyarrow as pa

    from curator.documents import Documents
    from curator.text.c4 import Lines

MARKS = {"paper": ".?!\"”", "datatrove": ".?!\"'"}
REMOVED = ("long_word", "no_terminal_punct", "too_few_words", "javascript", "policy")


class C4(Cleaner):
    """Keep the lines that look like prose, and drop documents by what C4 forbids in them.

    A line falls, in this order: a word of more than `max_word_length` characters; no end mark once citations
    (`[12]`, `[edit]`, `[citation needed]`) are cut out of it, where "..." is none; fewer than `min_words_per_line`
    words, citations counted; "javascript"; a phrase of policies ("terms of use", "use cookies", …). The others are
    joined by newlines. Texts are always rewritten to the end, so that relaxing a rule for documents measures
    nothing again; the line of "lorem ipsum" and of "{" that comes first, among lines that have not fallen by
    then, decides which of the two is the reason.

    `as_in: paper` follows the publication, with tensorflow_datasets for what it leaves open: a line may also end
    in a curled quotation mark, and sentences are told by their marks. `as_in: datatrove` gives datatrove's
    decisions, reasons and texts exactly: a line may also end in an apostrophe but in no curled mark, and
    sentences are those of spaCy's sentencizer. FineWeb used it with `terminal_punct: false`.

    `as_in: dolma` measures what dolma's tagger c4_v2 does, and cuts lines without an end mark and of fewer than
    three words; its rules for documents are has_naughty_word (LDNOOBW), has_javascript, has_lorem_ipsum and
    has_curly_brace. Options for lines do not apply to it.
    """

    version = 1

    as_in: Literal["paper", "datatrove", "dolma"] = "paper"
    remove_citations: bool = True
    terminal_punct: Annotated[bool, "lines must end in a mark"] = True
    min_words_per_line: int | None = 3
    max_word_length: int | None = 1000
    javascript: Annotated[bool, 'lines must not hold "javascript"'] = True
    policy: Annotated[bool, "lines must not hold a phrase of policies"] = True
    min_sentences: Annotated[int | None, "in the lines that are kept"] = 5
    lorem_ipsum: Annotated[bool, 'documents must not hold "lorem ipsum"'] = True
    curly_bracket: Annotated[bool, 'documents must not hold "{"'] = True
    naughty_word: Annotated[bool, "dolma: documents must not hold a naughty word"] = True
    javascript_document: Annotated[bool, 'dolma: documents must not hold "javascript"'] = True

    def signals(self) -> dict[str, Any]:
        if self.as_in == "dolma":
            counted = ("line_count", "lines_with_no_ending_punctuation", "lines_with_too_few_words")
            marks = ("has_naughty_word", "has_javascript", "has_lorem_ipsum", "has_curly_brace")
            return dict.fromkeys(counted, int) | dict.fromkeys(marks, bool)
        removed = (f"lines_{name}" for name in REMOVED)
        counts = ("lines", *removed, "citations", "sentences", "lorem_ipsum_line", "curly_bracket_line")
        return dict.fromkeys(counts, int)

    def rules(self) -> dict[str, str]:
        if self.as_in == "dolma":
            return {
                "has_naughty_word": "has_naughty_word AND $naughty_word",
                "has_javascript": "has_javascript AND $javascript_document",
                "has_lorem_ipsum": "has_lorem_ipsum AND $lorem_ipsum",
                "has_curly_brace": "has_curly_brace AND $curly_bracket",
            }
        return {
            # a curly bracket in an earlier line would have ended the reference's look at the document
            "lorem_ipsum": "$lorem_ipsum AND lorem_ipsum_line <= "
            "CASE WHEN $curly_bracket THEN coalesce(curly_bracket_line, lorem_ipsum_line) ELSE lorem_ipsum_line END",
            "curly_bracket": "$curly_bracket AND curly_bracket_line IS NOT NULL",
            "too_few_sentences": "sentences < $min_sentences",
        }

    def versions(self) -> Mapping[str, str]:
        from curator.text import tokenizer_version

        return {"words": tokenizer_version("spacy-en")} if self.as_in == "datatrove" else {}

    def clean(self, docs: Documents) -> tuple[Documents, Mapping[str, Any]]:
        if self.as_in == "dolma":
            return self._as_dolma(docs)
        import pyarrow as pa

        from curator.text import c4, sentences
        from curator.text.words import buffers

        asked = {
            c4.LONG_WORD: self.max_word_length is not None,
            c4.NO_TERMINAL_MARK: self.terminal_punct,
            c4.FEW_WORDS: self.min_words_per_line is not None,
            c4.JAVASCRIPT_LINE: self.javascript,
            c4.POLICY: self.policy,
            c4.CITATIONS: self.remove_citations,
        }
        lines = c4.lines(
            *buffers(docs.arrow_text),
            marks=MARKS[self.as_in],
            asked=sum(1 << rule for rule, on in asked.items() if on),
            min_words=self.min_words_per_line or 0,
            max_word_length=self.max_word_length or 0,
        )
        known = {}
        if self.as_in == "paper":
            count = sentences.by_marks(lines.data, lines.kept_offsets, lines.kept)
        else:
            cited = docs.words_of(_cited(lines), "spacy-en")
            words = docs.words("spacy-en")
            count, known["spacy-en"] = sentences.by_words(
                lines.data, lines.kept_offsets, lines.kept, words, cited
            )
        data, offsets = c4.stripped(lines.data, lines.offsets)
        texts = pa.LargeStringArray.from_buffers(len(docs), pa.py_buffer(offsets), pa.py_buffer(data))
        removed = {f"lines_{name}": lines.removed[at] for at, name in enumerate(REMOVED)}
        return docs.with_arrow_text(texts, known), {
            "lines": lines.lines,
            **removed,
            "citations": lines.citations,
            "sentences": count,
            "lorem_ipsum_line": _null_below_zero(lines.lorem_ipsum),
            "curly_bracket_line": _null_below_zero(lines.curly_bracket),
        }

    def _as_dolma(self, docs: Documents) -> tuple[Documents, Mapping[str, Any]]:
        import pyarrow as pa

        from curator.text import dolma
        from curator.text.words import buffers

        words, phrases = _naughty()
        found = dolma.c4(*buffers(docs.arrow_text), words)
        kept, lower = (
            pa.LargeStringArray.from_buffers(len(docs), pa.py_buffer(offsets), pa.py_buffer(data))
            for data, offsets in (found.kept, found.lower)
        )
        has_phrase = pl.Series("", pl.from_arrow(lower)).str.contains(phrases)
        return docs.with_arrow_text(kept), {
            "line_count": found.lines,
            "lines_with_no_ending_punctuation": found.without_mark,
            "lines_with_too_few_words": found.few_words,
            "has_naughty_word": pl.Series(found.naughty_words > 0) | has_phrase,
            "has_javascript": pl.Series(found.javascript > 0),
            "has_lorem_ipsum": pl.Series(found.lorem_ipsum > 0),
            "has_curly_brace": pl.Series(found.curly_braces > 0),
        }


@cache
def _naughty() -> tuple[tuple[str, ...], str]:
    """LDNOOBW's English words, and a regex that finds its phrases (four times as fast as `contains_any`)."""
    listed = (files("curator_plugins") / "lists" / "ldnoobw" / "en").read_text(encoding="utf-8").splitlines()
    phrases = "|".join(re.escape(entry) for entry in listed if " " in entry)
    return tuple(word for word in listed if " " not in word), phrases


def _cited(lines: Lines) -> pa.LargeStringArray:
    """The kept lines out of which citations were cut."""
    import pyarrow as pa

    cited = lines.kept[lines.kept[:, 2] > 0]
    whole = lines.data.tobytes() if len(cited) else b""
    return pa.array([whole[start:stop] for start, stop, *_ in cited.tolist()], pa.large_string())


def _null_below_zero(values: Any) -> pl.Series:
    return pl.Series(values).scatter(np.flatnonzero(values < 0), None)


@hookimpl
def register_cleaners(register: Any) -> None:
    register(C4)
