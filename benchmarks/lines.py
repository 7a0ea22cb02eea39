"""Repeated lines, paragraphs and passages of a corpus: rates per CPU second of each part, on one core.

    python benchmarks/lines.py DOCUMENTS.jsonl.gz [--unit line|paragraph|passage] [--option on=normalized …]

The documents have `text`. Looking at them, finding what repeats (SQL) and cutting it out are timed, reading and
writing are not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

os.environ["POLARS_MAX_THREADS"] = "1"

import duckdb
import polars as pl
import yaml

from curator.documents import Documents
from curator_catalog.spans import find_spans
from curator_plugins.cleaners.repeated_lines import RepeatedLines
from curator_plugins.cleaners.repeated_passages import RepeatedPassages

BATCH = 8_000_000  # bytes of text
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents")
    parser.add_argument("--unit", choices=["line", "paragraph", "passage"], default="line")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--memory", default="1GB", help="DuckDB's")
    given = parser.parse_args()
    options = {k: yaml.safe_load(v) for k, _, v in (o.partition("=") for o in given.option)}
    step = (
        RepeatedPassages(**options) if given.unit == "passage" else RepeatedLines(unit=given.unit, **options)
    )
    with gzip.open(given.documents) as lines:
        frame = pl.DataFrame({"text": [json.loads(line)["text"] for line in lines]})
    frame = frame.with_row_index("doc_id").with_columns(pl.col("doc_id").cast(pl.UInt64))
    megabytes = frame["text"].str.len_bytes().sum() / 1e6
    print(f"{len(frame):,} documents, {megabytes:.0f} MB")
    parts = frame.with_columns(batch=pl.col("text").str.len_bytes().cum_sum() // BATCH)
    batches = [Documents(p) for p in parts.partition_by("batch", maintain_order=True, include_key=False)]
    total = 0.0

    def timed(name: str, work: Callable[[], T]) -> T:
        nonlocal total
        start = time.process_time()
        result = work()
        seconds = time.process_time() - start
        total += seconds
        print(f"{name:30} {seconds:7.2f} CPU s {megabytes / seconds:7.0f} MB/s")
        return result

    def with_found(docs: Documents, found: pl.DataFrame | None) -> Documents:
        if found is None:
            return docs
        ids = docs.frame.select("doc_id")
        return docs.with_signals("found", ids.join(found, on="doc_id", how="left", maintain_order="left"))

    settings = {"threads": 1, "memory_limit": given.memory, "temp_directory": tempfile.mkdtemp()}
    found: pl.DataFrame | None = None
    with duckdb.connect(config=settings) as con:
        con.execute(
            "CREATE TEMP TABLE population AS SELECT i::UBIGINT AS doc_id, i::UBIGINT AS place FROM range(?) t(i)",
            [len(frame)],
        )
        for look in step.looks:
            looked_at = batches
            if found is not None:
                shared = found.filter(pl.col("starts").list.len() > 0)["doc_id"].to_list()
                looked_at = [docs.take(docs.frame["doc_id"].is_in(shared)) for docs in batches]
            with_found(batches[0].take(pl.Series([i < 3 for i in range(len(batches[0]))])), found)
            getattr(step, look)(with_found(looked_at[0], found))  # compiles

            def looking(
                look: str = look, over: list[Documents] = looked_at, told: pl.DataFrame | None = found
            ) -> pl.DataFrame:
                return pl.concat(
                    pl.DataFrame(
                        {"doc_id": docs.frame["doc_id"], **getattr(step, look)(with_found(docs, told))}
                    )
                    for docs in over
                )

            looked = timed(f"look: {look}", looking)
            last = look == step.looks[-1]

            def finding(looked: pl.DataFrame = looked, last: bool = last) -> pl.DataFrame:
                con.register("looked", looked.to_arrow())
                find_spans(con, "looked", "population", keep_first=last)
                return con.sql("FROM found").pl()

            found = timed(f"find ({looked['keys'].list.len().sum():,} spans)", finding)
    step.clean(with_found(batches[0], found))
    cleaned = timed("cut out", lambda: [step.clean(with_found(docs, found)) for docs in batches])
    removed = sum(signals["removed_bytes"].sum() for _, signals in cleaned) / 1e6
    print(f"together {megabytes / total:.0f} MB/s; removed {removed:.1f} MB")


if __name__ == "__main__":
    main()
