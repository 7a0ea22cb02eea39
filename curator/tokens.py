"""An export's text -> tokens, once: the payload of each component, and the rows that it is trained in.

    EXPORT/tokens/<first 12 hex digits of the tokenizer file's sha256>/
      tokenizer.json  tokens.json      the tokenizer; counts, and the hash of every file here
      train.<component>.bin            tokens of 2 bytes (vocabulary < 65,500) or 4, little-endian, documents in the
      heldout.<component>.bin          order of documents.parquet, each followed by the end token
      *.ends                           u64 a document: where it ends, in tokens
      rows-<seq_len>/                  packing and order (curator.rows)

The payload is byte for byte what Megatron, nanotron, OLMo and nanoGPT read. Texts are streamed in batches, so memory
is flat but for 100 bytes a document while packing. Everything is written under a temporary name and renamed.
Cost: tokenizing, 0.3 Mtok/s a core; the rest is noise. Rejected: tokens in Parquet (a row is not addressable), and
a tokenizer that reads special tokens in texts (a document that mentions <|endoftext|> would hold an end).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from curator.errors import CuratorError, UsageError
from curator.hashing import file_hash
from curator.order import write_json, write_rows
from curator.rows import TokenRows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT_VERSION = 1
SPECIAL_TOKENS = ("<|endoftext|>", "[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]")
#: the token that ends a document: the first of these that a tokenizer has
END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
#: Megatron's rule, so that its readers find the type they expect
VOCABULARY_OF_TWO_BYTES = 65_500
VOCABULARY = 8192  # of a tokenizer that is trained here: an eighth of a small model's parameters
TRAINING_BYTES = 64 << 20  # of text, to train a tokenizer: more changes few merges
BATCH_CHARS = 1 << 20
log = logging.getLogger("curator")


def load_tokenizer(path: Path) -> Tokenizer:
    """A tokenizers file, reading texts whole and taking no special token from them.

    Raises UsageError for a file that is none, and where the tokenizers package is missing.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(
            "tokenizers is not installed; pip install 'corpus-curator[train]' brings it"
        ) from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare Exception
        raise UsageError(f"{path} is no file of the tokenizers library: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def end_token(tokenizer: Tokenizer, path: Path) -> tuple[str, int]:
    """The token that ends a document, and its id. Raises UsageError where the tokenizer has none."""
    for token in END_TOKENS:
        if (found := tokenizer.token_to_id(token)) is not None:
            return token, found
    raise UsageError(
        f"the tokenizer {path} has no token to end a document with; add one of {', '.join(END_TOKENS)} to it"
    )


def read_manifest(export: Path) -> dict[str, Any]:
    """An export's manifest. Raises UsageError for a folder that is no export, or one of another version."""
    path = export / "manifest.json"
    if not path.is_file():
        raise UsageError(f"{export} is no export: it has no manifest.json; `curator export` writes one")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest["format_version"] != 1:
        raise UsageError(
            f"{export} is of format {manifest['format_version']}, this curator reads 1; export again"
        )
    return manifest


def train_tokenizer(export: Path, vocab_size: int = VOCABULARY) -> Path:
    """Train a byte-level BPE on the export's training text, if it is not there, and return its file.

    At most 64 MiB of text are read, of each component its share, in the order of the export.
    Raises UsageError for a vocabulary that does not hold the bytes.
    """
    manifest = read_manifest(export)
    path = export / "tokens" / f"trained-{vocab_size}.json"
    least = 256 + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise UsageError(
            f"a vocabulary of {vocab_size} is too small; bytes and special tokens alone are {least}"
        )
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError:
        raise UsageError(
            "tokenizers is not installed; pip install 'corpus-curator[train]' brings it"
        ) from None
    if path.exists():
        return path
    with _locked(export):
        if not path.exists():
            log.info("training a tokenizer of %d tokens on %s", vocab_size, export)
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=vocab_size,
                min_frequency=2,
                special_tokens=list(SPECIAL_TOKENS),
                initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            )
            tokenizer.train_from_iterator(_training_texts(export, manifest), trainer)
            temporary = path.with_name(f".tmp-{path.name}")
            tokenizer.save(str(temporary))
            temporary.rename(path)
    return path


def open_tokens(export: Path, *, seq_len: int | None = None, vocab_size: int | None = None) -> TokenRows:
    """The rows of an export, tokenized and packed first where that has not been done.

    With the tokenizer that the mixture names, else with one trained on the export (of 8,192 tokens unless given).
    Raises UsageError where both are given, and as build_tokens does.
    """
    named = read_manifest(export)["tokenizer"]
    if named is None:
        file = train_tokenizer(export, vocab_size or VOCABULARY)
    elif vocab_size is None:
        file = export / named["file"]
    else:
        raise UsageError(
            f"{export} was exported for the tokenizer {named['file']}, so a vocabulary of {vocab_size} cannot be trained; "
            "leave it out, or export without `tokenizer:`"
        )
    return TokenRows(build_tokens(export, file, seq_len))


