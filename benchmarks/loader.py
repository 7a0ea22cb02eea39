"""Rates of loading rows to train on, in million tokens a CPU second of one thread, beside other loaders.

    python benchmarks/loader.py [--tokens 12.7] [--batch 16] [--seconds 1] [--large 1.0]

One payload is written into a temporary folder: documents of 50 to 4,000 tokens (log-uniform), two bytes each, packed into
rows as an export is. Each loader reads batches of it for some seconds of CPU time; the page cache is warm and kernels
are compiled. Then the time to the first batch of a dataset that is opened anew, in a process of its own, and what
memory grows by at its peak while rows of a payload of `--large` GB are read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from curator.order import write_rows
from curator.rows import TokenRows
from curator_trainer import MixtureDataset
from curator_trainer.data import stack

VOCABULARY, END = 8192, 0
LENGTHS = (256, 2048)


def written(folder: Path, tokens: int, lengths: Iterable[int]) -> Path:
    """A folder of tokens as curator.tokens lays it out, of two components; and its rows."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    files, counts, shares = {}, {}, {"large": 0.7, "small": 0.3}
    for name, share in shares.items():
        sizes = np.exp(draw.uniform(np.log(50), np.log(4000), int(tokens * share / 900) + 1)).astype(np.int64)
        ends = np.cumsum(sizes)
        ends = ends[: int(np.searchsorted(ends, tokens * share)) + 1]
        payload = draw.integers(1, VOCABULARY, int(ends[-1]), dtype=np.uint16)
        payload[ends - 1] = END
        payload.tofile(folder / f"train.{name}.bin")
        ends.astype("<u8").tofile(folder / f"train.{name}.ends")
        for kind in ("bin", "ends"):
            path = folder / f"train.{name}.{kind}"
            files[path.name] = {"bytes": path.stat().st_size, "xxh3_128": ""}
        counts[name] = {"train": {"documents": len(ends), "tokens": int(ends[-1]), "bytes": 4 * int(ends[-1])}}
    (folder / "tokens.json").write_text(
        json.dumps(
            {
                "format_version": 1, "dtype": "<u2", "components": counts, "files": files,
                "tokenizer": {"sha256": "", "end_token": "</s>", "end_id": END, "vocab_size": VOCABULARY},
            }
        )
    )  # fmt: skip
    manifest = {
        "fingerprint": "", "mixture": "loader", "seed": 17, "tokens": tokens, "tokenizer": None,
        "components": [{"name": n, "share": s, "max_epochs": 4.0} for n, s in shares.items()],
    }  # fmt: skip
    for length in lengths:
        (folder / f"rows-{length}").mkdir()
        write_rows(manifest, folder, folder / f"rows-{length}", length)
    return folder


def opened(folder: Path, length: int) -> MixtureDataset:
    """The dataset over such a folder, which is no whole export."""
    dataset = object.__new__(MixtureDataset)
    dataset.rows = TokenRows(folder / f"rows-{length}")
    dataset.objective, dataset.components, dataset.masking = "causal", False, None
    return dataset


def endless(make: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    while True:
        yield from make()


def rate(make: Callable[[], Iterable[Any]], tokens: int, seconds: float) -> float:
    """Million tokens a CPU second; `tokens` are in a batch. The median of five stretches."""
    batches = endless(make)
    for _ in range(20):
        next(batches)
    rates = []
    for _ in range(5):
        started, read = time.process_time(), 0
        while (spent := time.process_time() - started) < seconds / 5:
            for _ in range(10):
                next(batches)
            read += 10 * tokens
        rates.append(read / spent / 1e6)
    return sorted(rates)[2]


def ours(folder: Path, length: int, batch: int) -> dict[str, Callable[[], Iterable[Any]]]:
    """Our dataset: tokens alone, whole batches for our trainer, and rows that torch stacks."""
    dataset = opened(folder, length)
    count = len(dataset) - len(dataset) % batch
    loader: Any = DataLoader(dataset, batch_size=batch, collate_fn=stack, drop_last=True)
    plain: Any = DataLoader(dataset, batch_size=batch, drop_last=True)
    return {
        "curator, tokens alone": lambda: (
            dataset.rows.ids(range(start, start + batch)) for start in range(0, count, batch)
        ),
        "curator, labels and positions, DataLoader": lambda: loader,
        "the same, torch's own collation": lambda: plain,
    }


def peers(folder: Path, length: int, batch: int, scratch: Path) -> dict[str, Callable[[], Iterable[Any]] | str]:
    """Other loaders on the same tokens, concatenated; or why one is not there."""
    payload = np.memmap(folder / "train.large.bin", dtype="<u2", mode="r")
    draw = np.random.default_rng(0)

    def nanogpt() -> Iterator[Any]:
        """get_batch of nanoGPT's train.py."""
        for _ in range(1000):
            ix = draw.integers(len(payload) - length, size=batch)
            x = torch.stack([torch.from_numpy(payload[i : i + length].astype(np.int64)) for i in ix])
            y = torch.stack([torch.from_numpy(payload[i + 1 : i + 1 + length].astype(np.int64)) for i in ix])
            yield x, y

    found: dict[str, Callable[[], Iterable[Any]] | str] = {"nanoGPT, random slices": nanogpt}
    names = ("Hugging Face datasets, arrow by index", "Hugging Face datasets, streamed")
    try:
        import datasets
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        found |= dict.fromkeys(names, f"not installed: {error.name}")
    else:
        rows = len(payload) // length
        flat = pa.array(np.asarray(payload[: rows * length]))
        table = pa.table({"input_ids": pa.FixedSizeListArray.from_arrays(flat, length)})
        pq.write_table(table, scratch / f"{length}.parquet", row_group_size=1024)
        os.environ["HF_HUB_OFFLINE"] = "1"
        files = {"train": str(scratch / f"{length}.parquet")}
        kept = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(scratch / "hf"))
        order = draw.permutation(rows)
        indexed: Any = DataLoader(kept.with_format("torch"), batch_size=batch, sampler=order.tolist())
        stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        streamed: Any = DataLoader(stream.with_format("torch"), batch_size=batch)
        found |= {names[0]: lambda: indexed, names[1]: lambda: streamed}
    for package, module in (("OLMo-core", "olmo_core"), ("megatron-core", "megatron")):
        try:
            __import__(module)
            found[package] = "installed; this benchmark does not drive it"
        except ImportError:
            found[package] = f"not installed: {module}"
    return found


