"""`curator forget`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import Bars, CorpusOption, JsonOption, as_json, console, count, size, table

if TYPE_CHECKING:
    from curator.forgetting import Chosen, Report

SHOWN = 3
LISTED = 20


def forget(
    where: str = typer.Option(None, help="SQL over documents that is true of those to forget."),
    file: Path = typer.Option(
        None, help="A file with an id a line: doc_id, doc_key, source_key or URL; - is standard input."
    ),
    reason: str = typer.Option(..., help="Why, for the tombstones: a takedown's number, a licence."),
    skip_unknown: bool = typer.Option(False, help="Leave out ids that name no document here."),
    copies: bool = typer.Option(True, help="Forget documents of identical text as well."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be forgotten; change nothing."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Remove documents for good, and leave them out of every later run.

    Identical copies go too; near copies, exports and trained models are listed.

    Example: curator forget --where "license = 'CC-BY-NC-4.0'" --reason "not for commercial use" --dry-run
    """
    from curator import forgetting
    from curator.corpus import Corpus
    from curator.errors import UsageError

    if (where is None) == (file is None):
        raise UsageError("give --where SQL or --file IDS, one of the two")
    if not reason.strip():
        raise UsageError("--reason is empty; say why, it is all that will be known of these documents")
    opened = Corpus.existing(corpus)
    ids = None if file is None else _ids(file)
    chosen = forgetting.choose(opened, where=where, ids=ids, copies=copies, skip_unknown=skip_unknown)
    if not json:
        _show(chosen)
    if dry_run:
        if json:
            return as_json(
                {
                    "forgotten": False,
                    "documents": chosen.documents.height,
                    "by_source": chosen.by_source,
                    "identical_copies": chosen.identical_copies,
                    "near_copies": chosen.near_copies,
                    "already": chosen.already,
                }
            )
        console().print("nothing was changed; without --dry-run these documents are forgotten")
        return
    if chosen.documents.height and not yes:
        typer.confirm(
            f"forget {_number(chosen.documents.height, 'document')} for good?", abort=True, err=True
        )
    with Bars() as bars:
        report = forgetting.forget(opened, chosen, reason, stage=bars.stage, advance=bars.advance)
    if json:
        return as_json({"forgotten": bool(report.documents), **report.to_dict()})
    if report.documents:
        _print(report)
    for message in report.messages:
        console().print(message, soft_wrap=True, markup=False)


def _ids(file: Path) -> list[str]:
    if str(file) == "-":
        return sys.stdin.read().splitlines()
    from curator.errors import UsageError

    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--file {file} cannot be read: {error}") from None


def _number(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{count(number)} {thing}s"


def _show(chosen: Chosen) -> None:
    out = console()
    if chosen.already:
        out.print(
            f"forgotten before: {', '.join(chosen.already[:SHOWN])}{' …' if chosen.already[SHOWN:] else ''}",
            soft_wrap=True,
            markup=False,
        )
    if not chosen.documents.height:
        out.print("no document is left to forget")
        return
    columns = ("source", "documents", "identical copies")
    rows = [(s, count(n["named"]), count(n["copies"])) for s, n in chosen.by_source.items()]
    table("", columns, rows, right=columns[1:])
    _list("", chosen.named, SHOWN)
    _list("identical copies, which go too (--no-copies leaves them):", chosen.identical_copies, LISTED)
    if chosen.near_copies:
        _warn_of_near_copies(chosen.near_copies)


def _list(title: str, documents: list[dict[str, Any]], most: int) -> None:
    out = console()
    if documents and title:
        out.print(title)
    for row in documents[:most]:
        line = f"  {row['doc_id']} {row['source']} {row['source_key']} {row['title'] or row['url'] or ''}"
        out.print(line.rstrip(), soft_wrap=True, markup=False)
    if len(documents) > most:
        out.print(f"  and {count(len(documents) - most)} more")


def _warn_of_near_copies(doc_ids: list[int]) -> None:
    listed = ", ".join(map(str, doc_ids[:LISTED]))
    are = "1 near copy stays" if len(doc_ids) == 1 else f"{count(len(doc_ids))} near copies stay"
    more = f"; the first {LISTED}" if len(doc_ids) > LISTED else ""
    console().print(
        f"{are}; see whether they are meant too{more}:\n"
        f'  curator sql "SELECT doc_id, source, source_key, text FROM texts JOIN documents USING (doc_id) WHERE doc_id IN ({listed})"',
        soft_wrap=True,
        markup=False,
    )


def _print(report: Report) -> None:
    out = console()
    removed = f", {count(report.files_removed)} removed" if report.files_removed else ""
    out.print(
        f"forgot {_number(report.documents, 'document')}; {_number(report.files_rewritten, 'file')} rewritten{removed} "
        f"({size(report.bytes_before)} -> {size(report.bytes_after)}), the catalog too ({size(report.catalog_before)} -> "
        f"{size(report.catalog_after)}); {_number(report.reelected, 'cluster')} elected another copy",
        soft_wrap=True,
    )
    if report.exports:
        out.print("out of reach, and marked in export_forgotten:")
        table(
            "",
            ("export", "forgotten in it", "folder"),
            [
                (
                    e.export_id,
                    count(e.documents),
                    f"{e.path}{' (dropped with the cache)' if e.dropped else ''}",
                )
                for e in report.exports
            ],
            right=("export", "forgotten in it"),
        )
        out.print(
            "delete these exports and write them again; what was trained on them has seen the documents",
            soft_wrap=True,
        )
    if report.models:
        out.print("out of reach, and marked in models:")
        table("", ("model", "kind", "file"), [(m["model"], m["kind"], m["path"]) for m in report.models])
        out.print("they may have been trained on these documents: train them again", soft_wrap=True)
    if report.fetched:
        out.print("what was fetched still holds them; delete these files, or edit them:")
        for path in report.fetched[:LISTED]:
            out.print(f"  {path}", soft_wrap=True, markup=False)
        if len(report.fetched) > LISTED:
            out.print(f"  and {count(len(report.fetched) - LISTED)} more")
    out.print(
        "sources are as they were; runs leave these documents out (table tombstones)",
        soft_wrap=True,
    )
