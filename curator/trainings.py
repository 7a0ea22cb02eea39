"""A training's folder -> the catalog: what `curator train` records when it ends, and anyone may later.

It reads run.json and ledger.jsonl and nothing of torch. The export is known by the hash of its manifest, so it may have
been moved; a training on an export of another corpus is recorded without a number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.hashing import file_hash


@dataclass(frozen=True)
class Recorded:
    """The number of a training in the catalog, and of its export, None where the corpus did not write it."""

    training_id: int
    export_id: int | None


def record(corpus: str | Path | Corpus, folder: str | Path) -> Recorded:
    """Store the training in `folder` in a corpus's catalog; what is there of the same run is replaced.

    Raises UsageError for a folder that holds no training, or one that has not logged a step, and where there is no corpus.
    """
    from curator_catalog.errors import CatalogError
    from curator_catalog.trainings import LedgerLine, TrainedComponent, Training, export_of, put_training

    opened = corpus if isinstance(corpus, Corpus) else Corpus.existing(corpus)
    folder = Path(folder).absolute()
    run, lines = _read(folder)
    last, losses = lines[-1], [line["loss"] for line in lines]
    tenth = losses[-max(1, len(losses) // 10) :]
    result = run.get("result") or {}
    total = max(1, sum(c["tokens"] for c in last["components"].values()))
    ends = {name: c["bits_per_byte_end"] for name, c in result.get("components", {}).items()}
    components = [
        TrainedComponent(
            name, run["shares"][name], seen["tokens"] / total, seen["tokens"], seen["epochs"],
            run["bits_per_byte_start"].get(name), ends.get(name),
        )
        for name, seen in last["components"].items()
    ]  # fmt: skip
    ledger = (
        LedgerLine(
            line["step"], name, seen["rows"], seen["tokens"], seen["epochs"], seen["loss"], line["learning_rate"],
            line["seconds"],
        )
        for line in lines
        for name, seen in line["components"].items()
    )  # fmt: skip
    manifest = Path(run["export"]) / "manifest.json"
    try:
        opened.catalog.create()  # brings an older catalog to this schema
        with opened.catalog.write(wait=60.0) as con:
            export = export_of(con, file_hash(manifest)) if manifest.is_file() else None
            training = Training(
                run["run_id"], export, run["export"], str(folder), run["model"], run["objective"], run["from"],
                run["parameters"], last["step"], last["tokens"], last["seconds"], losses[0], sum(tenth) / len(tenth),
                run["finished"],
            )  # fmt: skip
            return Recorded(put_training(con, training, components, ledger), export)
    except CatalogError as error:
        raise CuratorError(str(error)) from None


def _read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    run, ledger = folder / "run.json", folder / "ledger.jsonl"
    if not run.is_file():
        raise UsageError(f"{folder} holds no training: it has no run.json; `curator train` writes one")
    whole = ledger.read_text().rpartition("\n")[0] if ledger.is_file() else ""
    if not whole:
        raise UsageError(f"the training in {folder} has not logged a step; nothing to record")
    about: dict[str, Any] = json.loads(run.read_text())
    if "run_id" not in about:
        raise UsageError(f"the training in {folder} is of an older curator, which kept too little to record it")
    return about, [json.loads(line) for line in whole.splitlines()]
