"""Keeps README.md true: `--write` runs its commands and puts what they print back; a test compares.

A block that begins with ```console holds commands (`$ …`) and their output. What changes from run to run
(seconds, rates, times) is masked for comparing. Between the `commands` marks stands every command's --help.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
REFERENCE = re.compile(r"(<!-- commands -->\n).*?(<!-- /commands -->)", re.DOTALL)
CHANGING = re.compile(r"[\d,]+(\.\d+)? (?=s\b|MB/s|core hours|a second)|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|[0-9a-f]{32}|\b\d+\.\d{3}\b")
COMMANDS = ("run", "sources preview", "status", "sql", "why", "decide", "domain train", "contamination", "mix", "tokenizer train", "tokenizer count", "export", "lineage", "train", "forget", "check", "init", "plugins")


def environment() -> dict[str, str]:
    """A terminal of 110 columns without colours, and the installed scripts in reach."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    plain = {"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1", "PATH": path, "PYTHONWARNINGS": "ignore"}
    return {k: v for k, v in os.environ.items() if not k.startswith("CURATOR_")} | plain


def run(command: str, folder: Path, variables: dict[str, str]) -> str:
    """What a command of the README prints on stdout; `export A=b` is remembered."""
    if match := re.fullmatch(r"export (\w+)=(\S+)", command):
        variables[match[1]] = match[2]
        return ""
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return (
        "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n") + "\n"
        if done.stdout
        else ""
    )


def rendered(text: str) -> str:
    """The README with every block's output made anew."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ignore = shutil.ignore_patterns("corpus*", "__pycache__")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignore)
        variables: dict[str, str] = {}

        def fill(match: re.Match[str]) -> str:
            lines = []
            for command in re.findall(r"^\$ (.*)$", match[1], re.MULTILINE):
                lines.append(f"$ {command}\n{run(command, folder, variables)}")
            return "```console\n" + "\n".join(lines).replace("\n\n\n", "\n\n") + "```"

        text = BLOCK.sub(fill, text)
        reference = "".join(
            f"\n```text\n$ curator {c} --help\n{run(f'curator {c} --help', folder, {})}```\n"
            for c in COMMANDS
        )
    return REFERENCE.sub(lambda m: m[1] + reference + m[2], text)


def masked(text: str) -> str:
    """The README without what changes from run to run."""
    return CHANGING.sub("_ ", text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8")
