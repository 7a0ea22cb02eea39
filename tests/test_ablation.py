"""The ablation: what it trains and compares, and what it refuses; one seed of a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.trainer.exports import prose

SCRIPTS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(SCRIPTS))  # the scripts import each other as files beside them

import ablation  # noqa: E402
import ablation_report  # noqa: E402
import overlap  # noqa: E402

MENU = "home about\nlog in to the site\nall pages of this site in one list for you to see and to read\n"
RAW = "SELECT doc_id, text_read AS text FROM texts JOIN documents USING (doc_id) WHERE source = 'pages'"
CURATED = "SELECT doc_id FROM documents WHERE kept AND source = 'pages'"
HELD = "SELECT doc_id FROM documents WHERE source = 'held'"
CONTROL = "SELECT doc_id, text_read AS text FROM texts JOIN documents USING (doc_id) WHERE source = 'control'"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with a menu on top, which the recipe cuts off; held-out ones, and copies of these."""
    folder = tmp_path_factory.mktemp("ablation")
    # the first word is in no other page, so that no menu is the beginning of a passage that two share
    texts = [f"page{i} {text}" for i, text in enumerate(prose(1, 140, least=60, most=90))]
    sources = {
        "pages": texts[:120],
        "held": texts[120:130],
        "control": texts[130:],
        "twins": [texts[120], texts[121].rpartition(" ")[0] + " changed."],
    }
    for name, each in sources.items():
        lines = [json.dumps({"id": f"{name}-{i}", "text": MENU + text}) + "\n" for i, text in enumerate(each)]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    recipe = {
        "name": "clean",
        "corpus": str(folder / "corpus"),
        "sources": [{"jsonl": {"name": name, "path": f"{name}.jsonl"}} for name in sources],
        "steps": [{"repeated_lines": {"max_documents": 8, "keep": "none"}}],
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    subprocess.run(
        [sys.executable, "-m", "curator", "run", str(folder / "recipe.yaml"), "-w", "0"], check=True
    )
    return folder / "corpus"


@pytest.fixture
def ablate(corpus: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the script on a tiny model and one seed: its status, what it prints, and its messages."""
    tiny = {"seeds": 1, "tokens": 8000, "vocab": 320, "seq-len": 64, "layers": 1, "width": 32, "processes": 2}
    options = [f"--{name}={value}" for name, value in tiny.items()]

    def run(*more: str) -> tuple[int, str, str]:
        status = ablation.main([f"--corpus={corpus}", f"--work={corpus.parent / 'work'}", *options, *more])
        return status, *capsys.readouterr()

    return run


def test_both_arms_are_trained_on_as_much_and_scored_on_every_holdout(
    corpus: Path, ablate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    options = [
        "--raw",
        RAW,
        "--curated",
        CURATED,
        "--holdout",
        f"held={HELD}",
        "--control",
        f"pages={CONTROL}",
    ]
    status, printed, told = ablate(*options, "-o", str(tmp_path / "results.json"))
    assert status == 0, told
    results = json.loads((tmp_path / "results.json").read_text())
    assert {n: a["documents"] for n, a in results["arms"].items()} == {"raw": 120, "curated": 120}
    assert results["arms"]["raw"]["bytes"] - results["arms"]["curated"]["bytes"] == 120 * len(MENU)
    assert results["arms"]["raw"]["cut"] == {"documents": 0, "characters": 0}
    assert {n: h["documents"] for n, h in results["holdouts"].items()} == {"held": 10, "pages": 10}
    assert [(r["arm"], r["seed"], r["steps"]) for r in results["runs"]] == [("raw", 0, 3), ("curated", 0, 3)]
    for run in results["runs"]:
        assert 0.95 * 3 * 2048 < run["tokens"] <= 3 * 2048
        assert 1 < run["bits_per_byte"]["held"] < 8
    by_hand = [r["bits_per_byte"]["pages"] for r in results["runs"]]
    control = results["differences"][1]
    assert (control["holdout"], control["arm"], control["interval"]) == ("pages", "curated", None)
    assert control["per_seed"] == [pytest.approx(by_hand[1] - by_hand[0])]
    assert control["mean"] > 0  # raw has learned the menu
    assert "| pages (10 documents, " in printed

    made = {p: p.stat().st_mtime_ns for p in (corpus.parent / "work").rglob("result.json")}
    assert len(made) == 2
    assert ablate(*options)[:2] == (0, printed)
    assert {p: p.stat().st_mtime_ns for p in made} == made


def test_an_arm_with_a_held_out_document_or_its_near_copy_is_refused(
    ablate: Callable[..., tuple[int, str, str]],
) -> None:
    every = "SELECT doc_id FROM documents WHERE source IN ('pages', 'held')"
    status, _, told = ablate("--raw", RAW, "--curated", every, "--holdout", f"held={HELD}")
    assert status == 2
    assert "curated: held held-0 is in held" in told
    assert "raw:" not in told

    twins = "SELECT doc_id FROM documents WHERE source IN ('pages', 'twins')"
    status, _, told = ablate("--raw", twins, "--curated", CURATED, "--holdout", f"held={HELD}")
    assert status == 2
    assert "raw: twins twins-0 is 100% like held held-0 in held" in told
    assert "raw: twins twins-1 is " in told
    assert "curated:" not in told


def test_a_query_that_gives_no_documents_is_refused(ablate: Callable[..., tuple[int, str, str]]) -> None:
    status, _, told = ablate(
        "--raw", "SELECT source FROM documents", "--curated", CURATED, "--holdout", f"held={HELD}"
    )
    assert (status, "raw: its query gives source, no doc_id" in told) == (2, True)
    status, _, told = ablate("--raw", RAW, "--curated", f"{CURATED} AND false", "--holdout", f"held={HELD}")
    assert (status, "curated: its query selects no document" in told) == (2, True)


def _grams(*texts: str) -> overlap.Grams:
    return overlap.Grams.of(texts)


def test_shared_passages_are_cut_with_their_lines_and_boilerplate_is_not() -> None:
    held, other, menu = (" ".join(f"{name}{i}" for i in range(30)) for name in ("held", "other", "menu"))
    quoting = f"{menu}\n{other}\nas they say: {' '.join(held.split()[3:16])} and so on\n{other} again"
    training = [f"{menu} {i}" for i in range(11)] + [quoting]
    common = overlap.boilerplate([_grams(*training)])
    assert len(common) == 18  # 13-grams of the menu's thirty words
    holdout = _grams(f"{menu}\n{held}")
    forbidden = np.setdiff1d(holdout.gram, common)
    left, changed, characters = overlap.without(training, forbidden)
    assert left[:11] == training[:11]
    assert left[11] == f"{menu}\n{other}\n{other} again"
    assert (changed, characters) == (1, len(quoting) - len(left[11]))
    assert list(overlap.copies(_grams(*training), holdout, common)) == []


def test_a_copy_is_found_whatever_stands_around_it() -> None:
    held = " ".join(f"w{i}" for i in range(60))
    near = held.replace("w58", "x")  # two of 48 grams differ, and as many are new
    around = " ".join(f"y{i}" for i in range(400))
    found = list(
        overlap.copies(
            _grams("other words", near, f"{around} {held}", held.upper()),
            _grams(held),
            np.empty(0, np.uint64),
        )
    )
    assert [(document, holdout) for document, holdout, _ in found] == [(1, 0), (2, 0), (3, 0)]
    assert [alike for _, _, alike in found] == [pytest.approx(46 / 48), 1.0, 1.0]


def test_the_interval_is_students_over_seeds() -> None:
    size = np.array([100, 300])
    bits: dict[tuple[str, int, str], Any] = {}
    for seed, (raw, curated) in enumerate([(800, 700), (820, 760), (790, 710)]):
        bits["raw", seed, "held"] = np.array([raw / 4, raw * 3 / 4])
        bits["curated", seed, "held"] = np.array([curated / 4, curated * 3 / 4])
    [found] = ablation_report.compared(["raw", "curated"], 3, bits, {"held": size})
    each = [-100 / 400, -60 / 400, -80 / 400]
    assert found["per_seed"] == pytest.approx(each)
    by_scipy = stats.t.interval(0.95, 2, loc=np.mean(each), scale=stats.sem(each))
    assert found["interval"] == pytest.approx(list(by_scipy))
    assert found["percent"] == pytest.approx(100 * -80 / np.mean([800, 820, 790]))
    # both documents changed by as much a byte, so drawing them anew changes nothing
    assert found["documents_of_seed_0"] == pytest.approx([-0.25, -0.25])
    assert ablation_report.verdict(found, None) == "curated is better"
    assert ablation_report.verdict(found, "held").startswith("curated is better: THE CONTROL FAILS")
