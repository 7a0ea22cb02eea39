"""The contract, over every first-party step plugin that is registered."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.engines import Outcome
from curator.loading import Plugins
from curator.registry import STEP_KINDS
from curator.testing import check_against_worker, check_row_wise, measured_by_a_worker

#: plugin -> the options to check it with, besides its defaults
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "gopher_quality": [{}, {"as_in": "datatrove"}, {"as_in": "dolma"}],
    "gopher_repetition": [{}, {"as_in": "datatrove"}, {"as_in": "dolma"}],
    "fineweb_quality": [{}, {"as_in": "datatrove"}],
    "c4": [{}, {"as_in": "datatrove"}, {"as_in": "dolma"}],
    "language": [{}, {"backend": "langdetect"}],
    "exact": [{}, {"on": "normalized"}],
    "minhash": [{}, {"ngram": 2, "bands": 3, "rows": 2, "words": "unicode"}],
    "signal": [{"drop": "documents.n_words < $least", "least": 3}],
    "regex": [{"pattern": "[aA] ?"}, {"pattern": r"(?m)^\W+$", "max_matches": 2}],
    "bad_words": [{}, {"default_language": "zh"}],
    "length": [{"words": "unicode"}],  # with tokens: tests/plugins/test_length.py
    "normalize_whitespace": [{}, {"keep_indentation": True, "max_blank_lines": 0}],
    "symbol_lines": [{}, {"replace_char": "¶"}],
    "url": [],
    "decontaminate": [],
    "perplexity": [],
    "domain": [],  # needs a model: tests/plugins/test_domain.py trains one and checks the contract with it
    "semantic": [],
}
NEEDS = {"datatrove": "spacy"}
ELSEWHERE = {
    "decontaminate": "it needs a benchmark: tests/plugins/test_decontaminate.py has one and checks it",
    "domain": "it needs a model: tests/plugins/test_domain.py trains one and checks it",
    "perplexity": "it needs a model: tests/plugins/test_perplexity.py has one and checks it",
    "semantic": "it needs a model: tests/plugins/test_semantic.py has two and checks them",
    "url": "it needs lists: tests/plugins/test_url.py has some and checks it",
}
STEPS = {e.name: e for e in Plugins().all() if e.kind in STEP_KINDS and e.origin.startswith("corpus-curator")}
CASES = [(name, options) for name in STEPS for options in OPTIONS.get(name, [{}])]

texts = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.text("aA .\n\t\r…#-•*é\x00\x85\u2028\u200b0١中", max_size=60)
    | st.sampled_from(["the and of to", "- item\n- item", "word " * 60, "&amp;\x00", "Ã©", "٣ ꓘ"]),
    min_size=1,
    max_size=6,
)


def why_not(name: str, options: dict[str, Any]) -> str | None:
    """Why this case is not checked here."""
    missing = [m for value in options.values() if (m := NEEDS.get(str(value))) and not find_spec(m)]
    if missing:
        return f"{name} with {options} needs {missing[0]}; pip install 'corpus-curator[{missing[0]}]'"
    return ELSEWHERE.get(name)


def plugin(name: str, options: dict[str, Any]) -> Any:
    """The class, or a skipped test where an extra that it needs is not installed."""
    if reason := why_not(name, options):
        pytest.skip(reason)
    return STEPS[name].plugin


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What a worker measures, by case; one for all, as each would take a second and more to start."""
    cases = [(name, options) for name, options in CASES if not why_not(name, options)]
    found = measured_by_a_worker((STEPS[name].plugin, options) for name, options in cases)
    return {str(case): outcome for case, outcome in zip(cases, found, strict=True)}


def test_all_step_plugins_are_found() -> None:
    """Discovery loads every entry point; none of ours is broken."""
    plugins = Plugins()
    plugins.all()
    assert {n: e for n, e in plugins.broken.items() if e.startswith("corpus-curator")} == {}
    assert {"fix_unicode", "language", "gopher_quality", "signal", "exact", "minhash"} <= set(STEPS)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_contract(outcomes: dict[str, Outcome], name: str, options: dict[str, Any]) -> None:
    """Row-wise, repeatable, as declared, on hard texts, by name in a worker (`curator.testing`)."""
    check_against_worker(plugin(name, options), outcomes[str((name, options))], **options)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_row_wise(name: str, options: dict[str, Any]) -> None:
    """Any texts: a batch, its reversal and one document at a time measure the same."""
    step = plugin(name, options)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(texts)
    def check(found: list[str]) -> None:
        check_row_wise(step, *found, **options)

    check()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_says_what_it_does(name: str) -> None:
    """A first line of at most 110 characters for `curator plugins`, and a version of its own."""
    entry = STEPS[name]
    assert 10 < len(entry.doc) <= 110
    assert entry.doc.endswith(".")
    assert entry.plugin.version is not None
