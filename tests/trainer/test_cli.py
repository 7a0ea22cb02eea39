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

from curator.cli.train import _pairs, train
from curator.errors import UsageError
from curator_trainer import MixtureDataset
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


def test_a_dry_run(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes, shares and hours by arithmetic from measured steps; nothing is written."""
    words = [str(export), "--dry-run", "--vocab-size", "300", "--device", "cpu", "--config", "num_hidden_layers=1"]
    before = sorted(tmp_path.iterdir())
    call(*words, "--batch-tokens", "256", "--steps", "4", "--json")
    found = json.loads(capsys.readouterr().out)
    dataset = MixtureDataset(export, vocab_size=300)
    assert (found["kind"], found["objective"], found["rows_a_step"], found["seq_len"]) == ("gpt", "causal", 8, 32)
    assert (found["steps"], found["measured_steps"]) == (4, 3)
    assert found["tokens"] == int(dataset.rows.tokens(range(32)).sum()) == found["components"]["prose"]["tokens"]
    assert found["tokens_a_parameter"] == pytest.approx(found["tokens"] / found["parameters"])
    assert found["hours"] == pytest.approx(4 * found["seconds_a_step"] / 3600)
    assert 0 < found["seconds_a_step"] < 5
    call(*words, "--steps", "1")
    out = capsys.readouterr().out
    assert "the mean of 1 measured step;" in out
    assert "gpt, causal: " in out
    assert "limited by" not in out
    assert sorted(tmp_path.iterdir()) == before


def test_what_limits_a_plan_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a component's cap makes the plan shorter than asked."""
    parts = {"a": Part(prose(1, 40, most=40), share=0.5), "b": Part(prose(2, 6, most=40), share=0.5)}
    export = write_export(tmp_path / "export", parts, tokens=50_000, seq_len=32)
    call(str(export), "--dry-run", "--vocab-size", "300", "--device", "cpu", "--steps", "1")
    assert "limited by b, which is seen" in capsys.readouterr().out


def test_values_of_options(export: Path, tmp_path: Path) -> None:
    """YAML scalars, and 1e-3 a number; they reach configuration and arguments."""
    assert _pairs("--argument", ["learning_rate=1e-3", "bf16=false", "optim=adamw_torch", "seed=3"]) == {
        "learning_rate": 1e-3, "bf16": False, "optim": "adamw_torch", "seed": 3
    }  # fmt: skip
    out = tmp_path / "model"
    call(
        str(export), "-o", str(out), "--steps", "1", "--vocab-size", "300", "--model", "llama", "--device", "cpu",
        "--config", "num_hidden_layers=1", "--argument", "learning_rate=1e-3", "--held-out-tokens", "0", "--seed", "5",
        "-c", str(tmp_path),
    )  # fmt: skip
    run = json.loads((out / "run.json").read_text())
    assert (run["config"]["num_hidden_layers"], run["arguments"]["learning_rate"], run["seed"]) == (1, 1e-3, 5)
    for words, message in (
        (["--config", "layers"], "--config 'layers': give KEY=VALUE, as in --config num_hidden_layers=2"),
        (["--argument", "x=[1"], r"--argument 'x=\[1': the value is no YAML"),
        (["--argument", "learning_rat=1"], "no such field; did you mean learning_rate"),
        (["--argument", "max_steps=1"], r"arguments \['max_steps'\] are set by the plan"),
        (["--objective", "masked"], "'gpt' is not trained with objective 'masked'"),
    ):
        with pytest.raises(UsageError, match=message):
            call(str(export), "-o", str(tmp_path / "other"), "--vocab-size", "300", *words)
    with pytest.raises(UsageError, match="give -o FOLDER, or --dry-run"):
        call(str(export))


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
