"""Killed anywhere, any number of times: started again, a run ends with the same corpus as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.run import run
from curator.verify import check, digest
from tests.conftest import Workshop
from tests.texts import write_sources

KILLS = int(os.environ.get("CURATOR_KILLS", "10"))  #: 50 is the long form
HOLD = 60.0 if KILLS >= 50 else 3.0
FILES, DOCUMENTS = 16, 60

PLUGINS = '''
import os
import resource
import time

from curator import Filter, hookimpl


class Slow(Filter):
    """Take a while, so that kills hit the middle."""
    signals = {"chars": int}

    def measure(self, docs):
        time.sleep(float(os.environ.get("SLOW", "0")))
        return {"chars": docs.text.str.len_chars()}


class FullDisk(Filter):
    """While the file `full` is there, let nothing be written behind a text that says so."""
    signals = {"full": bool}

    def measure(self, docs):
        full = docs.text.str.contains("disk is full")
        limit = 100 if full.any() and os.path.exists(os.environ["FULL"]) else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return {"full": full}


@hookimpl
def register_filters(register):
    register(Slow)
    register(FullDisk)
'''
STEPS = ["fix_unicode", {"language": {"keep": ["en"]}}, "slow", "gopher_quality", "exact", "minhash"]
GATED = [*STEPS[:3], "gate", *STEPS[3:]]


class Running:
    """`curator run` in a process group of its own."""

    def __init__(self, recipe: Path, corpus: Path, *, slow: float = 0.0, workers: int = 2) -> None:
        self.corpus = corpus
        command = [sys.executable, "-m", "curator", "run", str(recipe), "-c", str(corpus), "-w", str(workers), "--json"]
        self.process = subprocess.Popen(
            command, env=os.environ | {"SLOW": str(slow)}, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def workers(self) -> list[int]:
        """Process ids of the workers, of a coordinator that is dead too."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                group = int(stat.read_text().rpartition(")")[2].split()[2])
                command = (stat.parent / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if group == self.process.pid and b"spawn_main" in command:
                found.append(int(stat.parent.name))
        return found

    def sidecars(self) -> int:
        return len(list(self.corpus.glob("shards/pending/[0-9]*.json")))

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Wait for a condition; False where the run ended before, or `seconds` are over."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def at_work(self) -> bool:
        """Wait for the workers to be there; False where the run ended without any."""
        while self.process.poll() is None and not self.workers():
            time.sleep(0.05)
        return self.process.poll() is None

    def kill(self, draw: random.Random) -> bool:
        """Kill coordinator, worker or group; False if there was none left to kill."""
        victim = draw.choice(["coordinator", "worker", "group"])
        try:
            if victim == "worker":
                os.kill(draw.choice(self.workers() or [self.process.pid]), signal.SIGKILL)
            elif victim == "group":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        except ProcessLookupError:
            return False
        return True

    def finish(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, err[-3000:]
        answer: dict[str, Any] = json.loads(out)
        return answer

    def notes(self) -> str:
        """What it told on stderr; it ends the run."""
        return " ".join(self.process.communicate(timeout=240)[1].split())


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Any]], Path]:
    """Writes a recipe over 16 splits of 60 documents."""
    folder = tmp_path_factory.mktemp("resumed")
    sources = write_sources(folder, FILES, DOCUMENTS)
    (folder / "plugins.py").write_text(PLUGINS)

    def write(steps: list[Any]) -> Path:
        content = {"name": "resumed", "plugins": ["./plugins.py"], "sources": sources, "steps": steps}
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


def undisturbed(recipe: Path, corpus: Path, engine: Any = None) -> str:
    """The digest of a run that nobody kills."""
    run(recipes.load(str(recipe)), engine or InlineEngine(), corpus=corpus)
    return digest(Corpus.existing(corpus))


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, recipe: Callable[[list[Any]], Path]
) -> Callable[[list[Any]], str]:
    """The digest of some steps when nobody kills the run; each list of steps is run once."""
    found: dict[str, str] = {}

    def of(steps: list[Any]) -> str:
        if str(steps) not in found:
            found[str(steps)] = undisturbed(recipe(steps), tmp_path_factory.mktemp("undisturbed"))
        return found[str(steps)]

    return of


