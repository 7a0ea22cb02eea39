"""Edges -> clusters -> kept copy, among the documents that are in the running.

A dedup step's *population* is the documents that no earlier step drops. Edges are stored for all, but
clusters are made of the population alone, so the result is a function of it: which documents were dropped,
in what order they came or how they are numbered changes nothing (every tie ends at `doc_key`). Links inside
truncated buckets are made anew among the groups present, by the same rule that derived them; without
`min_similarity` a chain through each bucket gives the same clusters at less cost.

Clusters are scipy's connected components over groups, not label propagation in SQL (9.8 s in 6 rounds
against 0.3 s for 1.35 M edges). Cost: 8 bytes an edge and 16 a group in memory. The catalog's temporary
tables `clusters` and `elected` are the results; the caller copies what it keeps, so a dry run needs no
right to write.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from curator_catalog.edges import LINKS, number, number_members, similarities, with_similarity

# View for users: edges in documents. A group stands for itself by its document of smallest doc_key, and
# its other documents are copies of that one. {steps}: a relation (edge_set, step).
DUPLICATE_EDGES = """
WITH members AS (
    SELECT edge_set, step, group_key, doc_id, doc_key,
        first_value(doc_id) OVER same AS first_id, min(doc_key) OVER same AS first_key
    FROM edge_groups JOIN {steps} USING (edge_set) JOIN documents USING (doc_id)
    WINDOW same AS (PARTITION BY edge_set, step, group_key ORDER BY doc_key)
), firsts AS (FROM members WHERE doc_key = first_key)
SELECT
    CASE WHEN x.doc_key < y.doc_key THEN x.doc_id ELSE y.doc_id END AS a,
    CASE WHEN x.doc_key < y.doc_key THEN y.doc_id ELSE x.doc_id END AS b,
    x.step, similarity
