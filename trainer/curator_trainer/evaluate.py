"""Bits per byte on held-out documents, by component: a loss that tokenizers cannot flatter.

The mean loss of the tokens that are predicted, in bits, times tokens a byte of the component's held-out text. First
tokens of documents, which nothing predicts, are so charged the mean. For a masked model it is the mean over masked
tokens, one by one and not by words, and compares with other masked models only. Of a large component rows are taken at even distances; they are
packed from long documents to short, so that each length has its part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import PreTrainedModel

from curator_trainer.data import IGNORED, encode
from curator_trainer.inputs import Inputs
from curator_trainer.masking import HELD_OUT, Masking

if TYPE_CHECKING:
    from curator.rows import HeldOut, TokenRows


def bits_per_byte(
    model: PreTrainedModel, rows: TokenRows, *, mask_rate: float | None, most_tokens: int
) -> dict[str, float]:
    """Component -> bits per byte, for those that have held-out documents; `most_tokens` at most, shared evenly."""
    masking = None if mask_rate is None else Masking.of(rows, mask_rate, HELD_OUT)
    found = {}
    splits = {name: rows.held_out(name) for name in rows.names}
    present = sum(held_out is not None for held_out in splits.values())
    for name, held_out in splits.items():
        if held_out is not None:
            counts = rows.counts[name]["heldout"]
            mean = _mean_loss(model, held_out, rows.seq_len, masking, most_tokens // present)
            found[name] = mean / math.log(2) * counts["tokens"] / max(counts["bytes"], 1)
    return found


@torch.no_grad()
def _mean_loss(
    model: PreTrainedModel, held_out: HeldOut, seq_len: int, masking: Masking | None, most_tokens: int
) -> float:
    inputs = Inputs(model)
    model.train(False)
    count = min(len(held_out), max(1, most_tokens // seq_len))
    chosen = np.unique(np.linspace(0, len(held_out) - 1, count).astype(np.int64))
    at_once = max(1, 4096 // seq_len)
    total, predicted = 0.0, 0
    for start in range(0, len(chosen), at_once):
        columns = encode(held_out, chosen[start : start + at_once], masking)
        columns = {k: v.to(model.device) for k, v in columns.items()}
        labels = columns.pop("labels")
        logits = model(**inputs(columns)).logits
        if masking is None:
            logits, labels = logits[:, :-1], labels[:, 1:]
        asked = labels != IGNORED
        total += torch.nn.functional.cross_entropy(
            logits[asked].float(), labels[asked], reduction="sum"
        ).item()
        predicted += int(asked.sum())
    return total / max(predicted, 1)
