"""Fills in views.sql from what is stored.

The views over text list the registered files one by one: a glob would also read files that no transaction
registered, and a subquery is not allowed there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import duckdb

from curator_catalog.duplicates import DUPLICATE_EDGES

_FINAL_COMMENTS = {
    "language": "Language, as the recipe's language step found it",
    "domain": "Domain, as the recipe's classifier found it",
    "n_chars": "Characters of the final text",
    "n_words": "Words of the final text, separated by white space",
    "text_hash": "xxh3-128 of the final text",
    "n_tokens": "Tokens of the final text and the one that ends it, by the tokenizer that counted last; NULL: not counted",
    "decision": "kept, dropped or pending in the decision set in force",
    "kept": "True if kept",
    "reason": "The first failing rule in step order, as step.rule",
    "reasons": "Every failing rule",
}


def create_views(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """(Re)create every view and its comments, in the caller's transaction."""
    sets = _decision_sets(con)
    in_force = con.execute("SELECT value FROM store.settings WHERE name = 'decision_set'").fetchall()
    current = sets.get(in_force[0][0]) if in_force else None
    parts = {
        "documents": _documents(con, current),
        "texts": _texts(con, folder, current),
        "decisions": "\nUNION ALL ".join(_decided(con, s) for s in sets.values())
        or "SELECT NULL::VARCHAR AS decision_set, NULL::UBIGINT AS doc_id, NULL::VARCHAR AS decision, "
        "NULL::BOOLEAN AS kept, NULL::VARCHAR AS reason, NULL::VARCHAR[] AS reasons WHERE false",
        "classifications": _classifications(current),
        "token_counts": _token_counts(con, current),
        "duplicate_edges": _duplicate_edges(current),
        "contamination": _contamination(current),
        "documents_in": "\nUNION ALL BY NAME ".join(
            f"(SELECT * FROM ({_documents(con, s)}) WHERE set_name = {_text(s['name'])})"
            for s in sets.values()
        )
        or "SELECT * FROM main.documents WHERE set_name IS NULL AND false",
    }
    script = files("curator_catalog").joinpath("views.sql").read_text(encoding="utf-8")
    for statement in script.split(";\n"):
        if statement.strip():
            con.execute(Template(statement).substitute(parts))
    stored = con.execute(
        "SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = 'store' AND table_name = 'documents'"
    ).fetchall()
    comments = {name: comment or "A column that the recipe's source promotes" for name, comment in stored}
    for (name,) in con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = 'documents'"
    ).fetchall():
        comment = _FINAL_COMMENTS.get(name) or comments[name]
        con.execute(f"COMMENT ON COLUMN main.documents.{quoted(name)} IS {_text(comment)}")
    _signal_views(con, folder, current)


