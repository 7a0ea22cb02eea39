"""Gopher's, C4's and FineWeb's filters beside datatrove's and dolma's, on the same documents: decisions and rates.

    python benchmarks/filters.py [--megabytes 24] [--peer-megabytes 4] [--texts FILE.jsonl.gz] [--batch 4] [--dolma PYTHON]
    python benchmarks/filters.py --memory [--megabytes 24]

Rates are MB of text a CPU second (user and system), one core. Peers get the head of the documents, for which
all decisions, reasons, rewritten texts and (dolma) measures are compared. datatrove's filters run as its pipeline
runs them: what one drops no later one sees. Ours measure every document in every step, and rules are answered
by DuckDB as the catalog does, both timed. Cold is an empty table of chunks, warm the same texts once more;
each row makes its words anew. Kernels are compiled and spaCy is loaded before anything is timed.

First-time cost is that of a process that measures 20 documents, in wall seconds, best of three, kernels in numba's
cache. `--memory` instead shows what the table of chunks takes, over five passes of which each has other words.
For dolma's environment see benchmarks/language.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"

import duckdb
import polars as pl
import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4BadWordsFilter,
    C4ParagraphFilter,
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    c4_filters,
)
from datatrove.utils.text import split_into_parts, split_into_words
from rich.console import Console
from rich.table import Column, Table
from words import batches

from curator import Cleaner, Step
from curator.checking import DOCUMENT_TYPES, duckdb_types, empty_frame, qualified
from curator.documents import Documents
from curator.measuring import StepRunner
from curator.recipe import Recipe, StepSpec
from curator.rules import quoted
from curator.text import Chunks, merge
from curator_plugins.cleaners.c4 import C4
from curator_plugins.filters.bad_words import BadWords
from curator_plugins.filters.c4_paragraphs import C4Paragraphs
from curator_plugins.filters.fineweb_quality import FinewebQuality
from curator_plugins.filters.gopher_quality import GopherQuality
from curator_plugins.filters.gopher_repetition import DUPLICATED, TOP, GopherRepetition

Steps = Mapping[str, Step]
Frames = list[pl.DataFrame]

DOLMA = """
import json, sys, time
import nltk
nltk.download = lambda *_, **__: None  # importing dolma would fetch a model that these taggers do not use
from dolma.core.data_types import Document
from dolma.taggers.c4 import FasterC4Tagger
from dolma.taggers.gopher import GopherTaggerV2

documents = [Document(source="", id="", text=text) for text in json.load(sys.stdin)]
answers = []
for tagger in (GopherTaggerV2(), FasterC4Tagger()):
    tagger.predict(documents[0])
    started = time.process_time()
    spans = [tagger.predict(document).spans for document in documents]
    answers.append([time.process_time() - started, [[(s.type, s.score) for s in found] for found in spans]])
print(json.dumps(answers))
"""
#: our measure -> that of dolma's gopher_v2
OF_DOLMA = {
    "n_words": "word_count",
    "n_chars": "character_count",
    "median_word_length": "median_word_length",
    "symbol_ratio": "symbol_to_word_ratio",
    "alpha_word_ratio": "fraction_of_words_with_alpha_character",
    "stop_words": "required_word_count",
    "bullet_line_ratio": "fraction_of_lines_starting_with_bullet_point",
    "end_ellipsis_line_ratio": "fraction_of_lines_ending_with_ellipsis",
    "dup_line_frac": "fraction_of_duplicate_lines",
    "dup_line_char_frac": "fraction_of_characters_in_duplicate_lines",
    **{f"top_{n}_gram": f"fraction_of_characters_in_most_common_{n}grams" for n in TOP},
    **{f"duplicated_{n}_n_grams": f"fraction_of_characters_in_duplicate_{n}grams" for n in DUPLICATED},
}
#: argv: a folder of saved tables; answers seconds of our imports, of spaCy's (None: not imported), and of the steps
FIRST = """
import builtins, json, sys, time
began, spacy, import_ = time.perf_counter(), None, builtins.__import__

def timed(name, *rest, **more):
    global spacy
    if name.partition(".")[0] != "spacy" or "spacy" in sys.modules:
        return import_(name, *rest, **more)
    started = time.perf_counter()
    try:
        return import_(name, *rest, **more)
    finally:
        spacy = time.perf_counter() - started

