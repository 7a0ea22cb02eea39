"""Edges, clusters and kept copies against plain Python, and against what may change around them."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_catalog.duplicates import DUPLICATE_EDGES, cluster_equal, cluster_linked, elect
from curator_catalog.edges import ALL_PAIRS_UP_TO, DDL, EdgeSummary, derive_edges
from tests.catalog.conftest import shuffled

ROWS = 2
Clusters = set[frozenset[int]]


@dataclass(frozen=True)
class Doc:
    """`key` identifies it, `rows` is its signature, of bands of two rows; None: it has none."""

    key: int
    rows: tuple[int, ...] | None
    scope: str | None = ""
    rank: int = 0

    @property
    def bands(self) -> list[int] | None:
        return (
            None
            if self.rows is None
            else [a * 1000 + b for a, b in zip(*[iter(self.rows)] * ROWS, strict=True)]
        )

    @property
    def signature(self) -> bytes | None:
        return None if self.rows is None else b"".join(row.to_bytes(4, "little") for row in self.rows)


def load(con: duckdb.DuckDBPyConnection, docs: Iterable[Doc], seed: int = 0) -> None:
    """Tables `measures` and `documents`, in an order and with doc_ids that depend on the seed."""
    docs, ids = shuffled(docs, seed)
    columns = {
        "doc_id": pa.array(ids, pa.uint64()),
        "doc_key": pa.array([str(key(d.key)) for d in docs], pa.string()),
        "scope": pa.array([d.scope for d in docs], pa.string()),
        "rank": pa.array([d.rank for d in docs], pa.int32()),
        "bands": pa.array([d.bands for d in docs], pa.list_(pa.int64())),
        "signature": pa.array([d.signature for d in docs], pa.binary()),
    }
    con.register("given", pa.table(columns))
    con.execute("CREATE OR REPLACE TABLE measures AS SELECT doc_id, scope, bands, signature FROM given")
    con.execute(
        "CREATE OR REPLACE TABLE documents AS SELECT doc_id, doc_key::UUID AS doc_key, scope, rank FROM given"
    )
    con.unregister("given")


def key(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def linked(
    con: duckdb.DuckDBPyConnection, present: Iterable[int], min_similarity: float | None = None
) -> Clusters:
    """Clusters, by doc_key, of the documents with these keys."""
    keys = [key(k) for k in present]
    con.execute("CREATE OR REPLACE TEMP TABLE present_keys AS SELECT unnest($1::UUID[]) AS doc_key", [keys])
    con.execute(
        "CREATE OR REPLACE TEMP VIEW population AS FROM documents SEMI JOIN present_keys USING (doc_key)"
    )
    n = cluster_linked(con, "population", "set", min_similarity=min_similarity, measures="measures")
    found = clusters(con)
    assert n == len(found)
    return found


def clusters(con: duckdb.DuckDBPyConnection) -> Clusters:
    found = set()
    for cluster_id, size, keys in con.sql(
        "SELECT cluster_id, any_value(cluster_size), list(doc_key) FROM clusters GROUP BY cluster_id"
    ).fetchall():
        assert min(keys) == cluster_id
        assert len(keys) == size
        found.add(frozenset(k.int for k in keys))
    return found


def expected(docs: Iterable[Doc], min_similarity: float | None = None) -> Clusters:
    """Union-find over all pairs: equal signatures, or a shared band and enough equal rows."""
    docs = [d for d in docs if d.rows is not None]
    root = {d.key: d.key for d in docs}

    def find(k: int) -> int:
        while root[k] != k:
            k = root[k]
        return k

    for x, y in itertools.combinations(docs, 2):
        share = any(a == b for a, b in zip(x.bands, y.bands, strict=True))
        equal = sum(a == b for a, b in zip(x.rows, y.rows, strict=True)) / len(x.rows)
        if (
            (x.scope or "") == (y.scope or "")
            and share
            and (min_similarity is None or equal >= min_similarity)
        ):
            root[find(x.key)] = find(y.key)
    groups: dict[int, set[int]] = {}
    for d in docs:
        groups.setdefault(find(d.key), set()).add(d.key)
    return {frozenset(g) for g in groups.values() if len(g) > 1}


@st.composite
def corpora(draw: st.DrawFn) -> list[Doc]:
    keys = draw(st.lists(st.integers(1, 2**128 - 1), unique=True, max_size=14))
    rows = st.none() | st.tuples(*[st.integers(0, 2)] * (3 * ROWS))
    return [Doc(k, draw(rows), draw(st.sampled_from(["", "", "a", None]))) for k in keys]


@settings(deadline=None, max_examples=60)
@given(docs=corpora(), data=st.data(), min_similarity=st.sampled_from([None, 0.5, 4 / 6, 0.7, 1.0]))
def test_clusters_are_those_of_a_brute_force_union_find(
    con: duckdb.DuckDBPyConnection, docs: list[Doc], data: st.DataObject, min_similarity: float | None
) -> None:
    """Of all documents, and of any part of them, over edges that were derived once from all."""
    load(con, docs)
    derive_edges(con, "measures", "set")
    for present in (docs, [d for d in docs if data.draw(st.booleans())]):
        assert linked(con, [d.key for d in present], min_similarity) == expected(present, min_similarity)


@settings(deadline=None, max_examples=20)
@given(docs=corpora(), seed=st.integers(1, 1000))
def test_order_and_numbering_change_nothing(
    con: duckdb.DuckDBPyConnection, docs: list[Doc], seed: int
) -> None:
    """The same documents in another order with other doc_ids: same groups, edges, clusters, kept copies."""

    def all_of_it(seed: int) -> list[object]:
        load(con, docs, seed)
        summary = derive_edges(con, "measures", "set")
        found = linked(con, [d.key for d in docs])
        elect(con, "population", "rank")
        kept = con.sql("SELECT doc_key FROM elected JOIN documents USING (doc_id) WHERE kept ORDER BY ALL")
        tables = [con.sql("FROM edges ORDER BY ALL"), con.sql("FROM truncated_buckets ORDER BY ALL"), kept]
        con.execute("CREATE OR REPLACE TEMP VIEW steps AS SELECT 'set' AS edge_set, 'minhash' AS step")
        seen = con.sql(f"""
            SELECT x.doc_key, y.doc_key, similarity FROM ({DUPLICATE_EDGES.format(steps="steps")})
            JOIN documents x ON x.doc_id = a JOIN documents y ON y.doc_id = b ORDER BY ALL""")
        return [summary, found, *(t.fetchall() for t in (*tables, seen))]

    assert all_of_it(0) == all_of_it(seed)


CHAIN = [
    Doc(9, (0, 0, 1, 1, 2, 2)),
    Doc(8, (0, 0, 3, 3, 4, 4)),
    Doc(7, (5, 5, 3, 3, 6, 6)),
    Doc(6, (5, 5, 7, 7, 8, 8)),
]


def test_a_bridge_that_is_dropped_parts_its_cluster(con: duckdb.DuckDBPyConnection) -> None:
    """9-8-7-6 is a chain; without 8, only 7 and 6 are left together."""
    load(con, CHAIN)
    derive_edges(con, "measures", "set")
    assert linked(con, [9, 8, 7, 6]) == {frozenset({9, 8, 7, 6})}
    assert linked(con, [9, 7, 6]) == {frozenset({7, 6})}
    assert linked(con, []) == set()


def test_a_hub_that_is_dropped_leaves_its_bucket_together(con: duckdb.DuckDBPyConnection) -> None:
    """Twenty documents share a bucket; whichever leave, the others stay linked."""
    docs = [Doc(k, (1, 1, 10 + k, k)) for k in range(1, 21)]
    load(con, docs)
    derive_edges(con, "measures", "set")
    for gone in range(1, 21):
        left = frozenset(range(1, 21)) - {gone}
        assert linked(con, left) == {left}


def test_a_representative_that_is_dropped_takes_no_copies_along(con: duckdb.DuckDBPyConnection) -> None:
    """Equal signatures share a group whose name is not a document's, so any of them can leave."""
    load(con, [Doc(1, (1, 1, 2, 2)), Doc(2, (1, 1, 2, 2)), Doc(3, (1, 1, 2, 2)), Doc(4, (1, 1, 5, 5))])
    assert derive_edges(con, "measures", "set") == EdgeSummary(4, 2, 1, 0, 1)
    for left in itertools.combinations([1, 2, 3, 4], 2):
        assert linked(con, left) == {frozenset(left)}


