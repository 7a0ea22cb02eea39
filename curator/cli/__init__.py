"""The command line: parsing and printing only. Heavy modules are imported inside the commands."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from curator import __version__
from curator.cli import check, decide, export, forget, mix, plugins, query, run, sources, tokenizer, train
from curator.cli.output import errors
from curator.errors import PluginError


class _Commands(TyperGroup):
    """Our commands and those of entry-point group `curator.commands`, loaded when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(p.name for p in entry_points(group="curator.commands"))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            for point in entry_points(group="curator.commands", name=cmd_name):
                try:
                    loaded = point.load()
                except (Exception, SystemExit) as error:  # a plugin's import may raise anything
                    loaded = _broken(point, error)
                command = typer.main.get_command(loaded) if isinstance(loaded, typer.Typer) else loaded
                command.name = cmd_name  # the help lists it by this
                return command
        return found


def _broken(point: EntryPoint, error: BaseException) -> typer.Typer:
    """In place of a command that cannot be loaded: it says so when called, and spoils no other."""
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    instead = typer.Typer()

    @instead.command(point.name, help=f"Cannot be loaded ({origin}).")
    def fail() -> None:
        raise PluginError(f"{origin} command {point.name} failed to load: {type(error).__name__}: {error}")

    return instead


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn raw text into a corpus you can trust: measure once, decide in SQL.",
)
app.command("run")(run.run)
app.command("status")(query.status)
app.command("sql")(query.sql)
app.command("why")(query.why)
app.command("decide")(decide.decide)
app.command("mix")(mix.mix)
app.add_typer(sources.app, name="sources")
app.add_typer(tokenizer.app, name="tokenizer")
app.command("export")(export.export)
app.command("lineage")(export.lineage)
app.command("train")(train.train)
app.command("forget")(forget.forget)
app.command("check")(check.check)
app.command("init")(run.init)
app.command("plugins")(plugins.plugins)


def _version(value: bool) -> None:
    if value:
        print(f"curator {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Turn raw text into a corpus you can trust: measure once, decide in SQL."""


def main() -> None:
    """The console script: exit codes 0 done, 1 failed, 2 wrong usage, 3 stopped by a guard."""
    with errors():
        app()
    sys.exit(0)