builtins.__import__ = timed
from pathlib import Path
import polars as pl
from curator.documents import Documents
from curator.measuring import StepRunner
from curator.text import Chunks
from curator_plugins.cleaners.c4 import C4
from curator_plugins.filters.fineweb_quality import FinewebQuality
from curator_plugins.filters.gopher_quality import GopherQuality
from curator_plugins.filters.gopher_repetition import GopherRepetition
imported = time.perf_counter()
frame = pl.DataFrame({"text": json.load(sys.stdin)}).with_row_index("doc_id").cast({"doc_id": pl.UInt64})
docs = Documents(frame, chunks=Chunks(Path(sys.argv[1])))
for plugin, options in ((GopherRepetition, {}), (GopherQuality, {}), (C4, {"terminal_punct": False}), (FinewebQuality, {})):
    measured = StepRunner("step", plugin(as_in="datatrove", **options)).run(docs)
    docs = measured.cleaned or docs
print(json.dumps([imported - began, spacy, time.perf_counter() - imported - (spacy or 0)]))
"""


def fineweb() -> dict[str, tuple[Step, Any]]:
    """The filters of FineWeb in their order, by name: ours and datatrove's."""
    return {
        "gopher_repetition": (GopherRepetition(as_in="datatrove"), GopherRepetitionFilter()),
        "gopher_quality": (GopherQuality(as_in="datatrove"), GopherQualityFilter()),
        "c4": (
            C4(as_in="datatrove", terminal_punct=False),
            C4QualityFilter(filter_no_terminal_punct=False),
        ),
        "fineweb_quality": (FinewebQuality(as_in="datatrove"), FineWebQualityFilter()),
    }


def dolma_steps() -> dict[str, Steps]:
    """Ours by their taggers."""
    gopher = {
        "gopher_quality": GopherQuality(as_in="dolma"),
        "gopher_repetition": GopherRepetition(as_in="dolma"),
    }
    return {"gopher": gopher, "c4": {"c4": C4(as_in="dolma")}}


@dataclass
class Answers:
    """`reasons` and `texts` of the documents, of which the reason is `step.rule` or None; seconds by step."""

    reasons: list[str | None]
    texts: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    measured: pl.DataFrame = field(default_factory=pl.DataFrame)

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - started

    def rate(self, megabytes: float) -> float:
        return megabytes / sum(self.seconds.values())


def by_curator(steps: Steps, frames: Frames, chunks: Chunks, head: int) -> Answers:
    """All steps over all documents, and their rules; what is compared is of the first `head` documents."""
    runners = {name: StepRunner(name, step) for name, step in steps.items()}
    tokenizer = getattr(next(iter(steps.values())), "tokenizer", None)
    rows: dict[str, Frames] = {name: [] for name in steps}
    found = Answers([], [])
    for frame in frames:
        docs = Documents(frame, chunks=chunks)
        with found.timing("texts as Arrow"):
            _ = docs.arrow_text
        if tokenizer:
            with found.timing(f"words, {tokenizer}"):
                docs.words(tokenizer)
        for name, runner in runners.items():
            with found.timing(name):
                measured = runner.run(docs)
                if measured.texts is not None:
                    docs = measured.cleaned or docs.with_text(measured.texts)
            assert not measured.failed, measured.failed
            rows[name].append(measured.rows)
        if len(found.texts) < head:
            found.texts += docs.text.to_list()
    answer = decider(steps)
    with found.timing("rules, DuckDB"):
        found.reasons = answer(rows)
    found.measured = pl.concat(
        [pl.concat(rows[name]).drop("doc_id").head(head) for name in steps], how="horizontal"
    )
    del found.texts[head:], found.reasons[head:]
    return found


