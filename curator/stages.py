"""What the corpus says to the steps that await it: found in SQL, between two maps over the shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from curator.edges import derive_edges, scratch_files
from curator.recipe import GATE, Recipe
from curator_catalog import Catalog, decisions, spans
from curator_catalog.plans import DecisionPlan, escaped, passes, ranked
from curator_catalog.views import wide_relation


def stretches(recipe: Recipe) -> list[range]:
    """The steps that can be measured in one map: between gates, and from one that awaits on."""
    starts, stops = [0], []
    for i, step in enumerate(recipe.steps):
        if step.kind == GATE:
            starts.append(i + 1)
            stops.append(i)
        elif step.awaits:
            starts.append(i)
            stops.append(i)
    return [range(*bounds) for bounds in zip(starts, [*stops, len(recipe.steps)], strict=True)]


def find_awaited(
    catalog: Catalog, recipe: Recipe, plan: DecisionPlan, at: int, note: Callable[[str], None]
) -> None:
    """Find what step `at` awaits, unless that is up to date, and take out what was measured over other texts."""
    step, look = recipe.steps[at], recipe.steps[at - 1]
    with catalog.read(wait=600.0) as con:
        if step.table in spans.up_to_date(con):
            return
    before = replace(plan, steps=plan.steps[:at])
    derive_edges(catalog, before, note)
    with scratch_files(catalog.folder) as files:
        path = files / "spans.parquet"
        with catalog.scratch(wait=600.0) as con:
            decisions.decide(con, before, catalog.folder)
            con.execute(f"""
                CREATE TEMP TABLE population AS
                SELECT doc_id, row_number() OVER (ORDER BY {ranked("source", plan.sources)}, source_key, content_hash, doc_key)
                    - 1 AS place
                FROM store.documents SEMI JOIN (FROM flags WHERE {passes(before, at)} AND missing = 0) USING (doc_id)""")
            looked = wide_relation(
                con, catalog.folder, look.table, look.signals, look.wide_signals, "catalog.measures"
            )
            spans.find_spans(
                con,
                looked,
                "population",
                # a look that awaits wants the places where something is shared, all of them
                keep_first=step.is_corpus_cleaner and step.options["keep"] == "first",
                max_documents=step.options["max_documents"],
            )
            con.execute(f"COPY found TO '{escaped(path)}' (FORMAT parquet)")
        inputs = [s.table for s in recipe.steps[:at] if s.measures]
        with catalog.write(wait=600.0) as con:
            unused = spans.write_spans(con, step.table, inputs, str(path))
    for name in unused:  # killed before, the next run's sweep does it
        (catalog.folder / name).unlink(missing_ok=True)


def write_found(catalog: Catalog, recipe: Recipe, stop: int) -> dict[int, str]:
    """Files of what was found for the steps before `stop` that await it, for the workers; paths below the corpus."""
    found = {}
    with catalog.read(wait=600.0) as con:
        for i, step in enumerate(recipe.steps[:stop]):
            if step.awaits:
                found[i] = f"cache/found-{step.table}.parquet"
                con.execute(
                    f"COPY (SELECT * EXCLUDE (table_name) FROM store.spans WHERE table_name = '{step.table}' ORDER BY doc_id) "
                    f"TO '{escaped(catalog.folder / found[i])}' (FORMAT parquet)"
                )
    return found


def delete_found(folder: Path) -> None:
    """Delete the files of `write_found`."""
    for path in (folder / "cache").glob("found-*.parquet"):
        path.unlink(missing_ok=True)