def shadow_moved_views(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Temporary views for a corpus folder that was moved since its views were made."""
    in_force = con.execute("SELECT value FROM store.settings WHERE name = 'decision_set'").fetchall()
    current = _decision_sets(con).get(in_force[0][0]) if in_force else None
    con.execute(f"CREATE TEMP VIEW texts AS {_texts(con, folder, current)}")


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _decision_sets(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    rows = con.execute("SELECT decision_set, steps FROM store.decision_sets ORDER BY decision_set").fetchall()
    return {name: {"name": name, **json.loads(steps)} for name, steps in rows}


def _bits(reasons: list[str]) -> tuple[str, str]:
    """SQL for the first failing rule and for all of them, from the words of bits fails_0, fails_1, …"""
    names = "[" + ", ".join(_text(r) for r in reasons) + "]::VARCHAR[]"
    words = range((len(reasons) + 63) // 64)
    lists = [
        f"list_transform(list_filter(range({64 * w}, {min(64 * w + 64, len(reasons))}), "
        f"lambda i: (fails_{w} >> (i - {64 * w})::UBIGINT) & 1 = 1), lambda i: ({names})[i + 1])"
        for w in words
    ]
    every = lists[0] if len(lists) == 1 else f"list_concat({', '.join(lists)})" if lists else "[]::VARCHAR[]"
    return f"({names})[first + 1]", every


def _decided(con: duckdb.DuckDBPyConnection, chosen: dict[str, Any]) -> str:
    reason, reasons = _bits(chosen["reasons"])
    return (
        f"SELECT {_text(chosen['name'])} AS decision_set, doc_id, decision, decision = 'kept' AS kept, "
        f"{reason} AS reason, {reasons} AS reasons FROM decided.{quoted(chosen['name'])}"
    )


def _documents(con: duckdb.DuckDBPyConnection, chosen: dict[str, Any] | None) -> str:
    stored = "d.* EXCLUDE (part)"
    if chosen is None:
        return (
            f"SELECT {stored}, NULL::VARCHAR AS language, NULL::VARCHAR AS domain, NULL::UINTEGER AS n_chars, "
            "NULL::UINTEGER AS n_words, NULL::UINTEGER AS n_tokens, NULL::UUID AS text_hash, NULL::VARCHAR AS decision, NULL::BOOLEAN AS kept, "
            "NULL::VARCHAR AS reason, NULL::VARCHAR[] AS reasons FROM store.documents d"
        )
    columns, joins = [stored], ""
    for name in ("language", "domain"):
        if name in chosen["fills"]:
            table, signal = chosen["fills"][name]
            columns.append(f"{name}_step.{quoted(signal)} AS {name}")
            joins += f" LEFT JOIN measures.{quoted(table)} {name}_step ON {name}_step.doc_id = d.doc_id"
        else:
            columns.append(f"NULL::VARCHAR AS {name}")
    tokens, counts = "NULL::UINTEGER", ""
    for measure, _ in _tokenizers(con, chosen, in_use=True):
        tokens, counts = "k.n_tokens", f" LEFT JOIN measures.{quoted(measure)} k ON k.doc_id = d.doc_id"
    return (
        f"SELECT {', '.join(columns)}, f.n_chars, f.n_words, {tokens} AS n_tokens, f.text_hash, r.decision, r.kept, r.reason, r.reasons "
        f"FROM store.documents d LEFT JOIN measures.{quoted(chosen['final'])} f ON f.doc_id = d.doc_id{joins}{counts} "
        f"LEFT JOIN ({_decided(con, chosen)}) r ON r.doc_id = d.doc_id"
    )


def _tokenizers(
    con: duckdb.DuckDBPyConnection, chosen: dict[str, Any] | None, *, in_use: bool = False
) -> list[tuple[str, str]]:
    """(measure, name) of those that counted the final texts of a decision set; `in_use`: the one that counted last."""
    last = "AND sha256 = (SELECT value FROM store.settings WHERE name = 'tokenizer')" if in_use else ""
    query = f"SELECT measure, tokenizer FROM main.tokenizers WHERE final = ? {last} ORDER BY tokenizer, measure"
    return con.execute(query, [chosen["final"]]).fetchall() if chosen else []


def _token_counts(con: duckdb.DuckDBPyConnection, chosen: dict[str, Any] | None) -> str:
    return (
        "\nUNION ALL ".join(
            f"SELECT doc_id, {_text(name)} AS tokenizer, n_tokens FROM measures.{quoted(measure)}"
            for measure, name in _tokenizers(con, chosen)
        )
        or "SELECT NULL::UBIGINT AS doc_id, NULL::VARCHAR AS tokenizer, NULL::UINTEGER AS n_tokens WHERE false"
    )


def _files(con: duckdb.DuckDBPyConnection, folder: Path, measure: str) -> str | None:
    paths = con.execute(
        "SELECT path FROM shards WHERE measure = ? ORDER BY shard_id, path", [measure]
    ).fetchall()
    if not paths:
        return None
    return "read_parquet([" + ", ".join(_text(str(folder / p)) for (p,) in paths) + "])"


def _texts(con: duckdb.DuckDBPyConnection, folder: Path, chosen: dict[str, Any] | None) -> str:
    read = _files(con, folder, "text")
    if read is None:
        return "SELECT NULL::UBIGINT AS doc_id, NULL::VARCHAR AS text_read, NULL::VARCHAR AS text WHERE false"
    source = f"(SELECT doc_id, text FROM {read}) t SEMI JOIN store.documents USING (doc_id)"
    cleaned = _files(con, folder, chosen["final"]) if chosen else None
    if cleaned is None:
        return f"SELECT doc_id, text AS text_read, text FROM {source}"
    return (
        f"SELECT doc_id, t.text AS text_read, coalesce(c.text, t.text) AS text FROM {source} "
        f"LEFT JOIN (SELECT doc_id, text FROM {cleaned}) c USING (doc_id)"
    )


def wide_relation(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    signals: Mapping[str, str],
    wide: Collection[str],
    schema: str = "measures",
) -> str:
    """The rows of a measure whose signals `wide` lie in shard files: of documents in force."""
    found = _files(con, folder, table)
    name = f"{schema}.{quoted(table)}"
    if found is None:
        nulls = ", ".join(f"NULL::{signals[signal]} AS {quoted(signal)}" for signal in wide)
        return f"(SELECT *, {nulls} FROM {name})"
    if len(wide) == len(signals):
        return f"(FROM {found} SEMI JOIN {name} USING (doc_id))"
    return f"(SELECT * FROM {name} LEFT JOIN {found} USING (doc_id))"


def _signal_views(con: duckdb.DuckDBPyConnection, folder: Path, chosen: dict[str, Any] | None) -> None:
    for (name,) in con.execute(
        "SELECT view_name FROM duckdb_views() WHERE schema_name = 'signals'"
    ).fetchall():
        con.execute(f"DROP VIEW signals.{quoted(name)}")
    for step in chosen["steps"] if chosen else []:
        if not step["signals"]:
            continue
        table = step["table"]
        wide = list(step["signals"]) if step["wide"] is True else step["wide"]
        source = (
            wide_relation(con, folder, table, step["signals"], wide) if wide else f"measures.{quoted(table)}"
        )
        columns = ", ".join(quoted(c) for c in step["signals"])
        view = f"signals.{quoted(step['name'])}"
        con.execute(f"CREATE VIEW {view} AS SELECT doc_id, {columns} FROM {source}")
        con.execute(f"COMMENT ON VIEW {view} IS {_text('What step ' + step['name'] + ' measured: ' + table)}")
        con.execute(f"COMMENT ON COLUMN {view}.doc_id IS 'The document'")
        for column in step["signals"]:
            comment = f"{column}, as {step['plugin']} measured it"
            con.execute(f"COMMENT ON COLUMN {view}.{quoted(column)} IS {_text(comment)}")


def _classifications(chosen: dict[str, Any] | None) -> str:
    steps = [s for s in (chosen["steps"] if chosen else []) if s.get("kind") == "classifier"]
    return (
        "\nUNION ALL ".join(
            f"SELECT doc_id, {_text(s['name'])} AS classifier, label, score FROM measures.{quoted(s['table'])}"
            for s in steps
        )
        or "SELECT NULL::UBIGINT AS doc_id, NULL::VARCHAR AS classifier, NULL::VARCHAR AS label, NULL::DOUBLE AS score WHERE false"
    )


def _contamination(chosen: dict[str, Any] | None) -> str:
    columns = {
        "benchmark": "VARCHAR",
        "item": "VARCHAR",
        "field": "VARCHAR",
        "overlap": "DOUBLE",
        "words": "BIGINT",
        "text": "VARCHAR",
        "spans": "STRUCT(start BIGINT, stop BIGINT)[]",
        "reviewed": "VARCHAR",
        "verdict": "VARCHAR",
    }

    def rows(at: int, sql: str) -> str:
        tables = {f"s{i}": s["table"] for i, s in enumerate(steps) if s["table"]} | {"f": chosen["final"] if chosen else ""}
        joins = " ".join(
            f"{'' if alias == f's{at}' else 'LEFT '}JOIN measures.{quoted(table)} {alias} ON {alias}.doc_id = d.doc_id"
            for alias, table in tables.items()
            if alias == f"s{at}" or f"{alias}." in sql
        )
        return f"(SELECT d.doc_id, unnest({sql}) AS m FROM store.documents d {joins})"

    steps = chosen["steps"] if chosen else []
    return (
        "\nUNION ALL ".join(
            f"SELECT doc_id, {_text(s['name'])} AS step, {', '.join(f'm.{name}' for name in columns)} "
            f"FROM {rows(i, s['contamination'])}"
            for i, s in enumerate(steps)
            if s.get("contamination")
        )
        or "SELECT NULL::UBIGINT AS doc_id, NULL::VARCHAR AS step, "
        + ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
        + " WHERE false"
    )


def _duplicate_edges(chosen: dict[str, Any] | None) -> str:
    pairs = [(s["edge_set"], s["name"]) for s in (chosen["steps"] if chosen else []) if s.get("edge_set")]
    values = ", ".join(f"({_text(e)}, {_text(n)})" for e, n in pairs) or "(NULL::VARCHAR, NULL::VARCHAR)"
    steps = f"(SELECT * FROM (VALUES {values}) v(edge_set, step))"
    sql = DUPLICATE_EDGES.format(steps=steps)
    for name in ("edge_groups", "documents"):
        sql = sql.replace(f" {name} ", f" store.{name} ")
    return sql.replace("FROM edges e", "FROM store.edges e")
