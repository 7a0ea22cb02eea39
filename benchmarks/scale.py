"""Edges and clusters of made signatures, out of core: time, memory, spill, and how they grow.

    python benchmarks/scale.py 1000000 3000000 10000000 [--memory 1GB] [--threads 2] [--min-similarity 0.8]

Each size is measured in a process of its own, over Parquet files of signatures and band keys as a corpus has
them: random signatures, of which 30 % are near copies of another (each position kept with a probability drawn
from 0.7 to 1 for the copy) and 5,000 in a million share one bucket. Peak memory is all that the process had
resident, DuckDB and scipy included; spill is the largest that the temporary folder got.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curator.text.minhash import band_keys
from curator_catalog.duplicates import cluster_linked, elect
from curator_catalog.edges import DDL, derive_edges

BANDS, ROWS, FILE = 14, 8, 500_000


def made(first: int, n: int, rng: np.random.Generator) -> pa.Table:
    """Documents `first`, … with signatures, see above; a copy's original is in the same table."""
    width = BANDS * ROWS
    signatures = rng.integers(0, 2**32, (n, width), np.uint32)
    copies = n * 3 // 10
    for lo in range(0, copies, 20_000):
        hi = min(copies, lo + 20_000)
        originals = signatures[rng.integers(copies, n, hi - lo)]
        same = rng.random((hi - lo, width)) < rng.uniform(0.7, 1, (hi - lo, 1))
        signatures[lo:hi] = np.where(same, originals, signatures[lo:hi])
    signatures[n - n // 200 :, :ROWS] = 7
    offsets = np.arange(0, n * BANDS + 1, BANDS, dtype=np.int32)
    starts = np.arange(0, n * width * 4 + 1, width * 4, dtype=np.int32)
    return pa.table(
        {
            "doc_id": pa.array((first + rng.permutation(n)).astype(np.uint64)),
            "bands": pa.ListArray.from_arrays(offsets, band_keys(signatures, BANDS, ROWS).ravel()),
            "signature": pa.Array.from_buffers(
                pa.binary(), n, [None, pa.py_buffer(starts), pa.py_buffer(signatures)]
            ),
        }
    )


def make(folder: Path, first: int, n: int) -> None:
    for at in range(first, n, FILE):
        table = made(at, min(FILE, n - at), np.random.default_rng(at))
        pq.write_table(table, folder / f"{at:012}.parquet", row_group_size=20_000, compression="zstd")


@contextmanager
def largest(folder: Path, found: list[int]) -> Iterator[None]:
    """`found` gets the most bytes of files that the folder had."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            found[0] = max(found[0], sum(f.stat().st_size for f in folder.glob("*") if f.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def measure(data: Path, n: int, memory: str, threads: int, cut: float | None) -> None:
    files = sorted(map(str, data.glob("*.parquet")))
    files = files[: -(-n // FILE)]
    with tempfile.TemporaryDirectory(dir=data) as name:
        spill = Path(name)
        # the scratch database of a decision is in memory; what does not fit goes to its temporary folder
        con = duckdb.connect(config={"threads": threads, "memory_limit": memory, "temp_directory": name})
        con.execute(f"""
            SET enable_progress_bar = false;
            {DDL}
            CREATE VIEW measures AS SELECT doc_id, '' AS scope, bands, signature FROM read_parquet({files});
            CREATE VIEW population AS SELECT doc_id, md5(doc_id::VARCHAR)::UUID AS doc_key, '' AS scope FROM measures""")
        base, most = peak(), [0]
        with largest(spill, most):
            steps = {
                "edges": lambda: derive_edges(con, "measures", "set"),
                "clusters": lambda: cluster_linked(
                    con, "population", "set", min_similarity=cut, measures="measures"
                ),
                "elect": lambda: elect(con, "population", "doc_key DESC"),
            }
            total = np.zeros(2)
            for what, step in steps.items():
                began = np.array([time.perf_counter(), time.process_time()])
                result = step()
                took = np.array([time.perf_counter(), time.process_time()]) - began
                total += took
                print(
                    f"  {what:9} {took[0]:6.1f} s {took[1]:6.1f} CPU s, peak {peak()} MB {result or ''}",
                    flush=True,
                )
        print(
            f"{n:,} documents: {total[0]:.1f} s, {total[1]:.1f} CPU s ({1e6 * total[1] / n:.1f} µs a document), "
            f"peak {peak()} MB ({base} before), spill {most[0] / 1e6:.0f} MB ({most[0] / n:.0f} bytes a document)",
            flush=True,
        )


def peak() -> int:
    """Largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", nargs="+", type=int)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--min-similarity", type=float)
    parser.add_argument("--folder", help="where the made signatures lie, and stay; otherwise a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(given.folder or temporary)
        data.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        for n in given.documents:
            have = FILE * len(list(data.glob("*.parquet")))
            for function, args in (
                (make, (data, have, n)),
                (measure, (data, n, given.memory, given.threads, given.min_similarity)),
            ):
                process = context.Process(target=function, args=args)
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
