"""What is decided: the steps of a recipe, with SQL over the joined measures.

The SQL is over the aliases d (documents), f (final text) and s0, s1, … (the steps' measures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from curator_catalog.views import quoted

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
class Vectors:
    """Which pairs of vectors are compared and stored as edges; see `curator_catalog.vectors`."""

    signal: str
    clusters: int | None = None
    seed: int = 0
    store_above: float = 0.8


@dataclass(frozen=True)
class Copies:
    """How a dedup step finds and elects: `scope` and `order_by` are SQL over d, f, s0, s1, …

    Edges come from bands, or, where `vectors` are given, from these; their similarity from signatures, or from
    the signal `sets`. Of a cluster so many `copies` (SQL over cluster_size) are kept: of the sources `prefer`
    first, then of the largest `order_by`. With sources `against`, only what they have is dropped, of the others.
    """

    group: str | None
    edge_set: str | None
    within: str | None
    scope: str
    order_by: str
    min_similarity: float | None = None
    reelect: bool = False
    vectors: Vectors | None = None
    sets: str | None = None
    prefer: tuple[str, ...] = ()
    copies: str = "1"
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepPlan:
    """One step: its table of measures (None if it measures nothing), rules, and how it finds copies.

    `notes` are messages, each with SQL over the same aliases as rules that counts the documents it is said of.
    `contamination` is SQL over the same for the document's rows of the view contamination.
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
    contamination: str | None = None

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


def aliases(sql: str, plan: DecisionPlan) -> set[str]:
    """Which of the joined tables an expression needs."""
    return {f"s{i}" for i in range(len(plan.steps)) if f"s{i}." in sql} | ({"f"} if "f." in sql else set())


def joined(plan: DecisionPlan, aliases: set[str]) -> str:
    sql = "catalog.store.documents d"
    if "f" in aliases:
        sql += f" LEFT JOIN catalog.measures.{quoted(plan.final)} f ON f.doc_id = d.doc_id"
    for i, step in enumerate(plan.steps):
        if f"s{i}" in aliases and step.table:
            sql += f" LEFT JOIN catalog.measures.{quoted(step.table)} s{i} ON s{i}.doc_id = d.doc_id"
    return sql


def passes(plan: DecisionPlan, step: int) -> str:
    """SQL over flags: no step before `step` drops the document."""
    bits = plan.first_bit(step)
    tests = []
    for w in range(plan.words):
        mask = (1 << max(0, min(64, bits - 64 * w))) - 1
        if mask:
            tests.append(f"fails_{w} & {mask}::UBIGINT = 0")
    return " AND ".join(tests) or "true"


def mark(con: duckdb.DuckDBPyConnection, bit: int, hits: str) -> None:
    con.execute(
        f"UPDATE flags SET fails_{bit // 64} = fails_{bit // 64} | {1 << bit % 64}::UBIGINT WHERE doc_id IN ({hits})"
    )


def ranked(column: str, names: Sequence[str]) -> str:
    """SQL: the place of a column's value among names, from 0; their number where it is none of them."""
    cases = " ".join(f"WHEN '{n.replace(chr(39), chr(39) * 2)}' THEN {i}" for i, n in enumerate(names))
    return f"CASE {column} {cases} ELSE {len(names)} END" if names else "0"


def escaped(path: Path) -> str:
    return str(path).replace("'", "''")
