"""A dedup step's edges and kept copies, among the documents that no earlier step drops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from curator_catalog.duplicates import cluster_equal, cluster_linked, elect
from curator_catalog.edges import DDL, EdgeSummary, derive_edges
from curator_catalog.plans import DecisionPlan, aliases, escaped, joined, mark, passes, ranked
from curator_catalog.vectors import derive_vector_edges
from curator_catalog.views import quoted, wide_relation


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
        source = wide_relation(
            con, folder, str(step.table), step.signals, step.wide_signals, "catalog.measures"
        )
        vectors = step.copies.vectors
        sets = step.copies.sets
        columns = (
            f"m.{quoted(vectors.signal)} AS vector"
            if vectors
            else f"m.bands, m.{sets or 'signature'} AS signature"
        )
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW measured AS SELECT m.doc_id, {step.copies.scope} AS scope, {columns} "
            f"FROM {source} m JOIN {joined(plan, aliases(step.copies.scope, plan))} ON d.doc_id = m.doc_id"
        )
        found[step.copies.edge_set] = (
            derive_vector_edges(con, "measured", step.copies.edge_set, vectors)
            if vectors
            else derive_edges(con, "measured", step.copies.edge_set, exact=bool(sets))
        )
        con.execute("DROP VIEW measured")
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
            "INSERT OR REPLACE INTO store.edge_sets VALUES (?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP, ?)",
            [
                name,
                step.table,
                step.copies.within,
                summary.documents,
                summary.groups,
                summary.edges,
                summary.truncated_buckets,
                summary.shared_buckets,
            ],
        )


def export_edges(con: duckdb.DuckDBPyConnection, files: Path) -> None:
    """Write the scratch edge tables to Parquet, for `write_edges`."""
    for table in ("edge_groups", "edges", "truncated_buckets"):
        con.execute(f"COPY memory.main.{table} TO '{escaped(files / table)}.parquet' (FORMAT parquet)")


def find_copies(con: duckdb.DuckDBPyConnection, plan: DecisionPlan, at: int, folder: Path) -> None:
    step = plan.steps[at]
    copies = step.copies
    assert copies is not None
    assert step.table is not None
    value = f"s{at}.{quoted(copies.group)}" if copies.group else "NULL"
    needed = aliases(f"{copies.scope} {copies.order_by} {value} s{at}.", plan)
    reference = f"{ranked('d.source', copies.against)} < {len(copies.against)}"
    survives = " AND ".join(f"fails_{w} = 0" for w in range(plan.words)) if copies.reelect else "true"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE population AS
        SELECT d.doc_id, d.doc_key, {copies.scope} AS scope, {value} AS value,
            {ranked("d.source", plan.sources)} AS source_rank, {ranked("d.source", copies.prefer)} AS liked,
            {reference} AS reference,
            d.source_key, d.content_hash, {survives} AS survives, {copies.order_by} AS preferred
        FROM {joined(plan, needed)} JOIN flags ON flags.doc_id = d.doc_id
        WHERE s{at}.doc_id IS NOT NULL AND {passes(plan, at)}"""
    )
    if copies.group:
        cluster_equal(con, "population", "value")
    elif copies.min_similarity is not None and copies.vectors is None:
        measures = f"(SELECT doc_id, {copies.sets or 'signature'} AS signature FROM {wide_relation(con, folder, step.table, step.signals, step.wide_signals, 'catalog.measures')})"
        cluster_linked(
            con,
            "population",
            str(copies.edge_set),
            min_similarity=copies.min_similarity,
            measures=measures,
            exact=bool(copies.sets),
        )
    else:
        cluster_linked(con, "population", str(copies.edge_set), min_similarity=copies.min_similarity)
    elect(
        con,
        "population",
        "survives DESC, reference DESC, liked, preferred DESC NULLS LAST, source_rank, source_key, content_hash",
        copies=copies.copies,
        one_sided=bool(copies.against),
    )
    con.execute(
        "INSERT INTO copies SELECT doc_id, ?, cluster_id, cluster_size, kept_copy FROM elected", [step.name]
    )
    mark(con, plan.first_bit(at) + len(step.rules), "SELECT doc_id FROM elected WHERE NOT kept")
    con.execute("DROP TABLE population; DROP TABLE clusters; DROP TABLE elected")