def crowd(n: int, seed: int = 1) -> list[Doc]:
    """n documents in one bucket, of three kinds that are alike within themselves, and one stranger."""
    rng = random.Random(seed)
    members = [
        Doc(rng.getrandbits(128), (1, 1, *[k % 3] * 3, rng.randrange(10**6), k % 3, rng.randrange(10**6)))
        for k in range(n)
    ]
    return [*members, Doc(rng.getrandbits(128), (9,) * 8)]


def test_a_crowded_bucket_stays_one_cluster_whoever_leaves(con: duckdb.DuckDBPyConnection) -> None:
    """Truncated links are made anew among those present, at any size."""
    docs = crowd(200)
    load(con, docs)
    summary = derive_edges(con, "measures", "set")
    assert 1 <= summary.truncated_buckets <= summary.shared_buckets
    assert summary.edges < 200 * 199 / 2
    keys = [d.key for d in docs]
    rng = random.Random(2)
    for size in (200, 199, 100, ALL_PAIRS_UP_TO + 1, ALL_PAIRS_UP_TO, 30, 2):
        present = rng.sample(keys[:-1], size)
        assert linked(con, [*present, keys[-1]]) == {frozenset(present)}


@pytest.mark.parametrize("min_similarity", [0.5, 0.6, 0.7])
def test_clusters_depend_on_the_population_alone(
    con: duckdb.DuckDBPyConnection, min_similarity: float
) -> None:
    """Edges derived from all and edges derived from the population give the same, crowded buckets too."""
    docs = crowd(300)
    load(con, docs)
    rng = random.Random(3)
    for size in (300, 150, ALL_PAIRS_UP_TO, 20):
        present = rng.sample(docs, size)
        load(con, docs)
        derive_edges(con, "measures", "set")
        among_all = linked(con, [d.key for d in present], min_similarity)
        load(con, present)
        derive_edges(con, "measures", "set")
        assert linked(con, [d.key for d in present], min_similarity) == among_all
        if size <= ALL_PAIRS_UP_TO:
            assert among_all == expected(present, min_similarity)


