"""Records of a source -> batches of documents, and what could not be read.

A batch is cut when it holds 8 MiB of text or 10,000 rows: by that, within a split, and by nothing else, so
every run, with any number of workers, measures the same batches. Records are mapped one by one in Python: a
GB of text in gzipped JSON lines takes 5.2 s, 2.1 of them mapping, hashing and building frames, and any
plugin's records, which are dicts, go the same way. Rejected: building frames from whole files with Polars,
which stops at the first bad record, infers types from the first rows and holds the file.

Text is kept as it was read, NUL characters included: Polars, Parquet and DuckDB take them. A lone surrogate
is no text; a source that decodes with `surrogateescape` gets `invalid_utf8` for what could not be decoded.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import polars as pl
import xxhash

from curator.errors import PluginError, UsageError
from curator.moments import moment
from curator.plugin import Part, Rejected, Source
from curator.registry import plugin_name

BATCH_BYTES = 8 << 20
BATCH_ROWS = 10_000
DETAIL = 200  #: characters of a rejected record that the quarantine shows

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


@dataclass(frozen=True)
class Quarantined:
    """A record that became no document."""

    source: str
    uri: str
    position: str
    reason: str
    detail: str = ""
    records: int = 1


class Refused(Exception):
    """Why a record becomes no document."""

    def __init__(self, reason: str, detail: str, records: int = 1) -> None:
        self.reason, self.detail, self.records = reason, detail, records


def read_documents(
    source: Source,
    parts: Part | Iterable[Part],
    seen: set[str] | None = None,
    forgotten: Container[str] = (),
) -> Iterator[tuple[pl.DataFrame, list[Quarantined]]]:
    """The documents of the parts of one split, in order, in batches with what was quarantined meanwhile.

    Batches run on from part to part, so that a thousand small files are no thousand batches; column `part`
    says which of the given parts a document is from. The first document of a key wins; `seen`, if given,
    holds the doc_keys read before and takes those read now. What has its doc_key or content_hash in `forgotten` is
    quarantined, without a detail. A frame may be empty, where all was quarantined.
    """
    seen = set() if seen is None else seen
    schema = {**document_schema(source), "part": pl.UInt32}
    name = source_name(source)
    rows: list[tuple[Any, ...]] = []
    bad: list[Quarantined] = []
    held = 0
    for ordinal, part in enumerate([parts] if isinstance(parts, Part) else parts):
        for number, record in enumerate(source.read(part)):
            try:
                if isinstance(record, Rejected):
                    position = record.position
                    raise Refused(record.reason, record.detail, record.records)
                if not isinstance(record, dict):
                    raise PluginError(f"source {name!r} gave {type(record).__name__}, not a dict")
                position = str(record.pop("#position", number))
                row = (*_row(record, source, part, position), ordinal)
                if forgotten and (row[DOC_KEY] in forgotten or row[CONTENT_HASH] in forgotten):
                    raise Refused("forgotten", "")
                if row[DOC_KEY] in seen:
                    raise Refused("duplicate_key", row[SOURCE_KEY])
            except Refused as why:
                detail = why.detail[:DETAIL].encode(errors="replace").decode()
                bad.append(Quarantined(name, part.uri, str(position), why.reason, detail, why.records))
            else:
                seen.add(row[DOC_KEY])
                rows.append(row)
                held += len(row[TEXT])
            if held >= BATCH_BYTES or len(rows) >= BATCH_ROWS or len(bad) >= BATCH_ROWS:
                yield _frame(rows, schema), bad
                rows, bad, held = [], [], 0
    if rows or bad:
        yield _frame(rows, schema), bad


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


SOURCE_KEY, TEXT, DOC_KEY, CONTENT_HASH = (
    list(SCHEMA).index(name) for name in ("source_key", "text", "doc_key", "content_hash")
)


def _frame(rows: list[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    series = [
        # text is UTF-8 already, for its hash and its size: Polars need not encode it again
        pl.Series(name, values, dtype=pl.Binary if name == "text" else kind)
        for (name, kind), values in zip(schema.items(), columns, strict=True)
    ]
    return pl.DataFrame(series).with_columns(pl.col("text").cast(pl.String))


def _row(record: dict[str, Any], source: Source, part: Part, position: str) -> tuple[Any, ...]:
    """The record's values in the order of the schema. Uses the record up: what is left is metadata."""
    name = source_name(source)
    text = _text(record, source)
    key = _key(record, source, part, position)
    strings = (
        key,
        _string(record, source.url_field),
        _string(record, source.title),
        _string(record, source.license_field) or source.license,
        (_string(record, source.domain_field) if source.domain_field else None) or source.declared_domain,
    )
    for value in strings:
        if value and not value.isascii():
            _encoded(value)
    _, url, title, license, domain = strings
    published, retrieved = _moment(record, source.published), _moment(record, source.retrieved)
    columns = [_typed(record, column, kind) for column, kind in source.columns.items()]
    return (
        name,
        key,
        url,
        title,
        published,
        retrieved,
        license,
        domain,
        _json(record) if record else None,
        text,
        xxhash.xxh3_128_hexdigest(f"{name}\0{key}".encode()),
        xxhash.xxh3_128_hexdigest(text),
        *columns,
    )


def take(record: dict[str, Any], field: str) -> Any:
    """Remove and return a field; `a.b` is field b of field a, unless there is one called `a.b`."""
    if "." not in field or field in record:
        return record.pop(field, None)
    outer, _, inner = field.partition(".")
    nested = record.get(outer)
    return take(nested, inner) if isinstance(nested, dict) else None


def _text(record: dict[str, Any], source: Source) -> bytes:
    text = take(record, source.text)
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    if not isinstance(text, str):
        found = "is missing" if text is None else f"is {type(text).__name__}, not a string"
        raise Refused(
            "no_text", f"field {source.text!r} {found}; the others are {', '.join(map(str, record))}"
        )
    if not text or text.isspace():
        raise Refused("no_text", f"field {source.text!r} is empty")
    if len(text) > source.max_chars:
        raise Refused("too_large", f"{len(text)} characters, more than max_chars: {source.max_chars}")
    return _encoded(text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        escaped = "\udc80" <= error.object[error.start] <= "\udcff"
        around = error.object[max(error.start - 30, 0) : error.end + 30]
        raise Refused(
            "invalid_utf8" if escaped else "lone_surrogate", f"character {error.start}, in {around!r}"
        ) from None


def _key(record: dict[str, Any], source: Source, part: Part, position: str) -> str:
    field = source.id or "id"
    value = take(record, field)
    key = _as_key(value)
    if key is not None:
        return key
    if source.id:
        raise Refused("no_id", f"field {field!r} is {value!r}")
    if value is not None:
        record[field] = value
    return source.key_of(part, position)


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
        _encoded(text)
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
        _encoded(value)
    return value
