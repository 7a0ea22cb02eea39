"""Mixtures: who gets how many tokens, which documents, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curator.corpus import Corpus
from curator.errors import RecipeError, UsageError
from curator.mixture import load, plan
from curator_catalog.mixtures import Demand, MixtureError, allocate
from tests.conftest import Workshop


def demand(name: str, available: float, **more: Any) -> Demand:
    return Demand(name, int(available), available, more.pop("max_epochs", 4.0), **more)


def targets(demands: list[Demand], budget: float, **more: Any) -> dict[str, float]:
    given = {"weighting": "explicit", "temperature": 0.5, "on_short": "error", **more}
    return {s.name: round(s.target, 6) for s in allocate(demands, budget, **given)}


def test_weights_need_not_sum_to_one() -> None:
    """The budget is divided by weight."""
    assert targets([demand("a", 100, weight=3), demand("b", 100, weight=1)], 200) == {"a": 150, "b": 50}


def test_absolute_demands_come_first() -> None:
    """tokens: and epochs: are taken as they stand; the weights divide the rest."""
    found = targets([demand("a", 100, tokens=30), demand("b", 50, epochs=2), demand("c", 100, weight=0.1)], 200)
    assert found == {"a": 30, "b": 100, "c": 70}


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [("natural", {"a": 30, "b": 90}), ("temperature", {"a": 43.923048, "b": 76.076952}), ("unimax", {"a": 60, "b": 60})],
)
def test_weightings(weighting: str, expected: dict[str, float]) -> None:
    """By size, by a power of it, or evenly."""
    assert targets([demand("a", 100), demand("b", 300)], 120, weighting=weighting) == expected


def test_unimax_fills_from_the_smallest() -> None:
    """A component at its cap leaves the rest to the others."""
    found = targets([demand("a", 10, max_epochs=2), demand("b", 1000), demand("c", 1000)], 420, weighting="unimax")
    assert found == {"a": 20, "b": 200, "c": 200}


def test_a_short_component() -> None:
    """error names component and figures; renormalise hands on; shrink keeps the shares."""
    short = [demand("a", 10, weight=1), demand("b", 1000, weight=1)]
    with pytest.raises(MixtureError, match=r"component 'a' would need 100 tokens and has 10.* max_epochs to 10.0"):
        targets(short, 200)
    assert targets(short, 200, on_short="renormalise") == {"a": 40, "b": 160}
    assert targets(short, 200, on_short="shrink") == {"a": 40, "b": 40}
    absolute = [demand("a", 10, tokens=60), demand("b", 1000, weight=1)]
    with pytest.raises(MixtureError, match=r"'a' would need 60 tokens and has 10.* max_epochs to 6.0"):
        targets(absolute, 200)
    assert targets(absolute, 200, on_short="renormalise") == {"a": 40, "b": 160}
    assert targets(absolute, 200, on_short="shrink") == {"a": 40, "b": 140}


@pytest.mark.parametrize(
    ("demands", "budget", "message"),
    [
        ([demand("a", 0, weight=1)], 10, "component 'a' has no documents"),
        ([Demand("a", 3, 0.0, 4.0, weight=1)], 10, "the 3 documents of component 'a' have no text"),
        ([demand("a", 10, weight=0), demand("b", 10, weight=0)], 10, "the weights of all components are 0"),
        ([demand("a", 10, epochs=1)], 1000, "the components give at most 40"),
        ([demand("a", 100, tokens=50)], 10, "ask for 50 tokens, the budget is 10"),
        ([demand("a", 10, epochs=5)], 50, "would need 50 tokens and has 10"),
    ],
)
def test_what_cannot_be_had(demands: list[Demand], budget: float, message: str) -> None:
    """Each impossible mixture is one error with its figures."""
    with pytest.raises(MixtureError, match=message):
        targets(demands, budget)


@given(
    st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 10), st.floats(0.5, 8)), min_size=1, max_size=6),
    st.floats(1, 1e7),
    st.sampled_from(["explicit", "natural", "temperature", "unimax"]),
    st.sampled_from(["renormalise", "shrink"]),
)
def test_no_cap_and_no_budget_is_exceeded(
    components: list[tuple[float, float, float]], budget: float, weighting: str, on_short: str
) -> None:
    """Whatever is asked, targets stay within caps and budget, and shares sum to one."""
    demands = [demand(str(i), a, weight=w if weighting == "explicit" else None, max_epochs=e) for i, (a, w, e) in enumerate(components)]
    try:
        shares = allocate(demands, budget, weighting=weighting, temperature=0.5, on_short=on_short)
    except MixtureError:
        assert weighting == "explicit"
        assert not any(w for _, w, _ in components)
        return
    assert sum(s.target for s in shares) <= budget * 1.00001
    assert all(s.target <= s.available * s.max_epochs * 1.00001 for s in shares)
    assert sum(s.share for s in shares) == pytest.approx(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of documents, a hundred of each, and near copies."""
    workshop = Workshop(tmp_path_factory.mktemp("mixture"))
    texts = [{"id": f"{kind}{i}", "text": f"{kind} {i} " + "some words here " * (10 + i % 7), "kind": kind}
             for kind in ("law", "med") for i in range(100)]  # fmt: skip
    workshop.source("web", texts)
    columns = {"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"kind": "str"}, "license": "CC0-1.0"}}
    workshop.curate(["exact"], sources=[columns])
    return workshop.folder


@pytest.fixture
def corpus(workshop: Workshop, made: Path) -> Corpus:
    """A test's own; `workshop` is where it lies."""
    return workshop.restore(made)


def mixture(workshop: Workshop, components: dict[str, Any], **top: Any) -> str:
    path = workshop.folder / "mix.yaml"
    content = {"mixture": "m", "tokens": 2000, "components": components, **top}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


BOTH = {"law": {"where": "kind = 'law'", "weight": 3}, "med": {"where": "kind = 'med'", "weight": 1}}


def test_documents_do_not_depend_on_the_budget_of_others(workshop: Workshop, corpus: Corpus) -> None:
    """A larger budget takes the same documents and more; two plans of one mixture are equal."""
    small = plan(corpus, load(mixture(workshop, BOTH)))
    again = plan(corpus, load(mixture(workshop, BOTH)))
    large = plan(corpus, load(mixture(workshop, BOTH, tokens=4000)))
    assert small.documents.equals(again.documents)
    assert small.fingerprint == again.fingerprint
    taken, more = (set(p.documents["doc_key"]) for p in (small, large))
    assert taken < more
    by_component = small.documents.group_by("component").len().rows()
    assert {name: n > 5 for name, n in by_component} == {"law": True, "med": True}


def test_what_is_held_out_stays_so(workshop: Workshop, corpus: Corpus) -> None:
    """A larger share holds out the same documents and more, whatever the seed; held out is never trained on."""
    held = []
    for share, seed in (("10%", 1), ("30%", 2)):
        planned = plan(corpus, load(mixture(workshop, BOTH, seed=seed, holdout={"per_component": share})))
        held.append(set(planned.documents.filter("held_out")["doc_key"]))
        assert not held[-1] & set(planned.documents.filter(~planned.documents["held_out"])["doc_key"])
    assert held[0] < held[1]
    assert 5 < len(held[0]) < 40


@pytest.mark.parametrize(
    ("components", "top", "error", "message"),
    [
        ({"a": {"where": "kind = 'none'", "weight": 1}}, {}, UsageError, "component 'a' has no documents"),
        ({"a": {"where": "nonsense = 1", "weight": 1}}, {}, UsageError, "component 'a': .*nonsense"),
        ({"a": {"sql": "DROP TABLE runs", "weight": 1}}, {}, UsageError, "component 'a': only SELECT is allowed"),
        ({"a": {"where": "true", "weight": 1}, "b": {"where": "kind = 'law'", "weight": 1}}, {}, UsageError,
         "components 'a' and 'b' share 100 documents"),
        ({"a": {"where": "true", "weight": 1, "epochs": 2}}, {}, RecipeError, r"mix.yaml:4: components.a: give one of weight:"),
        ({"a": {"where": "true"}}, {}, RecipeError, "give one of weight:, tokens: and epochs:"),
        ({"a": {"weight": 1}}, {}, RecipeError, "give one of sql: and where:"),
        ({"a": {"where": "true", "wieght": 1}}, {}, RecipeError, "did you mean 'weight'"),
        (BOTH, {"tokens": "1T"}, UsageError, "max_epochs"),
        (BOTH, {"tokenizer": "none.json"}, RecipeError, "there is no tokenizer"),
    ],
)  # fmt: skip
def test_mistakes(
    workshop: Workshop, corpus: Corpus, components: dict[str, Any], top: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each mistake is one error that says what to do."""
    with pytest.raises(error, match=message):
        plan(corpus, load(mixture(workshop, components, **top)))
