"""Small exports, as `curator export` writes them, from texts made up here."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from curator.order import write_rows
from curator.payloads import tokens_folder
from curator.tokenizer import describe
from curator.tokens import write_texts_as_tokens
from tests.texts import ENGLISH, GERMAN


@dataclass
class Part:
    """A component: its texts, and how much of the budget it is asked for."""

    train: list[str]
    heldout: list[str] = field(default_factory=list)
    share: float = 1.0
    max_epochs: float = 4.0


def prose(seed: int, count: int, *, words: str = ENGLISH, least: int = 5, most: int = 120) -> list[str]:
    """Texts of `least` to `most` words, in a random order of which each second word follows from the first."""
    draw = random.Random(seed)
    vocabulary = words.split()
    texts = []
    for _ in range(count):
        text: list[str] = []
        length = draw.randint(least, most)
        while len(text) < length:
            place = draw.randrange(len(vocabulary))
            text += [vocabulary[place], vocabulary[(place * 7 + 3) % len(vocabulary)]]
        texts.append(" ".join(text) + ".")
    return texts


def two_languages(documents: int = 120) -> dict[str, Part]:
    """English and German, 3 to 1, with held-out documents."""
    return {
        "english": Part(prose(1, documents), prose(2, documents // 10), 0.75),
        "german": Part(prose(3, documents // 2, words=GERMAN), prose(4, documents // 20, words=GERMAN), 0.25),
    }


def write_export(
    folder: Path,
    components: dict[str, Part],
    *,
    tokens: int = 20_000,
    seq_len: int = 64,
    seed: int = 17,
    format: str = "parquet",
    tokenizer: Path | None = None,
) -> Path:
    """Write an export into `folder` and return it."""
    folder.mkdir(parents=True)
    documents: list[dict[str, Any]] = []
    said: dict[str, dict[str, Any]] = {}
    for name, part in components.items():
        for split, texts in (("train", part.train), ("heldout", part.heldout)):
            half = len(texts) // 2
            start = 0
            for number, chunk in enumerate(c for c in (texts[:half], texts[half:]) if c):
                file = f"{format}/{name}/{split}-{number:05d}.{format}"
                _write(folder / file, name, chunk)
                said[file] = {
                    "format": format, "dataset": name, "split": split, "start": start, "documents": len(chunk)
                }  # fmt: skip
                documents += [
                    {"doc_id": len(documents) + row, "doc_key": f"{len(documents) + row:032x}", "source": name,
                     "source_key": f"{split}-{start + row}", "component": name, "held_out": split == "heldout",
                     "place": start + row, "n_chars": len(text)}
                    for row, text in enumerate(chunk)
                ]  # fmt: skip
                start += len(chunk)
    pl.DataFrame(documents, infer_schema_length=None).write_parquet(folder / "documents.parquet")
    described = None
    if tokenizer is not None:
        known = describe(tokenizer)
        described = {
            "file": "tokenizer.json", "name": known.name, "sha256": known.sha256, "vocab_size": known.size,
            "end_token": known.end_token, "end_id": known.end_id, "dtype": known.dtype.str,
        }  # fmt: skip
    manifest = {
        "format_version": 2, "mixture": "test", "fingerprint": "0123456789abcdef", "seed": seed, "seq_len": seq_len,
        "tokens": tokens, "formats": {format: {}}, "blended": False, "tokenizer": described,
        "components": [
            {"name": n, "share": p.share, "max_epochs": p.max_epochs, "target_tokens": round(p.share * tokens)}
            for n, p in components.items()
        ],
        "files": {},
    }  # fmt: skip
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
        tokens_inside = folder / tokens_folder(manifest)
        tokens_inside.mkdir(parents=True)
        manifest["files"] = _files(folder, said)
        write_texts_as_tokens(folder, manifest, tokenizer, tokens_inside)
        write_rows(manifest, tokens_inside, tokens_inside / f"rows-{seq_len}", seq_len)
    manifest["files"] = _files(folder, said)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _files(folder: Path, said: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        (name := path.relative_to(folder).as_posix()): {
            "bytes": path.stat().st_size, "xxh3_128": xxhash.xxh3_128_hexdigest(path.read_bytes()), **said.get(name, {})
        }
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def _write(path: Path, source: str, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(
        {"text": texts, "id": [f"{path.stem}-{n}" for n in range(len(texts))], "source": source}
    )
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
