"""Records become documents or quarantine rows, in batches that are always the same."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import orjson
import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import curator.reading
from curator import Part, PluginError, Rejected, Source, UsageError
from curator.mapping import SCHEMA
from curator.moments import moment
from curator.reading import Quarantined, read_documents

PART = Part("memory")


class Given(Source):
    """Gives the records that it was made with."""

    def __init__(self, *records: Any, **options: Any) -> None:
        super().__init__(**{"name": "given", **options})
        self.records = records

    def read(self, part: Part) -> Iterator[Any]:
        for record in self.records:
            yield dict(record) if isinstance(record, dict) else record


def read(source: Source, parts: Any = PART) -> tuple[pl.DataFrame, list[Quarantined]]:
    batches = list(read_documents(source, parts))
    return pl.concat([frame for frame, _ in batches]), [q for _, bad in batches for q in bad]


def document(record: dict[str, Any], **options: Any) -> dict[str, Any]:
    frame, bad = read(Given(record, **options))
    assert bad == []
    return frame.to_dicts()[0]


def refusal(record: Any, **options: Any) -> tuple[str, str]:
    frame, (bad,) = read(Given(record, **options))
    assert frame.height == 0
    assert (bad.source, bad.uri) == ("given", "memory")
    return bad.reason, bad.detail


def test_every_column() -> None:
    """Mapped fields fill their columns, hashes are of UTF-8, and all other fields are metadata."""
    record = {
        "id": 7,
        "text": "Grüße",
        "url": "https://example.org",
        "title": "T",
        "published": "2024-05-01T10:00:00+02:00",
        "retrieved": 1714550400,
        "license": "CC0",
        "lang": "de",
        "nested": {"a": [1, None]},
    }
    assert document(record, declared_domain="letters") == {
        "source": "given",
        "source_key": "7",
        "url": "https://example.org",
        "title": "T",
        "published": datetime(2024, 5, 1, 8),
        "retrieved": datetime(2024, 5, 1, 8),
        "license": "CC0",
        "declared_domain": "letters",
        "metadata": '{"lang":"de","nested":{"a":[1,null]}}',
        "text": "Grüße",
        "doc_key": xxhash.xxh3_128_hexdigest(b"given\x007"),
        "content_hash": xxhash.xxh3_128_hexdigest("Grüße".encode()),
        "part": 0,
    }


def test_a_bare_record() -> None:
    """A record needs nothing but its text: its key is its place, its metadata None."""
    found = document({"text": "x"})
    assert found["source_key"] == "memory#0"
    assert document({"text": "x", "#position": "12"})["source_key"] == "memory#12"
    assert [name for name, value in found.items() if value is None] == [
        "url",
        "title",
        "published",
        "retrieved",
        "license",
        "declared_domain",
        "metadata",
    ]
    assert list(found) == [*SCHEMA, "part"]


def test_other_field_names() -> None:
    """Options name the fields; a dot reaches into an object, unless a field is called so."""
    options = {
        "text": "body.text",
        "id": "meta.ids.pmid",
        "title": "a.b",
        "url_field": "link",
        "domain_field": "topic",
    }
    record = {
        "body": {"text": "x", "n": 1},
        "meta": {"ids": {"pmid": 5}},
        "a.b": "T",
        "a": {"b": "not this"},
        "link": "u",
        "topic": "law",
    }
    found = document(record, **options, declared_domain="web")
    picked = {name: found[name] for name in ("text", "source_key", "title", "url", "declared_domain")}
    assert picked == {"text": "x", "source_key": "5", "title": "T", "url": "u", "declared_domain": "law"}
    assert orjson.loads(found["metadata"]) == {"body": {"n": 1}, "meta": {"ids": {}}, "a": {"b": "not this"}}


def test_constants_stand_where_a_record_has_no_value() -> None:
    """A record's own licence goes before the source's."""
    options = {"license": "CC0", "license_field": "rights", "declared_domain": "law", "domain_field": "topic"}
    assert document({"text": "x", "rights": "MIT", "topic": ""}, **options)["license"] == "MIT"
    found = document({"text": "x", "rights": None}, **options)
    assert (found["license"], found["declared_domain"]) == ("CC0", "law")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a", "a"),
        (0, "0"),
        (2**70, str(2**70)),
        (3.0, "3"),
        (UUID(int=1), str(UUID(int=1))),
        (Decimal("1.50"), "1.50"),
        (date(2024, 1, 2), "2024-01-02"),
        (None, None),
        ("", None),
        (True, None),
        (1.5, None),
        (1e300, None),
        ([1], None),
    ],
)
def test_ids(value: Any, key: str | None) -> None:
    """Strings, integers and the like are ids. Another `id` is metadata, unless the recipe asked for it."""
    assert document({"text": "x", "id": value})["source_key"] == (key or "memory#0")
    if key is None:
        assert refusal({"text": "x", "id": value}, id="id")[0] == "no_id"


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        ({"body": "x"}, "no_text", "field 'text' is missing; the others are body"),
        ({"text": None}, "no_text", "is missing"),
        ({"text": 5}, "no_text", "is int, not a string"),
        ({"text": ""}, "no_text", "is empty"),
        ({"text": " \n\t\u3000"}, "no_text", "is empty"),
        ({"text": "x" * 11}, "too_large", "11 characters, more than max_chars: 10"),
        ({"text": "a\ud800b"}, "lone_surrogate", "character 1"),
        ({"text": "a\udcffb"}, "invalid_utf8", "character 1"),
        ({"text": b"a\xff"}, "invalid_utf8", "character 1"),
        ({"text": "x", "title": "\ud800"}, "lone_surrogate", ""),
        ({"text": "x", "id": "\ud800"}, "lone_surrogate", ""),
        ({"text": "x", "other": ["\ud800"]}, "lone_surrogate", ""),
        ({"text": "x", "score": "high"}, "bad_column", "score: 'high' is no float"),
        (Rejected("3", "bad_json", "y" * 900), "bad_json", "y" * 200),
    ],
)
def test_what_becomes_no_document(record: Any, reason: str, detail: str) -> None:
    """Each has one reason and a detail that helps to find it."""
    found = refusal(record, max_chars=10, columns={"score": "float"})
    assert found[0] == reason
    assert detail in found[1]
    assert len(found[1]) <= 200


def test_the_first_of_a_key_wins() -> None:
    """Within a split, over its parts; a record that was refused does not take the key."""
    records = [{"id": 1, "text": ""}, {"id": "1", "text": "a"}, {"id": 1, "text": "b"}]
    frame, bad = read(Given(*records), [PART, Part("other")])
    assert frame["text"].to_list() == ["a"]
    assert [(q.uri, q.position, q.reason) for q in bad] == [
        ("memory", "0", "no_text"),
        ("memory", "2", "duplicate_key"),
        ("other", "0", "no_text"),
        ("other", "1", "duplicate_key"),
        ("other", "2", "duplicate_key"),
    ]
    seen: set[str] = set()
    heights = [sum(frame.height for frame, _ in read_documents(Given(*records), PART, seen)) for _ in "ab"]
    assert heights == [1, 0]


def test_batches_run_on_from_part_to_part() -> None:
    """Many small files are one batch, and `part` says where each document is from."""
    ((frame, _),) = read_documents(Given({"text": "x"}), [Part(f"file {n}") for n in range(100)])
    assert frame["part"].to_list() == list(range(100))


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_batches_are_cut_by_bytes_and_rows(sizes: list[int]) -> None:
    """A batch ends with the document that fills it; joined, batches are the records in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curator.reading, "BATCH_BYTES", 1000)
        patch.setattr(curator.reading, "BATCH_ROWS", 10)
        records = [{"text": "ü" * size, "id": n} for n, size in enumerate(sizes)]
        frames = [frame for frame, _ in read_documents(Given(*records), PART)]
    assert pl.concat(frames)["text"].str.len_chars().to_list() == sizes
    for frame in frames[:-1]:
        filled = frame["text"].str.len_bytes().cum_sum().to_list()
        assert filled[-1] >= 1000 or len(filled) == 10
        assert len(filled) == 1 or (filled[-2] < 1000 and len(filled) <= 10)


