"""Recall of planted copies in a curated corpus, by kind and by true similarity.

    python benchmarks/recall.py CORPUS TRUTH.jsonl.gz

The truth has `id` (a copy), `orig`, `kind` and `jaccard5`, the true Jaccard similarity of their word 5-grams.
A copy is found if both stand in one cluster of copies. Pairs of which a filter dropped one before the dedup
are left out.
"""

from __future__ import annotations

import sys

import polars as pl

import curator


def main(corpus: str, truth: str) -> None:
    """Print the table."""
    documents = curator.open(corpus).sql(
        "SELECT d.source_key AS id, c.cluster_id, d.reason FROM documents d LEFT JOIN (SELECT doc_id, "
        "any_value(cluster_id)::VARCHAR AS cluster_id FROM duplicates WHERE step = 'minhash' GROUP BY doc_id) c USING (doc_id)"
    ).pl()
    in_running = documents.filter(pl.col("reason").is_null() | pl.col("reason").str.starts_with("minhash."))
    pairs = (
        pl.read_ndjson(truth)
        .join(in_running.rename({"cluster_id": "copy_cluster"}), on="id")
        .join(in_running.rename({"id": "orig", "cluster_id": "orig_cluster"}), on="orig")
        .with_columns(found=(pl.col("copy_cluster") == pl.col("orig_cluster")).fill_null(False))
    )
    s = pl.col("jaccard5")
    buckets = pairs.with_columns(similarity=(s * 20).floor().clip(8, 19) / 20)
    expected = (1 - (1 - s**8) ** 14).mean().round(3).alias("expected")
    for by in ("kind", "similarity"):
        table = buckets.group_by(by).agg(pl.len().alias("pairs"), pl.col("found").mean().round(3).alias("recall"), expected)
        print(table.sort(by))


if __name__ == "__main__":
    main(*sys.argv[1:])
