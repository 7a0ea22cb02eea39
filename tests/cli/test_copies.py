"""What a person sees of copies: the summary, the guard, the difference to the kept copy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from curator.worddiff import word_diff
from tests.cli.conftest import call

RECIPE = """\
name: copies
sources:
  - jsonl: {name: old, path: old.jsonl}
  - jsonl: {name: new, path: new.jsonl}
steps:
  - exact: {as: same}
  - minhash: {ngram: 2, bands: 20, rows: 3}
"""


def text(i: int) -> str:
    """40 words that no other has."""
    own = "".join("abcdefghij"[int(digit)] for digit in f"{i:03}")
    return " ".join(f"{own}{'klmnopqrst'[w % 10]}{'uvwxyz'[w // 10]}" for w in range(40))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """120 documents of a source, of which another has 104 again, and one with words added."""
    old = [{"id": f"o{i}", "text": text(i)} for i in range(120)]
    new = [{"id": f"n{i}", "text": text(i if i < 104 else i + 120)} for i in range(119)]
    new.append({"id": "near", "text": text(110) + " mail jane.doe@example.org"})
    for name, rows in (("old", old), ("new", new)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_a_dedup_that_would_drop_a_source_stops(folder: Path) -> None:
    """Exit code 3, nothing decided, ten pairs; --accept goes on, and so does `expect:`."""
    stopped = call("run", "recipe.yaml", "-w", "0", folder=folder)
    assert stopped.code == 3
    assert (
        "step same would drop 86.7% of the 120 documents of source new that reach it, more than 80%"
        in stopped.err
    )
    assert "--accept" in stopped.err
    assert "expect: {drop: 0..1}" in stopped.err
    pairs = stopped.err.splitlines()
    assert sum(line.startswith("    = old o") for line in pairs) == 10
    asked = call("sql", "SELECT count(*) FROM decisions", "--format", "csv", folder=folder)
    assert asked.out.split() == ["count_star()", "0"]
    assert call("decide", "recipe.yaml", folder=folder).code == 3
    dry = call("decide", "recipe.yaml", "--dry-run", folder=folder)
    assert dry.code == 3
    assert "135 of 240 documents would be kept" in dry.out
    assert "curator: step same would drop 86.7% of the 120 documents of source new" in dry.err
    assert call("decide", "recipe.yaml", "--accept", folder=folder).code == 0
    assert (
        call("run", "recipe.yaml", "-w", "0", folder=folder).code == 0
    )  # what was accepted is not asked again
    (folder / "recipe.yaml").write_text(RECIPE.replace("{as: same}", "{as: same, expect: {drop: 0..0.9}}"))
    assert call("run", "recipe.yaml", "-w", "0", folder=folder).code == 0


def test_the_summary_tells_clusters(folder: Path) -> None:
    """Clusters, the largest, edges, and from which source to which."""
    ended = call("run", "recipe.yaml", "-w", "0", "--accept", folder=folder)
    assert ended.code == 0
    assert (
        "same: 208 documents in 104 clusters, the largest of 2\n  dropped -> kept instead, by source: new -> old 100.0 %\n"
        in ended.out
    )
    assert (
        "minhash: 2 documents in 1 cluster, the largest of 2; 1 edge between 136 distinct, 0.00 a document\n"
        in ended.out
    )
    counted = call("run", "recipe.yaml", "-w", "0", "--accept", "--json", folder=folder).json["counts"][
        "copies"
    ]
    found: list[Any] = [(c["step"], c["clusters"], c["dropped"], c["by_source"]) for c in counted]
    assert found == [("same", 104, 104, [["new", "old", 104]]), ("minhash", 1, 1, [["new", "old", 1]])]
    assert (counted[1]["edges"], counted[1]["truncated"]) == (1, 0)


def test_why_shows_the_difference(folder: Path) -> None:
    """Word by word against the kept copy, redacted."""
    call("run", "recipe.yaml", "-w", "0", "--accept", folder=folder)
    ended = call("why", "near", folder=folder)
    assert "minhash: one of 2 copies; kept is " in ended.out
    said = " ".join(ended.out.split())
    assert re.search(r"from the kept copy: … (\w+ ){4}\{\+mail <email>\+\}", said), ended.out
    assert "jane.doe" not in ended.out
    assert "jane.doe" in call("why", "near", "--unredacted", folder=folder).out
    assert "word for word the kept copy" in call("why", "n3", folder=folder).out
    shown = call("why", "near", "--json", "--unredacted", folder=folder).json["copies"][0]
    assert shown["diff_to_kept"][-1] == ["+", "mail jane.doe@example.org"]
    assert "kept_text" not in shown


def test_word_diff() -> None:
    """Runs of equal words are shortened but for those beside a difference."""
    old = " ".join(f"w{i}" for i in range(30))
    assert word_diff(old, old.replace("w15", "x y")) == [
        ("=", "… w11 w12 w13 w14"),
        ("-", "w15"),
        ("+", "x y"),
        ("=", "w16 w17 w18 w19 …"),
    ]
    assert word_diff("a b", "a b c") == [("=", "a b"), ("+", "c")]
    assert word_diff("x " * 6000, "x " * 6000)[-1] == ("=", "… (the first 5,000 words were compared)")
