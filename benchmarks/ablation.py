"""Does curation pay? The same small model on selections of one corpus, at equal tokens; bits per byte on holdouts.

    make ablation                                        # Rust's documentation, raw and curated (benchmarks/RESULTS.md)
    python benchmarks/ablation.py --corpus CORPUS --work FOLDER -o results.json \\
        --raw "SELECT doc_id, text_read AS text FROM texts JOIN documents USING (doc_id) WHERE ..." \\
        --curated "SELECT doc_id FROM documents WHERE kept AND ..." \\
        --holdout "book=SELECT doc_id FROM documents WHERE ..." --control "pages=SELECT doc_id, text_read AS text ..."

A selection is a SELECT that gives doc_id, and `text` where it is not to be the corpus's final text. All arms share
the tokenizer (trained on an equal share of each), the model, the schedule and the order function; a seed sets the
first weights and which documents are drawn. The control is a holdout that the first arm, raw, should win.

A holdout is never trained on: where an arm selects a held-out document or a near copy of one, this refuses with status
2 and says which; what else they share (13-grams of words, benchmarks/overlap.py) is cut out of every arm first.
Every run is a process with one thread. All is kept in FOLDER by what it is made of, so a second call trains what is
missing. Rejected: mean loss on held-out parts of each arm, which raw wins by knowing its own boilerplate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import overlap
import polars as pl
import xxhash
import yaml
from ablation_report import compared, tables

import curator

#: of the tokens that a run trains on, so many are drawn: the ratio of characters to tokens is known from a sample only
DRAWN = 1.5
NAMED = 10  # documents in a message


@dataclass(frozen=True)
class Selection:
    """What a query selects: `frame` has doc_id, source, source_key and text, in the order of doc_key."""

    name: str
    sql: str
    frame: pl.DataFrame

    def described(self) -> dict[str, Any]:
        """For the results."""
        size = int(self.frame["text"].str.len_bytes().sum())
        return {"sql": " ".join(self.sql.split()), "documents": self.frame.height, "bytes": size}


def select(corpus: Any, name: str, sql: str) -> Selection:
    """Ask the corpus. Raises UsageError for a query without doc_id, or that selects nothing."""
    chosen = corpus.sql(sql).pl()
    if "doc_id" not in chosen.columns:
        raise curator.UsageError(
            f"{name}: its query gives {', '.join(chosen.columns)}, no doc_id; SELECT doc_id, or doc_id and text"
        )
    ids = [chosen["doc_id"].to_list()]
    keys = corpus.sql(
        "SELECT doc_id, source, source_key, doc_key::VARCHAR AS doc_key FROM documents WHERE doc_id IN (SELECT unnest(?))",
        ids,
    )
    if "text" not in chosen.columns:
        chosen = corpus.sql("SELECT doc_id, text FROM texts WHERE doc_id IN (SELECT unnest(?))", ids).pl()
    frame = chosen.select("doc_id", "text").join(keys.pl(), on="doc_id").unique("doc_id").sort("doc_key")
    frame = frame.filter(pl.col("text").str.strip_chars() != "").drop("doc_key")
    if not frame.height:
        raise curator.UsageError(f"{name}: its query selects no document that has a text: {sql}")
    return Selection(name, sql, frame)


def refuse_copies(
    arms: Sequence[Selection], held_out: Sequence[Selection], grams: Mapping[str, overlap.Grams], common: Any
) -> None:
    """Raise UsageError where an arm has a held-out document or a near copy of one."""
    found = []
    for arm in arms:
        for holdout in held_out:
            both = arm.frame.join(holdout.frame, on="doc_id", how="semi")
            found += [
                f"{arm.name}: {s} {k} is in {holdout.name}"
                for s, k in both.select("source", "source_key").rows()
            ]
            for document, other, alike in overlap.copies(grams[arm.name], grams[holdout.name], common):
                one, two = arm.frame.row(document, named=True), holdout.frame.row(other, named=True)
                if one["doc_id"] != two["doc_id"]:
                    found.append(
                        f"{arm.name}: {one['source']} {one['source_key']} is {alike:.0%} like "
                        f"{two['source']} {two['source_key']} in {holdout.name}"
                    )
    if found:
        more = f"\n  and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
        raise curator.UsageError(
            "training and held-out documents overlap; exclude them in the arms' SQL:\n  "
            + "\n  ".join(found[:NAMED])
            + more
        )


def decontaminated(
    arms: Sequence[Selection], held_out: Sequence[Selection]
) -> tuple[list[Selection], dict[str, dict[str, int]]]:
    """The arms less what they share with holdouts, and how much that is; raises UsageError as refuse_copies does."""
    grams = {s.name: overlap.Grams.of(s.frame["text"].to_list()) for s in (*arms, *held_out)}
    common = overlap.boilerplate([grams[a.name] for a in arms])
    refuse_copies(arms, held_out, grams, common)
    forbidden = np.setdiff1d(np.concatenate([grams[h.name].gram for h in held_out]), common)
    clean, cut = [], {}
    for arm in arms:
        texts, documents, characters = overlap.without(arm.frame["text"].to_list(), forbidden)
        frame = arm.frame.with_columns(text=pl.Series(texts, dtype=pl.String))
        frame = frame.filter(pl.col("text").str.strip_chars() != "")
        clean.append(Selection(arm.name, arm.sql, frame))
        cut[arm.name] = {"documents": documents, "characters": characters}
    return clean, cut


def prepare(
    work: Path, arms: Sequence[Selection], held_out: Sequence[Selection], settings: dict[str, Any]
) -> Path:
    """The folder of these texts and settings: arms and holdouts as files, a corpus with a source for each arm, a tokenizer."""
    digest = xxhash.xxh3_64(json.dumps(settings, sort_keys=True).encode())
    for selection in (*arms, *held_out):
        digest.update(selection.name.encode())
        digest.update("\0".join(selection.frame["text"]).encode())
    folder = work / digest.hexdigest()
    if (folder / "settings.json").exists():
        return folder
    for kind, selections in (("arms", arms), ("holdouts", held_out)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for selection in selections:
            frame = selection.frame.select(pl.col("doc_id").cast(pl.String).alias("id"), "text")
            frame.write_parquet(folder / kind / f"{selection.name}.parquet")
    recipe = {
        "name": "arms",
        "corpus": str(folder / "corpus"),
        "sources": [
            {"parquet": {"name": a.name, "path": str(folder / "arms" / f"{a.name}.parquet")}} for a in arms
        ],
        "steps": [],
    }
    (folder / "arms.yaml").write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "curator", "run", str(folder / "arms.yaml"), "--workers", "1"]
    read = subprocess.run(command, capture_output=True, text=True)
    if read.returncode:
        raise curator.CuratorError(f"{folder / 'arms.yaml'} could not be read:\n{read.stderr[-2000:]}")
    least = min(a.described()["bytes"] for a in arms) / 4
    every = export(folder, "tokenizer", {a.name: 1.0 for a in arms}, seed=0, tokens=len(arms) * least)
    rows = curator.open_tokens(every, vocab_size=settings["vocab"])
    (folder / "tokenizer.json").write_bytes(rows.tokenizer_file.read_bytes())
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def export(
    folder: Path, name: str, weights: Mapping[str, float], *, seed: int, tokens: float, **settings: Any
) -> Path:
    """An export of arms by weight, `tokens` of them, drawn and ordered by `seed`."""
    mixture = {
        "mixture": name,
        "tokens": round(tokens),
        "seed": seed,
        "max_epochs": 1000,  # how many they are is reported
        **settings,
        "components": {
            arm: {"sql": f"SELECT doc_id FROM documents WHERE source = '{arm}'", "weight": weight}
            for arm, weight in weights.items()
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(mixture, sort_keys=False))
    return curator.cached_export(folder / "corpus", path)


def drawn(folder: Path, arm: str, seed: int, settings: Mapping[str, Any]) -> Path:
    """The export that a run trains on."""
    return export(
        folder, f"{arm}-{seed}", {arm: 1.0}, seed=seed, tokens=DRAWN * settings["tokens"],
        seq_len=settings["seq_len"], tokenizer="tokenizer.json",
    )  # fmt: skip


def run(folder: Path, arm: Selection, seed: int, exported: Path) -> dict[str, Any]:
    """Train and score one arm with one seed, unless it has been; its result."""
    name = f"{arm.name}-{seed}"
    result = folder / "runs" / name / "result.json"
    if not result.exists():
        script = Path(__file__).with_name("ablation_run.py")
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        done = subprocess.run(
            [sys.executable, script, folder, exported, arm.name, str(seed)],
            env=os.environ | one_thread | {"TOKENIZERS_PARALLELISM": "false"},
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise curator.CuratorError(f"run {name} failed:\n{done.stderr[-2000:]}")
    values = json.loads(result.read_text())
    whole = arm.described()["bytes"] * values["drawn"]["tokens"] / values["drawn"]["bytes"]
    return {"arm": arm.name, "seed": seed, "epochs": values["tokens"] / whole, **values}


def run_all(
    folder: Path, arms: Sequence[Selection], seeds: int, processes: int, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Every arm with every seed, seed by seed, so that what is there early is balanced."""
    results = []
    with ThreadPoolExecutor(processes) as pool:
        started = time.monotonic()
        try:
            # exports are made here, by one thread: a process has one connection to a catalog
            waiting = [
                pool.submit(run, folder, arm, seed, drawn(folder, arm.name, seed, settings))
                for seed in range(seeds)
                for arm in arms
            ]
            for number, future in enumerate(as_completed(waiting), 1):
                results.append(done := future.result())
                print(
                    f"{number}/{len(waiting)} {done['arm']} seed {done['seed']}: {done['cpu_seconds']:.0f} CPU s; "
                    f"{time.monotonic() - started:.0f} s in all", file=sys.stderr, flush=True,
                )  # fmt: skip
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = {arm.name: place for place, arm in enumerate(arms)}
    return sorted(results, key=lambda r: (order[r["arm"]], r["seed"]))


