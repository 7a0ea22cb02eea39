"""Cleaners that look at the whole corpus: they take out of a text what other texts say too.

Such a step looks at every document (its *looks*, which are measured as any other step), the catalog finds
among the spans that they tell those which the population repeats, and the cleaner cuts them out. The looks are
steps of their own in a checked recipe, named `<step>.<look>`. A look or cleaner that *awaits* is run when the
catalog has found something, which it sees as the signals `found.starts` and `found.stops`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl

from curator.errors import UsageError
from curator.plugin import Cleaner, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents
    from curator.text.passages import Found

SPANS: dict[str, Any] = {
    "starts": pl.List(pl.UInt32),
    "stops": pl.List(pl.UInt32),
    "keys": pl.List(pl.UInt64),
    "checks": pl.List(pl.UInt64),
}
TEXTS = pl.List(pl.String)


class CorpusCleaner(Cleaner):
    """Removes repeated spans of texts; a subclass says in `spans` which spans those may be.

    The population is the documents that no earlier step drops; nothing is removed from the others. What was
    removed is stored as the signal `removed`, beside counts.
    """

    signals: ClassVar[Any] = {
        "bytes": pl.UInt32,
        "spans": pl.UInt32,
        "repeated_spans": pl.UInt32,
        "repeated_bytes": pl.UInt32,
        "removed_bytes": pl.UInt32,
        "removed": TEXTS,
    }
    rules: ClassVar[Any] = {"repeated_share": "repeated_bytes > $max_repeated_share * bytes"}
    #: signals that lie in shard files instead of the catalog
    wide: ClassVar[tuple[str, ...]] = ("removed",)
    #: looks at documents, in order; a look after the first is given what is shared of the one before
    looks: ClassVar[tuple[str, ...]] = ("spans",)

    keep: Annotated[
        Literal["first", "none"],
        "which of equal ones stays: the first by the source's rank, source_key, content_hash, or none",
    ] = "first"
    max_documents: Annotated[
        int | None, "only what stands in more documents is removed; unless given, whatever is there twice"
    ] = None
    max_repeated_share: Annotated[
        float | None, "a document of which more than this share is repeated is dropped; by bytes"
    ] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.max_documents is not None and self.max_documents < 1:
            raise UsageError(f"max_documents is {self.max_documents}; it must be at least 1")

    def spans(self, docs: Documents) -> Mapping[str, Any]:
        """`starts` and `stops` (bytes of the text) of spans, `keys` and `checks` equal for equal spans."""
        raise NotImplementedError(f"{type(self).__name__} needs spans()")

    def clean(self, docs: Documents) -> Any:
        from curator.text.spans import cut, texts_of
        from curator.text.words import buffers

        data, offsets = buffers(docs.arrow_text)
        size = pl.Series(np.diff(offsets)).cast(pl.UInt32)
        if "found" not in docs.signals:
            nothing = size * 0
            counts = dict.fromkeys(("spans", "repeated_spans", "repeated_bytes", "removed_bytes"), nothing)
            return docs.text, {"bytes": size, **counts, "removed": pl.Series([None] * len(docs), dtype=TEXTS)}
        counts = {
            n: docs.signal(f"found.{n}").fill_null(0) for n in ("spans", "repeated_spans", "repeated_bytes")
        }
        starts, stops = docs.signal("found.starts"), docs.signal("found.stops")
        where = offsets_of(starts), values(starts), values(stops)
        texts = pl.Series(pl.from_arrow(cut(data, offsets, *where)))
        lost = size - texts.str.len_bytes()
        removed = pl.Series(pl.from_arrow(texts_of(data, offsets, *where)))
        return self.tidied(texts, lost > 0), {
            "bytes": size,
            **counts,
            "removed_bytes": lost,
            "removed": removed,
        }

    def tidied(self, texts: pl.Series, cut: pl.Series) -> pl.Series:
        """The texts, of which those where `cut` is true lost spans."""
        return texts


class Look(Step):
    """A look of a corpus cleaner as a step."""

    def __init__(self, of: CorpusCleaner, look: str) -> None:
        self.of, self.look = of, look

    @classmethod
    def options(cls) -> dict[str, Any]:
        return {}

    def declared_signals(self) -> dict[str, Any]:
        return SPANS

    def setup(self) -> None:
        self.of.setup()

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        found: Mapping[str, Any] = getattr(self.of, self.look)(docs)
        return found


def as_signals(found: Found) -> dict[str, pl.Series]:
    """The columns of SPANS."""
    return {name: _lists(getattr(found, name), found.doc_offsets) for name in SPANS}


def _lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> pl.Series:
    import pyarrow as pa

    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))))


def offsets_of(lists: pl.Series) -> NDArray[np.int64]:
    """int64[n + 1], where the lists begin in `values(lists)`; a null is an empty list."""
    return np.append(0, lists.list.len().fill_null(0).cum_sum().to_numpy()).astype(np.int64)


def values(lists: pl.Series) -> NDArray[np.uint32]:
    """All values, one list after the other."""
    return lists.drop_nulls().filter(lists.drop_nulls().list.len() > 0).explode().to_numpy().astype(np.uint32)
