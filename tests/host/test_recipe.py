"""Recipes: what loads, what workers get of it, options by column; mistakes through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from curator import RecipeError, UsageError
from curator import recipe as recipes
from tests.host.conftest import Shop
from tests.host.test_recipe_mistakes import MINE, instead


def curator(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CURATOR_CORPUS"}
    return subprocess.run(
        [sys.executable, "-m", "curator", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_line_exits_with_two(inline_shop: Shop) -> None:
    """The real process: exit code 2, one line on stderr, nothing on stdout, no corpus."""
    inline_shop.write("mine.py", MINE)
    inline_shop.write("small.yaml", instead("least", "lest"))
    ended = curator("run", "small.yaml", folder=inline_shop.folder)
    message = "curator: small.yaml:9: steps.2.sized.lest: sized has no option 'lest'; did you mean 'least'?\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)
    assert not inline_shop.corpus_folder.exists()


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    """A missing recipe is wrong usage, and says how to get one."""
    with pytest.raises(UsageError, match=r"^there is no recipe 'no\.yaml'; `curator init` writes one$"):
        recipes.load("no.yaml")


def test_the_schema_is_json_schema(tmp_path: Path) -> None:
    """`curator run --print-schema` describes the outer shape; every key of the examples is in it."""
    ended = curator("run", "--print-schema", folder=tmp_path)
    schema = json.loads(ended.stdout)
    assert (ended.returncode, schema["type"], schema["additionalProperties"]) == (0, "object", False)
    assert sorted(schema["required"]) == ["name", "sources"]
    assert schema["properties"]["sources"]["minItems"] == 1
    root = Path(__file__).parents[2]
    files = [*root.glob("examples/*.yaml"), *root.glob("benchmarks/recipes/*.yaml")]
    examples = {
        file.name: content for file in files if "sources" in (content := yaml.safe_load(file.read_text()))
    }
    assert {"quickstart.yaml", "bench.yaml"} <= set(examples)
    for content in examples.values():
        assert set(schema["required"]) <= set(content) <= set(schema["properties"])
        assert isinstance(content["sources"], list)


def test_the_quickstart_recipe_loads() -> None:
    """The example recipe is checked whole: plugins, options, rules."""
    loaded = recipes.load(str(Path(__file__).parents[2] / "examples" / "quickstart.yaml"))
    assert loaded.name == "quickstart"
    assert [s.name for s in loaded.steps][:3] == ["fix_unicode", "language", "gopher_quality"]


def test_a_checked_recipe_survives_json(inline_shop: Shop) -> None:
    """What workers get is what was loaded."""
    inline_shop.write("mine.py", MINE)
    inline_shop.write(
        "small.yaml", instead("least: 3", "least: {by: language, de: null, default: 3}, expect: {drop: 0..1}")
    )
    loaded = recipes.load(str(inline_shop.folder / "small.yaml"))
    assert recipes.Recipe.from_json(loaded.to_json()) == loaded


def test_environment_variables_are_filled_in(inline_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` and `${NAME:-default}` in paths, and in the corpus."""
    monkeypatch.setenv("CURATOR_SOMEWHERE", "web")
    inline_shop.write("mine.py", MINE)
    content = instead("web.jsonl", "'${CURATOR_SOMEWHERE}.jsonl'").replace(
        "./corpus", "${CURATOR_NOWHERE:-there}/corpus"
    )
    loaded = recipes.load(str(inline_shop.write("small.yaml", content)))
    assert loaded.sources[0].options["path"] == "web.jsonl"
    assert loaded.corpus == str(inline_shop.folder / "there" / "corpus")


def test_options_by_column_hold_per_language(inline_shop: Shop) -> None:
    """A limit for each language, a default for the others, and null, which switches the rule off."""
    inline_shop.texts(
        {
            "de": "Der schnelle braune Fuchs springt über den faulen Hund.",
            "en": "The quick brown fox jumps over the lazy dog at noon.",
            "fr": "Le renard brun saute par-dessus le chien paresseux.",
            "zh": "中华人民共和国的首都是北京，这是一个很大的城市。",
        }
    )
    inline_shop.write("mine.py", MINE)
    table = {"by": "language", "default": 60, "en": 50, "zh": None}
    inline_shop.run("language", {"sized": {"least": table}}, plugins=("mine.py",))
    assert inline_shop.sql("SELECT source_key, language, reason FROM documents ORDER BY source_key") == [
        ("de", "de", "sized.small"),
        ("en", "en", None),
        ("fr", "fr", "sized.small"),
        ("zh", "zh", None),
    ]


def test_a_table_without_default_drops_nobody_else(inline_shop: Shop) -> None:
    """A value that the table does not name, and a document without one, are under no limit."""
    inline_shop.write("mine.py", MINE)
    table = {"by": "declared_domain", "law": 1000}
    inline_shop.run({"sized": {"least": table}}, plugins=("mine.py",))
    assert set(inline_shop.fates().values()) == {("kept",)}


def test_chosen_rules_are_the_only_ones(inline_shop: Shop) -> None:
    """`rules:` leaves the others out; their options may still be given."""
    inline_shop.write("mine.py", MINE)
    loaded = inline_shop.load({"sized": {"rules": ["other"], "least": 4}}, plugins=("mine.py",))
    assert dict(loaded.steps[0].rules) == {"other": "size < 0"}


def test_rule_options_leave_the_fingerprint(inline_shop: Shop) -> None:
    """A changed rule option keeps what is measured; a changed measure option does not."""
    inline_shop.write("mine.py", MINE)
    prints = [
        inline_shop.load({"sized": options}, plugins=("mine.py",)).steps[0].fingerprint
        for options in ({}, {"least": 99}, {"expect": {"drop": "0..1"}}, {"factor": 2})
    ]
    assert prints[0] == prints[1] == prints[2] != prints[3]


def test_errors_are_usage_errors() -> None:
    """A mistake in a recipe is wrong usage: exit code 2."""
    assert RecipeError("x", file="f", line=3, key="k").exit_code == 2
    assert str(RecipeError("x", file="f", line=3, key="k")) == "f:3: k: x"
