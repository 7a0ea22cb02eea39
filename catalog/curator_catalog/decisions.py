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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from curator_catalog.duplicates import cluster_equal, cluster_linked, elect
from curator_catalog.edges import DDL, EdgeSummary, derive_edges
from curator_catalog.errors import CatalogError
from curator_catalog.views import create_views, quoted, wide_relation

DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Rule:
    """`sql` is over the aliases d (documents), f (final text) and s0, s1, … (the steps' measures)."""

    name: str
    sql: str
    text: str
    window: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Copies:
    """How a dedup step finds and elects: `scope` and `order_by` are SQL over d, f, s0, s1, …"""

    group: str | None
    edge_set: str | None
    within: str | None
    scope: str
    order_by: str
    min_similarity: float | None = None
    reelect: bool = False


@dataclass(frozen=True)
class StepPlan:
    """One step: its table of measures (None if it measures nothing), rules, and how it finds copies.

    `notes` are messages, each with SQL over the same aliases as rules that counts the documents it is said of.
    """

    name: str
    kind: str
    plugin: str
    table: str | None
    signals: Mapping[str, str]
    wide_signals: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    copies: Copies | None = None
    expect: tuple[float, float] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        return [f"{self.name}.{r.name}" for r in self.rules] + (
            [f"{self.name}.{DUPLICATE}"] if self.copies else []
        )


@dataclass(frozen=True)
class DecisionPlan:
    """A recipe's decisions; `fills` says which signal stands in documents.language and .domain."""

    decision_set: str
    recipe: str
    fingerprint: str
    final: str
    sources: tuple[str, ...]
    fills: Mapping[str, tuple[str, str]]
    steps: tuple[StepPlan, ...]

    @property
    def reasons(self) -> list[str]:
        return [reason for step in self.steps for reason in step.reasons]

    @property
    def in_recipe(self) -> str:
        """SQL over d: the document is from a source that the recipe names; the others are not decided on."""
        names = ", ".join("'" + s.replace("'", "''") + "'" for s in self.sources)
        return f"d.source IN ({names})"

    @property
    def words(self) -> int:
        return max(1, (len(self.reasons) + 63) // 64)

    def first_bit(self, step: int) -> int:
        return sum(len(s.reasons) for s in self.steps[:step])


def derive_missing_edges(
    con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path
) -> dict[str, EdgeSummary]:
    """Derive, into scratch tables, the edge sets that new documents made stale."""
    known = {name for (name,) in con.execute("SELECT edge_set FROM edge_sets").fetchall()}
    found: dict[str, EdgeSummary] = {}
    for step in plan.steps:
        if step.copies is None or step.copies.edge_set is None or step.copies.edge_set in known:
            continue
        if not found:
            con.execute(DDL)
        source = wide_relation(con, folder, str(step.table), step.signals, "catalog.measures")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE measured AS SELECT m.doc_id, {step.copies.scope} AS scope, m.bands, m.signature "
            f"FROM {source} m JOIN {_joined(plan, _aliases(step.copies.scope, plan))} ON d.doc_id = m.doc_id"
        )
        found[step.copies.edge_set] = derive_edges(con, "measured", step.copies.edge_set)
        con.execute("DROP TABLE measured")
        known.add(step.copies.edge_set)
    return found


def write_edges(
    con: duckdb.DuckDBPyConnection, plan: DecisionPlan, found: Mapping[str, EdgeSummary], files: Path
) -> None:
    """Store derived edge sets, from the Parquet files that `export_edges` wrote, in the caller's transaction."""
    by_set = {s.copies.edge_set: s for s in plan.steps if s.copies and s.copies.edge_set}
    for table in ("edge_groups", "edges", "truncated_buckets"):
        path = str(files / f"{table}.parquet")
        con.execute(
            f"DELETE FROM store.{table} WHERE edge_set IN (SELECT unnest(?)) OR edge_set NOT IN (SELECT edge_set FROM store.edge_sets)",
            [list(found)],
        )
        con.execute(f"INSERT INTO store.{table} BY NAME FROM read_parquet(?)", [path])
    for name, summary in found.items():
        step = by_set[name]
        assert step.copies is not None
        con.execute(
            "INSERT OR REPLACE INTO store.edge_sets VALUES (?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP)",
            [
                name,
                step.table,
                step.copies.within,
                summary.documents,
                summary.groups,
                summary.edges,
                summary.truncated_buckets,
            ],
        )


