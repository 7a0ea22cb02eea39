"""check: what is damaged or unregistered, its repair, and the digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import call


@pytest.fixture
def ran(fresh: Path) -> Path:
    """A folder with a corpus of its own, near copies and wide measures included."""
    recipe = (fresh / "small.yaml").read_text()
    (fresh / "small.yaml").write_text(
        recipe.replace("  - exact\n", "  - exact\n  - minhash: {bands: 4, rows: 2}\n")
    )
    assert call("run", "small.yaml", "-w", 0, folder=fresh).code == 0
    return fresh


def digest(folder: Path) -> str:
    return str(call("check", "--digest", "--json", folder=folder).json["digest"])


def shard(folder: Path, kind: str) -> Path:
    (file,) = (folder / "corpus" / "shards").glob(f"{kind}/*.parquet")
    return file


def test_a_sound_corpus(ran: Path) -> None:
    """Exit code 0; the digest is 32 hexadecimal digits, the same each time, and printed on request only."""
    ended = call("check", folder=ran)
    assert (ended.code, ended.out) == (0, "2 files checked, 0 damaged, 0 not registered\n")
    told = call("check", "--digest", "--json", folder=ran).json
    assert (told["files"], told["damaged"], told["orphans"], told["repaired"]) == (2, [], [], [])
    assert len(bytes.fromhex(told["digest"])) == 16
    assert told["digest"] == digest(ran)
    assert call("check", "--digest", folder=ran).out.endswith(told["digest"] + "\n")


def test_equal_corpora_have_one_digest(ran: Path, tmp_path: Path) -> None:
    """Another folder, worker processes, and a corpus whose documents have other ids: the same digest."""
    assert call("run", "small.yaml", "-w", 1, "-c", "other", folder=ran).code == 0
    assert call("check", "--digest", "--json", "-c", "other", folder=ran).json["digest"] == digest(ran)
    notes = (ran / "notes.jsonl").read_text()
    (ran / "notes.jsonl").write_text(notes[: notes.index("\n") + 1])
    assert call("run", "small.yaml", "-w", 0, "-c", "later", folder=ran).code == 0
    (ran / "notes.jsonl").write_text(notes)
    assert call("run", "small.yaml", "-w", 0, "-c", "later", folder=ran).code == 0
    ids = call(
        "sql",
        "-c",
        "later",
        "SELECT min(doc_id) >= 4294967296 AS moved FROM documents",
        "--format",
        "csv",
        folder=ran,
    )
    assert ids.out == "moved\ntrue\n"
    assert call("check", "--digest", "--json", "-c", "later", folder=ran).json["digest"] == digest(ran)


def test_another_decision_is_another_digest(ran: Path) -> None:
    """Decisions are part of it."""
    before = digest(ran)
    assert call("decide", "small.yaml", "--set", "gopher_quality.min_words=90", folder=ran).code == 0
    assert digest(ran) != before
    assert call("decide", "small.yaml", folder=ran).code == 0
    assert digest(ran) == before


DAMAGE = {
    "a byte": (
        lambda f: f.write_bytes(f.read_bytes()[:99] + b"?" + f.read_bytes()[100:]),
        "has other content than was registered",
    ),
    "the end": (lambda f: f.write_bytes(f.read_bytes()[:-9]), " were registered"),
    "all": (lambda f: f.unlink(), "is missing"),
}


@pytest.mark.parametrize("kind", ["text", "minhash_*"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_found_and_made_again(ran: Path, kind: str, damage: str) -> None:
    """check names the file and exits with 1; --repair takes it out; the next run heals the corpus."""
    before = digest(ran)
    file = shard(ran, kind)
    spoil, problem = DAMAGE[damage]
    spoil(file)
    ended = call("check", folder=ran)
    assert ended.code == 1
    assert "1 damaged" in ended.out
    assert "curator check --repair takes the damaged files out" in ended.out
    told = call("check", "--digest", "--json", folder=ran)
    ((_, measure, path, what),) = told.json["damaged"]
    assert (told.code, told.json["digest"]) == (1, None)
    assert (ran / "corpus" / path, what.endswith(problem)) == (file, True)
    assert measure == file.parent.name
    repaired = call("check", "--repair", "--json", folder=ran)
    assert repaired.code == 0
    again = "will be read again" if kind == "text" else "will be measured again"
    assert [again in line for line in repaired.json["repaired"]] == [True]
    assert call("run", "small.yaml", "-w", 0, folder=ran).code == 0
    assert call("check", folder=ran).code == 0
    assert digest(ran) == before


def test_what_nothing_registers_is_named_and_removed(ran: Path) -> None:
    """Files of interrupted attempts do no harm: exit code 0; --repair deletes them."""
    stray = ran / "corpus" / "shards" / "text" / "000009-dead.parquet"
    stray.write_bytes(b"half a file")
    told = call("check", "--json", folder=ran)
    assert (told.code, told.json["orphans"]) == (0, ["shards/text/000009-dead.parquet"])
    repaired = call("check", "--repair", folder=ran)
    assert "deleted shards/text/000009-dead.parquet, which nothing registers" in repaired.out
    assert not stray.exists()
