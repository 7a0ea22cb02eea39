"""What a dedup did: its clusters, for the summary, and the guard against one that drops a source almost whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curator.redact import redact
from curator_catalog.plans import DUPLICATE, DecisionPlan, passes

if TYPE_CHECKING:
    import duckdb

#: share of a source that a dedup without `expect:` may drop, of sources with that many documents before it
MOST, LEAST_DOCUMENTS = 0.8, 100
SAMPLED_PAIRS = 10


@dataclass(frozen=True)
class Clusters:
    """Copies that one step found: clusters, their documents, the largest, and what was dropped.

    `by_source`: (source of the dropped, source of the kept copy or None, documents). `edges` between `groups` of
    equal signatures; of `buckets` that several groups share, `truncated` were too large to link all pairs.
    """

    step: str
    clusters: int
    documents: int
    largest: int
    dropped: int
    by_source: tuple[tuple[str, str | None, int], ...]
    edges: int | None = None
    groups: int | None = None
    measured: int | None = None
    buckets: int | None = None
    truncated: int | None = None


def found_clusters(con: duckdb.DuckDBPyConnection, plan: DecisionPlan) -> tuple[Clusters, ...]:
    """The clusters in the temp table `copies`, step by step."""
    found = []
    for at, step in enumerate(plan.steps):
        if step.copies is None:
            continue
        documents, clusters, largest = con.execute(
            "SELECT count(*), count(DISTINCT cluster_id), coalesce(max(cluster_size), 0) FROM copies WHERE step = ?",
            [step.name],
        ).fetchall()[0]
        pairs = con.execute(
            f"SELECT x.source, y.source, count(*) FROM {_dropped(plan, at)} c "
            "JOIN catalog.store.documents x ON x.doc_id = c.doc_id "
            "LEFT JOIN catalog.store.documents y ON y.doc_id = c.kept_copy GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
            [step.name],
        ).fetchall()
        edges = con.execute(
            "SELECT edges, groups, documents, buckets, truncated_buckets FROM edge_sets WHERE edge_set = ?",
            [step.copies.edge_set],
        ).fetchall()
        counts = edges[0] if edges else ()
        found.append(
            Clusters(
                step.name, clusters, documents, largest, sum(n for *_, n in pairs), tuple(pairs), *counts
            )
        )
    return tuple(found)


def check_copies(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, folder: Path) -> str | None:
    """Why a dedup stops the run: it would drop too much of a source, or None. `expect:` sets another share.

    What is in force already, as it was accepted once, is not asked again.
    """
    for at, step in enumerate(plan.steps):
        if step.copies is None:
            continue
        most = step.expect[1] if step.expect else MOST
        rows = con.execute(
            f"SELECT d.source, count(*), count(*) FILTER (NOT ({passes(plan, at + 1)})) FROM flags "
            f"JOIN catalog.store.documents d USING (doc_id) WHERE {passes(plan, at)} GROUP BY d.source ORDER BY d.source"
        ).fetchall()
        for source, reached, dropped in rows:
            too_many = reached >= LEAST_DOCUMENTS and dropped > most * reached
            if too_many and dropped > _in_force(con, plan, f"{step.name}.{DUPLICATE}", source):
                pairs = sampled_pairs(con, plan, at, source, folder)
                return (
                    f"step {step.name} would drop {dropped / reached:.1%} of the {reached:,} documents of source {source} "
                    f"that reach it, more than {most:.0%}; decisions are left as they were. If that is right, --accept "
                    f"goes on, or `expect: {{drop: 0..1}}` under the step. Some of them:\n" + "\n".join(pairs)
                )
    return None


def _in_force(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, reason: str, source: str) -> int:
    """How many documents of a source the decisions in force drop for a reason."""
    rows = con.execute(
        "SELECT count(*) FROM catalog.main.decisions x JOIN catalog.store.documents d USING (doc_id) "
        "WHERE x.decision_set = ? AND d.source = ? AND list_contains(x.reasons, ?)",
        [plan.decision_set, source, reason],
    ).fetchall()
    return int(rows[0][0])


def sampled_pairs(
    con: duckdb.DuckDBPyConnection, plan: DecisionPlan, at: int, source: str, folder: Path
) -> Sequence[str]:
    """Dropped documents of a source beside their kept copies, as lines; texts as read, redacted."""
    rows = con.execute(
        f"SELECT c.doc_id, c.kept_copy, x.source_key, y.source, y.source_key FROM {_dropped(plan, at)} c "
        "JOIN catalog.store.documents x ON x.doc_id = c.doc_id "
        "LEFT JOIN catalog.store.documents y ON y.doc_id = c.kept_copy WHERE x.source = ? ORDER BY x.doc_key LIMIT ?",
        [plan.steps[at].name, source, SAMPLED_PAIRS],
    ).fetchall()
    ids = [i for row in rows for i in row[:2] if i is not None]
    files = con.execute(
        "SELECT path FROM shards WHERE measure = 'text' AND shard_id IN (SELECT unnest(?) >> 32)", [ids]
    ).fetchall()
    texts = dict(
        con.execute(
            "SELECT doc_id, text[:300] FROM read_parquet(?) WHERE doc_id IN (SELECT unnest(?))",
            [[str(folder / path) for (path,) in files], ids],
        ).fetchall()
    )

    def shown(doc_id: int | None) -> str:
        return " ".join(redact(texts.get(doc_id, "")).split())[:60]

    return [
        f"  {key}: {shown(doc_id)}\n    "
        + (f"= {other} {kept_key}: {shown(kept)}" if kept is not None else "none kept")
        for doc_id, kept, key, other, kept_key in rows
    ]


def _dropped(plan: DecisionPlan, at: int) -> str:
    """The rows of `copies` of step `at` (a parameter) that it drops."""
    bit = plan.first_bit(at) + len(plan.steps[at].rules)
    dropped = f"(fails_{bit // 64} >> {bit % 64}) & 1 = 1"
    return f"(FROM copies SEMI JOIN (FROM flags WHERE {dropped}) USING (doc_id) WHERE step = ?)"
