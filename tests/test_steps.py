"""Text versions, gates, populations and the three states of a measure, on real runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator.errors import GuardError, RecipeError, UsageError
from curator.redeciding import decide
from curator.verify import digest
from tests.conftest import Workshop, reasons

PLUGINS = '''
import polars as pl
from curator import Cleaner, Filter, hookimpl


def upper(text: str) -> str:
    """Raise letters."""
    return text.upper()


class Strip(Cleaner):
    """Take out a word."""
    word: str = "spam"

    def clean(self, docs):
        return docs.text.str.replace_all(self.word, "")


class Letters(Filter):
    """Count small letters and all characters."""
    letter: str = "a"
    min_chars: int = 0

    def signals(self):
        return {"small": pl.col("text").str.count_matches(self.letter), "chars": pl.col("text").str.len_chars()}

    rules = {"short": "chars < $min_chars"}


def fussy(doc, *, hates: str = "kaboom") -> bool:
    """Raise on some texts."""
    if hates in doc.text:
        raise ValueError(f"I hate {hates}")
    return True


@hookimpl
def register_cleaners(register):
    register(upper)
    register(Strip)


@hookimpl
def register_filters(register):
    register(Letters)
    register(fussy)
'''

TEXTS = ["a banana and spam", "spam spam", "plain text without it", "an apple a day keeps spam away", "short"]


@pytest.fixture
def plugged(workshop: Workshop) -> Workshop:
    """A workshop with a plugin file."""
    (workshop.folder / "plugins.py").write_text(PLUGINS, encoding="utf-8")
    return workshop


def documents(texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def signals(corpus: Any, step: str) -> list[tuple[Any, ...]]:
    return corpus.sql(
        f"SELECT source_key, s.* EXCLUDE (doc_id) FROM signals.{step} s JOIN documents USING (doc_id) ORDER BY source_key"
    ).rows()


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(["strip", "letters"], id="inserted behind the cleaner"),
        pytest.param(["letters", "strip"], id="inserted before the cleaner"),
        pytest.param([{"strip": {"word": "a"}}, "letters"], id="cleaner with another option"),
        pytest.param(["strip", {"letters": {"letter": "n"}}], id="filter with another option"),
        pytest.param(["upper", "strip", "letters"], id="one more cleaner in front"),
        pytest.param(
            [{"letters": {"as": "before"}}, "strip", "upper", {"letters": {"as": "after"}}], id="twice"
        ),
    ],
)
def test_changing_steps_measures_what_a_fresh_run_measures(
    plugged: Workshop, tmp_path: Path, later: list[Any]
) -> None:
    """Insert, move and re-option a filter round a cleaner: texts and signals equal a fresh run's."""
    plugged.curate(["strip"], documents(TEXTS), plugins=["plugins.py"])
    changed = plugged.curate(later, plugins=["plugins.py"])
    fresh = Workshop(tmp_path / "fresh")
    fresh.folder.mkdir()
    (fresh.folder / "plugins.py").write_text(PLUGINS, encoding="utf-8")
    expected = fresh.curate(later, documents(TEXTS), plugins=["plugins.py"])
    assert digest(changed) == digest(expected)


def test_a_step_sees_the_text_at_its_own_place(plugged: Workshop) -> None:
    """A filter before a cleaner measures the text before it, one behind it the cleaned text."""
    corpus = plugged.curate(
        [{"letters": {"as": "before"}}, "strip", {"letters": {"as": "after"}}],
        documents(TEXTS[:2]),
        plugins=["plugins.py"],
    )
    assert signals(corpus, "before") == [("d0", 6, 17), ("d1", 2, 9)]
    assert signals(corpus, "after") == [("d0", 5, 13), ("d1", 0, 1)]
    assert corpus.sql("SELECT text_read, text FROM texts ORDER BY doc_id").rows() == [
        ("a banana and spam", "a banana and "),
        ("spam spam", " "),
    ]
    assert corpus.sql("SELECT n_chars, n_words FROM documents ORDER BY doc_id").rows() == [(13, 3), (1, 0)]


