"""Tiny trainings: the loss falls, what is saved loads, a stopped run goes on exactly."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from curator.errors import UsageError
from curator_trainer.data import MixtureDataset
from curator_trainer.ledger import Progress
from curator_trainer.train import Trained, train
from tests.trainer.exports import two_languages, write_export

VOCABULARY = 400
TINY: dict[str, dict[str, Any]] = {
    "gpt": {"n_layer": 1, "n_embd": 32, "n_head": 2},
    "bert": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64},
}


class Stop(Exception):
    """A kill."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64, some 20,000 tokens."""
    return write_export(tmp_path_factory.mktemp("train") / "export", two_languages(100))


def run(export: Path, out: Path, kind: Any, **options: Any) -> Trained:
    """A training of a few seconds at most."""
    settings = {
        "steps": 30,
        "batch_tokens": 512,
        "vocab_size": VOCABULARY,
        "config": TINY[kind],
        "device": "cpu",
    }
    result = train(export, out, model=kind, **{**settings, **options})
    assert result is not None
    return result


@pytest.fixture(scope="module", params=["gpt", "bert"])
def trained(
    request: pytest.FixtureRequest, export: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Trained, list[Progress]]:
    """A whole run of each kind."""
    told: list[Progress] = []
    out = tmp_path_factory.mktemp(request.param) / "model"
    return request.param, run(export, out, request.param, tell=told.append), told


def ledger(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]


def test_the_loss_falls(trained: tuple[str, Trained, list[Progress]]) -> None:
    """From that of a guess; progress says so step by step."""
    _, result, told = trained
    assert result.loss_start == pytest.approx(np.log(VOCABULARY), abs=0.3)
    assert result.loss_end < result.loss_start - 0.5
    assert result.steps == 30
    assert [p.step for p in told] == list(range(1, 31))
    assert told[-1].seconds_left == pytest.approx(0, abs=0.01)
    assert told[-1].tokens == result.tokens


def test_the_checkpoint_loads(trained: tuple[str, Trained, list[Progress]], export: Path) -> None:
    """With transformers alone; the tokenizer gives the payload's ids back, and the order is beside it."""
    kind, result, _ = trained
    auto = AutoModelForCausalLM if kind == "gpt" else AutoModelForMaskedLM
    model = auto.from_pretrained(result.out)
    tokenizer = AutoTokenizer.from_pretrained(result.out)
    dataset = MixtureDataset(export, vocab_size=VOCABULARY)
    text = "the time of man and other things."
    ids = tokenizer(text)["input_ids"]
    from curator.tokenizer import load_tokenizer

    assert ids == load_tokenizer(dataset.rows.tokenizer_file).encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text
    assert (tokenizer.mask_token, tokenizer.pad_token, tokenizer.eos_token) == (
        "[MASK]",
        "[PAD]",
        "<|endoftext|>",
    )
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), VOCABULARY)
    plan = (dataset.rows.folder / "plan.json").read_bytes()
    assert (result.out / "plan.json").read_bytes() == plan
    assert (result.out / "checkpoint-30" / "plan.json").read_bytes() == plan
    if kind == "gpt":
        assert model.generate(torch.tensor([ids]), max_new_tokens=3, do_sample=False).shape[1] > len(ids)


def test_the_ledger_counts_what_was_seen(trained: tuple[str, Trained, list[Progress]], export: Path) -> None:
    """Rows and tokens by component equal those counted from the batches; shares are those asked for."""
    _, result, _ = trained
    dataset = MixtureDataset(export, vocab_size=VOCABULARY)
    lines = ledger(result.out)
    assert [line["step"] for line in lines] == list(range(1, 31))
    for step in (1, 30):
        rows = np.arange(step * 8)
        component = dataset.rows.places(rows).component
        present = dataset.rows.read(rows).document >= 0
        for number, name in enumerate(("english", "german")):
            seen = lines[step - 1]["components"][name]
            assert seen["rows"] == (component == number).sum()
            assert seen["tokens"] == present[component == number].sum()
            assert seen["epochs"] == pytest.approx(
                seen["rows"] / dataset.rows.plan.components[number].rows, abs=1e-4
            )
    assert result.tokens == sum(c.tokens for c in result.components.values()) == lines[-1]["tokens"]
    assert {n: c.asked for n, c in result.components.items()} == {"english": 0.75, "german": 0.25}
    assert result.components["english"].achieved == pytest.approx(0.75, abs=0.08)


