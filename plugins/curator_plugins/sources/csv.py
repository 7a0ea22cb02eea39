"""Tables of separated values: one record a row, one part a file.

A quoted field may hold newlines, so a file cannot be cut without reading it from its beginning. The standard
library parses, line by line as they are read in pieces. A record's position is the number of its first line,
as an editor shows it. Rejected: Polars' and Arrow's readers, which stop at a ragged row or an invalid byte
(or, told not to, fill and replace without a word).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, foreign, listed, refused, signature, unchanged
from curator.lines import expected_size, lines


class Csv(FileSource):
    """Files of comma-separated values with a header, plain or compressed."""

    version = 1
    endings = (".csv",)
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    #: names of the columns, for files without a header
    header: list[str] = []  # an option's default, never changed

    def parts(self) -> Iterator[Part]:
        """Raises UsageError where no file has the column of the text; where some do, the others are quarantined."""
        self._check_encoding()
        parts: list[Part] = []
        lacking: list[tuple[str, list[str]]] = []
        some_has = False
        for uri in self.files():
            names = [] if foreign(uri) else self._names(self._rows(uri))
            if isinstance(names, list) and names:
                if self.text in names:
                    some_has = True
                else:
                    lacking.append((uri, names))
            parts.append(Part(uri, signature=signature(uri), size=expected_size(uri)))
        if lacking and not some_has:
            uri, names = lacking[0]
            raise UsageError(
                f"source {self.name!r}: {uri} has no column {self.text!r}; it has {listed(names)}. "
                "Name the one that holds the text with `text:`, what separates them with `delimiter:`, "
                "or, for a file without a header line, all of them with `header:`"
            )
        yield from parts

    def _check_encoding(self) -> None:
        try:
            plain = "\n".encode(self.encoding) == b"\n"
        except LookupError:
            plain = False
        if not plain:
            raise UsageError(
                f"source {self.name!r}: encoding: {self.encoding!r} is unknown, or has newlines of more than "
                "one byte; convert the file to utf-8"
            )

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, "separated values"):
                yield why
                return
            rows = self._rows(part.uri)
            names = self._names(rows)
            if isinstance(names, Rejected):
                yield names
                return
            if names and self.text not in names:
                yield Rejected("0", "no_column", f"no column {self.text!r}; there are {listed(names, 20)}")
                return
            for line, row in rows:
                if isinstance(row, Rejected):
                    yield row
                elif len(row) == len(names):
                    yield {**dict(zip(names, row, strict=True)), "#position": str(line)}
                elif row:
                    detail = f"{len(row)} fields, where the header has {len(names)}: {row[:20]}"
                    yield Rejected(str(line), "bad_row", detail)

    def _names(self, rows: Iterator[tuple[int, list[str] | Rejected]]) -> list[str] | Rejected:
        """What the columns are called: every one has a name, no two the same. An empty file has none."""
        names: list[str] | Rejected = self.header
        if not names:
            names = next((row for _, row in rows if row), [])
        if isinstance(names, Rejected):
            return names
        named: dict[str, None] = {}
        for number, name in enumerate(names, 1):
            name = name or f"column_{number}"
            while name in named:
                name = f"{name}_{number}"
            named[name] = None
        return list(named)

    def _rows(self, uri: str) -> Iterator[tuple[int, list[str] | Rejected]]:
        """(number of its first line, fields) of each row; an empty line has none."""
        # the module has one limit for all; a field up to it is held, so it is only ever as high as asked for
        csv.field_size_limit(self.max_chars)
        limit = 4 * self.max_chars + MIB
        lines_read = _Lines(lines(uri, max_bytes=limit, max_ratio=self.max_ratio), self.encoding, limit)
        rows = csv.reader(
            lines_read,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
        )
        while True:
            number = lines_read.count + 1
            lines_read.held = 0
            try:
                yield number, next(rows)
            except StopIteration:
                return
            except _Unreadable as error:
                yield number, Rejected(str(number), error.why.reason, error.why.detail)
            except csv.Error as error:
                reason = "too_large" if "limit" in str(error) else "bad_row"
                yield number, Rejected(str(number), reason, str(error))


class _Unreadable(Exception):
    def __init__(self, why: Rejected) -> None:
        self.why = why


class _Lines:
    """Decoded lines, counted. No generator: it goes on after it raised, and the reader drops that row.

    `held` is the bytes of the lines of one row; a row over `limit` raises.
    """

    def __init__(self, found: Iterator[tuple[int, bytes | Rejected]], encoding: str, limit: int) -> None:
        self._found = found
        self._encoding = encoding
        self._limit = limit
        self.count = self.held = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        offset, line = next(self._found)
        self.count += 1
        if isinstance(line, Rejected):
            raise _Unreadable(line)
        self.held += len(line)
        if self.held > self._limit:
            raise _Unreadable(Rejected("", "too_large", f"a row of {self.held} bytes and more"))
        text = line.decode(self._encoding, "surrogateescape") + "\n"
        return text if offset else text.removeprefix("\ufeff")


@hookimpl
def register_sources(register: Any) -> None:
    register(Csv)
