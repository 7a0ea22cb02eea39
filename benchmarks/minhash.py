"""MinHash end to end: rates per CPU second, and recall of copies that were planted.

    python benchmarks/minhash.py DOCUMENTS.jsonl.gz TRUTH.jsonl.gz [--memory 2GB] [--option bands=20 …]

The documents have `id` and `text`; the truth has `id` (of a copy), `orig` (of what it was made from), `kind`
and `jaccard5`, the true similarity of their 5-word shingles. A copy is found if the two share a group or an
edge, clustered if they end in one cluster.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["POLARS_MAX_THREADS"] = "1"

import duckdb
import polars as pl
import yaml

from curator.documents import Documents
from curator_catalog.duplicates import DUPLICATE_EDGES, cluster_equal, cluster_linked, elect
from curator_catalog.edges import DDL, derive_edges
from curator_plugins.dedup.exact import Exact
from curator_plugins.dedup.minhash import MinHash

BATCH = 8_000_000  # bytes of text


@contextmanager
def timed(what: str, megabytes: float = 0) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rate = f"{megabytes / cpu:8.0f} MB per CPU s" if megabytes else ""
    print(f"{what:42} {wall:7.2f} s {cpu:7.2f} CPU s {rate}")


@contextmanager
def catalog(memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"threads": 2, "memory_limit": memory, "temp_directory": f"{folder}/spill"}
        with duckdb.connect(f"{folder}/catalog.duckdb", config=settings) as con:
            con.execute(DDL)
            yield con


def peak() -> int:
    """Largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def batches(frame: pl.DataFrame) -> list[Documents]:
    numbered = frame.with_columns(batch=pl.col("text").str.len_bytes().cum_sum() // BATCH)
    return [
        Documents(part) for part in numbered.partition_by("batch", maintain_order=True, include_key=False)
    ]


def measure(path: str, options: dict[str, object]) -> pl.DataFrame:
    """The documents with `bands`, `signature` and `hash`, timed part by part on one core."""
    with gzip.open(path) as lines:
        rows = [(d["id"], d["text"]) for d in map(json.loads, lines)]
    frame = pl.DataFrame(rows, schema=["id", "text"], orient="row").with_row_index("doc_id")
    megabytes = frame["text"].str.len_bytes().sum() / 1e6
    print(f"{len(frame)} documents, {megabytes:.0f} MB")
    step, exact, normalized = MinHash(**options), Exact(), Exact(on="normalized")
    for plugin in (step, exact, normalized):
        plugin.measure(Documents(frame.head(1)))  # compiles
    docs, found = batches(frame), {}
    with timed("words", megabytes):
        for batch in docs:
            batch.words(step.words)
    for name, plugin in (("minhash, given words", step), ("exact", exact), ("exact normalized", normalized)):
        with timed(name, megabytes):
            found[name] = [pl.DataFrame(dict(plugin.measure(batch))) for batch in docs]
    with timed("words and minhash", megabytes):
        for batch in batches(frame):
            step.measure(batch)
    parts = [pl.concat(found["minhash, given words"]), pl.concat(found["exact"])]
    return pl.concat([frame.select("doc_id", "id"), *parts], how="horizontal")


def decide(con: duckdb.DuckDBPyConnection) -> None:
    with timed("derive edges"):
        print(derive_edges(con, "measures", "set"))
    for cut in (None, 0.8):
        with timed(f"cluster, min_similarity {cut}"):
            n = cluster_linked(con, "population", "set", min_similarity=cut, measures="measures")
        with timed("elect"):
            elect(con, "population", "doc_key DESC")
        print(f"{n} clusters, {con.table('elected').filter('NOT kept').shape[0]} documents not kept")


def recall(con: duckdb.DuckDBPyConnection, path: str) -> None:
    con.execute(f"CREATE TEMP TABLE truth_rows AS FROM read_json('{path}')")
    con.execute("CREATE TEMP VIEW steps AS SELECT 'set' AS edge_set, 'minhash' AS step")
    con.execute(f"CREATE TEMP TABLE found AS {DUPLICATE_EDGES.format(steps='steps')}")
    cluster_linked(con, "population", "set")
    con.execute("""
        CREATE TEMP TABLE judged AS
        SELECT t.*, x.doc_id AS a, y.doc_id AS b, g.group_key = h.group_key
            OR exists(FROM edges WHERE edges.a = least(g.group_key, h.group_key)
                      AND edges.b = greatest(g.group_key, h.group_key)) AS found,
            coalesce(c.cluster_id = d.cluster_id, false) AS clustered, x.hash = y.hash AS exact
        FROM truth_rows t JOIN documents x USING (id) JOIN documents y ON y.id = orig
        LEFT JOIN edge_groups g ON g.doc_id = x.doc_id LEFT JOIN edge_groups h ON h.doc_id = y.doc_id
        LEFT JOIN clusters c ON c.doc_id = x.doc_id LEFT JOIN clusters d ON d.doc_id = y.doc_id""")
    figures = """count(*) AS copies, round(avg(found::INT), 4) AS found,
        round(avg(clustered::INT), 4) AS clustered, round(avg(exact::INT), 4) AS exact"""
    print(con.sql(f"SELECT kind, {figures} FROM judged GROUP BY ALL ORDER BY ALL"))
    print(
        con.sql(f"""
        SELECT least(floor(jaccard5 * 20) / 20, 0.95) AS "jaccard from", {figures},
            -- what 14 bands of 8 rows promise for these very similarities
            round(avg(1 - (1 - jaccard5 ** 8) ** 14), 4) AS theory
        FROM judged GROUP BY ALL ORDER BY ALL DESC""")
    )
    print(
        con.sql("""
        SELECT count(*) AS pairs, avg(similarity - jaccard5) AS bias,
            stddev(similarity - jaccard5) AS deviation
        FROM judged JOIN found ON (found.a, found.b) IN ((judged.a, judged.b), (judged.b, judged.a))
        WHERE jaccard5 < 1 AND similarity < 1""")
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents")
    parser.add_argument("truth", nargs="?")
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--option", nargs="*", default=[])
    given = parser.parse_args()
    options = {name: yaml.safe_load(value) for name, value in (o.split("=", 1) for o in given.option)}
    measured = measure(given.documents, options).to_arrow()
    with catalog(given.memory) as con:
        con.register("measured", measured)
        con.execute("""
            CREATE TABLE measures AS
                SELECT doc_id::UBIGINT AS doc_id, '' AS scope, bands, signature FROM measured;
            CREATE TABLE documents AS
                SELECT * EXCLUDE (bands, signature), md5(doc_id::VARCHAR)::UUID AS doc_key FROM measured;
            CREATE VIEW population AS SELECT *, '' AS scope FROM documents""")
        con.unregister("measured")
        del measured
        before = peak()
        decide(con)
        print(f"peak memory {peak()} MB, {before} before")
        if given.truth:
            with timed("cluster exact"):
                cluster_equal(con, "population", "hash")
            recall(con, given.truth)


if __name__ == "__main__":
    main()