def decider(steps: Steps) -> Callable[[Mapping[str, Frames]], list[str | None]]:
    """Answers rules as the catalog does: each document's first failing one, in the order of the steps."""
    specs, tables = [], []
    for at, (name, step) in enumerate(steps.items()):
        kind = "cleaner" if isinstance(step, Cleaner) else "filter"
        options = {o: getattr(step, o) for o in step.options()}
        signals = duckdb_types(step.declared_signals(), empty_frame(), name)
        specs.append(
            StepSpec(name, kind, name, "", "", options, rules=step.declared_rules(), signals=signals)
        )
        tables.append((f"s{at}", name, ", ".join(f"{quoted(n)} {t}" for n, t in signals.items())))
    recipe = Recipe("benchmark", "", "", (), True, (), tuple(specs))
    cases = [
        f"WHEN {qualified(recipe, at, sql, {})[0]} THEN '{spec.name}.{rule}'"
        for at, spec in enumerate(specs)
        for rule, sql in spec.rules.items()
    ]

    def answer(rows: Mapping[str, Frames]) -> list[str | None]:
        with duckdb.connect(config={"threads": 1}) as con:
            con.execute(
                f"CREATE TABLE d ({', '.join(f'{quoted(n)} {t}' for n, t in DOCUMENT_TYPES.items())})"
            )
            con.register(
                "ids", pl.concat([frame.select("doc_id") for frame in rows[specs[0].name]]).to_arrow()
            )
            con.execute("INSERT INTO d BY NAME FROM ids")
            for table, name, columns in tables:
                con.execute(f"CREATE TABLE {table} (doc_id UBIGINT, {columns})")
                for frame in rows[name]:
                    con.register("rows", frame.to_arrow())
                    con.execute(f"INSERT INTO {table} BY NAME FROM rows")
            joins = " ".join(f"JOIN {table} USING (doc_id)" for table, *_ in tables)
            decided = f"SELECT CASE {' '.join(cases)} END FROM d {joins} ORDER BY doc_id"
            return [reason for (reason,) in con.execute(decided).fetchall()]

    return answer


class Excluded:
    """What datatrove writes dropped documents to."""

    def __init__(self, step: str, into: Answers) -> None:
        self.step, self.into = step, into

    def __enter__(self) -> Excluded:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, document: Document, rank: int) -> None:
        reason = document.metadata["filter_reason"].replace("< 3 paragraphs", "too_few_paragraphs")
        self.into.reasons[int(document.id)] = f"{self.step}.{reason}"


def by_datatrove(steps: Mapping[str, Any], texts: list[str]) -> Answers:
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(texts)]
    found = Answers([None] * len(texts), [])
    flow: Iterator[Document] = iter(documents)
    for name, step in steps.items():
        step.exclusion_writer = Excluded(name, found)
        flow = step.run(flow)
    split_into_parts.cache_clear()
    with found.timing("all"):
        for _ in flow:
            pass
    found.texts = [document.text for document in documents]
    return found


def by_dolma(python: Path, texts: list[str]) -> list[Answers]:
    """gopher_v2 and c4_v2, with our names of their measures."""
    ended = subprocess.run(
        [python, "-c", DOLMA], input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=True
    )
    (gopher_seconds, gopher), (c4_seconds, c4) = json.loads(ended.stdout.splitlines()[-1])
    scores = list(map(dict, gopher))
    counts = [
        Counter(kind for kind, _ in spans) | Counter(line_count=dict(spans)["line_count"]) for spans in c4
    ]
    by_gopher = {ours: [s.get(theirs) for s in scores] for ours, theirs in OF_DOLMA.items()}
    by_c4 = {name: [count[name] for count in counts] for name in C4(as_in="dolma").declared_signals()}
    return [
        Answers([], [], {"all": gopher_seconds}, pl.DataFrame(by_gopher, strict=False)),
        Answers([], [], {"all": c4_seconds}, pl.DataFrame(by_c4)),
    ]


def differing(ours: Answers, theirs: Answers) -> list[tuple[int, str, str]]:
    """Documents with another decision, reason, text or measure: (place, ours, theirs). A text that c4 had not
    rewritten when datatrove dropped it is not compared.
    """
    found = []
    names = theirs.measured.columns
    if names:
        rows = zip(ours.measured.select(names).rows(), theirs.measured.rows(), strict=True)
        for at, (one, two) in enumerate(rows):
            wrong = [i for i in range(len(names)) if one[i] != two[i]]
            if wrong:
                found.append((at, str({names[i]: one[i] for i in wrong}), str([two[i] for i in wrong])))
        return found
    for at, (own, other) in enumerate(zip(ours.reasons, theirs.reasons, strict=True)):
        rewritten = other is None or other.startswith("fineweb_quality.")
        if own != other:
            found.append((at, str(own), str(other)))
        elif rewritten and ours.texts[at] != theirs.texts[at]:
            characters = enumerate(zip(ours.texts[at], theirs.texts[at], strict=False))
            first = next((i for i, (a, b) in characters if a != b), 0)
            here = slice(max(0, first - 20), first + 60)
            found.append((at, repr(ours.texts[at][here]), repr(theirs.texts[at][here])))
    return found


