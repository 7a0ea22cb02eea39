"""What a run reads: new, changed and vanished files, keys that come again, and sources with other options."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curator import lines, planning
from curator import run as running
from curator.corpus import Corpus
from curator.engines import Outcome
from curator.engines.local import InlineEngine, LocalEngine
from curator.run import Report, run
from tests.conftest import Workshop

FOLDER = [{"jsonl": {"name": "web", "path": "data"}}]


class Data:
    """A folder of JSON lines files that one source reads, and its corpus."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.folder = workshop.folder / "data"
        self.folder.mkdir()

    def write(self, file: str, **texts: str) -> Path:
        """A file of one document for each text, its name the id."""
        path = self.folder / f"{file}.jsonl"
        path.write_text("".join(json.dumps({"id": k, "text": t}) + "\n" for k, t in texts.items()))
        return path

    def run(self, sources: list[Any] = FOLDER, engine: Any = None, **options: Any) -> Report:
        recipe = self.workshop.recipe(["exact"], sources)
        return run(recipe, engine or InlineEngine(), **options)

    @property
    def corpus(self) -> Corpus:
        return Corpus.existing(self.workshop.corpus_folder)

    def texts(self) -> dict[str, str]:
        """source_key -> text, of the documents in force."""
        rows = self.corpus.sql("SELECT source_key, text FROM documents JOIN texts USING (doc_id)").rows()
        assert len(rows) == len(dict(rows)), "a key is there twice"
        return dict(rows)

    def states(self) -> list[tuple[int, str]]:
        return self.corpus.sql("SELECT split_id, state FROM splits ORDER BY split_id").rows()


@pytest.fixture
def data(workshop: Workshop) -> Data:
    """An empty folder that a source reads."""
    return Data(workshop)


@pytest.fixture
def a_split_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two files are packed into a split."""
    monkeypatch.setattr(planning, "SPLIT_BYTES", 1)


class Watching(InlineEngine):
    """Asks `look` after each outcome is dealt with, and does only the first `most` tasks."""

    def __init__(self, look: Callable[[], Any], most: int = 1000) -> None:
        self.look, self.most, self.seen = look, most, []

    def map(self, make: Any, argument: Any, tasks: Iterable[Any]) -> Iterator[Outcome | None]:
        for outcome in super().map(make, argument, list(tasks)[: self.most]):
            yield outcome
            self.seen.append(self.look())


def test_files_are_packed_into_splits(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files share a split up to the limit; a split's number is that of its shard."""
    size = data.write("a", a="one").stat().st_size
    data.write("b", b="two")
    data.write("c", c="six")
    monkeypatch.setattr(planning, "SPLIT_BYTES", 2 * size)
    data.run()
    parts = data.corpus.sql("SELECT split_id, ordinal, parse_filename(uri) FROM parts ORDER BY ALL").rows()
    assert parts == [(0, 0, "a.jsonl"), (0, 1, "b.jsonl"), (1, 0, "c.jsonl")]
    keys = data.corpus.sql("SELECT doc_id >> 32, doc_id & 4294967295, source_key FROM documents ORDER BY doc_id").rows()
    assert keys == [(0, 0, "a"), (0, 1, "b"), (1, 0, "c")]


def test_an_unchanged_source_plans_nothing(data: Data) -> None:
    """A second run finds no new, changed or vanished file, and a touched one is the same."""
    path = data.write("a", a="one")
    data.run()
    os.utime(path, (1, 1))
    report = data.run()
    assert (report.changes.new, report.changes.changed, report.changes.vanished) == ({"web": 0}, {}, {})
    assert report.counts["documents"] == 0


def test_a_changed_file_in_a_packed_group(data: Data) -> None:
    """Only the file that changed is read again, as a split of its own; the others keep their doc_ids."""
    data.write("a", a="one")
    changed = data.write("b", b="two", gone="not there later")
    data.write("c", c="three")
    data.run()
    before = dict(data.corpus.sql("SELECT source_key, doc_id FROM documents").rows())
    data.write("b", b="two, changed")
    report = data.run()
    assert report.changes.changed == {"web": [str(changed)]}
    assert report.counts["documents"] == 1
    assert data.texts() == {"a": "one", "b": "two, changed", "c": "three"}
    after = dict(data.corpus.sql("SELECT source_key, doc_id FROM documents").rows())
    assert after == {"a": before["a"], "b": 1 << 32, "c": before["c"]}
    assert data.states() == [(0, "done"), (1, "done")]


