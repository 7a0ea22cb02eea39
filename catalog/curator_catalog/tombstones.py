"""Forgetting documents: which are meant, their removal in one transaction, and how they are known again.

Identical texts go together: a document is forgotten by its key and by the hash of its text. Files of text may
also hold rows that no table knows any more, of documents that newer ones replaced; they go by the same keys
and hashes. What else could show a text is emptied: details of records that could not be read, and errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from curator_catalog.catalog import check_expression
from curator_catalog.commits import remove_documents
from curator_catalog.errors import QueryRefused
from curator_catalog.views import create_views

#: reasons whose details are keys, field names and sizes
_WITHOUT_TEXT = ("superseded_key", "duplicate_key", "no_text", "too_large", "forgotten")
_EMPTIED = "emptied by curator forget"


@dataclass(frozen=True)
class Replaced:
    """A registered file, and the one without the forgotten rows; None where no row is left."""

    old: str
    new: Mapping[str, Any] | None


def named_by(con: duckdb.DuckDBPyConnection, where: str) -> pa.Table:
    """The doc_keys of documents where an expression of the user's holds. Raises QueryRefused."""
    check_expression(con, where)
    try:
        return con.sql(
            f"SELECT DISTINCT doc_key::VARCHAR AS doc_key FROM documents WHERE ({where}\n)"
        ).to_arrow_table()
    except duckdb.Error as error:
        raise QueryRefused(f"{error}\nin: {where.strip()}") from None


def named_in(con: duckdb.DuckDBPyConnection, ids: Iterable[str]) -> list[tuple[str, str, int]]:
    """(id, doc_key, doc_id) of the documents in force that ids name: doc_id, else source_key, URL or doc_key."""
    return con.execute(
        r"""WITH ids AS (SELECT DISTINCT unnest(?::VARCHAR[]) AS id), numbers AS (
            SELECT id, doc_key, doc_id FROM ids JOIN store.documents
            ON doc_id = CASE WHEN regexp_full_match(id, '\d+') THEN try_cast(id AS UBIGINT) END
        ), others AS (FROM ids ANTI JOIN numbers USING (id))
        SELECT id, doc_key::VARCHAR, doc_id FROM numbers
        UNION SELECT id, doc_key::VARCHAR, doc_id FROM others JOIN store.documents ON source_key = id
        UNION SELECT id, doc_key::VARCHAR, doc_id FROM others JOIN store.documents ON url = id
        UNION SELECT id, doc_key::VARCHAR, doc_id FROM others JOIN store.documents ON doc_key = try_cast(id AS UUID)
        ORDER BY ALL""",
        [list(ids)],
    ).fetchall()


