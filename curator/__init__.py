"""curator: measure once, decide in SQL. What a plugin author imports, and `open` for a corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curator.errors import CuratorError, FetchError, GuardError, PluginError, RecipeError, UsageError
from curator.hookspecs import hookimpl
from curator.plugin import Classifier, Cleaner, Dedup, Exporter, Filter, Part, Plugin, Rejected, Source, Step

if TYPE_CHECKING:
    from pathlib import Path

    from curator.corpus import Corpus
    from curator.corpus_cleaner import CorpusCleaner
    from curator.rows import TokenRows

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "Cleaner",
    "CorpusCleaner",
    "CuratorError",
    "Dedup",
    "Exporter",
    "FetchError",
    "Filter",
    "GuardError",
    "Part",
    "Plugin",
    "PluginError",
    "RecipeError",
    "Rejected",
    "Source",
    "Step",
    "UsageError",
    "cached_export",
    "hookimpl",
    "open",
    "open_tokens",
]


def open(folder: str = "./corpus") -> Corpus:
    """The corpus in `folder`, to query: `curator.open("corpus").sql("FROM documents").pl()`.

    Raises UsageError where there is no corpus.
    """
    from curator.corpus import Corpus

    return Corpus.existing(folder)


def open_tokens(
    export: str | Path, *, seq_len: int | None = None, vocab_size: int | None = None
) -> TokenRows:
    """The token rows of an export in training order; it is tokenized first where that has not been done.

    `seq_len` is the export's unless given, `vocab_size` is of the tokenizer that is trained where the export has none.
    """
    import pathlib

    from curator import tokens

    return tokens.open_tokens(pathlib.Path(export), seq_len=seq_len, vocab_size=vocab_size)


def cached_export(corpus: str | Path, mixture: str | Path) -> Path:
    """The folder that a mixture of a corpus is exported to, in the corpus's cache; written if it is not there."""
    from curator import export

    return export.cached_export(corpus, mixture)


def __getattr__(name: str) -> Any:
    if name == "CorpusCleaner":  # imports polars
        from curator.corpus_cleaner import CorpusCleaner

        return CorpusCleaner
    raise AttributeError(f"module 'curator' has no attribute {name!r}")


def __dir__() -> list[Any]:
    return sorted(__all__)
