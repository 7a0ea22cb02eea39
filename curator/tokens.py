"""The rows of an export, to train on: those in it, or made beside it.

An export for a named tokenizer has its tokens. For one of texts alone, a tokenizer is trained on it; and rows of another
length are packed anew. Either is derived, so it lies beside the export, in `<export>.tokens`, and may be removed; the
export itself is never changed. Everything is written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from filelock import FileLock

from curator.errors import CuratorError, UsageError
from curator.hashing import file_hash
from curator.linking import link
from curator.manifest import SPLITS, files_of, read_manifest
from curator.order import write_rows
from curator.payloads import tokens_folder, write_counts
from curator.rows import TokenRows
from curator.tokenizer import TRAINING_BYTES, VOCABULARY, describe, load_tokenizer, train

BATCH_CHARS = 1 << 20
log = logging.getLogger("curator")


def open_tokens(export: Path, *, seq_len: int | None = None, vocab_size: int | None = None) -> TokenRows:
    """The rows of an export, tokenized and packed first where that has not been done.

    With the tokenizer that the mixture names, else with one trained on the export (of 8,192 tokens unless given).
    Raises UsageError where both are given, for a blended export, and for a budget that the components cannot fill;
    CuratorError where a file of the export has changed.
    """
    manifest = read_manifest(export)
    if manifest["blended"]:
        raise UsageError(
            f"{export} is one blended stream, for other trainers; export without --blended to train with curator"
        )
    seq_len = seq_len or int(manifest["seq_len"])
    named = manifest["tokenizer"]
    if named is None:
        folder = _tokenized(export, manifest, vocab_size or VOCABULARY)
    elif vocab_size is None:
        folder = export / tokens_folder(manifest)
    else:
        raise UsageError(
            f"{export} was exported for the tokenizer {named['name']}, so a vocabulary of {vocab_size} cannot be trained; "
            "leave it out, or export without `tokenizer:`"
        )
    rows = folder / f"rows-{seq_len}"
    if not rows.is_dir():
        beside = _beside(export) / folder.name
        rows = beside / rows.name
        with _locked(export):
            if not beside.is_dir():
                with _renamed(beside) as temporary:
                    _link(folder, temporary)
            if not rows.is_dir():
                with _renamed(rows) as temporary:
                    write_rows(manifest, beside, temporary, seq_len)
    return TokenRows(rows)


def _beside(export: Path) -> Path:
    whole = export.absolute()
    return whole.with_name(f"{whole.name}.tokens")


def _link(folder: Path, target: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            link(path, target / path.name)


def _tokenized(export: Path, manifest: dict[str, Any], vocab_size: int) -> Path:
    """The folder of payloads, by a tokenizer trained on the export."""
    trained = _beside(export) / f"trained-{vocab_size}.json"
    with _locked(export):
        if not trained.exists():
            log.info("training a tokenizer of %d tokens on %s", vocab_size, export)
            text = train(_training_texts(export, manifest), vocab_size)
            temporary = trained.with_name(f".tmp-{trained.name}")
            temporary.write_text(text, encoding="utf-8")
            temporary.rename(trained)
        digest = hashlib.sha256(trained.read_bytes()).hexdigest()
        folder = trained.with_name(digest[:12])
        if not folder.is_dir():
            with _renamed(folder) as temporary:
                write_texts_as_tokens(export, manifest, trained, temporary)
    return folder


@contextmanager
def _locked(export: Path) -> Iterator[None]:
    """One process at a time builds (the ranks of a run start together); what a killed one left is swept."""
    beside = _beside(export)
    name = xxhash.xxh3_64_hexdigest(str(export.resolve()).encode())
    try:
        with FileLock(Path(tempfile.gettempdir()) / f"curator-{name}.lock"):
            beside.mkdir(exist_ok=True)
            for leftover in beside.rglob(".tmp-*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            try:
                yield
            finally:
                if not any(beside.iterdir()):
                    beside.rmdir()
    except OSError as error:
        raise CuratorError(
            f"{beside} cannot be written: {error}; nothing was left half done. A mixture with `tokenizer:` has its tokens "
            "in the export"
        ) from error


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".tmp-{target.name}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _text_files(manifest: dict[str, Any], component: str, split: str) -> list[tuple[str, int]]:
    """Files with the texts of a split, of the first format that has them."""
    for format in manifest["formats"]:
        files = files_of(manifest, format, component, split)
        if files and (files[0][0].endswith(".parquet") or ".jsonl" in files[0][0]):
            return files
    return []


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=["text"]):
                yield from batch.column(0).to_pylist()
    else:
        import fsspec
        import orjson

        with fsspec.open(str(path), "rb", compression="infer") as lines:
            for line in lines:
                yield orjson.loads(line)["text"]


def _training_texts(export: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """At most 64 MiB, of each component its share, in the order of the export."""
    for component in manifest["components"]:
        left = TRAINING_BYTES * component["share"]
        for file, _ in _text_files(manifest, component["name"], "train"):
            for text in _texts(export / file):
                if left <= 0:
                    break
                left -= len(text.encode())
                yield text


def write_texts_as_tokens(export: Path, manifest: dict[str, Any], tokenizer_file: Path, folder: Path) -> None:
    """The payloads of an export of texts. Raises CuratorError for a file that is not what was exported."""
    known = describe(tokenizer_file)
    tokenizer = load_tokenizer(tokenizer_file)
    components: dict[str, dict[str, dict[str, int]]] = {c["name"]: {} for c in manifest["components"]}
    for component, written in components.items():
        for split in SPLITS:
            sources = _text_files(manifest, component, split)
            documents = tokens = text_bytes = 0
            path = folder / f"{split}.{component}.bin"
            if not sources:
                continue
            with path.open("wb") as payload, path.with_suffix(".ends").open("wb") as ends:
                for texts in _batches(export, manifest, sources):
                    encoded = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
                    for ids in encoded:
                        ids.append(known.end_id)
                    stops = tokens + np.cumsum([len(ids) for ids in encoded], dtype=np.uint64)
                    payload.write(np.concatenate(encoded).astype(known.dtype).tobytes())
                    ends.write(stops.astype("<u8").tobytes())
                    documents, tokens = documents + len(texts), int(stops[-1])
                    text_bytes += sum(len(t.encode()) for t in texts)
            written[split] = {"documents": documents, "tokens": tokens, "bytes": text_bytes}
    files = {
        p.name: {"bytes": p.stat().st_size, "xxh3_128": file_hash(p)}
        for p in sorted(folder.iterdir())
    }  # fmt: skip
    write_counts(folder, known, components, files)


def _batches(export: Path, manifest: dict[str, Any], sources: list[tuple[str, int]]) -> Iterator[list[str]]:
    """Texts of some files, a megabyte or so at a time; each file is first held to its hash in the manifest."""
    for file, documents in sources:
        path = export / file
        if not path.is_file() or file_hash(path) != manifest["files"][file]["xxh3_128"]:
            raise CuratorError(f"{path} is not what was exported (its hash differs); export again")
        batch: list[str] = []
        chars = seen = 0
        for text in _texts(path):
            batch.append(text)
            chars, seen = chars + len(text), seen + 1
            if chars >= BATCH_CHARS:
                yield batch
                batch, chars = [], 0
        if batch:
            yield batch
        if seen != documents:
            raise CuratorError(f"{path} has {seen} documents, its manifest says {documents}; export again")