@dataclass
class Bench:
    frames: Frames
    megabytes: float
    texts: list[str]
    peer_megabytes: float
    console: Console
    chunks: Chunks

    def fresh(self) -> Chunks:
        """An empty table that has spaCy loaded."""
        chunks = Chunks()
        chunks.words(pa.array(["Ready, steady… go!"], pa.large_string()), "spacy-en")
        return chunks

    def ours(self, steps: Steps, chunks: Chunks) -> Answers:
        return by_curator(steps, self.frames, chunks, len(self.texts))

    def differences(self, what: str, ours: Answers, theirs: Answers) -> str:
        """How many documents differ; prints the first few."""
        found = differing(ours, theirs)
        for at, one, two in found[:5]:
            self.console.print(f"{what}, document {at}: ours {one}, theirs {two}", markup=False)
        return f"{len(found)} of {len(self.texts)}"

    def chain(self) -> None:
        """FineWeb's four filters."""
        steps = fineweb()
        ours = {name: step for name, (step, _) in steps.items()}
        theirs = by_datatrove({name: step for name, (_, step) in steps.items()}, self.texts)
        cold = self.ours(ours, self.chunks)
        warm = self.ours(ours, self.chunks)
        table = Table(
            "FineWeb's chain",
            "MB",
            "MB/s",
            "times datatrove",
            "differ",
            title=f"one core, load {os.getloadavg()[0]:.1f}",
        )
        base = theirs.rate(self.peer_megabytes)
        table.add_row("datatrove", f"{self.peer_megabytes:.1f}", f"{base:.3f}", "1", "")
        for what, found in (("curator, cold", cold), ("curator, warm", warm)):
            rate = found.rate(self.megabytes)
            differ = self.differences(what, found, theirs)
            table.add_row(what, f"{self.megabytes:.0f}", f"{rate:.1f}", f"{rate / base:.0f}", differ)
        self.console.print(table)
        counts = Counter(theirs.reasons)
        self.console.print(
            f"kept {counts.pop(None, 0)}; " + ", ".join(f"{r} {n}" for r, n in counts.most_common()),
            markup=False,
        )
        table = Table("warm, where the time goes", "ms per MB", "share")
        for what, seconds in warm.seconds.items():
            share = seconds / sum(warm.seconds.values())
            table.add_row(what, f"{1000 * seconds / self.megabytes:.2f}", f"{share:.0%}")
        table.add_row("all", f"{1000 / warm.rate(self.megabytes):.2f}", "")
        self.console.print(table)

    def families(self, dolma: Path | None) -> None:
        """Each filter alone."""
        table = Table(
            Column("alone", no_wrap=True),
            Column("peer", no_wrap=True),
            "its MB/s",
            "warm",
            "cold",
            "times",
            "differ",
            title="MB/s of ours and of a peer's; times: warm to the peer's",
        )

        def row(what: str, steps: Steps, reference: str, theirs: Answers) -> None:
            warm = self.ours(steps, self.chunks)
            by_spacy = any(getattr(step, "as_in", "") == "datatrove" for step in steps.values())
            cold = f"{self.ours(steps, self.fresh()).rate(self.megabytes):.1f}" if by_spacy else ""
            rate, base = warm.rate(self.megabytes), theirs.rate(self.peer_megabytes)
            differ = self.differences(what, warm, theirs)
            table.add_row(what, reference, f"{base:.2f}", f"{rate:.1f}", cold, f"{rate / base:.0f}", differ)

        lists = files("curator_plugins") / "lists" / "ldnoobw"
        c4_filters.cached_asset_path_or_download = lambda url, **_: str(lists / url.rpartition("/")[2])
        others = {
            "c4_paragraphs": (C4Paragraphs(), C4ParagraphFilter()),
            "bad_words": (BadWords(), C4BadWordsFilter()),
        }
        others["bad_words"][1]._get_badwords("en")
        for name, (step, reference) in (fineweb() | others).items():
            row(name, {name: step}, "datatrove", by_datatrove({name: reference}, self.texts))
        if dolma:
            gopher, c4 = by_dolma(dolma, self.texts)
            row("gopher, both", dolma_steps()["gopher"], "dolma", gopher)
            row("c4", dolma_steps()["c4"], "dolma", c4)
        self.console.print(table)

    def first_time(self) -> None:
        """Processes that measure 20 documents, without and with a saved table that has all their chunks."""
        frame = self.frames[0].head(20)
        table = Table(
            "20 documents",
            "wall s",
            "less spaCy",
            "imports",
            "steps",
            "spaCy",
            title="a new process; spaCy is its import",
        )
        with tempfile.TemporaryDirectory() as folder:
            saved, nothing = Path(folder) / "saved", Path(folder) / "nothing"
            chunks = self.fresh()
            by_curator({name: step for name, (step, _) in fineweb().items()}, [frame], chunks, 0)
            merge(saved, chunks.save_learned(Path(folder) / "learned"))
            for what, tables in (("no saved table", nothing), ("saved table", saved)):
                first(frame["text"].to_list(), tables)  # fills numba's cache
                tries = [first(frame["text"].to_list(), tables) for _ in range(3)]
                wall, imports, spacy, steps = min(tries, key=lambda found: found[0] or 0)
                row = (wall, (wall or 0) - (spacy or 0), imports, steps, spacy)
                table.add_row(what, *("not imported" if s is None else f"{s:.2f}" for s in row))
        self.console.print(table)


