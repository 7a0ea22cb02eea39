"""Help, version, listing of plugins; what stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from curator import __version__
from curator.cli import app
from tests.cli.conftest import call
from tests.host.test_filter_levels import SHORT_LINES

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # it is a group
HEAVY = "polars duckdb numba pyarrow torch transformers spacy sqlalchemy fasttext pydantic pandas scipy datasketch ftfy"


def python(*arguments: str, folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    return ended.stdout


def test_the_commands() -> None:
    """The commands of this stage are there."""
    assert {"run", "status", "sql", "why", "decide", "check", "init", "plugins"} <= set(COMMANDS)


def test_help_lists_every_command(tmp_path: Path) -> None:
    """`curator --help` names each with its first line; without a command it is the same."""
    ended = call("--help", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    for command in COMMANDS:
        assert f" {command} " in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_has_an_example(command: str, tmp_path: Path) -> None:
    """Every --help shows a call of the command itself."""
    ended = call(command, "--help", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert f"Example: curator {command} " in ended.out


def test_the_version(tmp_path: Path) -> None:
    """--version, and `python -m curator`."""
    assert call("--version", folder=tmp_path).out == f"curator {__version__}\n"
    assert python("-m", "curator", "--version", folder=tmp_path) == f"curator {__version__}\n"


@pytest.mark.parametrize("code", ["import curator", "from curator.cli import main; main()"])
def test_nothing_heavy_is_imported(code: str, tmp_path: Path) -> None:
    """`import curator` and `curator --help` load none of the large libraries."""
    listed = f"import sys, atexit; sys.argv = ['curator', '--help']; atexit.register(lambda: print('\\n', [m for m in {HEAVY!r}.split() if m in sys.modules]))"
    assert python("-c", f"{listed}; {code}", folder=tmp_path).splitlines()[-1].strip() == "[]"


def test_plugins_are_listed_with_options_and_origin(tmp_path: Path) -> None:
    """Name, kind, origin, options with types and defaults, first line of the docstring."""
    (tmp_path / "short_lines.py").write_text(SHORT_LINES)
    ended = call("plugins", "--plugin", "short_lines.py", "--json", folder=tmp_path)
    told = {(p["kind"], p["name"]): p for p in json.loads(ended.out)["plugins"]}
    assert (ended.code, json.loads(ended.out)["broken"]) == (0, {})
    assert told["filter", "short_lines"] == {
        "name": "short_lines",
        "kind": "filter",
        "origin": str(tmp_path / "short_lines.py"),
        "version": told["filter", "short_lines"]["version"],
        "doc": "Drop documents whose lines are short on average.",
        "options": [{"name": "min_chars", "type": "float", "default": "20.0", "help": "", "common": False}],
    }
    assert told["filter", "signal"]["options"][0]["default"] == "required"
    assert {("source", "jsonl"), ("dedup", "minhash"), ("cleaner", "fix_unicode")} < set(told)
    shown = call("plugins", "--plugin", "short_lines.py", folder=tmp_path)
    assert (shown.code, shown.err) == (0, "")
    assert "gopher_quality" in shown.out


def test_one_plugin_in_full(tmp_path: Path) -> None:
    """Its docstring and a table of options; an unknown one is suggested."""
    ended = call("plugins", "language", folder=tmp_path)
    assert ended.code == 0
    assert "lid176" in ended.out
    assert ["max_chars", "int | None", "None", "characters that are read; null reads all"] in ended.cells()
    wrong = call("plugins", "langage", folder=tmp_path)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "curator: there is no plugin 'langage'; did you mean 'language'?\n"


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    """`curator plugins | head -1` ends quietly."""
    command = f"{sys.executable} -m curator plugins --json | head -c 1"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_commands_of_plugins_are_listed_by_name(tmp_path: Path) -> None:
    """`curator --help` names the commands that come in by entry points."""
    listed = [line.replace("│", "").split()[:1] for line in call("--help", folder=tmp_path).out.splitlines()]
    assert ["domain"] in listed