def test_old_documents_stay_until_the_last_replacement(
    data: Data, monkeypatch: pytest.MonkeyPatch, a_split_each: None
) -> None:
    """The old documents of a file go in the transaction that commits the last split of its new content."""
    data.write("a", a="old a", b="old b")
    data.write("z", z="other")
    data.run()
    monkeypatch.setattr(lines, "PART", 40)
    monkeypatch.setattr(running, "COMMIT_EVERY", 0.0)
    data.write("a", n1="new " * 10, n2="new " * 11, n3="new " * 12)

    def keys() -> list[str]:
        return [k for (k,) in data.corpus.sql("SELECT source_key FROM documents ORDER BY 1").rows()]

    engine = Watching(keys)
    data.run(engine=engine)
    assert engine.seen[0] == ["a", "b", "n1", "z"]
    assert engine.seen[-1] == ["n1", "n2", "n3", "z"]
    assert [("a" in seen) for seen in engine.seen] == [True] * (len(engine.seen) - 1) + [False]
    assert dict(data.states())[0] == "superseded"


def test_an_interrupted_replacement_is_finished(data: Data, a_split_each: None) -> None:
    """A run that reads only some of the changed files leaves the others as they were for the next one."""
    for name in "ab":
        data.write(name, **{name: f"old {name}"})
    data.run()
    for name in "ab":
        data.write(name, **{name: f"new {name}"})
    data.run(engine=Watching(lambda: None, most=1))
    assert data.texts() == {"a": "new a", "b": "old b"}
    report = data.run()
    assert data.texts() == {"a": "new a", "b": "new b"}
    assert report.counts["documents"] == 1
    assert data.corpus.sql("SELECT * FROM quarantine").rows() == []


def test_a_file_that_changes_twice_before_it_is_read(data: Data, a_split_each: None) -> None:
    """A replacement that was planned and never read is itself replaced."""
    data.write("a", a="first")
    data.write("b", b="b")
    data.run()
    data.write("a", a="second")
    data.run(engine=Watching(lambda: None, most=0))
    assert data.texts() == {"a": "first", "b": "b"}
    data.write("a", a="third")
    data.run()
    assert data.texts() == {"a": "third", "b": "b"}
    assert data.states() == [(0, "superseded"), (1, "done"), (2, "superseded"), (3, "done")]


def test_a_vanished_file_is_kept_until_pruned(data: Data) -> None:
    """It is reported once and its documents stay; --prune takes them out."""
    path = data.write("a", a="one")
    data.write("b", b="two")
    data.run()
    path.unlink()
    assert data.run().changes.vanished == {"web": [str(path)]}
    assert data.run().changes.vanished == {}
    assert data.texts() == {"a": "one", "b": "two"}
    assert data.run(prune=True).changes.vanished == {"web": [str(path)]}
    assert data.texts() == {"b": "two"}


@pytest.mark.parametrize("pruned", [False, True])
def test_a_file_that_comes_back(data: Data, pruned: bool) -> None:
    """Kept, it is not read again; pruned, it is; with other content it always is."""
    path = data.write("a", a="one")
    data.write("b", b="two")
    data.run()
    path.unlink()
    data.run(prune=pruned)
    data.write("a", a="one")
    assert data.run().counts["documents"] == int(pruned)
    assert data.texts() == {"a": "one", "b": "two"}
    path.unlink()
    data.run(prune=pruned)
    data.write("a", a="three")
    assert data.run().counts["documents"] == 1
    assert data.texts() == {"a": "three", "b": "two"}
    assert data.corpus.sql("SELECT count(*) FROM parts WHERE state IN ('vanished', 'outdated')").rows() == [(0,)]


def test_a_vanished_file_that_was_never_read(data: Data, a_split_each: None) -> None:
    """Its split is given up and the run goes on."""
    data.write("a", a="one")
    path = data.write("b", b="two")
    data.run(engine=Watching(lambda: None, most=1))
    path.unlink()
    report = data.run()
    assert (report.changes.vanished, report.failed) == ({"web": [str(path)]}, [])
    assert data.states() == [(0, "done"), (1, "superseded")]


