"""SQL on a real MariaDB, through PyMySQL: values, encodings, ranges, new rows, and a connection lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import curator_plugins.sources.sql
from curator import CuratorError
from tests.databases import MariaDB, keys, mariadb, source


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    with mariadb() as running:
        yield running


@pytest.fixture
def posts(server: MariaDB) -> MariaDB:
    """A thousand posts, one each second, of 200 characters."""
    server.sql("""drop table if exists post;
        create table post (id int primary key, name varchar(20), body text, changed timestamp null);
        insert into post select seq, concat(if(seq % 2, 'é', 'Z'), seq), repeat(concat('post ', lpad(seq, 4, '0'), ' '), 20),
            '2024-05-01' + interval seq second from seq_1_to_1000""")
    return server


def test_values(server: MariaDB, read: Any) -> None:
    """Columns of any character set are the characters they mean; times are UTC, a date of zeros is text."""
    server.sql(r"""drop table if exists typed; set sql_mode = '', time_zone = '+02:00';
        create table typed (id bigint unsigned, latin varchar(50) character set latin1, body text character set utf8mb4,
            n decimal(10,2), f double, about json, raw blob, at timestamp null, day date, hour time, bits bit(3));
        insert into typed values (18446744073709551615, 'café €', 'smile 😀 100% :sure', 1.50, 1e300, '{"a": 1}', x'61ff',
            '2024-05-01 12:00:00', '0000-00-00', '-100:00:00', b'101'), (1, x'e9', x'00', 0, 0, null, '', null, null, null, null)""")
    documents, bad = read(source(server, "select *, body as text, at as published, latin as title from typed -- all", key="id"))
    assert bad == []
    assert [(d["source_key"], d["text"], d["title"]) for d in documents] == [
        ("1", "\0", "é"), ("18446744073709551615", "smile 😀 100% :sure", "café €"),
    ]  # fmt: skip
    assert documents[1]["published"].isoformat() == "2024-05-01T10:00:00"
    assert json.loads(documents[1]["metadata"]) == {
        "latin": "café €", "body": "smile 😀 100% :sure", "n": "1.50", "f": 1e300, "about": '{"a": 1}', "raw": "61ff",
        "at": "2024-05-01T10:00:00", "day": "0000-00-00", "hour": -360000.0, "bits": "\x05",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["id", "name", "changed"])
def test_a_key_cuts(posts: MariaDB, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into parts of as many rows, in the order that the column's collation has."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 60_000)
    found = source(posts, "select *, body as text from post", key=key)
    parts = list(found.parts())
    assert [part.signature.split(":")[1] for part in parts] == ["250"] * 4
    assert keys(found, parts) == [int(n) for n in posts.sql(f"select id from post order by {key}").split()]


def test_since_reads_only_what_is_new(posts: MariaDB) -> None:
    """What was read stays as it is; new and changed rows make one part more, also those of the last second."""
    first = list(source(posts, since="changed").parts())
    assert [part.uri.partition("#")[2] for part in first] == ["changed<=2024-05-01T00:16:40"]
    assert list(source(posts, since="changed", known=first).parts()) == first
    posts.sql("""insert into post values (1001, '', 'same second', '2024-05-01 00:16:40');
        update post set body = 'changed', changed = '2024-05-02' where id = 5""")
    found = source(posts, since="changed", known=first)
    second = list(found.parts())
    assert (second[:1], keys(found, second[1:])) == (first, [1000, 1001, 5])
    assert second[1].uri.endswith("#changed>=2024-05-01T00:16:40,<=2024-05-02T00:00:00")


def test_the_database_is_only_read(posts: MariaDB) -> None:
    """Its transactions are read-only."""
    posts.sql("delimiter //\ncreate or replace function spoil() returns text begin delete from post; return ''; end//")
    with pytest.raises(CuratorError, match="READ ONLY transaction"):
        list(source(posts, "select 1 as id, spoil() as text").parts())
    assert posts.sql("select count(*) from post") == "1000"


def test_a_part_that_is_not_read_to_its_end(posts: MariaDB) -> None:
    """Is given up at once: the driver would read all the rest."""
    found = source(posts, "select seq as id, repeat('x', 20000) as text from seq_1_to_100000")
    (part,) = found.parts()
    rows = found.read(part)
    assert next(rows)["id"] == 1  # type: ignore[index]
    started = time.process_time()
    rows.close()  # type: ignore[attr-defined]  # a generator
    assert time.process_time() - started < 0.5


def test_a_connection_lost_in_the_middle(posts: MariaDB) -> None:
    """Is an error that says what happened; nothing is taken for the end of the rows."""
    found = source(posts, "select seq as id, repeat('x', 20000) as text from seq_1_to_100000")
    (part,) = found.parts()
    rows = found.read(part)
    assert next(rows)["id"] == 1  # type: ignore[index]
    posts.stop()
    try:
        with pytest.raises(CuratorError, match=r"'posts': mysql://root@localhost/test: the connection was lost: "):
            list(rows)
    finally:
        posts.start()
