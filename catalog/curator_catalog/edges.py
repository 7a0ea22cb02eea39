"""Band keys -> edges between near copies, in SQL.

Documents with the same band keys (so, the same signature) in the same scope are one *group*, named by a
hash of scope and keys: a name that no document's arrival or leaving changes. Groups that share a bucket (a
band and its key) are linked, band by band, so that only one band's rows are in flight and DuckDB spills
what memory does not hold. In a bucket of at most 64 groups every pair is an edge: star edges miss 21 % of
the pairs at a Jaccard similarity of 0.85 and more, and break when their hub leaves. In a larger one each
group is linked to the 8 after it and the 8 first by key, the edge is marked `truncated`, and the bucket's
groups are kept in `truncated_buckets`, from which the links among those still in the running are made anew.

`similarity` is the share of equal positions of two signatures, by an Arrow function in the query itself:
DuckDB joins the signatures out of core, 2,048 edges at a time reach numpy.

Cost: 1,000,000 documents x 14 bands in 5 s, 3,000,000 in 19 s on two cores within 1 GB; 1 µs an edge.
Rejected: one exploded table of all bands (14 times the spill), and DuckDB's `hash()` for group keys (not
promised stable across versions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType
from numpy.typing import NDArray

ALL_PAIRS_UP_TO = 64
NEIGHBOURS = 8
_ODD = np.uint64(0x9E3779B97F4A7C15)

#: the catalog has them in its schema `store`, with comments (migration 0001)
DDL = """
CREATE TABLE edge_groups (edge_set VARCHAR, doc_id UBIGINT, group_key UBIGINT);
CREATE TABLE edges (edge_set VARCHAR, a UBIGINT, b UBIGINT, similarity FLOAT, truncated BOOLEAN);
CREATE TABLE truncated_buckets (edge_set VARCHAR, band USMALLINT, bucket BIGINT, group_key UBIGINT);
"""


@dataclass(frozen=True)
class EdgeSummary:
    """What `derive_edges` stored."""

    documents: int
    groups: int
    edges: int
    truncated_buckets: int
    shared_buckets: int = 0  #: buckets that more than one group is in, the truncated among them


def derive_edges(
    con: duckdb.DuckDBPyConnection, measures: str, edge_set: str, *, exact: bool = False
) -> EdgeSummary:
    """Replace the rows of `edge_set` by what `measures` says.

    `measures` names a relation (doc_id, scope, bands BIGINT[], signature BLOB); rows without bands are in
    no group. `exact`: `signature` is a sorted set, and similarities are true ones. Runs inside the caller's transaction, if there is one.
    """
    name = {"edge_set": edge_set}
    for table in ("edge_groups", "edges", "truncated_buckets"):
        con.execute(f"DELETE FROM {table} WHERE edge_set = $edge_set", name)
    bands = number(con, f"SELECT coalesce(max(len(bands)), 0) FROM {measures}")
    # buckets of different scopes must not meet
    salt = "CASE WHEN coalesce(scope, '') = '' THEN 0 ELSE (md5_number_lower(scope) >> 1)::BIGINT END"
    with _function(con, "group_key", _group_key, ["BIGINT", "BIGINT[]"], "UBIGINT"):
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE grouped AS
            SELECT doc_id, group_key({salt}, bands) AS group_key FROM {measures} WHERE len(bands) > 0""")
    con.execute("INSERT INTO edge_groups SELECT $edge_set, doc_id, group_key FROM grouped", name)
    # A group's members have equal bands and signatures, so any of them can stand for it here. A column for
    # each band, so that a band's turn reads its own alone.
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE banded AS
        SELECT group_key, doc_id, {"".join(f"xor(bands[{b}], salt) AS band_{b}, " for b in range(1, bands + 1))}
        FROM (SELECT doc_id, bands, {salt} AS salt FROM {measures})
        JOIN (SELECT group_key, min(doc_id) AS doc_id FROM grouped GROUP BY group_key) USING (doc_id)""")
    con.execute("CREATE OR REPLACE TEMP TABLE links (a UBIGINT, b UBIGINT, truncated BOOLEAN)")
    shared_buckets = 0
    for band in range(1, bands + 1):
        con.execute(f"CREATE OR REPLACE TEMP TABLE shared AS {_shared(band)}")
        number_members(con, "shared")
        shared_buckets += number(con, "SELECT count(*) FROM numbered WHERE place = 1")
        con.execute(f"INSERT INTO links {LINKS}")
        con.execute(
            "INSERT INTO truncated_buckets SELECT $edge_set, band, bucket, group_key FROM numbered "
            f"WHERE size > {ALL_PAIRS_UP_TO}",
            name,
        )
    con.execute("""
        CREATE OR REPLACE TEMP TABLE linked AS
        SELECT a, b, bool_and(truncated) AS truncated FROM links GROUP BY a, b""")
    con.execute("DROP TABLE links")
    with similarities(con, exact=exact):
        con.execute(
            "INSERT INTO edges SELECT $edge_set, a, b, similarity, truncated FROM "
            f"({with_similarity('FROM linked', 'banded', measures)})",
            name,
        )
    summary = EdgeSummary(
        documents=number(con, "SELECT count(*) FROM grouped"),
        groups=number(con, "SELECT count(*) FROM banded"),
        edges=number(con, "SELECT count(*) FROM linked"),
        truncated_buckets=number(
            con,
            "SELECT count(DISTINCT (band, bucket)) FROM truncated_buckets WHERE edge_set = $edge_set",
            name,
        ),
        shared_buckets=shared_buckets,
    )
    for table in ("grouped", "banded", "shared", "numbered", "linked"):
        con.execute(f"DROP TABLE IF EXISTS temp.{table}")
    return summary


def _shared(band: int) -> str:
    """The buckets of one band that more than one group is in."""
    return f"""
        WITH one AS (SELECT band_{band} AS bucket, group_key FROM banded WHERE band_{band} IS NOT NULL)
        SELECT {band}::USMALLINT AS band, bucket, group_key FROM one
        SEMI JOIN (SELECT bucket FROM one GROUP BY bucket HAVING count(*) > 1) many USING (bucket)"""


def number_members(con: duckdb.DuckDBPyConnection, members: str) -> None:
    """Temp table `numbered` = `members` (band, bucket, group_key) with place and size in their bucket."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE numbered AS
        SELECT band, bucket, group_key, row_number() OVER (in_order) AS place, count(*) OVER (whole) AS size
        FROM {members}
        WINDOW whole AS (PARTITION BY band, bucket), in_order AS (whole ORDER BY group_key)""")


# The links of the buckets in `numbered`: (a, b, truncated), a < b, with repeats. Joins on equality only.
LINKS = f"""
    SELECT x.group_key AS a, y.group_key AS b, false AS truncated
    FROM (FROM numbered WHERE size <= {ALL_PAIRS_UP_TO}) x
    JOIN (FROM numbered WHERE size <= {ALL_PAIRS_UP_TO}) y USING (band, bucket)
    WHERE x.group_key < y.group_key
    UNION ALL
    SELECT x.group_key, y.group_key, true
    FROM (SELECT *, place + unnest(range(1, {NEIGHBOURS} + 1)) AS next FROM numbered
          WHERE size > {ALL_PAIRS_UP_TO}) x
    JOIN numbered y ON y.band = x.band AND y.bucket = x.bucket AND y.place = x.next
    UNION ALL
    SELECT y.group_key, x.group_key, true
    FROM (FROM numbered WHERE size > {ALL_PAIRS_UP_TO}) x
    JOIN (FROM numbered WHERE size > {ALL_PAIRS_UP_TO} AND place <= {NEIGHBOURS}) y USING (band, bucket)
    WHERE y.place + {NEIGHBOURS} < x.place"""


@contextmanager
def _function(
    con: duckdb.DuckDBPyConnection, name: str, function: Callable[..., pa.Array], given: list[Any], gives: str
) -> Iterator[None]:
    """An SQL function over Arrow arrays, as long as the context lasts."""
    con.create_function(name, function, given, gives, type=PythonUDFType.ARROW)
    try:
        yield
    finally:
        con.remove_function(name)


def similarities(con: duckdb.DuckDBPyConnection, *, exact: bool = False) -> AbstractContextManager[None]:
    """The SQL function `signature_similarity(BLOB, BLOB) -> FLOAT`, NULL where either is NULL.

    `exact`: of sorted sets instead of signatures.
    """
    compare = _similarity
    if exact:
        from curator_catalog.jaccard import jaccard  # imports numba

        compare = jaccard
    return _function(con, "signature_similarity", compare, ["BLOB", "BLOB"], "FLOAT")


def _group_key(salts: pa.ChunkedArray, bands: pa.ChunkedArray) -> pa.Array:
    """A hash of each list of band keys and the scope's salt; no list is empty."""
    lists = bands.combine_chunks()
    starts = np.asarray(lists.offsets, np.int64)
    keys = np.asarray(lists.values, np.int64)[starts[0] : starts[-1]].view(np.uint64)
    starts = starts - starts[0]
    places = np.arange(1, len(keys) + 1) - np.repeat(starts[:-1], np.diff(starts))
    sums = np.empty(0, np.uint64)
    if len(keys):
        sums = np.add.reduceat(_mix(keys + places.astype(np.uint64) * _ODD), starts[:-1], dtype=np.uint64)
    return pa.array(_mix(sums ^ np.asarray(salts.combine_chunks(), np.int64).view(np.uint64)))


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finalizer: every bit of `h` may turn any of the result."""
    h = (h ^ h >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ h >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return h ^ h >> np.uint64(31)


def with_similarity(links: str, groups: str, measures: str) -> str:
    """The query `links` (a, b, …) and their similarity; `groups` (group_key, doc_id) leads to signatures."""
    return f"""
        WITH pairs AS MATERIALIZED ({links}), signed AS MATERIALIZED (
            SELECT group_key, signature FROM {groups}
            SEMI JOIN (SELECT a AS group_key FROM pairs UNION SELECT b FROM pairs) USING (group_key)
            JOIN {measures} USING (doc_id))
        SELECT pairs.*, signature_similarity(x.signature, y.signature) AS similarity
        FROM pairs JOIN signed x ON x.group_key = a JOIN signed y ON y.group_key = b"""


def _similarity(x: pa.ChunkedArray, y: pa.ChunkedArray) -> pa.Array:
    if not len(x):  # DuckDB leaves out the rows with a NULL, if need be all
        return pa.array([], pa.float32())
    left, right = _positions(x), _positions(y)
    return pa.array((left == right).mean(axis=1).astype(np.float32))


def _positions(signatures: pa.ChunkedArray) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    rows = signatures.combine_chunks().cast(pa.large_binary())
    starts = np.frombuffer(rows.buffers()[1], np.int64)[rows.offset : rows.offset + len(rows) + 1]
    values = np.frombuffer(rows.buffers()[2], np.uint32, (starts[-1] - starts[0]) // 4, starts[0])
    return values.reshape(len(rows), -1)


def number(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> int:
    """The one integer that `query` answers."""
    # fetchall, not fetchone: an unfinished result keeps the connection from other work
    return int(con.execute(query, parameters).fetchall()[0][0])
