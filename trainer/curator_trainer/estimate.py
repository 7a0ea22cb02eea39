"""What a training would be, before it is begun: sizes, shares, and hours, from some steps that are then forgotten."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from curator_trainer.ledger import Count
from curator_trainer.setup import Options, prepare
from curator_trainer.train import trainer_of

MEASURED_STEPS = 20


@dataclass(frozen=True)
class Part:
    """What a training would see of a component; shares are of tokens."""

    asked: float
    achieved: float
    rows: int
    tokens: int
    epochs: float


@dataclass(frozen=True)
class Estimate:
    """A training that was not begun. `seconds_a_step` is the mean of `measured_steps`; `hours` are without evaluation."""

    kind: str
    objective: str
    parameters: int
    tokens: int
    tokens_a_parameter: float
    steps: int
    rows_a_step: int
    seq_len: int
    measured_steps: int
    seconds_a_step: float
    hours: float
    limited_by: str | None
    components: dict[str, Part]

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return dataclasses.asdict(self)


def estimate(export: str | Path, **options: Unpack[Options]) -> Estimate:
    """Put a training together and time its first steps, as in curator_trainer.setup.prepare; nothing is kept.

    The first step, which is slower, is not counted where there are others.
    """
    setup = prepare(export, **options)
    count = Count(setup.rows, setup.rows_a_step)
    count.advance(setup.steps)
    tokens, parameters = count.tokens, setup.model.num_parameters()
    short = dataclasses.replace(
        setup,
        steps=min(MEASURED_STEPS, setup.steps),
        seconds=None,
        settings=setup.settings | {"save_strategy": "no", "report_to": "none"},
    )
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = trainer_of(short, Path(folder), lambda progress: None)
        timer = _Timer()
        trainer.add_callback(timer)
        trainer.train()
    ends = timer.ends if len(timer.ends) > 2 else [timer.began, *timer.ends]
    seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
    return Estimate(
        kind=setup.run["model"],
        objective=setup.dataset.objective,
        parameters=parameters,
        tokens=tokens,
        tokens_a_parameter=tokens / parameters,
        steps=setup.steps,
        rows_a_step=setup.rows_a_step,
        seq_len=setup.rows.seq_len,
        measured_steps=len(ends) - 1,
        seconds_a_step=seconds,
        hours=setup.steps * seconds / 3600,
        limited_by=setup.rows.limited_by,
        components={
            name: Part(share, seen["tokens"] / tokens, **seen)
            for (name, seen), share in zip(count.components().items(), setup.rows.shares, strict=True)
        },
    )


class _Timer(TrainerCallback):
    def __init__(self) -> None:
        self.began, self.ends = time.monotonic(), list[float]()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.ends.append(time.monotonic())
