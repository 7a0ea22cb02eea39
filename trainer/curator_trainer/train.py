"""Train a small GPT or BERT on an export, with transformers' Trainer; ours is what makes it exact.

Batches are consecutive rows of the plan (sequential sampling over a map-style dataset), `max_steps` is fixed before the
first step, and run.json in `out` says of what run the folder is; called again it goes on from the last checkpoint,
with the same batches and losses to the last bit, and refuses to if anything differs.

OUT: the model and tokenizer as transformers loads them, plan.json, ledger.jsonl, run.json, checkpoint-*/.
Cost: some 4 ms a step over a bare loop. Rejected: a loop of our own, which would have accumulation, mixed precision,
schedules, checkpoints and several processes to get right.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils.logging import disable_progress_bar

from curator_trainer.data import MixtureDataset, Objective, stack
from curator_trainer.evaluate import bits_per_byte
from curator_trainer.ledger import Ledger, Progress
from curator_trainer.models import KINDS, Kind, build, configure, micro_rows, plan_file, saved_tokenizer
from curator_trainer.schedule import MOST_WARM_UP, WARM_UP, Clock, Schedule, ScheduledTrainer

if TYPE_CHECKING:
    from curator.rows import TokenRows

RUN_VERSION = 1
#: what of TrainingArguments is ours to set: with another value a run would not see its plan's rows in order
OURS = {
    "output_dir", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "train_sampling_strategy", "remove_unused_columns", "ignore_data_skip", "dataloader_drop_last", "use_cpu", "seed",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a run saw of a component: shares are of tokens, bits per byte are on its held-out documents, if any."""

    asked: float
    achieved: float
    rows: int
    tokens: int
    epochs: float
    bits_per_byte: float | None


@dataclass(frozen=True)
class Trained:
    """What came of a run; losses are of the first logged step, and the mean of the last tenth of them."""

    out: Path
    steps: int
    parameters: int
    loss_start: float
    loss_end: float
    tokens: int
    seconds: float
    tokens_per_second: float
    components: dict[str, Seen]

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"out": str(self.out)}


