"""Why a document was kept or dropped: every measure, rule, margin, cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curator.corpus import Corpus
from curator.deciding import decision_plan
from curator.errors import UsageError
from curator.exported import exports_of
from curator.plugin import PARAMETER
from curator.recipe import Recipe, is_table
from curator.rules import literal, parse, quoted
from curator.worddiff import word_diff


@dataclass(frozen=True)
class RuleAnswer:
    """One rule on one document: `fails` is None where the step was not measured."""

    step: str
    rule: str
    expression: str
    values: dict[str, Any]
    options: dict[str, Any]
    margin: float | None
    fails: bool | None

    @property
    def resolved(self) -> str:
        """The expression with the options' values in it."""
        return PARAMETER.sub(lambda m: literal(self.options[m[1]]), self.expression)


@dataclass(frozen=True)
class Explanation:
    """All that the catalog knows of one document."""

    document: dict[str, Any]
    file: str | None
    signals: dict[str, dict[str, Any] | None]
    rules: list[RuleAnswer]
    copies: list[dict[str, Any]]
    contamination: list[dict[str, Any]]
    exports: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    text: str


def find(corpus: Corpus, name: str) -> int:
    """The doc_id of what a user names: doc_id, doc_key, source_key or URL. Raises UsageError."""
    if name.isdecimal() and corpus.sql("SELECT 1 FROM documents WHERE doc_id = ?", [int(name)]).rows():
        return int(name)
    rows = corpus.sql(
        "SELECT doc_id, source FROM documents WHERE source_key = $1 OR url = $1 OR replace(doc_key::VARCHAR, '-', '') = "
        "replace(lower($1), '-', '') ORDER BY doc_key LIMIT 10",
        [name],
    ).rows()
    if not rows:
        from curator.forgetting import forgotten_among

        with corpus.catalog.users() as con:
            if forgotten_among(con, [name]):
                raise UsageError(f"{name!r} was forgotten; table tombstones says when and why")
        raise UsageError(f"no document is called {name!r}: give a doc_id, doc_key, source_key or URL")
    if len(rows) > 1:
        listed = ", ".join(f"{doc_id} ({source})" for doc_id, source in rows)
        raise UsageError(f"{name!r} is {len(rows)} documents: {listed}; give the doc_id")
    return int(rows[0][0])


def explain(corpus: Corpus, doc_id: int) -> Explanation:
    """Everything about one document in the decision set in force."""
    document = corpus.sql("SELECT * FROM documents WHERE doc_id = ?", [doc_id]).dicts()[0]
    origin = corpus.sql("SELECT uri FROM origins WHERE doc_id = ?", [doc_id]).rows()
    text = corpus.sql("SELECT text FROM texts WHERE doc_id = ?", [doc_id]).rows()
    recipe = corpus.recipe()
    signals = _signals(corpus, recipe, doc_id) if recipe else {}
    copies = corpus.sql(
        "SELECT step, cluster_id, cluster_size, kept_copy, kept_copy = doc_id AS is_kept FROM duplicates "
        "WHERE doc_id = ? AND decision_set = (SELECT min(decision_set) FROM duplicates WHERE decision_set = ?)",
        [doc_id, recipe.name if recipe else ""],
    ).dicts()
    for copy in copies:
        copy["others"] = corpus.sql(
            "SELECT doc_id, source, source_key FROM duplicates JOIN documents USING (doc_id) WHERE step = ? AND cluster_id = ? "
            "AND doc_id <> ? AND decision_set = ? ORDER BY doc_key LIMIT 10",
            [copy["step"], copy["cluster_id"], doc_id, recipe.name if recipe else ""],
        ).dicts()
        similarity = corpus.sql(
            "SELECT max(similarity) FROM duplicate_edges WHERE step = $1 AND ((a = $2 AND b = $3) OR (a = $3 AND b = $2))",
            [copy["step"], doc_id, copy["kept_copy"]],
        ).rows()
        copy["similarity_to_kept"] = similarity[0][0]
        kept = corpus.sql("SELECT text FROM texts WHERE doc_id = ?", [copy["kept_copy"]]).rows()
        copy["kept_text"] = kept[0][0] if kept and not copy["is_kept"] else None
    return Explanation(
        document=document,
        file=origin[0][0] if origin else None,
        signals=signals,
        rules=_rules(corpus, recipe, doc_id, signals) if recipe else [],
        copies=copies,
        contamination=corpus.sql(
            "SELECT * EXCLUDE (doc_id) FROM contamination WHERE doc_id = ? ORDER BY overlap DESC, benchmark, item, field",
            [doc_id],
        ).dicts(),
        exports=exports_of(corpus, doc_id),
        quarantine=corpus.sql(
            "SELECT step, reason, detail FROM quarantine WHERE doc_id = ?", [doc_id]
        ).dicts(),
        text=text[0][0] if text else "",
    )


