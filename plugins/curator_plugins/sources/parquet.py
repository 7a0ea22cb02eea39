"""Parquet files: one record a row.

A part is a range of row groups that hold 64 MiB before compression, streamed in slices of 8 MiB; a damaged
row group is rejected by itself. A record's position is the number of its row in the file, from 0. Rejected:
frames straight from Arrow to Polars, which trusts string columns to be UTF-8 where files in the wild are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, foreign, open_raw, signature, unchanged
from curator.lines import PART

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SLICE = 8 * MIB  #: bytes that are in memory at a time


class Parquet(FileSource):
    """Parquet files, read by row groups."""

    version = 1
    endings = (".parquet",)

    def parts(self) -> Iterator[Part]:
        for uri in self.files():
            yield from self._parts_of(uri)

    def _parts_of(self, uri: str) -> Iterator[Part]:
        signed = signature(uri)
        with open_raw(uri) as raw:
            try:
                file = _open(raw)
            except damage():
                yield Part(uri, signature=signed)  # reading it says what is wrong
                return
            self._check_text(uri, file.schema_arrow.names)
            sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)]
        start = held = 0
        for group, size in enumerate(sizes):
            held += size
            if held >= PART or group == len(sizes) - 1:
                yield Part(uri, start, group + 1, signed, held)
                start, held = group + 1, 0

    def _check_text(self, uri: str, names: list[str]) -> None:
        if self.text not in names and self.text.partition(".")[0] not in names:
            raise UsageError(
                f"source {self.name!r}: {uri} has no column {self.text!r}; it has {', '.join(names)}. "
                "Name the one that holds the text with `text:`"
            )

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part), open_raw(part.uri) as raw:
            try:
                file = _open(raw)
            except damage() as error:
                is_parquet = foreign(part.uri) == "Parquet"
                yield Rejected("0", "damaged_file" if is_parquet else "wrong_format", str(error))
                return
            groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
            stop = len(groups) if part.stop is None else part.stop
            row = sum(group.num_rows for group in groups[: part.start or 0])
            for number in range(part.start or 0, stop):
                yield from _group(file, number, row)
                row += groups[number].num_rows


def _open(raw: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(raw, pre_buffer=False, buffer_size=MIB)


def damage() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    # Arrow says OSError of bad Thrift and bad compression alike; an errno would be the disk's
    return (pa.ArrowException, OSError)


def _group(file: pq.ParquetFile, number: int, row: int) -> Iterator[dict[str, Any] | Rejected]:
    group = file.metadata.row_group(number)
    rows = max(1, min(10_000, SLICE * group.num_rows // max(group.total_byte_size, 1)))
    try:
        for batch in file.iter_batches(rows, row_groups=[number], use_threads=False):
            for record in records(batch, row):
                if isinstance(record, dict):
                    record["#position"] = str(row)
                yield record
                row += 1
    except damage() as error:
        if getattr(error, "errno", None) is not None:
            raise
        yield Rejected(str(row), "damaged_file", f"row group {number}, from row {row}: {error}")


def records(batch: pa.RecordBatch, row: int) -> Iterator[dict[str, Any] | Rejected]:
    import pyarrow as pa

    schema = pa.schema([field.with_type(_in_microseconds(field.type)) for field in batch.schema])
    if schema != batch.schema:
        batch = batch.cast(schema, safe=False)
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError, KeyError):  # some value is none that Python has
        for index in range(batch.num_rows):
            yield _record(batch, index, row + index)


def _record(batch: pa.RecordBatch, index: int, row: int) -> dict[str, Any] | Rejected:
    record = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            return Rejected(str(row), "invalid_utf8", f"column {name!r}: {error}")
        except (ValueError, OverflowError, KeyError) as error:
            return Rejected(str(row), "bad_value", f"column {name!r}: {error}")
    return record


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


@hookimpl
def register_sources(register: Any) -> None:
    register(Parquet)