def forgotten_among(con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> set[str]:
    """Those of doc_ids, URLs and doc_keys that were forgotten before."""
    rows = con.execute(
        r"""WITH names AS (SELECT unnest(?::VARCHAR[]) AS name)
        SELECT name FROM names JOIN tombstones
            ON doc_id = CASE WHEN regexp_full_match(name, '\d+') THEN try_cast(name AS UBIGINT) END
        UNION SELECT name FROM names JOIN tombstones ON url = name
        UNION SELECT name FROM names JOIN tombstones ON doc_key = try_cast(name AS UUID)""",
        [list(names)],
    ).fetchall()
    return {name for (name,) in rows}


def with_copies(con: duckdb.DuckDBPyConnection, named: pa.Table, *, copies: bool) -> pa.Table:
    """The documents in force of these doc_keys, and with `copies` those of the same text as read."""
    con.register("named", named)
    return con.sql(
        """WITH named AS MATERIALIZED (SELECT DISTINCT doc_key::UUID AS doc_key FROM named),
        same AS (SELECT DISTINCT content_hash FROM store.documents SEMI JOIN named USING (doc_key) WHERE $copies)
        SELECT doc_id, doc_key::VARCHAR AS doc_key, source, source_key, url, title, content_hash::VARCHAR AS content_hash,
            n.doc_key IS NOT NULL AS named
        FROM store.documents LEFT JOIN named n USING (doc_key) LEFT JOIN same s USING (content_hash)
        WHERE n.doc_key IS NOT NULL OR s.content_hash IS NOT NULL ORDER BY source, source_key, doc_id""",
        params={"copies": copies},
    ).to_arrow_table()


def near_copies(con: duckdb.DuckDBPyConnection, chosen: pa.Table) -> list[int]:
    """doc_ids of documents that stay and are in a cluster with one of these, in any decision set."""
    con.register("chosen", chosen)
    rows = con.execute(
        """SELECT DISTINCT doc_id FROM duplicates
        SEMI JOIN (FROM duplicates SEMI JOIN chosen USING (doc_id)) c USING (decision_set, step, cluster_id)
        ANTI JOIN chosen USING (doc_id) ORDER BY doc_id"""
    ).fetchall()
    return [doc_id for (doc_id,) in rows]


def clusters_without_kept_copy(con: duckdb.DuckDBPyConnection, chosen: pa.Table) -> int:
    """Clusters, over all decision sets, that lose their kept copy and not all the others."""
    con.register("chosen", chosen)
    query = """SELECT count(DISTINCT (decision_set, step, cluster_id)) FROM duplicates
        SEMI JOIN (SELECT doc_id AS kept_copy FROM chosen) USING (kept_copy) ANTI JOIN chosen USING (doc_id)"""
    return int(con.execute(query).fetchall()[0][0])


def in_exports(con: duckdb.DuckDBPyConnection, chosen: pa.Table) -> dict[int, int]:
    """export_id -> how many of these documents it holds, of those that hold any."""
    con.register("chosen", chosen)
    query = (
        "SELECT export_id, count(*) FROM export_documents SEMI JOIN chosen USING (doc_id) GROUP BY export_id"
    )
    return dict(con.execute(query).fetchall())


def stored_rows(con: duckdb.DuckDBPyConnection, folder: Path, chosen: pa.Table, *, copies: bool) -> pa.Table:
    """doc_ids of every row, in force or not, of the text files that has one of the keys or, with `copies`, texts."""
    con.register("chosen", chosen)
    paths = [str(folder / p) for (p,) in con.execute("SELECT path FROM shards WHERE measure = 'text'").fetchall()]  # fmt: skip
    if not paths:
        return pa.table({"doc_id": pa.array([], pa.uint64())})
    return con.sql(
        """WITH stored AS (SELECT doc_id, doc_key, content_hash FROM read_parquet($paths)),
        keys AS (SELECT DISTINCT replace(doc_key, '-', '') AS doc_key FROM chosen),
        texts AS (SELECT DISTINCT replace(content_hash, '-', '') AS content_hash FROM chosen WHERE $copies)
        SELECT doc_id FROM stored SEMI JOIN keys USING (doc_key)
        UNION SELECT doc_id FROM stored SEMI JOIN texts USING (content_hash) ORDER BY doc_id""",
        params={"paths": paths, "copies": copies},
    ).to_arrow_table()


def origins(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> list[tuple[str, str]]:
    """(source, uri) of every part that one of the documents in force was read from."""
    con.register("gone", rows)
    return con.execute(
        "SELECT DISTINCT d.source, p.uri FROM store.documents d SEMI JOIN gone USING (doc_id) "
        "JOIN parts p ON p.split_id = d.doc_id >> 32 AND p.ordinal = d.part ORDER BY ALL"
    ).fetchall()


def remove(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    chosen: pa.Table,
    rows: pa.Table,
    replaced: Iterable[Replaced],
    exports: Mapping[int, int],
    *,
    reason: str,
    copies: bool,
) -> None:
    """Take documents out of every table and leave tombstones, in the caller's transaction.

    `rows` are all their doc_ids, `exports` how many of them each export holds. The setting `forgetting` stays
    until `finished`: decisions, caches and the catalog file's free blocks are still as they were.
    """
    con.register("chosen", chosen)
    con.register("stored_rows", rows)
    con.execute("CREATE OR REPLACE TEMP TABLE gone AS SELECT doc_id FROM chosen UNION FROM stored_rows")
    con.execute("DELETE FROM quarantine WHERE doc_id IN (FROM gone)")
    con.execute(
        """DELETE FROM quarantine WHERE (source, CASE reason WHEN 'superseded_key' THEN position WHEN 'duplicate_key'
            THEN detail END) IN (SELECT (source, CASE reason WHEN 'duplicate_key' THEN left(source_key, 200) ELSE source_key END)
            FROM chosen)"""
    )
    con.execute(
        "UPDATE quarantine SET detail = $emptied WHERE doc_id IS NULL AND detail <> '' AND reason NOT IN (SELECT unnest($reasons))",
        {"emptied": _EMPTIED, "reasons": list(_WITHOUT_TEXT)},
    )
    con.execute("UPDATE splits SET error = ? WHERE error IS NOT NULL", [_EMPTIED])
    remove_documents(con, "FROM gone")
    for table in ("edges", "edge_groups", "truncated_buckets"):
        con.execute(f"DELETE FROM store.{table}")  # what they were derived from is no more
    for files in replaced:
        if files.new is not None:
            con.execute(
                "INSERT INTO shards SELECT shard_id, measure, ?, ?, ?, ?, run_id, current_timestamp::TIMESTAMP "
                "FROM shards WHERE path = ?",
                [files.new["path"], files.new["rows"], files.new["bytes"], files.new["hash"], files.old],
            )
        con.execute("DELETE FROM shards WHERE path = ?", [files.old])
    con.execute(
        """INSERT INTO tombstones BY NAME SELECT doc_key::UUID AS doc_key, url, source, doc_id, $reason AS reason,
            CASE WHEN $copies THEN content_hash::UUID END AS content_hash, current_timestamp::TIMESTAMP AS forgotten FROM chosen""",
        {"reason": reason, "copies": copies},
    )
    for export_id, documents in exports.items():
        con.execute(
            "INSERT INTO export_forgotten VALUES (?, ?, current_timestamp::TIMESTAMP)", [export_id, documents]
        )
    con.execute("UPDATE models SET forgotten = current_timestamp::TIMESTAMP")
    con.execute("INSERT OR REPLACE INTO store.settings VALUES ('forgetting', 'true')")
    create_views(con, folder)
    con.execute("DROP TABLE gone")


def unfinished(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether documents were removed and the rest was not done."""
    return bool(con.execute("SELECT 1 FROM store.settings WHERE name = 'forgetting'").fetchall())


def finished(con: duckdb.DuckDBPyConnection) -> None:
    """Say that nothing of the forgotten documents is left."""
    con.execute("DELETE FROM store.settings WHERE name = 'forgetting'")
