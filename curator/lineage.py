"""Which documents a row of a training is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curator.corpus import Corpus
from curator.errors import UsageError
from curator.index import rows_of
from curator.manifest import read_manifest
from curator.rows import TokenRows
from curator.tokens import open_tokens


@dataclass(frozen=True)
class Piece:
    """Part of a document in a row of a training: its tokens `start` to `stop`, of `tokens` in all.

    `decision` and `reason` are of now; a document that is in the corpus no more is "gone", or "forgotten".
    """

    row: int
    component: str
    epoch: int
    doc_id: int
    doc_key: str
    source: str
    source_key: str
    start: int
    stop: int
    tokens: int
    decision: str | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def rows_of_step(step: int, rows_a_step: int) -> range:
    """The rows that step number `step` (from 1, as in the ledger) of a training takes."""
    if step < 1:
        raise UsageError(f"step {step}: the first step of a training is 1")
    return range((step - 1) * rows_a_step, step * rows_a_step)


def training(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The export that a model's folder was trained on, and its run.json. Raises UsageError for what is no such folder."""
    run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    export = Path(run.get("export", ""))
    if not run.get("export") or not export.is_dir():
        raise UsageError(
            f"{folder} was trained on {run.get('export', 'an export that it does not name')}, which is not there; "
            "name the export, and --rows-a-step"
        )
    return export, run


def lineage(export: Path, rows: Sequence[int], run: Mapping[str, Any] | None = None) -> list[Piece]:
    """The documents in rows of an export, in the order of a training: that of `run` (its run.json), or the export's own.

    Raises UsageError for what is no export, for rows outside of the run, and where the rows are not those of the training.
    """
    manifest = read_manifest(export)
    if run is not None and not Path(run["rows"], "plan.json").is_file():
        raise UsageError(f"the rows of the training, {run['rows']}, are not there any more; train or export again")
    opened = TokenRows(run["rows"]) if run is not None else open_tokens(export)
    if run is not None and opened.fingerprint != run["fingerprint"]:
        raise UsageError(f"the rows in {run['rows']} are not those of the training: they were made again since")
    wanted = np.asarray(list(rows), dtype=np.int64)
    try:
        places = opened.places(wanted)
    except IndexError:
        raise UsageError(
            f"{export} is trained in {len(opened):,} rows of {opened.seq_len}, numbered from 0; row {wanted.max()} is none"
        ) from None
    index = pl.read_parquet(export / "documents.parquet")
    found = []
    ends: dict[str, np.ndarray[Any, Any]] = {}
    of: dict[str, pl.DataFrame] = {}
    for number, component, epoch, row in zip(wanted.tolist(), *(p.tolist() for p in places), strict=True):
        name = opened.names[component]
        if name not in of:
            of[name] = rows_of(index, manifest, name, "train")
            payload = opened.folder.parent / f"train.{name}.ends"
            ends[name] = np.concatenate([np.zeros(1, np.int64), np.fromfile(payload, dtype="<u8").astype(np.int64)])
        for start, stop in opened.pieces(component, row).tolist():
            document = int(np.searchsorted(ends[name], start, side="right")) - 1
            about = of[name].row(document, named=True)
            first = int(ends[name][document])
            found.append(
                Piece(
                    number, name, epoch, about["doc_id"], about["doc_key"], about["source"], about["source_key"],
                    start - first, stop - first, int(ends[name][document + 1]) - first,
                )
            )  # fmt: skip
    return found


def decided(corpus: Corpus, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with what the corpus says of their documents now."""
    keys = list({p.doc_key for p in pieces})
    query = "SELECT doc_key::VARCHAR, decision, reason FROM documents WHERE doc_key::VARCHAR IN (SELECT unnest(?))"
    known = {key: (decision, reason) for key, decision, reason in corpus.sql(query, [keys]).rows()}
    query = "SELECT doc_key::VARCHAR, reason FROM tombstones WHERE doc_key::VARCHAR IN (SELECT unnest(?))"
    forgotten = {key: ("forgotten", reason) for key, reason in corpus.sql(query, [keys]).rows()}
    return [
        Piece(**{**asdict(p), "decision": decision, "reason": reason})
        for p in pieces
        for decision, reason in [known.get(p.doc_key) or forgotten.get(p.doc_key) or ("gone", None)]
    ]
