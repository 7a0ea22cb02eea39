"""A corpus with a planted document, its copies and records that hold its text, and how to look for them."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import zstandard

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.forgetting import Report, choose, forget
from curator.run import run
from curator.verify import check, digest
from tests.conftest import Workshop
from tests.texts import ENGLISH, documents

NEEDLE = "Zqxplanted7731needle"


WORDS = ENGLISH.split()


#: a cleaner changes it, so that its final text is stored too
LEAK = " ".join([*WORDS[:60], "itâ€™s", NEEDLE, *WORDS[60:110]]) + "."


NEAR = LEAK.replace("good very", "good not")


CLEAN = LEAK.replace(NEEDLE, "nothing")


PLUGINS = f'''
from curator import Filter, hookimpl


class Fails(Filter):
    """Raise on one document, with its text in the message."""
    signals = {{"chars": int}}

    def measure(self, docs):
        for text in docs.text:
            if "{NEEDLE}" in text and "good not" in text:
                raise ValueError(text)
        return {{"chars": docs.text.str.len_chars()}}


@hookimpl
def register_filters(register):
    register(Fails)
'''


STEPS = ["fix_unicode", "language", {"gopher_quality": {"as_in": "datatrove"}}, "fails", "exact", "minhash"]


LEAKED = {"leak", "leak-copy", "leak-near"}


def sources(folder: Path, leave_out: set[str] | None = None) -> list[dict[str, Any]]:
    """Three sources with a planted document, an identical copy, near copies with and without the needle."""
    planted: dict[str, list[dict[str, Any]]] = {
        "a": [
            {
                "id": "leak",
                "text": LEAK,
                "title": NEEDLE,
                "note": f"see {NEEDLE}",
                "url": "https://a.example/1",
            }
        ],
        "b": [
            {"id": "leak-copy", "text": LEAK},
            {"id": "leak-near", "text": NEAR},
            {"id": "clean", "text": CLEAN},
        ],
        "c": [{"id": "alone", "text": " ".join(WORDS[:100])}],
    }
    entries = []
    for seed, (name, extra) in enumerate(planted.items()):
        made = documents(seed, 40)
        made[17:17] = [d for d in extra if d["id"] not in (leave_out or set())]
        lines = [json.dumps(d) + "\n" for d in made]
        lines.insert(5, f'{{"id": "broken", "text": "{NEEDLE} in {name}\n')
        (folder / f"{name}.jsonl").write_text("".join(lines))
        entries.append({"jsonl": {"name": name, "path": f"{name}.jsonl"}})
    (folder / "plugins.py").write_text(PLUGINS)
    return entries


def curated(folder: Path, leave_out: set[str] | None = None, engine: Any = None) -> Corpus:
    """A corpus of these sources."""
    folder.mkdir(exist_ok=True)
    workshop = Workshop(folder)
    recipe = workshop.recipe(STEPS, sources(folder, leave_out), plugins=["./plugins.py"])
    run(recipe, engine or InlineEngine())
    return Corpus.existing(workshop.corpus_folder)


def rerun(corpus: Corpus) -> tuple[dict[str, int], list[str]]:
    """Run the recipe beside the corpus again: its counts, and the notes that it told."""
    notes: list[str] = []

    class Told:
        def stage(self, title: str, total_bytes: int) -> None: ...
        def advance(self, size: int, documents: int) -> None: ...
        def note(self, message: str) -> None:
            notes.append(message)

    report = run(recipes.load(str(corpus.folder.parent / "test.yaml")), InlineEngine(), Told())
    return dict(report.counts), notes


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus that tests copy."""
    folder = tmp_path_factory.mktemp("made")
    curated(folder, engine=LocalEngine(1))
    return folder


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a corpus that never held what leaks."""
    return digest(curated(tmp_path_factory.mktemp("expected"), LEAKED))


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Corpus:
    """A corpus to forget in; its folder moved, and its sources with it."""
    return copied(made, tmp_path / "own")


def copied(made: Path, folder: Path) -> Corpus:
    shutil.copytree(made, folder, copy_function=shutil.copy2)
    return Corpus.existing(folder / "corpus")


def contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they are decompressed or decoded."""
    raw = file.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        yield zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    if raw[:4] == b"PAR1":
        with pq.ParquetFile(file) as parquet:
            yield str(parquet.metadata.to_dict()).encode()
        for column in pq.read_table(file).columns:
            yield b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in column.to_pylist())
    if file.suffix == ".duckdb":
        with duckdb.connect(str(file), read_only=True) as con:
            tables = con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
            for schema, table in tables:
                yield str(con.execute(f'FROM {schema}."{table}"').fetchall()).encode()


def holders(folder: Path, needle: str = NEEDLE) -> set[str]:
    """Which files under a folder hold the needle, by the part of their path that matters."""
    return {
        str(file.relative_to(folder)).rpartition("/")[0] or file.name
        for file in folder.rglob("*")
        if file.is_file() and any(needle.encode() in content for content in contents(file))
    }


def forgotten(corpus: Corpus, ids: set[str], **options: Any) -> Report:
    return forget(corpus, choose(corpus, ids=sorted(ids), **options), "takedown 17")


def assert_sound(corpus: Corpus, expected: str) -> None:
    """Nothing damaged, left over, unfinished or of the needle; the corpus is the one that never held it."""
    assert holders(corpus.folder) == set()
    found = check(corpus)
    assert (found.damaged, found.orphans) == ([], [])
    with corpus.catalog.read() as con:
        assert con.execute("SELECT count(*) FROM store.settings WHERE name = 'forgetting'").fetchall() == [
            (0,)
        ]
    assert sorted(p.name for p in corpus.folder.glob(".tmp*")) == []
    assert digest(corpus) == expected
