"""Takes out lines or paragraphs that the corpus repeats, as CCNet and Dolma do.

CCNet (Wenzek et al. 2020) and Dolma (Soldaini et al. 2024, by Bloom filters) remove every line or paragraph
that was seen before. Here lines are compared over the whole corpus by hashes of 128 bits, in SQL and out of
core, so that the result does not depend on the order of files, a seed or a filter's size. Rejected: Bloom
filters, which drop a share of lines that nothing repeats and cannot tell where the first one stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl

from curator import CorpusCleaner, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents


class RepeatedLines(CorpusCleaner):
    """Remove lines or paragraphs that other documents, or the same one, have already."""

    version = 1
    rules: ClassVar[Any] = {
        **CorpusCleaner.rules,
        "repeated_lines": "repeated_spans > $max_repeated_lines * spans",
    }

    unit: Annotated[Literal["line", "paragraph"], "paragraphs stand between blank lines"] = "line"
    on: Annotated[
        Literal["text", "normalized"],
        "what is compared: the line without white space around it, or its words in lower case, numbers as 0",
    ] = "text"
    min_chars: Annotated[int, "shorter lines are left alone"] = 1
    max_repeated_lines: Annotated[
        float | None, "a document of whose compared lines more than this share are repeated is dropped"
    ] = None

    def spans(self, docs: Documents) -> Mapping[str, Any]:
        from curator.corpus_cleaner import as_signals
        from curator.text.spans import line_spans
        from curator.text.words import buffers

        found = line_spans(
            *buffers(docs.arrow_text),
            paragraphs=self.unit == "paragraph",
            normalized=self.on == "normalized",
            min_characters=self.min_chars,
        )
        return as_signals(found)

    def tidied(self, texts: pl.Series, cut: pl.Series) -> pl.Series:
        """A text that lost lines ends with its last word, also where the last lines went."""
        return texts.str.strip_chars_end().zip_with(cut, texts)


@hookimpl
def register_cleaners(register: Any) -> None:
    register(RepeatedLines)
