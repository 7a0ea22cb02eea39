"""Reading datasets and archives: rates of each source, and of the library that reads the same, on one core.

    python benchmarks/containers.py DOCUMENTS.jsonl.gz [--times 6] [--pdf FILE …]

The documents have `text`. `records` is the source alone, `documents` with mapping, hashing and batches.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import pyarrow as pa
import pyarrow.parquet as pq

from curator import Source
from curator.reading import read_documents
from curator_plugins.sources.archive import Archive
from curator_plugins.sources.huggingface import Huggingface
from curator_plugins.sources.jsonl import Jsonl
from curator_plugins.sources.parquet import Parquet
from curator_plugins.sources.pdf import Pdf
from curator_plugins.sources.text import Text

SMALL = 10_000  # members of an archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents")
    parser.add_argument("--times", type=int, default=6, help="how often the documents stand in the large files")
    parser.add_argument("--pdf", nargs="*", default=[])
    given = parser.parse_args()
    with gzip.open(given.documents) as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(30_000), strict=False)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder, texts, given.times)
        for name, source in sources(folder).items():
            timed(f"{name}, records", lambda source=source: (len(r["text"]) for p in source.parts() for r in source.read(p)))
            timed(f"{name}, documents", lambda source=source: documents(source))
        timed("datasets, rows", lambda: dataset(folder))
        timed("zipfile alone", lambda: zipped(folder))
        timed("tarfile alone", lambda: tarred(folder))
        for file in given.pdf:
            source = Pdf(path=file)
            began = time.perf_counter()
            found = [r for p in source.parts() for r in source.read(p)]
            print(f"{file}: {[r.get('pages') or r for r in found]} pages in {time.perf_counter() - began:.2f} s with its process")


def make(folder: Path, texts: list[str], times: int) -> None:
    table = pa.table({"text": texts, "n": range(len(texts))})
    for name in ("arrow", "parquet", "files"):
        (folder / name).mkdir()
    with pa.ipc.new_stream(folder / "arrow/x-train.arrow", table.schema) as stream:
        for _ in range(times):
            stream.write_table(table, max_chunksize=1000)
    with pq.ParquetWriter(folder / "parquet/x.parquet", table.schema, compression="zstd") as parquet:
        for _ in range(times):
            parquet.write_table(table, row_group_size=10_000)
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as made, tarfile.open(folder / "x.tar.gz", "w:gz") as tar:
        for n, text in enumerate(texts[:SMALL]):
            made.writestr(f"{n}.txt", text)
            info = tarfile.TarInfo(f"{n}.txt")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
            (folder / "files" / f"{n}.txt").write_text(text)
    lines = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)
    (folder / "lines.jsonl").write_bytes(lines)
    with zipfile.ZipFile(folder / "lines.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("lines.jsonl", lines)


def sources(folder: Path) -> dict[str, Source]:
    return {
        "huggingface, Arrow": Huggingface(path=str(folder / "arrow")),
        "parquet": Parquet(path=str(folder / "parquet")),
        "text, 10,000 files": Text(path=str(folder / "files")),
        "the same in a zip": Archive(path=str(folder / "x.zip"), read=Text(path="")),
        "the same in a tar.gz": Archive(path=str(folder / "x.tar.gz"), read=Text(path="")),
        "jsonl, plain": Jsonl(path=str(folder / "lines.jsonl")),
        "the same in a zip, one member": Archive(path=str(folder / "lines.zip"), read=Jsonl(path="")),
    }


def timed(name: str, work: Callable[[], Iterator[int]]) -> None:
    start = time.process_time()
    sizes = list(work())
    seconds = time.process_time() - start
    print(f"{name:45} {sum(sizes) / 1e6 / seconds:6.0f} MB/s  {seconds:6.2f} s", flush=True)


def documents(source: Source) -> Iterator[int]:
    for frame, _ in read_documents(source, source.parts()):
        yield int(frame["text"].str.len_bytes().sum())


def dataset(folder: Path) -> Iterator[int]:
    import datasets

    rows: Any = datasets.Dataset.from_file(str(folder / "arrow/x-train.arrow"))
    return (len(row["text"]) for row in rows)


def zipped(folder: Path) -> Iterator[int]:
    with zipfile.ZipFile(folder / "x.zip") as made:
        for info in made.infolist():
            yield len(made.read(info).decode())


def tarred(folder: Path) -> Iterator[int]:
    with tarfile.open(folder / "x.tar.gz") as tar:
        for info in tar:
            yield len(tar.extractfile(info).read().decode())  # type: ignore[union-attr]  # it is a file


if __name__ == "__main__":
    main()
