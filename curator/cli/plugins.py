"""`curator plugins`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from curator.cli.output import JsonOption, as_json, console, table


def plugins(
    name: str = typer.Argument(None, help="Show one plugin in full."),
    plugin: list[Path] = typer.Option([], help="A .py file with plugins."),
    json: bool = JsonOption,
) -> None:
    """List the plugins with kind, origin, options and what they do.

    Example: curator plugins gopher_quality
    """
    from curator.errors import UsageError
    from curator.loading import Plugins
    from curator.registry import suggest

    found = Plugins(tuple(str(p) for p in plugin))
    entries = found.all()
    if name is not None:
        chosen = [e for e in entries if e.name == name]
        if not chosen:
            raise UsageError(f"there is no plugin {name!r}{suggest(name, (e.name for e in entries))}")
        entries = chosen
    described = [_described(e) for e in entries]
    if json:
        return as_json({"plugins": described, "broken": found.broken})
    if name is None:
        table("", ("plugin", "kind", "what it does, options"), [_listed(d) for d in described])
        console().print("\nnext: `curator plugins NAME` says all of one", markup=False)
    else:
        for entry, d in zip(entries, described, strict=True):
            out = console()
            out.print(f"[bold]{d['name']}[/bold]  {d['kind']}, version {d['version']}, from {d['origin']}")
            out.print("\n" + (inspect.getdoc(entry.plugin) or ""), markup=False)
            table(
                "options",
                ("option", "type", "default", ""),
                [(o["name"], o["type"], o["default"], o["help"]) for o in d["options"]],
            )
    for what, error in found.broken.items():
        console(stderr=True).print(f"broken: {what}: {error}", markup=False, style="red")


def _described(entry: Any) -> dict[str, Any]:
    from curator.options import REQUIRED
    from curator.registry import BASES

    common = set(BASES[entry.kind].options())
    options = [
        {
            "name": o.name,
            "type": o.type_name,
            "default": "required" if o.default is REQUIRED else repr(o.default),
            "help": o.help,
            "common": o.name in common,
        }
        for o in entry.plugin.options().values()
    ]
    return {
        "name": entry.name,
        "kind": entry.kind,
        "origin": entry.origin,
        "version": entry.version,
        "doc": entry.doc,
        "options": options,
    }


def _listed(plugin: dict[str, Any]) -> tuple[str, str, str]:
    """A plugin's row: its name, kind, and beside what it does its own options and where it is from."""
    options = ", ".join(o["name"] for o in plugin["options"] if not o["common"])
    origin = "" if plugin["origin"].startswith("corpus-curator ") else f"from {plugin['origin']}"
    told = filter(None, (plugin["doc"], origin, f"({options})" if options else ""))
    return plugin["name"], plugin["kind"], "\n".join(told)
