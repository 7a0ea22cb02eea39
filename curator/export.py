"""Plan of a mixture -> a folder to train from: immutable, complete, with a manifest.

    EXPORT/
      manifest.json       what it is made of: mixture, recipe, versions; the hash of every file
      documents.parquet   a row a document, in the order of the files: ids, hashes, component, held_out, place, token range
      licences.csv        documents and characters by component, source and licence
      tokenizer.json      if the mixture names one, and then
      tokens/<12 digits>/ payloads, rows and their order (curator.tokens, curator.rows), of which nothing else is needed
      <format>/           a folder a format, every document of a component once: curator_plugins.exporters

`documents.parquet` has for each split of a component (of a blended export: for the stream, then the held-out documents of
each) consecutive rows, whose `place` counts from 0; each file in the manifest says which of these it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from curator.building import building
from curator.corpus import Corpus
from curator.errors import UsageError
from curator.formats import exporter_of, write_format
from curator.hashing import file_hash
from curator.index import make_index
from curator.manifest import FORMAT_VERSION, write_manifest
from curator.mixture import Mixture, Plan, load, plan
from curator.payloads import write_payloads
from curator.recipe import checked_value
from curator.registry import suggest
from curator.reusing import Reuse
from curator.run import Quiet, versions
from curator.token_counts import TokenMeasure, count_tokens, exact_counts

if TYPE_CHECKING:
    from curator.building import Written
    from curator.engines import Engine
    from curator.run import Progress

#: format -> its options
Formats = Mapping[str, Mapping[str, Any]]


def export(
    corpus: Corpus,
    mixture: Mixture,
    formats: Formats,
    out: Path,
    *,
    blended: bool = False,
    whole: bool = False,
    reuse: Path | None = None,
    plugins: Sequence[str] = (),
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, dict[str, Any]]:
    """Write an export; its plan, and its manifest.

    `whole` takes every document of each component, whatever its target, so that another export of other weights is the
    same but for its plan and blend files; `reuse` is an export whose files are linked where they would be the same.
    Where the mixture names a tokenizer, documents that it has not counted are tokenized first. Called again after an
    interruption it goes on. Raises UsageError where `out` exists, for a format or option that is not there, and for what
    the mixture asks and the corpus does not have; CuratorError where the disk is full.
    """
    checked = check_formats(formats, plugins)
    if out.exists():
        raise UsageError(f"{out} exists; an export is never changed: name another folder, or remove it")
    progress = progress or Quiet()
    planned, measure = plan_counted(corpus, mixture, engine, progress, whole=whole)
    if measure is None and (needing := [n for n in checked if exporter_of(n, plugins).reads != "text"]):
        raise UsageError(f"{needing[0]} is a format of tokens: name a tokenizer, in the mixture or by --tokenizer")
    manifest = _manifest(corpus, planned, checked, measure, blended)
    index = make_index(corpus, planned, manifest, measure)
    linked = Reuse(reuse, manifest, index) if reuse else None
    write(corpus, index, manifest, measure, out, progress, plugins, linked)
    record(corpus, planned)
    register(corpus, index, manifest, out)
    return planned, manifest


def plan_counted(
    corpus: Corpus,
    mixture: Mixture,
    engine: Engine | None = None,
    progress: Progress | None = None,
    *,
    whole: bool = False,
) -> tuple[Plan, TokenMeasure | None]:
    """The plan, with exact counts of all that it takes if the mixture names a tokenizer.

    What is taken follows from counts, and what has to be counted from what is taken; each round counts more, and the order
    of documents is fixed, so it ends: mostly after the second.
    """
    from curator.engines.local import InlineEngine

    if mixture.tokenizer is None:
        return plan(corpus, mixture, whole=whole), None
    while True:
        planned = plan(corpus, mixture, whole=whole)
        doc_ids = planned.documents["doc_id"]
        missing = doc_ids.filter(~doc_ids.is_in(exact_counts(corpus, mixture.tokenizer)["doc_id"].implode()))
        measure = count_tokens(corpus, mixture.tokenizer, doc_ids, engine or InlineEngine(), progress or Quiet())
        if not len(missing):
            return planned, measure


def cached_export(corpus: str | Path, mixture: str | Path | Mixture) -> Path:
    """The export of a mixture in the corpus's cache, made if it is not there."""
    opened = Corpus.existing(corpus)
    chosen = mixture if isinstance(mixture, Mixture) else load(mixture)
    planned, _ = plan_counted(opened, chosen)
    out = opened.folder / "cache" / "exports" / f"{chosen.model.mixture}-{planned.fingerprint}"
    if not out.exists():
        export(opened, chosen, {"parquet": {}}, out)
    return out


def record(corpus: Corpus, planned: Plan) -> None:
    """Store a mixture with its plan in the catalog."""
    row = [planned.mixture.model.mixture, planned.fingerprint]
    with corpus.catalog.write(wait=60.0) as con:
        con.execute("DELETE FROM mixtures WHERE mixture = ? AND fingerprint = ?", row)
        con.execute(
            "INSERT INTO mixtures VALUES (?, ?, ?, ?, current_timestamp::TIMESTAMP)",
            [*row, json.dumps(planned.mixture.definition), json.dumps(planned.to_dict())],
        )


