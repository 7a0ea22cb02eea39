"""`curator domain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, size, table

if TYPE_CHECKING:
    from curator_plugins.classifiers.training import Trained

app = typer.Typer(no_args_is_help=True, help="Train models that tell a document's domain.")


@app.callback()
def _group() -> None:
    """Train models that tell a document's domain."""


@app.command("train")
def train(
    labels: str = typer.Option(..., "--labels", help="One SELECT of two columns: a text and its label."),
    output: Path = typer.Option(
        ..., "--output", "-o", help="The model's file, as model.ftz; .json beside it."
    ),
    corpus: Path = CorpusOption,
    name: str = typer.Option("domain", help="What the catalog calls the model."),
    max_chars: int = typer.Option(2000, min=1, help="Characters that are read of each text."),
    seed: int = typer.Option(0, min=0, help="Of the training's random numbers."),
    force: bool = typer.Option(False, "--force", help="Write over an existing model."),
    json: bool = JsonOption,
) -> None:
    """Train a fastText model on any query over the corpus, and score it on a held-out fifth.

    Rows without a label are left out. The model, the query and the scores are stored in table models.

    Example: curator domain train -o model.ftz --labels "SELECT text, declared_domain FROM texts JOIN documents USING (doc_id) WHERE kept"
    """
    from dataclasses import asdict

    from curator.corpus import Corpus
    from curator_plugins.classifiers import training

    trained = training.train(
        Corpus.existing(corpus), labels, output, name=name, max_chars=max_chars, seed=seed, force=force
    )
    if json:
        return as_json(asdict(trained))
    _print(trained)


def _print(trained: Trained) -> None:
    figures = ("documents", "held out", "precision", "recall", "F1")
    table(
        "",
        ("label", *figures),
        [
            (
                s.label,
                count(s.documents),
                count(s.held_out),
                _share(s.precision),
                _share(s.recall),
                _share(s.f1),
            )
            for s in trained.scores
        ],
        right=figures,
    )
    out = console()
    out.print(
        f"macro-F1 {_share(trained.macro_f1)} on held-out documents; {trained.path}: {size(trained.bytes)}",
        markup=False,
    )
    for label, documents in trained.left_out.items():
        out.print(f"label {label!r} left out: {count(documents)} documents are too few", markup=False)
    if trained.copies or trained.contradictions:
        out.print(
            f"left out besides: {count(trained.copies)} copies, "
            f"{count(trained.contradictions)} rows whose text has several labels"
        )
    out.print(
        f"next: put `- domain: {{model: {trained.path}}}` among the steps of a recipe (relative to it), and run it",
        markup=False,
        soft_wrap=True,
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
