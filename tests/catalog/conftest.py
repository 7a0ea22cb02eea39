"""A database with the tables of edges, and documents in an order that a seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

import duckdb
import pytest

from curator_catalog.edges import DDL

Doc = TypeVar("Doc")


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute(DDL)
        yield con


def shuffled(docs: Iterable[Doc], seed: int) -> tuple[list[Doc], list[int]]:
    """The documents in another order, and doc_ids for them."""
    rng = random.Random(seed)
    listed = list(docs)
    rng.shuffle(listed)
    return listed, rng.sample(range(2**40), len(listed))
