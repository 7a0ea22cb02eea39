"""`curator train`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table

if TYPE_CHECKING:
    from curator_trainer.ledger import Progress
    from curator_trainer.train import Trained


def train(
    export: Path = typer.Argument(None, help="The export to train on (`curator export` writes one)."),
    mixture: Path = typer.Option(None, help="Instead of an export: a mixture of the corpus."),
    model: str = typer.Option("gpt", help="gpt (causal) or bert (masked)."),
    output: Path = typer.Option(
        ..., "-o", "--output", help="Where the model goes; a run that was stopped there goes on."
    ),
    minutes: float = typer.Option(None, help="Train for so long; the whole budget unless given."),
    steps: int = typer.Option(None, help="Train for so many steps."),
    seq_len: int = typer.Option(None, min=8, help="Tokens a row; the mixture's unless given."),
    vocab_size: int = typer.Option(
        None, help="Of the tokenizer to train, where the mixture names none. [default: 8192]"
    ),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Train a small GPT or BERT on an export; a tokenizer is trained first where the export has none.

    Example: curator train export --model gpt --minutes 2 -o model
    """
    from curator import cached_export
    from curator.errors import UsageError

    missing = [
        m for m in ("torch", "transformers", "accelerate", "tokenizers") if not importlib.util.find_spec(m)
    ]
    if missing:
        raise UsageError(f"{missing[0]} is not installed; pip install 'corpus-curator[train]' brings it")
    if (export is None) == (mixture is None):
        raise UsageError("give an export's folder or --mixture FILE, one of the two")

    folder = cached_export(corpus, mixture) if export is None else export
    # OpenMP's threads spin while they wait, which on a shared machine made a step three times as long; read at import
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from curator_trainer.train import train as run

    with _Bar() as bar:
        trained = run(
            folder,
            output,
            model=model,  # type: ignore[arg-type]  # the trainer checks it
            minutes=minutes,
            steps=steps,
            seq_len=seq_len,
            vocab_size=vocab_size,
            device=device,
            tell=bar,
        )
    if json:
        return as_json(trained.to_dict())
    _print(trained, model)


class _Bar:
    """The progress of a run on stderr: loss, tokens a second and time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("step {task.completed:,} of {task.fields[steps]}"),
            BarColumn(),
            TextColumn("{task.fields[shown]}"),
            console=console(stderr=True),
        )
        self._task = self._progress.add_task("", total=None, steps="?", shown="preparing")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, progress: Progress) -> None:
        left = progress.seconds_left or 0.0
        loss = "" if progress.loss is None else f"loss {progress.loss:.3f}, "
        self._progress.update(
            self._task,
            total=progress.steps,
            completed=progress.step,
            steps=count(progress.steps),
            shown=f"{loss}{count(round(progress.tokens_per_second))} tokens/s, {int(left // 60)}:{int(left % 60):02d} left",
        )


def _print(trained: Trained, model: str) -> None:
    bits = "bits per byte" if model == "gpt" else "masked bits per byte"
    rows: list[tuple[Any, ...]] = [
        (
            name, f"{100 * c.asked:.1f} %", f"{100 * c.achieved:.1f} %", count(c.tokens), f"{c.epochs:.2f}",
            "-" if c.bits_per_byte is None else f"{c.bits_per_byte:.3f}",
        )
        for name, c in trained.components.items()
    ]  # fmt: skip
    numbers = ("asked", "achieved", "tokens", "epochs", bits)
    table("", ("component", *numbers), rows, right=numbers)
    console().print(
        f"loss {trained.loss_start:.3f} at the start, {trained.loss_end:.3f} at the end, of {count(trained.steps)} "
        f"steps; {count(trained.tokens)} tokens in {trained.seconds:.0f} s, {count(round(trained.tokens_per_second))} a "
        f"second; {count(trained.parameters)} parameters",
        soft_wrap=True,
    )
    console().print(f"wrote the model, its tokenizer and ledger.jsonl to {trained.out}", soft_wrap=True)
