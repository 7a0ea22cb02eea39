"""A recipe -> the decision plan that the catalog evaluates."""

from __future__ import annotations

import xxhash

from curator.checking import KEEPS, filled, qualified
from curator.plugin import PARAMETER
from curator.recipe import LOOK, Recipe, StepSpec
from curator_catalog.plans import Copies, DecisionPlan, Rule, StepPlan, Vectors


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
        table=step.table if step.measures and step.kind != LOOK else None,
        signals=step.signals if step.kind != LOOK else {},
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
    order = KEEPS.get(keep) or qualified(recipe, at, keep, recipe.column_types)[0]
    vectors = _vectors(step)
    edge_set = f"{step.table}@{within or ''}" if step.bands or vectors else None
    min_similarity = step.options.get("min_similarity")
    if vectors:
        edge_set = f"{edge_set}@{vectors.clusters or ''}@{vectors.seed}@{vectors.store_above}"
        min_similarity = round(1 - step.options["eps"], 6)
    return Copies(
        group=step.group,
        edge_set=edge_set,
        within=within,
        scope=scope,
        order_by=order,
        min_similarity=min_similarity,
        reelect=bool(step.options.get("reelect")),
        vectors=vectors,
        sets=step.sets,
        prefer=tuple(step.options.get("prefer") or ()),
        copies="0" if keep == "none" else str(step.options.get("copies", 1)),
        against=tuple(step.options.get("against") or ()),
    )


def _vectors(step: StepSpec) -> Vectors | None:
    if step.vectors is None:
        return None
    given = {name: step.options[name] for name in ("clusters", "seed", "store_above") if name in step.options}
    return Vectors(step.vectors, **given)
