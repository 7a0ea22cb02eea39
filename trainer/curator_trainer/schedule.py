"""The learning rate: a warm-up, a plateau, and in the last fifth down to nothing, whether steps or minutes are given.

With minutes the end is not known at first. The plateau needs no end, so it is decided late: when four fifths of the
time are over, the steps that fit into the rest are counted from the rate so far. The schedule is kept in checkpoints,
so a run that goes on has the same rates. Rejected: measuring some steps before the first, which on a shared machine
was wrong by a factor of two; cosine, whose rates all depend on the end.
"""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

WARM_UP, PLATEAU = 0.05, 0.8  # shares of the steps: until the first it rises, from the second on it falls
MOST_WARM_UP = 200  # steps


class Schedule:
    """The share of the full rate at a step. LambdaLR keeps its attributes in checkpoints."""

    def __init__(self, steps: int, warm_up: int) -> None:
        self.warm_up, self.steps = warm_up, steps
        self.falls_from = int(PLATEAU * steps)

    def __call__(self, step: int) -> float:
        rising = (step + 1) / self.warm_up if step < self.warm_up else 1.0
        falling = (self.steps - step) / max(1, self.steps - self.falls_from)
        return max(0.0, min(1.0, rising, falling))

    def end_at(self, step: int, now: int) -> None:
        """The run ends at `step`; what is left of it from `now` is the fall."""
        self.steps, self.falls_from = step, now


class Clock(TrainerCallback):
    """Ends a run in time; does nothing where `seconds` is None."""

    def __init__(self, schedule: Schedule, seconds: float | None) -> None:
        self.schedule, self.seconds = schedule, seconds
        self._started, self._first = time.monotonic(), 0

    def elapsed(self) -> float:
        """Seconds since training began, or went on."""
        return time.monotonic() - self._started

    def expected(self, step: int) -> int:
        """The step at which the run will end, as far as is known."""
        if self.seconds is None or step == self._first or step >= self.schedule.falls_from:
            return self.schedule.steps
        return min(self.schedule.steps, step + self._steps_within(self.seconds - self.elapsed(), step))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._started, self._first = time.monotonic(), state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Decide on the end when it comes near; stop there, or when time is up, with a checkpoint."""
        step, elapsed = state.global_step, self.elapsed()
        if self.seconds is None:
            return
        if elapsed > PLATEAU * self.seconds and step < self.schedule.falls_from:
            left = max(1, self._steps_within(self.seconds - elapsed, step))
            self.schedule.end_at(min(self.schedule.steps, step + left), step)
        if step >= self.schedule.steps or elapsed > self.seconds:
            control.should_training_stop = control.should_log = control.should_save = True

    def _steps_within(self, seconds: float, step: int) -> int:
        return int(max(0.0, seconds) * (step - self._first) / max(self.elapsed(), 1e-9))