def build_tokens(export: Path, tokenizer_file: Path, seq_len: int | None = None) -> Path:
    """Tokenize an export and pack it into rows of `seq_len` tokens (the manifest's, if not given), where it is not yet.

    Returns the folder of rows. Raises UsageError for a tokenizer that the export was not made with or that has no end
    token, and for a budget that the components cannot fill; CuratorError where a file of the export has changed.
    """
    manifest = read_manifest(export)
    digest = hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
    named = manifest["tokenizer"]
    if named is not None and named["sha256"] != digest:
        raise UsageError(
            f"{export} was exported for the tokenizer {named['file']} with sha256 {named['sha256'][:12]}, and "
            f"{tokenizer_file} has {digest[:12]}; export again with `tokenizer:` naming it"
        )
    seq_len = seq_len or int(manifest["seq_len"])
    folder = export / "tokens" / digest[:12]
    rows = folder / f"rows-{seq_len}"
    if rows.is_dir():
        return rows
    with _locked(export):
        if not folder.is_dir():
            with _renamed(folder) as temporary:
                _write_payloads(export, manifest, tokenizer_file, digest, temporary)
                write_rows(manifest, temporary, temporary / rows.name, seq_len)
        elif not rows.is_dir():
            with _renamed(rows) as temporary:
                write_rows(manifest, folder, temporary, seq_len)
    return rows


@contextmanager
def _locked(export: Path) -> Iterator[None]:
    """One process at a time builds (the ranks of a run start together); what a killed one left is swept."""
    import tempfile

    from filelock import FileLock

    # not in the export, which is to hold nothing but what its manifest lists
    name = xxhash.xxh3_64_hexdigest(str(export.resolve()).encode())
    try:
        (export / "tokens").mkdir(exist_ok=True)
        with FileLock(Path(tempfile.gettempdir()) / f"curator-{name}.lock"):
            for leftover in (export / "tokens").rglob(".tmp-*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            yield
    except OSError as error:
        raise CuratorError(
            f"the tokens of {export} cannot be written: {error}; nothing was left half done"
        ) from error


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".tmp-{target.name}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(export: Path) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """(component, train | heldout) -> its files with their documents, in order."""
    import polars as pl

    grouped = (
        pl.scan_parquet(export / "documents.parquet")
        .group_by("component", "held_out", "file", maintain_order=True)
        .agg(pl.len().alias("documents"))
        .collect()
    )
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for component, held_out, file, documents in grouped.iter_rows():
        found.setdefault((component, "heldout" if held_out else "train"), []).append((file, documents))
    return found


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=["text"]):
                yield from batch.column(0).to_pylist()
    elif ".jsonl" in path.suffixes:
        import fsspec
        import orjson

        with fsspec.open(str(path), "rb", compression="infer") as lines:
            for line in lines:
                yield orjson.loads(line)["text"]
    else:
        raise UsageError(f"{path} is neither Parquet nor JSON lines; export with --to parquet to train")


def _training_texts(export: Path, manifest: dict[str, Any]) -> Iterator[str]:
    files = _files(export)
    for component in manifest["components"]:
        left = TRAINING_BYTES * component["share"]
        for file, _ in files.get((component["name"], "train"), []):
            for text in _texts(export / file):
                if left <= 0:
                    break
                left -= len(text.encode())
                yield text


def _write_payloads(
    export: Path, manifest: dict[str, Any], tokenizer_file: Path, digest: str, folder: Path
) -> None:
    tokenizer = load_tokenizer(tokenizer_file)
    token, end = end_token(tokenizer, tokenizer_file)
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    dtype = np.dtype("<u2" if size < VOCABULARY_OF_TWO_BYTES else "<u4")
    written: dict[str, dict[str, Any]] = {}
    files: dict[str, dict[str, Any]] = {}
    for (component, split), sources in _files(export).items():
        name = f"{split}.{component}"
        documents = tokens = text_bytes = 0
        with _Hashed(folder / f"{name}.bin") as payload, _Hashed(folder / f"{name}.ends") as ends:
            for texts in _batches(export, manifest, sources):
                encoded = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
                for ids in encoded:
                    ids.append(end)
                stops = tokens + np.cumsum([len(ids) for ids in encoded], dtype=np.uint64)
                payload.write(np.concatenate(encoded).astype(dtype))
                ends.write(stops.astype("<u8"))
                documents, tokens = documents + len(texts), int(stops[-1])
                text_bytes += sum(len(t.encode()) for t in texts)
        files |= {f"{name}.bin": payload.written, f"{name}.ends": ends.written}
        written.setdefault(component, {})[split] = {
            "documents": documents,
            "tokens": tokens,
            "bytes": text_bytes,
        }
    shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    write_json(
        folder / "tokens.json",
        {
            "format_version": FORMAT_VERSION,
            "tokenizer": {"sha256": digest, "end_token": token, "end_id": end, "vocab_size": size},
            "dtype": dtype.str,
            "components": {c["name"]: written.get(c["name"], {}) for c in manifest["components"]},
            "files": files,
        },
    )  # fmt: skip


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
            raise CuratorError(f"{path} has {seen} documents, documents.parquet {documents}; export again")


class _Hashed:
    """A file that is hashed as it is written; `written` when closed: its bytes and hash."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._hash = xxhash.xxh3_128()
        self.written: dict[str, Any] = {}

    def write(self, array: NDArray[Any]) -> None:
        self._file.write(array.tobytes())
        self._hash.update(array.tobytes())

    def __enter__(self) -> _Hashed:
        return self

    def __exit__(self, *_: object) -> None:
        self.written = {"bytes": self._file.tell(), "xxh3_128": self._hash.hexdigest()}
        self._file.close()
