"""Several processes see the rows of one: by arithmetic for 1 to 8, and two for real, through torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler

from curator_trainer.train import train
from tests.trainer.exports import two_languages, write_export

ROOT = Path(__file__).parents[2]
ROWS_A_STEP = 8
OPTIONS: dict[str, Any] = {
    "model": "gpt", "steps": 9, "batch_tokens": ROWS_A_STEP * 64, "vocab_size": 400, "device": "cpu",
    "config": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2}, "arguments": {"bf16": False},
    "held_out_tokens": 1024,
}  # fmt: skip


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_rows_of_a_step(world: int) -> None:
    """As accelerate deals batches out: of each step the same set, the batches of process r being r::world."""
    micro = ROWS_A_STEP // world
    batches = BatchSampler(SequentialSampler(range(80)), micro, drop_last=True)
    shards = [list(BatchSamplerShard(batches, world, r, even_batches=True)) for r in range(world)]
    for r, shard in enumerate(shards):
        assert shard == list(batches)[r::world]
    for step in range(10):
        rows = [row for shard in shards for row in shard[step]]
        assert sorted(rows) == list(range(step * ROWS_A_STEP, (step + 1) * ROWS_A_STEP))


def two(*words: str) -> subprocess.CompletedProcess[str]:
    """torchrun with two processes of one thread."""
    paths = os.pathsep.join(str(ROOT / p) for p in (".", "catalog", "plugins", "trainer"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "COLUMNS": "160"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    return subprocess.run(
        [*launch, "--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", *words],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300,
    )  # fmt: skip


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 10))
    parts = [c["loss"] for line in lines for c in line["components"].values()]
    return [line["loss"] for line in lines] + [part for part in parts if part is not None]


def killed(progress: Any) -> None:
    if progress.step == 3:
        raise KeyboardInterrupt


def test_two_processes(tmp_path: Path) -> None:
    """Losses, those of components too, equal one process's within 2e-6: a whole run, and one that went 1 -> 2 -> 1."""
    export = write_export(tmp_path / "export", two_languages(60), tokens=8000)
    train(export, tmp_path / "one", **OPTIONS)
    expected = pytest.approx(losses(tmp_path / "one"), abs=2e-6)

    done = two(
        "-m", "curator", "train", str(export), "-o", str(tmp_path / "two"), "--steps", "9", "--batch-tokens", "512",
        "--vocab-size", "400", "--device", "cpu", "--held-out-tokens", "1024", "--config", "num_hidden_layers=1",
        "--config", "hidden_size=32", "--config", "num_attention_heads=2", "--argument", "bf16=false",
        "-c", str(tmp_path / "corpus"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote the model") == 1
    assert done.stdout.count("there is no corpus in") == 1
    assert losses(tmp_path / "two") == expected
    one, two_ = (json.loads((tmp_path / n / "run.json").read_text()) for n in ("one", "two"))
    assert one["bits_per_byte_start"] == pytest.approx(two_["bits_per_byte_start"], abs=1e-6)

    turns = tmp_path / "turns"
    with pytest.raises(KeyboardInterrupt):
        train(export, turns, tell=killed, **OPTIONS)
    stopped = two(str(Path(__file__).with_name("stopping.py")), str(export), str(turns), "7", json.dumps(OPTIONS))
    assert stopped.returncode != 0
    assert "KeyboardInterrupt" in stopped.stderr
    steps: list[int] = []
    train(export, turns, tell=lambda progress: steps.append(progress.step), **OPTIONS)
    assert steps == [7, 8, 9]  # from the checkpoint of step 6, that two processes made
    assert losses(turns) == expected
