"""Real second distributions, installed with pip: used, listed with their origin, and named when broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NO_MODULE = (
    "curator-broken 0.0.1 failed to load: ModuleNotFoundError: No module named 'a_module_that_nobody_has'"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions installed, as in site-packages."""
    folder = tmp_path_factory.mktemp("installed")
    sources = [shutil.copytree(HERE / name, folder / name) for name in ("sane", "broken")]
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    target = folder / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        *isolation,
        "--target",
        target,
        *sources,
    ]
    subprocess.run(command, check=True, timeout=300)
    return target


def curator(*arguments: str, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "curator", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )


pytestmark = pytest.mark.slow


def test_it_is_listed_and_the_broken_one_named(site: Path, tmp_path: Path) -> None:
    """`curator plugins` shows the origin of the one, the error of the other, and all of ours."""
    told = json.loads(curator("plugins", "--json", site=site, folder=tmp_path).stdout)
    (found,) = [p for p in told["plugins"] if p["name"] == "shouting"]
    assert (found["kind"], found["origin"], found["version"], found["doc"]) == (
        "filter",
        "curator-example 1.2.3",
        "1.2.3",
        "Drop documents in capitals.",
    )
    assert told["broken"] == {"filter.broken": NO_MODULE}
    assert {"gopher_quality", "minhash", "sql"} <= {p["name"] for p in told["plugins"]}
    shown = curator("plugins", site=site, folder=tmp_path)
    assert shown.returncode == 0
    assert "".join(f"broken: filter.broken: {NO_MODULE}".split()) in "".join(shown.stderr.split())


def test_it_runs_in_a_worker_by_its_name(site: Path, tmp_path: Path) -> None:
    """A recipe names it without `plugins:`; its command asks the corpus that it decided."""
    texts = ["Quiet words.", "LOUD WORDS!", "EVEN LOUDER WORDS!"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    recipe = "name: loud\nsources: [{jsonl: {path: texts.jsonl}}]\nsteps: [shouting]\n"
    (tmp_path / "loud.yaml").write_text(recipe)
    ran = curator("run", "loud.yaml", "--workers", "1", "--json", site=site, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["counts"]["dropped"] == {"shouting.shouting": 2}
    counted = curator("shouting", "--corpus", "corpus", site=site, folder=tmp_path)
    assert (counted.returncode, counted.stdout) == (0, "2\n")


def test_commands_are_listed_even_if_one_is_broken(site: Path, tmp_path: Path) -> None:
    """--help shows both; the broken one fails alone, by name."""
    listed = curator("--help", site=site, folder=tmp_path)
    assert listed.returncode == 0
    assert "How much is shouted." in listed.stdout
    assert " breaking " in listed.stdout
    assert "Example: curator shouting" in curator("shouting", "--help", site=site, folder=tmp_path).stdout
    broken = curator("breaking", site=site, folder=tmp_path)
    assert broken.returncode == 1
    assert broken.stderr == f"curator: {NO_MODULE.replace('failed', 'command breaking failed')}\n"


def test_a_recipe_that_names_the_broken_one(site: Path, tmp_path: Path) -> None:
    """One error at the recipe's line, with the distribution; nothing else is harmed by it."""
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "r.yaml").write_text("name: r\nsources: [{jsonl: {path: texts.jsonl}}]\nsteps:\n  - broken\n")
    ended = curator("run", "r.yaml", site=site, folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"curator: r.yaml:4: steps.0.broken: {NO_MODULE}\n")
