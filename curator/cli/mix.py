"""`curator mix`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table

if TYPE_CHECKING:
    from curator.mixture import Plan


def mix(
    mixture: Path = typer.Argument(..., help="The mixture file (YAML)."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Show what a mixture would take: documents, tokens, shares and epochs of each component.

    Example: curator mix examples/mixture.yaml
    """
    from curator.corpus import Corpus
    from curator.export import record
    from curator.mixture import load, plan

    opened = Corpus.existing(corpus)
    planned = plan(opened, load(mixture))
    record(opened, planned)
    if json:
        return as_json(planned.to_dict())
    print_plan(planned)


def print_plan(planned: Plan) -> None:
    natural = sum(s.available for s in planned.shares)
    rows = []
    for s in planned.shares:
        note = "at its cap" if s.capped else "down-sampled" if s.epochs < 0.995 else ""
        rows.append(
            (
                s.name, count(s.documents), _tokens(s.available), f"{100 * s.available / natural:.1f} %", _tokens(s.target),
                f"{100 * s.share:.1f} %", f"{s.epochs:.2f}", f"{s.max_epochs:g}", count(planned.held_out[s.name]), note,
            )
        )  # fmt: skip
    numbers = ("documents", "available", "natural", "target", "share", "epochs", "cap", "held out")
    table("", ("component", *numbers, ""), rows, right=numbers)
    model = planned.mixture.model
    total = sum(s.target for s in planned.shares)
    out = console()
    out.print(
        f"{_tokens(total)} tokens of {_tokens(planned.budget)} asked, {count(round(total / model.seq_len))} rows of "
        f"{model.seq_len}; tokens are an {planned.tokenizer}", soft_wrap=True,
    )  # fmt: skip
    out.print(f"mixture {model.mixture}, fingerprint {planned.fingerprint}", soft_wrap=True)


def _tokens(number: float) -> str:
    """~1.2M: token figures are estimates until a tokenizer has counted."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"~{number / size:.2f}{unit}"
    return f"~{number:.0f}"
