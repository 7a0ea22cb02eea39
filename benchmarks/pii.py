"""What pii finds of gold spans, and its rate beside datatrove's PIIFormatter, in MB of text a CPU second.

    python benchmarks/pii.py [--megabytes 24] [--texts FILE.jsonl.gz] [--gold FILE.jsonl.gz] [--batch 4]

One core, user and system time, the same documents in one process; kernels are compiled before anything is
timed. The gold file has a text and spans (type, start, end) a line. What is not there is left out, and said.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl
from rich.console import Console
from rich.table import Table

from curator.documents import Documents
from curator.pii import KINDS, Span, spans
from curator.text.pii import places
from curator_plugins.cleaners.pii import Pii

DATA = Path(__file__).parents[2] / "shared" / "data"
TYPES = {
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "credit_card",
    "PHONE_NUMBER": "phone",
}


def lines(path: Path) -> Iterator[dict]:
    with gzip.open(path) as file:
        yield from map(json.loads, file)


def batches(path: Path, megabytes: float, batch: float) -> tuple[list[pl.DataFrame], float]:
    """Frames of about `batch` MB of text, and their size in MB together."""
    frames: list[pl.DataFrame] = []
    texts: list[str] = []
    size, total = 0, 0
    for line in lines(path):
        texts.append(line["text"])
        n_bytes = len(texts[-1].encode())
        size, total = size + n_bytes, total + n_bytes
        if size > batch * 1e6 or total > megabytes * 1e6:
            frames.append(pl.DataFrame({"text": texts}))
            texts, size = [], 0
        if total > megabytes * 1e6:
            break
    if texts:
        frames.append(pl.DataFrame({"text": texts}))
    return frames, total / 1e6


def evaluate(path: Path, console: Console) -> None:
    """Precision and recall for each kind: of spans that overlap one of the kind, and of spans that are equal."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong = Table("", "kind", "text", title="wrong")

    def meets(span: Span, others: list[Span]) -> bool:
        return any(span[0] == kind and span[1] < end and start < span[2] for kind, start, end in others)

    for line in lines(path):
        text = line["text"]
        gold = [(TYPES[s["type"]], s["start"], s["end"]) for s in line["spans"] if s["type"] in TYPES]
        found = list(spans(text))
        for what, these, those in (("missed", gold, found), ("not gold", found, gold)):
            for span in these:
                kind, start, end = span
                counts[kind, what] += 1
                counts[kind, f"{what}: overlap"] += meets(span, those)
                counts[kind, f"{what}: equal"] += span in those
                if not meets(span, those):
                    wrong.add_row(what, kind, repr(text[max(0, start - 30) : end + 10]))
    table = Table(
        "kind", "gold", "found", "precision", "recall", "equal: precision", "equal: recall", title=path.name
    )
    for kind in KINDS:
        gold_spans, found_spans = counts[kind, "missed"], counts[kind, "not gold"]
        row = [
            f"{counts[kind, f'{what}: {how}'] / max(1, total):.3f}"
            for how in ("overlap", "equal")
            for what, total in (("not gold", found_spans), ("missed", gold_spans))
        ]
        table.add_row(kind, str(gold_spans), str(found_spans), *row)
    console.print(table)
    console.print(wrong)


def rates(frames: list[pl.DataFrame], megabytes: float, console: Console) -> None:
    table = Table("what", "MB/s", *KINDS, title=f"{megabytes:.0f} MB in {len(frames)} batches, one core")

    def timed(what: str, work: Callable[[pl.DataFrame], dict[str, int]]) -> None:
        work(frames[0].head(1))
        found: Counter[str] = Counter()
        started = time.process_time()
        for frame in frames:
            found.update(work(frame))
        rate = megabytes / (time.process_time() - started)
        table.add_row(what, f"{rate:.1f}", *(f"{found[kind]:,}" if kind in found else "" for kind in KINDS))

    def cleaned(step: Pii) -> Callable[[pl.DataFrame], dict[str, int]]:
        def work(frame: pl.DataFrame) -> dict[str, int]:
            _, signals = step.clean(Documents(frame))
            return {kind: signals[f"{kind}s"].sum() for kind in step.kinds}

        return work

    def scanned(frame: pl.DataFrame) -> dict[str, int]:
        return {"email": int((places(Documents(frame).arrow_text).kinds & 1).sum())}

    timed("the kernel alone (places for email)", scanned)
    timed("pii", cleaned(Pii()))
    timed("pii, spans stored", cleaned(Pii(store_spans=True)))
    timed("pii, only email and ip", cleaned(Pii(kinds=["email", "ip"])))
    if find_spec("datatrove"):
        from datatrove.pipeline.formatters import PIIFormatter

        theirs = PIIFormatter()

        def formatted(frame: pl.DataFrame) -> dict[str, int]:
            for text in frame["text"]:
                theirs.format(text)
            return {}

        timed("datatrove's PIIFormatter (email, IPv4)", formatted)
    else:
        console.print("datatrove is not installed, so it is not compared")
    console.print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--megabytes", type=float, default=24)
    options.add_argument("--batch", type=float, default=4, help="MB of text in a batch")
    options.add_argument("--texts", type=Path, default=DATA / "bench.jsonl.gz")
    options.add_argument("--gold", type=Path, default=DATA / "dev" / "pii" / "presidio-synth.jsonl.gz")
    given = options.parse_args()
    console = Console()
    for path, show in (
        (given.gold, lambda: evaluate(given.gold, console)),
        (given.texts, lambda: rates(*batches(given.texts, given.megabytes, given.batch), console)),
    ):
        if path.is_file():
            show()
        else:
            console.print(f"there is no {path}")


if __name__ == "__main__":
    main()
