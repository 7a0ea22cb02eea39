"""The learning rate: its shape, its end when minutes are given, and that checkpoints keep it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerControl, TrainerState, TrainingArguments

from curator_trainer.schedule import Clock, Schedule


def test_it_rises_stays_and_falls() -> None:
    """Over 100 steps with 5 of warm-up: full from the fifth to the eightieth, nothing after the last."""
    schedule = Schedule(100, 5)
    assert [schedule(s) for s in (0, 4, 50, 80, 90, 100, 120)] == pytest.approx([0.2, 1, 1, 1, 0.5, 0, 0])


def test_runs_of_a_step_or_two_have_a_rate() -> None:
    """The first step of any run trains."""
    for steps in (1, 2, 3):
        assert all(Schedule(steps, 1)(step) > 0 for step in range(steps))


def test_an_end_found_late_is_kept_in_checkpoints() -> None:
    """LambdaLR stores what the schedule knows, and gives it back."""

    def scheduler() -> tuple[Schedule, LambdaLR]:
        schedule = Schedule(1000, 5)
        return schedule, LambdaLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), schedule)

    schedule, one = scheduler()
    schedule.end_at(50, 40)
    assert [schedule(s) for s in (30, 40, 45, 50)] == pytest.approx([1, 1, 0.5, 0])
    other, two = scheduler()
    two.load_state_dict(one.state_dict())
    assert (other.steps, other.falls_from) == (50, 40)


def test_a_clock_ends_the_run_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step a second, a hundred seconds: at the eightieth the end is set to step 100, and there it stops."""
    schedule = Schedule(1000, 5)
    clock = Clock(schedule, 100.0)
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    control = TrainerControl()
    state = TrainerState()
    clock.on_train_begin(args, state, control)
    for step in range(1, 101):
        state.global_step = step
        monkeypatch.setattr(Clock, "elapsed", lambda self, step=step: step + 0.5)
        if step in (10, 90):
            assert clock.expected(step) == pytest.approx(100, abs=6)
        clock.on_step_end(args, state, control)
        if control.should_training_stop:
            break
    assert step in (98, 99, 100)
    assert control.should_save
    assert schedule.falls_from == 80
    assert schedule(90) == pytest.approx(0.5, abs=0.06)
