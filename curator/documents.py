"""The batch of documents that flows through the steps.

Columns of `frame`: doc_id (UInt64), source, source_key, url, title, published, retrieved, license,
declared_domain, metadata (JSON), and `text`, the text at the current step's place. Words are made once for
each text and tokenizer and shared by all steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

    from curator.text import Chunks, Words


def contiguous(texts: pl.Series) -> pa.LargeStringArray:
    """Texts as one Arrow array: int64 offsets into UTF-8 bytes."""
    import pyarrow as pa

    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return pa.concat_arrays([array.cast(pa.large_string())])


class Document:
    """One document, for plugins that are plain functions."""

    __slots__ = ("_row",)

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        try:
            return self._row[name]
        except KeyError:
            raise AttributeError(f"a document has no {name!r}; it has {', '.join(self._row)}") from None

    @property
    def text(self) -> str:
        return str(self._row["text"])

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(json.loads(self._row["metadata"] or "{}"))


class Documents:
    """Rows in order; immutable: `with_text` and `with_signals` give a new batch."""

    def __init__(
        self,
        frame: pl.DataFrame,
        *,
        chunks: Chunks | None = None,
        signals: dict[str, pl.DataFrame] | None = None,
    ) -> None:
        self.frame = frame
        self.signals = signals or {}
        self._chunks = chunks
        self._words: dict[str, Words] = {}

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[Document]:
        return (Document(row) for row in self.frame.iter_rows(named=True))

    @property
    def text(self) -> pl.Series:
        return self.frame["text"]

    @cached_property
    def arrow_text(self) -> pa.LargeStringArray:
        """The texts as one contiguous Arrow array: int64 offsets into UTF-8 bytes, for kernels."""
        return contiguous(self.text)

    def words(self, tokenizer: str = "whitespace") -> Words:
        """The words of every text, flat, as `curator.text.Words`; made once and shared."""
        if tokenizer not in self._words:
            self._words[tokenizer] = self.words_of(self.arrow_text, tokenizer)
        return self._words[tokenizer]

    def words_of(self, texts: pa.LargeStringArray, tokenizer: str) -> Words:
        """The words of other texts, such as some lines of these."""
        from curator.text import Chunks

        if self._chunks is None:
            self._chunks = Chunks()
        return self._chunks.words(texts, tokenizer)

    def signal(self, name: str) -> pl.Series:
        """An earlier step's signal, as `docs.signal("language.score")`; declare it in `reads`.

        `documents.language` and `documents.domain` are null where no earlier step fills them.
        """
        step, _, column = name.partition(".")
        if step == "documents" and column not in self.signals.get(step, ()):
            return pl.Series(column, [None] * len(self), dtype=pl.String)
        return self.signals[step][column]

    def with_text(self, text: pl.Series) -> Documents:
        """The same documents with other texts."""
        return Documents(
            self.frame.with_columns(text.alias("text")), chunks=self._chunks, signals=self.signals
        )

    def with_arrow_text(self, texts: pa.LargeStringArray, words: Mapping[str, Words] | None = None) -> Documents:
        """The same documents with other texts, of which `words` (by tokenizer) are known already."""
        docs = self.with_text(pl.Series("text", pl.from_arrow(texts)))
        docs.__dict__["arrow_text"] = texts
        docs._words = dict(words or {})
        return docs

    def with_signals(self, step: str, measured: pl.DataFrame) -> Documents:
        """The same batch, with what `step` measured in reach of later steps."""
        twin = Documents(self.frame, chunks=self._chunks, signals={**self.signals, step: measured})
        twin._words = self._words
        return twin

    def take(self, keep: pl.Series) -> Documents:
        """The documents where the boolean `keep` is true."""
        return Documents(
            self.frame.filter(keep),
            chunks=self._chunks,
            signals={step: frame.filter(keep) for step, frame in self.signals.items()},
        )
