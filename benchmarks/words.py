"""Rates of the word tables and of gopher_quality, in MB of text a CPU second on one core.

    python benchmarks/words.py [--megabytes 24] [--texts FILE.jsonl.gz] [--batch 4]

Cold is a fresh table, warm the same texts once more. Kernels are compiled before anything is timed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from curator.documents import Documents
from curator.text import Chunks
from curator.text.lines import lines
from curator.text.words import buffers
from curator_plugins.filters.gopher_quality import GopherQuality

TOKENIZERS = ("whitespace", "unicode", "normalized", "spacy-en")


def batches(path: Path, megabytes: float, batch: float) -> tuple[list[pl.DataFrame], float]:
    """Frames of about `batch` MB of text, and their size in MB together."""
    frames: list[pl.DataFrame] = []
    texts: list[str] = []
    size, total = 0, 0

    def cut() -> None:
        frames.append(pl.DataFrame({"text": texts}))
        texts.clear()

    with gzip.open(path) as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            n_bytes = len(texts[-1].encode())
            size, total = size + n_bytes, total + n_bytes
            if size > batch * 1e6:
                cut()
                size = 0
            if total > megabytes * 1e6:
                break
    if texts:
        cut()
    return frames, total / 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--megabytes", type=float, default=24)
    options.add_argument("--batch", type=float, default=4, help="MB of text in a batch")
    options.add_argument("--texts", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "bench.jsonl.gz")
    given = options.parse_args()
    frames, megabytes = batches(given.texts, given.megabytes, given.batch)
    table = Table("what", "MB/s", "words", title=f"{megabytes:.0f} MB in {len(frames)} batches, one core")

    def timed(what: str, work: Callable[[Documents], int], chunks: Chunks) -> None:
        started, n = time.process_time(), 0
        for frame in frames:
            n += work(Documents(frame, chunks=chunks))
        table.add_row(what, f"{megabytes / (time.process_time() - started):.0f}", f"{n:,}")

    def scan(docs: Documents) -> int:
        return int(lines(*buffers(docs.arrow_text)).lines.sum())

    def words(tokenizer: str) -> Callable[[Documents], int]:
        return lambda docs: len(docs.words(tokenizer))

    def quality(step: GopherQuality) -> Callable[[Documents], int]:
        return lambda docs: int(pl.DataFrame(step.measure(docs))["n_words"].sum())

    ready = Chunks()
    for tokenizer in TOKENIZERS:
        ready.words(pa.array(["Ready, steady… go!"], pa.large_string()), tokenizer)
    scan(Documents(frames[0].head(1)))
    timed("scan (lines of Gopher)", scan, ready)
    for tokenizer in TOKENIZERS:
        fresh = Chunks()
        if tokenizer == "spacy-en":
            fresh.words(pa.array(["…"], pa.large_string()), tokenizer)  # loads spaCy
        timed(f"{tokenizer}, cold", words(tokenizer), fresh)
        timed(f"{tokenizer}, warm", words(tokenizer), fresh)
        if tokenizer == "spacy-en":
            timed("gopher_quality as datatrove, warm", quality(GopherQuality(as_in="datatrove")), fresh)
    quality(GopherQuality())(Documents(frames[0].head(1)))
    timed("gopher_quality as published", quality(GopherQuality()), ready)
    Console().print(table)


if __name__ == "__main__":
    main()
