"""`curator train`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table

if TYPE_CHECKING:
    from curator_trainer.estimate import Estimate
    from curator_trainer.ledger import Progress
    from curator_trainer.train import Trained

RUN, MODEL, DATA = "Training", "Model", "Data"


def train(
    export: Path = typer.Argument(None, help="The export to train on (`curator export` writes one)."),
    output: Path = typer.Option(
        None, "-o", "--output", help="Where the model goes; a run that was stopped there goes on."
    ),
    mixture: Path = typer.Option(None, help="Instead of an export: a mixture of the corpus."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show sizes, shares and hours; train nothing."),
    model: str = typer.Option(
        None,
        help="gpt, bert, or a model type of transformers (llama, qwen3, modernbert). (default: gpt)",
        rich_help_panel=MODEL,
    ),
    start: Path = typer.Option(
        None, "--from", help="Go on from a checkpoint folder of transformers instead.", rich_help_panel=MODEL
    ),
    objective: str = typer.Option(
        None, help="causal or masked, for models that have both.", rich_help_panel=MODEL
    ),
    config: list[str] = typer.Option(
        [], metavar="KEY=VALUE", help="Change the model's configuration. Repeatable.", rich_help_panel=MODEL
    ),
    minutes: float = typer.Option(
        None, help="Train for so long; the whole budget unless given.", rich_help_panel=RUN
    ),
    steps: int = typer.Option(None, help="Train for so many steps.", rich_help_panel=RUN),
    batch_tokens: int = typer.Option(
        None, min=1, help="Tokens a step. (default: 2048 on a CPU, else 65536)", rich_help_panel=RUN
    ),
    seed: int = typer.Option(0, help="Of new weights and dropout.", rich_help_panel=RUN),
    device: str = typer.Option("auto", help="auto, cpu or cuda.", rich_help_panel=RUN),
    argument: list[str] = typer.Option(
        [],
        metavar="KEY=VALUE",
        help="Passed to transformers' TrainingArguments: learning_rate=1e-3. Repeatable.",
        rich_help_panel=RUN,
    ),
    seq_len: int = typer.Option(
        None, min=8, help="Tokens a row; the mixture's unless given.", rich_help_panel=DATA
    ),
    vocab_size: int = typer.Option(
        None,
        help="Of the tokenizer to train, where the mixture names none. (default: 8192)",
        rich_help_panel=DATA,
    ),
    mask_rate: float = typer.Option(
        0.30, help="Share of tokens that a masked model is asked for.", rich_help_panel=DATA
    ),
    whole_word: bool = typer.Option(
        False, "--whole-word", help="Mask all tokens of a word, or none.", rich_help_panel=DATA
    ),
    held_out_tokens: int = typer.Option(
        65_536, min=0, help="To measure bits per byte on; 0 for not at all.", rich_help_panel=DATA
    ),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Train a language model on an export; a tokenizer is trained first where the export has none.

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
    if output is None and not dry_run:
        raise UsageError("where is the model to go? give -o FOLDER, or --dry-run to train nothing")
    options = {
        "model": model, "start": start, "objective": objective, "config": _pairs("--config", config),
        "minutes": minutes, "steps": steps, "batch_tokens": batch_tokens, "seed": seed, "device": device,
        "arguments": _pairs("--argument", argument), "seq_len": seq_len, "vocab_size": vocab_size,
        "mask_rate": mask_rate, "whole_word": whole_word, "held_out_tokens": held_out_tokens,
    }  # fmt: skip
    folder = cached_export(corpus, mixture) if export is None else export
    # OpenMP's threads spin while they wait, which on a shared machine made a step three times as long; read at import
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if dry_run:
        from curator_trainer.estimate import estimate

        estimated = estimate(folder, **options)  # type: ignore[arg-type]  # prepare checks them
        return as_json(estimated.to_dict()) if json else _print_estimate(estimated)

    from curator_trainer.train import train as run

    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts
    try:
        with _Bar(shown=first) as bar:
            trained = run(folder, output, tell=bar, **options)  # type: ignore[arg-type]  # prepare checks them
    except KeyboardInterrupt:
        if first and (output / "run.json").is_file():
            _record(corpus, output)
        raise
    if trained is None:
        return None
    recorded = _record(corpus, trained.out)
    if json:
        return as_json(trained.to_dict())
    _print(trained)
    console().print(recorded, soft_wrap=True)


def _pairs(option: str, given: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE, the value a YAML scalar, and 1e-3 a number, which YAML takes for a text."""
    import yaml

    from curator.errors import UsageError

    found: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {pair!r}: give KEY=VALUE, as in {option} {_EXAMPLES[option]}")
        try:
            found[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{option} {pair!r}: the value is no YAML: {error}") from None
        if isinstance(found[key], str):
            try:
                found[key] = float(text)
            except ValueError:
                continue
    return found


_EXAMPLES = {"--config": "num_hidden_layers=2", "--argument": "learning_rate=1e-3"}


def _record(corpus: Path, out: Path) -> str:
    """Store the training in the corpus, if there is one; what came of that, for a person."""
    from curator.corpus import Corpus
    from curator.errors import CuratorError
    from curator.trainings import record

    if not Corpus(corpus).catalog.exists():
        return f"note: there is no corpus in {str(corpus)!r} to record the training in; -c names one"
    try:
        recorded = record(corpus, out)
    except CuratorError as error:
        return f"note: the training is not in the corpus {str(corpus)!r}: {error}"
    number = f"training {recorded.training_id} of the corpus {str(corpus)!r}"
    if recorded.export_id is None:
        return f"{number}; note: that corpus does not know the export, so export_id is NULL"
    return f"{number}, on its export {recorded.export_id}; `curator sql` has trainings, training_components and ledger"


class _Bar:
    """The progress of a run on stderr: loss, tokens a second and time left."""

    def __init__(self, *, shown: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("step {task.completed:,} of {task.fields[steps]}"),
            BarColumn(),
            TextColumn("{task.fields[shown]}"),
            console=console(stderr=True),
            disable=not shown,
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


def _print(trained: Trained) -> None:
    bits = "bits per byte" if trained.objective == "causal" else "masked bits per byte"
    rows: list[tuple[Any, ...]] = [
        (
            name, f"{100 * c.asked:.1f} %", f"{100 * c.achieved:.1f} %", count(c.tokens), f"{c.epochs:.2f}",
            *_change(c.bits_per_byte_start, c.bits_per_byte_end),
        )
        for name, c in trained.components.items()
    ]  # fmt: skip
    numbers = ("asked", "achieved", "tokens", "epochs", bits, "change")
    table("", ("component", *numbers), rows, right=numbers)
    out = console()
    out.print(
        f"loss {trained.loss_start:.3f} at the start, {trained.loss_end:.3f} at the end, of {count(trained.steps)} "
        f"steps; {count(trained.tokens)} tokens in {trained.seconds:.0f} s, {count(round(trained.tokens_per_second))} a "
        f"second; {count(trained.parameters)} parameters",
        soft_wrap=True,
    )
    _print_limit(trained)
    out.print(f"wrote the model, its tokenizer and ledger.jsonl to {trained.out}", soft_wrap=True)


def _change(start: float | None, end: float | None) -> tuple[str, str]:
    if start is None or end is None:
        return ("-", "-")
    return (f"{start:.3f} -> {end:.3f}", f"{end - start:+.3f}")


def _print_limit(found: Trained | Estimate) -> None:
    if found.limited_by:
        seen = found.components[found.limited_by]
        console().print(
            f"the plan is shorter than the mixture's tokens: limited by {found.limited_by}, which is seen "
            f"{seen.epochs:.2f} times here and no more than its max_epochs in the whole plan",
            soft_wrap=True,
        )


def _print_estimate(found: Estimate) -> None:
    rows: list[tuple[Any, ...]] = [
        (name, f"{100 * c.asked:.1f} %", f"{100 * c.achieved:.1f} %", count(c.tokens), f"{c.epochs:.2f}")
        for name, c in found.components.items()
    ]
    numbers = ("asked", "achieved", "tokens", "epochs")
    table("", ("component", *numbers), rows, right=numbers)
    out = console()
    out.print(
        f"{found.kind}, {found.objective}: {count(found.parameters)} parameters; {count(found.tokens)} tokens, "
        f"{found.tokens_a_parameter:.1f} a parameter; {count(found.steps)} steps of {count(found.rows_a_step)} rows of "
        f"{count(found.seq_len)}",
        soft_wrap=True,
    )
    _print_limit(found)
    measured = f"{count(found.measured_steps)} measured step{'s' * (found.measured_steps > 1)}"
    out.print(
        f"about {found.hours:.2f} hours, at {found.seconds_a_step:.3f} s a step, the mean of {measured}; nothing was kept",
        soft_wrap=True,
    )
