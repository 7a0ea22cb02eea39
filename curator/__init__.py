"""curator: measure once, decide in SQL. What a plugin author imports, and `open` for a corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curator.errors import CuratorError, GuardError, PluginError, RecipeError, UsageError
from curator.hookspecs import hookimpl
from curator.plugin import Classifier, Cleaner, Dedup, Exporter, Filter, Part, Plugin, Rejected, Source, Step

if TYPE_CHECKING:
    from curator.corpus import Corpus

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "Cleaner",
    "CuratorError",
    "Dedup",
    "Exporter",
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
    "hookimpl",
    "open",
]


def open(folder: str = "./corpus") -> Corpus:
    """The corpus in `folder`, to query: `curator.open("corpus").sql("FROM documents").pl()`.

    Raises UsageError where there is no corpus.
    """
    from curator.corpus import Corpus

    return Corpus.existing(folder)


def __dir__() -> list[Any]:
    return sorted(__all__)
