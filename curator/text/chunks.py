"""The words of a batch of texts, by the tokenizer's name.

`whitespace`, `unicode`, `unspaced` and `normalized` are one pass of a kernel and know nothing beforehand. `spacy-en`
learns: a chunk (what stands between two runs of white space) is tokenized once and remembered in a table,
over the newest generation that earlier runs left in `cache`. Warm 50-70 MB/s; cold 10 MB/s over the first
24 MB of the benchmark corpus and 13 over all 251, as new chunks become rare. Rejected: tokenizing whole texts
(0.35 MB/s).

Memory: the private table starts afresh, before a batch, once it is over `max_bytes`; a batch is never cut.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from curator.text import learned
from curator.text.normal import normalized_words
from curator.text.spacy_en import SpacyEnglish
from curator.text.table import Overlay, Table
from curator.text.tokenizers import tokenizer_version
from curator.text.words import Words, buffers, split


class Chunks:
    """Makes words; what it learns on the way changes how fast it is, never what it answers."""

    def __init__(self, cache: Path | None = None, max_bytes: int = 256 << 20) -> None:
        self._cache, self._max_bytes = cache, max_bytes
        self._learners = {"spacy-en": SpacyEnglish()}
        self._tables: dict[str, Overlay] = {}

    def words(self, texts: pa.LargeStringArray, tokenizer: str) -> Words:
        """The words of all texts, flat."""
        match tokenizer:
            case "whitespace":
                return split(*buffers(texts))
            case "unicode":
                return split(*buffers(texts), marks_apart=True)
            case "unspaced":
                return split(*buffers(texts), marks_apart=True, letters_apart=True)
            case "normalized":
                return normalized_words(texts)
            case _:
                return self._table(tokenizer).words(*buffers(texts), self._learners[tokenizer])

    def _table(self, tokenizer: str) -> Overlay:
        if tokenizer not in self._tables:
            base = learned.newest(self._cache, tokenizer_version(tokenizer))
            self._tables[tokenizer] = Overlay(Table.empty() if base is None else base)
        table = self._tables[tokenizer]
        if table.n_bytes > self._max_bytes:
            table.clear()
        return table

    def save_learned(self, path: Path) -> list[Path]:
        """Write what was learned since the start, one file `path`.<tokenizer> for each; returns them."""
        written = []
        for tokenizer, overlay in self._tables.items():
            if len(overlay.table.keys):
                written.append(path.with_name(f"{path.name}.{tokenizer}"))
                learned.write(written[-1], tokenizer_version(tokenizer), overlay.table)
        return written
