"""Rows of tables become the same documents as the same records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curator.reading
import curator.tables
from curator import Part, Rejected, Source
from curator.mapping import Mapper
from curator.reading import Quarantined, read_documents
from curator.tables import Rows, mapped
from curator_plugins.sources.parquet import Parquet

PART = Part("memory")


class Tables(Source):
    """Gives tables, cut into slices, as rows or as records."""

    def __init__(self, table: pa.Table, rows: int = 3, **options: Any) -> None:
        super().__init__(**{"name": "tables", **options})
        self.batches = table.to_batches(max_chunksize=rows)

    def read_rows(self, part: Part) -> Iterator[Rows]:
        first = 0
        for batch in self.batches:
            yield Rows(batch, first)
            first += batch.num_rows

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        for rows in self.read_rows(part):
            yield from rows.records()


class Records(Tables):
    """The same, with a way of reading of its own, which the host has to take."""

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        yield from super().read(part)


def documents(source: Source, **given: Any) -> tuple[list[pl.DataFrame], list[list[Quarantined]]]:
    batches = list(read_documents(source, [PART, Part("other")], **given))
    return [frame for frame, _ in batches], [bad for _, bad in batches]


def same(table: pa.Table, given: dict[str, Any] | None = None, **options: Any) -> pl.DataFrame:
    """The documents, which are the same either way, to the last byte and in the same batches."""
    ours, bad = documents(Tables(table, **options), **(given or {}))
    theirs, theirs_bad = documents(Records(table, **options), **(given or {}))
    assert bad == theirs_bad
    assert len(ours) == len(theirs)
    for frame, other in zip(ours, theirs, strict=True):
        assert frame.schema == other.schema
        assert frame.equals(other)
    return pl.concat(ours) if ours else pl.DataFrame()


TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([None, "", " ", "\u3000\n" * 40, "\u3000" * 40 + "x", " x", "ü" * 11, "\0", "a\0"]),
)
VALUES = {
    "id": st.one_of(
        st.lists(st.one_of(st.none(), st.text(max_size=2)), min_size=6, max_size=6),
        st.lists(st.one_of(st.none(), st.integers(-5, 2**63 - 1)), min_size=6, max_size=6),
        st.lists(st.one_of(st.none(), st.floats()), min_size=6, max_size=6),
        st.lists(st.dates(), min_size=6, max_size=6),
    ),
    "url": st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=6, max_size=6),
    "published": st.one_of(
        st.lists(st.one_of(st.none(), st.datetimes(), st.datetimes(timezones=st.just(dt.UTC))), max_size=0).map(
            lambda _: [None] * 6
        ),
        st.lists(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2100, 1, 1)), min_size=6, max_size=6),
        st.lists(st.sampled_from(["2024-05-01", "soon", ""]), min_size=6, max_size=6),
    ),
    "year": st.lists(st.one_of(st.none(), st.integers(0, 2**62)), min_size=6, max_size=6),
    "score": st.lists(st.one_of(st.none(), st.floats()), min_size=6, max_size=6),
    "tags": st.lists(st.lists(st.text(max_size=2), max_size=2), min_size=6, max_size=6),
}


@settings(deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=6, max_size=6),
    others=st.fixed_dictionaries({}, optional=VALUES),
    rows=st.integers(1, 7),
    options=st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["id", "url", "text", "tags.x"]),
            "max_chars": st.integers(5, 20),
            "columns": st.sampled_from([{"year": "int"}, {"score": "float"}, {"year": "str"}]),
            "license": st.just("CC0"),
            "title": st.sampled_from(["url", "text"]),
        },
    ),
)
def test_rows_and_records_are_the_same_documents(
    texts: list[str | None], others: dict[str, Any], rows: int, options: dict[str, Any]
) -> None:
    """Columns, hashes, metadata, moments, what is quarantined and where, and where batches are cut."""
    table = pa.table({"text": pa.array(texts, pa.string()), **others})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curator.reading, "BATCH_BYTES", 30)
        patch.setattr(curator.reading, "BATCH_ROWS", 4)
        same(table, rows=rows, **options)
        same(table.cast(pa.schema([pa.field("text", pa.large_string()), *list(table.schema)[1:]])), rows=rows)


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By plain rows, whatever other columns they have; not by rows of which one may be refused."""
    taken: list[bool] = []

    def watched(found: Rows, mapper: Mapper, part: Part) -> Any:
        taken.append((documents := mapped(found, mapper, part)) is not None)
        return documents

    monkeypatch.setattr(curator.reading, "mapped", watched)
    table = pa.table({"text": ["a", " b", "ü"], "id": [1, 2, 3], "n": [{"x": 1}, None, {"x": 2}]})
    found = same(table)
    assert found["metadata"].to_list() == ['{"n":{"x":1}}', '{"n":null}', '{"n":{"x":2}}']
    assert taken == [True, True]  # of the second part they are duplicates
    assert same(pa.table({"text": ["a", "b"], "id": ["", "x"]}))["metadata"].to_list() == ['{"id":""}', None, '{"id":""}']
    for unusual in (
        {"text": ["a", None]},
        {"text": ["a", " "]},
        {"text": [1, 2]},
        {"text": ["a", "b"], "published": pa.array([2**62, 0], pa.timestamp("s"))},
        {"text": pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())},
        {"text": ["a", "x" * 30_000_000]},
    ):
        taken.clear()
        same(pa.table(unusual))
        assert taken == [False, False]


def test_keys_that_were_seen_and_forgotten_ones() -> None:
    """A batch with one of them is read record by record, and the rest of it stays."""
    table = pa.table({"text": ["a", "b", "c", "d"], "id": [1, 2, 2, 3]})
    found = same(table)
    assert found["source_key"].to_list() == ["1", "2", "3"]
    forgotten = {found["doc_key"][0], found["content_hash"][2]}
    assert same(table, {"forgotten": forgotten})["source_key"].to_list() == ["2"]
    assert same(table, {"seen": set(found["doc_key"])}).height == 0


def test_two_columns_of_a_name() -> None:
    """Are read as Arrow reads them, whichever that is."""
    batch = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    same(pa.Table.from_batches([batch]))


def test_the_developers_corpus() -> None:
    """Real files, whose documents are the same by rows and by records."""
    dev = Path(__file__).parents[2] / "shared" / "data" / "dev"
    if not dev.is_dir():
        pytest.skip(f"no developers' corpus at {dev}")

    class Slow(Parquet):
        def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
            yield from super().read(part)

    for path in sorted(dev.rglob("*.parquet")):
        name = "text" if "text" in pl.read_parquet_schema(path) else "body"
        frames = [
            [frame for frame, _ in read_documents(source, source.parts())]
            for source in (kind(path=str(path), text=name, name="same") for kind in (Parquet, Slow))
        ]
        assert pl.concat(frames[0]).equals(pl.concat(frames[1]))
        assert sum(map(len, frames[0])) > 400


def test_a_column_that_is_the_id_too() -> None:
    """It stays what else it is: an address is the key and the url, a promoted column keeps its value."""
    table = pa.table({"text": ["one", "two"], "url": ["https://a.example/", None], "nr": [7, 8]})
    assert same(table.slice(0, 1), id="url").select("source_key", "url").rows() == [("https://a.example/",) * 2]
    assert same(table, id="url")["url"].to_list() == ["https://a.example/"]
    assert same(table, id="nr", columns={"nr": "int"}).select("source_key", "nr").rows() == [("7", 7), ("8", 8)]