FROM edges e
JOIN firsts x ON x.edge_set = e.edge_set AND x.group_key = e.a
JOIN firsts y ON y.edge_set = e.edge_set AND y.group_key = e.b AND y.step = x.step
UNION ALL
SELECT first_id, doc_id, step, 1.0::FLOAT FROM members WHERE doc_key <> first_key
"""


def cluster_equal(con: duckdb.DuckDBPyConnection, population: str, value: str) -> int:
    """Clusters of documents with equal values of `value`, a column of `population`, in one scope.

    `population` names a relation (doc_id, doc_key UUID, scope, …). Leaves the temporary table `clusters`
    (doc_id, doc_key, cluster_id UUID, cluster_size) and returns the number of clusters of two or more.
    A NULL is equal to nothing.
    """
    return _cluster(
        con,
        f"SELECT doc_id, doc_key, {value} AS label, coalesce(scope, '') AS part "
        f"FROM {population} WHERE {value} IS NOT NULL",
    )


def cluster_linked(
    con: duckdb.DuckDBPyConnection,
    population: str,
    edge_set: str,
    *,
    min_similarity: float | None = None,
    measures: str | None = None,
    exact: bool = False,
) -> int:
    """Clusters of documents that a path of edges connects, over documents of `population` only.

    With `min_similarity`, over edges of at least that similarity; where buckets are truncated this needs
    `measures`, the relation (doc_id, …, signature) that the edges were derived from. Result as
    `cluster_equal`; the scope is in the edges.
    """
    parameters = {"edge_set": edge_set}
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE present AS
        SELECT *, row_number() OVER (ORDER BY group_key) - 1 AS place
        FROM (SELECT group_key, min(doc_id) AS doc_id FROM edge_groups SEMI JOIN {population} USING (doc_id)
              WHERE edge_set = $edge_set GROUP BY group_key)""",
        parameters,
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE crowded AS
        SELECT band, bucket, group_key FROM truncated_buckets SEMI JOIN present USING (group_key)
        WHERE edge_set = $edge_set""",
        parameters,
    )
    links = "SELECT a, b FROM edges WHERE edge_set = $edge_set AND NOT truncated"
    if min_similarity is None:
        links += """ UNION ALL
            SELECT lag(group_key) OVER (PARTITION BY band, bucket ORDER BY group_key), group_key
            FROM crowded"""
    else:
        _refuse_without_signatures(con, edge_set)
        links += f" AND similarity >= {float(min_similarity)!r}::FLOAT"
        if number(con, "SELECT count(*) FROM crowded"):
            if measures is None:
                raise ValueError("min_similarity needs the signatures of truncated buckets: pass measures")
            _similar_crowded(con, measures, min_similarity, exact)
            links += " UNION ALL FROM crowded_links"
    pairs = con.execute(
        f"""SELECT x.place AS a, y.place AS b FROM ({links}) e
        JOIN present x ON x.group_key = e.a JOIN present y ON y.group_key = e.b""",
        parameters,
    ).fetchnumpy()
    n_groups = number(con, "SELECT count(*) FROM present")
    a, b = np.asarray(pairs["a"], np.int64), np.asarray(pairs["b"], np.int64)
    links_of_groups = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(n_groups, n_groups))
    _, labels = connected_components(links_of_groups, directed=False)
    con.register("component_labels", pa.table({"place": np.arange(n_groups), "label": labels}))
    try:
        return _cluster(
            con,
            f"""SELECT doc_id, p.doc_key, label, '' AS part FROM {population} p
            JOIN (FROM edge_groups WHERE edge_set = $edge_set) USING (doc_id)
            JOIN (SELECT group_key, place FROM present) USING (group_key)
            JOIN component_labels USING (place)""",
            parameters,
        )
    finally:
        con.unregister("component_labels")
        con.execute("DROP TABLE present; DROP TABLE crowded; DROP TABLE IF EXISTS temp.crowded_links")


def elect(
    con: duckdb.DuckDBPyConnection,
    population: str,
    order_by: str,
    *,
    copies: str = "1",
    one_sided: bool = False,
    clusters: str = "clusters",
) -> None:
    """Choose each cluster's kept copies: the first by `order_by`, SQL over the columns of `population`.

    `copies` is SQL over cluster_size: how many. Ties are broken by `doc_key`. When `one_sided`, the documents
    whose column `reference` is true are kept, and of a cluster without one all are. Leaves the temporary table `elected`
    (doc_id, cluster_id, cluster_size, kept_copy = the first that is kept or NULL, kept BOOLEAN).
    """
    kept = f"row_number() OVER best <= ({copies})"
    if one_sided:
        kept = "reference OR NOT bool_or(reference) OVER (PARTITION BY cluster_id)"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE elected AS
        SELECT * EXCLUDE (place), CASE WHEN bool_or(kept) OVER same THEN
            first_value(doc_id) OVER (PARTITION BY cluster_id ORDER BY NOT kept, place) END AS kept_copy
        FROM (
            SELECT doc_id, cluster_id, cluster_size, row_number() OVER best AS place, {kept} AS kept
            FROM {population} JOIN (SELECT doc_id, cluster_id, cluster_size FROM {clusters}) USING (doc_id)
            WINDOW best AS (PARTITION BY cluster_id ORDER BY {order_by}, doc_key))
        WINDOW same AS (PARTITION BY cluster_id)""")


def _cluster(con: duckdb.DuckDBPyConnection, labelled: str, parameters: dict[str, str] | None = None) -> int:
    """`clusters` from documents (doc_id, doc_key, label, part): equal labels and parts are one cluster."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE clusters AS
        WITH labelled AS MATERIALIZED ({labelled}), sizes AS (
            SELECT label, part, min(doc_key) AS cluster_id, count(*) AS cluster_size
            FROM labelled GROUP BY label, part HAVING count(*) > 1)
        SELECT doc_id, doc_key, cluster_id, cluster_size FROM labelled JOIN sizes USING (label, part)""",
        parameters,
    )
    return number(con, "SELECT count(*) FROM clusters WHERE doc_key = cluster_id")


def _similar_crowded(
    con: duckdb.DuckDBPyConnection, measures: str, min_similarity: float, exact: bool
) -> None:
    """Temp table `crowded_links` (a, b): links of the truncated buckets' present groups, similar enough."""
    number_members(con, "crowded")
    links = with_similarity(f"SELECT DISTINCT a, b FROM ({LINKS})", "present", measures)
    with similarities(con, exact=exact):
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE crowded_links AS
            SELECT a, b FROM ({links}) WHERE similarity >= {float(min_similarity)!r}::FLOAT""")
    con.execute("DROP TABLE numbered")


def _refuse_without_signatures(con: duckdb.DuckDBPyConnection, edge_set: str) -> None:
    query = "SELECT count(*) FROM edges WHERE edge_set = $edge_set AND similarity IS NULL"
    if number(con, query, {"edge_set": edge_set}):
        raise ValueError("min_similarity needs signatures, and these documents were measured without them")
