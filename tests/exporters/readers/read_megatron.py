"""Reads exports with megatron.core; argument: for each its folder, rows to train on, end token and vocabulary."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
from megatron.core.datasets.utils import get_blend_from_list

SEQ_LEN = 32


class Tokenizer:
    """What GPTDataset asks of one."""

    def __init__(self, end: int, size: int) -> None:
        self.eod, self.pad, self.vocab_size, self.unique_identifiers = end, end, size, {"class": "Tokenizer"}


def documents(prefix: str) -> list[list[int]]:
    """The documents of an indexed dataset."""
    found = IndexedDataset(prefix)
    return [[int(t) for t in found[i]] for i in range(len(found))]


def rebuilt(prefix: str, folder: Path) -> list[bool]:
    """Whether Megatron's own builder writes the same bytes from the same documents: .bin and .idx."""
    source = IndexedDataset(prefix)
    dtype = source.index.dtype
    builder = IndexedDatasetBuilder(str(folder / "own.bin"), dtype=dtype)
    for i in range(len(source)):
        builder.add_document(torch.from_numpy(source[i].astype(np.int64)), [len(source[i])])
    builder.finalize(str(folder / "own.idx"))
    return [(folder / f"own{s}").read_bytes() == Path(prefix + s).read_bytes() for s in (".bin", ".idx")]


def config(end: int, size: int, **blend: Any) -> GPTDatasetConfig:
    """Of a training that takes documents apart at its end token."""
    return GPTDatasetConfig(
        random_seed=17,
        sequence_length=SEQ_LEN,
        path_to_cache=None,
        tokenizer=Tokenizer(end, size),
        reset_position_ids=True,
        reset_attention_mask=True,
        eod_mask_loss=True,
        mid_level_dataset_surplus=0.05,
        **blend,
    )


def build(rows: list[int | None], **options: Any) -> list[Any]:
    """The datasets of train, valid and test."""
    return BlendedMegatronDatasetBuilder(GPTDataset, rows, lambda: True, config(**options)).build()


def main(exports: list[tuple[str, int, int, int]]) -> list[dict[str, Any]]:
    """What Megatron makes of each folder; its prefixes are relative, so it is started there."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        found = []
        for out, *arguments in exports:
            os.chdir(out)
            found.append(read(*arguments))
    return found


def read(rows: int, end: int, size: int) -> dict[str, Any]:
    """The export in the working folder."""
    blend = get_blend_from_list(Path("data-args.txt").read_text().split())
    splits = json.loads(Path("per-split-data-args.json").read_text())
    per_split = [get_blend_from_list(splits[s]) for s in ("train", "valid", "test")]
    whole = build([rows, 0, 0], end=end, size=size, blend=blend, split="100,0,0")[0]
    train, valid, test = build([rows, 20, 0], end=end, size=size, blend_per_split=per_split)
    prefixes = sorted(str(p.with_suffix("")) for p in Path().glob("*/*.idx"))
    with tempfile.TemporaryDirectory() as folder:
        own = {prefix: rebuilt(prefix, Path(folder)) for prefix in prefixes}
    first = [whole[i] for i in range(20)]
    return {
        "documents": {prefix: documents(prefix) for prefix in prefixes},
        "own_bytes": own,
        "prefixes": blend[0],
        "drawn": np.bincount(whole.dataset_index[:rows], minlength=len(blend[0])).tolist(),
        "drawn_per_split": np.bincount(train.dataset_index[:rows], minlength=len(blend[0])).tolist(),
        "valid": per_split[1] and [per_split[1][0], len(valid)],
        "test": test,
        "rows": [[int(row["dataset_id"]), row["tokens"].tolist(), row["labels"].tolist()] for row in first],
    }


print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