def test_a_rule_option_changes_no_measure(plugged: Workshop) -> None:
    """Deciding with another threshold leaves the tables and files as they are."""
    corpus = plugged.curate([{"letters": {"min_chars": 10}}], documents(TEXTS), plugins=["plugins.py"])
    before = corpus.sql("SELECT path, hash FROM shards").rows()
    assert reasons(corpus) == {
        "d0": None,
        "d1": "letters.short",
        "d2": None,
        "d3": None,
        "d4": "letters.short",
    }
    recipe = plugged.recipe(
        [{"letters": {"min_chars": 10}}],
        [{"jsonl": {"name": "web", "path": "web.jsonl"}}],
        plugins=["plugins.py"],
    )
    again = decide(recipe.with_options({"letters.min_chars": "18"}))
    assert (again.flips.gained, again.flips.lost) == (0, 1)
    assert reasons(corpus)["d0"] == "letters.short"
    assert corpus.sql("SELECT path, hash FROM shards").rows() == before
    with pytest.raises(UsageError, match="decides what is measured"):
        recipe.with_options({"letters.letter": "b"})


def test_a_gate_leaves_dropped_documents_unmeasured(plugged: Workshop) -> None:
    """Behind a gate only what passed is measured; relaxing makes documents pending; the next run measures them."""
    steps = [
        {"letters": {"as": "first", "min_chars": 10}},
        "gate",
        {"letters": {"as": "second", "letter": "p"}},
    ]
    corpus = plugged.curate(steps, documents(TEXTS), plugins=["plugins.py"])
    assert [row[0] for row in signals(corpus, "second")] == ["d0", "d2", "d3"]
    source = [{"jsonl": {"name": "web", "path": "web.jsonl"}}]
    relaxed = plugged.recipe(steps, source, plugins=["plugins.py"]).with_options({"first.min_chars": "6"})
    result = decide(relaxed)
    assert (result.flips.newly_pending, result.funnel.pending) == (1, 1)
    assert reasons(corpus)["d1"] == "pending"
    steps[0]["letters"]["min_chars"] = 6
    plugged.curate(steps, plugins=["plugins.py"])
    assert [row[0] for row in signals(corpus, "second")] == ["d0", "d1", "d2", "d3"]
    assert reasons(corpus) == {"d0": None, "d1": None, "d2": None, "d3": None, "d4": "first.short"}


def test_a_cleaner_behind_a_gate_is_made_up_for(plugged: Workshop, tmp_path: Path) -> None:
    """A document that a relaxed gate lets through later gets the same final text as in a fresh run."""
    strict = [{"letters": {"min_chars": 10}}, "gate", "strip"]
    loose = [{"letters": {"min_chars": 0}}, "gate", "strip"]
    plugged.curate(strict, documents(TEXTS), plugins=["plugins.py"])
    changed = plugged.curate(loose, plugins=["plugins.py"])
    fresh = Workshop(tmp_path / "fresh")
    fresh.folder.mkdir()
    (fresh.folder / "plugins.py").write_text(PLUGINS, encoding="utf-8")
    assert digest(changed) == digest(fresh.curate(loose, documents(TEXTS), plugins=["plugins.py"]))


def test_a_document_that_a_plugin_fails_on_is_pending(plugged: Workshop) -> None:
    """Only that document lacks a row; it is in quarantine, and not kept."""
    corpus = plugged.curate(["fussy"], documents(["fine", "kaboom", "good"]), plugins=["plugins.py"])
    assert reasons(corpus) == {"d0": None, "d1": "pending", "d2": None}
    assert corpus.sql("SELECT step, reason, detail FROM quarantine").rows() == [
        ("fussy", "ValueError", "I hate kaboom")
    ]


def test_undefined_never_drops(workshop: Workshop) -> None:
    """NULL in a present row is measured and undefined; a missing row is not measured."""
    corpus = workshop.curate(
        ["gopher_quality", {"signal": {"drop": "gopher_quality.mean_word_length < 100", "as": "undefined"}}],
        documents(["   ."]),
        name="nulls",
    )
    assert corpus.sql("SELECT reasons FROM documents").rows()[0][0][0] == "gopher_quality.gopher_short_doc"


def test_every_rule_is_evaluated_and_the_first_is_the_reason(plugged: Workshop) -> None:
    """reasons lists all failing rules in step order; reason is the first."""
    steps = [
        {"letters": {"min_chars": 100}},
        {"signal": {"drop": "letters.chars < $max", "max": 10, "as": "tiny"}},
    ]
    corpus = plugged.curate(steps, documents(TEXTS), plugins=["plugins.py"])
    rows = corpus.sql("SELECT reason, reasons FROM documents WHERE source_key = 'd4'").rows()
    assert rows == [("letters.short", ["letters.short", "tiny.drop"])]
    chosen = corpus.sql(
        "SELECT step, rule, expression, options::VARCHAR FROM rules ORDER BY rule_index"
    ).rows()
    assert chosen == [
        ("letters", "short", "chars < $min_chars", '{"min_chars": 100}'),
        ("tiny", "drop", "letters.chars < $max", '{"max": 10}'),
    ]


