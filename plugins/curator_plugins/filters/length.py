"""Length in characters, words and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Filter, hookimpl
from curator.options import FILE

if TYPE_CHECKING:
    from curator.documents import Documents


class Length(Filter):
    """Drop documents that are too short or too long, in characters, words or tokens.

    Characters are code points; words those of the tokenizer `words`; tokens those of a file of the tokenizers
    library (`tokenizer.json`), without special tokens, and NULL where none is named. All limits are off until
    given, and both ends are kept: `min_chars: 100` drops 99. Tokens take long (1-3 MB/s a core); the export
    counts them anyway, so name a tokenizer here only to drop by them.
    """

    version = 1
    signals: ClassVar[Any] = {"n_chars": int, "n_words": int, "n_tokens": int}
    rules: ClassVar[Any] = {
        "too_few_chars": "n_chars < $min_chars",
        "too_many_chars": "n_chars > $max_chars",
        "too_few_words": "n_words < $min_words",
        "too_many_words": "n_words > $max_words",
        "too_few_tokens": "n_tokens < $min_tokens",
        "too_many_tokens": "n_tokens > $max_tokens",
    }

    words: Annotated[str, "word tokenizer: whitespace, unicode, spacy-en, …"] = "whitespace"
    tokenizer: Annotated[str | None, FILE, "file of the tokenizers library, to count tokens"] = None
    min_chars: int | None = None
    max_chars: int | None = None
    min_words: int | None = None
    max_words: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None

    def versions(self) -> Mapping[str, str]:
        from curator.hashing import file_hash
        from curator.tokenizer import load_tokenizer

        if self.tokenizer is None:
            return super().versions()
        load_tokenizer(Path(self.tokenizer))  # fails here rather than in a worker
        return {**super().versions(), "tokenizer": file_hash(Path(self.tokenizer))}

    def setup(self) -> None:
        from curator.tokenizer import load_tokenizer

        self._tokenizer = load_tokenizer(Path(self.tokenizer)) if self.tokenizer else None

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        tokens: list[int | None] = [None] * len(docs)
        if self._tokenizer is not None:
            encoded = self._tokenizer.encode_batch_fast(docs.text.to_list(), add_special_tokens=False)
            tokens = [len(e.ids) for e in encoded]
        return {
            "n_chars": docs.text.str.len_chars(),
            "n_words": docs.words(self.words).counts,
            "n_tokens": pl.Series(tokens, dtype=pl.Int64),
        }


@hookimpl
def register_filters(register: Any) -> None:
    register(Length)
