"""`curator export` and `curator lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import Bars, CorpusOption, JsonOption, as_json, console, count, size, table

if TYPE_CHECKING:
    from curator.lineage import Piece


def export(
    mixture: Path = typer.Argument(None, help="The mixture file."),
    where: str = typer.Option(None, help="Instead of a mixture: kept documents where this SQL holds, once."),
    to: list[str] = typer.Option(
        ["parquet"], "--to", help="Format; may be repeated. `curator plugins` lists them."
    ),
    output: Path = typer.Option(
        None, "-o", "--output", help="The folder to write; it must not exist. An interrupted export goes on."
    ),
    set_: list[str] = typer.Option([], "--set", help="An option of a format, as FORMAT.OPTION=VALUE."),
    tokenizer: Path = typer.Option(None, help="Instead of the mixture's: a tokenizer.json, or a checkpoint's folder."),
    blended: bool = typer.Option(
        False, "--blended", help="One stream with repeats, in training order, instead of a dataset a component."
    ),
    whole: bool = typer.Option(
        False, "--whole", help="Every document of a component, also those that its target does not need."
    ),
    reuse: Path = typer.Option(None, help="An export whose files are linked where they would be the same."),
    plugin: list[Path] = typer.Option([], help="A .py file with a format of its own."),
    verify: Path = typer.Option(None, help="Compute the hashes of this export again, and write nothing."),
    rebuild: Path = typer.Option(None, help="Write the export of this manifest.json again, the same bytes."),
    workers: int = typer.Option(None, "-w", "--workers", min=1, help="Processes that tokenize; one a core unless given."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Write the documents of a mixture for training, with a manifest.

    Example: curator export examples/mixture.yaml --to parquet -o export
    """
    from curator.errors import UsageError

    given = [n for n, v in (("MIXTURE", mixture), ("--where", where), ("--verify", verify), ("--rebuild", rebuild)) if v]
    if len(given) != 1:
        raise UsageError(f"give one of MIXTURE, --where, --verify and --rebuild{', not ' + ' and '.join(given) if given else ''}")
    if verify:
        return _verify(verify, json)
    if output is None:
        raise UsageError("name the folder to write: -o FOLDER")
    from curator.corpus import Corpus
    from curator.engines.local import LocalEngine
    from curator.export import export as write
    from curator.mixture import load, of_query

    opened = Corpus.existing(corpus)
    engine, files = LocalEngine(workers), [str(p) for p in plugin]
    if rebuild:
        from curator.rebuilding import rebuild as write_again

        with Bars(in_bytes=False) as bars:
            manifest = write_again(opened, rebuild, output, engine, bars, files)
        if json:
            return as_json(manifest)
        console().print(f"{output} is, byte for byte, what {rebuild} says", soft_wrap=True)
        return
    formats: dict[str, dict[str, Any]] = {name: {} for names in to for name in names.split(",")}
    for change in set_:
        _add_option(formats, change)
    asked = load(mixture) if where is None else of_query(where)
    if tokenizer is not None:
        asked = asked.with_tokenizer(tokenizer)
    with Bars(in_bytes=False) as bars:
        planned, manifest = write(
            opened, asked, formats, output, blended=blended, whole=whole, reuse=reuse, plugins=files, engine=engine,
            progress=bars,
        )
    if json:
        return as_json(manifest)
    from curator.cli.mix import print_plan

    print_plan(planned)
    written = sum({(f := (output / p).stat()).st_ino: f.st_size for p in manifest["files"]}.values())
    console().print(
        f"wrote {count(planned.documents.height)} documents as {', '.join(formats)}, {size(written)}, to {output}",
        soft_wrap=True,
    )


def _add_option(formats: dict[str, dict[str, Any]], change: str) -> None:
    from curator import yamlfile
    from curator.errors import UsageError

    target, equals, value = change.partition("=")
    format, dot, option = target.partition(".")
    if not equals or not dot:
        raise UsageError(f"--set {change}: write FORMAT.OPTION=VALUE, as jsonl.compression=gz")
    if format not in formats:
        raise UsageError(f"--set {change}: {format!r} is not exported; --to names {', '.join(formats)}")
    formats[format][option] = yamlfile.value(value)


def _verify(folder: Path, json: bool) -> None:
    from curator.manifest import read_manifest
    from curator.rebuilding import verify

    read_manifest(folder)
    with Bars() as bars:
        bars.stage("reading", sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
        found = verify(folder, lambda size: bars.advance(size, 0))
    if json:
        as_json({"files": found.files, "bytes": found.bytes, "damaged": dict(found.damaged), "unknown": found.unknown})
    else:
        for path, what in found.damaged:
            print(f"{path} {what}")
        for path in found.unknown:
            print(f"{path} is not in the manifest")
        print(f"{count(found.files)} files, {size(found.bytes)}: {'all as written' if found.ok else 'NOT as written'}")
    if not found.ok:
        raise typer.Exit(1)


def lineage(
    export: Path = typer.Argument(..., help="An export, or the folder of a model that was trained on one."),
    row: list[int] = typer.Option(None, help="A row of the training, from 0; may be repeated."),
    step: int = typer.Option(None, help="A step of the training, from 1, as ledger.jsonl counts them."),
    rows_a_step: int = typer.Option(None, min=1, help="Rows that a step takes; a model's folder knows it."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """List the documents that a row or a step of a training is made of, with their sources and decisions.

    Example: curator lineage model --step 10
    """
    from curator.corpus import Corpus
    from curator.errors import UsageError
    from curator.lineage import decided, rows_of_step, training
    from curator.lineage import lineage as pieces_of

    run: dict[str, Any] = {}
    if (export / "run.json").is_file():
        export, run = training(export)
        rows_a_step = rows_a_step or run["rows_a_step"]
    if bool(row) == (step is not None):
        raise UsageError("give --row N, or --step K, one of the two")
    if step is not None and rows_a_step is None:
        raise UsageError(f"{export} does not say how many rows a step took: give --rows-a-step, or the model's folder")
    rows = row or list(rows_of_step(step, rows_a_step))
    pieces = pieces_of(export, rows, run or None)
    opened = Corpus(corpus)
    if opened.catalog.exists():
        pieces = decided(opened, pieces)
    if json:
        return as_json([p.to_dict() for p in pieces])
    _print_pieces(pieces)
    if not opened.catalog.exists():
        console(stderr=True).print(f"there is no corpus {corpus}, so decisions are not shown; -c names it", soft_wrap=True)


def _print_pieces(pieces: list[Piece]) -> None:
    rows = [
        (
            p.row, p.component, p.epoch, p.doc_id, p.source, p.source_key, f"{p.start:,}-{p.stop:,} of {p.tokens:,}",
            p.reason or p.decision or "",
        )
        for p in pieces
    ]  # fmt: skip
    columns = ("row", "component", "epoch", "document", "source", "source_key", "tokens", "decision")
    table("", columns, rows, right=("row", "epoch", "document", "tokens"))
    documents = len({p.doc_key for p in pieces})
    console().print(f"{count(documents)} documents in {count(len({p.row for p in pieces}))} rows", soft_wrap=True)