def assert_whole(corpus: Path, expected: str) -> None:
    """Nothing damaged, left over, lost or doubled, and the digest is that of an undisturbed run."""
    opened = Corpus.existing(corpus)
    found = check(opened)
    assert (found.damaged, found.orphans) == ([], [])
    assert list(corpus.glob("shards/pending/*")) == []
    rows = opened.sql("SELECT count(*), count(DISTINCT doc_key), count(DISTINCT source) FROM documents").rows()
    assert rows == [(FILES * DOCUMENTS, FILES * DOCUMENTS, FILES)]
    assert digest(opened) == expected


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
@pytest.mark.parametrize("steps", [STEPS, GATED], ids=["plain", "gate"])
def test_killed_at_random_moments(
    tmp_path: Path, recipe: Callable[[list[Any]], Path], expected: Callable[[list[Any]], str], steps: list[Any]
) -> None:
    """SIGKILL of coordinator, worker or group, and started again, until done: the same digest, nothing lost.

    Kills come after a random time, when a shard is handed in, or when shards were just registered. A run
    that is done before all kills are used up is checked, and the next begins with an empty corpus.
    """
    whole = expected(steps)
    path = recipe(steps)
    draw = random.Random(len(steps))
    killed, rounds, left = 0, 0, max(1, KILLS // 2)
    while killed < left or not rounds:
        corpus = tmp_path / f"corpus{rounds}"
        while True:
            running = Running(path, corpus, slow=0.15)
            while killed < left and running.at_work():
                before = running.sidecars()
                moment = draw.choice(["time", "handed in", "registered"])
                if moment == "handed in":
                    running.wait_until(lambda r=running, n=before: r.sidecars() > n, 2)
                elif moment == "registered":
                    running.wait_until(lambda r=running: r.sidecars() > 0, 2)
                    running.wait_until(lambda r=running: r.sidecars() == 0, 2)
                running.wait_until(lambda: False, (0.8 if moment == "time" else 0.01) * draw.random())
                killed += running.process.poll() is None and running.kill(draw)
            if running.process.wait(timeout=240) == 0:
                break
            assert running.process.returncode == -signal.SIGKILL, running.notes()
        assert_whole(corpus, whole)
        rounds += 1
    assert killed == left


@pytest.mark.slow
def test_the_digest_does_not_depend_on_the_workers(tmp_path: Path, recipe: Callable[[list[Any]], Path]) -> None:
    """One, two and three workers, and none, give the same corpus."""
    path = recipe(GATED)
    engines = {"none": InlineEngine(), **{str(n): LocalEngine(n) for n in (1, 2, 3)}}
    found = {name: undisturbed(path, tmp_path / name, engine) for name, engine in engines.items()}
    assert found == dict.fromkeys(engines, found["none"])
    assert_whole(tmp_path / "3", found["none"])


def files_of(corpus: Path) -> dict[str, int]:
    """Every shard file with the time it was written."""
    return {str(p.relative_to(corpus)): p.stat().st_mtime_ns for p in (corpus / "shards").rglob("*.parquet")}


def test_a_second_run_does_nothing(tmp_path: Path, recipe: Callable[[list[Any]], Path]) -> None:
    """No document is read or measured again and no shard file is touched."""
    path = recipe(STEPS)
    before = undisturbed(path, tmp_path / "corpus")
    files = files_of(tmp_path / "corpus")
    report = run(recipes.load(str(path)), InlineEngine(), corpus=tmp_path / "corpus")
    assert (dict(report.counts), dict(report.seconds)) == ({}, {})
    assert files_of(tmp_path / "corpus") == files
    assert_whole(tmp_path / "corpus", before)


def test_one_more_filter_measures_only_itself(
    tmp_path: Path, recipe: Callable[[list[Any]], Path], expected: Callable[[list[Any]], str]
) -> None:
    """The other steps' files stay as they are, and the run's seconds name only the new step."""
    path = recipe([s for s in STEPS if s != "gopher_quality"])
    undisturbed(path, tmp_path / "corpus")
    files = files_of(tmp_path / "corpus")
    path = recipe(STEPS)
    report = run(recipes.load(str(path)), InlineEngine(), corpus=tmp_path / "corpus")
    assert files_of(tmp_path / "corpus") == files
    corpus = Corpus.existing(tmp_path / "corpus")
    seconds = corpus.sql("SELECT seconds FROM runs WHERE run_id = ?", [report.run_id]).rows()[0][0]
    # what it needs is done again: the cleaner before it, whose text is not stored, and the language that it reads
    assert set(json.loads(seconds)) == {"read", "write", "fix_unicode", "language", "gopher_quality"}
    assert_whole(tmp_path / "corpus", expected(STEPS))


@pytest.mark.slow
def test_sql_answers_while_a_run_goes_on(tmp_path: Path, recipe: Callable[[list[Any]], Path]) -> None:
    """Another process's queries see whole shards, more and more of them; nobody fails."""
    running = Running(recipe(STEPS), tmp_path / "corpus", slow=0.9)
    assert running.wait_until(lambda: (tmp_path / "corpus" / "shards" / "text").exists())
    ask = [sys.executable, "-m", "curator", "sql", "-c", str(tmp_path / "corpus"), "--format", "csv"]
    query = "SELECT count(*) AS n, count(*) FILTER (decision IS NULL) AS undecided FROM documents"
    seen = []
    while running.process.poll() is None:
        asked = subprocess.run([*ask, query], capture_output=True, text=True, check=True)
        seen.append(tuple(map(int, asked.stdout.splitlines()[1].split(","))))
    running.finish()
    counts = [n for n, _ in seen]
    assert counts == sorted(counts)
    assert {n % DOCUMENTS for n in counts} == {0}
    assert any(0 < n < FILES * DOCUMENTS and undecided == n for n, undecided in seen)


@contextmanager
def holding(catalog: Path) -> Iterator[tuple[int, int]]:
    """Another program that keeps the catalog open: its process id, and how many splits it sees done."""
    code = (
        "import duckdb, sys, time\n"
        "while True:\n"
        "    try:\n"
        "        con = duckdb.connect(sys.argv[1], read_only=True)\n"
        "        break\n"
        "    except duckdb.IOException:\n"
        "        time.sleep(0.005)\n"
        "print(con.sql(\"SELECT count(*) FROM splits WHERE state = 'done'\").fetchall()[0][0], flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(catalog)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        assert process.poll() is None


@pytest.mark.slow
def test_a_reader_that_holds_the_catalog_does_not_slow_the_map(
    tmp_path: Path, recipe: Callable[[list[Any]], Path], expected: Callable[[list[Any]], str]
) -> None:
    """Every shard is handed in while it holds the file, a note names it, and all are registered after."""
    running = Running(recipe(STEPS), tmp_path / "corpus", slow=0.3)
    assert running.wait_until(lambda: len(list((tmp_path / "corpus" / "shards" / "text").glob("0*"))) > 1)
    with holding(tmp_path / "corpus" / "catalog.duckdb") as (reader, done):
        since = time.monotonic()
        assert running.wait_until(lambda: running.sidecars() == FILES - done, 30)
        took = time.monotonic() - since
        time.sleep(max(0.0, HOLD - took))
        assert running.process.poll() is None
        assert running.sidecars() == FILES - done > FILES // 2
    notes = running.notes()
    assert running.process.returncode == 0, notes
    assert took < 0.3 * FILES / 2 + 10
    assert f"(process {reader})" in notes
    assert "shards wait to be registered, the work goes on" in notes
    assert_whole(tmp_path / "corpus", expected(STEPS))


def test_a_full_disk_fails_one_split(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A split whose files cannot be written is failed with the error; the others go on, the next run does it."""
    (workshop.folder / "plugins.py").write_text(PLUGINS)
    full = workshop.folder / "full"
    full.touch()
    monkeypatch.setenv("FULL", str(full))
    texts = {"a": "one", "b": "the disk is full", "c": "three"}
    sources = [workshop.source(name, [{"id": name, "text": text}]) for name, text in texts.items()]
    recipe = workshop.recipe(["full_disk"], sources, plugins=["./plugins.py"])
    report = run(recipe, LocalEngine(1))
    assert [f.partition(":")[0] for f in report.failed] == ["split 1 of b"]
    corpus = Corpus.existing(workshop.corpus_folder)
    rows = corpus.sql("SELECT state, error LIKE '%File too large%' FROM splits ORDER BY split_id").rows()
    assert rows == [("done", None), ("failed", True), ("done", None)]
    assert corpus.sql("SELECT source_key FROM documents ORDER BY 1").rows() == [("a",), ("c",)]
    full.unlink()
    assert run(recipe, LocalEngine(1)).failed == []
    assert corpus.sql("SELECT source_key FROM documents ORDER BY 1").rows() == [("a",), ("b",), ("c",)]
    assert (check(corpus).damaged, check(corpus).orphans) == ([], [])
