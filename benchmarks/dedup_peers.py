"""Near and exact copies by curator and by four other tools, on one core: MB of text per CPU second.

    python benchmarks/dedup_peers.py DOCUMENTS.jsonl.gz [--documents 20000] [--python PYTHON] [--tools …] [-o FOLDER]

Each tool works in a process of its own on the same core, on the first documents (`id`, `text`), with word
5-grams and 14 bands of 8 rows. PYTHON is an interpreter that has the tools which this one lacks (datasketch,
rensa, text-dedup of Python 3.12). Time counts from texts in memory (a Polars frame or a list of strings) to
the clusters, imports and compilation aside; text-dedup and datatrove know only files, and read and write them
within it. What each does:

- curator: `normalized` words (lower case, numbers as 0, no punctuation or accents), 32-bit permutations, edges
  with similarities and clusters in DuckDB; each cluster's first document elected.
- run: `curator run` of a recipe with `minhash` alone and one worker: a corpus on disk, its start included.
- datasketch: white-space words; MinHash.bulk (its own SHA-1), MinHashLSH, each document queried.
- rensa: white-space words; full R-MinHash of a token list a document, one LSH over the matrix. It says which
  documents have a copy, not of which, so it has no clusters. rensa rho: its sampled sketch, the same way.
- text-dedup: words between \\W in lower case; documents of fewer than 5 words left out; its own `main`.
- datatrove: simplify_text, spaCy words, SHA-1 as FineWeb (its xxhash fails with xxhash 4); the four stages one after the other.
- exact and exact normalized: curator's exact step and its clusters.

-o keeps each tool's clusters for dedup_agreement.py.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

BANDS, ROWS, NGRAM = 14, 8, 5
Clusters = list[list[int]] | None
Stages = dict[str, float]


class Clock:
    """CPU seconds of this process and its children, by stage."""

    def __init__(self) -> None:
        self.stages: Stages = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = cpu()
        yield
        self.stages[stage] = self.stages.get(stage, 0) + cpu() - began


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _frame(texts: list[str]) -> Any:
    import polars as pl

    return pl.DataFrame({"doc_id": range(len(texts)), "text": texts}, schema_overrides={"doc_id": pl.UInt64})


def _ours(texts: list[str], clock: Clock, step: Any) -> Clusters:
    import duckdb
    import polars as pl

    from curator.documents import Documents
    from curator_catalog.duplicates import cluster_equal, cluster_linked, elect
    from curator_catalog.edges import DDL, derive_edges

    near = step.band_keys is not None
    frame = _frame(texts)
    step.measure(Documents(frame.head(2)))  # compiles
    parts = frame.with_columns(part=pl.col("text").str.len_bytes().cum_sum() // 8_000_000)
    batches = parts.partition_by("part", maintain_order=True, include_key=False)
    found = []
    for batch in batches:
        docs = Documents(batch)
        if near or step.on == "normalized":
            with clock("words"):
                docs.words("normalized")
        with clock("measure"):
            found.append(batch.select("doc_id").with_columns(**step.measure(docs)))
    con = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    with clock("load"):
        con.register("found", pl.concat(found).to_arrow())
        con.execute(f"""
            {DDL}
            CREATE TABLE measures AS SELECT *, '' AS scope FROM found;
            CREATE TABLE population AS SELECT doc_id, md5(doc_id::VARCHAR)::UUID AS doc_key, '' AS scope
                {"" if near else ", hash"} FROM measures""")
    if near:
        with clock("edges"):
            summary = derive_edges(con, "measures", "set")
        with clock("clusters"):
            cluster_linked(con, "population", "set")
        print(
            f"{summary}; {summary.edges / summary.documents:.2f} edges a document, "
            f"{summary.truncated_buckets / max(summary.shared_buckets, 1):.3%} of the shared buckets truncated"
        )
    else:
        with clock("clusters"):
            cluster_equal(con, "population", "hash")
    with clock("elect"):
        elect(con, "population", "doc_id")
    rows = con.execute("SELECT list(doc_id ORDER BY doc_id) FROM elected GROUP BY cluster_id").fetchall()
    return [row[0] for row in rows]


def curator(texts: list[str], clock: Clock) -> Clusters:
    from curator_plugins.dedup.minhash import MinHash

    return _ours(texts, clock, MinHash(ngram=NGRAM, bands=BANDS, rows=ROWS))


def exact(texts: list[str], clock: Clock, on: str = "text") -> Clusters:
    from curator_plugins.dedup.exact import Exact

    return _ours(texts, clock, Exact(on=on))


def exact_normalized(texts: list[str], clock: Clock) -> Clusters:
    return exact(texts, clock, "normalized")


def run(texts: list[str], clock: Clock) -> Clusters:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts))
        folder.joinpath("all.jsonl").write_text("\n".join(lines))
        step = {"minhash": {"ngram": NGRAM, "bands": BANDS, "rows": ROWS}}
        recipe = {"name": "peers", "corpus": f"{name}/corpus", "steps": [step]}
        recipe["sources"] = [{"jsonl": {"name": "all", "path": "all.jsonl"}}]
        folder.joinpath("peers.yaml").write_text(json.dumps(recipe))
        command = [sys.executable, "-m", "curator", "run", f"{name}/peers.yaml", "--workers", "1"]
        with clock("run"):
            subprocess.run(command, check=True, capture_output=True)
        import curator as package

        rows = (
            package.open(f"{name}/corpus")
            .sql("SELECT cluster_id::VARCHAR, source_key::INT FROM duplicates JOIN documents USING (doc_id)")
            .rows()
        )
    return _grouped(rows)


def _shingles(texts: list[str]) -> list[list[str]]:
    found = []
    for text in texts:
        words = text.split()
        later = (words[i:] for i in range(NGRAM))
        found.append(list(map(" ".join, zip(*later, strict=False))) or [" ".join(words)])
    return found


def datasketch(texts: list[str], clock: Clock) -> Clusters:
    from datasketch import MinHash, MinHashLSH

    with clock("shingles"):
        tokens = [{s.encode() for s in of_text} for of_text in _shingles(texts)]
    with clock("minhash"):
        made = MinHash.bulk(tokens, num_perm=BANDS * ROWS, seed=1)
    with clock("lsh"):
        index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        with index.insertion_session() as session:
            for key, minhash in enumerate(made):
                session.insert(key, minhash)
        links = [(key, other) for key, minhash in enumerate(made) for other in index.query(minhash)]
        return _components(len(texts), links)


def rensa(texts: list[str], clock: Clock, rho: bool = False) -> Clusters:
    from rensa import RMinHash, RMinHashLSH

    make = RMinHash.digest_matrix_from_token_sets_rho if rho else RMinHash.digest_matrix_from_token_sets
    with clock("shingles"):
        tokens = _shingles(texts)
    with clock("minhash"):
        matrix = make(tokens, BANDS * ROWS, 42)
    with clock("lsh"):
        index = RMinHashLSH(0.7, BANDS * ROWS, BANDS)
        flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    print(sum(flags), "documents have a copy")
    return None


def rensa_rho(texts: list[str], clock: Clock) -> Clusters:
    return rensa(texts, clock, rho=True)


def textdedup(texts: list[str], clock: Clock) -> Clusters:
    import pickle

    import polars as pl
    from text_dedup.config.base import load_config_from_toml
    from text_dedup.minhash import main

    with tempfile.TemporaryDirectory() as name:
        pl.DataFrame({"text": texts}).write_parquet(f"{name}/all.parquet")
        algorithm = {
            "algorithm_name": "minhash",
            "text_column": "text",
            "num_perm": BANDS * ROWS,
            "num_proc": 1,
        }
        algorithm |= {"ngram_size": NGRAM, "bands": BANDS, "rows": ROWS, "threshold": 0.7}
        arguments = {"path": "parquet", "data_files": [f"{name}/all.parquet"], "split": "train"}
        settings = {
            "input": {"input_type": "local_files"},
            "input.read_arguments": {**arguments, "cache_dir": f"{name}/cache"},
            "algorithm": algorithm,
            "output": {"output_dir": f"{name}/out", "save_clusters": True},
            "debug": {},
        }
        with Path(name, "config.toml").open("w") as toml:
            for section, values in settings.items():
                lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
                print(f"[{section}]", *lines, sep="\n", file=toml)
        config = load_config_from_toml(Path(name, "config.toml"))
        with clock("main"):
            main(config)
        clusters = pickle.loads(Path(name, "out", "clusters.pickle").read_bytes())
    return _grouped((cluster, doc) for doc, cluster in clusters.items())


def datatrove(texts: list[str], clock: Clock) -> Clusters:
    import struct

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    hashing = HashConfig(hash_fc="sha1", precision=64)
    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=hashing)
    with tempfile.TemporaryDirectory() as name:
        Path(name, "in").mkdir()
        lines = (json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts))
        Path(name, "in", "all.jsonl").write_text("\n".join(lines))
        signatures, buckets, clusters = f"{name}/signatures", f"{name}/buckets", f"{name}/clusters"
        reader = JsonlReader(f"{name}/in")
        cluster = MinhashDedupCluster(buckets, clusters, config, save_cluster_id=True)
        stages: dict[str, tuple[list[Any], int]] = {
            "signatures": ([reader, MinhashDedupSignature(signatures, config)], 1),
            "buckets": ([MinhashDedupBuckets(signatures, buckets, config=config)], BANDS),
            "clusters": ([cluster], 1),
            "filter": ([reader, MinhashDedupFilter(clusters), JsonlWriter(f"{name}/out")], 1),
        }
        for stage, (pipeline, tasks) in stages.items():
            with clock(stage):
                LocalPipelineExecutor(
                    pipeline, tasks=tasks, workers=1, logging_dir=f"{name}/{stage}.logs"
                ).run()
        rows = struct.iter_unpack("<2I", Path(clusters, "000000.clusters").read_bytes())
        return _grouped((cluster_id, doc) for doc, cluster_id in rows)


def _grouped(rows: Iterable[tuple[Any, int]]) -> list[list[int]]:
    found: dict[Any, list[int]] = defaultdict(list)
    for cluster, doc in rows:
        found[cluster].append(doc)
    return [sorted(docs) for docs in found.values() if len(docs) > 1]


def _components(n: int, links: list[tuple[int, int]]) -> list[list[int]]:
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.array(links).reshape(-1, 2).T
    _, labels = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    return _grouped(zip(labels.tolist(), range(n), strict=True))


TOOLS: dict[str, Callable[[list[str], Clock], Clusters]] = {
    "curator": curator,
    "exact": exact,
    "exact-normalized": exact_normalized,
    "run": run,
    "rensa": rensa,
    "rensa-rho": rensa_rho,
    "datasketch": datasketch,
    "text-dedup": textdedup,
    "datatrove": datatrove,
}
OURS = ("curator", "exact", "exact-normalized", "run", "datatrove")  # which this interpreter has


def work(tool: str, folder: Path) -> None:
    """Do what one tool does and write what was found; runs in a process of its own."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    texts = [json.loads(line)["text"] for line in folder.joinpath("documents.jsonl").open()]
    clock = Clock()
    clusters = TOOLS[tool](texts, clock)
    with contextlib.suppress(ImportError):
        from importlib.metadata import version

        name = {"rensa-rho": "rensa", **dict.fromkeys(OURS[:4], "corpus-curator")}.get(tool, tool)
        print(f"{name} {version(name)}, Python {sys.version.split()[0]}")
    folder.joinpath(f"{tool}.json").write_text(json.dumps({"stages": clock.stages, "clusters": clusters}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents")
    parser.add_argument("--documents", dest="n", type=int, default=20_000)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the other tools")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("-o", "--output")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(given.output or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        n_bytes = 0
        opened = gzip.open if given.documents.endswith(".gz") else open
        with opened(given.documents) as lines, folder.joinpath("documents.jsonl").open("wb") as out:
            for line in islice(lines, given.n):
                n_bytes += len(json.loads(line)["text"].encode())
                out.write(line if isinstance(line, bytes) else line.encode())
        print(f"{given.n} documents, {n_bytes / 1e6:.1f} MB; one core, load {os.getloadavg()[0]:.1f}")
        one = {f"{name}_THREADS": "1" for name in ("POLARS_MAX", "RAYON_NUM", "OMP_NUM", "OPENBLAS_NUM")}
        for tool in given.tools:
            python = sys.executable if tool in OURS else given.python
            began = time.perf_counter()
            worker = subprocess.run(
                [python, __file__, "--work", tool, str(folder)],
                env={**os.environ, **one, "TOKENIZERS_PARALLELISM": "false"},
                capture_output=True,
                text=True,
            )
            if worker.returncode:
                print(f"{tool}: failed\n{worker.stderr[-2000:]}")
                continue
            found = json.loads(folder.joinpath(f"{tool}.json").read_text())
            seconds = sum(found["stages"].values())
            stages = ", ".join(f"{stage} {s:.2f}" for stage, s in found["stages"].items())
            clusters = found["clusters"]
            removed = "" if clusters is None else f"; {sum(map(len, clusters)) - len(clusters)} removed"
            print(f"{tool:17} {n_bytes / 1e6 / seconds:8.1f} MB/s {seconds:7.2f} CPU s ({stages}){removed}")
            print(
                f"{'':17} {' / '.join(worker.stdout.splitlines()[-2:])}; {time.perf_counter() - began:.0f} s in all"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