def _signals(corpus: Corpus, recipe: Recipe, doc_id: int) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = {}
    for step in recipe.steps:
        if step.measures and not step.wide:
            rows = corpus.sql(
                f"SELECT * EXCLUDE (doc_id) FROM measures.{quoted(step.table)} WHERE doc_id = ?", [doc_id]
            ).dicts()
            found[step.name] = rows[0] if rows else None
    return found


def _rules(
    corpus: Corpus, recipe: Recipe, doc_id: int, signals: dict[str, dict[str, Any] | None]
) -> list[RuleAnswer]:
    plan = decision_plan(recipe)
    document = corpus.sql("SELECT * FROM documents WHERE doc_id = ?", [doc_id]).dicts()[0]
    reasons = document["reasons"] or []
    answers = []
    for at, step in enumerate(plan.steps):
        own = signals.get(step.name) or {}
        verdicts = recipe.steps[at].contamination
        for rule in step.rules:
            values: dict[str, Any] = {}
            for name in parse(rule.text).names:
                if name.kind == "column":
                    table = own if len(name.parts) == 1 else signals.get(name.parts[0]) or {}
                    table = document if name.parts[0] == "documents" else table
                    values[".".join(name.parts)] = table.get(name.parts[-1])
            measured = step.table is None or signals.get(step.name) is not None
            fails = (f"{step.name}.{rule.name}" in reasons) if measured else None
            if verdicts and verdicts in rule.text:  # its SQL is long, and Explanation.contamination has it all
                overlap = {"overlap": own.get("overlap")}
                text = "the verdict on a match is drop"
                answers.append(RuleAnswer(step.name, rule.name, text, overlap, {}, None, fails))
                continue
            given = recipe.steps[at].options
            options = {n: _value(given[n], document) for n in PARAMETER.findall(rule.text)}
            margin = _margin(values, options, fails)
            answers.append(RuleAnswer(step.name, rule.name, rule.text, values, options, margin, fails))
        if step.copies:
            dropped = f"{step.name}.duplicate" in reasons
            answers.append(RuleAnswer(step.name, "duplicate", "another copy is kept", {}, {}, None, dropped))
    return answers


def _value(option: Any, document: dict[str, Any]) -> Any:
    """A rule option, as it holds for this document."""
    if not is_table(option):
        return option
    return option.get(str(document.get(option["by"])), option.get("default"))


def _margin(values: dict[str, Any], options: dict[str, Any], fails: bool | None) -> float | None:
    """How far the one measure is from the one threshold; negative where the rule fails."""
    if len(values) == 1 and len(options) == 1:
        value, option = next(iter(values.values())), next(iter(options.values()))
        if isinstance(value, int | float) and isinstance(option, int | float) and not isinstance(value, bool):
            return -abs(value - option) if fails else abs(value - option)
    return None


def diffs(explanation: Explanation, shown: Callable[[str], str]) -> list[list[tuple[str, str]] | None]:
    """For each of the copies, how the document differs from the one that is kept, both texts as `shown`."""
    return [
        None if copy["kept_text"] is None else word_diff(shown(copy["kept_text"]), shown(explanation.text))
        for copy in explanation.copies
    ]


def to_dict(explanation: Explanation, shown: Callable[[str], str]) -> dict[str, Any]:
    """For `--json`; texts as `shown`."""
    from dataclasses import asdict

    found = asdict(explanation) | {"text": shown(explanation.text)}
    for copy, diff in zip(found["copies"], diffs(explanation, shown), strict=True):
        del copy["kept_text"]
        copy["diff_to_kept"] = diff
    if found["document"].get("metadata"):
        found["document"]["metadata"] = json.loads(found["document"]["metadata"])
    return found
