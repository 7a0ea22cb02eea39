"""`curator check`."""

from __future__ import annotations

from pathlib import Path

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table


def check(
    corpus: Path = CorpusOption,
    digest: bool = typer.Option(
        False, "--digest", help="Print one hash of texts, signals, decisions, edges and clusters."
    ),
    repair: bool = typer.Option(
        False, "--repair", help="Take out what is damaged, so that the next run makes it again."
    ),
    json: bool = JsonOption,
) -> None:
    """Verify every file against what was registered.

    Example: curator check --digest
    """
    from curator import verify
    from curator.corpus import Corpus

    opened = Corpus.existing(corpus)
    found = verify.check(opened)
    done = verify.repair(opened, found) if repair else []
    summary = verify.digest(opened) if digest and found.ok else None
    if json:
        as_json(
            {
                "files": found.files,
                "damaged": found.damaged,
                "orphans": found.orphans,
                "repaired": done,
                "digest": summary,
            }
        )
    else:
        out = console()
        out.print(
            f"{count(found.files)} files checked, {count(len(found.damaged))} damaged, {count(len(found.orphans))} not registered"
        )
        if found.damaged:
            table("", ("shard", "measure", "file", "problem"), found.damaged)
        for line in done:
            out.print(line, markup=False, soft_wrap=True)
        if summary:
            out.print(summary)
        elif found.damaged and not repair:
            out.print(
                "curator check --repair takes the damaged files out; the next curator run makes them again"
            )
    if not found.ok and not repair:
        raise typer.Exit(1)