def test_min_similarity_is_a_slider(con: duckdb.DuckDBPyConnection) -> None:
    """A higher cut parts clusters, the same edges serving for all; an edge at the cut is in."""
    load(con, [Doc(1, (1, 1, 2, 2)), Doc(2, (1, 1, 2, 3)), Doc(3, (1, 1, 5, 5))])
    derive_edges(con, "measures", "set")
    assert linked(con, [1, 2, 3], 0.5) == {frozenset({1, 2, 3})}
    assert linked(con, [1, 2, 3], 0.75) == {frozenset({1, 2})}
    assert linked(con, [1, 2, 3], 0.76) == set()


def test_without_signatures_there_are_edges_but_no_slider(con: duckdb.DuckDBPyConnection) -> None:
    load(con, [Doc(1, (1, 1, 2, 2)), Doc(2, (1, 1, 2, 3))])
    con.execute("UPDATE measures SET signature = NULL")
    derive_edges(con, "measures", "set")
    assert linked(con, [1, 2]) == {frozenset({1, 2})}
    with pytest.raises(ValueError, match="measured without them"):
        linked(con, [1, 2], 0.5)


def test_truncated_buckets_need_signatures(con: duckdb.DuckDBPyConnection) -> None:
    """A cut over edges alone needs none, unless links of a truncated bucket are to be made anew."""
    load(con, CHAIN)
    derive_edges(con, "measures", "set")
    assert cluster_linked(con, "documents", "set", min_similarity=0.3) == 1
    load(con, crowd(80))
    derive_edges(con, "measures", "set")
    with pytest.raises(ValueError, match="pass measures"):
        cluster_linked(con, "documents", "set", min_similarity=0.5)


def test_scopes_do_not_meet(con: duckdb.DuckDBPyConnection) -> None:
    """Equal signatures in two scopes are two groups, no edge between them; a NULL scope is the empty one."""
    docs = [
        Doc(1, (1, 1), "a"),
        Doc(2, (1, 1), "b"),
        Doc(3, (1, 1), "a"),
        Doc(4, (1, 1), None),
        Doc(5, (1, 1), ""),
    ]
    load(con, docs)
    assert derive_edges(con, "measures", "set").edges == 0
    assert linked(con, [1, 2, 3, 4, 5]) == {frozenset({1, 3}), frozenset({4, 5})}


def test_edge_sets_stand_side_by_side_and_replace_themselves(con: duckdb.DuckDBPyConnection) -> None:
    load(con, CHAIN)
    derive_edges(con, "measures", "other")
    derive_edges(con, "measures", "set")
    first = con.sql("FROM edges WHERE edge_set = 'set' ORDER BY ALL").fetchall()
    assert len(first) == 3
    con.execute("BEGIN")
    derive_edges(con, "measures", "set")
    con.execute("COMMIT")
    assert con.sql("FROM edges WHERE edge_set = 'set' ORDER BY ALL").fetchall() == first
    con.execute("DELETE FROM measures")
    assert derive_edges(con, "measures", "other") == EdgeSummary(0, 0, 0, 0, 0)
    assert con.sql("SELECT DISTINCT edge_set FROM edges").fetchall() == [("set",)]


