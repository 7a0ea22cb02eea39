"""Deciding again from what is stored: no text is read, nothing is measured."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from curator.deciding import decision_plan
from curator.edges import derive_edges, scratch_files
from curator.errors import CuratorError, GuardError, UsageError
from curator.recipe import Recipe
from curator.run import versions
from curator.summary import Flips, Funnel, check_expected, check_guards, flips, funnel
from curator_catalog import Catalog, CatalogError, decisions
from curator_catalog.plans import DecisionPlan


@dataclass(frozen=True)
class Decided:
    """What deciding gave: the funnel, what changed against the decisions in force, what a guard says to it."""

    funnel: Funnel
    flips: Flips
    written: bool
    guard: str | None = None


def decide(
    recipe: Recipe, *, corpus: str | Path | None = None, dry_run: bool = False, accept: bool = False
) -> Decided:
    """Decide; with `dry_run` only say what would change.

    Raises UsageError where the corpus is not there, GuardError where a guard is not met (nothing is written
    then), unless `accept`.
    """
    catalog = Catalog(Path(corpus or recipe.corpus))
    if not catalog.exists():
        raise UsageError(f"there is no corpus {catalog.folder}; `curator run {recipe.file}` makes it")
    plan = decision_plan(recipe)
    try:
        _require_measures(catalog, recipe, plan)
        derive_edges(catalog, plan, lambda message: None)
        with scratch_files(catalog.folder) as files:
            with catalog.scratch() as con:
                decisions.decide(con, plan, catalog.folder)
                found, changed = funnel(con, plan), flips(con, plan)
                stopped = None if accept else check_guards(con, plan, catalog.folder)
                result = Decided(found, changed, not dry_run, stopped)
                if not dry_run:
                    decisions.export(con, plan, files)
            if stopped and not dry_run:
                raise GuardError(stopped)
            if not dry_run:
                with catalog.write(wait=600.0) as con:
                    decisions.write(con, plan, files, catalog.folder)
                    con.execute(
                        "INSERT INTO runs SELECT coalesce(max(run_id) + 1, 1), ?, ?, ?, current_timestamp::TIMESTAMP, "
                        "current_timestamp::TIMESTAMP, 'decided', ?, NULL FROM runs",
                        [
                            recipe.name,
                            recipe.to_json(),
                            json.dumps(versions()),
                            json.dumps(result.funnel.counts),
                        ],
                    )
    except CatalogError as error:
        raise CuratorError(str(error)) from error
    return result


def decide_stored(catalog: Catalog) -> list[str]:
    """Decide every stored decision set again, all in one transaction; the one in force stays in force.

    An `expect:` that is not met does not stop it; the messages are returned.
    """
    with catalog.read(wait=600.0) as con:
        stored = con.execute(
            "SELECT decision_set, recipe FROM store.decision_sets LEFT JOIN store.settings s ON s.name = 'decision_set' AND "
            "s.value = decision_set ORDER BY s.name NULLS FIRST, decision_set"
        ).fetchall()
    messages = []
    with ExitStack() as folders:
        decided = []
        for name, text in stored:
            try:
                recipe = Recipe.from_json(text)
                plan = decision_plan(recipe)
            except (TypeError, KeyError, CuratorError) as error:  # another version of curator wrote it
                messages.append(f"recipe {name} is to be decided again by hand: {error}")
                continue
            derive_edges(catalog, plan, lambda message: None)
            files = folders.enter_context(scratch_files(catalog.folder))
            with catalog.scratch(wait=600.0) as con:
                decisions.decide(con, plan, catalog.folder)
                stopped = check_expected(con, plan)
                decisions.export(con, plan, files)
            decided.append((plan, files))
            messages += [f"recipe {plan.decision_set}: {stopped}"] if stopped else []
            if awaiting := [step.name for step in recipe.steps if step.is_corpus_cleaner]:
                messages.append(
                    f"recipe {name}: {', '.join(awaiting)} looked at the whole corpus; `curator run {recipe.file} -c {catalog.folder}` does it again"
                )
        with catalog.write(wait=600.0) as con:
            for plan, files in decided:
                decisions.write(con, plan, files, catalog.folder)
    return messages


def _require_measures(catalog: Catalog, recipe: Recipe, plan: DecisionPlan) -> None:
    with catalog.read() as con:
        known = {name for (name,) in con.execute("SELECT table_name FROM store.measures").fetchall()}
    for step in recipe.steps:
        if step.measures and step.table not in known:
            raise UsageError(
                f"step {step.name} was never measured as {recipe.file} describes it; `curator run {recipe.file}` measures "
                "what is missing"
            )
    if plan.final not in known:
        raise UsageError(
            f"the cleaners of {recipe.file} never ran; `curator run {recipe.file}` does what is missing"
        )
