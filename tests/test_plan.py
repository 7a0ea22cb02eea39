"""The order of rows: bijections, shares at block ends, epochs, and golden vectors that later versions must give too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.plan import Component, Plan, Stage, keyed, permute, splitmix64


def test_splitmix64_is_the_published_generator() -> None:
    """The first outputs for seed 1234567 (Vigna's reference), each state a multiple of the increment further on."""
    states = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert splitmix64(states).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip


GOLDEN_PERMUTATION = [4, 6, 8, 2, 7, 0, 11, 5, 1, 10, 3, 9]
GOLDEN_ROWS = [
    (1, 0, 85180),
    (0, 0, 363),
    (1, 0, 84397),
    (0, 0, 138),
    (1, 0, 69115),
    (0, 1, 269),
    (1, 0, 80593),
    (1, 0, 42478),
    (2, 273, 2),
]


def test_golden_permutation() -> None:
    """Frozen: training runs are resumed by later versions."""
    assert permute(np.arange(12), 12, keyed(17, 1)).tolist() == GOLDEN_PERMUTATION


def test_golden_rows() -> None:
    """Frozen: (component, epoch, row) of rows at both ends of blocks, in the first and later epochs."""
    plan = Plan(17, 5000, (Component(700, 0.5), Component(90_000, 0.3), Component(3, 0.2)))
    places = plan.lookup([0, 1, 2, 3, 1023, 1024, 2500, 4998, 4999])
    assert list(zip(*(p.tolist() for p in places), strict=True)) == GOLDEN_ROWS
    assert plan.dealt[-1].tolist() == [2500, 1500, 1000]
    assert plan.fingerprint == "c15c6cff0512f630167090176d39c2cb"


@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_is_a_bijection(n: int, key: int) -> None:
    """Every number of [0, n) once."""
    assert sorted(permute(np.arange(n), n, np.uint64(key)).tolist()) == list(range(n))


def test_large_domains_do_not_collide() -> None:
    """Where a table of the whole could not be made: numbers in range, all different."""
    n = 2**40 - 3
    found = permute(np.arange(100_000), n, keyed(5))
    assert len(np.unique(found)) == 100_000
    assert found.min() >= 0
    assert found.max() < n
    assert abs(found.mean() / n - 0.5) < 0.01


def test_permutations_differ_by_key_and_are_even() -> None:
    """Over 20,000 keys, each number of six comes first equally often, within a tenth; all 720 orders occur."""
    keys = keyed(np.arange(20_000))
    orders = np.stack([permute(np.full(20_000, i), 6, keys) for i in range(6)], axis=1)
    assert np.abs(np.bincount(orders[:, 0]) * 6 / 20_000 - 1).max() < 0.1
    assert len(np.unique(orders, axis=0)) == 720


shares = st.lists(st.integers(0, 10_000), min_size=1, max_size=8).filter(any)


@given(weights=shares, rows=st.integers(0, 3000), block=st.sampled_from([1, 7, 64, 1024]), data=st.data())
def test_shares_hold_at_every_block_end(
    weights: list[int], rows: int, block: int, data: st.DataObject
) -> None:
    """Each component has the floor or the ceiling of its share of the rows so far, and never loses one."""
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=len(weights), max_size=len(weights)))
    components = tuple(Component(n, w / sum(weights)) for n, w in zip(sizes, weights, strict=True))
    plan = Plan(3, rows, components, block)
    ends = np.minimum(np.arange(len(plan.dealt)) * block, rows)
    owed = ends[:, None] * np.array(weights) / sum(weights)
    assert (np.abs(plan.dealt - owed) < 1 + 1e-6).all()
    assert (np.diff(plan.dealt, axis=0) >= 0).all()
    assert (plan.dealt.sum(axis=1) == ends).all()
    places = plan.lookup(np.arange(rows))
    for number, component in enumerate(components):
        mine = places.component == number
        assert mine.sum() == plan.dealt[-1, number]
        seen = np.bincount(places.row[mine], minlength=component.rows)
        assert seen.max() - seen.min() <= 1
        for epoch in np.unique(places.epoch[mine]):
            of_epoch = places.row[mine & (places.epoch == epoch)]
            assert len(np.unique(of_epoch)) == len(of_epoch)


