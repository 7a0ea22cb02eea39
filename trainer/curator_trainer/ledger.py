"""What a run has seen, a line a log step: ledger.jsonl, and the caller's progress.

Rows and tokens of each component come from the plan by arithmetic, not from what passed through the loader, so they are
right on every rank and after every resume. Tokens do not count padding. The loss of a component is the mean over its
predicted tokens since the last line.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from curator_trainer.models import plan_file
from curator_trainer.schedule import Clock
from curator_trainer.trainer import LOSS_OF

if TYPE_CHECKING:
    from curator.rows import TokenRows


@dataclass(frozen=True)
class Progress:
    """How far a run is: tokens are counted from its beginning, seconds_left is None before the first step."""

    step: int
    steps: int
    loss: float | None
    tokens: int
    tokens_per_second: float
    seconds_left: float | None


class Count:
    """Rows and tokens of each component by a step, from the plan."""

    def __init__(self, rows: TokenRows, rows_a_step: int) -> None:
        self._rows, self._rows_a_step, self._step = rows, rows_a_step, 0
        self._tokens = np.zeros(len(rows.names), dtype=np.int64)
        self._seen = np.zeros(len(rows.names), dtype=np.int64)

    @property
    def tokens(self) -> int:
        """Tokens of all components."""
        return int(self._tokens.sum())

    def advance(self, step: int) -> None:
        """Count up to the end of a step that is not before the last."""
        for start in range(self._step * self._rows_a_step, step * self._rows_a_step, 1 << 16):
            rows = np.arange(start, min(start + (1 << 16), step * self._rows_a_step))
            component = self._rows.places(rows).component
            self._seen += np.bincount(component, minlength=len(self._seen))
            np.add.at(self._tokens, component, self._rows.tokens(rows))
        self._step = step

    def components(self) -> dict[str, dict[str, Any]]:
        """Rows, tokens and epochs of each component."""
        found = {}
        for number, name in enumerate(self._rows.names):
            seen = int(self._seen[number])
            epochs = seen / max(self._rows.plan.components[number].rows, 1)
            found[name] = {"rows": seen, "tokens": int(self._tokens[number]), "epochs": round(epochs, 4)}
        return found


class Ledger(TrainerCallback):
    """Writes the ledger and tells progress."""

    def __init__(
        self,
        rows: TokenRows,
        rows_a_step: int,
        path: Path,
        tell: Callable[[Progress], None],
        clock: Clock,
    ) -> None:
        self.path, self.tell, self.clock = path, tell, clock
        self._rows, self._count = rows, Count(rows, rows_a_step)
        self._started = self._last = time.monotonic()
        self.at_start = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take up the ledger where the checkpoint was made."""
        self._started = self._last = time.monotonic()
        lines = self.lines() if self.path.exists() else []
        if state.is_world_process_zero:
            self.path.write_text(
                "".join(json.dumps(line) + "\n" for line in lines if line["step"] <= state.global_step)
            )
        self._count.advance(state.global_step)
        self.at_start = self._count.tokens

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write a line."""
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        before, since = self._count.tokens, self._last
        self._count.advance(state.global_step)
        now = self._last = time.monotonic()
        tokens = self._count.tokens
        rate = (tokens - before) / max(now - since, 1e-9)
        line = {
            "step": state.global_step,
            "loss": logs["loss"],
            "learning_rate": logs.get("learning_rate"),
            "tokens": tokens,
            "tokens_per_second": round(rate, 1),
            "seconds": round(now - self._started, 3),
            "components": {
                name: seen | {"loss": logs.get(LOSS_OF + name)} for name, seen in self._count.components().items()
            },
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        overall = (tokens - self.at_start) / max(now - self._started, 1e-9)
        steps = self.clock.expected(state.global_step)
        to_come = (steps - state.global_step) * tokens / max(state.global_step, 1)
        left = to_come / max(overall, 1e-9)
        self.tell(Progress(state.global_step, steps, logs["loss"], tokens, overall, left))

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """A checkpoint says which rows it goes on with."""
        if state.is_world_process_zero:
            folder = self.path.parent / f"checkpoint-{state.global_step}"
            shutil.copyfile(plan_file(self._rows), folder / "plan.json")

    def lines(self) -> list[dict[str, Any]]:
        """The ledger so far; a line that a kill cut short is left out."""
        whole = self.path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]
