"""An export made again from its manifest, and one held to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.export import register, write
from curator.hashing import file_hash
from curator.index import INDEX
from curator.manifest import NAME, read_manifest
from curator.run import Quiet, versions
from curator.token_counts import count_tokens, exact_counts
from curator.tokenizer import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curator.engines import Engine
    from curator.run import Progress


@dataclass
class Verified:
    """What an export's files are against its manifest: (path, what is wrong) and files that it does not list."""

    files: int = 0
    bytes: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.damaged and not self.unknown


def verify(export: Path, advance: Callable[[int], None] = lambda size: None) -> Verified:
    """Compute every hash of an export again. Raises UsageError for what is no export."""
    manifest = read_manifest(export)
    found = Verified()
    hashes: dict[tuple[int, int], str] = {}
    for path, about in manifest["files"].items():
        file = export / path
        found.files += 1
        if not file.is_file():
            found.damaged.append((path, "is missing"))
            continue
        status = file.stat()
        place = (status.st_dev, status.st_ino)
        found.bytes += 0 if place in hashes else status.st_size
        if status.st_size != about["bytes"]:
            found.damaged.append((path, f"has {status.st_size:,} bytes, {about['bytes']:,} were written"))
            continue
        if place not in hashes:  # formats share their bytes
            hashes[place] = file_hash(file)
        if hashes[place] != about["xxh3_128"]:
            found.damaged.append((path, "has another content than was written"))
        advance(about["bytes"])
    listed = {*manifest["files"], NAME}
    present = (p.relative_to(export).as_posix() for p in export.rglob("*") if p.is_file())
    found.unknown = sorted(p for p in present if p not in listed)
    return found


def rebuild(
    corpus: Corpus,
    manifest_file: Path,
    out: Path,
    engine: Engine,
    progress: Progress | None = None,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the export of a manifest again, with the same bytes.

    Raises CuratorError naming the first document that is missing, was forgotten or has another text now, or the first file
    that came out otherwise, and then leaves nothing.
    """
    progress = progress or Quiet()
    manifest = read_manifest(manifest_file)
    file = manifest_file / NAME if manifest_file.is_dir() else manifest_file
    index = _index(corpus, manifest, file)
    now = _present(corpus, manifest, index)
    measure = None
    if manifest["tokenizer"] is not None:
        tokenizer = describe(_tokenizer(corpus, manifest, file))
        measure = count_tokens(corpus, tokenizer, now.unique(), engine, progress)
        counts = exact_counts(corpus, measure).select(pl.col("doc_id").alias("now"), "n_bytes")
        index = index.drop("n_bytes").with_columns(now=now).join(counts, on="now", how="left", maintain_order="left")
    made = {**manifest, "files": {}}

    def same(files: dict[str, Any]) -> None:
        for path, about in manifest["files"].items():
            if files.get(path, {}).get("xxh3_128") != about["xxh3_128"]:
                raise CuratorError(f"{path} comes out otherwise than in {file}{_other_versions(manifest)}")

    write(corpus, index.select(INDEX), made, measure, out, progress, plugins, check=same)
    register(corpus, index, made, out)
    return made


def _index(corpus: Corpus, manifest: dict[str, Any], file: Path) -> pl.DataFrame:
    """The list of documents: beside the manifest, or as the catalog has it."""
    listed = file.parent / "documents.parquet"
    if listed.is_file() and file_hash(listed) == manifest["files"]["documents.parquet"]["xxh3_128"]:
        return pl.read_parquet(listed)
    ids = corpus.sql("SELECT max(export_id) FROM exports WHERE manifest_hash = ?", [file_hash(file)]).rows()
    if ids[0][0] is None:
        raise UsageError(
            f"{file}: neither is documents.parquet beside it, nor does the corpus {corpus.folder} know this export; "
            "-c names another corpus"
        )
    stored = corpus.sql(
        "SELECT x.doc_id, x.doc_key::VARCHAR AS doc_key, source, source_key, content_hash::VARCHAR AS content_hash, "
        "x.text_hash::VARCHAR AS text_hash, license, component, held_out, epoch, place, coalesce(n_chars, 0) AS n_chars, "
        "NULL::UINTEGER AS n_bytes, token_start, token_stop FROM export_documents x LEFT JOIN documents d ON d.doc_key = x.doc_key "
        "WHERE export_id = ?",
        [ids[0][0]],
    ).pl()
    order = {c["name"]: n for n, c in enumerate(manifest["components"])}
    number = pl.col("component").replace_strict(order, return_dtype=pl.Int64)
    if manifest["blended"]:
        return stored.sort("held_out", pl.when("held_out").then(number).otherwise(0), "place").select(INDEX)
    return stored.sort(number, "held_out", "place").select(INDEX)


def _present(corpus: Corpus, manifest: dict[str, Any], index: pl.DataFrame) -> pl.Series:
    """The doc_ids that the documents have now. Raises CuratorError for the first document that is not as it was."""
    documents = corpus.sql(
        "SELECT doc_key::VARCHAR AS doc_key, doc_id AS now, text_hash::VARCHAR AS now_hash FROM documents"
    ).pl()
    joined = index.join(documents, on="doc_key", how="left", maintain_order="left")
    wrong = joined.filter(pl.col("now").is_null() | (pl.col("now_hash") != pl.col("text_hash")).fill_null(True))
    if wrong.height:
        first = wrong.row(0, named=True)
        name = f"document {first['doc_id']} ({first['source']} {first['source_key']}, doc_key {first['doc_key']})"
        others = f"; {wrong.height - 1:,} others likewise" if wrong.height > 1 else ""
        if first["now"] is not None:
            raise CuratorError(
                f"{name} has another text now than when it was exported, under the decisions of {manifest['decision_set']!r}; "
                f"`curator run` of that recipe brings them back{others}"
            )
        told = corpus.sql(
            "SELECT reason, forgotten FROM tombstones WHERE doc_key::VARCHAR = ?", [first["doc_key"]]
        ).rows()
        why = f"was forgotten on {told[0][1]:%Y-%m-%d}: {told[0][0]}" if told else "is in the corpus no more"
        raise CuratorError(f"{name} {why}{others}")
    return joined["now"]


def _tokenizer(corpus: Corpus, manifest: dict[str, Any], file: Path) -> Path:
    sha256 = manifest["tokenizer"]["sha256"]
    for path in (file.parent / manifest["tokenizer"]["file"], corpus.folder / "models" / "tokenizers" / f"{sha256[:12]}.json"):
        if path.is_file() and describe(path).sha256 == sha256:
            return path
    raise CuratorError(
        f"the tokenizer {manifest['tokenizer']['name']} (sha256 {sha256[:12]}) is neither beside {file} nor in {corpus.folder}"
    )


def _other_versions(manifest: dict[str, Any]) -> str:
    now = versions()
    other = [f"{n} {v} then, {now.get(n)} now" for n, v in manifest["versions"].items() if now.get(n) != v]
    return f": {', '.join(other)}; install those versions to have the same bytes" if other else ""