def export_edges(con: duckdb.DuckDBPyConnection, files: Path) -> None:
    """Write the scratch edge tables to Parquet, for `write_edges`."""
    for table in ("edge_groups", "edges", "truncated_buckets"):
        con.execute(f"COPY memory.main.{table} TO '{_escaped(files / table)}.parquet' (FORMAT parquet)")


def decide(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path) -> None:
    """Leave the temp tables `flags` (doc_id, fails_0…, missing) and `copies` (as duplicates) behind."""
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
                joined = _joined(plan, _aliases(rule.sql, plan))
                present = f"s{i}.doc_id IS NOT NULL" if f"s{i}" in _aliases(rule.sql, plan) else "true"
                _mark(
                    con,
                    plan.first_bit(i) + r,
                    f"SELECT doc_id FROM (SELECT d.doc_id, coalesce({rule.sql}, false) AND {present} AS hit FROM {joined} "
                    f"SEMI JOIN ({population}) p ON p.doc_id = d.doc_id) WHERE hit",
                )
        if step.copies:
            (later.append(i) if step.copies.reelect else _dedup(con, plan, i, folder))
    for i in later:
        _dedup(con, plan, i, folder)


def _aliases(sql: str, plan: DecisionPlan) -> set[str]:
    """Which of the joined tables an expression needs."""
    return {f"s{i}" for i in range(len(plan.steps)) if f"s{i}." in sql} | ({"f"} if "f." in sql else set())


def _joined(plan: DecisionPlan, aliases: set[str]) -> str:
    sql = "catalog.store.documents d"
    if "f" in aliases:
        sql += f" LEFT JOIN catalog.measures.{quoted(plan.final)} f ON f.doc_id = d.doc_id"
    for i, step in enumerate(plan.steps):
        if f"s{i}" in aliases and step.table:
            sql += f" LEFT JOIN catalog.measures.{quoted(step.table)} s{i} ON s{i}.doc_id = d.doc_id"
    return sql


def flag_rows(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> None:
    """The temp table `flags`: a bit for each failing rule that looks at one row, and for each missing measure."""
    words: list[list[str]] = [[] for _ in range(plan.words)]
    aliases: set[str] = {f"s{i}" for i, s in enumerate(plan.steps) if s.table}
    missing = []
    for i, step in enumerate(plan.steps):
        present = f"s{i}.doc_id IS NOT NULL"
        if step.table:
            missing.append(f"CASE WHEN {present} THEN 0 ELSE {1 << i} END")
        for r, rule in enumerate(step.rules):
            aliases |= _aliases(rule.sql, plan)
            if not rule.window:
                bit = plan.first_bit(i) + r
                guard = f"{present} AND " if step.table else ""
                words[bit // 64].append(
                    f"CASE WHEN {guard}{rule.sql} THEN {1 << bit % 64}::UBIGINT ELSE 0 END"
                )
    fails = ", ".join(f"({' | '.join(bits) or '0'})::UBIGINT AS fails_{w}" for w, bits in enumerate(words))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE flags AS SELECT d.doc_id, {fails}, "
        f"({' | '.join(missing) or '0'})::UBIGINT AS missing FROM {_joined(plan, aliases)} WHERE {plan.in_recipe}"
    )


def passes(plan: DecisionPlan, step: int) -> str:
    """SQL over flags: no step before `step` drops the document."""
    bits = plan.first_bit(step)
    tests = []
    for w in range(plan.words):
        mask = (1 << max(0, min(64, bits - 64 * w))) - 1
        if mask:
            tests.append(f"fails_{w} & {mask}::UBIGINT = 0")
    return " AND ".join(tests) or "true"


