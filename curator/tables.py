"""Rows of Arrow tables -> rows of documents.

A source of tables yields `Rows` in place of dicts. Their texts stay where Arrow put them: checked to be UTF-8,
hashed in place and copied once, as bytes. All other columns become Python's values, and go through the functions
that map any record. A batch in which anything is unusual (a text that is NULL, blank, too long, of another type,
no UTF-8, a key that was seen) is read record by record instead, so a row's document is the same either way.
Rejected: frames straight from Arrow to Polars,
which trusts string columns to be UTF-8 where files in the wild are not, and JSON written by either, which differs
from orjson's in numbers and dates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curator.mapping import Mapper, Refused, text_hash
from curator.plugin import Part, Rejected

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rows:
    """Records of a table: a column is a field, and the position of a row counts on from `first`."""

    batch: pa.RecordBatch
    first: int = 0

    def records(self) -> Iterator[dict[str, Any] | Rejected]:
        """The records as dicts, with their positions."""
        batch = _with_microseconds(self.batch)
        try:
            records: Iterator[dict[str, Any] | Rejected] = iter(batch.to_pylist())
        except (ValueError, OverflowError, KeyError):  # some value is none that Python has
            records = (_record(batch, index, str(self.first + index)) for index in range(batch.num_rows))
        for position, record in enumerate(records, self.first):
            if isinstance(record, dict):
                record["#position"] = str(position)
            yield record


@dataclass(frozen=True)
class Mapped:
    """Documents of a table: text n is from byte `ends[n]` to `ends[n + 1]`; `values` are all of the first row, as
    `Mapper.row` gives them, then all of the next."""

    texts: pa.LargeStringArray
    ends: list[int]
    values: list[Any]
    doc_keys: list[str]
    hashes: list[str]


def mapped(found: Rows, mapper: Mapper, part: Part) -> Mapped | None:
    """The documents that the mapper makes of the rows; None where it may refuse one."""
    import pyarrow as pa

    batch, source = found.batch, mapper.source
    names = batch.schema.names
    if source.text not in names or len(set(names)) < len(names) or mapper.id == source.text:
        return None
    texts = batch.column(source.text)
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)) or texts.null_count:
        return None
    try:
        texts.validate(full=True)
        others = _with_microseconds(batch.drop_columns([source.text]))
        ids: list[Any] = [None] * batch.num_rows
        if mapper.id in names:
            ids = others.column(mapper.id).to_pylist()
            others = others.drop_columns([mapper.id] if mapper.id not in mapper.fields else [])
        records = others.to_pylist() if others.num_columns else []
    except (pa.ArrowException, ValueError, OverflowError, KeyError):  # as a value that Python does not have
        return None
    texts = texts.cast(pa.large_string())
    _, offsets, buffer = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = memoryview(buffer or b"").cast("B")
    if np.diff(places).max(initial=0) > source.max_chars or _any_blank(content, places):
        return None
    ends = places.tolist()
    if not records and not all(type(id) is str and id for id in ids):  # what is no id is metadata
        records = [{} for _ in ids]
    try:
        keys = [
            id if type(id) is str and id else mapper.key(id, records[n] if records else {}, part, str(found.first + n))
            for n, id in enumerate(ids)
        ]
        columns: list[Any] = [keys, [mapper.doc_key(key) for key in keys]]
        columns.append([text_hash(content[start:stop]) for start, stop in itertools.pairwise(ends)])
        if records:
            columns += zip(*map(mapper.rest, records), strict=True)
        else:
            columns += ([value] * len(keys) for value in mapper.rest({}))
        "".join(keys).encode()
    except (Refused, UnicodeEncodeError):
        return None
    values: list[Any] = [None] * (len(keys) * len(columns))
    for n, column in enumerate(columns):
        values[n :: len(columns)] = column
    return Mapped(texts, ends, values, columns[1], columns[2])


def _any_blank(content: memoryview, ends: np.ndarray[Any, np.dtype[np.int64]]) -> bool:
    """Whether a text is empty or all white space."""
    starts, stops = ends[:-1], ends[1:]
    if (starts == stops).any():
        return True
    heads = np.frombuffer(content, np.uint8)[starts]
    for index in np.flatnonzero((heads <= 0x20) | (heads >= 0x7F)):
        start, stop = int(starts[index]), int(stops[index])
        head = bytes(content[start : min(start + 64, stop)]).decode(errors="ignore")
        if head.strip() == "" and bytes(content[start:stop]).decode().isspace():
            return True
    return False


def _record(batch: pa.RecordBatch, index: int, position: str) -> dict[str, Any] | Rejected:
    record = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            return Rejected(position, "invalid_utf8", f"column {name!r}: {error}")
        except (ValueError, OverflowError, KeyError) as error:
            return Rejected(position, "bad_value", f"column {name!r}: {error}")
    return record


def _with_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    schema = pa.schema([field.with_type(_in_microseconds(field.type)) for field in batch.schema])
    return batch if schema == batch.schema else batch.cast(schema, safe=False)


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """The type with what Python's times can hold: they have no nanoseconds."""
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    return kind