def test_an_option_by_column(plugged: Workshop) -> None:
    """A rule option may be a table over a column; null switches the rule off there."""
    docs = [{"id": f"{lang}{n}", "text": "x" * n, "kind": lang} for lang in ("a", "b", "c") for n in (5, 50)]
    sources = [{"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"kind": "str"}}}]
    steps = [{"letters": {"min_chars": {"by": "kind", "default": 10, "b": None, "c": 100}}}]
    plugged.source("web", docs)
    corpus = plugged.curate(steps, plugins=["plugins.py"], sources=sources)
    dropped = sorted(k for k, reason in reasons(corpus).items() if reason)
    assert dropped == ["a5", "c5", "c50"]


def test_a_window_ranges_over_the_population(plugged: Workshop) -> None:
    """A quantile is taken over the documents that no earlier step drops."""
    docs = documents(["x" * n for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)])
    steps = [
        {"letters": {"min_chars": 5}},
        {
            "signal": {
                "as": "low",
                "drop": "letters.chars < quantile_disc(letters.chars, 0.5) OVER (PARTITION BY documents.source)",
            }
        },
    ]
    corpus = plugged.curate(steps, docs, plugins=["plugins.py"])
    kept = sorted(int(k[1:]) + 1 for k, reason in reasons(corpus).items() if reason is None)
    assert kept == [7, 8, 9, 10]


def test_a_guard_stops_before_decisions_change(plugged: Workshop) -> None:
    """With expect: the run stops when a step drops another share, and what was decided stays in force."""
    corpus = plugged.curate([{"letters": {"min_chars": 0}}], documents(TEXTS), plugins=["plugins.py"])
    with pytest.raises(GuardError, match=r"drops 100.0% of the 5 documents"):
        plugged.curate(
            [{"letters": {"min_chars": 1000, "expect": {"drop": "0.0..0.5"}}}], plugins=["plugins.py"]
        )
    assert set(reasons(corpus).values()) == {None}
    assert corpus.sql("SELECT state FROM runs ORDER BY run_id").rows() == [("done",), ("stopped",)]


def test_two_recipes_over_one_corpus(plugged: Workshop) -> None:
    """Each recipe keeps its decisions and its text; documents_in shows another's."""
    plugged.curate([{"letters": {"min_chars": 10}}], documents(TEXTS), plugins=["plugins.py"], name="one")
    corpus = plugged.curate(["strip", {"letters": {"min_chars": 10}}], plugins=["plugins.py"], name="two")
    assert corpus.sql(
        "SELECT decision_set, count(*) FILTER (kept) FROM decisions GROUP BY 1 ORDER BY 1"
    ).rows() == [("one", 3), ("two", 3)]
    assert corpus.sql("SELECT n_chars FROM documents_in('one') WHERE source_key = 'd0'").rows() == [(17,)]
    assert corpus.sql("SELECT n_chars FROM documents WHERE source_key = 'd0'").rows() == [(13,)]


def test_without_the_original_an_earlier_step_is_refused(plugged: Workshop) -> None:
    """keep_original: false stores only the final text; measuring an earlier step later is refused by name."""
    corpus = plugged.curate(["strip"], documents(TEXTS), plugins=["plugins.py"], keep_original=False)
    assert corpus.sql("SELECT text_read, text FROM texts ORDER BY doc_id LIMIT 1").rows() == [
        ("a banana and ",) * 2
    ]
    with pytest.raises(UsageError, match=r"letters.* cannot be measured: .*keep_original"):
        plugged.curate(["letters", "strip"], plugins=["plugins.py"], keep_original=False)


def test_a_window_behind_a_gate_is_refused(plugged: Workshop) -> None:
    """Its population would be whatever happened to be measured."""
    with pytest.raises(RecipeError, match="window stands behind a gate"):
        plugged.curate(
            ["letters", "gate", {"signal": {"drop": "letters.chars < avg(letters.chars) OVER ()"}}],
            documents(TEXTS),
            plugins=["plugins.py"],
        )
