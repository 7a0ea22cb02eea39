"""`curator sources`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import Bars, as_json, characters, console, count, size

if TYPE_CHECKING:
    from curator.source_preview import SourcePreview

SHOWN = 300  #: characters of a text or of metadata that a preview shows

app = typer.Typer(
    no_args_is_help=True,
    help="Look at sources before they are read.\n\nExample: curator sources preview recipe.yaml",
)


@app.callback()
def _group() -> None:
    """Keeps `preview` a command of its own while it is the only one."""


@app.command()
def preview(
    target: str = typer.Argument(..., help="A recipe, or a file, folder, glob or address to read."),
    documents: int = typer.Option(5, "-n", min=0, help="Documents to show of each source."),
    source: list[str] = typer.Option([], help="Of a recipe, only this source; may be given several times."),
    as_: str = typer.Option(None, "--as", help="The plugin that reads the path; its name tells, unless given."),
    set_: list[str] = typer.Option([], "--set", help="An option of the plugin, as text=body."),
    plugin: list[Path] = typer.Option([], help="A .py file with plugins, beside the recipe's own."),
    unredacted: bool = typer.Option(False, help="Show texts as they are."),
    as_json_: bool = typer.Option(False, "--json", help="Print JSON for programs."),
) -> None:
    """Show what would be read: splits, documents, and the first ones with their metadata. Nothing is written.

    Example: curator sources preview "data/*.jsonl.gz" --set text=body -n 2
    """
    from curator.errors import UsageError
    from curator.recipe import load
    from curator.registry import suggest
    from curator.source_preview import preview_source, recipe_of

    extra = tuple(str(p) for p in plugin)
    if Path(target).suffix in (".yaml", ".yml") and as_ is None:
        recipe = load(target, extra_plugins=extra)
        if set_:
            raise UsageError("--set is for a path; a recipe's options stand in the recipe")
    else:
        pairs = [given.partition("=") for given in set_]
        for name, equals, _ in pairs:
            if not equals:
                raise UsageError(f"--set {name}: give NAME=VALUE")
        recipe = recipe_of(target, as_, {name: value for name, _, value in pairs}, extra)
    names = [s.name for s in recipe.sources]
    for name in source:
        if name not in names:
            raise UsageError(f"--source {name}: {target} has no source {name!r}{suggest(name, names)}")
    found = []
    for used in recipe.sources:
        if not source or used.name in source:
            with Bars() as bars:
                found.append(preview_source(used, recipe, documents, bars))
            if not as_json_:
                _print(found[-1], unredacted)
    if as_json_:
        as_json([{**dataclasses.asdict(f), "reasons": f.reasons} for f in found])


def _print(found: SourcePreview, unredacted: bool) -> None:
    out = console()
    documents = count(found.documents) if found.exact else f"about {characters(found.documents)}"
    where = f"{_of(found.uris, 'file')}, {_of(found.parts, 'part')} in {_of(found.splits, 'split')}"
    note = f" ({found.note})" if found.note else ""
    out.print(f"[bold]{found.name}[/bold]  {found.plugin}: {documents} documents, ", end="")
    out.print(f"{size(found.size)} of text; {where}{note}", markup=False, soft_wrap=True)
    for document in found.first:
        out.print()
        for name, value in document.items():
            if value is not None and name != "source":
                out.print(f"  {name:<15} {_shown(name, value, unredacted)}", markup=False, soft_wrap=True)
    if found.quarantined:
        looked_at = ", ".join(f"{n} {reason}" for reason, n in found.reasons.most_common())
        out.print(f"\n  quarantined, of those looked at: {looked_at}", markup=False, soft_wrap=True)
        for first in [q for q in found.quarantined if q.position != "*"][:1]:
            out.print(f"  as {first.uri} at {first.position}: {first.detail}", markup=False, soft_wrap=True)
    out.print()


def _shown(name: str, value: Any, unredacted: bool) -> str:
    from curator.redact import redact

    text = _redacted(json.loads(value)) if name == "metadata" and not unredacted else str(value)
    shown = " ".join(text[: 2 * SHOWN].split())
    shown = redact(shown) if name == "text" and not unredacted else shown
    more = f"… ({count(len(text))} characters)" if len(shown) > SHOWN else ""
    return shown[:SHOWN] + more


def _redacted(metadata: dict[str, Any]) -> str:
    """The metadata with its strings redacted; numbers are no contact details."""
    from curator.redact import redact

    shown = {k: redact(v) if isinstance(v, str) else v for k, v in metadata.items()}
    return json.dumps(shown, ensure_ascii=False)


def _of(n: int, what: str) -> str:
    return f"{count(n)} {what}{'s' * (n != 1)}"
