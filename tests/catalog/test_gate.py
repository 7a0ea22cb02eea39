"""Users' SQL passes one gate: one SELECT, over the corpus's own files, and nothing that writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from curator.cli import app
from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from tests.conftest import Workshop
from tests.texts import documents

# {shard} a registered text file, {other} a file beside the corpus, {catalog} the catalog's own
REFUSED = {
    "copy": "COPY (SELECT 1 AS x) TO '{shard}' (FORMAT parquet)",
    "copy without a temporary file": "COPY (SELECT 1 AS x) TO '{shard}' (FORMAT csv, USE_TMP_FILE false)",
    "copy from first": "COPY documents FROM '{shard}'",
    "explain analyze copy": "EXPLAIN ANALYZE COPY (SELECT 1 AS x) TO '{shard}' (USE_TMP_FILE false)",
    "explain options copy": "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)",
    "explain copy": "EXPLAIN COPY (SELECT 1) TO '{shard}'",
    "comment explain": "/* x */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)",
    "comment within explain": "EXPLAIN /* ( */ ANALYZE -- )\n COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)",
    "nested comments": "/* /* */ EXPLAIN SELECT 1 -- */ */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)",
    "comment that hides the end": "EXPLAIN ANALYZE /* SELECT 1; */ COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)",
    "with copy": "WITH x AS (COPY (SELECT 1) TO '{shard}' (FORMAT csv, USE_TMP_FILE false)) SELECT * FROM x",
    "with copy, unused": "WITH x AS (COPY (SELECT 1) TO '{shard}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1",
    "with copy, second": "WITH a AS (SELECT 1), x AS (COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)) FROM a",
    "with copy, union": "WITH x AS (COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)) SELECT 1 UNION SELECT 2",
    "with copy, nested": "SELECT (WITH x AS (COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)) SELECT 1)",
    "explain with copy": "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)) SELECT 1",
    "describe with copy": "DESCRIBE WITH x AS (COPY (SELECT 1) TO '{shard}' (USE_TMP_FILE false)) SELECT 1",
    "with before copy": "WITH x AS (SELECT 1) COPY x TO '{shard}'",
    "query() with copy": "FROM query('WITH x AS (COPY (SELECT 1) TO ''{shard}'' (USE_TMP_FILE false)) SELECT 1')",
    "query() copy": "FROM query('COPY (SELECT 1) TO ''{shard}''')",
    "serialised copy": "FROM json_execute_serialized_sql(json_serialize_sql('WITH x AS (COPY (SELECT 1) TO ''{shard}'' "
    "(USE_TMP_FILE false)) SELECT 1'))",
    "serialised in query()": "FROM query('FROM json_execute_serialized_sql(''{serialised}'')')",
    "serialised, in a subquery": "SELECT 1 WHERE EXISTS (SELECT * FROM \"JSON_execute_serialized_sql\"('{serialised}'))",
    "serialised, by its full name": "FROM system.main.json_execute_serialized_sql('{serialised}')",
    "serialised, explained": "EXPLAIN ANALYZE FROM json_execute_serialized_sql('{serialised}')",
    "stacked": "SELECT 1; COPY (SELECT 1) TO '{shard}'",
    "stacked in front": "COPY (SELECT 1) TO '{shard}'; SELECT 1",
    "stacked behind explain": "EXPLAIN SELECT 1; COPY (SELECT 1) TO '{shard}'",
    "nothing": "  -- only a comment",
    "with delete": "WITH x AS (DELETE FROM store.documents RETURNING *) SELECT * FROM x",
    "with insert": "WITH x AS (INSERT INTO sources (source) VALUES ('x') RETURNING *) SELECT * FROM x",
    "with update": "WITH x AS (UPDATE runs SET state = 'x' RETURNING *) SELECT * FROM x",
    "attach": "ATTACH '{other}' AS other",
    "attach memory": "ATTACH ':memory:' AS other",
    "detach": "DETACH catalog",
    "use": "USE store",
    "set": "SET enable_external_access = true",
    "reset": "RESET lock_configuration",
    "pragma": "PRAGMA enable_profiling",
    "call": "CALL pragma_version()",
    "checkpoint": "CHECKPOINT",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "insert": "INSERT INTO sources (source) VALUES ('x')",
    "update": "UPDATE runs SET state = 'x'",
    "delete": "DELETE FROM store.documents",
    "merge": "MERGE INTO runs USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE runs",
    "create": "CREATE TABLE x (i INT)",
    "create temp": "CREATE TEMP TABLE x AS SELECT 1",
    "create view": "CREATE OR REPLACE TEMP VIEW documents AS SELECT 1",
    "create macro": "CREATE MACRO f() AS 1",
    "create secret": "CREATE SECRET (TYPE s3)",
    "drop": "DROP VIEW documents",
    "alter": "ALTER TABLE runs DROP COLUMN state",
    "comment on": "COMMENT ON TABLE runs IS 'x'",
    "export": "EXPORT DATABASE '{other}'",
    "import": "IMPORT DATABASE '{other}'",
    "vacuum": "VACUUM",
    "transaction": "BEGIN",
    "prepare": "PREPARE x AS SELECT 1",
    "pivot into a type": "PIVOT sources ON source USING count(*)",
    "read_text": "SELECT * FROM read_text('/etc/passwd')",
    "read_blob": "SELECT * FROM read_blob('/etc/passwd')",
    "read_csv": "SELECT * FROM read_csv('/etc/passwd')",
    "read_json": "SELECT * FROM read_json('/etc/passwd')",
    "sniff_csv": "SELECT * FROM sniff_csv('/etc/passwd')",
    "glob": "SELECT * FROM glob('/etc/*')",
    "glob of the corpus": "SELECT * FROM glob('{shards}/*')",
    "a pattern of shards": "SELECT * FROM read_parquet('{shards}/*.parquet')",
    "a parquet file beside": "SELECT * FROM read_parquet('{other}')",
    "a file as a table": "SELECT * FROM '{other}'",
    "out of a shard's folder": "SELECT * FROM read_parquet('{shards}/../../../other.parquet')",
    "parquet_metadata": "SELECT * FROM parquet_metadata('{other}')",
    "read_duckdb": "SELECT * FROM read_duckdb('{other}')",
    "url": "SELECT * FROM read_csv('https://example.com/x.csv')",
    "query() read_text": "FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "replacement scan": "SELECT * FROM local_frame",
    "getenv": "SELECT getenv('HOME')",
    "duckdb_secrets": "SELECT * FROM duckdb_secrets()",
    "logging to a file": "FROM enable_logging('QueryLog', storage = 'file', storage_path = '{other}')",
    "profiling to a file": "FROM enable_profiling(save_location = '{shard}')",
}
ALLOWED = {
    "select": ("SELECT source, n FROM documents WHERE n = 1", [("web", 1)]),
    "parameters": ("SELECT source_key FROM documents WHERE n = ?", [("0-0001",)]),
    "with": ("WITH x AS (SELECT n FROM documents WHERE n < 2) SELECT sum(n)::INT FROM x", [(1,)]),
    "recursive": ("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 3) SELECT max(i) FROM r", [(3,)]),
    "from first": ("FROM documents SELECT count(*)", [(20,)]),
    "values": ("VALUES (1, 'a')", [(1, "a")]),
    "texts": ("SELECT count(DISTINCT text) > 10 FROM texts", [(True,)]),
    "a wide measure": ("SELECT min(len(bands)) FROM signals.minhash", [(14,)]),
    "a shard itself": ("SELECT count(*) FROM read_parquet('{shard}')", [(20,)]),
    "macro": ("SELECT count(*) FROM documents_in('test')", [(20,)]),
    "pivot": ("PIVOT (SELECT source, n FROM documents) ON source IN ('web') USING count(*)", None),
    "describe": ("DESCRIBE texts", None),
    "describe a query": ("DESCRIBE SELECT 1 AS x", None),
    "summarize": ("SUMMARIZE documents", None),
    "show": ("SHOW TABLES", None),
    "explain": ("EXPLAIN SELECT count(*) FROM documents", None),
    "explain analyze": ("EXPLAIN ANALYZE SELECT count(*) FROM documents", None),
    "explain options": ("EXPLAIN (FORMAT json) SELECT count(*) FROM documents", None),
    "explain in brackets": ("EXPLAIN (SELECT 1) UNION SELECT 2", None),
    "explain behind a comment": ("-- what /* does\n/* it */ explain\tSELECT 1", None),
    "a word within text": ("SELECT 'COPY x TO y; DELETE FROM z' AS copy", [("COPY x TO y; DELETE FROM z",)]),
    "trailing semicolon": ("SELECT 1;  -- that is all", [(1,)]),
}  # fmt: skip


class Attacked:
    """A corpus, and what an attack may change."""

    def __init__(self, workshop: Workshop) -> None:
        workshop.source("web", documents(0, 20))
        columns = [{"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"n": "int"}}}]
        self.corpus = workshop.curate(["minhash"], sources=columns)
        self.shard = next((workshop.corpus_folder / "shards" / "text").iterdir())
        self.other = workshop.folder / "other.parquet"
        self.other.write_bytes(self.shard.read_bytes())

    def fill(self, sql: str) -> str:
        copy = f"WITH x AS (COPY (SELECT 1) TO '{self.shard}' (USE_TMP_FILE false)) SELECT 1"
        (serialised,) = duckdb.execute("SELECT json_serialize_sql(?)", [copy]).fetchall()[0]
        names = {"{shard}": self.shard, "{shards}": self.shard.parent, "{other}": self.other}
        for name, filled in {**names, "{serialised}": serialised.replace("'", "''")}.items():
            sql = sql.replace(name, str(filled))
        return sql

    def everything(self) -> dict[str, bytes]:
        """Every file around, but for the lock and what DuckDB spills."""
        folder = self.other.parent
        return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "cache" not in p.parts}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    """One corpus for all attacks."""
    return Attacked(Workshop(tmp_path_factory.mktemp("gate")))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(attacked: Attacked, name: str) -> None:
    """It raises UsageError, and every byte of corpus and catalog is as before."""
    local_frame: Any = attacked.corpus.sql("SELECT 1 AS x").pl()
    before = attacked.everything()
    with pytest.raises(UsageError):
        attacked.corpus.sql(attacked.fill(REFUSED[name]))
    assert attacked.everything() == before
    assert local_frame.height == 1


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(attacked: Attacked, name: str) -> None:
    """Whatever only reads answers."""
    sql, expected = ALLOWED[name]
    rows = attacked.corpus.sql(attacked.fill(sql), [1] if "?" in sql else []).rows()
    assert rows == expected if expected is not None else len(rows) > 0


@pytest.mark.parametrize("name", ["copy", "with copy", "explain analyze copy", "stacked", "attach", "set", "read_text"])
def test_the_command_line_refuses(attacked: Attacked, name: str) -> None:
    """`curator sql` goes through the same gate: exit code 2."""
    before = attacked.everything()
    answer = CliRunner().invoke(app, ["sql", "-c", str(attacked.corpus.folder), attacked.fill(REFUSED[name])])
    assert isinstance(answer.exception, UsageError)
    assert answer.exception.exit_code == 2
    assert attacked.everything() == before


def test_a_refusal_says_what_it_is(attacked: Attacked) -> None:
    """The message names the statement and what to do instead."""
    for sql, kind in (
        ("COPY (SELECT 1) TO 'x'", "COPY"),
        ("DROP VIEW documents", "DROP"),
        ("WITH x AS (COPY (SELECT 1) TO 'x') FROM x", "WITH … COPY"),
    ):
        with pytest.raises(UsageError, match=f"only SELECT is allowed here, this is {kind}: .*\n.* -o; "):
            attacked.corpus.sql(sql)
    with pytest.raises(UsageError, match="give one statement; this is 2: "):
        attacked.corpus.sql("SELECT 1; SELECT 2")
    with pytest.raises(UsageError, match="syntax error"):
        attacked.corpus.sql("EXPLAIN SELEC 1")


def test_the_command_line_writes_a_result(attacked: Attacked, tmp_path: Path) -> None:
    """-o is written by us, so any file may be named; the query still cannot."""
    target = tmp_path / "out.csv"
    command = ["sql", "-c", str(attacked.corpus.folder), "SELECT 7 AS x", "-o", str(target)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert target.read_text() == "x\n7\n"


def test_a_spilling_query_stays_within_the_limits(attacked: Attacked) -> None:
    """Memory and threads are set, and what does not fit spills into the corpus's cache."""
    settings = attacked.corpus.sql("SELECT current_setting('threads')::INT, current_setting('memory_limit')").rows()
    assert settings == [(2, "953.6 MiB")]
    big = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY md5(i::VARCHAR)) AS n FROM range(6000000) t(i))"
    assert attacked.corpus.sql(big).rows() == [(6000000,)]


def test_no_corpus(tmp_path: Path) -> None:
    """A folder without a catalog is an error that names it, and none is made there."""
    with pytest.raises(CuratorError, match=f"there is no catalog {tmp_path}"):
        Corpus(tmp_path).sql("SELECT 1")
    assert list(tmp_path.iterdir()) == []
