"""What decontaminate finds of planted benchmark items, and its rate, in MB of text a CPU second on one core.

    python benchmarks/decontaminate.py [--data FOLDER] [--megabytes 300] [--batch 4]

The folder has benchmarks/*.jsonl.gz, dev/gold/contaminated.jsonl.gz (text, label, item and kind, of each document)
and bench.jsonl.gz, a corpus without items, as far as known: what is found there is shown. Kernels are compiled
before anything is timed; user and system time. Datatrove's filter, with an index made by its own functions of
words between white space, reads the first --peer-megabytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl
from rich.console import Console
from rich.table import Table
from words import batches

from curator.documents import Documents
from curator_plugins.filters.benchmarks import read_benchmark
from curator_plugins.filters.decontaminate import Decontaminate

OVERLAPS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8)
KINDS = ("verbatim", "case_ws", "partial", "paraphrase-noise")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    options.add_argument("--megabytes", type=float, default=300)
    options.add_argument("--peer-megabytes", type=float, default=2)
    options.add_argument("--batch", type=float, default=4, help="MB of text in a batch")
    given = options.parse_args()
    files = {p.name.removesuffix(".jsonl.gz"): str(p) for p in sorted(given.data.glob("benchmarks/*.gz"))}
    console = Console(width=110)
    with gzip.open(given.data / "dev" / "gold" / "contaminated.jsonl.gz") as lines:
        gold = [json.loads(line) for line in lines]
    frames, megabytes = batches(given.data / "bench.jsonl.gz", given.megabytes, given.batch)
    for ngram in (13, 8):
        step = Decontaminate(benchmarks=files, ngram=ngram)
        seconds, _ = timed(step.setup)
        console.print(f"{ngram}-grams: index of {len(step._ngrams.keys):,} in {seconds:.1f} s")
        documents = Documents(pl.DataFrame({"text": [d["text"] for d in gold]}))
        console.print(evaluate(gold, step.measure(documents)["matches"].to_list(), ngram))
        rate(step, frames, megabytes, console)
    peer(files, frames, given.peer_megabytes, console)


def evaluate(gold: list[dict[str, Any]], found: list[list[dict[str, Any]]], ngram: int) -> Table:
    """Recall by kind (in brackets: with the item named), and precision, at several overlaps."""
    table = Table("min_overlap", *KINDS, "precision", title=f"{len(gold)} documents, {ngram}-grams")
    for least in OVERLAPS:
        hits = [[(m["benchmark"], m["item"]) for m in matches if m["overlap"] >= least] for matches in found]
        row = []
        for kind in KINDS:
            of_kind = [(d, h) for d, h in zip(gold, hits, strict=True) if d.get("kind") == kind]
            named = sum((d["benchmark"], d["item"]) in h for d, h in of_kind) / len(of_kind)
            row.append(f"{sum(bool(h) for _, h in of_kind) / len(of_kind):.3f} ({named:.3f})")
        right = sum(bool(h) for d, h in zip(gold, hits, strict=True) if d["label"])
        table.add_row(str(least), *row, f"{right / max(1, sum(map(bool, hits))):.3f}")
    return table


def rate(step: Decontaminate, frames: list[pl.DataFrame], megabytes: float, console: Console) -> None:
    spent = {"words": 0.0, "decontaminate": 0.0}
    best: list[float] = []
    listed: list[tuple[float, str, str]] = []
    for frame in frames:
        docs = Documents(frame)
        spent["words"] += timed(lambda docs=docs: docs.words("normalized"))[0]
        seconds, measured = timed(lambda docs=docs: step.measure(docs))
        spent["decontaminate"] += seconds
        best += measured["overlap"].tolist()
        listed += [
            (m["overlap"], m["item"], m["text"][:60]) for ms in measured["matches"].to_list() for m in ms[:1]
        ]
    console.print({name: f"{megabytes / seconds:.0f} MB/s" for name, seconds in spent.items()})
    over = {least: sum(b >= least for b in best if b) for least in OVERLAPS}
    console.print(f"of {len(best):,} documents, {megabytes:.0f} MB, with an overlap of at least: {over}")
    for overlap, item, text in sorted(listed, reverse=True)[:6]:
        console.print(f"  {overlap:.2f} {item}: {text}", markup=False)


def peer(files: dict[str, str], frames: list[pl.DataFrame], megabytes: float, console: Console) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import ngrams, simplify_text

    # xxhash, its default, fails with version 4 of that package
    step = NGramsDecontFilter(
        "unused", NGramsDecontConfig(n_grams=13, hash_config=HashConfig(hash_fc="sha1"))
    )
    step.tokenizer = type("Words", (), {"word_tokenize": staticmethod(str.split)})()
    step._index_hashes = {
        step.hash_func(" ".join(gram)): name
        for name, path in files.items()
        for field in read_benchmark(name, path, {}, "id").fields
        for gram in ngrams(simplify_text(field.text, step.config.norm_config).split(), 13)
    }

    def texts() -> Iterator[str]:
        for frame in frames:
            yield from frame["text"]

    size, chosen = 0, []
    for text in texts():
        chosen.append(Document(text=text, id=""))
        size += len(text.encode())
        if size > megabytes * 1e6:
            break
    seconds, _ = timed(lambda: [step.filter(document) for document in chosen])
    console.print(f"datatrove: {size / 1e6 / seconds:.2f} MB/s, words between white space included")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


if __name__ == "__main__":
    main()
