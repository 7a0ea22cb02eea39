"""Reading: MB of text per CPU second on one core, from a file to frames of documents; and the memory it takes.

    python benchmarks/reading.py DOCUMENTS.jsonl.gz [--times 5]
    python benchmarks/reading.py DOCUMENTS.jsonl.gz --large 5 [--folder /tmp]
    python benchmarks/reading.py --bombs

The documents are written again as JSON lines, Parquet and CSV, and read by `curator.reading.read_documents`: mapped,
hashed, framed. Beside it, what the libraries below take for the same file without that: the median of all times, and
the best. --large makes one file of so many GB, plain and then as gzip of many members, and reads it: the peak of
resident memory after each half GB. --bombs: what is refused, after how long.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import lzma
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"

import orjson
import polars as pl
import pyarrow.parquet as pq
import zstandard

from curator import Part
from curator.lines import decompressed, lines
from curator.reading import read_documents
from curator_plugins.sources.csv import Csv
from curator_plugins.sources.jsonl import Jsonl
from curator_plugins.sources.parquet import Parquet

GB = 1_000_000_000


def drain(found: Iterator[Any]) -> None:
    for _ in found:
        pass


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rates(documents: Path, times: int, folder: Path) -> None:
    source = Jsonl(path=str(documents))
    frame = pl.concat([found.select("text", id="source_key") for found, _ in read_documents(source, Part(str(documents)))])
    megabytes = frame["text"].str.len_bytes().sum() / 1e6
    print(f"{len(frame):,} documents, {megabytes:.0f} MB of text")
    content = b"".join(decompressed(str(documents)))
    files = {name: str(folder / name) for name in ("jsonl", "jsonl.zst", "zstd.parquet", "snappy.parquet", "csv")}
    Path(files["jsonl"]).write_bytes(content)
    Path(files["jsonl.zst"]).write_bytes(zstandard.compress(content))
    pq.write_table(frame.to_arrow(), files["zstd.parquet"], compression="zstd", row_group_size=10_000)
    pq.write_table(frame.to_arrow(), files["snappy.parquet"])
    frame.write_csv(files["csv"])
    files["jsonl.gz"] = str(documents)
    kinds = {"csv": Csv, "parquet": Parquet}

    def arrow(path: str) -> None:
        drain(pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20).iter_batches(256, use_threads=False))

    others: dict[str, dict[str, Callable[[str], Any]]] = {
        "jsonl.gz": {
            "isal alone": lambda path: drain(decompressed(path)),
            "its lines, orjson": lambda path: drain(orjson.loads(line) for _, line in lines(path)),  # type: ignore[arg-type]  # no line is refused here
            "polars": lambda path: pl.read_ndjson(gzip.decompress(Path(path).read_bytes())),
        },
        "jsonl": {"polars": pl.read_ndjson},
        "zstd.parquet": {"pyarrow alone": arrow, "polars": pl.read_parquet},
        "snappy.parquet": {"pyarrow alone": arrow, "polars": pl.read_parquet},
        "csv": {"polars": pl.read_csv},
    }
    for name, path in files.items():
        kind: Any = kinds.get(name.rpartition(".")[2], Jsonl)
        ours = kind(path=path)
        works: dict[str, Callable[[str], Any]] = {
            "curator": lambda _, s=ours: drain(read_documents(s, s.parts()))  # type: ignore[misc]
        }
        if kind is Jsonl:  # of which a compressed file's parts decompress what is before them
            works["curator, one part"] = lambda p, s=ours: drain(read_documents(s, Part(p)))  # type: ignore[misc]
        for who, work in (works | others.get(name, {})).items():
            taken = []
            for _ in range(times + 1):
                start = cpu()
                work(path)
                taken.append(cpu() - start)
            taken = sorted(taken[1:])
            print(
                f"{name:15} {who:20} {megabytes / statistics.median(taken):6.0f} MB/s, best {megabytes / taken[0]:6.0f}",
                flush=True,
            )


def large(documents: Path, size: float, folder: Path) -> None:
    for name in ("large.jsonl", "large.jsonl.gz"):
        path = folder / name
        content = documents.read_bytes() if name.endswith(".gz") else b"".join(decompressed(str(documents)))
        expanded = len(b"".join(decompressed(str(documents))))
        with path.open("wb") as file:
            for _ in range(-(-int(size * GB) // expanded)):
                file.write(content)
        del content
        try:
            print(f"{name}, {path.stat().st_size / GB:.2f} GB", flush=True)
            # in a process of its own, since a peak never falls again
            subprocess.run([sys.executable, __file__, str(path), "--peaks"], check=True)
        finally:
            path.unlink()


def peaks(path: Path) -> None:
    """Reads part by part, as a worker does, which knows the keys of the part that it reads."""
    text = step = 0
    source = _without_ids(Jsonl(path=str(path)))
    start = cpu()
    for part in source.parts():
        for frame, _ in read_documents(source, part):
            text += int(frame["text"].str.len_bytes().sum())
            if text >= step:
                status = Path("/proc/self/status").read_text()  # of this program alone, which ru_maxrss is not
                peak = int(status.partition("VmHWM:")[2].split()[0]) / 1000
                print(f"  {text / GB:5.2f} GB of text: peak {peak:.0f} MB", flush=True)
                step = text + GB // 2
    print(f"  {text / GB:5.2f} GB, {text / 1e6 / (cpu() - start):.0f} MB/s")


def _without_ids(source: Jsonl) -> Jsonl:
    """Whose records are called by their places, since the copies of a document have one id."""
    plain = source.read

    def read(part: Part) -> Iterator[Any]:
        for record in plain(part):
            if isinstance(record, dict):
                record.pop("id", None)
            yield record

    source.read = read  # type: ignore[method-assign]
    return source


def bombs(folder: Path) -> None:
    zeros = b"\0" * 10_000_000
    made: dict[str, Any] = {
        "gzip": gzip.compress(zeros, 9) * 1000,
        "zstd": zstandard.ZstdCompressor().compress(zeros * 100) * 10,
        "bz2": bz2.compress(zeros) * 1000,
        "xz": lzma.compress(zeros * 10) * 100,
    }
    for name, content in made.items():
        path = folder / name
        path.write_bytes(content)
        start = cpu()
        source = Jsonl(path=str(path))
        bad = [q.reason for _, found in read_documents(source, source.parts()) for q in found]
        print(f"10 GB of zeros in {len(content) / 1e6:.2f} MB of {name}: {bad} after {cpu() - start:.1f} CPU s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, nargs="?")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--large", type=float, help="GB")
    parser.add_argument("--bombs", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--peaks", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peaks:
        return peaks(given.documents)
    start = time.time()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.bombs:
            bombs(Path(folder))
        elif given.large:
            large(given.documents, given.large, Path(folder))
        else:
            rates(given.documents, given.times, Path(folder))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