def test_tiny_shares_are_dealt_without_taking_back() -> None:
    """A hundred components of a thousandth each beside a large one: the case where rounding to the nearest loses rows."""
    components = (Component(10, 0.9), *(Component(10, 0.001) for _ in range(100)))
    plan = Plan(1, 40_960, components)
    owed = np.arange(41)[:, None] * 1024 * np.array([c.share for c in components])
    assert np.abs(plan.dealt - owed).max() < 1
    assert np.diff(plan.dealt, axis=0).min() >= 0


def test_a_longer_plan_begins_with_the_same_blocks() -> None:
    """More budget appends rows."""
    components = (Component(300, 0.7), Component(40, 0.3))
    short, long = Plan(9, 2048, components), Plan(9, 9000, components)
    rows = np.arange(2048)
    assert all((a == b).all() for a, b in zip(short.lookup(rows), long.lookup(rows), strict=True))


def test_a_lookup_does_not_depend_on_what_is_looked_up_beside_it() -> None:
    """One by one, backwards, and all together."""
    plan = Plan(2, 3000, (Component(70, 0.5), Component(11, 0.5)))
    whole = plan.lookup(np.arange(3000))
    reverse = plan.lookup(np.arange(3000)[::-1])
    assert all((a == b[::-1]).all() for a, b in zip(whole, reverse, strict=True))
    assert [int(v[0]) for v in plan.lookup(2999)] == [int(v[2999]) for v in whole]


def test_epochs_and_seeds_differ_in_order() -> None:
    """The second epoch is another permutation than the first; so is another seed's first."""
    one = Plan(1, 200, (Component(100, 1.0),))
    other = Plan(2, 200, (Component(100, 1.0),))
    rows = one.lookup(np.arange(200))
    order = [rows.row[rows.epoch == e].tolist() for e in (0, 1)]
    assert sorted(order[0]) == sorted(order[1]) == list(range(100))
    assert order[0] != order[1]
    assert other.lookup(np.arange(100)).row.tolist() != rows.row[:100].tolist()


def test_json_round_trip_and_version() -> None:
    """The plan comes back from JSON; another version's is refused by name."""
    plan = Plan(17, 5000, (Component(700, 1 / 3), Component(9, 2 / 3)))
    values = json.loads(json.dumps(plan.to_json()))
    assert Plan.from_json(values) == plan
    assert Plan.from_json(values).fingerprint == plan.fingerprint
    with pytest.raises(UsageError, match=r"version 3 of the row order, this curator has versions 1 and 2"):
        Plan.from_json(values | {"plan_version": 3})
    assert "stages" not in values


@pytest.mark.parametrize(
    ("rows", "components", "message"),
    [
        (10, (Component(5, 0.5), Component(5, 0.4)), "sum to 1 .* 0.900000"),
        (10, (Component(5, 1.5), Component(5, -0.5)), "not negative"),
        (
            10,
            (Component(5, 0.5), Component(0, 0.5)),
            "component number 1 of the plan has a share but no rows",
        ),
        (-1, (Component(5, 1.0),), "-1 rows"),
    ],
)
def test_what_a_plan_cannot_be(rows: int, components: tuple[Component, ...], message: str) -> None:
    """Wrong plans are refused."""
    with pytest.raises(UsageError, match=message):
        Plan(1, rows, components)


def test_rows_outside_the_plan() -> None:
    """An IndexError, which ends a plain loop over a dataset."""
    plan = Plan(1, 10, (Component(5, 1.0),))
    for row in (10, -1):
        with pytest.raises(IndexError, match="rows 0 to 9"):
            plan.lookup(row)


@st.composite
def staged(draw: st.DrawFn) -> Plan:
    """One to four stages of whole blocks over one to six components, of which some have no share somewhere."""
    block = draw(st.sampled_from([4, 16, 64]))
    count = draw(st.integers(1, 6))
    some = st.lists(st.integers(0, 1000), min_size=count, max_size=count).filter(any)
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    weights = [draw(some) for _ in lengths]
    starts = np.cumsum([0, *lengths[:-1]]) * block
    stages = tuple(
        Stage(int(start), tuple(w / sum(each) for w in each)) for start, each in zip(starts, weights, strict=True)
    )
    rows = sum(lengths) * block - draw(st.integers(0, block - 1))
    sizes = draw(st.lists(st.integers(1, 60), min_size=count, max_size=count))
    return Plan(draw(st.integers(0, 99)), rows, tuple(Component(n, 1 / count) for n in sizes), block, stages)


