"""decide: what would change, what changes, and what cannot be changed by deciding."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import call


@pytest.fixture
def ran(fresh: Path) -> Path:
    """A folder with a small corpus of its own."""
    assert call("run", "small.yaml", "-w", 0, folder=fresh).code == 0
    return fresh


def kept(folder: Path) -> list[str]:
    query = "SELECT source_key FROM documents WHERE kept ORDER BY ALL"
    return call("sql", query, "--format", "csv", folder=folder).out.split()[1:]


def test_a_dry_run_says_and_writes_nothing(ran: Path) -> None:
    """Gains and losses by rule and source, with samples; the decisions stay."""
    change = ["--set", "gopher_quality.min_words=90", "--set", "language.keep=[en, fr]"]
    ended = call("decide", "small.yaml", "--dry-run", *change, "--json", folder=ran)
    assert (ended.code, ended.err) == (0, "")
    told = ended.json
    assert (told["written"], told["counts"]["kept"]) == (False, 1)
    assert {k: told["flips"][k] for k in ("gained", "lost", "newly_pending", "by_source")} == {
        "gained": 0, "lost": 1, "newly_pending": 0, "by_source": {"notes": [0, 1]}
    }  # fmt: skip
    assert told["flips"]["lost_by"] == {"gopher_quality.gopher_short_doc": 1}
    assert kept(ran) == ["both", "copy"]
    shown = call("decide", "small.yaml", "--dry-run", *change, folder=ran)
    assert "1 of 5 documents would be kept (20.0 %); 0 gained, 1 lost" in shown.out
    assert "nothing was written; without --dry-run these decisions are put in force" in shown.out


def test_deciding_puts_in_force(ran: Path) -> None:
    """The change counts, is recorded as a run, and goes away with the next decision."""
    ended = call("decide", "small.yaml", "--set", "gopher_quality.min_words=90", folder=ran)
    assert ended.code == 0
    assert "documents are kept" in ended.out
    assert kept(ran) == ["copy"]
    options = call(
        "sql", "SELECT options FROM rules WHERE rule = 'gopher_short_doc'", "--format", "csv", folder=ran
    )
    assert '""min_words"": 90' in options.out
    runs = call("sql", "SELECT state FROM runs ORDER BY run_id", "--format", "csv", folder=ran)
    assert runs.out.split() == ["state", "done", "decided"]
    assert call("decide", "small.yaml", folder=ran).code == 0
    assert kept(ran) == ["both", "copy"]


def test_samples_of_flips_are_redacted(ran: Path) -> None:
    """Texts that flip are shown without contact details."""
    limits = ("min_words", "min_alpha_ratio", "min_stop_words")
    change = [part for limit in limits for part in ("--set", f"gopher_quality.{limit}=0")]
    ended = call("decide", "small.yaml", "--dry-run", *change, folder=ran)
    assert "<email>" in ended.out
    assert "jane.doe" not in ended.out
    assert "jane.doe" in "".join(
        call("decide", "small.yaml", "--dry-run", "--unredacted", *change, folder=ran).out.split()
    )


WRONG = {
    "gopher_qualty.min_words=3": "--set gopher_qualty.min_words: recipe 'small' has no step 'gopher_qualty'; did you mean 'gopher_quality'?",
    "gopher_quality.min_word=3": "step 'gopher_quality' has no option 'min_word'; did you mean 'min_words'?",
    "gopher_quality.as_in=datatrove": "'as_in' decides what is measured, so it cannot be changed by deciding; write it in ",
    "language.backend=langdetect": "'backend' decides what is measured",
    "gopher_quality.min_words=many": "--set gopher_quality.min_words = 'many': expected int | None",
    "gopher_quality.min_words={by: langage, de: 3}": "documents has no column 'langage' for rules; did you mean 'language'?",
    "min_words=3": "--set 'min_words=3': write STEP.OPTION=VALUE, as gopher_quality.min_words=80",
    "gopher_quality.min_words": "write STEP.OPTION=VALUE",
    "gopher_quality.min_words=[": "--set gopher_quality.min_words",
    "exact.keep=gopher_quality.n_wrds": "step 'gopher_quality' has no signal 'n_wrds'; did you mean 'n_words'?",
}


@pytest.mark.parametrize("change", WRONG)
def test_what_cannot_be_set(fresh: Path, change: str) -> None:
    """Unknown steps and options, measure options, wrong values: exit code 2, one message, no traceback."""
    ended = call("decide", "small.yaml", "--set", change, folder=fresh)
    assert (ended.code, ended.out) == (2, "")
    assert WRONG[change] in ended.err
    assert ended.err.startswith("curator: ")


def test_deciding_needs_what_was_measured(ran: Path) -> None:
    """No corpus, or a step that never ran as the recipe has it: exit code 2, and the command that helps."""
    ended = call("decide", "small.yaml", "-c", "elsewhere", folder=ran)
    assert (ended.code, "there is no corpus" in ended.err, (ran / "elsewhere").exists()) == (2, True, False)
    recipe = (
        (ran / "small.yaml").read_text().replace("gopher_quality: {", "gopher_quality: {as_in: datatrove, ")
    )
    (ran / "small.yaml").write_text(recipe)
    ended = call("decide", "small.yaml", folder=ran)
    assert ended.code == 2
    assert "step gopher_quality was never measured as " in ended.err
    assert "measures what is missing" in ended.err


def test_a_table_can_be_set(ran: Path) -> None:
    """A value on the command line is YAML, so a table over a column is one too."""
    change = "gopher_quality.min_words={by: title, Long: 1000, default: 40}"
    ended = call("decide", "small.yaml", "--set", change, "--json", folder=ran)
    assert ended.json["counts"]["dropped"]["gopher_quality.gopher_short_doc"] == 2
    assert kept(ran) == ["both", "copy"]
