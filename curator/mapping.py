"""Records of a source -> rows of documents.

Text is kept as it was read, NUL characters included: Polars, Parquet and DuckDB take them. A lone surrogate
is no text; a source that decodes with `surrogateescape` gets `invalid_utf8` for what could not be decoded.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import polars as pl
import xxhash

from curator.errors import UsageError
from curator.moments import moment
from curator.plugin import Part, Source
from curator.registry import plugin_name

SCHEMA: dict[str, Any] = {
    "source": pl.String,
    "source_key": pl.String,
    "url": pl.String,
    "title": pl.String,
    "published": pl.Datetime("us"),
    "retrieved": pl.Datetime("us"),
    "license": pl.String,
    "declared_domain": pl.String,
    "metadata": pl.String,
    "text": pl.String,
    "doc_key": pl.String,
    "content_hash": pl.String,
}
COLUMN_TYPES: dict[str, Any] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "str": pl.String,
    "bool": pl.Boolean,
    "date": pl.Date,
    "timestamp": pl.Datetime("us"),
}
#: columns of `documents` that the catalog fills
TAKEN = {
    "doc_id",
    "row",
    "host",
    "domain",
    "language",
    "n_chars",
    "n_words",
    "n_tokens",
    "text_hash",
    "cleaned",
}
TAKEN |= {"part", "decision", "kept", "reason", "reasons"}
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Refused(Exception):
    """Why a record becomes no document."""

    def __init__(self, reason: str, detail: str, records: int = 1) -> None:
        self.reason, self.detail, self.records = reason, detail, records


def source_name(source: Source) -> str:
    """What the catalog calls the source: its option `name`, or else its plugin's."""
    return source.name or plugin_name(type(source))


def document_schema(source: Source) -> dict[str, Any]:
    """The columns of the source's documents; raises UsageError for a bad option `columns`."""
    schema = dict(SCHEMA)
    for name, kind in source.columns.items():
        where = f"source {source_name(source)!r}, columns: {name}: {kind}"
        if kind not in COLUMN_TYPES:
            raise UsageError(f"{where}: no such type; there are {', '.join(COLUMN_TYPES)}")
        if not name.isidentifier():
            raise UsageError(f"{where}: a column's name is letters, digits and _")
        if name.lower() in TAKEN | set(SCHEMA):
            raise UsageError(f"{where}: every document has a column {name.lower()!r} already")
        schema[name] = COLUMN_TYPES[kind]
    return schema


