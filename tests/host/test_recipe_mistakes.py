"""Recipes: every mistake is one error with file, line, key and a suggestion, before anything is written."""

from __future__ import annotations

import json
import sys

import pytest

from curator.cli import main
from tests.host.conftest import Shop

RECIPE = """\
name: small
corpus: ./corpus
plugins: [./mine.py]
sources:
  - jsonl: {name: web, path: web.jsonl}
steps:
  - language: {keep: [en], min_score: 0.65}
  - gate
  - sized: {least: 3}
  - exact
"""
MINE = """
import polars as pl
from curator import Filter, hookimpl

class Sized(Filter):
    factor: int = 1
    least: int = 10
    signals = {"size": pl.col("text").str.len_chars()}
    rules = {"small": "size < $least", "other": "size < 0"}

@hookimpl
def register_filters(register):
    register(Sized)
"""
LANGUAGE, GATE, SIZED, EXACT = RECIPE.splitlines()[6:10]
SOURCE = RECIPE.splitlines()[4]


def instead(old: str, new: str) -> str:
    assert RECIPE.count(old) == 1
    return RECIPE.replace(old, new)


def signal(drop: str, **values: object) -> str:
    """The recipe with a rule of its own in place of the language step."""
    return instead(LANGUAGE + "\n" + GATE, "  - gate\n  - signal: " + json.dumps({"drop": drop, **values}))


