"""SQL on a DuckDB file: only it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import curator_plugins.sources.sql
from curator import CuratorError
from curator_plugins.sources.sql import Sql


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "blog.duckdb"
    with duckdb.connect(path) as con:
        con.execute("""CREATE TABLE post AS SELECT n AS id, format('post {:04d} ', n) || repeat('x', 90) AS body,
            TIMESTAMPTZ '2024-05-01 00:00+02' + n * INTERVAL 1 HOUR AS changed, [n, NULL] AS tags, {'a': n} AS about,
            uuid() AS u, 'nan'::DOUBLE AS f FROM range(-100, 900) t(n)""")
    return path


def source(path: Path, query: str = "select *, body as text from post", **options: Any) -> Sql:
    found = Sql(name="blog", url=f"duckdb:///{path.name}", query=query, **options)
    found.base = str(path.parent)  # type: ignore[misc]  # the host sets it so
    return found


def test_rows(database: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested values, times in UTC; a key cuts; a changed file is planned anew."""
    monkeypatch.setattr(curator_plugins.sources.sql, "PART", 30_000)
    found = source(database, key="id")
    before = list(found.parts())
    assert [part.signature.split(":")[1] for part in before] == ["250"] * 4
    documents, bad = read(found)
    assert ([d["source_key"] for d in documents], bad) == ([str(n) for n in range(-100, 900)], [])
    about = json.loads(documents[0]["metadata"])
    assert (about["tags"], about["about"], about["f"]) == ([-100, None], {"a": -100}, None)
    assert about["changed"] == "2024-04-26T18:00:00+00:00"
    with duckdb.connect(database) as con:
        con.execute("UPDATE post SET body = 'changed' WHERE id = 1")
    assert {part.signature for part in before}.isdisjoint(part.signature for part in found.parts())


def test_since(database: Path) -> None:
    """Reads what is new."""
    first = list(source(database, since="changed", key="id").parts())
    with duckdb.connect(database) as con:
        con.execute("INSERT INTO post (id, body, changed) VALUES (1000, 'new', '2025-01-01 00:00Z')")
    found = source(database, since="changed", key="id")
    found.known = first  # type: ignore[misc]  # the host sets it so
    second = list(found.parts())
    assert second[:-1] == first
    assert [record["id"] for record in found.read(second[-1])] == [1000]  # type: ignore[index]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select content as text from read_text('{folder}/secret.txt')", "Cannot access file"),
        ("from post; attach '{folder}/other.duckdb'", "syntax error"),
        ("select 1 as id, body as text, u as u from nowhere", "nowhere does not exist"),
    ],
)
def test_other_files_are_out_of_reach(database: Path, query: str, message: str) -> None:
    """Of the machine, and of the internet."""
    (database.parent / "secret.txt").write_text("secret")
    with pytest.raises(CuratorError, match=message):
        list(source(database, query.format(folder=database.parent)).parts())


def test_mistakes(database: Path) -> None:
    """A file that is not there is not made; one that is open elsewhere is an error that says so."""
    with pytest.raises(CuratorError, match=r"no database .*/nowhere.duckdb \(paths start from"):
        list(source(database.parent / "nowhere.duckdb").parts())
    assert [path.name for path in database.parent.iterdir()] == ["blog.duckdb"]
    (database.parent / "text.duckdb").write_text("no database")
    with pytest.raises(CuratorError, match="not a valid DuckDB database file"):
        list(source(database.parent / "text.duckdb").parts())