def test_columns() -> None:
    """Fields of these names become typed columns; strings of such values will do, "" is none."""
    kinds = {"i": "int", "f": "float", "s": "str", "b": "bool", "d": "date", "t": "timestamp"}
    natural = {
        "i": 5,
        "f": 1,
        "s": "x",
        "b": True,
        "d": date(2024, 1, 2),
        "t": datetime(2024, 1, 2, 3, tzinfo=UTC),
    }
    strings = {"i": "5", "f": "1.0", "s": "x", "b": "TRUE", "d": "2024-01-02", "t": "2024-01-02T03:00"}
    empty = {"i": "", "f": float("nan"), "s": None, "d": ""}
    frame, _ = read(Given(*({"text": "x", **fields} for fields in (natural, strings, empty)), columns=kinds))
    found = frame.select(*kinds)
    assert found.schema == {
        "i": pl.Int64,
        "f": pl.Float64,
        "s": pl.String,
        "b": pl.Boolean,
        "d": pl.Date,
        "t": pl.Datetime("us"),
    }
    values = (5, 1.0, "x", True, date(2024, 1, 2), datetime(2024, 1, 2, 3))
    assert found.rows() == [values, values, (None,) * 6]
    assert frame["metadata"].to_list() == [None] * 3
    for name, value in {"i": 1.5, "b": 2, "d": "soon", "f": [1]}.items():
        assert refusal({"text": "x", name: value}, columns=kinds)[0] == "bad_column"
    assert refusal({"text": "x", "i": 2**63}, columns=kinds)[0] == "bad_column"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": "double"}, "score: double: no such type; there are int, float"),
        ({"URL": "str"}, "already"),
        ({"language": "str"}, "already"),
        ({"a b": "str"}, "letters, digits and _"),
    ],
)
def test_bad_columns(columns: dict[str, str], message: str) -> None:
    """A wrong option is an error before anything is read."""
    with pytest.raises(UsageError, match=message):
        read(Given({"text": "x"}, columns=columns))


