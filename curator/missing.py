"""What of a corpus is not measured yet: the tasks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curator.errors import UsageError
from curator.pipeline import MeasureTask
from curator.recipe import GATE, LOOK, Recipe
from curator_catalog.decisions import flag_rows
from curator_catalog.plans import DecisionPlan, passes
from curator_catalog.views import quoted

if TYPE_CHECKING:
    import duckdb

Rows = tuple[int, ...] | None


def measure_tasks(
    con: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    plan: DecisionPlan,
    steps: range,
    run_id: int,
    *,
    last: bool,
) -> list[MeasureTask]:
    """Tasks for the rows that steps in `steps` lack; with `last`, for those that the final text lacks too.

    Behind a gate only documents count that the rules before it let pass, as they stand now. What failed in
    this run is left to the next one. Raises UsageError where a step is missing altogether and the text as read was not kept.
    """
    gates = [i for i, s in enumerate(recipe.steps) if s.kind == GATE and i < steps.start]
    wanted = {i: recipe.steps[i].table for i in steps if recipe.steps[i].measures}
    final_gate = _final_gate(recipe)
    tables: dict[str, tuple[list[int], int | None]] = {}
    for i, table in wanted.items():
        tables.setdefault(table, ([], gates[-1] if gates else None))[0].append(i)
    if last:
        tables.setdefault(plan.final, ([], final_gate))
    total = dict(
        con.execute(
            f"SELECT (doc_id >> 32)::UINTEGER, count(*) FROM catalog.store.documents d WHERE {plan.in_recipe} GROUP BY 1"
        ).fetchall()
    )
    missing: dict[int, dict[str, Rows]] = {}
    flagged = False
    for table, (users, gate) in tables.items():
        population = f"(FROM catalog.store.documents d WHERE {plan.in_recipe}) d"
        if gate is not None:
            if not flagged:
                flag_rows(con, plan)
                flagged = True
            measured = sum(1 << i for i in range(gate) if plan.steps[i].table)
            population += (
                f" SEMI JOIN (SELECT doc_id FROM flags WHERE {passes(plan, gate)} AND missing & {measured}::UBIGINT = 0) p "
                "ON p.doc_id = d.doc_id"
            )
        if users and all(recipe.steps[i].kind == LOOK and recipe.steps[i].awaits for i in users):
            found = f"(FROM catalog.store.spans WHERE table_name = '{table}' AND len(starts) > 0)"
            population += f" SEMI JOIN {found} w ON w.doc_id = d.doc_id"
        rows = con.execute(
            f"SELECT (d.doc_id >> 32)::UINTEGER AS shard, count(*), list((d.doc_id & 4294967295)::UINTEGER) FROM {population} "
            f"ANTI JOIN catalog.measures.{quoted(table)} m ON m.doc_id = d.doc_id "
            "ANTI JOIN (SELECT doc_id FROM quarantine WHERE step IN (SELECT unnest($steps)) "
            "AND seen >= (SELECT started FROM runs WHERE run_id = $run)) q ON q.doc_id = d.doc_id GROUP BY shard",
            {"steps": _needed(recipe, users), "run": run_id},
        ).fetchall()
        for shard, count, listed in rows:
            missing.setdefault(shard, {})[table] = None if count == total[shard] else tuple(sorted(listed))
    if not missing:
        return []
    if _text_is_gone(con):
        _refuse_without_text(recipe, missing, wanted)
        return []
    files = dict(con.execute("SELECT shard_id, path FROM shards WHERE measure = 'text'").fetchall())
    about = {
        s: (src, size) for s, src, size in con.execute("SELECT split_id, source, size FROM splits").fetchall()
    }
    tasks = []
    for shard, by_table in sorted(missing.items()):
        todo = {i: by_table[table] for i, table in wanted.items() if table in by_table}
        final: Any = False
        if plan.final in by_table:
            final = True if by_table[plan.final] is None else by_table[plan.final]
        source, size = about[shard]
        tasks.append(MeasureTask(shard, source, files[shard], size, todo, final))
    return tasks


def _needed(recipe: Recipe, steps: list[int]) -> list[str]:
    """Names of the steps without which these (none: the final text) are not measured."""
    last = max(steps, default=len(recipe.steps))
    return [s.name for i, s in enumerate(recipe.steps) if i in steps or (s.kind == "cleaner" and i < last)]


def _final_gate(recipe: Recipe) -> int | None:
    """The last gate with a cleaner behind it: the final text of what it stops is not known."""
    for i in reversed(range(len(recipe.steps))):
        if recipe.steps[i].kind == GATE and any(s.kind == "cleaner" for s in recipe.steps[i:]):
            return i
    return None


def _text_is_gone(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(
        con.execute("SELECT 1 FROM settings WHERE name = 'keep_original' AND value = 'false'").fetchall()
    )


def _refuse_without_text(recipe: Recipe, missing: dict[int, dict[str, Rows]], wanted: dict[int, str]) -> None:
    """Raise for steps that whole shards lack; single documents, which a step failed on, stay pending."""
    tables = {table for by_table in missing.values() for table, rows in by_table.items() if rows is None}
    if not tables:
        return
    names = [recipe.steps[i].name for i, table in wanted.items() if table in tables] or ["the final text"]
    raise UsageError(
        f"{', '.join(names)} cannot be measured: this corpus was made with keep_original: false, so the text that "
        "the step would see is gone; run the recipe into a new corpus"
    )
