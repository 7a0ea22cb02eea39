"""One run of benchmarks/ablation.py, a process of its own with one thread: trains on an export, scores the holdouts.

    python benchmarks/ablation_run.py FOLDER EXPORT ARM SEED

FOLDER/runs/ARM-SEED gets the model and, when all is done, result.json. A run that was stopped goes on.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import AutoModelForCausalLM

import curator
from curator_trainer.train import train


def trained(export: str, out: Path, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train, or go on, and return what the trainer says of it."""
    done = out / "run.json"
    if done.exists() and json.loads(done.read_text())["finished"]:  # stopped while it was scored
        result: dict[str, Any] = json.loads(done.read_text())["result"]
        return result
    width = settings["width"]
    return train(
        export,
        out,
        tokens=settings["tokens"],
        config={"n_layer": settings["layers"], "n_embd": width, "n_head": max(1, width // 64)},
        device="cpu",
        seed=seed,
        held_out_tokens=0,
    ).to_dict()


@torch.inference_mode()
def bits(model: Any, encoded: Sequence[Sequence[int]], seq_len: int, *, bf16: bool) -> list[float]:
    """The bits that each text takes: a whole code, of which the first token is one of the vocabulary's at random.

    A text longer than `seq_len` is read in windows that share one token, so every later token is predicted once, from
    what its window has before it; no window holds two texts. With `bf16` the bits of all change by 1e-5.
    """
    step = seq_len - 1
    windows = [
        (number, list(ids[start : start + seq_len]))
        for number, ids in enumerate(encoded)
        for start in range(0, max(1, len(ids) - 1), step)
        if len(ids) > 1
    ]
    windows.sort(key=lambda window: len(window[1]))
    found = [math.log2(model.config.vocab_size) if ids else 0.0 for ids in encoded]
    for start in range(0, len(windows), 16):
        batch = windows[start : start + 16]
        longest = len(batch[-1][1])
        # what stands after a text changes nothing before it: the model looks back only
        ids = torch.tensor([tokens + [0] * (longest - len(tokens)) for _, tokens in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(), ids[:, 1:].reshape(-1), reduction="none"
        )
        for (number, tokens), each in zip(batch, loss.view(len(batch), -1), strict=True):
            found[number] += each[: len(tokens) - 1].double().sum().item() / math.log(2)
    return found


def main(folder: Path, export: str, arm: str, seed: int) -> None:
    """Train and score, and write result.json."""
    from tokenizers import Tokenizer

    settings = json.loads((folder / "settings.json").read_text())
    out = folder / "runs" / f"{arm}-{seed}"
    result = trained(export, out, settings, seed)
    start = time.process_time()
    model = AutoModelForCausalLM.from_pretrained(out, attn_implementation="sdpa").eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    bf16 = json.loads((out / "run.json").read_text())["arguments"]["bf16"]  # as it was trained
    scores = {}
    for file in sorted((folder / "holdouts").glob("*.parquet")):
        texts = pl.read_parquet(file)["text"].to_list()
        encoded = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        scores[file.stem] = bits(model, encoded, settings["seq_len"], bf16=bf16)
    kept = {k: result[k] for k in ("steps", "parameters", "loss_start", "loss_end", "tokens", "seconds")}
    counts = curator.open_tokens(export).counts[arm]["train"]
    temporary = out / ".tmp-result.json"
    kept |= {"score_seconds": time.process_time() - start, "cpu_seconds": time.process_time(), "drawn": counts, "bits": scores}
    temporary.write_text(json.dumps(kept))
    temporary.rename(out / "result.json")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
