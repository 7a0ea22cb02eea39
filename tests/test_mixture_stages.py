"""Allocation by stage, UniMax beside its oracle, and rows planned from an export's manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.order import plan_rows
from curator_catalog.mixtures import Demand, MixtureError, Stage, allocate, allocate_stages


def demand(name: str, available: float, **more: Any) -> Demand:
    return Demand(name, int(available), available, more.pop("max_epochs", 4.0), **more)


def staged(demands: list[Demand], budget: float, stages: list[Stage], on_short: str = "error") -> Any:
    return allocate_stages(demands, budget, stages, weighting="explicit", temperature=0.5, on_short=on_short)


def test_stages_without_weights_share_one_allocation() -> None:
    """Absolute tokens are spread over them; the stage with weights comes on top."""
    demands = [demand("a", 100, weight=1), demand("b", 100, tokens=40), demand("c", 500, weight=3)]
    stages = [Stage(0.0), Stage(0.5, {"a": 1, "c": 1}), Stage(0.75)]
    shares, found = staged(demands, 400, stages)
    assert [s.tokens for s in found] == [
        {"a": pytest.approx(130 / 3), "b": pytest.approx(80 / 3), "c": pytest.approx(130)},
        {"a": 50, "b": 0, "c": 50},
        {"a": pytest.approx(65 / 3), "b": pytest.approx(40 / 3), "c": pytest.approx(65)},
    ]
    assert [s.target for s in shares] == pytest.approx([115, 40, 245])
    assert [s.start for s in found] == pytest.approx([0, 0.5, 0.75])
    assert found[1].shares == {"a": 0.5, "b": 0, "c": 0.5}


def test_a_stage_has_what_others_left() -> None:
    """a gives 40 in all, of which the first stage takes 25: the error says so, the other ways make do."""
    demands = [demand("a", 10, weight=1), demand("b", 1000, weight=1)]
    stages = [Stage(0.0), Stage(0.5, {"a": 1, "b": 1})]
    with pytest.raises(MixtureError, match=r"stage 2, from 50 % .*'a' would need 25 .* gives 40, of which other stages "
                       r"take 25; set max_epochs to 5\.0"):  # fmt: skip
        staged(demands, 100, stages)
    shares, found = staged(demands, 100, stages, "renormalise")
    assert found[1].tokens == {"a": 15, "b": 35}
    assert (shares[0].target, shares[0].capped) == (40, True)
    _, found = staged(demands, 100, stages, "shrink")
    assert found[1].tokens == {"a": pytest.approx(15), "b": pytest.approx(15)}
    assert found[1].start == pytest.approx(50 / 80)


def test_absolute_tokens_have_no_place_in_stages_with_weights() -> None:
    """And components with nothing left are an error, whatever on_short says."""
    with pytest.raises(MixtureError, match=r"'b' asks for tokens: or epochs:.* every stage has weights"):
        staged([demand("a", 10, weight=1), demand("b", 10, epochs=1)], 10, [Stage(0.0, {"a": 1})])
    spent = [demand("a", 10, weight=1), demand("b", 90, weight=0)]
    with pytest.raises(MixtureError, match=r"stage 2, from 50 % .* nothing is left"):
        staged(spent, 80, [Stage(0.0), Stage(0.5, {"a": 1})], "renormalise")


@given(
    sizes=st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.5, 8)), min_size=2, max_size=5),
    budget=st.floats(1, 1e7),
    starts=st.lists(st.integers(1, 99), max_size=3, unique=True),
    on_short=st.sampled_from(["renormalise", "shrink"]),
    data=st.data(),
)
def test_no_stage_breaks_a_cap(
    sizes: list[tuple[float, float]], budget: float, starts: list[int], on_short: str, data: st.DataObject
) -> None:
    """Stages sum to the targets, and these keep the caps and the budget."""
    weights = st.floats(0.01, 10)
    demands = [demand(str(n), a, max_epochs=e, weight=data.draw(weights)) for n, (a, e) in enumerate(sizes)]
    each = st.none() | st.fixed_dictionaries({}, optional={d.name: weights for d in demands}).filter(bool)
    stages = [Stage(s / 100, data.draw(each)) for s in [0, *sorted(starts)]]
    try:
        shares, found = staged(demands, budget, stages, on_short)
    except MixtureError as error:
        if "nothing is left" not in str(error):
            raise
        return
    for share in shares:
        assert share.target <= share.available * share.max_epochs * 1.0001
        assert share.target == pytest.approx(sum(s.tokens[share.name] for s in found))
    assert sum(s.target for s in shares) <= budget * 1.0001
    for stage, asked in zip(found, stages, strict=True):
        if asked.weights is not None:
            assert {n for n, t in stage.tokens.items() if t} <= set(asked.weights)


#: what unimax(counts, budget, max_epochs) of unimax-sampling 1.0.0 answers; it wants Python 3.12 and is not installed
UNIMAX = [
    ({"a": 10, "b": 1000, "c": 1000}, 420, 2, {"a": 20, "b": 200, "c": 200}),
    ({"en": 4.1e9, "de": 9e8, "sw": 3e6, "yo": 4e5}, 1e9, 4, {"yo": 1.6e6, "sw": 1.2e7, "de": 4.932e8, "en": 4.932e8}),
    ({"a": 100, "b": 200, "c": 400, "d": 800, "e": 1600}, 1500, 1, {"a": 100, "b": 200, "c": 400, "d": 400, "e": 400}),
    ({"a": 7, "b": 7, "c": 50}, 100, 3, {"a": 21, "b": 21, "c": 58}),
]  # fmt: skip


@pytest.mark.parametrize(("sizes", "budget", "epochs", "expected"), UNIMAX)
def test_unimax_is_the_published_one(
    sizes: dict[str, float], budget: float, epochs: float, expected: dict[str, float]
) -> None:
    """The same budgets as unimax-sampling, where all caps are equal."""
    demands = [demand(n, s, max_epochs=epochs) for n, s in sizes.items()]
    found = allocate(demands, budget, weighting="unimax", temperature=1, on_short="error")
    assert {s.name: s.target for s in found} == pytest.approx(expected)


def manifest(tokens: int, stages: list[tuple[float, dict[str, float]]], **epochs: float) -> dict[str, Any]:
    """A manifest whose shares are those of its stages taken together."""
    names = list(epochs)
    ends = [start for start, _ in stages[1:]] + [1.0]
    parts = [(end - start, shares) for (start, shares), end in zip(stages, ends, strict=True)]
    whole = {n: sum(length * shares.get(n, 0.0) for length, shares in parts) for n in names}
    return {
        "tokens": tokens, "seed": 1, "tokenizer": {"file": "t"},
        "components": [{"name": n, "share": whole[n], "max_epochs": epochs[n]} for n in names],
        "stages": [{"start": start, "shares": shares} for start, shares in stages],
    }  # fmt: skip


SPLIT = [(0.0, {"a": 0.5, "b": 0.3, "c": 0.2}), (0.9, {"a": 0.8, "c": 0.2})]


def test_stages_of_a_long_run() -> None:
    """150,000 rows: tokens within 0.1 % of the budget; a stage has its shares; boundaries are off by half a block at most."""
    available = [(60_000, 60_000 * 1020), (90_000, 90_000 * 1000), (9_000, 9_000 * 900)]
    per_row = np.array([1020, 1000, 900])
    budget = 150_000_000
    plan, limited = plan_rows(manifest(budget, SPLIT, a=4, b=4, c=4), available)
    assert limited is None
    assert plan.rows > 100_000
    tokens = (plan.dealt[-1] * per_row).sum()
    assert abs(tokens / budget - 1) < 0.001
    start = plan.stages[1].start
    first = (plan.dealt[start // 1024] * per_row).sum()
    assert abs(first / per_row.mean() - 0.9 * budget / per_row.mean()) <= 560
    last = (plan.dealt[-1] - plan.dealt[start // 1024]) * per_row
    assert last / last.sum() == pytest.approx([0.8, 0, 0.2], abs=2e-4)


@pytest.mark.parametrize("cap", [1.0, 1.25])
def test_a_cap_holds_to_the_row_over_stages(cap: float) -> None:
    """c is wanted to its very cap: the boundary goes where c fits, and the run keeps its length to 0.1 %."""
    rows = round(0.2 * 120_000 / cap)
    available = [(100_000, 100_000 * 1000), (100_000, 100_000 * 1000), (rows, rows * 1000)]
    for late in (0.1, 0.3):
        stages = [(0.0, {"a": 0.5, "b": 0.5 - late, "c": late}), (0.5, {"a": 0.6 + late, "c": 0.4 - late})]
        plan, _ = plan_rows(manifest(120_000_000, stages, a=4, b=4, c=cap), available)
        assert plan.dealt[-1, 2] <= int(cap * rows)
        assert abs(plan.rows / 120_000 - 1) < 0.001


def test_one_stage_is_a_plan_of_version_1() -> None:
    """With the key or without it the rows are the same."""
    available = [(3_000, 3_000_000), (4_000, 3_900_000)]
    asked = manifest(9_000_000, [(0.0, {"a": 0.5, "b": 0.5})], a=4, b=4)
    plan, _ = plan_rows(asked, available)
    assert plan.to_json()["plan_version"] == 1
    assert plan_rows({k: v for k, v in asked.items() if k != "stages"}, available)[0] == plan


def test_a_stage_of_nothing() -> None:
    """A tenth of 3,000 rows rounds to no block; the error says how many rows there are."""
    available = [(3_000, 3_000_000)] * 3
    with pytest.raises(UsageError, match=r"the run has 3,000 rows, its 2 stages begin at rows 0, 2,9\d\d, .* no rows"):
        plan_rows(manifest(3_000_000, [SPLIT[0], (0.98, SPLIT[1][1])], a=4, b=4, c=4), available)
