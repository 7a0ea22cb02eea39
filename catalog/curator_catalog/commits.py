"""Shards -> catalog: what workers wrote becomes visible in one transaction.

A worker writes files under names unique to its attempt and, last, a sidecar that says what they are. The
coordinator registers all sidecars that lie ready. With names that only depended on the split, late workers
of a killed run overwrote 26 of 100 registered shards; with these, none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from curator_catalog.views import quoted

#: hashes of keys and texts that were forgotten; their number only grows, and says which a task was read against
TOMBSTONES = "SELECT doc_key AS hash FROM tombstones UNION SELECT content_hash FROM tombstones WHERE content_hash IS NOT NULL"
_HOST = r"lower(nullif(regexp_extract(url, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?([^/:?#]+)', 1), ''))"


@dataclass(frozen=True)
class Sidecar:
    """What one task wrote; paths are below the corpus folder."""

    path: Path
    content: Mapping[str, Any]

    @staticmethod
    def read(path: Path) -> Sidecar:
        return Sidecar(path, json.loads(path.read_text(encoding="utf-8")))

    @property
    def scratch_files(self) -> list[str]:
        """Files that are not needed once they are committed."""
        narrow = [m["narrow"] for m in self.content["measures"].values() if m["narrow"]]
        return [p for p in (self.content["quarantine"], *narrow) if p]

    @property
    def kept_files(self) -> list[str]:
        wide = [m["wide"]["path"] for m in self.content["measures"].values() if m["wide"]]
        return [*([self.content["text"]["path"]] if self.content["text"] else []), *wide]

    @property
    def files(self) -> list[str]:
        return [*self.scratch_files, *self.kept_files]


def pending(folder: Path) -> list[Sidecar]:
    """The sidecars that lie ready, by shard; `*.json` would also give those being written, `.tmp-….json`."""
    return [Sidecar.read(p) for p in sorted((folder / "shards" / "pending").glob("[0-9]*.json"))]


def leftovers(con: duckdb.DuckDBPyConnection, sidecars: Iterable[Sidecar]) -> list[str]:
    """Files of these sidecars that no transaction registered: after the commit nobody needs them."""
    named = [path for sidecar in sidecars for path in sidecar.files]
    query = "SELECT path FROM (SELECT unnest(?::VARCHAR[]) AS path) ANTI JOIN shards USING (path)"
    return [path for (path,) in con.execute(query, [named]).fetchall()]


def commit(
    con: duckdb.DuckDBPyConnection, folder: Path, sidecars: Iterable[Sidecar], run_id: int
) -> list[Sidecar]:
    """Register sidecars in the caller's transaction and return those that counted.

    One whose split is already done, or was planned anew meanwhile, is left out: it is an orphan's, or was
    registered before the run was killed. So is one whose files are gone, by the sweep at a run's start, and
    one that was made before documents were forgotten, which may hold them.
    """
    registered = []
    tombstones = con.execute(f"SELECT count(*) FROM ({TOMBSTONES})").fetchall()[0][0]
    for sidecar in sidecars:
        content = sidecar.content
        shard_id = content["shard_id"]
        row = con.execute("SELECT state FROM splits WHERE split_id = ?", [shard_id]).fetchall()
        state = row[0][0] if row else None
        if state not in (("planned", "failed") if content["task"] == "read" else ("done",)):
            continue
        if content.get("tombstones", 0) != tombstones:
            continue
        if not all((folder / path).is_file() for path in sidecar.files):
            continue
        if content["task"] == "read":
            _commit_read(con, folder, sidecar, run_id)
        for table, measure in content["measures"].items():
            _commit_measure(con, folder, shard_id, table, measure, run_id)
        if content["quarantine"]:
            con.execute(
                "INSERT INTO quarantine BY NAME SELECT *, current_timestamp::TIMESTAMP AS seen FROM read_parquet(?)",
                [str(folder / content["quarantine"])],
            )
        registered.append(sidecar)
    return registered


def _commit_read(con: duckdb.DuckDBPyConnection, folder: Path, sidecar: Sidecar, run_id: int) -> None:
    content = sidecar.content
    shard_id = content["shard_id"]
    if content["text"]:
        for name, kind in content["columns"].items():
            con.execute(f"ALTER TABLE store.documents ADD COLUMN IF NOT EXISTS {quoted(name)} {kind}")
            comment = "Field of the records, which a source promotes to a column"
            con.execute(f"COMMENT ON COLUMN store.documents.{quoted(name)} IS '{comment}'")
        con.execute(
            f"INSERT INTO store.documents BY NAME SELECT * EXCLUDE (text), {_HOST} AS host FROM read_parquet(?) "
            "WHERE part IN (SELECT ordinal FROM parts WHERE split_id = ? AND state <> 'superseded')",
            [str(folder / content["text"]["path"]), shard_id],
        )
        _register(con, shard_id, "text", content["text"], run_id)
    con.execute("UPDATE splits SET state = 'done', error = NULL WHERE split_id = ?", [shard_id])
    supersede(con, content["source"])


def _commit_measure(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    shard_id: int,
    table: str,
    measure: Mapping[str, Any],
    run_id: int,
) -> None:
    ensure_measure(con, table, measure)
    con.execute("DELETE FROM store.span_sets WHERE list_contains(inputs, ?)", [table])
    if measure["narrow"]:
        name, path = f"measures.{quoted(table)}", str(folder / measure["narrow"])
        # by range, so that only the row groups of the shard are looked at
        shard = f"doc_id BETWEEN {shard_id << 32} AND {(shard_id << 32) + 0xFFFFFFFF}"
        known = f"SELECT 1 FROM (FROM {name} WHERE {shard}) SEMI JOIN read_parquet(?) USING (doc_id) LIMIT 1"
        if con.execute(known, [path]).fetchall():
            return  # measured meanwhile: a second wide file would give its rows twice
        con.execute(
            f"INSERT INTO {name} BY NAME FROM read_parquet(?) SEMI JOIN (FROM store.documents WHERE {shard}) USING (doc_id)",
            [path],
        )
        con.execute("DELETE FROM store.edge_sets WHERE table_name = ?", [table])
    if measure["wide"]:
        _register(con, shard_id, table, measure["wide"], run_id)


def _register(
    con: duckdb.DuckDBPyConnection, shard_id: int, measure: str, file: Mapping[str, Any], run_id: int
) -> None:
    con.execute(
        "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP)",
        [shard_id, measure, file["path"], file["rows"], file["bytes"], file["hash"], run_id],
    )


def ensure_measure(con: duckdb.DuckDBPyConnection, table: str, measure: Mapping[str, Any]) -> None:
    """Create the table of a measure, with comments, if it is not there."""
    known = con.execute("SELECT 1 FROM store.measures WHERE table_name = ?", [table]).fetchall()
    if known:
        return
    name = f"measures.{quoted(table)}"
    columns = ["doc_id UBIGINT"]
    columns += [f"{quoted(c)} {t}" for c, t in measure["signals"].items() if c not in measure["wide_signals"]]
    con.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
    con.execute(
        "INSERT INTO store.measures VALUES (?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP, ?)",
        [
            table,
            measure["plugin"],
            measure["version"],
            measure["fingerprint"],
            json.dumps(measure["options"], default=str),
            bool(measure["wide_signals"]),
            list(measure["behind"]),
        ],
    )
    con.execute(f"COMMENT ON TABLE {name} IS 'What {measure['plugin']} measured, one row a document'")
    con.execute(f"COMMENT ON COLUMN {name}.doc_id IS 'The document'")
    for column in measure["signals"]:
        if column not in measure["wide_signals"]:
            con.execute(f"COMMENT ON COLUMN {name}.{quoted(column)} IS 'Signal {column}'")


def supersede(con: duckdb.DuckDBPyConnection, source: str) -> None:
    """Take out the documents, and the quarantined records, of changed files whose new content is read completely."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE replaced AS
        SELECT o.split_id, o.ordinal FROM parts o
        WHERE o.source = $source AND o.state = 'outdated' AND NOT EXISTS (
            SELECT 1 FROM parts n JOIN splits USING (split_id)
            WHERE n.source = o.source AND n.uri = o.uri AND n.state = 'present' AND splits.state <> 'done')""",
        {"source": source},
    )
    if con.execute("SELECT count(*) FROM replaced").fetchall()[0][0]:
        remove_documents(
            con,
            "SELECT doc_id FROM store.documents d JOIN replaced r ON r.split_id = d.doc_id >> 32 AND r.ordinal = d.part",
        )
        con.execute(
            "DELETE FROM quarantine WHERE doc_id IS NULL AND (split_id, uri) IN "
            "(SELECT (split_id, uri) FROM parts JOIN replaced USING (split_id, ordinal))"
        )
        con.execute(
            "UPDATE parts SET state = 'superseded' FROM replaced r "
            "WHERE parts.split_id = r.split_id AND parts.ordinal = r.ordinal"
        )
        con.execute(
            "UPDATE splits SET state = 'superseded' WHERE state = 'done' AND split_id IN (SELECT split_id FROM replaced) "
            "AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.split_id = splits.split_id "
            "AND parts.state IN ('present', 'vanished'))"
        )
    con.execute("DROP TABLE replaced")


def supersede_keys(con: duckdb.DuckDBPyConnection) -> int:
    """Of documents with one doc_key, keep the one of the newest split; quarantine lists the others."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE older AS
        WITH twice AS (SELECT doc_key FROM store.documents GROUP BY doc_key HAVING count(*) > 1)
        SELECT doc_id, source, source_key, part FROM store.documents SEMI JOIN twice USING (doc_key)
        QUALIFY row_number() OVER (PARTITION BY doc_key ORDER BY doc_id DESC) > 1"""
    )
    count = int(con.execute("SELECT count(*) FROM older").fetchall()[0][0])
    if count:
        con.execute(
            """INSERT INTO quarantine BY NAME
            SELECT (o.doc_id >> 32)::UINTEGER AS split_id, o.source, p.uri, o.source_key AS position,
                'superseded_key' AS reason, 'a newer split has the same source_key' AS detail,
                current_timestamp::TIMESTAMP AS seen
            FROM older o LEFT JOIN parts p ON p.split_id = o.doc_id >> 32 AND p.ordinal = o.part"""
        )
        remove_documents(con, "SELECT doc_id FROM older")
    con.execute("DROP TABLE older")
    return count


def remove_documents(con: duckdb.DuckDBPyConnection, doc_ids: str) -> None:
    """Delete the documents that the query `doc_ids` names from every table of the catalog.

    But not from quarantine, nor from export_documents: what was exported stays known, by ids that are never used again.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE removed AS {doc_ids}")
    tables = con.execute(
        """SELECT schema_name, table_name FROM duckdb_tables() t
        SEMI JOIN (FROM duckdb_columns() WHERE column_name = 'doc_id') USING (database_name, schema_name, table_name)
        WHERE schema_name IN ('store', 'measures', 'decided', 'main') AND NOT t.temporary
            AND table_name NOT IN ('quarantine', 'export_documents')"""
    ).fetchall()
    for schema, table in tables:
        con.execute(f"DELETE FROM {schema}.{quoted(table)} WHERE doc_id IN (SELECT doc_id FROM removed)")
    con.execute("DELETE FROM store.edge_sets; DELETE FROM store.span_sets")
    con.execute("DROP TABLE removed")
