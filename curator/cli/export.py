"""`curator export`."""

from __future__ import annotations

from pathlib import Path

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count


def export(
    mixture: Path = typer.Argument(None, help="The mixture file."),
    where: str = typer.Option(None, help="Instead of a mixture: kept documents where this SQL holds, once."),
    to: str = typer.Option("parquet", "--to", help="Format: parquet, jsonl, or a plugin's."),
    output: Path = typer.Option(..., "-o", "--output", help="The folder to write; it must not exist."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Write the documents of a mixture for training, with a manifest.

    Example: curator export examples/mixture.yaml --to parquet -o export
    """
    from rich.progress import Progress

    from curator.cli.mix import print_plan
    from curator.corpus import Corpus
    from curator.errors import UsageError
    from curator.export import export as write
    from curator.mixture import load, of_query, plan

    if (mixture is None) == (where is None):
        raise UsageError("give a mixture file or --where SQL, one of the two")
    opened = Corpus.existing(corpus)
    planned = plan(opened, load(mixture) if where is None else of_query(where))
    with Progress(console=console(stderr=True)) as progress:
        bar = progress.add_task("exporting", total=planned.documents.height)
        manifest = write(opened, planned, to, output, advance=lambda n: progress.advance(bar, n))
    if json:
        return as_json(manifest)
    print_plan(planned)
    size = sum(f["bytes"] for f in manifest["files"].values())
    from curator.cli.output import size as shown

    console().print(
        f"wrote {count(planned.documents.height)} documents, {shown(size)}, to {output}", soft_wrap=True
    )
