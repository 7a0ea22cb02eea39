"""Vectors -> edges between documents of like meaning: k-means, then cosines within each cluster (SemDeDup).

As Abbas et al. 2023 (SemDeDup, arXiv 2303.09540): only vectors of one k-means cluster are compared, so n
vectors in k clusters cost n * k and n**2 / k products instead of n**2; pairs that a border parts are missed.
Unlike there, all pairs from `store_above` on are stored as edges, so that the cut can move afterwards, and
one document of a connected component is kept, where SemDeDup keeps each that resembles none before it.

Vectors are whole numbers of one byte. Their products and sums of products are whole numbers that float32
holds exactly up to 1,024 dimensions (float64 beyond), so neither the order of rows nor blocks nor the BLAS
changes a similarity. Documents of equal vectors in one scope are a *group*, named as in `edges`; k-means
starts from groups chosen by `seed` and trains on the first `SAMPLE` by key, a uniform sample as keys are
hashes. So the edges are a function of the documents alone; k-means may yet put a pair on two sides of a
border when others arrive, unless there is one cluster.

Cost: one cluster's vectors and blocks of 2,048 x 2,048 similarities in memory, 21 bytes an edge on disk. A
cluster of n vectors that all resemble each other has n**2 / 2 edges. Without `clusters`, one cluster for
10,000 vectors (the paper's LAION: 440 M vectors, 50,000 clusters): below that every pair is compared.
Rejected: scipy's kmeans2 (Euclidean, in float64), and an index of nearest neighbours, a dependency whose
recall depends on the order of insertion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType
from numpy.typing import NDArray
from scipy.sparse import csr_array

from curator_catalog.edges import EdgeSummary, number
from curator_catalog.plans import Vectors

VECTORS_IN_A_CLUSTER = 10_000
SAMPLE = 1 << 17
ITERATIONS = 20
BLOCK = 2_048
DIGITS = 4
IN_BULK = 1 << 20

Vectors8 = NDArray[np.int8]


def derive_vector_edges(
    con: duckdb.DuckDBPyConnection, measures: str, edge_set: str, vectors: Vectors
) -> EdgeSummary:
    """Replace the rows of `edge_set` by what `measures` says.

    `measures` names a relation (doc_id, scope, vector TINYINT[]), vectors of one length; rows without a vector
    are in no group. An edge's similarity is the cosine, rounded to 4 digits. Runs inside the caller's
    transaction, if there is one.
    """
    name = {"edge_set": edge_set}
    for table in ("edge_groups", "edges", "truncated_buckets"):
        con.execute(f"DELETE FROM {table} WHERE edge_set = $edge_set", name)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE grouped AS
        SELECT doc_id, coalesce(scope, '') AS scope,
            md5_number_lower(coalesce(scope, '') || vector::VARCHAR) AS group_key
        FROM {measures} WHERE len(vector) > 0""")
    con.execute("INSERT INTO edge_groups SELECT $edge_set, doc_id, group_key FROM grouped", name)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE grouped_vectors AS
        SELECT one.scope, one.group_key, m.vector FROM {measures} m JOIN (
            SELECT min(doc_id) AS doc_id, scope, group_key FROM grouped GROUP BY scope, group_key
        ) one ON one.doc_id = m.doc_id""")
    _place(con, vectors)
    for pairs in _in_bulk(_similar(con, vectors.store_above)):
        con.register("similar_pairs", pairs)
        con.execute("INSERT INTO edges SELECT $edge_set, a, b, similarity, false FROM similar_pairs", name)
        con.unregister("similar_pairs")
    summary = EdgeSummary(
        documents=number(con, "SELECT count(*) FROM grouped"),
        groups=number(con, "SELECT count(*) FROM grouped_vectors"),
        edges=number(con, "SELECT count(*) FROM edges WHERE edge_set = $edge_set", name),
        truncated_buckets=0,
    )
    con.execute("DROP TABLE grouped; DROP TABLE grouped_vectors; DROP TABLE placed")
    return summary


def _place(con: duckdb.DuckDBPyConnection, vectors: Vectors) -> None:
    """Temp table `placed` (cluster, group_key, vector), in order; clusters are numbered over all scopes."""
    con.execute("CREATE OR REPLACE TEMP TABLE labelled (group_key UBIGINT, label BIGINT)")
    for scope, size in con.execute("SELECT scope, count(*) FROM grouped_vectors GROUP BY scope").fetchall():
        k = min(size, vectors.clusters or -(-size // VECTORS_IN_A_CLUSTER))
        if k == 1:
            continue
        sampled = "SELECT vector FROM grouped_vectors WHERE scope = ? ORDER BY group_key LIMIT ?"
        sample = _read(con, sampled, [scope, SAMPLE]).column("vector")
        nearest = _Nearest(_centroids(_matrix(sample), k, vectors.seed))
        con.create_function("nearest_centroid", nearest, ["TINYINT[]"], "BIGINT", type=PythonUDFType.ARROW)
        try:
            con.execute(
                "INSERT INTO labelled SELECT group_key, nearest_centroid(vector) FROM grouped_vectors WHERE scope = ?",
                [scope],
            )
        finally:
            con.remove_function("nearest_centroid")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE placed AS
        WITH numbered AS (
            SELECT group_key, dense_rank() OVER (ORDER BY scope, label) AS cluster
            FROM (SELECT scope, group_key FROM grouped_vectors) LEFT JOIN labelled USING (group_key))
        SELECT cluster, group_key, vector FROM numbered JOIN grouped_vectors USING (group_key)
        ORDER BY cluster, group_key""")
    con.execute("DROP TABLE labelled")


