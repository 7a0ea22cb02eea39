"""`curator decide`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curator.cli.output import JsonOption, as_json, console, count, share, table

if TYPE_CHECKING:
    from curator.redeciding import Decided


def decide(
    recipe: Path = typer.Argument(..., help="The recipe file."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would change; write nothing."),
    set_: list[str] = typer.Option([], "--set", help="A rule option, as STEP.OPTION=VALUE; may be repeated."),
    accept: bool = typer.Option(False, help="Go on where a guard would stop."),
    corpus: Path = typer.Option(None, "--corpus", "-c", help="The corpus folder, instead of the recipe's."),
    unredacted: bool = typer.Option(False, help="Show sampled text as it is."),
    json: bool = JsonOption,
) -> None:
    """Decide again from stored signals, without reading text.

    Example: curator decide examples/quickstart.yaml --dry-run --set gopher_quality.min_words=80
    """
    from dataclasses import asdict

    from curator import recipe as recipes
    from curator.errors import GuardError, UsageError
    from curator.redeciding import decide as decide_again

    changes = {}
    for change in set_:
        target, equals, value = change.partition("=")
        if not equals or "." not in target:
            raise UsageError(f"--set {change!r}: write STEP.OPTION=VALUE, as gopher_quality.min_words=80")
        changes[target] = value
    loaded = recipes.load(str(recipe)).with_options(changes)
    result = decide_again(loaded, corpus=corpus, dry_run=dry_run, accept=accept)
    if json:
        as_json(
            {
                "written": result.written,
                "counts": result.funnel.counts,
                "flips": asdict(result.flips),
                "guard": result.guard,
            }
        )
    else:
        _print(result, Path(corpus or loaded.corpus), unredacted)
    if result.guard:
        raise GuardError(result.guard)


def _print(result: Decided, corpus: Path, unredacted: bool) -> None:
    from curator.corpus import Corpus
    from curator.redact import redact

    out = console()
    f, flips = result.funnel, result.flips
    if flips.first:
        out.print("this recipe had no decisions yet")
    verb = "are" if result.written else "would be"
    out.print(
        f"{count(f.kept)} of {count(f.documents)} documents {verb} kept ({share(f.kept, f.documents)}); "
        f"{count(flips.gained)} gained, {count(flips.lost)} lost",
        soft_wrap=True,
    )
    if flips.newly_pending or f.pending:
        out.print(
            f"{count(f.pending)} pending, {count(flips.newly_pending)} of them by this change: the next curator run measures them"
        )
    rows = [(f"+ no longer {r}", count(n)) for r, n in flips.gained_by.items()]
    rows += [(f"- now {r}", count(n)) for r, n in flips.lost_by.items()]
    if rows and not flips.first:
        table("", ("by rule", "documents"), rows, right=("documents",))
        table(
            "",
            ("source", "gained", "lost"),
            [(s, count(g), count(lost)) for s, (g, lost) in flips.by_source.items()],
            right=("gained", "lost"),
        )
        opened = Corpus.existing(corpus)
        ids = [doc_id for listed in flips.samples.values() for doc_id in listed]
        listed_ids = ", ".join(map(str, ids))  # as literals, so that only their row groups are read
        texts = dict(
            opened.sql(f"SELECT doc_id, text[:200] FROM texts WHERE doc_id IN ({listed_ids})").rows()
        )
        shown = []
        for name, listed in flips.samples.items():
            for doc_id in listed:
                text = texts[doc_id] if unredacted else redact(texts[doc_id])
                shown.append((name, doc_id, " ".join(text.split())[:90]))
        table("five of each", ("", "document", "text"), shown)
    if not result.written:
        out.print("nothing was written; without --dry-run these decisions are put in force")
