"""The loss of each component, and of all: as transformers has it, by any size of batch, and accounts that add up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from curator.errors import UsageError
from curator_trainer.data import MixtureDataset, Rows, stack
from curator_trainer.inputs import Inputs
from curator_trainer.setup import prepare
from curator_trainer.train import train
from curator_trainer.trainer import MixtureTrainer
from tests.trainer.exports import two_languages, write_export

OPTIONS: dict[str, Any] = {
    "batch_tokens": 512, "vocab_size": 400, "device": "cpu", "held_out_tokens": 0,
    "config": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2},
    "arguments": {"bf16": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64, two components."""
    return write_export(tmp_path_factory.mktemp("losses") / "export", two_languages(80))


def ledger(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_of_components(export: Path, tmp_path: Path, kind: str) -> None:
    """At the first step they are those of the new model, row by row; weighted by tokens they are the whole loss."""
    train(export, tmp_path / "model", model=kind, steps=6, **OPTIONS)
    setup = prepare(export, model=kind, steps=6, **OPTIONS)
    model = setup.model.train(False)
    batch = stack(setup.dataset.__getitems__(range(8)))
    component, labels = batch.pop("component"), batch.pop("labels")
    with torch.no_grad():
        logits = model(**Inputs(model)(batch)).logits
    if kind == "gpt":
        logits, labels = logits[:, :-1], labels[:, 1:]
    each = torch.nn.functional.cross_entropy(logits.mT, labels, reduction="none")
    first = ledger(tmp_path / "model")[0]
    total = asked = 0.0
    for number, name in enumerate(("english", "german")):
        mine = component == number
        tokens = float((labels[mine] != -100).sum())
        assert first["components"][name]["loss"] == pytest.approx(float(each[mine].sum()) / tokens, abs=1e-5)
        total, asked = total + first["components"][name]["loss"] * tokens, asked + tokens
    assert first["loss"] == pytest.approx(total / asked, abs=1e-5)


def plain(setup: Any, folder: Path) -> list[float]:
    """Losses of transformers' own Trainer, whose models compute their loss."""

    class Plain(Trainer):
        create_scheduler = MixtureTrainer.create_scheduler

    setup.dataset.components = False
    trainer = Plain(
        model=setup.model, args=setup.arguments(folder), train_dataset=setup.dataset, data_collator=stack
    )
    from curator_trainer.schedule import Schedule

    trainer._schedule = Schedule(setup.steps, 1)  # type: ignore[attr-defined]
    trainer.train()
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_the_whole_loss_is_transformers(export: Path, tmp_path: Path) -> None:
    """Step for step, whether a step is one batch or four."""
    losses = []
    for accumulated in (1, 4):
        setup = prepare(export, steps=6, **OPTIONS)
        setup.micro //= accumulated
        losses.append(plain(setup, tmp_path / f"plain{accumulated}"))
    train(export, tmp_path / "ours", steps=6, **OPTIONS)
    losses.append([line["loss"] for line in ledger(tmp_path / "ours")])
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert losses[2] == pytest.approx(losses[0], abs=1e-6)


def test_tokens_are_those_that_transformers_counts(export: Path, tmp_path: Path) -> None:
    """The ledger's tokens are num_input_tokens_seen less the padding, exactly."""
    arguments = {"bf16": False, "include_num_input_tokens_seen": "all"}
    result = train(export, tmp_path / "model", steps=6, **{**OPTIONS, "arguments": arguments})
    assert result is not None
    state = json.loads((tmp_path / "model" / "checkpoint-6" / "trainer_state.json").read_text())
    rows = MixtureDataset(export, vocab_size=400).rows
    padding = int((rows.read(np.arange(48)).document < 0).sum())
    assert padding > 0
    assert result.tokens == ledger(tmp_path / "model")[-1]["tokens"] == state["num_input_tokens_seen"] - padding


def test_what_would_mix_documents_is_refused(export: Path, tmp_path: Path) -> None:
    """An attention mask in a causal batch, and a dataset that is only iterated."""
    setup = prepare(export, steps=2, **OPTIONS)

    class Masked(MixtureDataset):
        def __getitems__(self, indices: Any) -> Any:
            columns = super().__getitems__(indices).columns
            return Rows(columns | {"attention_mask": torch.ones_like(columns["input_ids"])})

    dataset = Masked(export, components=True, vocab_size=400)
    trainer = MixtureTrainer(
        model=setup.model, args=setup.arguments(tmp_path / "a"), train_dataset=dataset, schedule=None
    )
    with pytest.raises(UsageError, match="a causal batch has an attention_mask"):
        trainer.train()

    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            raise NotImplementedError

    with pytest.raises(UsageError, match="Stream is an IterableDataset"):
        MixtureTrainer(
            model=setup.model, args=setup.arguments(tmp_path / "b"), train_dataset=Stream(), schedule=None  # type: ignore[arg-type]
        )  # fmt: skip
