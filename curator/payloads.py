"""The tokens of an export: a payload for each split of a component, and the rows that it is trained in.

    tokens/<first 12 hex digits of the tokenizer's sha256>/
      tokenizer.json  tokens.json      the tokenizer; counts, and the hash of every payload
      train.<component>.bin            tokens of 2 bytes (vocabulary < 65,500) or 4, little-endian, documents in the
      heldout.<component>.bin          order of documents.parquet, each followed by the end token
      *.ends                           u64 a document: where it ends, in tokens
      rows-<seq_len>/                  packing and order (curator.rows); not in a blended export

The payload is byte for byte what Megatron, nanotron, OLMo and nanoGPT read, and is shared with them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curator.exporting import Payload, Vocabulary
from curator.gathering import cut, tokens
from curator.index import datasets_left, rows_of
from curator.manifest import datasets
from curator.order import write_json, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from curator.building import Build, Written
    from curator.corpus import Corpus
    from curator.reusing import Reuse
    from curator.run import Progress
    from curator.token_counts import TokenMeasure
    from curator.tokenizer import Described

FORMAT_VERSION = 1


def write_payloads(
    build: Build,
    corpus: Corpus,
    index: pl.DataFrame,
    manifest: dict[str, Any],
    measure: TokenMeasure,
    reuse: Reuse | None,
    progress: Progress,
) -> None:
    """Write all that is in the folder `tokens`, or link it from another export.

    Raises UsageError for a budget that the components cannot fill.
    """
    folder = build.folder / tokens_folder(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    left = []
    for dataset, split, rows in datasets_left(build, index, manifest, "tokens/{split}.{dataset}"):
        if linked := reuse and reuse.link(build.folder, dataset, split):
            build.unit(f"tokens/{split}.{dataset}", partial(dict, linked))
        else:
            left.append((dataset, split, rows))
    doc_keys = pl.concat([index["doc_key"].head(0), *(rows["doc_key"] for *_, rows in left)])
    progress.stage("writing tokens", sum(_tokens_in(rows) for _, _, rows in left))
    streams = cut(tokens(corpus, doc_keys, measure) if left else iter(()), [rows.height for *_, rows in left])
    for (dataset, split, rows), stream in zip(left, streams, strict=True):
        file = folder / f"{split}.{dataset}.bin"
        build.unit(
            f"tokens/{split}.{dataset}", partial(_write_payload, build, file, rows, stream, measure, progress)
        )
    build.unit("tokens.json", lambda: _write_counts(build, index, manifest, measure, folder))
    if not manifest["blended"]:
        rows_folder = folder / f"rows-{manifest['seq_len']}"
        build.unit("rows", lambda: _write_rows(build, manifest, folder, rows_folder))


def payloads(folder: Path, index: pl.DataFrame, manifest: dict[str, Any]) -> list[Payload]:
    """The payloads of an export in `folder`, of all splits that have documents."""
    vocabulary = vocabulary_of(folder, manifest)
    found = []
    for dataset, split in datasets(manifest):
        rows = rows_of(index, manifest, dataset, split)
        if rows.height:
            path = folder / tokens_folder(manifest) / f"{split}.{dataset}.bin"
            ends = rows["token_stop"].to_numpy()
            found.append(Payload(dataset, split, path, vocabulary.dtype, ends, rows, vocabulary))
    return found


def vocabulary_of(folder: Path, manifest: dict[str, Any]) -> Vocabulary:
    """The tokenizer of an export in `folder`."""
    known = manifest["tokenizer"]
    return Vocabulary(
        folder / known["file"], known["sha256"], known["vocab_size"], known["end_token"], known["end_id"],
        np.dtype(known["dtype"]),
    )  # fmt: skip


def tokens_folder(manifest: dict[str, Any]) -> str:
    """Below the export."""
    return f"tokens/{manifest['tokenizer']['sha256'][:12]}"


def _tokens_in(rows: pl.DataFrame) -> int:
    return int((rows["token_stop"] - rows["token_start"]).sum())


def _write_payload(
    build: Build, file: Path, rows: pl.DataFrame, stream: Iterator[pl.DataFrame], measure: TokenMeasure, progress: Progress
) -> Written:  # fmt: skip
    with file.open("wb") as payload:
        for frame in stream:
            flat = frame["tokens"].explode().to_numpy().astype(measure.tokenizer.dtype, copy=False)
            payload.write(flat.tobytes())
            progress.advance(len(flat), frame.height)
    ends = file.with_suffix(".ends")
    ends.write_bytes(rows["token_stop"].to_numpy().astype("<u8").tobytes())
    return {p.relative_to(build.folder).as_posix(): {} for p in (file, ends)}


def _write_counts(
    build: Build, index: pl.DataFrame, manifest: dict[str, Any], measure: TokenMeasure, folder: Path
) -> Written:
    components: dict[str, dict[str, dict[str, int]]] = {c["name"]: {} for c in manifest["components"]}
    for dataset, split in datasets(manifest):
        rows = rows_of(index, manifest, dataset, split)
        if rows.height:
            text_bytes = rows["n_bytes"].cast(pl.UInt64).sum()
            components.setdefault(dataset, {})[split] = {
                "documents": rows.height, "tokens": _tokens_in(rows), "bytes": int(text_bytes),
            }  # fmt: skip
    inside = tokens_folder(manifest)
    files = {
        Path(path).name: {k: about[k] for k in ("bytes", "xxh3_128")}
        for path, about in build.files.items()
        if path.startswith(f"{inside}/")
    }
    write_counts(folder, measure.tokenizer, components, files)
    return {f"{inside}/{name}": {} for name in ("tokenizer.json", "tokens.json")}


def write_counts(
    folder: Path, known: Described, components: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write tokenizer.json and tokens.json: documents, tokens and bytes of each component's splits, and hashes."""
    (folder / "tokenizer.json").write_text(known.json, encoding="utf-8")
    described = {"sha256": known.sha256, "end_token": known.end_token, "end_id": known.end_id, "vocab_size": known.size}
    write_json(
        folder / "tokens.json",
        {
            "format_version": FORMAT_VERSION, "tokenizer": described, "dtype": known.dtype.str, "components": components,
            "files": files,
        },
    )  # fmt: skip


def _write_rows(build: Build, manifest: dict[str, Any], folder: Path, rows: Path) -> Written:
    write_rows(manifest, folder, rows, manifest["seq_len"])
    return {path: {} for path in build.new_files(rows.relative_to(build.folder).as_posix())}
