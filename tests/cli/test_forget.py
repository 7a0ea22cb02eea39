"""forget: what it shows and asks, refuses and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SENTENCE, call

SHOWN = """
 source   documents   identical copies
 ─────────────────────────────────────
 notes            1                  1

  0 notes long Long
identical copies, which go too (--no-copies leaves them):
  1 notes copy https://notes.example/both
1 near copy stays; see whether they are meant too:
  curator sql "SELECT doc_id, source, source_key, text FROM texts JOIN documents USING (doc_id) WHERE doc_id IN (3)"
"""


@pytest.fixture
def ran(fresh: Path) -> Path:
    """A folder with a corpus of its own, with an export of it."""
    recipe = (fresh / "small.yaml").read_text()
    recipe = recipe.replace("  - exact\n", "  - exact\n  - minhash: {bands: 50, rows: 1}\n").replace(
        "min_words: 40", "min_words: 10"
    )
    (fresh / "small.yaml").write_text(recipe)
    notes = (fresh / "notes.jsonl").read_text().replace('"stars": 4}', '"stars": 4, "more": 1}')
    (fresh / "notes.jsonl").write_text(notes.replace(f'"{SENTENCE * 4}"', f'"{SENTENCE * 4}More."'))
    assert call("run", "small.yaml", "-w", 0, folder=fresh).code == 0
    assert call("export", "--where", "true", "-o", "written", folder=fresh).code == 0
    return fresh


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the corpus, with its time and content."""
    found = [p for p in (folder / "corpus").rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()).strip("\n")


def test_a_dry_run_shows_and_changes_nothing(ran: Path) -> None:
    """By source, with examples and copies; the same in JSON."""
    before = files(ran)
    ended = call("forget", "--where", "source_key = 'long'", "--reason", "x", "--dry-run", folder=ran)
    assert (ended.code, ended.err) == (0, "")
    shown, _, last = plain(ended.out).rpartition("\n")
    assert shown == plain(SHOWN)
    assert last == "nothing was changed; without --dry-run these documents are forgotten"
    told = call(
        "forget", "--where", "source_key = 'long'", "--reason", "x", "--dry-run", "--json", folder=ran
    ).json
    assert (told["forgotten"], told["documents"], told["near_copies"]) == (False, 2, [3])
    assert [c["source_key"] for c in told["identical_copies"]] == ["copy"]
    assert files(ran) == before


def test_it_asks(ran: Path) -> None:
    """Anything but yes leaves the corpus as it is; the question goes to stderr."""
    before = files(ran)
    for answer in ("n\n", ""):
        ended = call("forget", "--where", "true", "--reason", "x", folder=ran, stdin=answer)
        assert (ended.code, "forget 5 documents for good? [y/N]" in ended.err) == (1, True)
    assert files(ran) == before
    ended = call("forget", "--where", "source_key = 'short'", "--reason", "x", folder=ran, stdin="y\n")
    assert (ended.code, "forgot 1 document;" in ended.out) == (0, True)


def test_what_it_reports(ran: Path) -> None:
    """What was rewritten, and what is out of reach; runs say that they leave documents out."""
    (ran / "ids").write_text("both\nhttps://notes.example/nothing\n")
    wrong = call("forget", "--file", "ids", "--reason", "x", "--yes", folder=ran)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == (
        "curator: these name no document, by doc_id, doc_key, source_key or URL: line 2: 'https://notes.example/nothing'; "
        "nothing was forgotten (--skip-unknown leaves them out)\n"
    )
    skipped = call("forget", "--file", "ids", "--reason", "x", "--skip-unknown", "--dry-run", "--json", folder=ran)
    assert (skipped.code, skipped.json["documents"]) == (0, 1)
    (ran / "ids").write_text("both\n")
    ended = call("forget", "--file", "ids", "--reason", "notice 4", "--yes", folder=ran)
    assert ended.code == 0
    assert "forgot 1 document; 2 files rewritten (" in ended.out
    assert "; 1 cluster elected another copy" in ended.out
    assert ["1", "1", str(ran / "written")] in ended.cells()
    assert "delete these exports and write them again" in ended.out
    again = call("forget", "--file", "ids", "--reason", "notice 4", "--yes", folder=ran)
    assert (again.code, again.out) == (0, "forgotten before: both\nno document is left to forget\n")
    with (ran / "notes.jsonl").open("a") as notes:
        notes.write("\n")
    told = call("run", "small.yaml", "-w", 0, "--json", folder=ran)
    assert told.json["counts"]["forgotten"] == 1
    assert "forgotten documents that the sources still have, left out: 1; see quarantine" in " ".join(told.err.split())
    sql = "SELECT position, detail FROM quarantine WHERE reason = 'forgotten'"
    assert call("sql", sql, "--format", "csv", folder=ran).out .count("\n") == 2


def test_json_and_standard_input(ran: Path) -> None:
    """The whole report, for programs; --file - reads ids from stdin."""
    told = call("forget", "--file", "-", "--reason", "x", "--yes", "--json", folder=ran, stdin="both\n").json
    assert (told["forgotten"], told["documents"], told["files_rewritten"]) == (True, 1, 2)
    assert told["by_source"] == {"notes": {"named": 1, "copies": 0}}
    assert told["exports"] == [
        {"export_id": 1, "path": str(ran / "written"), "documents": 1, "dropped": False}
    ]
    assert told["catalog_after"] <= told["catalog_before"]


def test_a_trial_leaves_them_out_too(ran: Path) -> None:
    """`curator run --limit` reads into another corpus, with the tombstones of this one."""
    assert call("forget", "--where", "source_key = 'long'", "--reason", "x", "--yes", folder=ran).code == 0
    told: dict[str, Any] = call("run", "small.yaml", "-w", 0, "--limit", 2, "--json", folder=ran).json
    assert told["counts"]["forgotten"] == 2
    keys = call(
        "sql", "SELECT source_key FROM documents", "-c", "corpus.sample", "--format", "json", folder=ran
    )
    assert [row["source_key"] for row in json.loads(keys.out)] == ["short", "both"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give --where SQL or --file IDS, one of the two"),
        (("--where", "true", "--file", "ids"), "give --where SQL or --file IDS, one of the two"),
        (("--file", "nowhere"), "--file nowhere cannot be read"),
        (("--where", "1) or (1=1; drop"), "syntax error"),
        (("--where", "true) UNION ALL (SELECT 1"), "syntax error"),
        (("--where", "true; DROP TABLE documents"), "give one statement"),
        (("--where", "true, true"), "give one expression that is true or false of a document"),
        (("--where", "no_such_column"), 'Referenced column "no_such_column" not found'),
        (("--where", "true", "-c", "nothing"), "there is no corpus in 'nothing'"),
    ],
)
def test_wrong_usage(ran: Path, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, a message, and nothing changed."""
    before = files(ran)
    ended = call("forget", *arguments, "--reason", "x", "--yes", folder=ran)
    assert (ended.code, told in ended.err) == (2, True)
    assert files(ran) == before
    assert call("forget", "--where", "true", "--reason", " ", "--yes", folder=ran).code == 2
