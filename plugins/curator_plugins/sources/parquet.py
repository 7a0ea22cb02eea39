"""Parquet files: one record a row.

A part is a range of row groups that hold 64 MiB before compression, streamed in slices of 1 MiB; a damaged
row group is rejected by itself. A record's position is the number of its row in the file, from 0.

**Bounds.** What a slice takes is not what the file's metadata say: a dictionary of one word of a megabyte makes
a terabyte of a file of a few kB, and a page of zeros 2 GB of as little. So the headers of the pages are read
first (`curator_plugins.sources.parquet_pages`): a row group with a page that is a bomb is rejected,
and a slice has no more rows than `EXPANDED` bytes hold of the longest word of a dictionary, which is looked for
only where the dictionary's size does not settle it. In a column of lists that limits the mean, since a single
row may hold any number of words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, foreign, listed, open_raw, signature, unchanged
from curator.lines import PART, DamagedFile
from curator.tables import Rows
from curator_plugins.sources.parquet_pages import dictionaries, row_groups

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SLICE = MIB  #: bytes that are in memory at a time: what fits the processor's cache is read faster
EXPANDED = 128 * MIB  #: bytes that a slice has at most, whatever its dictionary holds


class Parquet(FileSource):
    """Parquet files, read by row groups."""

    version = 1
    endings: ClassVar[Sequence[str]] = (".parquet",)

    def parts(self) -> Iterator[Part]:
        """Raises UsageError where no file has the column of the text; where some do, the others are quarantined."""
        parts: list[Part] = []
        lacking: list[UsageError] = []
        some_has = False
        for uri in self.files():
            try:
                found = list(self._parts_of(uri))
                some_has = some_has or any(part.start is not None for part in found)  # not only damaged
            except UsageError as error:
                lacking.append(error)
                found = [Part(uri, signature=signature(uri))]
            parts += found
        if lacking and not some_has:
            raise lacking[0]
        yield from parts

    def _parts_of(self, uri: str) -> Iterator[Part]:
        signed = signature(uri)
        with open_raw(uri) as raw:
            try:
                file = _open(raw)
                names = file.schema_arrow.names
                sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)]
            except damage():
                yield Part(uri, signature=signed)  # reading it says what is wrong
                return
            self._check_text(uri, names)
        start = held = 0
        for group, size in enumerate(sizes):
            held += size
            if held >= PART or group == len(sizes) - 1:
                yield Part(uri, start, group + 1, signed, held)
                start, held = group + 1, 0

    def _has_text(self, names: list[str]) -> bool:
        return self.text in names or self.text.partition(".")[0] in names

    def _check_text(self, uri: str, names: list[str]) -> None:
        if not self._has_text(names):
            raise UsageError(
                f"source {self.name!r}: {uri} has no column {self.text!r}; it has {listed(names)}. "
                "Name the one that holds the text with `text:`"
            )

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        for found in self.read_rows(part):
            yield from found.records() if isinstance(found, Rows) else (found,)

    def read_rows(self, part: Part) -> Iterator[Rows | Rejected]:
        with unchanged(part), open_raw(part.uri) as raw:
            try:
                file = _open(raw)
                groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
                footer = row_groups(raw)
            except damage() as error:
                is_parquet = foreign(part.uri) == "Parquet"
                yield Rejected("0", "damaged_file" if is_parquet else "wrong_format", str(error))
                return
            if not self._has_text(names := file.schema_arrow.names):
                yield Rejected("0", "no_column", f"no column {self.text!r}; there are {listed(names, 20)}")
                return
            stop = len(groups) if part.stop is None else part.stop
            row = sum(group.num_rows for group in groups[: part.start or 0])
            for number in range(part.start or 0, stop):
                yield from _group(file, raw, footer, number, row, self.max_ratio)
                row += groups[number].num_rows


def _open(raw: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(raw, pre_buffer=False, buffer_size=MIB)


def damage() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    # Arrow says OSError of bad Thrift and bad compression alike; an errno would be the disk's. Names that are no
    # UTF-8, and numbers that do not fit, are Python's errors
    return (pa.ArrowException, OSError, ValueError, OverflowError, LookupError, DamagedFile)


def _group(
    file: pq.ParquetFile, raw: Any, footer: list[Any], number: int, row: int, max_ratio: float
) -> Iterator[Rows | Rejected]:
    group = file.metadata.row_group(number)
    where = f"row group {number}, from row {row}"
    try:
        rows = min(10_000, SLICE * group.num_rows // max(group.total_byte_size, 1))
        for name, size in dictionaries(raw, footer[number], max_ratio).items():
            if size * rows > EXPANDED:
                rows = min(rows, EXPANDED // min(size, _longest_word(raw, file, number, name) or size))
        for batch in file.iter_batches(max(1, rows), row_groups=[number], use_threads=False):
            yield Rows(batch, row)
            row += batch.num_rows
    except DamagedFile as error:
        yield Rejected(str(row), error.reason, f"{where}: {error}")
    except damage() as error:
        if getattr(error, "errno", None) is not None:
            raise
        yield Rejected(str(row), "damaged_file", f"{where}: {error}")


def _longest_word(raw: Any, file: pq.ParquetFile, number: int, name: str) -> int | None:
    """Bytes of the longest word of a column's dictionary, where Arrow gives it as one."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    twin = pq.ParquetFile(raw, metadata=file.metadata, pre_buffer=False, buffer_size=MIB, read_dictionary=[name])
    for batch in twin.iter_batches(1, row_groups=[number], columns=[name], use_threads=False):
        if batch.num_columns == 1 and pa.types.is_dictionary(batch.column(0).type):
            return pc.max(pc.binary_length(batch.column(0).dictionary)).as_py()  # type: ignore[no-any-return]
        break
    return None


@hookimpl
def register_sources(register: Any) -> None:
    register(Parquet)
