"""What a training is made of, before its first step: dataset, model, sizes of batches, and what run.json says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainingArguments, set_seed

from curator_trainer.data import MixtureDataset
from curator_trainer.inputs import check_documents_apart
from curator_trainer.models import build, configure, micro_rows, objective_of, saved_tokenizer
from curator_trainer.starting import Start

if TYPE_CHECKING:
    from curator.rows import TokenRows

RUN_VERSION = 2
#: what of TrainingArguments is ours to set: with another value a run would not see its plan's rows in order
OURS = {
    "output_dir", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "train_sampling_strategy", "remove_unused_columns", "ignore_data_skip", "dataloader_drop_last", "use_cpu", "seed",
    "label_smoothing_factor",
}  # fmt: skip


class Options(TypedDict, total=False):
    """How to train; `prepare` says what each means and is unless given."""

    model: str | None
    objective: str | None
    start: str | Path | None
    steps: int | None
    minutes: float | None
    tokens: int | None
    batch_tokens: int | None
    seq_len: int | None
    vocab_size: int | None
    config: Mapping[str, Any] | None
    arguments: Mapping[str, Any] | None
    device: str
    seed: int
    mask_rate: float
    whole_word: bool
    held_out_tokens: int


@dataclass
class Setup:
    """A training that has not begun. `run` is what must be the same when it goes on, `notes` is kept beside it."""

    dataset: MixtureDataset
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    steps: int
    seconds: float | None
    rows_a_step: int
    micro: int
    world: int
    cpu: bool
    settings: dict[str, Any]
    mask_rate: float | None
    held_out_tokens: int
    run: dict[str, Any]
    notes: dict[str, Any]

    @property
    def rows(self) -> TokenRows:
        """The export's."""
        return self.dataset.rows

    def arguments(self, out: Path, **defaults: Any) -> TrainingArguments:
        """transformers' arguments, with `defaults` under what the user gave."""
        known = {
            "logging_steps": max(1, min(10, self.steps // 50)), "logging_first_step": True,
            "logging_nan_inf_filter": False, "save_steps": max(1, min(500, -(-self.steps // 5))), "save_total_limit": 2,
            "report_to": "none", "disable_tqdm": True, "dataloader_pin_memory": not self.cpu, **defaults,
        }  # fmt: skip
        return TrainingArguments(
            output_dir=str(out),
            max_steps=self.steps,
            per_device_train_batch_size=self.micro,
            gradient_accumulation_steps=self.rows_a_step // (self.micro * self.world),
            train_sampling_strategy="sequential",
            dataloader_drop_last=True,
            remove_unused_columns=False,
            ignore_data_skip=False,
            use_cpu=self.cpu,
            seed=self.run["seed"],
            **{**known, **self.settings},
        )


def prepare(
    export: str | Path,
    *,
    model: str | None = None,
    objective: str | None = None,
    start: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    tokens: int | None = None,
    batch_tokens: int | None = None,
    seq_len: int | None = None,
    vocab_size: int | None = None,
    config: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    device: str = "auto",
    seed: int = 0,
    mask_rate: float = 0.30,
    whole_word: bool = False,
    held_out_tokens: int = 65_536,
) -> Setup:
    """Put a training together, and check that its model keeps documents apart.

    `model` is gpt (the default), bert, or a model type of transformers; `start` goes on from a checkpoint folder instead.
    `objective` is causal or masked, where the model has both. Of `steps`, `minutes` (of this call) and `tokens` one may
    be given, else it is the whole plan. `batch_tokens` is a step's, in whole rows; `config` changes the model's
    configuration, `arguments` transformers' TrainingArguments; `held_out_tokens` is how many bits per byte are measured
    on, the same of each component, 0 for none. Raises UsageError for a mistake.
    """
    from curator import UsageError

    _check(model, start, steps, minutes, tokens, device, config, arguments)
    began = None if start is None else Start(start)
    kind = began.config.model_type if began else model or "gpt"
    aim = began.objective(objective) if began else objective_of(kind, objective)
    dataset = MixtureDataset(
        export,
        objective=aim,
        mask_rate=mask_rate,
        whole_word=whole_word,
        components=True,
        seq_len=seq_len,
        vocab_size=vocab_size,
    )
    rows = dataset.rows
    cpu = device == "cpu" or not torch.accelerator.is_available()
    rows_a_step = max(1, (batch_tokens or (2048 if cpu else 65_536)) // rows.seq_len)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if rows_a_step % world:
        raise UsageError(
            f"{rows_a_step} rows a step are not to be divided by {world} processes; change batch_tokens"
        )
    if world > 1 and minutes is not None:
        raise UsageError("minutes are one process's; several would stop at different steps: give steps")
    planned = len(rows) // rows_a_step
    if tokens is not None:
        steps = max(1, tokens // (rows_a_step * rows.seq_len))
    if not planned or (steps or 0) > planned:
        raise UsageError(
            f"the export has {len(rows):,} rows of {rows.seq_len}, {planned:,} steps of {rows_a_step} rows, and "
            f"{steps or 1:,} were asked for: raise `tokens:` in the mixture, or take smaller steps"
        )
    set_seed(seed)
    tokenizer = began.tokenizer(rows) if began else saved_tokenizer(rows)
    if began:
        built = began.model(aim, rows)
    else:
        built = build(configure(kind, aim, rows, tokenizer, cpu=cpu, changes=config or {}), aim)
    check_documents_apart(built, rows.seq_len, rows.end_id, masked=aim == "masked")
    # Adam's usual rate for its width (from scratch); a tenth of it where there is something to forget
    rate = 3e-3 * (128 / max(built.config.hidden_size, 128)) ** 0.5 * (0.1 if began else 1.0)
    settings = {
        "learning_rate": rate, "weight_decay": 0.1, "adam_beta2": 0.95, "bf16": _bf16(cpu), **(arguments or {}),
    }  # fmt: skip
    run = {
        "run_version": RUN_VERSION, "model": kind, "objective": aim,
        "config": {k: v for k, v in json.loads(built.config.to_json_string(use_diff=False)).items() if k != "_name_or_path"},
        "fingerprint": rows.fingerprint,
        "rows_a_step": rows_a_step, "seed": seed, "mask_rate": mask_rate, "whole_word": whole_word,
        "steps": steps or planned, "began_from": began and began.digest,
        "arguments": json.loads(json.dumps(settings, default=str)),
    }  # fmt: skip
    return Setup(
        dataset=dataset,
        model=built,
        tokenizer=tokenizer,
        steps=steps or planned,
        seconds=None if minutes is None else 60 * minutes,
        rows_a_step=rows_a_step,
        micro=micro_rows(rows_a_step // world, rows.seq_len, built.config.vocab_size, cpu=cpu),
        world=world,
        cpu=cpu,
        settings=settings,
        mask_rate=mask_rate if aim == "masked" else None,
        held_out_tokens=held_out_tokens,
        run=run,
        notes={
            "export": str(Path(export).absolute()),
            "rows": str(rows.folder.absolute()),
            "from": began and str(began.folder),
            "parameters": built.num_parameters(),
            "shares": dict(zip(rows.names, rows.shares, strict=True)),
        },
    )


def _check(
    model: str | None,
    start: str | Path | None,
    steps: int | None,
    minutes: float | None,
    tokens: int | None,
    device: str,
    config: Mapping[str, Any] | None,
    arguments: Mapping[str, Any] | None,
) -> None:
    from curator import UsageError

    if start is not None and (model is not None or config):
        given = f"model {model!r}" if model is not None else f"config {dict(config or {})}"
        raise UsageError(f"{given} and --from {start} exclude each other: the checkpoint says what the model is")
    lengths = {"steps": steps, "minutes": minutes, "tokens": tokens}
    named = [name for name, value in lengths.items() if value is not None]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other; give one")
    if named and (lengths[named[0]] or 0) <= 0:
        raise UsageError(f"{named[0]} {lengths[named[0]]}: give more than 0")
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"device {device!r}: there are auto and cpu, and cuda where torch finds one")
    if taken := OURS & set(arguments or ()):
        raise UsageError(
            f"arguments {sorted(taken)} are set by the plan; give steps, batch_tokens, device and seed instead"
        )
    known = TrainingArguments.__dataclass_fields__
    for name in arguments or ():
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"argument {name!r}: transformers' TrainingArguments has no such field"
                + (f"; did you mean {near[0]}?" if near else "")
            )


def _bf16(cpu: bool) -> bool:
    """Where it is faster: on GPUs that have it, and on CPUs with instructions for it (1.7 times faster there)."""
    if cpu:
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
