"""A recipe -> the decision plan that the catalog evaluates."""

from __future__ import annotations

import xxhash

from curator.checking import filled, qualified
from curator.plugin import PARAMETER
from curator.recipe import Recipe, StepSpec
from curator_catalog.plans import Copies, DecisionPlan, Rule, StepPlan


def final_table(recipe: Recipe) -> str:
    """Where n_chars, n_words, text_hash and the cleaned texts of a recipe's final text are stored."""
    return f"final_{recipe.text_version}"


def decision_plan(recipe: Recipe) -> DecisionPlan:
    """The plan of a checked recipe: names resolved to columns, options to values."""
    steps = tuple(_step(recipe, i, step) for i, step in enumerate(recipe.steps))
    fills = {
        name: (recipe.steps[int(where[1 : where.index(".")])].table, signal)
        for name in ("language", "domain")
        if (where := filled(recipe, name)).startswith("s")
        for signal in [recipe.steps[int(where[1 : where.index(".")])].fills[name]]
    }
    identity = repr([(s.name, s.table, s.rules, s.copies) for s in steps])
    return DecisionPlan(
        decision_set=recipe.name,
        recipe=recipe.to_json(),
        fingerprint=xxhash.xxh3_64_hexdigest(identity.encode()),
        final=final_table(recipe),
        sources=tuple(s.name for s in recipe.sources),
        fills=fills,
        steps=steps,
    )


def _step(recipe: Recipe, at: int, step: StepSpec) -> StepPlan:
    rules = []
    for name, text in step.rules.items():
        sql, expression = qualified(recipe, at, text, recipe.column_types)
        used = {o: step.options[o] for o in PARAMETER.findall(text)}
        rules.append(Rule(name, sql, text, expression.has_window, used))
    return StepPlan(
        name=step.name,
        kind=step.kind,
        plugin=step.plugin,
        table=step.table if step.measures else None,
        signals=step.signals,
        wide_signals=step.wide_signals,
        rules=tuple(rules),
        copies=_copies(recipe, at, step) if step.kind == "dedup" else None,
        expect=step.expect,
        contamination=qualified(recipe, at, step.contamination, recipe.column_types)[0]
        if step.contamination
        else None,
        notes={
            message: qualified(recipe, at, sql, recipe.column_types)[0] for message, sql in step.notes.items()
        },
    )


def _copies(recipe: Recipe, at: int, step: StepSpec) -> Copies:
    within = step.options.get("within")
    scope = "''"
    if within:
        scope = f"coalesce(CAST({qualified(recipe, at, f'documents.{within}', recipe.column_types)[0]} AS VARCHAR), '')"
    keep = str(step.options.get("keep", "first"))
    if keep == "first":
        order = "0"
    elif keep == "longest":
        order = "f.n_chars"
    else:
        order = qualified(recipe, at, keep, recipe.column_types)[0]
    return Copies(
        group=step.group,
        edge_set=f"{step.table}@{within or ''}" if step.bands else None,
        within=within,
        scope=scope,
        order_by=order,
        min_similarity=step.options.get("min_similarity"),
        reelect=bool(step.options.get("reelect")),
    )
