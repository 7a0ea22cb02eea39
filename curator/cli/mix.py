"""`curator mix`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count

if TYPE_CHECKING:
    from curator.mixture import Plan
    from curator.preview import Preview


def mix(
    mixture: Path = typer.Argument(..., help="The mixture file (YAML)."),
    sweep: int = typer.Option(None, "--sweep", min=1, help="Write this many mixtures drawn around the natural one."),
    output: Path = typer.Option(None, "-o", "--output", help="With --sweep: the folder to write; it must not exist."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Show what a mixture would take: documents, tokens, shares and epochs of each component.

    Example: curator mix examples/mixture.yaml
    """
    from curator.corpus import Corpus
    from curator.errors import UsageError
    from curator.export import record
    from curator.mixture import load, plan
    from curator.preview import Preview

    if (sweep is None) != (output is None):
        raise UsageError("--sweep K and -o FOLDER go together: K mixtures are written into the folder")
    opened = Corpus.existing(corpus)
    if sweep is not None:
        from curator.sweep import write_sweep

        runs = write_sweep(opened, load(mixture), sweep, output)
        if json:
            return as_json(runs)
        console().print(f"wrote {count(sweep)} mixtures, ratios.csv and metrics.csv to {output}", soft_wrap=True)
        return None
    planned = plan(opened, load(mixture))
    preview = Preview(planned)
    shown = preview.to_dict()
    record(opened, planned)
    if json:
        return as_json(shown)
    print_plan(planned)
    _print_run(preview)


def print_plan(planned: Plan) -> None:
    """The components in a table, and what they come to."""
    from curator.preview import note

    natural = sum(s.available for s in planned.shares)
    exact = planned.counts.exact
    rows = [
        (
            s.name, count(s.documents), _tokens(s.available, exact[s.name]), f"{100 * s.available / natural:.1f}%",
            _tokens(s.target, exact[s.name]), f"{100 * s.share:.1f}%", f"{s.epochs:.2f}", f"{s.max_epochs:g}",
            f"{100 * s.unique:.0f}%", _tokens(s.effective, exact[s.name]), count(planned.held_out[s.name]), note(s),
        )
        for s in planned.shares
    ]  # fmt: skip
    _table(rows)
    model = planned.mixture.model
    whole = planned.counts.all_exact
    out = console()
    asked = f"{_tokens(planned.tokens, whole)} tokens of {_tokens(planned.budget, True)} asked"
    out.print(f"{asked}; tokens are {planned.counts.described}", soft_wrap=True)
    out.print(f"mixture {model.mixture}, fingerprint {planned.fingerprint}", soft_wrap=True)


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Twelve columns in 110 characters: less room between them than in other tables."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numbers = ("docs", "avail", "natural", "target", "mix", "epochs", "cap", "unique", "eff.tok", "held")
    drawn = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("component", *numbers, "note"):
        drawn.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console().print(drawn)


def _print_run(preview: Preview) -> None:
    planned = preview.planned
    model = planned.mixture.model
    about = "" if planned.counts.all_exact else "about "
    lines = [f"{about}{count(preview.rows)} rows of {model.seq_len}, packed by {model.packing.mode}: no token is lost"]
    if preview.fill is not None:
        lines[0] += f"; rows are {100 * preview.fill:.2f} % full"
    if preview.steps is not None:
        lines.append(f"{count(preview.steps)} steps of {model.batch_tokens:,.0f} tokens")
    if len(preview.stages) > 1:
        for number, stage in enumerate(preview.stages, 1):
            mixed = ", ".join(f"{name} {100 * share:.1f} %" for name, share in stage.shares.items() if share)
            lines.append(f"stage {number} from token {count(stage.token)}, row {count(stage.row)}: {mixed}")
    lines.append(f"{count(sum(planned.unseen.values()))} documents are never seen: the targets do not need them")
    if taken := {n: t for n, t in planned.taken.items() if t}:
        lines.append(
            "earlier components took documents: " + ", ".join(f"{count(t)} from {n}" for n, t in taken.items())
        )
    lines.append(f"held out and trained on: {preview.holdout_overlap} documents")
    if model.proxy is not None:
        share = planned.budget / model.proxy.simulate_target_tokens
        lines.append(f"proxy run: each component is cut to {100 * share:.3g} % of its tokens")
    if preview.shortfall:
        lines.append(preview.shortfall)
    for line in lines:
        console().print(line, soft_wrap=True)


def _tokens(number: float, exact: bool) -> str:
    """1.23M, or ~1.23M where it is estimated."""
    mark = "" if exact else "~"
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{mark}{number / size:.3g}{unit}" if number < 999.5 * size else f"{mark}{number / size:.0f}{unit}"
    return f"{mark}{number:.0f}"
