"""Tokens of documents, a measure like any other: counts in a table, the tokens themselves in shard files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from curator_catalog.commits import ensure_measure
from curator_catalog.views import create_views, quoted


def register_tokenizer(
    con: duckdb.DuckDBPyConnection, folder: Path, row: Mapping[str, Any], measure: Mapping[str, Any]
) -> None:
    """Make room for a tokenizer's counts and let `documents.n_tokens` be of it, in the caller's transaction.

    `row` has the columns of `tokenizers` without `created`; `measure` is as in `commits.ensure_measure`.
    """
    ensure_measure(con, row["measure"], measure)
    known = con.execute("SELECT 1 FROM tokenizers WHERE measure = ?", [row["measure"]]).fetchall()
    if not known:
        con.execute(
            "INSERT INTO tokenizers VALUES (?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP)",
            [row[c] for c in ("measure", "tokenizer", "sha256", "final", "vocab_size", "end_token", "end_id")],
        )
    setting = con.execute("SELECT value FROM store.settings WHERE name = 'tokenizer'").fetchall()
    if not known or setting != [(row["sha256"],)]:
        con.execute("INSERT OR REPLACE INTO store.settings VALUES ('tokenizer', ?)", [row["sha256"]])
        create_views(con, folder)


def counted(con: duckdb.DuckDBPyConnection, measure: str) -> bool:
    """Whether anything was counted into `measure`."""
    return bool(con.execute("SELECT 1 FROM tokenizers WHERE measure = ?", [measure]).fetchall())


def uncounted(
    con: duckdb.DuckDBPyConnection, measure: str | None, final: str
) -> list[tuple[int, str, list[str], int, list[int]]]:
    """What of the documents in the table `chosen` (doc_id) is not counted into `measure` (None: all), by shard.

    Rows of (shard_id, file of the text as read, files of cleaned texts, characters, doc_ids).
    """
    known = f"ANTI JOIN measures.{quoted(measure)} USING (doc_id)" if measure else ""
    return con.execute(
        f"""
        WITH missing AS (
            SELECT (doc_id >> 32)::UINTEGER AS shard_id, list(doc_id ORDER BY doc_id) AS doc_ids,
                sum(n_chars)::UBIGINT AS characters
            FROM chosen {known} JOIN measures.{quoted(final)} USING (doc_id) GROUP BY 1)
        SELECT shard_id, any_value(t.path), list(DISTINCT c.path ORDER BY c.path) FILTER (c.path IS NOT NULL),
            any_value(characters), any_value(doc_ids)
        FROM missing JOIN shards t USING (shard_id) LEFT JOIN shards c ON c.shard_id = missing.shard_id AND c.measure = ?
        WHERE t.measure = 'text' GROUP BY shard_id ORDER BY shard_id""",
        [final],
    ).fetchall()