def train(
    export: str | Path,
    out: str | Path,
    *,
    model: Kind = "gpt",
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
    held_out_tokens: int = 65_536,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train on an export for `steps`, `minutes` or `tokens` (the whole plan if none is given), or go on where it stopped.

    `minutes` are of this call; where they are given, a run ends at what it has reached by then.
    `batch_tokens` is a step's, in whole rows; `config` changes the model's configuration, `arguments` transformers'
    TrainingArguments; `held_out_tokens` is how many bits per byte are measured on, the same of each component, 0 for none.
    Raises UsageError for a mistake, among them a folder `out` that holds something else or another run.
    """
    _check(
        out=Path(out),
        model=model,
        steps=steps,
        minutes=minutes,
        tokens=tokens,
        device=device,
        arguments=arguments,
    )
    from curator import UsageError

    objective: Objective = "causal" if model == "gpt" else "masked"
    dataset = MixtureDataset(
        export, objective=objective, mask_rate=mask_rate, seq_len=seq_len, vocab_size=vocab_size
    )  # fmt: skip
    rows, out = dataset.rows, Path(out)
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
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of writing checkpoints
    steps = steps or planned
    set_seed(seed)
    tokenizer = saved_tokenizer(rows)
    built = build(model, configure(model, rows, tokenizer, cpu=cpu, changes=config or {}))
    micro = micro_rows(rows_a_step // world, rows.seq_len, rows.vocab_size, cpu=cpu)
    settings = {
        "learning_rate": 3e-3 * (128 / max(built.config.hidden_size, 128)) ** 0.5, "weight_decay": 0.1,
        "adam_beta2": 0.95, "bf16": _bf16(cpu), **(arguments or {}),
    }  # fmt: skip
    run = {
        "run_version": RUN_VERSION, "model": model, "config": json.loads(built.config.to_json_string(use_diff=False)),
        "fingerprint": rows.fingerprint, "rows_a_step": rows_a_step, "seed": seed, "mask_rate": mask_rate, "steps": steps,
        "arguments": json.loads(json.dumps(settings, default=str)),
    }  # fmt: skip
    _refuse_another(out, run)
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps(run | {"finished": False}, indent=2))

    warm_up = max(1, min(MOST_WARM_UP, int(WARM_UP * steps)))
    schedule = Schedule(steps, warm_up if minutes is None else min(warm_up, 20))
    clock = Clock(schedule, None if minutes is None else 60 * minutes)
    ledger = Ledger(rows, rows_a_step, out / "ledger.jsonl", tell, clock)
    trainer = ScheduledTrainer(
        model=built,
        args=_arguments(out, steps, micro, rows_a_step // (micro * world), seed, cpu, settings),
        train_dataset=dataset,
        data_collator=stack,
        processing_class=tokenizer,
        callbacks=[clock, ledger],
        schedule=None if "lr_scheduler_type" in settings else schedule,
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = get_last_checkpoint(str(out))  # type: ignore[no-untyped-call]  # it has no types
    trainer.train(resume_from_checkpoint=checkpoint)
    if not trainer.is_world_process_zero():
        return _trained(out, trainer, ledger, built, rows, {})
    measured: dict[str, float] = {}
    if held_out_tokens:
        rate = mask_rate if objective == "masked" else None
        measured = bits_per_byte(built, rows, mask_rate=rate, most_tokens=held_out_tokens)
    built.config.use_cache = True  # off while training, where document boundaries are read from positions
    trainer.save_model(str(out))
    shutil.copyfile(plan_file(rows), out / "plan.json")
    trained = _trained(out, trainer, ledger, built, rows, measured)
    result = run | {"finished": True, "result": trained.to_dict()}
    (out / "run.json").write_text(json.dumps(result, indent=2))
    return trained


def _check(
    *,
    out: Path,
    model: str,
    steps: int | None,
    minutes: float | None,
    tokens: int | None,
    device: str,
    arguments: Mapping[str, Any] | None,
) -> None:
    from curator import UsageError

    if model not in KINDS:
        raise UsageError(f"model {model!r}: there are {' and '.join(KINDS)}")
    lengths = {"steps": steps, "minutes": minutes, "tokens": tokens}
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one")
    if given and (lengths[given[0]] or 0) <= 0:
        raise UsageError(f"{given[0]} {lengths[given[0]]}: give more than 0")
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"device {device!r}: there are auto and cpu, and cuda where torch finds one")
    if taken := OURS & set(arguments or ()):
        raise UsageError(
            f"arguments {sorted(taken)} are set by the plan; give steps, batch_tokens, device and seed instead"
        )
    if out.exists() and not (out / "run.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and holds no run; name another folder")


def _refuse_another(out: Path, run: dict[str, Any]) -> None:
    """Raise UsageError where `out` holds a finished run, or another than this."""
    from curator import UsageError

    path = out / "run.json"
    if not path.exists():
        return
    earlier = json.loads(path.read_text())
    if earlier["finished"]:
        raise UsageError(f"{out} holds a finished run; name another folder")
    for name, value in run.items():
        if earlier.get(name) != value:
            was, now = earlier.get(name), value
            if isinstance(value, dict) and isinstance(was, dict):
                name = next(k for k in value | was if value.get(k) != was.get(k))
                was, now = was.get(name), value.get(name)
            raise UsageError(
                f"{out} holds a run with {name} {was!r}, not {now!r}; give the same, or name another folder"
            )


def _arguments(
    out: Path, steps: int, micro: int, accumulated: int, seed: int, cpu: bool, settings: Mapping[str, Any]
) -> TrainingArguments:
    defaults = {
        "logging_steps": max(1, min(10, steps // 50)),
        "logging_first_step": True, "logging_nan_inf_filter": False, "save_steps": max(1, min(500, -(-steps // 5))),
        "save_total_limit": 2, "report_to": "none", "disable_tqdm": True, "dataloader_pin_memory": not cpu,
    }  # fmt: skip
    return TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulated,
        train_sampling_strategy="sequential",
        dataloader_drop_last=True,
        remove_unused_columns=False,
        ignore_data_skip=False,
        use_cpu=cpu,
        seed=seed,
        **{**defaults, **settings},
    )


def _bf16(cpu: bool) -> bool:
    """Where it is faster: on GPUs that have it, and on CPUs with instructions for it (1.7 times faster there)."""
    if cpu:
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def _trained(
    out: Path,
    trainer: ScheduledTrainer,
    ledger: Ledger,
    model: PreTrainedModel,
    rows: TokenRows,
    measured: Mapping[str, float],
) -> Trained:
    lines = ledger.lines()
    seen = lines[-1]["components"]
    total = sum(c["tokens"] for c in seen.values())
    last = lines[-max(1, len(lines) // 10) :]
    seconds = float(lines[-1]["seconds"])
    return Trained(
        out=out,
        steps=trainer.state.global_step,
        parameters=model.num_parameters(),
        loss_start=lines[0]["loss"],
        loss_end=sum(line["loss"] for line in last) / len(last),
        tokens=total,
        seconds=seconds,
        tokens_per_second=round((total - ledger.at_start) / max(seconds, 1e-9), 1),
        components={
            name: Seen(share, seen[name]["tokens"] / total, **seen[name], bits_per_byte=measured.get(name))
            for name, share in zip(rows.names, rows.shares, strict=True)
        },
    )