@given(plan=staged())
def test_stages(plan: Plan) -> None:
    """Since a stage began each component is within a row of its share; epochs go on across it, so no row comes early."""
    ends = np.minimum(np.arange(len(plan.dealt)) * plan.block, plan.rows)
    assert (np.diff(plan.dealt, axis=0) >= 0).all()
    assert (plan.dealt.sum(axis=1) == ends).all()
    for stage, until in zip(plan.stages, [*(s.start for s in plan.stages[1:]), plan.rows], strict=True):
        first = stage.start // plan.block
        last = -(-until // plan.block)
        owed = (ends[first : last + 1] - stage.start)[:, None] * np.array(stage.shares)
        assert (np.abs(plan.dealt[first : last + 1] - plan.dealt[first] - owed) < 1 + 1e-6).all()
        assert (np.diff(plan.dealt[[first, last]], axis=0)[0][np.array(stage.shares) == 0] == 0).all()
    places = plan.lookup(np.arange(plan.rows))
    for number, component in enumerate(plan.components):
        mine = places.component == number
        rows, epochs = places.row[mine], places.epoch[mine]
        assert len(rows) == plan.dealt[-1, number]
        for end in ends:  # at every block end no row was seen twice more often than another
            seen = np.bincount(places.row[:end][mine[:end]], minlength=component.rows)
            assert seen.max() - seen.min() <= 1
        whole = len(rows) // component.rows
        for epoch in range(whole):
            assert sorted(rows[epochs == epoch].tolist()) == list(range(component.rows))
        left = rows[epochs == whole]
        assert len(set(left.tolist())) == len(left) == len(rows) % component.rows


@given(plan=staged(), cut=st.integers(0, 400))
def test_a_stage_begins_as_it_would_in_any_run(plan: Plan, cut: int) -> None:
    """A run cut short has the same whole blocks; one stage alone is the plan without stages."""
    rows = plan.rows - cut
    if rows > plan.stages[-1].start:
        short = Plan(plan.seed, rows, plan.components, plan.block, plan.stages)
        whole = np.arange(rows // plan.block * plan.block)
        assert all((a == b).all() for a, b in zip(short.lookup(whole), plan.lookup(whole), strict=True))
    first = plan.stages[0]
    components = tuple(Component(c.rows, s) for c, s in zip(plan.components, first.shares, strict=True))
    alone = Plan(plan.seed, plan.rows, components, plan.block)
    one = Plan(plan.seed, plan.rows, components, plan.block, (first,))
    assert (alone.dealt == one.dealt).all()


GOLDEN_STAGED = [(1, 0, 85180), (0, 0, 363), (2, 90, 1), (2, 268, 2), (2, 260, 1), (2, 776, 1), (2, 814, 0)]


def test_golden_stages() -> None:
    """Frozen, and read back from JSON as version 2."""
    stages = (Stage(0, (0.5, 0.3, 0.2)), Stage(2048, (0.0, 0.25, 0.75)))
    plan = Plan(17, 5000, (Component(700, 0.2), Component(90_000, 0.3), Component(3, 0.5)), stages=stages)
    places = plan.lookup([0, 1, 2047, 2048, 2049, 4998, 4999])
    assert list(zip(*(p.tolist() for p in places), strict=True)) == GOLDEN_STAGED
    assert plan.dealt[[2, -1]].tolist() == [[1024, 615, 409], [1024, 1353, 2623]]
    values = json.loads(json.dumps(plan.to_json()))
    assert values["plan_version"] == 2
    assert Plan.from_json(values) == plan
    assert plan.fingerprint == "37293486f44625b1346a494fc9c5e2de"


@pytest.mark.parametrize("starts", [(0, 1000), (1024,), (0, 2048, 1024), (0, 4096), (0, 0)])
def test_where_stages_may_not_begin(starts: tuple[int, ...]) -> None:
    """Off a block, late, in the wrong order, at the end, or twice at one row."""
    with pytest.raises(UsageError, match=r"begin at row 0, then each later .* a multiple of 1024 and before the end at 4096"):
        Plan(1, 4096, (Component(5, 1.0),), stages=tuple(Stage(start, (1.0,)) for start in starts))


def test_stages_have_shares_and_rows() -> None:
    """What holds for a plan's shares holds for a stage's."""
    parts = (Component(5, 1.0), Component(0, 0.0))
    with pytest.raises(UsageError, match="component number 1 of the plan has a share but no rows"):
        Plan(1, 4096, parts, stages=(Stage(0, (1.0, 0.0)), Stage(1024, (0.5, 0.5))))
    with pytest.raises(UsageError, match=r"sum to 0\.500000"):
        Plan(1, 4096, parts, stages=(Stage(0, (0.5, 0.0)),))