FIRST = """
import sys, time, pathlib
sys.path[:0] = {paths!r}
from benchmarks.loader import opened
for _ in range(2):
    began = time.process_time()
    opened(pathlib.Path({folder!r}), {length}).__getitems__(range(16))
    print(time.process_time() - began)
"""

GROWTH = """
import sys, pathlib
sys.path[:0] = {paths!r}
import numpy as np
from benchmarks.loader import opened
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return {{k: int(v.split()[0]) for k, v in (l.split(":", 1) for l in lines) if k in ("VmRSS", "VmHWM", "RssAnon")}}
dataset = opened(pathlib.Path({folder!r}), {length})
dataset.__getitems__(range(16))  # numba is loaded, and next to nothing of the payload
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = resident()
for start in range(16, len(dataset) - 16, 16): dataset.__getitems__(range(start, start + 16))
after = resident()
print((after["VmHWM"] - before["VmRSS"]) / 1024, (after["RssAnon"] - before["RssAnon"]) / 1024, len(dataset) * {length} / 1e6)
"""


def elsewhere(code: str, folder: Path, length: int) -> list[float]:
    """What a fresh process prints."""
    paths = [str(Path(__file__).parents[1] / p) for p in (".", "catalog", "plugins", "trainer")]
    filled = code.format(paths=paths, folder=str(folder), length=length)
    done = subprocess.run([sys.executable, "-c", filled], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--tokens", type=float, default=12.7, help="million tokens")
    options.add_argument("--batch", type=int, default=16, help="rows")
    options.add_argument("--seconds", type=float, default=1.0, help="of CPU time, for each loader")
    options.add_argument("--large", type=float, default=1.0, help="GB of the large payload; 0 to leave it out")
    given = options.parse_args()
    torch.set_num_threads(1)
    table = Table("loader", *(f"T={n}, Mtok/s" for n in LENGTHS), title=f"{given.tokens}M tokens, batches of {given.batch}")
    facts = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = written(scratch / "tokens", int(given.tokens * 1e6), LENGTHS)
        cells: dict[str, list[str]] = {}
        for length in LENGTHS:
            for name, make in {**ours(folder, length, given.batch), **peers(folder, length, given.batch, scratch)}.items():
                cell = make if isinstance(make, str) else f"{rate(make, given.batch * length, given.seconds):.1f}"
                cells.setdefault(name, []).append(cell)
        for name, row in cells.items():
            table.add_row(name, *row)
        for length in LENGTHS:
            first, second = elsewhere(FIRST, folder, length)
            facts.append(
                f"opening and first batch, T={length}: {1000 * second:.0f} ms of CPU, {1000 * first:.0f} where it is the first "
                "that a process opens, since numba loads its compiler"
            )
        if given.large:
            large = written(scratch / "large", int(given.large * 5e8), LENGTHS)
            for length in LENGTHS:
                grown, anonymous, read = elsewhere(GROWTH, large, length)
                facts.append(
                    f"resident memory while {read:.0f}M tokens of {given.large} GB are read, T={length}: "
                    f"{grown:+.0f} MB at most with pages of the page cache, {anonymous:+.0f} MB without"
                )
    Console().print(table)
    print("\n".join(facts))


if __name__ == "__main__":
    main()