@pytest.mark.parametrize("engine", [InlineEngine(), LocalEngine(2)], ids=["inline", "two workers"])
@pytest.mark.parametrize("slow", ["a", "b"])
def test_a_key_of_two_files(data: Data, a_split_each: None, engine: Any, slow: str) -> None:
    """The newest split's document wins, whichever worker is done first; quarantine names the other."""
    for name in "ab":
        filler = {f"{name}{i}": f"{name} filler {i}" for i in range(3000 if name == slow else 1)}
        data.write(name, same=f"from {name}", **filler)
    assert data.run(engine=engine).failed == []
    assert data.texts()["same"] == "from b"
    found = data.corpus.sql("SELECT parse_filename(uri), position, reason FROM quarantine").rows()
    assert found == [("a.jsonl", "same", "superseded_key")]
    assert data.run().counts["documents"] == 0


def test_a_key_twice_in_a_split(data: Data) -> None:
    """The first document wins; quarantine says duplicate_key with file and position."""
    path = data.write("a", same="first")
    path.write_text(path.read_text() + json.dumps({"id": "same", "text": "second"}) + "\n")
    data.write("b", same="third")
    data.run()
    assert data.texts() == {"same": "first"}
    found = data.corpus.sql("SELECT parse_filename(uri), reason, detail FROM quarantine ORDER BY 1").rows()
    assert found == [("a.jsonl", "duplicate_key", "same"), ("b.jsonl", "duplicate_key", "same")]


def test_a_file_that_changes_while_it_is_read(
    data: Data, monkeypatch: pytest.MonkeyPatch, a_split_each: None
) -> None:
    """Its split fails and nothing of it is stored; the next run plans and reads the new content."""
    path = data.write("a", a="one")
    data.write("b", b="two")
    plan = planning.plan_splits

    def plan_then_change(*args: Any, **options: Any) -> Any:
        changes = plan(*args, **options)
        data.write("a", a="changed after the plan")
        return changes

    monkeypatch.setattr(running, "plan_splits", plan_then_change)
    report = data.run()
    assert len(report.failed) == 1
    assert f"{path}: its content changed after it was planned" in report.failed[0]
    assert data.states() == [(0, "failed"), (1, "done")]
    assert data.texts() == {"b": "two"}
    monkeypatch.undo()
    report = data.run()
    assert report.failed == []
    assert data.texts() == {"a": "changed after the plan", "b": "two"}


def test_a_failed_split_is_read_by_the_next_run(data: Data, a_split_each: None) -> None:
    """A file that cannot be opened leaves its split failed with the error; the next run reads it."""
    path = data.write("a", a="one")
    data.write("b", b="two")

    class Hiding(InlineEngine):
        def map(self, make: Any, argument: Any, tasks: Iterable[Any]) -> Iterator[Outcome | None]:
            path.rename(path.with_suffix(".away"))
            yield from super().map(make, argument, tasks)
            path.with_suffix(".away").rename(path)

    report = data.run(engine=Hiding())
    assert len(report.failed) == 1
    state, error = data.corpus.sql("SELECT state, error FROM splits WHERE split_id = 0").rows()[0]
    assert (state, "it vanished after it was planned" in error) == ("failed", True)
    assert data.run().failed == []
    assert data.texts() == {"a": "one", "b": "two"}
    assert data.corpus.sql("SELECT DISTINCT state, error FROM splits").rows() == [("done", None)]


@pytest.mark.parametrize("options", [{"text": "body"}, {"license": "MIT"}, {"id": "body"}], ids=str)
def test_other_options_of_a_source(data: Data, options: dict[str, str]) -> None:
    """A source whose options change is read again; one whose name or path is spelt otherwise is not."""
    path = data.write("a", a="one")
    path.write_text(json.dumps({"id": "a", "text": "one", "body": "the body"}) + "\n")
    data.run()
    spelt = [{"jsonl": {"name": "web", "path": "./data/*.jsonl"}}]
    assert data.run(spelt).counts["documents"] == 0
    assert data.run([{"jsonl": {"name": "web", "path": "data", **options}}]).counts["documents"] == 1
    rows = data.corpus.sql("SELECT source_key, license, text FROM documents JOIN texts USING (doc_id)").rows()
    key, text = (options.get("id") and "the body") or "a", "the body" if options.get("text") else "one"
    assert rows == [(key, options.get("license"), text)]
