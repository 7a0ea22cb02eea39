"""Records of a source -> batches of documents, and what could not be read.

A batch is cut when it holds 8 MiB of text or 10,000 rows: by that, within a split, and by nothing else, so
every run, with any number of workers, measures the same batches. Records are mapped one by one in Python, any
plugin's as those of files; `curator.tables` has a shorter way for Arrow's. Texts gather in one buffer while they
are in the processor's cache, which becomes the frame's column as it is. Rejected: building frames from whole
files with Polars, which stops at the first bad record, infers types from the first rows and holds the file.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curator.errors import PluginError
from curator.mapping import ROW, Mapper, Refused, document_schema
from curator.plugin import Part, Rejected, Source
from curator.tables import Mapped, Rows, mapped

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 8 << 20
BATCH_ROWS = 10_000
DETAIL = 200  #: characters of a rejected record that the quarantine shows

DOC_KEY, CONTENT_HASH = ROW.index("doc_key"), ROW.index("content_hash")


@dataclass(frozen=True)
class Quarantined:
    """A record that became no document."""

    source: str
    uri: str
    position: str
    reason: str
    detail: str = ""
    records: int = 1


SKIPPED = "skipped "  #: how the signature of a part begins that is no more than a row of the quarantine

Batch = tuple[pl.DataFrame, list[Quarantined]]


def read_documents(
    source: Source,
    parts: Part | Iterable[Part],
    seen: set[str] | None = None,
    forgotten: Container[str] = (),
) -> Iterator[Batch]:
    """The documents of the parts of one split, in order, in batches with what was quarantined meanwhile.

    Batches run on from part to part, so that a thousand small files are no thousand batches; column `part`
    says which of the given parts a document is from. The first document of a key wins; `seen`, if given,
    holds the doc_keys read before and takes those read now. What has its doc_key or content_hash in `forgotten` is
    quarantined, without a detail. A frame may be empty, where all was quarantined.
    """
    seen = set() if seen is None else seen
    mapper = Mapper(source)
    batch = _Batch(mapper)
    read = _reader(source)
    for ordinal, part in enumerate([parts] if isinstance(parts, Part) else parts):
        for number, found in enumerate([_why(part)] if part.signature.startswith(SKIPPED) else read(part)):
            records: Iterable[Any] = (found,)
            if isinstance(found, Rows):
                documents = mapped(found, mapper, part)
                if documents and _new(documents, seen, forgotten):
                    seen.update(documents.doc_keys)
                    yield from batch.extended(documents, ordinal)
                    continue
                records = found.records()
            for record in records:
                try:
                    if isinstance(record, dict):
                        position = str(record.pop("#position", number))
                        text, row = mapper(record, part, position)
                    elif isinstance(record, Rejected):
                        position = record.position
                        raise Refused(record.reason, record.detail, record.records)
                    else:
                        raise PluginError(f"source {mapper.name!r} gave {type(record).__name__}, not a dict")
                    if forgotten and (row[DOC_KEY] in forgotten or row[CONTENT_HASH] in forgotten):
                        raise Refused("forgotten", "")
                    if row[DOC_KEY] in seen:
                        raise Refused("duplicate_key", row[0])
                except Refused as why:
                    detail = why.detail[:DETAIL].encode(errors="replace").decode()
                    bad = Quarantined(mapper.name, part.uri, str(position), why.reason, detail, why.records)
                    batch.bad.append(bad)
                else:
                    seen.add(row[DOC_KEY])
                    batch.texts.write(text)
                    batch.values += row
                    batch.parts.append(ordinal)
                    batch.held += len(text)
                    batch.ends.append(batch.ends[-1] + len(text))
                if batch.held >= BATCH_BYTES or len(batch.parts) >= BATCH_ROWS or len(batch.bad) >= BATCH_ROWS:
                    yield batch.taken()
    if batch.parts or batch.bad:
        yield batch.taken()


def skipped_part(uri: str, why: Rejected) -> Part:
    """The part of a file that a source found and left out."""
    return Part(uri, signature=f"{SKIPPED}{why.reason} {why.detail}")


def _why(part: Part) -> Rejected:
    reason, _, detail = part.signature.removeprefix(SKIPPED).partition(" ")
    return Rejected("0", reason, detail)


def _reader(source: Source) -> Callable[[Part], Iterator[dict[str, Any] | Rejected | Rows]]:
    """Its method `read_rows`, unless a class below the one that has it reads in a way of its own."""
    first = next(klass for klass in type(source).__mro__ if not {"read", "read_rows"}.isdisjoint(vars(klass)))
    return source.read_rows if "read_rows" in vars(first) else source.read  # type: ignore[attr-defined]


def _new(documents: Mapped, seen: set[str], forgotten: Container[str]) -> bool:
    """Whether each has a key of its own that is not among the seen or forgotten ones."""
    keys, hashes = documents.doc_keys, documents.hashes
    if len(set(keys)) < len(keys) or not seen.isdisjoint(keys):
        return False
    return not forgotten or not any(key in forgotten for key in (*keys, *hashes))


class _Batch:
    """Documents that gather."""

    def __init__(self, mapper: Mapper) -> None:
        self._name = mapper.name
        self._schema = {**document_schema(mapper.source), "part": pl.UInt32}
        self._start()

    def _start(self) -> None:
        self.bad: list[Quarantined] = []
        self._chunks: list[pa.LargeStringArray] = []  # texts before those that gather
        self.texts = io.BytesIO()
        self.ends = [0]  # of the texts in it
        self.held = 0  # bytes of all texts
        self.parts: list[int] = []  # each document's
        self.values: list[Any] = []  # all of a document, and all of the next: tuples would be the collector's work

    def extended(self, documents: Mapped, ordinal: int) -> Iterator[Batch]:
        """The batches that are full on the way."""
        ends, start, n = documents.ends, 0, len(documents.doc_keys)
        width = len(documents.values) // max(n, 1)
        self._close_chunk()
        while start < n:
            filled = bisect.bisect_left(ends, ends[start] + BATCH_BYTES - self.held, start + 1)
            stop = min(filled, start + BATCH_ROWS - len(self.parts), n)
            self._chunks.append(documents.texts.slice(start, stop - start))
            self.held += ends[stop] - ends[start]
            self.parts += [ordinal] * (stop - start)
            self.values += documents.values[start * width : stop * width]
            start = stop
            if self.held >= BATCH_BYTES or len(self.parts) >= BATCH_ROWS:
                yield self.taken()

    def taken(self) -> Batch:
        """What gathered; the next batch starts."""
        taken = self._frame(), self.bad
        self._start()
        return taken

    def _close_chunk(self) -> None:
        import pyarrow as pa

        if n := len(self.ends) - 1:
            # they are UTF-8 already: Polars need not look at them again
            buffers = [None, pa.py_buffer(np.array(self.ends)), pa.py_buffer(self.texts.getbuffer())]
            self._chunks.append(pa.Array.from_buffers(pa.large_string(), n, buffers))
            self.texts, self.ends = io.BytesIO(), [0]

    def _frame(self) -> pl.DataFrame:
        import pyarrow as pa

        self._close_chunk()
        texts = pa.chunked_array(self._chunks, pa.large_string())
        columns: dict[str, Any] = {
            "source": [self._name] * len(self.parts),
            "text": pl.from_arrow(texts),
            "part": self.parts,
        }
        names = [*ROW, *(name for name in self._schema if name not in columns and name not in ROW)]
        columns |= {name: self.values[n :: len(names)] for n, name in enumerate(names)}
        return pl.DataFrame([pl.Series(name, columns[name], kind) for name, kind in self._schema.items()])