def test_equal_values_in_a_scope_are_a_cluster(con: duckdb.DuckDBPyConnection) -> None:
    """NULL is equal to nothing, not even to NULL."""
    rows = [
        (1, "x", "a"),
        (2, "x", "a"),
        (3, "x", "b"),
        (4, None, "a"),
        (5, None, "a"),
        (6, "y", None),
        (7, "y", ""),
    ]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE hashed (doc_id UBIGINT, doc_key UUID, hash VARCHAR, scope VARCHAR)"
    )
    con.executemany("INSERT INTO hashed VALUES (?, ?, ?, ?)", [(100 - k, key(k), h, s) for k, h, s in rows])
    assert cluster_equal(con, "hashed", "hash") == 2
    assert clusters(con) == {frozenset({1, 2}), frozenset({6, 7})}


@pytest.mark.parametrize(
    ("order_by", "kept"), [("rank", 3), ("rank DESC NULLS LAST", 1), ("rank % 1, scope", 1)]
)
def test_the_kept_copy_is_the_first_by_policy_then_by_key(
    con: duckdb.DuckDBPyConnection, order_by: str, kept: int
) -> None:
    """Exactly one copy is kept, all know it, and ties go to the smallest doc_key, whatever the doc_ids."""
    docs = [Doc(1, (1, 1), rank=5), Doc(2, (1, 1), rank=5), Doc(3, (1, 1), rank=0), Doc(4, (2, 2))]
    for seed in range(4):
        load(con, docs, seed)
        derive_edges(con, "measures", "set")
        linked(con, [1, 2, 3, 4])
        elect(con, "population", order_by)
        found = con.sql("""
            SELECT d.doc_key, kept, k.doc_key, cluster_size, cluster_id FROM elected e
            JOIN documents d USING (doc_id) JOIN documents k ON k.doc_id = kept_copy ORDER BY 1""").fetchall()
        assert found == [(key(k), k == kept, key(kept), 3, key(1)) for k in (1, 2, 3)]


def test_a_kept_copy_that_is_dropped_hands_over(con: duckdb.DuckDBPyConnection) -> None:
    load(con, [Doc(1, (1, 1), rank=0), Doc(2, (1, 1), rank=1), Doc(3, (1, 1), rank=2)])
    derive_edges(con, "measures", "set")
    for present, kept in (([1, 2, 3], 1), ([2, 3], 2)):
        linked(con, present)
        elect(con, "population", "rank")
        assert con.sql("SELECT doc_key FROM elected JOIN documents USING (doc_id) WHERE kept").fetchall() == [
            (key(kept),)
        ]


def test_users_see_edges_between_documents(con: duckdb.DuckDBPyConnection) -> None:
    """A group stands by its document of smallest key; its others are edges of similarity 1 to that one."""
    load(con, [Doc(1, (1, 1, 2, 2)), Doc(2, (1, 1, 2, 2)), Doc(3, (1, 1, 2, 3)), Doc(4, (7, 7, 7, 7))])
    derive_edges(con, "measures", "set")
    con.execute("CREATE OR REPLACE TEMP VIEW steps AS SELECT 'set' AS edge_set, 'minhash' AS step")
    found = con.sql(f"""
        SELECT x.doc_key, y.doc_key, step, similarity FROM ({DUPLICATE_EDGES.format(steps="steps")})
        JOIN documents x ON x.doc_id = a JOIN documents y ON y.doc_id = b ORDER BY ALL""").fetchall()
    assert found == [(key(1), key(2), "minhash", 1.0), (key(1), key(3), "minhash", 0.75)]


def test_clusters_need_no_right_to_write(con: duckdb.DuckDBPyConnection, tmp_path: object) -> None:
    """On a read-only connection without external access, with a transaction open around it."""
    path = f"{tmp_path}/catalog.duckdb"
    with duckdb.connect(path) as writer:
        writer.execute(DDL)
        load(writer, crowd(80))
        derive_edges(writer, "measures", "set")
    with duckdb.connect(path, read_only=True, config={"enable_external_access": False}) as reader:
        reader.execute("BEGIN")
        for min_similarity in (None, 0.5):
            n = cluster_linked(reader, "documents", "set", min_similarity=min_similarity, measures="measures")
            elect(reader, "documents", "rank")
            assert n == (1 if min_similarity is None else 3)
