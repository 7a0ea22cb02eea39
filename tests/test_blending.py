"""The blended stream: shares hold everywhere, epochs are permutations, stages follow one another."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.blending import blend

Sizes = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def frame(components: dict[str, list[int]]) -> pl.DataFrame:
    rows = [(f"{name}{n}", name, size) for name, sizes in components.items() for n, size in enumerate(sizes)]
    return pl.DataFrame(rows, schema=["doc_key", "component", "tokens"], orient="row")


@settings(deadline=None, max_examples=60)
@given(Sizes, Sizes, st.floats(0.05, 0.95), st.integers(1, 3000))
def test_shares_hold_in_every_stretch(one: list[int], two: list[int], share: float, tokens: int) -> None:
    """Up to the documents that are under way, and no document comes an epoch earlier than another."""
    stream = blend(frame({"a": one, "b": two}), [(0.0, {"a": share, "b": 1 - share})], tokens, 17)
    lengths = stream["tokens"].to_numpy()
    of_a = (stream["component"] == "a").to_numpy()
    longest = max([*one, *two])
    assert tokens <= lengths.sum() <= tokens + 2 * longest
    reached, of_a_reached = np.cumsum(lengths), np.cumsum(lengths * of_a)
    assert np.abs(of_a_reached - share * reached).max() <= 2 * longest
    for name, sizes in (("a", one), ("b", two)):
        of = stream.filter(pl.col("component") == name)
        for epoch in range(int(of["epoch"].max() or 0)):  # type: ignore[call-overload]  # it is a number
            assert sorted(of.filter(pl.col("epoch") == epoch)["doc_key"]) == sorted(f"{name}{n}" for n in range(len(sizes)))
        last = of.filter(pl.col("epoch") == of["epoch"].max())["doc_key"]
        assert last.n_unique() == len(last)


def test_stages_change_the_shares() -> None:
    """A component with no share in a stage waits, and goes on in its epoch."""
    stages = [(0.0, {"a": 1.0}), (0.5, {"b": 1.0}), (0.75, {"a": 0.5, "b": 0.5})]
    stream = blend(frame({"a": [10] * 100, "b": [10] * 100}), stages, 1000, 3)
    names = "".join(stream["component"])
    assert names[:50] == "a" * 50
    assert names[50:75] == "b" * 25
    assert names[75:].count("a") == pytest.approx(12.5, abs=1)
    assert stream["epoch"].to_list() == [0] * len(stream)
    assert stream["doc_key"].n_unique() == len(stream)


def test_later_epochs_have_another_order() -> None:
    """The first is that of the documents, and the same arguments give the same stream."""
    documents = frame({"a": [10] * 20})
    stream = blend(documents, [(0.0, {"a": 1.0})], 600, 3)
    orders = [stream.filter(pl.col("epoch") == e)["doc_key"].to_list() for e in range(3)]
    assert orders[0] == documents["doc_key"].to_list()
    assert len({tuple(o) for o in orders}) == 3
    assert stream.equals(blend(documents, [(0.0, {"a": 1.0})], 600, 3))
    assert not stream.equals(blend(documents, [(0.0, {"a": 1.0})], 600, 4))