def ablate(corpus: str, arms: Mapping[str, str], holdouts: Mapping[str, str], control: tuple[str, str] | None,
           work: Path, settings: dict[str, Any], seeds: int, processes: int) -> dict[str, Any]:  # fmt: skip
    """Do everything that is missing, and return the results."""
    asked = {**holdouts, **({control[0]: control[1]} if control else {})}
    if twice := arms.keys() & asked.keys():
        raise curator.UsageError(f"{', '.join(sorted(twice))} names an arm and a holdout; rename one")
    opened = curator.open(corpus)
    chosen = [select(opened, name, sql) for name, sql in arms.items()]
    held_out = [select(opened, name, sql) for name, sql in asked.items()]
    clean, cut = decontaminated(chosen, held_out)
    folder = prepare(work, clean, held_out, settings)
    runs = run_all(folder, clean, seeds, processes, settings)
    sizes = {h.name: h.frame["text"].str.len_bytes().to_numpy() for h in held_out}
    measured = {(r["arm"], r["seed"], name): np.array(r["bits"][name]) for r in runs for name in sizes}
    for r in runs:
        of = r.pop("bits")
        r["bits_per_byte"] = {name: sum(of[name]) / int(size.sum()) for name, size in sizes.items()}
    return {
        "settings": settings,
        "versions": {name: version(name) for name in ("corpus-curator", "torch", "transformers", "tokenizers")},
        "arms": {a.name: a.described() | {"cut": cut[a.name]} for a in clean},
        "holdouts": {h.name: h.described() for h in held_out},
        "control": control[0] if control else None,
        "runs": runs,
        "differences": compared([a.name for a in clean], seeds, measured, sizes),
    }