def test_metadata_takes_any_value() -> None:
    """What JSON has no word for becomes a string, NaN null; the result is always JSON."""
    record = {
        "text": "x",
        "nan": float("nan"),
        "big": 2**80,
        "decimal": Decimal("1.10"),
        "bytes": b"ok",
        "binary": b"\xff\x00",
        "date": date(2024, 1, 2),
        "length": timedelta(seconds=1.5),
        "keys": {1: {"a"}},
        "nul": "a\0b",
    }
    assert orjson.loads(document(record)["metadata"]) == {
        "nan": None,
        "big": str(2**80),
        "decimal": "1.10",
        "bytes": "ok",
        "binary": "ff00",
        "date": "2024-01-02",
        "length": 1.5,
        "keys": {"1": ["a"]},
        "nul": "a\0b",
    }
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert refusal({"text": "x", "deep": deep})[0] == "bad_metadata"


def test_values_of_the_wrong_kind_stay_in_the_metadata() -> None:
    """A date that is none, a title that is a list: the column is NULL and nothing is lost."""
    found = document({"text": "x", "published": "last week", "url": ["a"], "title": 5})
    assert (found["published"], found["url"], found["title"]) == (None, None, "5")
    assert orjson.loads(found["metadata"]) == {"url": ["a"], "published": "last week"}


def test_nul_survives_polars_parquet_and_duckdb(tmp_path: Any) -> None:
    """Text is kept as it was read, NUL characters included."""
    frame, _ = read(Given({"text": "a\0b\0", "title": "\0"}))
    path = tmp_path / "frame.parquet"
    frame.write_parquet(path)
    assert pl.read_parquet(path).equals(frame)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM '{path}'")
        assert connection.execute("SELECT text, title FROM t").fetchall() == [("a\0b\0", "\0")]
        stored = io.BytesIO(connection.execute("SELECT encode(text) FROM t").fetchall()[0][0])
    assert stored.read() == b"a\0b\0"


def test_a_source_that_gives_no_dicts_is_named() -> None:
    """It breaks the contract of plugins."""
    with pytest.raises(PluginError, match="source 'given' gave list, not a dict"):
        read(Given(["x"]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01", datetime(2024, 5, 1)),
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10)),
        ("2024-05-01 10:00:00.123456789-02:00", datetime(2024, 5, 1, 12, 0, 0, 123456)),
        (" 2024/05/01 10:00 ", datetime(2024, 5, 1, 10)),
        ("2024-05", datetime(2024, 5, 1)),
        ("1850", datetime(1850, 1, 1)),
        (1850, datetime(1850, 1, 1)),
        ("20240501", datetime(2024, 5, 1)),
        (20240501, datetime(2024, 5, 1)),
        ("20240501103000", datetime(2024, 5, 1, 10, 30)),
        ("Wed, 01 May 2024 10:00:00 +0200", datetime(2024, 5, 1, 8)),
        ("1 May 2024 10:00:00 GMT", datetime(2024, 5, 1, 10)),
        ("2 Apr 93 19:05:57 GMT", datetime(1993, 4, 2, 19, 5, 57)),
        ("26-FEB-1987 15:03:27.51", datetime(1987, 2, 26, 15, 3, 27)),
        ("26-FEB-87 15:03", None),
        (1714550400, datetime(2024, 5, 1, 8)),
        ("1714550400.5", datetime(2024, 5, 1, 8, 0, 0, 500000)),
        (1714550400000, datetime(2024, 5, 1, 8)),
        (1714550400000000, datetime(2024, 5, 1, 8)),
        (date(2024, 5, 1), datetime(2024, 5, 1)),
        (datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 5, 1, 8)),
        ("04/05/2024", None),
        ("2024-02-30", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("yesterday", None),
        ("", None),
        (True, None),
        (12, None),
        (float("nan"), None),
        (float("inf"), None),
        ([2024], None),
    ],
)
def test_moments(value: Any, expected: datetime | None) -> None:
    """What can be read in one way is read, as UTC; all else is None."""
    assert moment(value) == expected


@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes(), st.none()))
def test_no_value_breaks_a_moment(value: Any) -> None:
    """Any value gives a naive datetime or None."""
    found = moment(value)
    assert found is None or found.tzinfo is None
