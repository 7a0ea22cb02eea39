"""Spans that the population repeats: lines, passages, anchors, found by their hashes.

Spans go through memory a share of the hashes at a time (`SPANS_AT_ONCE`), and DuckDB spills what does not fit.
Of equal spans the first is the one of the first document by `place`, which the caller orders by what does not
depend on history. Overlapping spans of one document become one; none may lie within another.
"""

from __future__ import annotations

import duckdb

from curator_catalog.edges import number
from curator_catalog.views import quoted

SPANS_AT_ONCE = 50_000_000


def find_spans(
    con: duckdb.DuckDBPyConnection,
    looked: str,
    population: str,
    *,
    keep_first: bool,
    max_documents: int | None = None,
) -> None:
    """Leave the temporary table `found` (the columns of `store.spans` but its table's name) behind.

    `looked`: relation (doc_id, starts, stops, keys, checks), lists of equal lengths. `population`: relation
    (doc_id, place), the place of each document in order from 0. Repeated is a span whose key and check occur
    twice, or, with `max_documents`, in more documents. With `keep_first` the first of equal ones stays.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE repeated (place UBIGINT, start UINTEGER, stop UINTEGER, first BOOLEAN)"
    )
    total = number(
        con, f"SELECT coalesce(sum(len(keys)), 0) FROM {looked} SEMI JOIN {population} USING (doc_id)"
    )
    shares = -(-total // SPANS_AT_ONCE) or 1
    several = "count(*) > 1" if max_documents is None else f"count(DISTINCT place) > {int(max_documents)}"
    for share in range(shares):
        chosen = f"WHERE key % {shares} = {share}" if shares > 1 else ""
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE spans AS
            SELECT * FROM (
                SELECT place, unnest(keys) AS key, unnest(checks) AS proof, unnest(starts) AS start, unnest(stops) AS stop
                FROM {looked} JOIN {population} USING (doc_id)) {chosen}""")
        con.execute(f"""
            INSERT INTO repeated
            SELECT place, start, stop, (place << 32 | start) = first
            FROM spans JOIN (SELECT key, proof, min(place << 32 | start) AS first FROM spans
                             GROUP BY key, proof HAVING {several}) USING (key, proof)""")
    con.execute("DROP TABLE spans")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE found AS
        WITH whole AS (
            SELECT place, count(*) AS repeated_spans,
                sum(stop::BIGINT) FILTER (ends) - sum(start::BIGINT) FILTER (begins) AS repeated_bytes
            FROM ({_merged("FROM repeated")}) GROUP BY place),
        gone AS (
            SELECT place, list(start ORDER BY start) FILTER (begins) AS starts, list(stop ORDER BY start) FILTER (ends) AS stops
            FROM ({_merged("FROM repeated" + (" WHERE NOT first" if keep_first else ""))}) WHERE begins OR ends GROUP BY place)
        SELECT doc_id, coalesce(gone.starts, []) AS starts, coalesce(gone.stops, []) AS stops, len(keys)::UINTEGER AS spans,
            coalesce(repeated_spans, 0)::UINTEGER AS repeated_spans,
            coalesce(repeated_bytes, 0)::UINTEGER AS repeated_bytes
        FROM {looked} JOIN {population} USING (doc_id) LEFT JOIN whole USING (place) LEFT JOIN gone USING (place)
        WHERE len(keys) > 0""")
    con.execute("DROP TABLE repeated")


def _merged(spans: str) -> str:
    """The query `spans`, and where runs of overlapping ones begin and end; no span lies within another."""
    return f"""
        SELECT *, start >= coalesce(lag(stop) OVER by_place, 0) AS begins,
            coalesce(lead(start) OVER by_place, 4294967295) >= stop AS ends
        FROM ({spans}) WINDOW by_place AS (PARTITION BY place ORDER BY start)"""


def up_to_date(con: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables of steps whose spans are those of the corpus as it stands."""
    return {name for (name,) in con.execute("SELECT table_name FROM store.span_sets").fetchall()}


def write_spans(con: duckdb.DuckDBPyConnection, table: str, inputs: list[str], path: str) -> list[str]:
    """Replace the spans of `table` by those in a Parquet file, in the caller's transaction.

    What was measured of documents whose spans are others now is taken out: of the step itself and of all that
    stand behind it. Returns the files that are needed no more.
    """
    parameters = {"table": table, "path": path}
    con.execute(
        """CREATE OR REPLACE TEMP TABLE changed AS
        SELECT coalesce(o.doc_id, n.doc_id) AS doc_id
        FROM (FROM store.spans WHERE table_name = $table) o
        FULL JOIN read_parquet($path) n ON n.doc_id = o.doc_id
        WHERE (o.starts, o.stops, o.spans, o.repeated_spans, o.repeated_bytes)
            IS DISTINCT FROM (n.starts, n.stops, n.spans, n.repeated_spans, n.repeated_bytes)""",
        parameters,
    )
    con.execute("DELETE FROM store.spans WHERE table_name = ?", [table])
    con.execute(
        "INSERT INTO store.spans BY NAME SELECT $table AS table_name, * FROM read_parquet($path)", parameters
    )
    if not number(con, "SELECT count(*) FROM changed"):
        con.execute("DROP TABLE changed")
        _note_set(con, table, inputs)
        return []
    stale = con.execute(
        "SELECT table_name, table_name IN (SELECT measure FROM shards) FROM store.measures WHERE table_name = $1 OR list_contains(behind, $1)",
        [table],
    ).fetchall()
    files: list[str] = []
    for name, wide in stale:
        # a file holds the rows of a whole shard
        gone = "doc_id >> 32 IN (SELECT doc_id >> 32 FROM changed)" if wide else "doc_id IN (FROM changed)"
        con.execute(f"DELETE FROM measures.{quoted(name)} WHERE {gone}")
        con.execute("DELETE FROM store.edge_sets WHERE table_name = ?", [name])
        con.execute("DELETE FROM store.span_sets WHERE list_contains(inputs, ?)", [name])
        if wide:
            files += [
                path
                for (path,) in con.execute(
                    "DELETE FROM shards WHERE measure = ? AND shard_id IN (SELECT doc_id >> 32 FROM changed) RETURNING path",
                    [name],
                ).fetchall()
            ]
    con.execute("DROP TABLE changed")
    _note_set(con, table, inputs)
    return files


def _note_set(con: duckdb.DuckDBPyConnection, table: str, inputs: list[str]) -> None:
    con.execute(
        "INSERT OR REPLACE INTO store.span_sets VALUES (?, ?, current_timestamp::TIMESTAMP)", [table, inputs]
    )
