"""Takes out passages of at least so many words or characters that stand elsewhere in the corpus too.

What `deduplicate-text-datasets` (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better")
finds by a suffix array: every passage of `length` units that occurs twice, and so every longer one. Here
anchors (`curator.text.passages`) tell where a twin may stand, and of passages at shared anchors hashes of 128
bits are compared, in SQL and out of core. Rejected: a suffix array (pydivsufsort), which needs the corpus and
four to eight bytes a character of it in memory, or partitions that must be merged on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from curator import CorpusCleaner, UsageError, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents


class RepeatedPassages(CorpusCleaner):
    """Remove passages that another document, or the same one, has word for word."""

    version = 1
    looks: ClassVar[tuple[str, ...]] = ("anchors", "spans")

    length: Annotated[int, "shortest passage, in units; longer ones are found whole"] = 50
    unit: Annotated[Literal["words", "characters"], "words stand between white space"] = "words"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.length < 4:
            raise UsageError(f"repeated_passages: length is {self.length}; it must be at least 4")

    def anchors(self, docs: Documents) -> Mapping[str, Any]:
        """The places near which a passage with a twin would lie."""
        from curator.corpus_cleaner import as_signals
        from curator.text import passages
        from curator.text.words import buffers

        return as_signals(passages.anchors(passages.units(*buffers(docs.arrow_text), self.unit), self.length))

    def spans(self, docs: Documents) -> Mapping[str, Any]:
        from curator.corpus_cleaner import as_signals, offsets_of, values
        from curator.text import passages
        from curator.text.words import buffers

        shared = docs.signal("found.starts")
        units = passages.units(*buffers(docs.arrow_text), self.unit)
        return as_signals(passages.anchored(units, self.length, offsets_of(shared), values(shared)))


@hookimpl
def register_cleaners(register: Any) -> None:
    register(RepeatedPassages)
