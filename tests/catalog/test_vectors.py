"""Edges between vectors against plain Python, and against what may change around them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_catalog.duplicates import cluster_linked
from curator_catalog.edges import EdgeSummary
from curator_catalog.plans import Vectors
from curator_catalog.vectors import BLOCK, VECTORS_IN_A_CLUSTER, derive_vector_edges
from tests.catalog.conftest import shuffled

ALL_PAIRS = Vectors("vector", clusters=1, store_above=0.8)
#: (key, key) of documents of least key in their groups -> similarity
Edges = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Doc:
    """`key` identifies it; None: it has no vector."""

    key: int
    vector: tuple[int, ...] | None
    scope: str | None = ""


def load(con: duckdb.DuckDBPyConnection, docs: Iterable[Doc], seed: int = 0) -> None:
    """Tables `measures` and `documents`, in an order and with doc_ids that depend on the seed."""
    docs, ids = shuffled(docs, seed)
    columns = {
        "doc_id": pa.array(ids, pa.uint64()),
        "key": pa.array([d.key for d in docs], pa.uint64()),
        "scope": pa.array([d.scope for d in docs], pa.string()),
        "vector": pa.array([d.vector for d in docs], pa.list_(pa.int8())),
    }
    con.register("given", pa.table(columns))
    con.execute("CREATE OR REPLACE TABLE measures AS SELECT doc_id, scope, vector FROM given")
    con.execute(
        "CREATE OR REPLACE TABLE documents AS SELECT doc_id, key, scope, md5(key::VARCHAR)::UUID AS doc_key FROM given"
    )
    con.unregister("given")


def edges(con: duckdb.DuckDBPyConnection) -> Edges:
    rows = con.execute("""
        WITH firsts AS (
            SELECT group_key, min(key) AS key FROM edge_groups JOIN documents USING (doc_id)
            WHERE edge_set = 'set' GROUP BY group_key)
        SELECT least(x.key, y.key), greatest(x.key, y.key), similarity, a < b AND NOT truncated
        FROM edges JOIN firsts x ON x.group_key = a JOIN firsts y ON y.group_key = b
        WHERE edge_set = 'set'""").fetchall()
    assert all(as_declared for *_, as_declared in rows)
    found = {(a, b): round(similarity, 4) for a, b, similarity, _ in rows}
    assert len(found) == len(rows)
    return found


def expected(docs: Iterable[Doc], store_above: float) -> Edges:
    """The cosine of every pair of different vectors in one scope, in whole numbers until the last step."""
    firsts: dict[tuple[str, tuple[int, ...]], int] = {}
    for d in docs:
        if d.vector is not None:
            at = (d.scope or "", d.vector)
            firsts[at] = min(d.key, firsts.get(at, d.key))
    found = {}
    for (scope, x), a in firsts.items():
        for (other, y), b in firsts.items():
            squares = sum(v * v for v in x) * sum(v * v for v in y)
            if scope == other and a < b and squares:
                cosine = round(sum(v * w for v, w in zip(x, y, strict=True)) / math.sqrt(squares), 4)
                if cosine >= store_above:
                    found[a, b] = cosine
    return found


@st.composite
def corpora(draw: st.DrawFn) -> list[Doc]:
    keys = draw(st.lists(st.integers(1, 2**40), unique=True, max_size=14))
    vectors = st.none() | st.tuples(*[st.sampled_from([-127, -1, 0, 2, 3, 127])] * 3)
    return [Doc(k, draw(vectors), draw(st.sampled_from(["", "", "a", None]))) for k in keys]


@settings(deadline=None, max_examples=60)
@given(docs=corpora(), store_above=st.sampled_from([0.5, 0.8, 0.9545, 1.0]))
def test_in_one_cluster_every_similar_pair_is_an_edge(
    con: duckdb.DuckDBPyConnection, docs: list[Doc], store_above: float
) -> None:
    """Exactly those of a brute force over whole numbers, with its similarities; scopes do not meet."""
    load(con, docs)
    derive_vector_edges(con, "measures", "set", Vectors("vector", 1, 1, store_above))
    assert edges(con) == expected(docs, store_above)


def made(n: int, dimensions: int, seed: int = 0) -> list[Doc]:
    """Random vectors, every third one near another."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-127, 128, (n, dimensions))
    near = vectors[: n // 3] + rng.integers(-9, 10, (n // 3, dimensions))
    vectors[-len(near) :] = np.clip(near, -127, 127)
    return [Doc(key, tuple(vector)) for key, vector in enumerate(vectors.tolist(), start=1)]


def test_blocks_and_their_borders(con: duckdb.DuckDBPyConnection) -> None:
    """More vectors than a block holds: the pairs are those of one float64 product of all."""
    docs = made(BLOCK + 500, 8)
    load(con, docs)
    derive_vector_edges(con, "measures", "set", Vectors("vector", 1, 1, 0.95))
    vectors = np.array([d.vector for d in docs], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.round(vectors @ vectors.T, 4)
    a, b = np.nonzero(np.triu(cosines >= 0.95, 1))
    found = edges(con)
    assert found.keys() == {(x + 1, y + 1) for x, y in zip(a.tolist(), b.tolist(), strict=True)}
    assert len(found) > 800
    assert max(abs(s - cosines[x - 1, y - 1]) for (x, y), s in found.items()) < 1e-9


def test_many_small_scopes_are_read_together(con: duckdb.DuckDBPyConnection) -> None:
    """Scopes that together pass what is read at once keep their own pairs, and only these."""
    pairs = [((100, k % 100, k // 100), (101, k % 100, k // 100)) for k in range(VECTORS_IN_A_CLUSTER)]
    docs = [Doc(2 * k + i, v, f"scope {k}") for k, pair in enumerate(pairs) for i, v in enumerate(pair)]
    load(con, docs)
    summary = derive_vector_edges(con, "measures", "set", Vectors("vector", None, 1, 0.99))
    assert summary == EdgeSummary(2 * len(pairs), 2 * len(pairs), len(pairs), 0)
    assert edges(con).keys() == {(2 * k, 2 * k + 1) for k in range(len(pairs))}


@pytest.mark.parametrize("dimensions", [1024, 1025, 3000])
def test_many_dimensions_stay_exact(con: duckdb.DuckDBPyConnection, dimensions: int) -> None:
    """The largest components in as many dimensions as float32 bears, and in more."""
    docs = [Doc(k, (127,) * (dimensions - k) + (-126,) * k) for k in range(1, 40)]
    load(con, docs)
    derive_vector_edges(con, "measures", "set", ALL_PAIRS)
    assert edges(con) == expected(docs, 0.8)


@settings(deadline=None, max_examples=20)
@given(
    docs=corpora(),
    seed=st.integers(1, 1000),
    clusters=st.sampled_from([None, 1, 2, 3, 50]),
    k=st.integers(0, 3),
)
def test_order_and_numbering_change_nothing(
    con: duckdb.DuckDBPyConnection, docs: list[Doc], seed: int, clusters: int | None, k: int
) -> None:
    """The same documents in another order with other doc_ids: the same groups and edges."""
    load(con, docs)
    vectors = Vectors("vector", clusters, k, 0.5)
    first = derive_vector_edges(con, "measures", "set", vectors), edges(con)
    load(con, docs, seed)
    assert (derive_vector_edges(con, "measures", "set", vectors), edges(con)) == first


def test_clusters_of_many_vectors_do_not_depend_on_their_order(con: duckdb.DuckDBPyConnection) -> None:
    """Nor on what else is asked for; another seed starts k-means elsewhere. Edges are some of all."""
    docs = made(4000, 6)
    found = []
    for order, seed in ((0, 1), (9, 1), (0, 2)):
        load(con, docs, order)
        derive_vector_edges(con, "measures", "set", Vectors("vector", 12, seed, 0.97))
        found.append(edges(con))
    derive_vector_edges(con, "measures", "set", Vectors("vector", 1, 1, 0.97))
    everything = edges(con)
    assert found[0] == found[1] != found[2]
    assert found[0].items() <= everything.items()
    assert 0.7 * len(everything) < len(found[0]) < len(everything)


def test_directions_that_lie_apart_are_clusters(con: duckdb.DuckDBPyConnection) -> None:
    """Where k-means has borders to find, none parts a pair: as in SemDeDup, but with all edges."""
    rng = np.random.default_rng(5)
    middles = np.eye(8) * 80
    vectors = np.rint(np.repeat(middles, 50, axis=0) + rng.normal(0, 10, (400, 8))).astype(int)
    docs = [Doc(key, tuple(v)) for key, v in enumerate(vectors.tolist(), start=1)]
    load(con, docs)
    derive_vector_edges(con, "measures", "set", Vectors("vector", 8, 3, 0.8))
    some = edges(con)
    derive_vector_edges(con, "measures", "set", ALL_PAIRS)
    assert some.items() <= edges(con).items()
    assert len(some) > 0.6 * len(edges(con))


def test_the_cut_is_a_slider_over_stored_edges(con: duckdb.DuckDBPyConnection) -> None:
    """Cosines of 0.96 and 0.8944: linked at the cut and below it. No signatures are needed for it."""
    load(con, [Doc(1, (4, 3)), Doc(2, (3, 4)), Doc(3, (0, 1)), Doc(4, (0, 1)), Doc(5, None)])
    assert derive_vector_edges(con, "measures", "set", Vectors("vector", None, 1, 0.8)) == EdgeSummary(
        4, 3, 2, 0
    )
    assert edges(con) == {(1, 2): 0.96, (2, 3): 0.8}

    def members(cut: float) -> set[frozenset[int]]:
        cluster_linked(con, "documents", "set", min_similarity=cut)
        found = con.sql("SELECT list(key) FROM clusters JOIN documents USING (doc_id) GROUP BY cluster_id")
        return {frozenset(keys) for (keys,) in found.fetchall()}

    assert members(0.97) == {frozenset({3, 4})}
    assert members(0.96) == members(0.81) == {frozenset({1, 2}), frozenset({3, 4})}
    assert members(0.8) == {frozenset({1, 2, 3, 4})}


def test_edge_sets_stand_side_by_side_and_replace_themselves(con: duckdb.DuckDBPyConnection) -> None:
    load(con, made(60, 4))
    con.execute("DELETE FROM edges")
    derive_vector_edges(con, "measures", "other", ALL_PAIRS)
    derive_vector_edges(con, "measures", "set", ALL_PAIRS)
    first = edges(con)
    assert len(first) >= 20
    derive_vector_edges(con, "measures", "set", ALL_PAIRS)
    assert edges(con) == first
    con.execute("DELETE FROM measures")
    assert derive_vector_edges(con, "measures", "other", ALL_PAIRS) == EdgeSummary(0, 0, 0, 0)
    assert con.sql("SELECT DISTINCT edge_set FROM edges").fetchall() == [("set",)]
