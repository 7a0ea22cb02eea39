"""`curator train`: the table, JSON, progress apart, and mistakes in one line each."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from curator.cli.train import train
from curator.errors import UsageError
from tests.trainer.exports import Part, prose, write_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 32, a few thousand tokens."""
    part = Part(prose(1, 60, most=40), prose(2, 10, most=40))
    return write_export(tmp_path_factory.mktemp("cli") / "export", {"prose": part}, tokens=9000, seq_len=32)


def call(*words: str) -> None:
    """The command, in this process; errors are raised."""
    app = typer.Typer()
    app.command()(train)
    app(list(words), standalone_mode=False)


def test_the_table(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked and seen of each component on stdout, progress on stderr."""
    call(str(export), "--steps", "2", "--vocab-size", "300", "-o", str(tmp_path / "model"))
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert any(line.split()[:1] == ["component"] for line in lines)
    words = next(line for line in lines if line.split()[:1] == ["prose"]).split()
    assert words[:5] == ["prose", "100.0", "%", "100.0", "%"]
    assert " at the start, " in captured.out
    assert "of 2 steps" in captured.out
    assert "step 2 of 2" in captured.err
    assert "tokens/s" in captured.err


def test_json(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs."""
    call(
        str(export),
        "--model",
        "bert",
        "--steps",
        "1",
        "--vocab-size",
        "300",
        "-o",
        str(tmp_path / "m"),
        "--json",
    )
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 1
    assert result["components"]["prose"]["asked"] == 1.0
    assert result["out"] == str(tmp_path / "m")


def test_an_export_or_a_mixture(export: Path, tmp_path: Path) -> None:
    """One of the two."""
    for words in ((), (str(export), "--mixture", "mix.yaml")):
        with pytest.raises(UsageError, match="give an export's folder or --mixture FILE, one of the two"):
            call(*words, "-o", str(tmp_path / "model"))


def test_without_torch(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    found = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name == "torch" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(UsageError, match=r"torch is not installed; pip install 'corpus-curator\[train\]'"):
        call(str(export), "-o", str(tmp_path / "model"))


def test_the_command_imports_nothing_heavy() -> None:
    """torch and transformers are loaded when training begins."""
    code = "import sys, curator.cli.train; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