class Mapper:
    """Maps the records of one source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source_name(source)
        self.text, self.id = source.text, source.id or "id"
        #: the fields of all columns but the text and the id, and those that they are within
        self.fields = {source.url_field, source.title, source.license_field, source.published, source.retrieved}
        self.fields |= {*source.columns, *filter(None, [source.domain_field])}
        self.fields |= {field.partition(".")[0] for field in self.fields}
        self._none = (None, None, None, None, source.license, source.declared_domain, *[None] * len(source.columns))

    def __call__(self, record: dict[str, Any], part: Part, position: str) -> tuple[bytes, tuple[Any, ...]]:
        """The text in UTF-8, and the other values: see `row`."""
        text = record.pop(self.text, None)
        if type(text) is not str or not text or len(text) > self.source.max_chars or text.isspace():
            text = self._text(text, record)
        try:
            content = text.encode()
        except UnicodeEncodeError:
            content = encoded(text)  # says what is wrong
        return content, self.row(record, text_hash(content), part, position)

    def row(self, record: dict[str, Any], content_hash: str, part: Part, position: str) -> tuple[Any, ...]:
        """The values of a document beside its text, in the order of `ROW` and then of the option `columns`.

        Uses the record up: what is left is metadata. Raises Refused.
        """
        key = record.pop(self.id, None)
        if key is not None and self.id in self.fields:  # as a URL that is the id too
            record[self.id] = key
        if type(key) is not str or not key:
            key = self.key(key, record, part, position)
        if not key.isascii():
            encoded(key)
        return (key, self.doc_key(key), content_hash, *self.rest(record))

    def key(self, value: Any, record: dict[str, Any], part: Part, position: str) -> str:
        """The source_key of a record that had this value as its id."""
        if value is None:
            value = take(record, self.id)
        key = _as_key(value)
        if key is not None:
            return key
        if self.source.id:
            raise Refused("no_id", f"field {self.id!r} is {value!r}")
        if value is not None:
            record[self.id] = value
        return self.source.key_of(part, position)

    def doc_key(self, key: str) -> str:
        return xxhash.xxh3_128_hexdigest(f"{self.name}\0{key}".encode())

    def rest(self, record: dict[str, Any]) -> tuple[Any, ...]:
        """The values from the metadata on."""
        values = self._none if self.fields.isdisjoint(record) else self._values(record)
        return (_json(record) if record else None, *values)

    def _text(self, text: Any, record: dict[str, Any]) -> str:
        field = self.text
        if text is None:
            text = take(record, field)
        if isinstance(text, bytes):
            text = text.decode(errors="surrogateescape")
        if not isinstance(text, str):
            found = "is missing" if text is None else f"is {type(text).__name__}, not a string"
            raise Refused("no_text", f"field {field!r} {found}; the others are {', '.join(map(str, record))}")
        if not text or text.isspace():
            raise Refused("no_text", f"field {field!r} is empty")
        if len(text) > self.source.max_chars:
            raise Refused("too_large", f"{len(text)} characters, more than max_chars: {self.source.max_chars}")
        return text

    def _values(self, record: dict[str, Any]) -> tuple[Any, ...]:
        source = self.source
        url, title = _string(record, source.url_field), _string(record, source.title)
        license = _string(record, source.license_field) or source.license
        domain = _string(record, source.domain_field) if source.domain_field else None
        domain = domain or source.declared_domain
        for value in (url, title, license, domain):
            if value and not value.isascii():
                encoded(value)
        published, retrieved = _moment(record, source.published), _moment(record, source.retrieved)
        columns = [_typed(record, column, kind) for column, kind in source.columns.items()]
        return (url, title, published, retrieved, license, domain, *columns)


#: the columns of `SCHEMA` that a row has beside its text
ROW = (
    "source_key",
    "doc_key",
    "content_hash",
    "metadata",
    "url",
    "title",
    "published",
    "retrieved",
    "license",
    "declared_domain",
)
text_hash = xxhash.xxh3_128_hexdigest


def take(record: dict[str, Any], field: str) -> Any:
    """Remove and return a field; `a.b` is field b of field a, unless there is one called `a.b`."""
    if "." not in field or field in record:
        return record.pop(field, None)
    outer, _, inner = field.partition(".")
    nested = record.get(outer)
    return take(nested, inner) if isinstance(nested, dict) else None


def encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        escaped = "\udc80" <= error.object[error.start] <= "\udcff"
        around = error.object[max(error.start - 30, 0) : error.end + 30]
        raise Refused(
            "invalid_utf8" if escaped else "lone_surrogate", f"character {error.start}, in {around!r}"
        ) from None


def _as_key(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # as a table with gaps in its ids gives them
    if isinstance(value, bool) or not isinstance(value, int | UUID | Decimal | date):
        return None
    return str(value)


def _string(record: dict[str, Any], field: str) -> str | None:
    value = take(record, field)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    record[field] = value
    return None


def _moment(record: dict[str, Any], field: str) -> datetime | None:
    value = take(record, field)
    if value is None:
        return None
    when = moment(value)
    if when is None:
        record[field] = value
    return when


def _typed(record: dict[str, Any], name: str, kind: str) -> Any:
    value = record.pop(name, None)
    if value is None or (value == "" and kind != "str"):
        return None
    try:
        typed = _as_type(value, kind)
        return None if typed != typed else typed  # NaN
    except (ValueError, OverflowError, TypeError, KeyError):
        raise Refused("bad_column", f"{name}: {value!r} is no {kind}") from None


def _as_type(value: Any, kind: str) -> Any:
    if kind == "str":
        text = (
            value
            if isinstance(value, str)
            else _json(value)
            if isinstance(value, dict | list)
            else str(value)
        )
        encoded(text)
        return text
    if kind == "bool":
        return value if isinstance(value, bool) else TRUTH[str(value).strip().lower()]
    if kind == "int":
        number = int(value)
        if (isinstance(value, float | Decimal) and value != number) or not -(2**63) <= number < 2**63:
            raise ValueError
        return number
    if kind == "float":
        return float(value)
    when = moment(value)
    if when is None:
        raise ValueError
    return when.date() if kind == "date" else when


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # keys that are no strings, integers of more than 64 bits, lone surrogates, deep nests
        try:
            return orjson.dumps(_tidy(value), default=_plain).decode()
        except (TypeError, RecursionError, UnicodeDecodeError) as error:
            raise Refused("bad_metadata", str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {_tidy(str(key)): _tidy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_tidy(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, str):
        encoded(value)
    return value