def _similar(con: duckdb.DuckDBPyConnection, least: float) -> Iterator[pa.Table]:
    """The similar pairs (a, b, similarity) of each cluster: group keys a < b."""
    for keys, found in _clusters(con):
        for a, b, similarity in _similar_pairs(found, least):
            x, y = keys[a], keys[b]
            yield pa.table({"a": np.minimum(x, y), "b": np.maximum(x, y), "similarity": similarity})


def _in_bulk(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: to insert each alone would take longer than to find it."""
    some: list[pa.Table] = []
    rows = 0
    for table in tables:
        some.append(table)
        rows += len(table)
        if rows >= IN_BULK:
            yield pa.concat_tables(some)
            some, rows = [], 0
    if some:
        yield pa.concat_tables(some)


def _clusters(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[NDArray[np.uint64], Vectors8]]:
    """Group keys uint64[n] and vectors int8[n, dimensions] of each cluster of two or more."""
    sizes = con.execute("SELECT cluster, count(*) FROM placed GROUP BY cluster ORDER BY cluster").fetchall()
    first, total = 1, 0
    # small clusters are read together: a query for each would take longer than their products
    for i, (cluster, size) in enumerate(sizes):
        total += size
        if i + 1 < len(sizes) and total + sizes[i + 1][1] <= VECTORS_IN_A_CLUSTER:
            continue
        query = "FROM placed WHERE cluster BETWEEN ? AND ? ORDER BY cluster, group_key"
        read = _read(con, query, [first, cluster])
        keys, found = read.column("group_key").to_numpy(), _matrix(read.column("vector"))
        at = 0
        for _, n in sizes[first - 1 : cluster]:
            if n > 1:
                yield keys[at : at + n], found[at : at + n]
            at += n
        first, total = cluster + 1, 0


def _similar_pairs(
    found: Vectors8, least: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Rows a < b of `found` and their cosine, where it is at least `least`, block by block."""
    norms = _norms(found)
    for i in range(0, len(found), BLOCK):
        for j in range(i, len(found), BLOCK):
            products = _products(found[i : i + BLOCK], found[j : j + BLOCK])
            cosines = products / np.outer(norms[i : i + BLOCK], norms[j : j + BLOCK])
            a, b = np.nonzero(cosines >= least - 10.0**-DIGITS)
            rounded = np.round(cosines[a, b], DIGITS)
            pairs = (rounded >= least) & (a + i < b + j)
            if pairs.any():
                yield a[pairs] + i, b[pairs] + j, rounded[pairs].astype(np.float32)


def _centroids(sample: Vectors8, k: int, seed: int) -> Vectors8:
    """int8[at most k, dimensions]: spherical k-means of a sample, from k of its vectors."""
    k = min(k, len(sample))
    centroids = sample[np.random.default_rng(seed).choice(len(sample), k, replace=False)]
    weights = 1 / _norms(sample)
    for _ in range(ITERATIONS):
        nearest, sums = _Nearest(centroids), np.zeros(centroids.shape)
        for i in range(0, len(sample), BLOCK):
            rows, weight = sample[i : i + BLOCK], weights[i : i + BLOCK]
            place = (nearest.of(rows), np.arange(len(rows)))
            sums += csr_array((weight, place), shape=(k, len(rows))) @ rows.astype(np.float64)
        largest = np.abs(sums).max(axis=1, keepdims=True)
        moved = np.rint(sums * 127 / np.where(largest > 0, largest, 1)).astype(np.int8)
        moved = np.where(largest > 0, moved, centroids)  # nobody's centroid stays where it is
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


class _Nearest:
    """The centroid of largest cosine; of equal ones the first. Called by DuckDB, for a column of vectors."""

    def __init__(self, centroids: Vectors8) -> None:
        self._centroids = centroids
        self._norms = _norms(centroids)

    def of(self, rows: Vectors8) -> NDArray[np.int64]:
        nearest: NDArray[np.int64] = np.argmax(_products(rows, self._centroids) / self._norms, axis=1)
        return nearest

    def __call__(self, vectors: pa.ChunkedArray) -> pa.Array:
        return pa.array(self.of(_matrix(vectors)) if len(vectors) else [], pa.int64())


def _read(con: duckdb.DuckDBPyConnection, query: str, parameters: list[object]) -> pa.Table:
    return con.sql(query, params=parameters).to_arrow_table()


def _matrix(vectors: pa.ChunkedArray) -> Vectors8:
    """int8[rows, dimensions] of a column of lists of one length."""
    rows = vectors.combine_chunks()
    values: Vectors8 = rows.flatten().to_numpy()
    return values.reshape(len(rows), -1)


def _norms(rows: Vectors8) -> NDArray[np.float64]:
    """Euclidean lengths; 1 for a vector of zeros, whose cosine with any is then 0."""
    squares: NDArray[np.int64] = np.einsum("ij,ij->i", rows, rows, dtype=np.int64)
    return np.sqrt(np.maximum(squares, 1))


def _products(x: Vectors8, y: Vectors8) -> NDArray[np.floating[Any]]:
    """The dot products [rows of x, rows of y], exactly: each of their terms is at most 2**14."""
    kind = np.float32 if x.shape[1] <= 2 ** (24 - 14) else np.float64
    left: NDArray[Any] = x.astype(kind)
    products: NDArray[np.floating[Any]] = left @ y.astype(kind).T
    return products
