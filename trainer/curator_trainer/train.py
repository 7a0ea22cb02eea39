"""Train a model on an export, with transformers' Trainer; ours is what makes it exact.

Batches are consecutive rows of the plan (sequential sampling over a map-style dataset), `max_steps` is fixed before the
first step, and run.json in `out` says of what run the folder is; called again it goes on from the last checkpoint,
with the same batches and losses to the last bit, and refuses to if anything differs.

OUT: the model and tokenizer as transformers loads them, plan.json, ledger.jsonl, run.json, checkpoint-*/.
Cost: some 4 ms a step over a bare loop. Rejected: a loop of our own, which would have accumulation, mixed precision,
schedules, checkpoints and several processes to get right.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils.logging import disable_progress_bar

from curator_trainer.evaluate import bits_per_byte
from curator_trainer.ledger import Ledger, Progress
from curator_trainer.models import plan_file
from curator_trainer.schedule import MOST_WARM_UP, WARM_UP, Clock, Schedule
from curator_trainer.setup import Options, Setup, prepare
from curator_trainer.trainer import MixtureTrainer


@dataclass(frozen=True)
class Seen:
    """What a run saw of a component: shares are of tokens, bits per byte are on its held-out documents, if any.

    `loss` is the mean over the last line of the ledger.
    """

    asked: float
    achieved: float
    rows: int
    tokens: int
    epochs: float
    loss: float | None
    bits_per_byte_start: float | None
    bits_per_byte_end: float | None


@dataclass(frozen=True)
class Trained:
    """What came of a run; losses are of the first logged step, and the mean of the last tenth of them."""

    out: Path
    objective: str
    steps: int
    parameters: int
    loss_start: float
    loss_end: float
    tokens: int
    seconds: float
    tokens_per_second: float
    limited_by: str | None
    components: dict[str, Seen]

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"out": str(self.out)}


def train(
    export: str | Path,
    out: str | Path,
    *,
    tell: Callable[[Progress], None] = lambda progress: None,
    **options: Unpack[Options],
) -> Trained | None:
    """Train on an export, or go on where it stopped; `options` are as in curator_trainer.setup.prepare.

    Where minutes are given, a run ends at what it has reached by then. Of several processes (torchrun) the first
    returns the result. Raises UsageError for a mistake, among them a folder `out` that holds something else or
    another run.
    """
    out = Path(out)
    _refuse_something_else(out)
    setup = prepare(export, **options)
    earlier = _refuse_another(out, setup.run)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of writing checkpoints
    trainer, ledger = trainer_of(setup, out, tell)
    trainer.accelerator.wait_for_everyone()  # all have looked into `out` before one writes there
    first, run = trainer.is_world_process_zero(), setup.run | setup.notes
    if first:
        run["run_id"] = earlier.get("run_id") or uuid.uuid4().hex
        run["bits_per_byte_start"] = earlier.get("bits_per_byte_start") or _measured(setup)
        out.mkdir(parents=True, exist_ok=True)
        _write(out / "run.json", run | {"finished": False})
    checkpoint = get_last_checkpoint(str(out)) if out.exists() else None  # type: ignore[no-untyped-call]  # it has no types
    trainer.train(resume_from_checkpoint=checkpoint)
    if not first:
        return None
    measured = _measured(setup)
    setup.model.config.use_cache = True  # off while training, where document boundaries are read from positions
    trainer.save_model(str(out))
    shutil.copyfile(plan_file(setup.rows), out / "plan.json")
    trained = _trained(out, setup, ledger, run["bits_per_byte_start"], measured)
    _write(out / "run.json", run | {"finished": True, "result": trained.to_dict()})
    return trained


def trainer_of(
    setup: Setup, out: Path, tell: Callable[[Progress], None]
) -> tuple[MixtureTrainer, Ledger]:
    """transformers' Trainer for a training, and the ledger that it writes into `out`."""
    warm_up = max(1, min(MOST_WARM_UP, int(WARM_UP * setup.steps)))
    schedule = Schedule(setup.steps, warm_up if setup.seconds is None else min(warm_up, 20))
    clock = Clock(schedule, setup.seconds)
    ledger = Ledger(setup.rows, setup.rows_a_step, out / "ledger.jsonl", tell, clock)
    trainer = MixtureTrainer(
        model=setup.model,
        args=setup.arguments(out),
        train_dataset=setup.dataset,
        processing_class=setup.tokenizer,
        callbacks=[clock, ledger],
        schedule=None if "lr_scheduler_type" in setup.settings else schedule,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, ledger


def _measured(setup: Setup) -> dict[str, float]:
    if not setup.held_out_tokens:
        return {}
    return bits_per_byte(
        setup.model, setup.rows, mask_rate=setup.mask_rate, most_tokens=setup.held_out_tokens
    )


def _refuse_something_else(out: Path) -> None:
    from curator import UsageError

    if out.exists() and not (out / "run.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and holds no run; name another folder")


def _refuse_another(out: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What run.json says, if there is one. Raises UsageError where `out` holds a finished run, or another than this."""
    from curator import UsageError

    path = out / "run.json"
    if not path.exists():
        return {}
    earlier: dict[str, Any] = json.loads(path.read_text())
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
    return earlier


def _write(path: Path, values: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(values, indent=2))
    temporary.replace(path)


def _trained(
    out: Path, setup: Setup, ledger: Ledger, before: dict[str, float], after: dict[str, float]
) -> Trained:
    lines, rows = ledger.lines(), setup.rows
    seen = lines[-1]["components"]
    total = sum(c["tokens"] for c in seen.values())
    last = lines[-max(1, len(lines) // 10) :]
    seconds = float(lines[-1]["seconds"])
    return Trained(
        out=out,
        objective=setup.dataset.objective,
        steps=lines[-1]["step"],
        parameters=setup.model.num_parameters(),
        loss_start=lines[0]["loss"],
        loss_end=sum(line["loss"] for line in last) / len(last),
        tokens=total,
        seconds=seconds,
        tokens_per_second=round((total - ledger.at_start) / max(seconds, 1e-9), 1),
        limited_by=rows.limited_by,
        components={
            name: Seen(
                share,
                seen[name]["tokens"] / total,
                **seen[name],
                bits_per_byte_start=before.get(name),
                bits_per_byte_end=after.get(name),
            )
            for name, share in zip(rows.names, rows.shares, strict=True)
        },
    )
