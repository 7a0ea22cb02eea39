"""The command line, called in this process, and one small real corpus to ask it about."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from curator.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
SENTENCE = "This is the note that I have written to you about the state of things, with all of its details. "
NOTES: list[dict[str, Any]] = [
    {"id": "long", "text": SENTENCE * 5, "url": "https://notes.example/long", "title": "Long", "stars": 5},
    {"id": "copy", "text": SENTENCE * 5, "url": "https://notes.example/both", "stars": 3},
    {
        "id": "short",
        "text": "Write to jane.doe@example.org or call +49 30 1234 5678 from 192.168.0.17.",
        "stars": 1,
    },
    {"id": "both", "text": SENTENCE * 4, "url": "https://notes.example/both", "stars": 4},
    {
        "id": "german",
        "text": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. " * 9,
        "stars": 2,
    },
    {"id": "nothing", "text": "  "},
]
RECIPE = """\
name: small
corpus: ./corpus
sources:
  - jsonl: {name: notes, path: notes.jsonl, columns: {stars: int}}
  - jsonl: {name: pubmed, path: "%s/medicine/abstracts.jsonl.gz", text: abstract, id: pmid, title: article_title}
steps:
  - fix_unicode
  - language: {keep: [en], min_score: 0.4}
  - gopher_quality: {min_words: 40}
  - exact
"""


@dataclass
class Ended:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str
    raw: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def cells(self) -> list[list[str]]:
        """The table on stdout: its rows, cells apart by two spaces."""
        lines = [line.split("  ") for line in self.out.splitlines()]
        return [[c.strip() for c in line if c.strip()] for line in lines if any(c.strip(" ─") for c in line)]


Curator = Callable[..., Ended]


def call(*arguments: object, folder: Path, stdin: str = "") -> Ended:
    """`curator ARGUMENTS` in a folder."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: Any = 0
    with (
        chdir(folder),
        patch.object(sys, "argv", ["curator", *map(str, arguments)]),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code
    raw, said = out.buffer.getvalue(), err.buffer.getvalue()  # type: ignore[attr-defined]  # it is a BytesIO
    return Ended(code or 0, raw.decode(errors="replace"), said.decode(), raw)


def workplace(folder: Path) -> Path:
    """A folder with the recipe `small.yaml` and its notes."""
    (folder / "notes.jsonl").write_text("".join(json.dumps(n) + "\n" for n in NOTES))
    (folder / "small.yaml").write_text(RECIPE % EXAMPLES)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """The folder of a run that is only read from, and what the run said."""
    folder = workplace(tmp_path_factory.mktemp("finished"))
    return folder, call("run", "small.yaml", "--workers", 1, folder=folder)


@pytest.fixture
def ask(finished: tuple[Path, Ended]) -> Curator:
    """Calls curator where the finished corpus is."""
    return lambda *arguments, **more: call(*arguments, folder=finished[0], **more)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with the notes alone, to run and to damage."""
    folder = workplace(tmp_path)
    lines = RECIPE.splitlines(keepends=True)
    (folder / "small.yaml").write_text("".join(line for line in lines if "pubmed" not in line))
    return folder
