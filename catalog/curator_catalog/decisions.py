"""Rules -> decisions, over what is stored; the text is never read.

Every rule of every step is one bit. The rules that look at one row only are evaluated for all documents in
one query over the joined measures; then, in step order, those that look at a population (windows, dedups)
among the documents that no earlier step drops. Nothing is written here: the result stands in temporary
tables until `write` copies it into the catalog in one short transaction, or a dry run compares it.

Rejected: one table of (document, rule) rows, 20 times the size at 20 rules; and evaluating step by step,
which stops at the first failure and so cannot say what the other rules would have done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from curator_catalog.copies import find_copies
from curator_catalog.errors import CatalogError
from curator_catalog.plans import DUPLICATE, DecisionPlan, aliases, escaped, joined, mark, passes
from curator_catalog.views import create_views, quoted


def decide(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path) -> None:
    """Leave the temp tables `flags` (doc_id, fails_0…, missing) and `copies` (as duplicates) behind."""
    try:
        _decide(con, plan, folder)
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        said = " ".join(str(error).split("\n\n")[0].split())
        raise CatalogError(
            f"recipe {plan.decision_set!r}: a rule, or the SQL of keep:, has no answer for some document: {said}; "
            "try_cast() answers NULL there"
        ) from error


def _decide(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path) -> None:
    if len(plan.steps) > 64:
        raise CatalogError(f"recipe {plan.decision_set!r} has {len(plan.steps)} steps; 64 is the most")
    flag_rows(con, plan)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE copies (doc_id UBIGINT, step VARCHAR, cluster_id UUID, cluster_size UINTEGER, kept_copy UBIGINT)"
    )
    later = []
    for i, step in enumerate(plan.steps):
        for r, rule in enumerate(step.rules):
            if rule.window:
                population = f"SELECT doc_id FROM flags WHERE {passes(plan, i)}"
                tables = joined(plan, aliases(rule.sql, plan))
                present = f"s{i}.doc_id IS NOT NULL" if f"s{i}" in aliases(rule.sql, plan) else "true"
                mark(
                    con,
                    plan.first_bit(i) + r,
                    f"SELECT doc_id FROM (SELECT d.doc_id, coalesce({rule.sql}, false) AND {present} AS hit FROM {tables} "
                    f"SEMI JOIN ({population}) p ON p.doc_id = d.doc_id) WHERE hit",
                )
        if step.copies:
            (later.append(i) if step.copies.reelect else find_copies(con, plan, i, folder))
    for i in later:
        find_copies(con, plan, i, folder)


def flag_rows(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> None:
    """The temp table `flags`: a bit for each failing rule that looks at one row, and for each missing measure."""
    words: list[list[str]] = [[] for _ in range(plan.words)]
    needed: set[str] = {f"s{i}" for i, s in enumerate(plan.steps) if s.table}
    missing = []
    for i, step in enumerate(plan.steps):
        present = f"s{i}.doc_id IS NOT NULL"
        if step.table:
            missing.append(f"CASE WHEN {present} THEN 0 ELSE {1 << i} END")
        for r, rule in enumerate(step.rules):
            needed |= aliases(rule.sql, plan)
            if not rule.window:
                bit = plan.first_bit(i) + r
                guard = f"{present} AND " if step.table else ""
                words[bit // 64].append(
                    f"CASE WHEN {guard}{rule.sql} THEN {1 << bit % 64}::UBIGINT ELSE 0 END"
                )
    fails = ", ".join(f"({' | '.join(bits) or '0'})::UBIGINT AS fails_{w}" for w, bits in enumerate(words))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE flags AS SELECT d.doc_id, {fails}, "
        f"({' | '.join(missing) or '0'})::UBIGINT AS missing FROM {joined(plan, needed)} WHERE {plan.in_recipe}"
    )


def count_notes(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> dict[tuple[str, str], int]:
    """(step, message) -> of how many documents that were measured it is true; those of none are left out."""
    found: dict[tuple[str, str], int] = {}
    for i, step in enumerate(plan.steps):
        if step.notes and step.table:
            counts = ", ".join(f"count(*) FILTER ({sql})" for sql in step.notes.values())
            measured = f"{joined(plan, {f's{i}'})} WHERE s{i}.doc_id IS NOT NULL AND {plan.in_recipe}"
            row = con.execute(f"SELECT {counts} FROM {measured}").fetchall()[0]
            found |= {(step.name, message): n for message, n in zip(step.notes, row, strict=True) if n}
    return found


def outcome(plan: DecisionPlan) -> str:
    """SQL over flags: doc_id, decision, first (index of the first failing rule), fails_0, …"""
    first = "CASE " + " ".join(
        f"WHEN fails_{w} <> 0 THEN bit_count(xor(fails_{w}, fails_{w} - 1)) - 1 + {64 * w}"
        for w in range(plan.words)
    )
    failed = " OR ".join(f"fails_{w} <> 0" for w in range(plan.words))
    fails = ", ".join(f"fails_{w}" for w in range(plan.words))
    return (
        f"SELECT doc_id, CASE WHEN {failed} THEN 'dropped' WHEN missing <> 0 THEN 'pending' ELSE 'kept' END AS decision, "
        f"({first} END)::USMALLINT AS first, {fails} FROM flags"
    )


def export(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, files: Path) -> None:
    """Write the result of `decide` to Parquet, for `write`."""
    con.execute(f"COPY ({outcome(plan)}) TO '{escaped(files / 'decided')}.parquet' (FORMAT parquet)")
    con.execute(f"COPY copies TO '{escaped(files / 'copies')}.parquet' (FORMAT parquet)")


def write(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, files: Path, folder: Path) -> None:
    """Put a decision set in force, in the caller's transaction."""
    table = f"decided.{quoted(plan.decision_set)}"
    con.execute(
        f"CREATE OR REPLACE TABLE {table} AS FROM read_parquet('{escaped(files / 'decided')}.parquet')"
    )
    con.execute(
        f"COMMENT ON TABLE {table} IS 'Decisions of recipe {plan.decision_set}; see the view decisions'"
    )
    comments = {
        "doc_id": "The document",
        "decision": "kept, dropped or pending",
        "first": "Index of the first failing rule",
    }
    comments |= {
        f"fails_{w}": f"Bits of the failing rules {64 * w} to {64 * w + 63}" for w in range(plan.words)
    }
    for column, comment in comments.items():
        con.execute(f"COMMENT ON COLUMN {table}.{column} IS '{comment}'")
    name = [plan.decision_set]
    con.execute("DELETE FROM duplicates WHERE decision_set = ?", name)
    con.execute(
        "INSERT INTO duplicates BY NAME SELECT ? AS decision_set, * FROM read_parquet(?)",
        [*name, str(files / "copies.parquet")],
    )
    con.execute("DELETE FROM rules WHERE decision_set = ?", name)
    rows = _rule_rows(plan)
    if rows:
        con.executemany("INSERT INTO rules VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    steps = {
        "reasons": plan.reasons,
        "final": plan.final,
        "fills": plan.fills,
        "steps": [
            {
                "name": s.name,
                "kind": s.kind,
                "plugin": s.plugin,
                "table": s.table,
                "signals": dict(s.signals),
                "wide": list(s.wide_signals),
                "edge_set": s.copies.edge_set if s.copies else None,
                "contamination": s.contamination,
            }
            for s in plan.steps
        ],
    }
    con.execute(
        "INSERT OR REPLACE INTO store.decision_sets VALUES (?, ?, ?, current_timestamp::TIMESTAMP, ?)",
        [*name, plan.recipe, json.dumps(steps), plan.fingerprint],
    )
    con.execute("INSERT OR REPLACE INTO store.settings VALUES ('decision_set', ?)", name)
    create_views(con, folder)


def _rule_rows(plan: DecisionPlan) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = []
    for i, step in enumerate(plan.steps):
        named = [(r.name, r.text, r.options) for r in step.rules]
        if step.copies:
            named.append((DUPLICATE, "another copy of its cluster is kept", {"order": step.copies.order_by}))
        for name, text, options in named:
            rows.append(
                (
                    plan.decision_set,
                    len(rows),
                    i,
                    step.name,
                    name,
                    f"{step.name}.{name}",
                    text,
                    json.dumps(options, default=str),
                )
            )
    return rows
