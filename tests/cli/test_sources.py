"""`curator sources preview`: what would be read, and that nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, call
from tests.test_fetching import SHELF


def below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def shown(ended: Ended) -> dict[str, str]:
    """The lines of a preview: field -> value of the first document."""
    assert ended.code == 0, ended.err
    fields = [line.strip().partition(" ") for line in ended.out.splitlines()]
    return {name: value.strip() for name, _, value in reversed(fields)}


def test_a_recipe(fresh: Path) -> None:
    """Each source: how much there is, the first documents, what cannot be read; the folder stays as it was."""
    before = below(fresh)
    ended = call("sources", "preview", "small.yaml", "-n", 1, folder=fresh)
    assert ended.out.startswith("notes  jsonl: 5 documents, 2.0 kB of text; 1 file, 1 part in 1 split\n")
    found = shown(ended)
    assert {n: found[n] for n in ("source_key", "url", "title", "stars")} == {
        "source_key": "long", "url": "https://notes.example/long", "title": "Long", "stars": "5",
    }
    assert found["text"].endswith("… (480 characters)")
    assert "quarantined, of those looked at: 1 no_text" in ended.out
    assert below(fresh) == before


def test_a_path_is_read_by_the_plugin_that_its_name_tells(fresh: Path) -> None:
    """With options for it; texts are redacted unless asked for as they are."""
    (fresh / "mail.csv").write_text("nr,body\n7,Write to jane.doe@example.org\n")
    arguments = ("sources", "preview", "mail.csv", "--set", "text=body", "--set", "id=nr")
    found = shown(call(*arguments, folder=fresh))
    assert (found["source_key"], found["text"]) == ("7", "Write to <email>")
    assert found["csv"] == "csv: 1 documents, 29 B of text; 1 file, 1 part in 1 split"
    assert shown(call(*arguments, "--unredacted", folder=fresh))["text"] == "Write to jane.doe@example.org"


def test_as_json(fresh: Path) -> None:
    """All of it, for programs; the plugin may be named."""
    (fresh / "notes.dat").write_text('{"text": "one"}\n{"text": ""}\nno JSON\n')
    (found,) = call("sources", "preview", "notes.dat", "--as", "jsonl", "--json", folder=fresh).json
    assert (found["documents"], found["exact"], found["parts"], found["size"]) == (1, True, 1, 3)
    assert found["reasons"] == {"no_text": 1, "bad_json": 1}
    assert found["first"][0]["text"] == "one"


def test_an_estimate_of_a_large_file(fresh: Path) -> None:
    """Of more than is looked at, the number of documents is estimated from the text and the files' sizes."""
    with open(fresh / "large.jsonl", "w") as file:
        file.writelines(json.dumps({"text": f"{n:07} " * 100}) + "\n" for n in range(6000))
    (found,) = call("sources", "preview", "large.jsonl", "--json", folder=fresh).json
    assert not found["exact"]
    assert found["documents"] == pytest.approx(6000, rel=0.03)
    assert shown(call("sources", "preview", "large.jsonl", "-n", 0, folder=fresh))["jsonl"].startswith(
        "jsonl: about 6."
    )


def test_what_is_fetched_for_a_preview_is_not_kept(fresh: Path) -> None:
    """No more is fetched than is shown; what the corpus has fetched is shown without asking again."""
    (fresh / "server").mkdir()
    for name in "abc":
        (fresh / "server" / f"{name}.txt").write_text(f"page {name}")
    (fresh / "shelf.py").write_text(SHELF)
    (fresh / "shelf.yaml").write_text(
        "name: shelf\nplugins: [shelf.py]\nsources:\n  - shelf: {name: shelf, server: server}\n"
    )
    before = below(fresh)
    ended = call("sources", "preview", "shelf.yaml", "-n", 2, folder=fresh)
    assert ended.out.count("page ") == 2
    assert "of what was fetched for this preview" in ended.out
    assert (fresh / "server" / "asked").read_text() == "a b "
    assert [p for p in below(fresh) if p not in before and "__pycache__" not in p] == ["server/asked"]
    assert call("run", "shelf.yaml", "-w", 0, folder=fresh).code == 0
    (fresh / "server" / "d.txt").write_text("page d")
    ended = call("sources", "preview", "shelf.yaml", folder=fresh)
    assert "shelf: 3 documents" in ended.out
    assert "(of what the corpus has fetched)" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.csv",), "path 'nowhere.csv' names no file"),
        (("small.yaml", "--source", "note"), "small.yaml has no source 'note'; did you mean 'notes'?"),
        (("short.xyz",), "no source knows such files by their names; say which with --as: "),
        (("notes.jsonl", "--set", "text"), "--set text: give NAME=VALUE"),
        (("notes.jsonl", "--set", "txt=a"), "jsonl has no option 'txt'; did you mean 'text'?"),
        (("small.yaml", "--set", "text=a"), "a recipe's options stand in the recipe"),
    ],
)
def test_mistakes(fresh: Path, arguments: tuple[str, ...], message: str) -> None:
    """Each is one message, and exit code 2."""
    (fresh / "short.xyz").write_text("x")
    ended = call("sources", "preview", *arguments, folder=fresh)
    assert (ended.code, message in ended.err) == (2, True), ended.err
