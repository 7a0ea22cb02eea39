"""Plan of a mixture -> a folder to train from: immutable, complete, with a manifest.

    EXPORT/
      manifest.json       what it is made of: mixture, recipe, versions, the hash of every file
      documents.parquet   doc_id, doc_key, source, source_key, content_hash, component, held_out, file, row, n_chars
      data/<component>/   text files of the format, train-* and heldout-*, every document once
      tokenizer.json      if the mixture names one, and then tokens/ as well (curator.tokens)
      licences.csv        documents and characters by component, source and licence

It is built under a temporary name beside its target and renamed at the end, so that a full disk or a kill
leaves nothing behind that looks like an export.
"""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.exporting import Shard, SplitName
from curator.hashing import file_hash
from curator.loading import Plugins
from curator.mixture import Mixture, Plan, plan
from curator.run import versions

FORMAT_VERSION = 1
BATCH = 2_000
_COLUMNS = "doc_key::VARCHAR AS id, text, source, url, title, published, license, coalesce(domain, declared_domain) AS domain, language"
Advance = Callable[[int], None]


def export(
    corpus: Corpus, planned: Plan, format: str, out: Path, *, advance: Advance = lambda documents: None
) -> dict[str, Any]:
    """Write an export and return its manifest.

    Raises UsageError where `out` exists, or the tokenizer does not fit; CuratorError where the disk is full.
    """
    out = out.absolute()
    if out.exists():
        raise UsageError(f"{out} exists; an export is never changed: name another folder, or remove it")
    exporter = Plugins().get("exporter", format).plugin()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".tmp-{out.name}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir()
        documents = _write_data(corpus, planned, exporter, temporary, advance)
        documents.write_parquet(temporary / "documents.parquet")
        _write_licences(documents, temporary)
        documents = documents.drop("license")
        manifest = _manifest(corpus, planned, format)
        if planned.mixture.tokenizer is not None:
            shutil.copyfile(planned.mixture.tokenizer, temporary / "tokenizer.json")
            manifest["tokenizer"] = {
                "file": "tokenizer.json",
                "sha256": _sha256(temporary / "tokenizer.json"),
            }
        manifest["files"] = _files(temporary)
        _write_manifest(temporary, manifest)
        if planned.mixture.tokenizer is not None:
            from curator.tokens import build_tokens

            build_tokens(temporary, temporary / "tokenizer.json")
            manifest["files"] = _files(temporary)
            _write_manifest(temporary, manifest)
        temporary.rename(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise CuratorError(
                f"no space left for {out}: {error.strerror}; nothing was written, free some and export again"
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _register(corpus, planned, format, out)
    return manifest


def cached_export(corpus: str | Path, mixture: str | Path | Mixture) -> Path:
    """The export of a mixture in the corpus's cache, made if it is not there."""
    from curator.mixture import load

    opened = Corpus.existing(corpus)
    planned = plan(opened, mixture if isinstance(mixture, Mixture) else load(mixture))
    out = opened.folder / "cache" / "exports" / f"{planned.mixture.model.mixture}-{planned.fingerprint}"
    if not out.exists():
        export(opened, planned, "parquet", out)
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


def _write_data(corpus: Corpus, planned: Plan, exporter: Any, folder: Path, advance: Advance) -> pl.DataFrame:
    written = []
    for share in planned.shares:
        (folder / "data" / share.name).mkdir(parents=True)
        splits: tuple[tuple[SplitName, bool], ...] = (("train", False), ("heldout", True))
        for name, held_out in splits:
            chosen = planned.documents.filter(
                (pl.col("component") == share.name) & (pl.col("held_out") == held_out)
            )
            if not chosen.height:
                continue
            files = exporter.write(
                _frames(corpus, chosen["doc_id"], advance), folder / "data", Shard(share.name, name, 0, 1)
            )
            places = [(f"data/{file}", row) for file, count in files for row in range(count)]
            if len(places) != chosen.height:
                raise CuratorError(
                    f"component {share.name}: {chosen.height} documents were chosen, {len(places)} have a text; "
                    "`curator check` says which files are missing"
                )
            written.append(
                chosen.with_columns(
                    file=pl.Series([f for f, _ in places], dtype=pl.String),
                    row=pl.Series([r for _, r in places], dtype=pl.UInt32),
                )
            )
    columns = ["doc_id", "doc_key", "source", "source_key", "content_hash", "component", "held_out", "file", "row", "n_chars", "license"]  # fmt: skip
    return pl.concat(written).select(columns)


def _frames(corpus: Corpus, doc_ids: pl.Series, advance: Advance) -> Iterator[pl.DataFrame]:
    """The documents with their texts, in the given order."""
    order = pl.DataFrame({"doc_id": doc_ids}).with_row_index("place").to_arrow()
    with corpus.catalog.users() as con:
        con.register("chosen_documents", order)
        query = f"SELECT {_COLUMNS} FROM chosen_documents JOIN documents USING (doc_id) JOIN texts USING (doc_id) ORDER BY place"
        for batch in con.sql(query).to_arrow_reader(BATCH):
            frame = pl.DataFrame(pl.from_arrow(batch))
            if frame.height:
                advance(frame.height)
                yield frame


def _manifest(corpus: Corpus, planned: Plan, format: str) -> dict[str, Any]:
    model = planned.mixture.model
    with corpus.catalog.read() as con:
        decided = con.execute(
            "SELECT decision_set, recipe FROM store.decision_sets JOIN store.settings ON value = decision_set WHERE name = 'decision_set'"
        ).fetchall()
    return {
        "format_version": FORMAT_VERSION,
        "mixture": model.mixture,
        "fingerprint": planned.fingerprint,
        "seed": model.seed,
        "seq_len": model.seq_len,
        "tokens": round(sum(s.target for s in planned.shares)),
        "format": format,
        "tokenizer": None,
        "components": [
            {"name": s.name, "share": s.share, "max_epochs": s.max_epochs, "target_tokens": round(s.target),
             "documents": planned.documents.filter((pl.col("component") == s.name) & ~pl.col("held_out")).height}
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


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _write_licences(documents: pl.DataFrame, folder: Path) -> None:
    table = documents.group_by("component", "source", "license").agg(
        documents=pl.len(), characters=pl.col("n_chars").cast(pl.UInt64).sum()
    )
    table.sort("component", "source", "license").write_csv(folder / "licences.csv")


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"):
        found[path.relative_to(folder).as_posix()] = {
            "bytes": path.stat().st_size,
            "xxh3_128": file_hash(path),
        }
    return found


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _register(corpus: Corpus, planned: Plan, format: str, out: Path) -> None:
    record(corpus, planned)
    manifest_hash = file_hash(out / "manifest.json")
    with corpus.catalog.write(wait=60.0) as con:
        (number,) = con.execute("SELECT coalesce(max(export_id) + 1, 1) FROM exports").fetchall()[0]
        con.execute(
            "INSERT INTO exports SELECT ?, ?, ?, (SELECT value FROM store.settings WHERE name = 'decision_set'), ?, ?, ?, ?, "
            "current_timestamp::TIMESTAMP",
            [
                number,
                planned.mixture.model.mixture,
                planned.fingerprint,
                str(out),
                format,
                planned.documents.height,
                manifest_hash,
            ],
        )
        con.register("exported", planned.documents.select("doc_id", "component", "held_out").to_arrow())
        con.execute(
            f"INSERT INTO export_documents SELECT {int(number)}, doc_id, component, held_out FROM exported"
        )
