"""Which documents are meant, the tombstones that workers read, and the catalog file written anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.forgetting import choose
from curator.tombstones import Tombstones, write_tombstones
from curator.verify import digest
from curator.why import find
from curator_catalog import Catalog, catalog, rewriting
from tests.forgetting.conftest import (
    LEAKED,
    NEEDLE,
    forgotten,
)


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["leak", "", "nobody", "noone"], "these name no document, by doc_id, doc_key, source_key or URL: line 3: 'nobody', line 4: 'noone'"),
        (["0-0000", "twice"], "line 2: 'twice' is 2 documents"),
    ],
)
def test_ids_that_name_no_document_or_several(corpus: Corpus, ids: list[str], told: str) -> None:
    """They are named with their lines, and nothing is forgotten."""
    with corpus.catalog.write() as con:
        con.execute("UPDATE store.documents SET url = 'twice' WHERE source_key IN ('0-0001', '1-0001')")
    with pytest.raises(UsageError, match=told):
        choose(corpus, ids=ids)


def test_every_name_of_a_document(corpus: Corpus) -> None:
    """doc_id, doc_key with and without dashes, source_key and URL name it, before it is forgotten and after."""
    ((doc_id, doc_key),) = corpus.sql(
        "SELECT doc_id, doc_key::VARCHAR FROM documents WHERE source_key = 'leak'"
    ).rows()
    names = [str(doc_id), doc_key, doc_key.replace("-", ""), "leak", "https://a.example/1"]
    for name in names:
        assert choose(corpus, ids=[name], copies=False).documents["doc_id"].to_list() == [doc_id]
    assert choose(corpus, ids=names, copies=False).documents.height == 1
    forgotten(corpus, {"leak"})
    for name in names:
        with pytest.raises(UsageError, match=f"'{name}' was forgotten; table tombstones says when and why"):
            find(corpus, name)
    again = choose(corpus, ids=names)
    assert (again.documents.height, again.already) == (0, names)


@pytest.mark.parametrize(
    "where",
    ["1) or (1=1; drop", "1) or (1=1", "true) UNION (SELECT 1", "true UNION SELECT true", "1, 2", "kept FROM documents",
     "true LIMIT 1", "true; SELECT 1", "", "kept -- \n) or (true", "nothing = 1"],
)  # fmt: skip
def test_the_gate(corpus: Corpus, where: str) -> None:
    """Only one expression over documents is let through."""
    with pytest.raises(UsageError):
        choose(corpus, where=where)


def test_an_expression_may_look_at_texts(corpus: Corpus) -> None:
    """Subqueries are allowed, comments too."""
    by_text = f"doc_id IN (SELECT doc_id FROM texts WHERE contains(text, '{NEEDLE}')) -- all of them"
    assert set(choose(corpus, where=by_text).documents["source_key"]) == LEAKED


def description(path: Path) -> dict[str, Any]:
    """Everything in a catalog file but its rows."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = {
            "tables": "SELECT schema_name, table_name, comment, sql FROM duckdb_tables()",
            "views": "SELECT schema_name, view_name, comment, sql FROM duckdb_views() WHERE NOT internal",
            "columns": "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal",
            "macros": "SELECT schema_name, function_name, comment, macro_definition FROM duckdb_functions() WHERE NOT internal",
            "keys": "SELECT schema_name, table_name, constraint_text FROM duckdb_constraints()",
        }
        return {name: con.execute(f"{query} ORDER BY ALL").fetchall() for name, query in found.items()}


def test_a_rewritten_catalog_is_the_same(corpus: Corpus) -> None:
    """Tables, keys, views, macros, comments and rows; it is smaller, and queries answer."""
    summary = digest(corpus)
    before = description(corpus.catalog.path)
    assert min(map(len, before.values())) > 0
    old, new = rewriting.rewrite(corpus.catalog)
    assert new <= old
    assert description(corpus.catalog.path) == before
    assert digest(corpus) == summary
    with pytest.raises(duckdb.ConstraintException), corpus.catalog.write() as con:
        con.execute("INSERT INTO splits SELECT * FROM splits")


def test_a_log_of_a_killed_writer_is_not_lost(corpus: Corpus) -> None:
    """What stands in the write-ahead log is in the rewritten file, and no log is left beside it."""
    code = (
        "import duckdb, os, sys\n"
        "con = duckdb.connect(sys.argv[1])\n"
        "con.execute(\"UPDATE store.documents SET title = 'from the log' WHERE source_key = 'leak'\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(corpus.catalog.path)], check=False)
    log = Path(f"{corpus.catalog.path}.wal")
    assert log.stat().st_size > 0
    rewriting.rewrite(corpus.catalog)
    assert not log.exists()
    assert corpus.sql("SELECT title FROM documents WHERE source_key = 'leak'").rows() == [("from the log",)]


def test_tombstones_of_workers(tmp_path: Path) -> None:
    """The file that workers map knows all hashes and no other; an empty one knows none."""
    made = Catalog(tmp_path)
    made.create()
    write_tombstones(made)
    assert (len(Tombstones(tmp_path)), "ab" * 16 in Tombstones(tmp_path)) == (0, False)
    draw = np.random.default_rng(7)
    hashes = [draw.bytes(16).hex() for _ in range(500)] + [
        "00" * 16,
        "ff" * 16,
        "ff" * 8 + "00" * 8,
        "ff" * 8 + "01" * 8,
    ]
    with made.write() as con:
        rows = [(hashes[i], hashes[-1 - i] if i % 3 else None) for i in range(len(hashes))]
        con.executemany("INSERT INTO tombstones (doc_key, content_hash) VALUES (?, ?)", rows)
    write_tombstones(made)
    known = Tombstones(tmp_path)
    assert len(known) == len(hashes)
    assert all(h in known for h in hashes)
    others = [draw.bytes(16).hex() for _ in range(500)] + ["ff" * 8 + "02" * 8, "00" * 15 + "01"]
    assert not any(h in known for h in others)


def test_an_older_catalog_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the tables, and keeps its rows; until then forget says which command migrates it."""
    known = catalog.migrations()
    older = Catalog(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(catalog, "migrations", lambda: known[:3])
        older.create()
    with older.write() as con:
        con.execute("INSERT INTO models (model) VALUES ('m')")
    with pytest.raises(
        CuratorError, match=r"schema version 3, which is older than \d+; `curator run` migrates it"
    ):
        choose(Corpus(tmp_path), where="true")
    older.create()
    assert choose(Corpus(tmp_path), where="true").documents.height == 0
    assert Corpus(tmp_path).sql("SELECT model, forgotten FROM models").rows() == [("m", None)]
    assert known[3][0] == 4