def check_formats(formats: Formats, plugins: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The options of each format, as their types. Raises UsageError for what is not there."""
    checked: dict[str, dict[str, Any]] = {}
    for name, given in formats.items():
        options = exporter_of(name, plugins).options()
        for option in given:
            if option not in options:
                raise UsageError(f"format {name!r} has no option {option!r}{suggest(option, options)}")
        checked[name] = {o: checked_value(options[o], v, False, f"{name}.{o}") for o, v in given.items()}
    return checked


def write(
    corpus: Corpus,
    index: pl.DataFrame,
    manifest: dict[str, Any],
    measure: TokenMeasure | None,
    out: Path,
    progress: Progress,
    plugins: Sequence[str] = (),
    reuse: Reuse | None = None,
    check: Callable[[Written], None] = lambda files: None,
) -> None:
    """Write what a manifest describes, of the documents in `index`, and put the files' hashes into the manifest.

    `check` may raise CuratorError at them; then nothing is left.
    """
    identity = xxhash.xxh3_64(json.dumps({**manifest, "files": {}}, sort_keys=True).encode())
    identity.update("".join(index["doc_key"]).encode())
    with building(out, identity.hexdigest()) as build:
        build.unit("documents", lambda: _write_documents(index, build.folder))
        if measure is not None:
            build.unit("tokenizer", lambda: _write_tokenizer(measure, build.folder))
            write_payloads(build, corpus, index, manifest, measure, reuse, progress)
        for format, options in manifest["formats"].items():
            write_format(build, corpus, index, manifest, measure, format, options, plugins, reuse, progress)
        manifest["files"] = dict(sorted(build.files.items()))
        check(manifest["files"])
        write_manifest(build.folder, manifest)


def _write_documents(index: pl.DataFrame, folder: Path) -> Written:
    import pyarrow.parquet as pq

    # polars' writer hides that the disk is full
    pq.write_table(index.to_arrow(compat_level=pl.CompatLevel.oldest()), folder / "documents.parquet", compression="zstd")
    table = index.group_by("component", "source", "license").agg(
        documents=pl.len(), characters=pl.col("n_chars").cast(pl.UInt64).sum()
    )
    table.sort("component", "source", "license").write_csv(folder / "licences.csv")
    return {"documents.parquet": {}, "licences.csv": {}}


def _write_tokenizer(measure: TokenMeasure, folder: Path) -> Written:
    (folder / "tokenizer.json").write_text(measure.tokenizer.json, encoding="utf-8")
    return {"tokenizer.json": {}}


def _manifest(
    corpus: Corpus,
    planned: Plan,
    formats: Mapping[str, Mapping[str, Any]],
    measure: TokenMeasure | None,
    blended: bool,
) -> dict[str, Any]:
    model = planned.mixture.model
    with corpus.catalog.read() as con:
        decided = con.execute(
            "SELECT decision_set, recipe FROM store.decision_sets JOIN store.settings ON value = decision_set WHERE name = 'decision_set'"
        ).fetchall()
    known = measure.tokenizer if measure else None
    sums = planned.documents.filter(~pl.col("held_out")).group_by("component").agg(pl.col("tokens").sum())
    trained = {s.name: 0.0 for s in planned.shares} | dict(sums.rows())
    return {
        "format_version": FORMAT_VERSION,
        "mixture": model.mixture,
        "fingerprint": planned.fingerprint,
        "seed": model.seed,
        "seq_len": model.seq_len,
        "tokens": round(sum(s.target for s in planned.shares)),
        "formats": {name: dict(options) for name, options in formats.items()},
        "blended": blended,
        "tokenizer": known and {
            "file": "tokenizer.json", "name": known.name, "sha256": known.sha256, "vocab_size": known.size,
            "end_token": known.end_token, "end_id": known.end_id, "dtype": known.dtype.str,
        },
        "components": [
            {
                "name": s.name, "share": s.share, "max_epochs": s.max_epochs, "target_tokens": round(s.target),
                "tokens": round(trained[s.name]),
            }
            for s in planned.shares
        ],
        "packing": model.packing.model_dump(),
        "stages": [{"start": s.start, "shares": s.shares} for s in planned.stages],
        "definition": planned.mixture.definition,
        "decision_set": decided[0][0] if decided else None,
        "recipe": json.loads(decided[0][1]) if decided else None,
        "versions": versions(),
        "files": {},
    }  # fmt: skip


def register(corpus: Corpus, index: pl.DataFrame, manifest: dict[str, Any], out: Path) -> None:
    """Store an export with its documents in the catalog."""
    manifest_hash = file_hash(out / "manifest.json")
    with corpus.catalog.write(wait=60.0) as con:
        (number,) = con.execute("SELECT coalesce(max(export_id) + 1, 1) FROM exports").fetchall()[0]
        con.execute(
            "INSERT INTO exports VALUES (?, ?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP)",
            [
                number, manifest["mixture"], manifest["fingerprint"], manifest["decision_set"], str(out.absolute()),
                ", ".join(manifest["formats"]), index.height, manifest_hash,
            ],
        )  # fmt: skip
        con.register("exported", index.to_arrow())
        con.execute(
            f"INSERT INTO export_documents BY NAME SELECT {int(number)} AS export_id, doc_id, component, held_out, "
            "doc_key::UUID AS doc_key, text_hash::UUID AS text_hash, epoch, place, token_start, token_stop FROM exported"
        )