def named(text: str) -> tuple[str, str]:
    """NAME=SQL."""
    name, equals, sql = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SQL, with a name of letters, digits and _")
    return name, sql


def arguments(values: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="./corpus")
    parser.add_argument("--raw", required=True, help="SQL: the first arm, which the others are compared with")
    parser.add_argument("--curated", required=True, help="SQL: the second arm")
    parser.add_argument(
        "--arm", type=named, action="append", default=[], metavar="NAME=SQL", help="a further arm"
    )
    parser.add_argument("--holdout", type=named, action="append", required=True, metavar="NAME=SQL")
    parser.add_argument("--control", type=named, metavar="NAME=SQL", help="a holdout that raw should win")
    parser.add_argument("--tokens", type=int, default=600_000, help="that each run trains on")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/curator-ablation/work"), help="where runs are kept"
    )
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args(values)


def main(values: Sequence[str] | None = None) -> int:
    """Run; the status: 0, 2 for what was asked wrongly, overlap among it, or 1 for a run that failed."""
    args = arguments(values)
    settings = {k: getattr(args, k) for k in ("tokens", "vocab", "seq_len", "layers", "width")}
    arms = {"raw": args.raw, "curated": args.curated, **dict(args.arm)}
    try:
        results = ablate(
            args.corpus,
            arms,
            dict(args.holdout),
            args.control,
            args.work.absolute(),
            settings,
            args.seeds,
            args.processes,
        )
    except curator.CuratorError as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2 if isinstance(error, curator.UsageError) else 1
    if args.output:
        args.output.write_text(json.dumps(results, indent=1))
    print(tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