def test_bits_per_byte(trained: tuple[str, Trained, list[Progress]], export: Path) -> None:
    """Of each component with held-out documents; less than a guess's, which is known."""
    _, result, _ = trained
    counts = MixtureDataset(export, vocab_size=VOCABULARY).rows.counts
    for name, component in result.components.items():
        held_out = counts[name]["heldout"]
        guess = np.log2(VOCABULARY) * held_out["tokens"] / held_out["bytes"]
        assert component.bits_per_byte_end is not None
        assert 0.2 * guess < component.bits_per_byte_end < 0.95 * guess


def test_a_stopped_run_goes_on_exactly(
    trained: tuple[str, Trained, list[Progress]], export: Path, tmp_path: Path
) -> None:
    """Stopped twice, at steps that are no checkpoint: the same losses and the same weights to the bit."""
    kind, whole, _ = trained
    for stop in (8, 21):

        def kill(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise Stop

        with pytest.raises(Stop):
            run(export, tmp_path / "model", kind, tell=kill)
    steps: list[int] = []
    result = run(export, tmp_path / "model", kind, tell=lambda p: steps.append(p.step))
    assert steps[0] == 19
    assert [line["loss"] for line in ledger(result.out)] == [line["loss"] for line in ledger(whole.out)]
    assert (result.out / "model.safetensors").read_bytes() == (whole.out / "model.safetensors").read_bytes()
    assert result.components == whole.components


def test_what_a_folder_holds_is_respected(
    trained: tuple[str, Trained, list[Progress]], export: Path, tmp_path: Path
) -> None:
    """A finished run, another run, and something else altogether are refused, each with what differs."""
    kind, result, _ = trained
    with pytest.raises(UsageError, match="holds a finished run"):
        run(export, result.out, kind)
    shutil.copytree(result.out, tmp_path / "run")
    earlier = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(earlier | {"finished": False}))
    for options, message in (
        ({"steps": 35}, "a run with steps 30, not 35"),
        ({"seed": 5}, "a run with seed 0, not 5"),
        ({"seq_len": 32}, "a run with (n_positions|max_position_embeddings) 64, not 32"),
        ({"arguments": {"learning_rate": 1.0}}, "a run with learning_rate 0.003, not 1.0"),
    ):
        with pytest.raises(UsageError, match=message):
            run(export, tmp_path / "run", kind, **options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="other exists and holds no run"):
        run(export, tmp_path / "other", kind)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "t5"}, "model 't5': there are gpt and bert"),
        ({"minutes": 1.0}, "steps and minutes exclude each other"),
        ({"steps": 0}, "steps 0: give more than 0"),
        ({"steps": 1000}, r"317 rows of 64, 39 steps of 8 rows, and 1,000 were asked for: raise `tokens:`"),
        ({"config": {"n_layers": 2}}, "config 'n_layers': gpt2 has no such setting"),
        ({"arguments": {"max_steps": 2}}, r"arguments \['max_steps'\] are set by the plan"),
        ({"device": "tpu"}, "device 'tpu'"),
    ],
)
def test_mistakes(export: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Found before any work; nothing is written."""
    with pytest.raises(UsageError, match=message):
        train(
            export,
            tmp_path / "model",
            **{"steps": 3, "batch_tokens": 512, "vocab_size": VOCABULARY, "device": "cpu", **options},
        )
    assert not (tmp_path / "model").exists()


def test_minutes_end_a_run(export: Path, tmp_path: Path) -> None:
    """With a checkpoint of the last step and a result, well before the plan is through."""
    result = run(
        export, tmp_path / "model", "gpt", steps=None, minutes=1.5 / 60, held_out_tokens=0,
        tell=lambda progress: time.sleep(0.1),
    )  # fmt: skip
    assert 1 <= result.steps < 20
    assert (result.out / f"checkpoint-{result.steps}").is_dir()
    assert json.loads((result.out / "run.json").read_text())["finished"]
    assert all(c.bits_per_byte_end is None for c in result.components.values())
