"""How long the catalog is held: open + commit + close of one shard of 1,000 rows, by documents in the catalog.

    python benchmarks/commits.py --millions 1 10

The catalog is filled by SQL with made-up documents and one measure; the shards are written as a worker
writes them. `replacing` is the commit that also takes out the 1,000 documents of a changed file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import polars as pl

from curator.shards import Attempt
from curator_catalog import Catalog, commits

ROWS = 1_000
PER_SHARD = 20_000
SIGNALS = {"n_words": "BIGINT", "mean_word_length": "DOUBLE", "hash_ratio": "DOUBLE", "alpha_word_ratio": "DOUBLE"}
MEASURE = {"signals": SIGNALS, "wide_signals": [], "plugin": "made_up", "version": "1", "fingerprint": "0", "options": {}}


def fill(catalog: Catalog, documents: int) -> None:
    """Documents and measures of `documents`, in shards of 20,000, and the splits that they came from."""
    doc_id = f"((i // {PER_SHARD}) << 32 | i % {PER_SHARD})::UBIGINT"
    for start in range(0, documents, 1_000_000):
        stop = min(start + 1_000_000, documents)
        with catalog.write() as con:
            commits.ensure_measure(con, "made_up_0", MEASURE)
            con.execute(
                f"INSERT INTO store.documents BY NAME SELECT {doc_id} AS doc_id, 0 AS part, md5(i::VARCHAR)::UUID AS doc_key, "
                "'web' AS source, 'record-' || i AS source_key, 'https://host' || i % 5000 || '.example/page/' || i AS url, "
                "'host' || i % 5000 || '.example' AS host, 'Title ' || i AS title, 'CC-BY-4.0' AS license, "
                f"json_object('n', i) AS metadata, md5('t' || i)::UUID AS content_hash FROM range({start}, {stop}) t(i)"
            )
            con.execute(
                f"INSERT INTO measures.made_up_0 SELECT {doc_id}, i % 977, random(), random(), random() FROM range({start}, {stop}) t(i)"
            )
    with catalog.write() as con:
        shards = f"range({-(-documents // PER_SHARD)}) t(i)"
        con.execute(f"INSERT INTO splits SELECT i, 'web', 'done', 67000000, NULL, now()::TIMESTAMP FROM {shards}")
        con.execute(f"INSERT INTO parts SELECT i, 0, 'web', 'file' || i, NULL, NULL, 's', 67000000, 'present' FROM {shards}")
        con.execute(
            f"INSERT INTO shards SELECT i, 'text', 'shards/text/' || i, {PER_SHARD}, 1, 'h', 1, now()::TIMESTAMP FROM {shards}"
        )


def hand_in(catalog: Catalog, split_id: int, *, replaces: int | None = None) -> None:
    """Plan one more split and write its shard; with `replaces`, as the new content of that split's file."""
    with catalog.write() as con:
        uri = f"file{split_id if replaces is None else replaces}"
        con.execute("INSERT INTO splits VALUES (?, 'web', 'planned', 1, NULL, now()::TIMESTAMP)", [split_id])
        con.execute("UPDATE parts SET state = 'outdated' WHERE split_id = ?", [replaces])
        con.execute("INSERT INTO parts VALUES (?, 0, 'web', ?, NULL, NULL, 's2', 1, 'present')", [split_id, uri])
    attempt = Attempt(str(catalog.folder), split_id)
    rows = pl.DataFrame({"doc_id": range(split_id << 32, (split_id << 32) + ROWS)}, schema={"doc_id": pl.UInt64})
    hashes = [f"{i:032x}" for i in rows["doc_id"]]
    text = rows.with_columns(
        part=pl.lit(0, pl.UInt32), doc_key=pl.Series(hashes), source=pl.lit("web"), source_key=pl.Series(hashes),
        url=pl.lit("https://host.example/"), title=pl.lit("Title"), metadata=pl.lit("{}"), content_hash=pl.Series(hashes),
        text=pl.lit("text " * 100),
    )  # fmt: skip
    attempt.write("text", text)
    attempt.write("pending/made_up_0", rows.with_columns(n_words=1, mean_word_length=0.5, hash_ratio=0.5, alpha_word_ratio=0.5))
    files = attempt.close()
    narrow = {**MEASURE, "narrow": files["pending/made_up_0"]["path"], "wide": None}
    attempt.finish(
        {"task": "read", "shard_id": split_id, "source": "web", "size": 1, "text": files["text"], "columns": {},
         "quarantine": None, "measures": {"made_up_0": narrow}, "seconds": {}, "counts": {}}
    )  # fmt: skip


def timed_commit(catalog: Catalog) -> float:
    """Seconds from opening to closed, for all that lies ready."""
    sidecars = commits.pending(catalog.folder)
    start = time.perf_counter()
    with catalog.write() as con:
        registered = commits.commit(con, catalog.folder, sidecars, 1)
        commits.leftovers(con, sidecars)
    took = time.perf_counter() - start
    assert len(registered) == len(sidecars) == 1
    sidecars[0].path.unlink()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    print("documents   catalog   open+close   commit: median    worst   replacing 1,000")
    for millions in options.millions:
        with tempfile.TemporaryDirectory() as folder:
            catalog = Catalog(folder)
            catalog.create()
            documents = int(millions * 1_000_000)
            fill(catalog, documents)
            opened, committed, replaced = [], [], []
            first = -(-documents // PER_SHARD)
            for n in range(options.repeat):
                start = time.perf_counter()
                with catalog.write():
                    pass
                opened.append(time.perf_counter() - start)
                hand_in(catalog, first + 2 * n)
                committed.append(timed_commit(catalog))
                hand_in(catalog, first + 2 * n + 1, replaces=first + 2 * n)
                replaced.append(timed_commit(catalog))
            size = catalog.path.stat().st_size / 1e6
            print(
                f"{documents:>10,} {size:6,.0f} MB {1e3 * statistics.median(opened):9.0f} ms {1e3 * statistics.median(committed):12.0f} ms "
                f"{1e3 * max(committed):6.0f} ms {1e3 * statistics.median(replaced):14.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
