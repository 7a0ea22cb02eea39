"""`curator contamination`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table

if TYPE_CHECKING:
    from curator.corpus import Corpus
    from curator.recipe import StepSpec

app = typer.Typer(add_completion=False)


@dataclass
class Report:
    """What was found of one benchmark.

    `items` and `unfindable` (those without an n-gram, as they are too short) are None where the file is gone or
    changed since. `found` items have a match with a verdict, in `documents`; `dropped` are those of them that hold
    a match to drop, `kept` all others. `reviewed` counts the verdicts given by hand. `worst` are the items of most
    documents.
    """

    step: str
    benchmark: str
    items: int | None = None
    unfindable: int | None = None
    found: int = 0
    documents: int = 0
    dropped: int = 0
    kept: int = 0
    reviewed: int = 0
    worst: list[dict[str, Any]] = field(default_factory=list)


@app.command("contamination")
def contamination(
    corpus: Path = CorpusOption,
    worst: int = typer.Option(3, min=0, help="Items of each benchmark that are listed, of most documents."),
    json: bool = JsonOption,
) -> None:
    """What of each benchmark was found, and what became of the documents.

    Counted are matches that have a verdict: of at least `min_overlap`, or reviewed. The view contamination has all.

    Example: curator contamination -c ./corpus
    """
    from curator.corpus import Corpus

    opened = Corpus.existing(corpus)
    reports = report(opened, worst)
    if json:
        return as_json([asdict(r) for r in reports])
    figures = ("items", "too short", "found", "documents", "dropped", "kept", "reviewed")
    table(
        "",
        ("benchmark", *figures),
        [
            (
                r.benchmark,
                *(
                    _count(n)
                    for n in (r.items, r.unfindable, r.found, r.documents, r.dropped, r.kept, r.reviewed)
                ),
            )
            for r in reports
        ],
        right=figures,
    )
    table(
        "",
        ("benchmark", "item", "documents", "overlap", "text"),
        [
            (r.benchmark, w["item"], count(w["documents"]), f"{w['overlap']:.2f}", w["text"][:60])
            for r in reports
            for w in r.worst
        ],
        right=("documents", "overlap"),
    )
    if missed := unmet_reviews(opened):
        console().print(
            f"{count(len(missed))} of the reviewed verdicts meet no match, as {' '.join(missed[0].split())!r}",
            markup=False,
        )
    if any(r.items is None for r in reports):
        console().print("- : the benchmark's file is not what was measured; `curator run` measures anew")


def _count(number: int | None) -> str:
    return "-" if number is None else count(number)


def report(corpus: Corpus, worst: int = 3) -> list[Report]:
    """A report of each benchmark of the recipe in force. Raises UsageError where it has none."""
    from curator import UsageError

    recipe = corpus.recipe()
    steps = [step for step in recipe.steps if step.plugin == "decontaminate"] if recipe else []
    if not steps:
        raise UsageError(
            "the recipe in force looks for no benchmarks; add a step `- decontaminate: {benchmarks: {gsm8k: gsm8k.jsonl}}`"
        )
    return [found for step in steps for found in _of_step(corpus, step, worst)]


def unmet_reviews(corpus: Corpus) -> list[str]:
    """What is reviewed in the recipe in force, by document, benchmark and item, and is no match: perhaps misspelt."""
    from curator_plugins.filters.benchmarks import review_key

    recipe = corpus.recipe()
    steps = [step for step in recipe.steps if step.plugin == "decontaminate"] if recipe else []
    missed: list[str] = []
    for step in steps:
        matches = corpus.sql(
            "SELECT DISTINCT d.source_key, d.url, d.doc_key::VARCHAR, c.benchmark, c.item FROM contamination c "
            "JOIN documents d USING (doc_id) WHERE c.step = ?",
            [step.name],
        ).rows()
        met = {
            review_key(document or "", *rest)
            for *names, benchmark, item in matches
            for document in (*names, "")
            for rest in ((), (benchmark,), (benchmark, item))
        }
        missed += [key for key in step.options["reviewed"] if key not in met]
    return missed


def _of_step(corpus: Corpus, step: StepSpec, worst: int) -> list[Report]:
    reports = {name: Report(step.name, name) for name in step.options["benchmarks"]}
    for name, (n_items, n_findable) in _items(step).items():
        reports[name].items, reports[name].unfindable = n_items, n_items - n_findable
    counted = corpus.sql(
        "SELECT benchmark, count(DISTINCT item) AS found, count(DISTINCT doc_id) AS documents, "
        "count(DISTINCT doc_id) FILTER (verdict = 'drop') AS dropped, documents - dropped AS kept, "
        "count(reviewed) AS reviewed FROM contamination WHERE step = ? AND verdict IS NOT NULL GROUP BY benchmark",
        [step.name],
    ).dicts()
    for row in counted:
        for name in ("found", "documents", "dropped", "kept", "reviewed"):
            setattr(reports[row["benchmark"]], name, row[name])
    items = corpus.sql(
        "SELECT benchmark, item, count(DISTINCT doc_id) AS documents, max(overlap) AS overlap, "
        "first(text ORDER BY overlap DESC, doc_id) AS text FROM contamination "
        "WHERE step = ? AND verdict IS NOT NULL GROUP BY benchmark, item "
        "ORDER BY documents DESC, overlap DESC, item",
        [step.name],
    ).dicts()
    for row in items:
        listed = reports[row.pop("benchmark")].worst
        if len(listed) < worst:
            listed.append(row)
    return list(reports.values())


def _items(step: StepSpec) -> dict[str, tuple[int, int]]:
    """Of each benchmark the items and how many can be found; nothing where a file is not what was measured."""
    from curator import UsageError
    from curator.recipe import is_table
    from curator_plugins.filters.decontaminate import Decontaminate

    plugin = Decontaminate(**{name: value for name, value in step.options.items() if not is_table(value)})
    try:
        if plugin.versions() != step.versions:
            return {}
        plugin.setup()
    except (OSError, UsageError):  # a file is gone, or no benchmark any more
        return {}
    findable = plugin.findable()
    return {name: (len(read.items), len(findable[name])) for name, read in plugin.read.items()}
