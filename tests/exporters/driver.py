"""A small mixture with its tokens, and what the host does with an exporter, without a corpus."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curator.exporting import BLENDED, Blend, Blended, BlendStage, Payload, Shard, SplitName, Vocabulary
from tests.texts import ENGLISH, GERMAN

SHARES = {"english": 0.7, "german": 0.3}
#: of the last half of the training
LATER = {"english": 0.5, "german": 0.5}
TOKENS = 20_000
SEQ_LEN = 32
END = "<|endoftext|>"


def prose(seed: int, count: int, words: str, least: int, most: int) -> list[str]:
    """Texts of `least` to `most` random words."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(words.split(), k=draw.randint(least, most))) + "." for _ in range(count)]


#: component and split -> texts; German documents are four times as long
TEXTS: dict[tuple[str, SplitName], list[str]] = {
    ("english", "train"): prose(1, 120, ENGLISH, 10, 60),
    ("english", "heldout"): prose(2, 12, ENGLISH, 10, 60),
    ("german", "train"): prose(3, 60, GERMAN, 40, 240),
    ("german", "heldout"): prose(4, 8, GERMAN, 40, 240),
}


@dataclass(frozen=True)
class World:
    """Documents by component and split with their tokens, the payloads of them, and the blend."""

    frames: dict[tuple[str, SplitName], pl.DataFrame]
    payloads: dict[tuple[str, SplitName], Payload]
    blend: Blend

    @property
    def vocabulary(self) -> Vocabulary:
        assert self.blend.vocabulary is not None
        return self.blend.vocabulary

    def tokens(self, component: str, split: SplitName = "train") -> np.ndarray[Any, Any]:
        """All tokens of a split, in order."""
        payload = self.payloads[component, split]
        return np.fromfile(payload.path, payload.dtype)

    def documents(self, component: str, split: SplitName = "train") -> list[list[int]]:
        """The tokens of each document."""
        return self.frames[component, split]["tokens"].to_list()


def world(folder: Path, *, bytes_a_token: int = 2, held_out: bool = True, blended: bool = False) -> World:
    """Two languages, 0.7 to 0.3 of the tokens, and equal in the last half.

    `blended` is one stream with repeats, beside what is held out of each component.
    """
    from tokenizers import Tokenizer

    folder.mkdir(exist_ok=True)
    vocabulary = _vocabulary(folder, np.dtype("<u2" if bytes_a_token == 2 else "<u4"))
    tokenizer = Tokenizer.from_file(str(vocabulary.file))
    inner = pl.UInt16 if bytes_a_token == 2 else pl.UInt32
    frames = {}
    for (component, split), texts in TEXTS.items():
        if split == "heldout" and not held_out:
            continue
        tokens = [[*tokenizer.encode(t).ids, vocabulary.end_id] for t in texts]
        frames[component, split] = _frame(component, split, texts).with_columns(
            tokens=pl.Series(tokens, dtype=pl.List(inner))
        )
    components = tuple(_blended(name, share, frames) for name, share in SHARES.items())
    stages = (BlendStage(0, SHARES), BlendStage(TOKENS // 2, LATER))
    if blended:
        stream = [frames.pop((name, "train")) for name in ("english", "german")]
        frames[BLENDED, "train"] = pl.concat([*stream, stream[0]])
        whole = _blended(BLENDED, 1.0, frames)
        rest = (replace(c, share=0.0, epochs=0.0, documents=0, tokens=0) for c in components)
        components, stages = (whole, *rest), (BlendStage(0, {BLENDED: 1.0}),)
    payloads = {place: _payload(folder, *place, frame, vocabulary) for place, frame in frames.items()}
    blend = Blend("two-languages", TOKENS, SEQ_LEN, 17, components, stages, vocabulary)
    return World(frames, payloads, blend)


def export(
    exporter: Any, made: World, out: Path, *, of: int = 1, frame_rows: int = 37
) -> dict[str, pl.DataFrame]:
    """Have everything exported into `out`; returns the documents of each file that was written.

    Splits that may be cut are given in `of` shards, documents in frames of `frame_rows`.
    """
    out.mkdir(parents=True)
    written: dict[str, pl.DataFrame] = {}
    for (component, split), frame in made.frames.items():
        if exporter.reads == "payload":
            exporter.share(made.payloads[component, split], out)
            continue
        shards = of if split in exporter.cut else 1
        rows = -(-frame.height // shards)
        seen = frame if exporter.reads == "tokens" else frame.drop("tokens")
        for number in range(shards):
            part = seen.slice(number * rows, rows)
            files = exporter.write(_cut(part, frame_rows), out, Shard(component, split, number, shards))
            starts = itertools.accumulate((count for _, count in files), initial=0)
            for (file, count), start in zip(files, starts, strict=False):
                written[file] = part.slice(start, count)
            assert sum(count for _, count in files) == part.height
    exporter.finish(out, made.blend)
    return written


def digests(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _cut(frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    yield from frame.iter_slices(rows)


def _vocabulary(folder: Path, dtype: np.dtype[Any]) -> Vocabulary:
    """A byte-level BPE of 600 tokens, trained on the texts; its `dtype` may be that of a larger one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([ENGLISH, GERMAN, *itertools.chain(*TEXTS.values())], trainer)
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Vocabulary(file, digest, tokenizer.get_vocab_size(), END, tokenizer.token_to_id(END), dtype)


def _frame(component: str, split: str, texts: list[str]) -> pl.DataFrame:
    """As the host hands documents over; some of what is known of them is not."""
    count = range(len(texts))
    return pl.DataFrame(
        {
            "id": [f"{component}-{split}-{i}" for i in count],
            "text": texts,
            "source": ["web"] * len(texts),
            "url": [f"https://example.org/{i}" if i % 3 else None for i in count],
            "title": [f'A "title", {i}' if i % 2 else None for i in count],
            "published": [datetime(2025, 1, 1 + i % 28) if i > 20 else None for i in count],
            "license": ["CC0-1.0"] * len(texts),
            "domain": pl.Series([None] * len(texts), dtype=pl.String),
            "language": [component[:2]] * len(texts),
        }
    )


def _payload(
    folder: Path, component: str, split: SplitName, frame: pl.DataFrame, vocabulary: Vocabulary
) -> Payload:
    path = folder / "tokens" / f"{split}.{component}.bin"
    path.parent.mkdir(exist_ok=True)
    frame["tokens"].explode().to_numpy().astype(vocabulary.dtype).tofile(path)
    documents = frame.select(
        doc_id=pl.int_range(pl.len(), dtype=pl.UInt64),
        doc_key="id",
        source="source",
        source_key=pl.lit("file, a\nb.jsonl#") + pl.int_range(pl.len()).cast(pl.String),
    )
    ends = frame["tokens"].list.len().cast(pl.UInt64).cum_sum().to_numpy()
    return Payload(component, split, path, vocabulary.dtype, ends, documents, vocabulary)


def _blended(name: str, share: float, frames: dict[tuple[str, SplitName], pl.DataFrame]) -> Blended:
    train = frames[name, "train"]
    tokens = int(train["tokens"].list.len().sum())
    held = frames.get((name, "heldout"), train.clear()).height
    return Blended(name, share, share * TOKENS / tokens, train.height, held, tokens)