MISTAKES: dict[str, tuple[str, int | None, str, str]] = {
    "unknown step": (
        instead("exact", "exakt"),
        10,
        "steps.3.exakt",
        "there is no step 'exakt'; did you mean 'exact'?",
    ),
    "unknown source": (
        instead("jsonl:", "json:"),
        5,
        "sources.0.json",
        "there is no source 'json'; did you mean 'jsonl'?",
    ),
    "unknown option": (
        instead("least", "lest"),
        9,
        "steps.2.sized.lest",
        "sized has no option 'lest'; did you mean 'least'?",
    ),
    "unknown option of a source": (
        instead("path", "pth"),
        5,
        "sources.0.jsonl.pth",
        "jsonl has no option 'pth'; did you mean 'path'?",
    ),
    "unknown rule": (
        instead("least: 3", "rules: [smal]"),
        9,
        "steps.2.sized.rules",
        "there is no rule 'smal'; did you mean 'small'?",
    ),
    "wrong type": (
        instead("0.65", "high"),
        7,
        "steps.0.language.min_score",
        "min_score = 'high': expected float | None (input should be a valid number",
    ),
    "wrong type in a list": (
        instead("[en]", "[en, 3]"),
        7,
        "steps.0.language.keep",
        "keep = ['en', 3]: expected list[str]",
    ),
    "no such choice": (
        instead("keep: [en]", "backend: lid177"),
        7,
        "steps.0.language.backend",
        "input should be 'lid176' or 'langdetect'",
    ),
    "wrong type of a source": (
        instead("path: web.jsonl", "path: web.jsonl, max_chars: all"),
        5,
        "sources.0.jsonl.max_chars",
        "max_chars = 'all': expected int",
    ),
    "wrong type of a dedup's option": (
        instead("exact", "minhash: {bands: many}"),
        10,
        "steps.3.minhash.bands",
        "bands = 'many': expected int",
    ),
    "missing option": (
        instead(", path: web.jsonl", ""),
        5,
        "sources.0.jsonl",
        "jsonl needs the option 'path'",
    ),
    "missing plugin file": (
        instead("mine.py", "yours.py"),
        3,
        "plugins.0",
        "there is no plugin file './yours.py' in ",
    ),
    "missing source path": (instead("web.jsonl", "wob.jsonl"), 5, "source web", "wob.jsonl"),
    "environment variable": (
        instead("web.jsonl", "'${CURATOR_NOWHERE}/web.jsonl'"),
        5,
        "sources.0.jsonl.path",
        "the environment variable CURATOR_NOWHERE is not set",
    ),
    "environment variable of the corpus": (
        instead("./corpus", "${CURATOR_NOWHERE}"),
        2,
        "corpus",
        "the environment variable CURATOR_NOWHERE is not set",
    ),
    "parameter without option": (
        signal("language.score < $mn", min=3),
        8,
        "steps.1",
        "rule signal.drop: $mn: signal has no option 'mn'; did you mean 'min'?",
    ),
    "two steps of one name": (
        instead("exact", "language"),
        10,
        "steps.3",
        "two steps are called 'language'; name the second with as:",
    ),
    "two steps named alike": (
        instead("exact", "language: {as: sized}"),
        10,
        "steps.3",
        "two steps are called 'sized'",
    ),
    "two sources of one name": (
        instead(SOURCE, f"{SOURCE}\n{SOURCE}"),
        6,
        "sources.1",
        "two sources are called 'web'; give one another name:",
    ),
    "a window behind a gate": (
        signal("documents.n_words < avg(documents.n_words) OVER ()"),
        8,
        "steps.1",
        "rule signal.drop: a window stands behind a gate: it would range over whatever happened to be measured",
    ),
    "a window before a gate": (
        instead(LANGUAGE, '  - signal: {drop: "row_number() OVER () > 5"}'),
        7,
        "steps.0",
        "rule signal.drop: a window stands before a gate",
    ),
    "a final measure before a gate": (
        instead(LANGUAGE, '  - signal: {drop: "documents.n_words > 5"}'),
        7,
        "steps.0",
        "n_chars, n_words and text_hash are not known at the gate",
    ),
    "unknown signal": (signal("scor < 1"), 8, "steps.1", "rule signal.drop: 'scor' is no signal of signal"),
    "unknown signal of another step": (
        instead("exact", 'signal: {drop: "language.scor < 1"}'),
        10,
        "steps.3",
        "step 'language' has no signal 'scor'; did you mean 'score'?",
    ),
    "unknown step in a rule": (
        instead("exact", 'signal: {drop: "langage.score < 1"}'),
        10,
        "steps.3",
        "langage.score: there is no step 'langage'; did you mean 'language'?",
    ),
    "a later step's signal": (
        signal("sized.size < 1"),
        8,
        "steps.1",
        "sized.size: step 'sized' stands later; move it before signal",
    ),
    "unknown column of documents": (
        signal("documents.sorce = 'web'"),
        8,
        "steps.1",
        "documents has no column 'sorce' for rules; did you mean 'source'?",
    ),
    "three names": (
        signal("documents.source.web = 1"),
        8,
        "steps.1",
        "'documents.source.web': write step.signal or documents.column",
    ),
    "a rule that is no condition": (
        signal("documents.source"),
        8,
        "steps.1",
        "rule signal.drop: documents.source answers VARCHAR; a rule answers true or false",
    ),
    "a rule over unlike types": (signal("len(documents.metadata.a)"), 8, "steps.1", "rule signal.drop"),
    "an aggregate": (
        signal("max(documents.n_words) > 3"),
        8,
        "steps.1",
        "rule signal.drop (max(documents.n_words) > 3): ",
    ),
    "a rule with a syntax error": (
        signal("documents.source <"),
        8,
        "steps.1",
        "rule signal.drop: 'documents.source <' is not a SQL expression",
    ),
    "a rule with a subquery": (signal("1 IN (SELECT 1)"), 8, "steps.1", "a rule may hold no subquery"),
    "an unknown function": (signal("lenth(documents.source) > 1"), 8, "steps.1", "lenth"),
    "unknown column type": (
        instead("path: web.jsonl", "path: web.jsonl, columns: {stars: itn}"),
        5,
        "sources.0.jsonl.columns.stars",
        "'itn' is no type; did you mean 'int'?",
    ),
    "a column that is taken": (
        instead("path: web.jsonl", "path: web.jsonl, columns: {doc_id: int}"),
        5,
        "sources.0.jsonl",
        "every document has a column 'doc_id' already",
    ),
    "duplicate key": (instead("  - exact", "steps: []"), 10, "steps", "stands here twice"),
    "duplicate option": (instead("least: 3", "least: 3, least: 4"), 9, "least", "stands here twice"),
    "bad YAML": (
        instead("{least: 3}", "{least: 3"),
        11,
        "",
        "got '<stream end>', while parsing a flow mapping that began in line 9",
    ),
    "a tab": (instead("  - gate", "\t- gate"), 8, "", "not valid YAML: "),
    "extra top-level key": (
        instead("corpus:", "corpora:"),
        2,
        "corpora",
        "extra inputs are not permitted; did you mean 'corpus'?",
    ),
    "no name": (instead("name: small", "name:"), 1, "name", "input should be a valid string"),
    "a name with a space": (instead("name: small", "name: my web"), 1, "name", "string should match pattern"),
    "no sources": (
        instead(SOURCE, "  []"),
        4,
        "sources",
        "list should have at least 1 item after validation, not 0",
    ),
    "two plugins in one entry": (
        instead("  - exact", "  - exact:\n    minhash:"),
        10,
        "steps.3",
        "one plugin an entry: `- name: {option: value}`",
    ),
    "options that are a list": (
        instead("{least: 3}", "[least]"),
        9,
        "steps.2.sized",
        "input should be a valid dictionary",
    ),
    "a table over a column for a measure option": (
        instead("least: 3", "factor: {by: language, en: 3}"),
        9,
        "steps.2.sized.factor",
        "factor decides what is measured, so it cannot be a table over a column",
    ),
    "a table with a wrong type in it": (
        instead("least: 3", "least: {by: language, en: many}"),
        9,
        "steps.2.sized.least",
        "least.en = 'many': expected int",
    ),
    "a table over no column": (
        instead("least: 3", "least: {by: langage, en: 3}"),
        9,
        "steps.2",
        "documents has no column 'langage' for rules; did you mean 'language'?",
    ),
    "bad expect": (
        instead("least: 3", "expect: {drop: 0.4..0.02}"),
        9,
        "steps.2.sized.expect",
        "{'drop': '0.4..0.02'}: write the share dropped as `expect: {drop: 0.02..0.4}`",
    ),
    "expect of something else": (
        instead("least: 3", "expect: 0.4"),
        9,
        "steps.2.sized.expect",
        "0.4: write the share dropped as",
    ),
    "expect that is no number": (
        instead("least: 3", "expect: {drop: 0.1.2..1}"),
        9,
        "steps.2.sized.expect",
        "write the share dropped as",
    ),
    "gate with options": (
        instead("  - gate", "  - gate: {least: 3}"),
        8,
        "steps.1.gate",
        "gate takes no options",
    ),
    "a step's name that is none": (
        instead("least: 3", "as: my-size"),
        9,
        "steps.2.sized.as",
        "'my-size' cannot be a step's name: letters, digits and _",
    ),
    "a kept copy by no signal": (
        instead("- exact", "- exact: {keep: sized.sise}"),
        10,
        "steps.3",
        "rule exact.keep: step 'sized' has no signal 'sise'; did you mean 'size'?",
    ),
    "copies within no column": (
        instead("- exact", "- exact: {within: sorce}"),
        10,
        "steps.3",
        "rule exact.within: documents has no column 'sorce' for rules; did you mean 'source'?",
    ),
    "not a mapping": ("- name\n- sources\n", None, "", "a recipe is a mapping with name, sources and steps"),
    "an empty file": ("", None, "", "a recipe is a mapping with name, sources and steps"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(
    inline_shop: Shop, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`curator run` says file:line, key and what to do, exits with 2, and has written nothing."""
    content, line, key, message = MISTAKES[mistake]
    inline_shop.write("mine.py", MINE)
    path = inline_shop.folder / "small.yaml"
    path.write_text(content)
    before = sorted(inline_shop.folder.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["curator", "run", str(path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    place = f"{path}:{line}" if line else str(path)
    said = capsys.readouterr()
    assert stopped.value.code == 2, said.err
    assert said.err.startswith(f"curator: {place}: {key + ': ' if key else ''}"), said.err
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(p for p in inline_shop.folder.rglob("*") if "__pycache__" not in p.parts) == before