def count_notes(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> dict[tuple[str, str], int]:
    """(step, message) -> of how many documents that were measured it is true; those of none are left out."""
    found: dict[tuple[str, str], int] = {}
    for i, step in enumerate(plan.steps):
        if step.notes and step.table:
            counts = ", ".join(f"count(*) FILTER ({sql})" for sql in step.notes.values())
            measured = f"{_joined(plan, {f's{i}'})} WHERE s{i}.doc_id IS NOT NULL AND {plan.in_recipe}"
            row = con.execute(f"SELECT {counts} FROM {measured}").fetchall()[0]
            found |= {(step.name, message): n for message, n in zip(step.notes, row, strict=True) if n}
    return found


def _mark(con: duckdb.DuckDBPyConnection, bit: int, hits: str) -> None:
    con.execute(
        f"UPDATE flags SET fails_{bit // 64} = fails_{bit // 64} | {1 << bit % 64}::UBIGINT WHERE doc_id IN ({hits})"
    )


def _dedup(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, at: int, folder: Path) -> None:
    step = plan.steps[at]
    copies = step.copies
    assert copies is not None
    assert step.table is not None
    value = f"s{at}.{quoted(copies.group)}" if copies.group else "NULL"
    aliases = _aliases(f"{copies.scope} {copies.order_by} {value} s{at}.", plan)
    ranks = "CASE d.source " + " ".join(
        f"WHEN '{s.replace(chr(39), chr(39) * 2)}' THEN {r}" for r, s in enumerate(plan.sources)
    )
    survives = " AND ".join(f"fails_{w} = 0" for w in range(plan.words)) if copies.reelect else "true"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE population AS
        SELECT d.doc_id, d.doc_key, {copies.scope} AS scope, {value} AS value, {ranks} ELSE {len(plan.sources)} END AS source_rank,
            d.source_key, d.content_hash, {survives} AS survives, {copies.order_by} AS preferred
        FROM {_joined(plan, aliases)} JOIN flags ON flags.doc_id = d.doc_id
        WHERE s{at}.doc_id IS NOT NULL AND {passes(plan, at)}"""
    )
    if copies.group:
        cluster_equal(con, "population", "value")
    elif copies.min_similarity is not None:
        measures = f"(SELECT doc_id, signature FROM {wide_relation(con, folder, step.table, step.signals, 'catalog.measures')})"
        cluster_linked(
            con, "population", str(copies.edge_set), min_similarity=copies.min_similarity, measures=measures
        )
    else:
        cluster_linked(con, "population", str(copies.edge_set))
    elect(
        con, "population", "survives DESC, preferred DESC NULLS LAST, source_rank, source_key, content_hash"
    )
    con.execute(
        "INSERT INTO copies SELECT doc_id, ?, cluster_id, cluster_size, kept_copy FROM elected", [step.name]
    )
    _mark(con, plan.first_bit(at) + len(step.rules), "SELECT doc_id FROM elected WHERE NOT kept")
    con.execute("DROP TABLE population; DROP TABLE clusters; DROP TABLE elected")


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
    con.execute(f"COPY ({outcome(plan)}) TO '{_escaped(files / 'decided')}.parquet' (FORMAT parquet)")
    con.execute(f"COPY copies TO '{_escaped(files / 'copies')}.parquet' (FORMAT parquet)")


def write(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, files: Path, folder: Path) -> None:
    """Put a decision set in force, in the caller's transaction."""
    table = f"decided.{quoted(plan.decision_set)}"
    con.execute(
        f"CREATE OR REPLACE TABLE {table} AS FROM read_parquet('{_escaped(files / 'decided')}.parquet')"
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
                "wide": bool(s.wide_signals),
                "edge_set": s.copies.edge_set if s.copies else None,
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


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
