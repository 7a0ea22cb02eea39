"""signal: rules over stored signals, with options of their own, through real runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator import RecipeError
from curator.engines.local import InlineEngine
from curator.run import run
from tests.conftest import Workshop, reasons

TEXTS = [{"id": key, "text": "word " * n} for key, n in (("a", 10), ("b", 20), ("c", 30), ("d", 40))]
QUALITY = {"gopher_quality": {"rules": []}}


def test_a_rule_over_another_steps_signal(workshop: Workshop) -> None:
    """Drops by a stored signal, an option and a column; measures nothing itself."""
    drop = "gopher_quality.n_words < $least AND documents.source = 'web'"
    corpus = workshop.curate([QUALITY, {"signal": {"drop": drop, "least": 25}}], TEXTS)
    assert reasons(corpus) == {"a": "signal.drop", "b": "signal.drop", "c": None, "d": None}
    assert corpus.sql("SELECT expression, options FROM rules").rows() == [(drop, '{"least": 25}')]
    assert corpus.sql("SELECT count(*) FROM shards").rows() == [(1,)]


def test_every_option_is_a_rule_option(workshop: Workshop) -> None:
    """`--set` changes its values, and the rule itself, without measuring."""
    workshop.source("web", TEXTS)
    steps = [QUALITY, {"signal": {"drop": "gopher_quality.n_words < $least", "least": 25}}]
    recipe = workshop.recipe(steps, [{"jsonl": {"name": "web", "path": "web.jsonl"}}])
    step = recipe.with_options({"signal.least": "35"}).steps[1]
    assert (step.options["least"], step.fingerprint) == (35, recipe.steps[1].fingerprint)
    changed = recipe.with_options({"signal.drop": "gopher_quality.n_words > $least"}).steps[1]
    assert dict(changed.rules) == {"drop": "gopher_quality.n_words > $least"}


def test_windows_range_over_the_population(workshop: Workshop) -> None:
    """A quantile looks only at documents that no earlier step drops."""
    steps = [
        QUALITY,
        {"signal": {"as": "long", "drop": "gopher_quality.n_words > 35"}},
        {"signal": {"as": "lower", "drop": "documents.n_words < median(documents.n_words) OVER ()"}},
    ]
    corpus = workshop.curate(steps, TEXTS)
    assert reasons(corpus) == {"a": "lower.drop", "b": None, "c": None, "d": "long.drop"}


def test_an_option_by_column(workshop: Workshop) -> None:
    """Its values may be tables over a column, too."""
    table = {"by": "title", "strict": 35, "off": None, "default": 15}
    texts = [{**t, "title": title} for t, title in zip(TEXTS, ("off", "x", "strict", "strict"), strict=True)]
    steps = [QUALITY, {"signal": {"drop": "gopher_quality.n_words < $least", "least": table}}]
    assert reasons(workshop.curate(steps, texts)) == {"a": None, "b": None, "c": "signal.drop", "d": None}


def test_a_value_that_no_rule_can_hold(workshop: Workshop, tmp_path: Path) -> None:
    """A mapping that is no table is compared with nothing; it is refused at load, by file, line and rule."""
    workshop.source("web", TEXTS)
    steps = [{"signal": {"drop": "documents.n_words < $least", "least": {"some": 1}}}]
    with pytest.raises(RecipeError, match=r"test.yaml:8: steps.0: rule signal.drop .*Cannot compare values of type BIGINT and type MAP"):
        run(workshop.recipe(steps, [{"jsonl": {"name": "web", "path": "web.jsonl"}}]), InlineEngine())