def first(texts: list[str], tables: Path) -> list[float | None]:
    """Wall seconds of a process, and what FIRST answers."""
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", FIRST, tables],
        input=json.dumps(texts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [time.perf_counter() - started, *json.loads(ended.stdout)]


def memory(frames: Frames, console: Console, passes: int = 5, max_bytes: int = 64 << 20) -> None:
    """The table of chunks and the process, while every pass brings other words."""

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    table = Table(
        "pass",
        "table: most",
        "at the end",
        "resident: most",
        "at the end",
        title=f"MiB behind each batch so far, max_bytes {max_bytes >> 20} MiB",
    )
    chunks = Chunks(max_bytes=max_bytes)
    steps = {name: step for name, (step, _) in fineweb().items()}
    by_curator(steps, [frames[0].head(20)], chunks, 0)
    table.add_row("before", "", "", "", f"{resident():.0f}")
    size = most = most_resident = 0.0
    for at in range(passes):
        suffix = f"q{'abcde'[at % 5]}" if at else ""
        for frame in frames:
            text = (
                frame["text"].str.replace_all(r"(\S)(\s)", f"${{1}}{suffix}$2") if suffix else frame["text"]
            )
            by_curator(steps, [frame.with_columns(text.alias("text"))], chunks, 0)
            size = chunks._tables["spacy-en"].n_bytes / 2**20
            most, most_resident = max(most, size), max(most_resident, resident())
        table.add_row(str(at + 1), f"{most:.0f}", f"{size:.0f}", f"{most_resident:.0f}", f"{resident():.0f}")
    console.print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--megabytes", type=float, default=24, help="of text for ours")
    options.add_argument("--peer-megabytes", type=float, default=4, help="the head of them that peers get")
    options.add_argument("--batch", type=float, default=4, help="MB of text in a batch")
    options.add_argument(
        "--texts", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "bench.jsonl.gz"
    )
    options.add_argument("--dolma", type=Path, help="the Python of an environment that has dolma")
    options.add_argument("--memory", action="store_true", help="instead, the memory of the table of chunks")
    given = options.parse_args()
    frames, megabytes = batches(given.texts, given.megabytes, given.batch)
    first_ids = [sum(map(len, frames[:at])) for at in range(len(frames))]
    frames = [
        frame.with_row_index("doc_id", at).cast({"doc_id": pl.UInt64})
        for at, frame in zip(first_ids, frames, strict=True)
    ]
    console = Console()
    if given.memory:
        memory(frames, console)
        return
    sizes = pl.concat(frame["text"].str.len_bytes() for frame in frames).cum_sum()
    head = min((sizes <= given.peer_megabytes * 1e6).sum() + 1, len(sizes))
    texts = pl.concat(frame["text"] for frame in frames[: 1 + sum(at < head for at in first_ids)])[
        :head
    ].to_list()
    console.print(
        f"{megabytes:.0f} MB in {len(frames)} batches, {len(sizes):,} documents; peers: the first {head:,}"
    )
    bench = Bench(frames, megabytes, texts, sizes[head - 1] / 1e6, console, Chunks())
    bench.chunks = bench.fresh()
    ready = bench.fresh()
    small = [frames[0].head(20)]
    for name, (step, _) in fineweb().items():  # compiles
        by_curator({name: step}, small, ready, 0)
    by_curator({name: step for name, (step, _) in fineweb().items()}, small, ready, 0)
    for steps in dolma_steps().values():
        by_curator(steps, small, ready, 0)
    split_into_words("Ready, steady… go!")
    bench.chain()
    bench.families(given.dolma)
    bench.first_time()


if __name__ == "__main__":
    main()
