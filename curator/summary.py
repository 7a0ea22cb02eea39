"""What a decision did: the funnel, the guards, and the flips against the decisions in force."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.clusters import Clusters, check_copies, found_clusters
from curator_catalog.decisions import count_notes, outcome
from curator_catalog.plans import DecisionPlan, passes
from curator_catalog.views import quoted

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Stage:
    """One step of the funnel: documents that reached it, those it drops, by its rules, and characters left."""

    step: str
    reached: int
    dropped: int
    by_rule: dict[str, int]
    chars_left: int


@dataclass(frozen=True)
class Funnel:
    """Documents and characters through the steps; `notes` is what steps have to say, and of how many documents."""

    documents: int
    chars: int
    stages: tuple[Stage, ...]
    kept: int
    pending: int
    kept_chars: int
    by_source: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: dict[tuple[str, str], int] = field(default_factory=dict)
    copies: tuple[Clusters, ...] = ()

    @property
    def counts(self) -> dict[str, Any]:
        dropped = {f"{s.step}.{r}": n for s in self.stages for r, n in s.by_rule.items() if n}
        return {
            "documents_in_corpus": self.documents,
            "kept": self.kept,
            "pending": self.pending,
            "dropped": dropped,
            "copies": [asdict(c) | {"by_source": [list(p) for p in c.by_source]} for c in self.copies],
            "notes": [{"step": s, "note": text, "documents": n} for (s, text), n in self.notes.items()],
        }


@dataclass(frozen=True)
class Flips:
    """A dry run against the decisions in force."""

    gained: int
    lost: int
    newly_pending: int
    gained_by: dict[str, int]
    lost_by: dict[str, int]
    by_source: dict[str, tuple[int, int]]
    samples: dict[str, list[int]]
    first: bool = False


def funnel(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> Funnel:
    """The funnel of the decisions in the temp table `flags`."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE result AS SELECT r.*, coalesce(f.n_chars, 0) AS n_chars FROM ({outcome(plan)}) r "
        f"LEFT JOIN catalog.measures.{quoted(plan.final)} f ON f.doc_id = r.doc_id"
    )
    dropped = {
        first: (n, chars)
        for first, n, chars in con.execute(
            "SELECT first, count(*), sum(n_chars)::BIGINT FROM result WHERE first IS NOT NULL GROUP BY first"
        ).fetchall()
    }
    total, chars, kept, pending, kept_chars = con.execute(
        "SELECT count(*), coalesce(sum(n_chars), 0)::BIGINT, count(*) FILTER (decision = 'kept'), "
        "count(*) FILTER (decision = 'pending'), coalesce(sum(n_chars) FILTER (decision = 'kept'), 0)::BIGINT FROM result"
    ).fetchall()[0]
    stages = []
    left, left_chars = total, chars
    for i, step in enumerate(plan.steps):
        start = plan.first_bit(i)
        names = [reason.partition(".")[2] for reason in step.reasons]
        if not names:
            continue
        by_rule = {name: dropped.get(start + r, (0, 0))[0] for r, name in enumerate(names)}
        gone = sum(by_rule.values())
        left_chars -= sum(dropped.get(start + r, (0, 0))[1] for r in range(len(names)))
        stages.append(Stage(step.name, left, gone, by_rule, left_chars))
        left -= gone
    by_source = {
        source: (n, k)
        for source, n, k in con.execute(
            "SELECT d.source, count(*), count(*) FILTER (decision = 'kept') FROM result r "
            "JOIN catalog.store.documents d ON d.doc_id = r.doc_id GROUP BY d.source ORDER BY d.source"
        ).fetchall()
    }
    notes = count_notes(con, plan)
    copies = found_clusters(con, plan)
    return Funnel(total, chars, tuple(stages), kept, pending, kept_chars, by_source, notes, copies)


def check_guards(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path) -> str | None:
    """Why a step's `expect:`, or a dedup that drops almost all of a source, stops the run; or None."""
    return check_copies(con, plan, folder) or check_expected(con, plan)


def check_expected(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> str | None:
    """Which step drops more or less than its `expect:` says, or None."""
    for i, step in enumerate(plan.steps):
        if step.expect is None:
            continue
        reached, stays = con.execute(
            f"SELECT count(*) FILTER ({passes(plan, i)}), count(*) FILTER ({passes(plan, i + 1)}) FROM flags"
        ).fetchall()[0]
        share = (reached - stays) / reached if reached else 0.0
        low, high = step.expect
        if not low <= share <= high:
            return (
                f"step {step.name} drops {share:.1%} of the {reached:,} documents that reach it, expected "
                f"{low:.1%} to {high:.1%} (expect:); decisions are left as they were, unless you --accept that"
            )
    return None


def flips(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> Flips:
    """What would change; the decisions in the temp table `flags` against those in force."""
    known = con.execute("SELECT 1 FROM decision_sets WHERE decision_set = ?", [plan.decision_set]).fetchall()
    before = (
        f"catalog.decided.{quoted(plan.decision_set)}"
        if known
        else "(SELECT NULL::UBIGINT AS doc_id, NULL AS decision, NULL AS first WHERE false)"
    )
    reasons = "[" + ", ".join("'" + r.replace("'", "''") + "'" for r in plan.reasons) + "]::VARCHAR[]"
    old_reasons = reasons
    if known:
        rows = con.execute(
            "SELECT reason FROM rules WHERE decision_set = ? ORDER BY rule_index", [plan.decision_set]
        ).fetchall()
        old_reasons = "[" + ", ".join("'" + r.replace("'", "''") + "'" for (r,) in rows) + "]::VARCHAR[]"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE flipped AS
        SELECT n.doc_id, o.decision IS NOT DISTINCT FROM 'kept' AS was, n.decision = 'kept' AS now, n.decision,
            o.decision IS DISTINCT FROM 'pending' AND n.decision = 'pending' AS newly_pending,
            ({old_reasons})[o.first + 1] AS old_reason, ({reasons})[n.first + 1] AS new_reason
        FROM ({outcome(plan)}) n LEFT JOIN {before} o ON o.doc_id = n.doc_id"""
    )

    def counted(reason: str, where: str) -> dict[str, int]:
        return dict(
            con.execute(
                f"SELECT coalesce({reason}, 'pending'), count(*) FROM flipped WHERE {where} GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
        )

    totals = con.execute(
        "SELECT count(*) FILTER (now AND NOT was), count(*) FILTER (was AND NOT now), count(*) FILTER (newly_pending) FROM flipped"
    ).fetchall()[0]
    by_source = {
        source: (gained, lost)
        for source, gained, lost in con.execute(
            "SELECT d.source, count(*) FILTER (now AND NOT was), count(*) FILTER (was AND NOT now) FROM flipped x "
            "JOIN catalog.store.documents d ON d.doc_id = x.doc_id GROUP BY 1 HAVING count(*) FILTER (now <> was) > 0 ORDER BY 1"
        ).fetchall()
    }
    samples = {
        name: [
            i
            for (i,) in con.execute(
                f"SELECT x.doc_id FROM flipped x JOIN catalog.store.documents d ON d.doc_id = x.doc_id WHERE {where} "
                "ORDER BY d.doc_key LIMIT 5"
            ).fetchall()
        ]
        for name, where in (("gained", "now AND NOT was"), ("lost", "was AND NOT now"))
    }
    return Flips(
        gained=totals[0],
        lost=totals[1],
        newly_pending=totals[2],
        gained_by=counted("old_reason", "now AND NOT was"),
        lost_by=counted("new_reason", "was AND NOT now"),
        by_source=by_source,
        samples=samples,
        first=not known,
    )
