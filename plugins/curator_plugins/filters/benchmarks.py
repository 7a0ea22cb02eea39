"""Benchmarks: files of JSON lines, an item a line, plain or compressed, and the reviews of what was found of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curator import UsageError
from curator.lines import lines
from curator.mapping import take
from curator.plugin import Rejected
from curator.registry import suggest

VERDICTS = ("drop", "keep")
#: between document, benchmark and item in the key of a review
APART = "\t"


class Field(NamedTuple):
    """A field of an item that documents are compared with."""

    benchmark: str
    item: str
    name: str
    text: str


class Benchmark(NamedTuple):
    """The ids of all items in order, and their fields that count."""

    items: list[str]
    fields: list[Field]


def read_benchmark(name: str, path: str, fields: Mapping[str, str], id: str) -> Benchmark:
    """The items of a file. Raises UsageError, naming file and line, for what is no item.

    `fields` says of each what it is for: with some that `match` only those are read, else all but those to
    `ignore` that hold text or a list of texts. A field may be null, or missing in some items but not in all. An
    item is called by its field `id`, or # and its line where it has none.
    """
    where = f"benchmark {name!r}: {path}"
    wanted = [field for field, use in fields.items() if use == "match"]
    seen: dict[str, int] = {}
    found: list[Field] = []
    known: set[str] = set()
    present: set[str] = set()
    for number, record in _records(path, where):
        known |= set(record)
        given = take(record, id)
        item = f"#{number}" if given is None else str(given)
        if item in seen:
            raise UsageError(
                f"{where}:{number}: item {item!r} stands in line {seen[item]} too; name the field of an id by `id:`"
            )
        seen[item] = number
        for field in wanted or [f for f in record if f != id and f not in fields]:
            value = take(record, field)
            present |= {field} if value is not None else set()
            text = _text(value, strict=bool(wanted))
            if text is None:
                raise UsageError(
                    f"{where}:{number}: field {field!r} is {value!r:.80}, not text or a list of texts"
                )
            if text:
                found.append(Field(name, item, field, text))
    if not seen:
        raise UsageError(f"{where} has no items; it must have one JSON object a line")
    if missing := [field for field in fields if field not in present and fields[field] == "match"]:
        raise UsageError(f"{where}: no item has a field {missing[0]!r}{suggest(missing[0], known)}")
    if not found:
        raise UsageError(
            f"{where}: no field of any item holds text; name one as `fields: {{question: match}}`"
        )
    return Benchmark(list(seen), found)


def _records(path: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, (_, line) in enumerate(lines(path), 1):
        if isinstance(line, Rejected):
            raise UsageError(f"{where}:{number}: {line.reason}: {line.detail}")
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UsageError(
                f"{where}:{number}: this is no JSON: {error}: {line[:80].decode(errors='replace')}"
            ) from None
        if not isinstance(record, dict):
            raise UsageError(f"{where}:{number}: an item is a JSON object, this is {line[:80].decode()}")
        yield number, record


def _text(value: Any, *, strict: bool) -> str | None:
    """The text of a field: "" where there is none; None, if `strict`, where it is of another kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "\n".join(value)
    if isinstance(value, int | float):
        return str(value) if strict else ""
    return None if strict and value is not None else ""


def read_reviews(path: str) -> dict[str, str]:
    """The verdicts of a CSV file by document, benchmark and item, joined by APART; other columns are for people.

    The columns are verdict (drop or keep; an empty one is passed over), and document, benchmark and item, of
    which an empty or missing one means all. Raises UsageError, naming file and line, for another verdict, for
    two of the same, and for a row of all documents and items.
    """
    found: dict[str, str] = {}
    first: dict[str, int] = {}
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        if "verdict" not in columns or not {"document", "benchmark"} & set(columns):
            raise UsageError(
                f"{path}:1: a review has the columns document, benchmark, item and verdict, separated by commas; "
                f"this has {', '.join(columns) or 'nothing'}"
            )
        for row in reader:
            document, benchmark, item, verdict = (
                (row.get(name) or "").strip() for name in ("document", "benchmark", "item", "verdict")
            )
            if not verdict:
                continue
            where = f"{path}:{reader.line_num}"
            if verdict not in VERDICTS:
                raise UsageError(f"{where}: verdict {verdict!r} must be drop, keep or empty")
            if item and not benchmark:
                raise UsageError(f"{where}: item {item!r} needs its benchmark beside it")
            if not document and not item:
                raise UsageError(
                    f"{where}: name a document, or an item; of a whole benchmark the option verdict decides"
                )
            key = review_key(document, benchmark, item)
            if found.setdefault(key, verdict) != verdict:
                raise UsageError(
                    f"{where}: {verdict} contradicts line {first[key]}, {found[key]} of the same"
                )
            first.setdefault(key, reader.line_num)
    return found


def review_key(document: str, benchmark: str = "", item: str = "") -> str:
    """What a verdict is of: a document, or of it a benchmark, or an item, or an item of all documents."""
    return APART.join((document, benchmark, item)).rstrip(APART)
