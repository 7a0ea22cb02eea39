"""SQL: ranges of keys, changes, and that nobody sees a password."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import curator_plugins.sources.sql
from curator import CuratorError, Part, UsageError
from curator.files import SourceChanged
from curator.reading import read_documents
from curator_plugins.sources.sql import Sql

QUERY = "select id, body as text, at as published from post where body not like '12:30%'"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "blog.sqlite"
    execute(path, "create table post (id integer primary key, body text, at text)")
    rows = [(n * 3 - 50, f"post {n} " * 20, "2024-05-01") for n in range(100)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("insert into post values (?, ?, ?)", rows)
    return path


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


def source(path: Path, **options: Any) -> Sql:
    found = Sql(**{"name": "blog", "url": f"sqlite:///{path.name}", "query": QUERY, **options})
    found.base = str(path.parent)  # type: ignore[misc]  # the host sets it so
    return found


def test_a_query_is_one_part(database: Path, read: Any) -> None:
    """Its fields are mapped as any record's; a path starts from the recipe's folder."""
    documents, bad = read(source(database))
    assert (len(documents), bad) == (100, [])
    assert (documents[0]["source_key"], documents[0]["text"]) == ("-50", "post 0 " * 20)
    assert documents[0]["published"].year == 2024
    assert [part.uri for part in source(database).parts()] == [f"sqlite:///{database}"]


def test_a_key_cuts_it_into_ranges(database: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows once, as many in each, in the order of the key, whatever the gaps; positions are keys."""
    execute(database, "insert into post values (100000, 'far', null)")
    whole, _ = read(source(database))
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 2000)
    cut = source(database, key="id")
    parts = list(cut.parts())
    assert [part.signature.split(":")[1] for part in parts] == ["12"] * 8 + ["5"]
    assert [(part.start, part.stop) for part in parts] == [(n, n + 1) for n in range(9)]
    assert {part.uri for part in parts} == {f"sqlite:///{database}"}
    documents, bad = read(cut)
    assert bad == []
    assert [d["source_key"] for d in documents] == [d["source_key"] for d in whole]
    assert [d["doc_key"] for d in documents] == [d["doc_key"] for d in whole]


def test_keys_of_rows_without_an_id(database: Path, read: Any) -> None:
    """The key, or else the number of the row."""
    query = "select id as n, body as text from post"
    assert read(source(database, query=query))[0][1]["source_key"] == "1"
    assert read(source(database, query=query, key="n"))[0][1]["source_key"] == "-47"
    both = "select id, id + 1 as n, body as text from post;"
    assert read(source(database, query=both, key="n"))[0][0]["source_key"] == "-49"


def test_changes_are_seen(database: Path) -> None:
    """Another file, query or number of rows is another signature; rows that come or go fail the part."""
    (before,) = source(database).parts()
    assert [before] == list(source(database).parts())
    (other,) = source(database, query=QUERY + " and id > -50").parts()
    execute(database, "update post set body = 'changed' where id = 1")
    (updated,) = source(database).parts()
    assert len({before.signature, other.signature, updated.signature}) == 3
    execute(database, "insert into post values (1000, 'new', null)")
    with pytest.raises(SourceChanged, match="101 rows where 100 were planned; run again"):
        list(source(database).read(updated))


def test_text_that_is_no_utf8_is_one_refused_row(database: Path, read: Any) -> None:
    """The query goes on behind it."""
    execute(database, "insert into post values (500, cast(x'61ff' as text), null), (501, 'good', null)")
    documents, bad = read(source(database, key="id"))
    assert len(documents) == 101
    assert bad == [("500", "invalid_utf8")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "select id, body from post"}, "text: 'text' is no column of the query; it gives id, body"),
        ({"key": "nr"}, "key: 'nr' is no column of the query"),
        ({"query": "select id, body as text, null as k from post", "key": "k"}, "'k' is NULL in 100 rows"),
        ({"query": "select id, body as text, id * 1.5 as k from post", "key": "k"}, "key 'k' has values as -75.0, float"),
        ({"query": QUERY + " and 0"}, "the query gives no rows"),
        ({"url": "sqlite:///nowhere.sqlite"}, "no database /.*/nowhere.sqlite"),
        ({"url": "blog"}, "is no SQLAlchemy URL, as in sqlite:///blog.sqlite"),
        ({"url": "mysql://localhost:1/db?no_such=1"}, "TypeError: .*unexpected keyword argument 'no_such'"),
        ({"url": ""}, "needs the options url and query"),
        ({"url": "nosuch://me@host/db"}, "nosuch"),
        ({"url": "mysql://me:hunter2@host/db"}, r"url holds a password, .*: write \$\{PASSWORD\} in its place"),
        ({"url": "mysql://me:${X:-hunter2}@host/db"}, "url holds a password"),
        ({"url": "mysql://host/db?ssl_passwd=hunter2"}, r"url holds a ssl_passwd, .* write \$\{SSL_PASSWD\}"),
        (
            {"url": "postgresql+psycopg://me:${NO_SUCH}@host/db"},
            "the environment variable NO_SUCH is not set",
        ),
    ],
)
def test_mistakes(database: Path, options: dict[str, Any], message: str) -> None:
    """Each is found when planning and says what to mend; a missing SQLite file is not made."""
    with pytest.raises(CuratorError, match=message) as mistake:
        list(source(database, **options).parts())
    assert "hunter2" not in str(mistake.value)
    assert [path.name for path in database.parent.iterdir()] == ["blog.sqlite"]


