"""SQL on a real PostgreSQL: what values become, ranges, new rows, and a server that goes away."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import curator.planning
import curator_plugins.sources.databases
import curator_plugins.sources.sql
from curator import CuratorError
from curator.corpus import Corpus
from curator.verify import digest
from tests.conftest import Workshop
from tests.databases import POSTS, Postgres, keys, postgres, source


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def posts(server: Postgres) -> Postgres:
    """Posts of every tenth minute, which are 200 characters long."""
    server.sql("""drop table if exists post;
        create table post (id int primary key, body text, changed timestamptz);
        insert into post select n, repeat('post ' || lpad(n::text, 4, '0') || ' ', 20),
            timestamptz '2024-05-01 00:00+02' + n * interval '10 minutes' from generate_series(-99, 900) n""")
    return server


def test_values(server: Postgres, read: Any) -> None:
    """Whatever PostgreSQL holds is a document or one refused record; metadata hold it as JSON can."""
    server.sql("""drop table if exists typed; create table typed (id uuid, body text, n numeric, big numeric, f float8,
        tags text[], about jsonb, raw bytea, at timestamptz, day date, hour time, long interval, span int4range);
        insert into typed values
        ('00000000-0000-0000-0000-000000000001', 'plain', 1.50, 1e30, 'nan', '{a,null}', '{"a": [1, "\\u00e9"]}',
            '\\x61ff', '2024-05-01 12:00+02', '2024-05-01', '24:00', '1 mon 2 days', '[1,5)'),
        ('00000000-0000-0000-0000-000000000002', 'odd', 'NaN', 'infinity', '-infinity', '{}', '"text"',
            'text', 'infinity', '0044-03-15 BC', '10:00', '-1 second', 'empty'),
        ('00000000-0000-0000-0000-000000000003', '', 0, 0, 0, '{}', 'null', '', '-infinity', null, null, null, null)""")
    query = 'select *, body as text, at as published, \'{"x": "\\ud800"}\'::json as surrogate from typed'
    documents, bad = read(source(server, query, key="id"))
    assert bad == [("00000000-0000-0000-0000-000000000003", "no_text")]
    assert [d["text"] for d in documents] == ["plain", "odd"]
    assert [d["source_key"][-1] for d in documents] == ["1", "2"]
    assert documents[0]["published"].isoformat() == "2024-05-01T10:00:00"
    assert documents[1]["published"] is None
    first, second = (json.loads(d["metadata"]) for d in documents)
    surrogate = '{"x": "\\ud800"}'
    assert first == {
        "body": "plain", "n": "1.50", "big": "1000000000000000000000000000000", "f": None, "tags": ["a", None],
        "about": {"a": [1, "é"]}, "raw": "61ff", "at": "2024-05-01T10:00:00+00:00", "day": "2024-05-01",
        "hour": "24:00:00", "long": "1 mon 2 days", "span": "[1, 5)", "surrogate": surrogate,
    }  # fmt: skip
    assert second == {
        "body": "odd", "n": "NaN", "big": "Infinity", "f": None, "tags": [], "about": "text", "raw": "text",
        "at": "infinity", "published": "infinity", "day": "0044-03-15 BC", "hour": "10:00:00", "long": "-00:00:01",
        "span": "empty", "surrogate": surrogate,
    }  # fmt: skip


def test_bytes_that_are_no_utf8(server: Postgres, read: Any) -> None:
    """A database that checks no encoding gives one refused record for them."""
    if "ascii" not in server.sql("select datname from pg_database", "postgres"):
        server.sql("create database ascii encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'", "postgres")
        server.sql("create table post (id int, body text); insert into post values (1, 'good'), (2, E'a\\xff'), (3, 'é')", "ascii")
    found = source(server, "select id, body as text, body as title from post", key="id")
    found.url = server.url.replace("/test?", "/ascii?")
    documents, bad = read(found)
    assert [(d["source_key"], d["text"], d["title"]) for d in documents] == [("1", "good", "good"), ("3", "é", "é")]
    assert bad == [("2", "invalid_utf8")]


@pytest.mark.parametrize("key", ["id", "far", "name", "unique_id", "changed"])
def test_a_key_of_any_type_cuts(posts: Postgres, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into parts of as many rows, in the key's order: with one far away, text in the database's order, UUIDs, times."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 60_000)
    found = source(posts, """select *, body as text, case when id > 899 then 9e18::int8 else id end as far,
        case when id % 2 = 0 then 'a, "b" ü' || (id + 100) else 'A''<#%' || id end as name,
        md5(id::text)::uuid as unique_id from post""", key=key)  # fmt: skip
    parts = list(found.parts())
    assert [part.signature.split(":")[1] for part in parts] == ["250"] * 4
    read = keys(found, parts)
    order = "name" if key == "name" else f"{key}"
    column = {"far": "id", "name": "case when id % 2 = 0 then 'a, \"b\" ü' || (id + 100) else 'A''<#%' || id end",
              "unique_id": "md5(id::text)::uuid"}.get(order, order)  # fmt: skip
    assert read == [int(n) for n in posts.sql(f"select id from post order by {column}").split()]


def test_equal_keys_stay_together(posts: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges end between values."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 30_000)
    found = source(posts, "select id, body as text, greatest(id, 0) / 400 as century from post", key="century", id="id")
    parts = list(found.parts())
    assert [part.signature.split(":")[1::2] for part in parts] == [
        ["499", "century<1"], ["400", "century>=1,<2"], ["101", "century>=2"],
    ]  # fmt: skip
    assert sorted(keys(found, parts)) == list(range(-99, 901))


def test_since_reads_only_what_is_new(posts: Postgres) -> None:
    """What was read stays as it is; new and changed rows make one part more, deleted ones none."""
    first = list(source(posts, since="changed").parts())
    database = "postgresql://tester@/test#changed"
    assert [part.uri for part in first] == [f"{database}<=2024-05-07T04:00:00+00:00"]
    assert list(source(posts, since="changed", known=first).parts()) == first
    posts.sql("""insert into post values (901, 'new', '2024-05-08 00:00Z'), (902, 'late', '2024-01-01');
        update post set body = 'changed', changed = '2024-05-07 12:00Z' where id = 5; delete from post where id = 6""")
    found = source(posts, since="changed", known=first)
    second = list(found.parts())
    assert second[:1] == first
    assert [p.uri for p in second[1:]] == [f"{database}>2024-05-07T04:00:00+00:00,<=2024-05-08T00:00:00+00:00"]
    assert keys(found, second[1:]) == [5, 901]
    assert list(source(posts, since="changed", known=second).parts()) == second


def test_rows_of_the_last_value_that_come_late(posts: Postgres) -> None:
    """Are counted, and that value is read again; with an overlap, so is the time before it."""
    whole = list(source(posts, since="changed").parts())
    posts.sql("insert into post values (901, 'same moment', '2024-05-07 04:00Z')")
    found = source(posts, since="changed", known=whole)
    again = list(found.parts())
    assert [p.uri.partition("#")[2] for p in again[1:]] == [
        "changed>=2024-05-07T04:00:00+00:00,<=2024-05-07T04:00:00+00:00"
    ]
    assert keys(found, again[1:]) == [900, 901]
    assert list(source(posts, since="changed", known=again).parts()) == again
    posts.sql("insert into post values (902, 'same moment', '2024-05-07 04:00Z')")
    found = source(posts, since="changed", known=again)
    third = list(found.parts())
    assert (len(third), keys(found, third[1:])) == (2, [900, 901, 902])

    wide = list(source(posts, since="changed", overlap="30m").parts())
    posts.sql("insert into post values (903, 'late', '2024-05-07 03:35Z'), (904, 'too late', '2024-05-07 03:29Z')")
    found = source(posts, since="changed", overlap="30m", known=wide)
    assert sorted(keys(found, list(found.parts())[1:])) == [897, 898, 899, 900, 901, 902, 903]


def test_since_of_other_types(posts: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Integers, dates, times without zone and decimals; a first reading is cut by it, or by the key."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 60_000)
    query = "select id, body as text, changed::date as day, changed::timestamp as moment, id + 0.5 as half from post"
    ends = {"id": "900", "day": "2024-05-07", "moment": "2024-05-07T04:00:00", "half": "900.5"}
    for column, end in ends.items():
        for key in (None, "id"):
            found = source(posts, query, since=column, key=key)
            parts = list(found.parts())
            assert len(parts) == 4
            assert parts[-1].uri.endswith(f",<={end}" if key is None else f"#{column}<={end}")
            assert sorted(keys(found, parts)) == list(range(-99, 901))
            assert list(source(posts, query, since=column, key=key, known=parts).parts()) == parts
    by_key = list(source(posts, query, since="day", key="id").parts())
    assert [(p.start, p.stop, p.signature.split(":")[3]) for p in by_key[:2]] == [(0, 1, "id<151"), (1, 2, "id>=151,<401")]
    posts.sql("insert into post values (901, 'new', '2025-01-01')")
    found = source(posts, query, since="day", key="id", known=by_key)
    assert keys(found, list(found.parts())[4:]) == [901]


def test_what_since_refuses(posts: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """NULLs, a query without a key, floats, and an overlap of another kind; what is ahead of its time waits."""
    posts.sql("insert into post values (1001, 'ahead', 'infinity'), (1002, 'ahead', now() + interval '2 years')")
    found = source(posts, since="changed")
    parts = list(found.parts())
    assert parts[0].uri.endswith("#changed<=2024-05-07T04:00:00+00:00")
    assert len(keys(found, parts)) == 1000
    assert "2 rows have a changed in the future, up to infinity: they wait" in caplog.text
    posts.sql("insert into post values (1003, 'never', null)")
    for options, message in (
        ({"since": "changed"}, "NULL in 1 rows, which would be read never or always: .* coalesce"),
        ({"since": "id", "overlap": "1h"}, "overlap: '1h' cannot be taken from 1003: write a number for integers"),
        ({"since": "id", "id": "nr"}, "since needs the column that tells rows apart.*; the query gives id, text, changed"),
        ({"since": "f", "query": "select id, body as text, id::real as f from post"}, "since 'f' has values as .* float"),
        ({"query": "select *, id, body as text from post"}, "two columns of the query are called 'id'"),
        ({"overlap": 3}, "overlap is how far `since` looks back"),
    ):  # fmt: skip
        with pytest.raises(CuratorError, match=message):
            list(source(posts, **{"query": POSTS, **options}).parts())


def test_the_database_is_only_read(posts: Postgres) -> None:
    """The transaction is read-only, so a query that writes fails."""
    posts.sql("create or replace function spoil() returns text language sql as $$ delete from post returning body $$")
    with pytest.raises(CuratorError, match="cannot execute DELETE in a read-only transaction"):
        list(source(posts, "select 1 as id, spoil() as text").parts())


def test_a_connection_lost_in_the_middle(posts: Postgres) -> None:
    """Is an error that says what happened; nothing is taken for the end of the rows."""
    found = source(posts)
    (part,) = found.parts()
    rows = found.read(part.__class__(part.uri, signature=part.signature, size=part.size * 5000))
    assert next(rows)["id"] == -99  # type: ignore[index]
    posts.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'test' and pid <> pg_backend_pid()")
    with pytest.raises(CuratorError, match=r"'posts': postgresql://tester@/test: the connection was lost: .*terminat"):
        list(rows)


def test_a_server_that_restarts(posts: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between planning and reading is waited for; one that stays away is an error without the password."""
    monkeypatch.setenv("PASSWORD", "hunter2")
    found = source(posts)
    found.url = posts.url.replace("tester@", "tester:${PASSWORD}@")
    parts = list(found.parts())
    assert parts[0].uri == "postgresql://tester:***@/test"
    posts.stop()
    starting = threading.Timer(0.7, posts.start)
    starting.start()
    assert len(keys(found, parts)) == 1000
    starting.join()
    posts.stop()
    try:
        monkeypatch.setattr(curator_plugins.sources.databases, "PATIENCE", 0.0)
        with pytest.raises(CuratorError, match=r"tester:\*\*\*@/test: .*No such file or directory") as failed:
            list(found.read(parts[0]))
        assert "hunter2" not in str(failed.value)
    finally:
        posts.start()


def test_a_run_goes_on_without_the_part_that_lost_its_connection(
    posts: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other splits are read; the next run reads that one, and the corpus is as that of an undisturbed run."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 60_000)
    monkeypatch.setattr(curator.planning, "SPLIT_BYTES", 60_000)
    monkeypatch.setenv("PASSWORD", "hunter2")
    flag = posts.folder / "data" / "flag"
    posts.sql("""create or replace function fragile(id int, body text) returns text stable language plpgsql as $$ begin
        if id = 450 and (pg_stat_file('flag', true)).size is not null then
            perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if;
        return body; end $$""")
    entry = {"sql": {"name": "posts", "url": posts.url.replace("tester@", "tester:${PASSWORD}@"), "key": "id",
                     "query": "select id, fragile(id, body) as text from post"}}  # fmt: skip
    disturbed, whole = workshop(tmp_path / "disturbed"), workshop(tmp_path / "whole")
    flag.touch()
    try:
        corpus = disturbed.curate([], sources=[entry])
    finally:
        flag.unlink()
    assert disturbed.report is not None
    assert len(disturbed.report.failed) == 1
    assert "split 2 of posts: source 'posts': postgresql://tester:***@/test: the connection was lost: " in disturbed.report.failed[0]
    assert corpus.sql("SELECT count(*) FROM documents").rows() == [(750,)]
    corpus = disturbed.curate([], sources=[entry])
    assert corpus.sql("SELECT count(*), count(DISTINCT source_key) FROM documents").rows() == [(1000, 1000)]
    assert digest(corpus) == digest(whole.curate([], sources=[entry]))
    assert "hunter2" not in stored(corpus)


def test_a_second_run_reads_only_what_is_new(posts: Postgres, tmp_path: Path) -> None:
    """What changed supersedes what was read before; the corpus is as one that was read at once."""
    entry = {"sql": {"name": "posts", "url": posts.url, "query": POSTS, "key": "id", "since": "changed"}}
    grown = workshop(tmp_path / "grown")
    grown.curate([], sources=[entry])
    posts.sql("""insert into post values (901, 'new', '2024-05-08 00:00Z');
        update post set body = 'changed', changed = '2024-05-07 12:00Z' where id between 5 and 7""")
    counts = []
    for _ in range(2):
        corpus = grown.curate([], sources=[entry])
        assert grown.report is not None
        counts.append(grown.report.counts["documents"])
    assert counts == [4, 0]
    assert corpus.sql("SELECT reason, count(*) FROM quarantine GROUP BY 1").rows() == [("superseded_key", 3)]
    assert digest(corpus) == digest(workshop(tmp_path / "fresh").curate([], sources=[entry]))


def workshop(folder: Path) -> Workshop:
    folder.mkdir()
    return Workshop(folder)


def stored(corpus: Corpus) -> str:
    """All that the catalog says of sources and runs."""
    return "".join(str(corpus.sql(f"SELECT * FROM {table}").rows()) for table in ("sources", "splits", "runs", "quarantine"))


def test_the_developers_corpus(server: Postgres, dev: Path, read: Any) -> None:
    """A dump loaded with psql."""
    dump = gzip.decompress((dev / "db" / "reuters-pg_dump.sql.gz").read_bytes()).decode()
    server.sql("create database reuters", "postgres")
    server.sql(dump, "reuters")
    found = source(server, "select story_id as id, headline as title, body as text from public.story", key="id")
    found.url = server.url.replace("/test?", "/reuters?")
    documents, bad = read(found)
    assert (len(documents), bad) == (1500, [])
    assert documents[0]["title"] is not None