def test_a_missing_driver_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error of usage, without the password."""
    monkeypatch.setenv("PASSWORD", "hunter2")
    monkeypatch.setitem(sys.modules, "pymysql", None)
    url = "://me:${PASSWORD}@host/db?ssl_key=hunter3"
    with pytest.raises(UsageError, match=r"mysql\+mysqldb://me:\*\*\*@host/db needs a driver.*; install it"):
        list(source(database, url=f"mysql+mysqldb{url}").parts())
    with pytest.raises(UsageError, match=r"pip install 'corpus-curator\[mysql\]'") as missing:
        list(source(database, url=f"mariadb{url}").parts())
    assert "hunter" not in str(missing.value)


def test_the_url_may_name_environment_variables(
    database: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a part of it, or for the whole; a value needs no escapes, and the password is never shown."""
    monkeypatch.setenv("FOLDER", str(database.parent))
    monkeypatch.setenv("WHOLE", f"sqlite:///{database}")
    monkeypatch.setenv("PASSWORD", "p@ss/w:rd")
    for url in ("sqlite:///${FOLDER}/blog.sqlite", "${WHOLE}"):
        assert len(read(source(database, url=url))[0]) == 100
    found = source(database, url="postgresql+psycopg://me:${PASSWORD}@host/db?sslpassword=${PASSWORD}")
    assert found._database().url.password == "p@ss/w:rd"
    assert found._database().url.query["sslpassword"] == "p@ss/w:rd"
    assert found._database().shown == "postgresql+psycopg://me:***@host/db"


def test_an_error_of_the_database_shows_no_secret(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the driver writes into its message."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise sa.exc.OperationalError("connect", {}, Exception("login me with h&nter2, h%26nter2 failed"))

    monkeypatch.setattr(sa, "create_engine", refuse)
    monkeypatch.setenv("PASSWORD", "h&nter2")
    with pytest.raises(CuratorError, match=r"login me with \*\*\*, \*\*\* failed") as failed:
        list(source(database, url="postgresql+psycopg://me:${PASSWORD}@host/db").parts())
    assert failed.value.__cause__ is None


def test_the_database_is_only_read(database: Path) -> None:
    """A query that writes fails, even where the file could be written."""
    with pytest.raises(CuratorError, match=r"readonly|syntax"):
        list(source(database, query="delete from post returning id, body as text").parts())
    (part,) = source(database).parts()
    with pytest.raises(CuratorError, match="readonly"):
        list(source(database, query="delete from post returning id, body as text").read(part))
    assert sum(frame.height for frame, _ in read_documents(source(database), part)) == 100


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """A join, with dates that are NULL."""
    query = "select p.*, t.name as topic from post p join topic t on t.id = p.topic_id"
    blog = Sql(url=f"sqlite:///{dev}/db/blog.sqlite", query=query, text="body_md", key="id")
    documents, bad = read(blog)
    assert (len(documents), bad) == (384, [])
    assert {d["published"] for d in documents} == {None}
    assert all('"topic":' in d["metadata"] for d in documents)


def test_since_over_text(database: Path) -> None:
    """SQLite's times are text, which is compared as such."""
    query = "select id, body as text, coalesce(at, '') as at from post"
    first = list(source(database, query=query, since="at").parts())
    assert [part.uri.partition("#")[2] for part in first] == ['at<="2024-05-01"']
    execute(database, "insert into post values (1000, 'new', '2024-05-02 10:00'), (1001, 'late', '2024-05-01')")
    found = source(database, query=query, since="at")
    found.known = first  # type: ignore[misc]  # the host sets it so
    parts = list(found.parts())
    assert parts[0] == first[0]
    assert parts[1].uri.endswith('#at>="2024-05-01",<="2024-05-02 10:00"')
    rows = [record["id"] for record in found.read(parts[1]) if isinstance(record, dict)]
    assert (len(rows), rows[-2:]) == (102, [1001, 1000])


EVENTS = st.lists(
    st.lists(st.tuples(st.sampled_from("iu"), st.integers(0, 2), st.integers(0, 100)), max_size=6), max_size=6
)


@given(EVENTS)
@settings(max_examples=25, deadline=None)
def test_since_misses_nothing(batches: list[list[tuple[str, int, int]]]) -> None:
    """Whatever is inserted or changed between the runs, with values that stay or grow: all is read, in the end."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(f"{folder}/posts.sqlite")) as posts:
        posts.isolation_level = None
        posts.execute("pragma synchronous = off")
        posts.execute("create table post (id integer primary key, body text, at int)")
        posts.execute("insert into post values (0, 'first of all', 0)")
        known: list[Part] = []
        copy: dict[int, str] = {}
        latest = 0
        for number, batch in enumerate([[], *batches]):
            for kind, step, nth in batch:
                latest += step
                body = f"text {number}.{nth}.{latest}"
                if kind == "i":
                    posts.execute("insert into post select max(id) + 1, ?, ? from post", (body, latest))
                else:
                    # one that changes without another value cannot be told from one that does not
                    chosen = "at < ?2 and id = ?3 % (select count(*) from post)"
                    posts.execute(f"update post set body = ?1, at = ?2 where {chosen}", (body, latest, nth))
            query = "select id, body as text, at from post"
            found = source(Path(folder) / "posts.sqlite", query=query, since="at", key=["id", None][len(batches) % 2])
            found.known = known  # type: ignore[misc]  # the host sets it so
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(curator_plugins.sources.sql, "PART", 30)
                parts = list(found.parts())
            for part in parts:
                if part not in known:
                    copy |= {record["id"]: record["text"] for record in found.read(part) if isinstance(record, dict)}
            known = parts
        assert copy == dict(posts.execute("select id, body from post").fetchall())
