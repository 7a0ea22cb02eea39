"""Later runs leave out what was forgotten; kills and other recipes change nothing of that."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.errors import CuratorError
from curator.forgetting import choose, forget
from curator.run import run
from curator.verify import check, digest, repair
from curator_catalog import commits
from tests.conftest import Workshop
from tests.forgetting.conftest import (
    LEAK,
    LEAKED,
    assert_sound,
    copied,
    forgotten,
    holders,
    rerun,
)
from tests.texts import documents


def test_runs_leave_them_out(corpus: Corpus, expected: str) -> None:
    """The same sources, a changed file, a damaged shard, the text under another key: none brings them back."""
    rerun(corpus)  # its sources were moved
    forgotten(corpus, LEAKED)
    assert rerun(corpus) == ({}, [])
    assert_sound(corpus, expected)
    folder = corpus.folder.parent
    for name in "ab":
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps({"id": f"other-{name}", "text": LEAK}) + "\n")
    counts, notes = rerun(corpus)
    assert counts["forgotten"] == 5
    assert "forgotten documents that the sources still have, left out: 5; see quarantine" in notes
    rows = corpus.sql(
        "SELECT source, detail, count(*) FROM quarantine WHERE reason = 'forgotten' GROUP BY ALL ORDER BY ALL"
    )
    assert rows.rows() == [("a", "", 2), ("b", "", 3)]
    assert digest(corpus) == expected
    ((path,),) = corpus.sql("SELECT max(path) FROM shards WHERE measure = 'text'").rows()
    (corpus.folder / path).write_bytes(b"")
    repair(corpus, check(corpus))
    assert rerun(corpus)[0]["forgotten"] == 3
    assert digest(corpus) == expected
    assert {
        h for h in holders(corpus.folder) if h != "catalog.duckdb"
    } == set()  # quarantined records show theirs


def test_lines_that_the_forgotten_had_first(tmp_path: Path) -> None:
    """What a cleaner took out because they had it too comes back with the next run, as forget says."""
    made = [
        {"id": str(i), "text": f"The first line of {i % 3} is shared.\nThis one is of {i} alone."}
        for i in range(9)
    ]
    digests = []
    for folder, gone in (("all", set()), ("fewer", {"0", "4"})):
        (tmp_path / folder).mkdir()
        workshop = Workshop(tmp_path / folder)
        steps = ["repeated_lines", "exact", {"minhash": {"bands": 20, "rows": 1}}]
        corpus = workshop.curate(steps, [d for d in made if d["id"] not in gone])
        if not gone:
            report = forgotten(corpus, {"0", "4"})
            assert "repeated_lines looked at the whole corpus; `curator run" in report.messages[0]
            rerun(corpus)
        digests.append(digest(corpus))
        first = corpus.sql(
            "SELECT source_key FROM texts JOIN documents USING (doc_id) WHERE contains(text, 'of 0 is')"
        )
        assert first.rows() == [("3",)]
    assert digests[0] == digests[1]


GATED = [
    {"language": {"keep": ["en"], "min_score": 0.1}},
    {"gopher_quality": {"min_words": 30, "min_stop_words": 0}},
    "gate",
    "fix_unicode",
    "exact",
    {"minhash": {"bands": 20, "rows": 3, "within": "source", "keep": "longest"}},
    {"minhash": {"as": "sure", "min_similarity": 0.8, "reelect": True}},
]


@pytest.mark.parametrize(("seed", "keep_original"), [(2, True), (2, False), (3, True)])
def test_any_documents(tmp_path: Path, seed: int, keep_original: bool) -> None:
    """The corpus is the one that its sources without any of these documents give."""
    draw = random.Random(seed)
    made = {name: documents(seed + i, 60) for i, name in enumerate("ab")}
    made["b"] += [{**d, "id": f"copy of {d['id']}"} for d in draw.sample(made["a"], 10)]
    named = draw.sample(made["a"], 12) + draw.sample(made["b"], 8)
    texts = {d["text"] for d in named}
    digests = []
    for folder, gone in (("all", set()), ("fewer", texts)):
        (tmp_path / folder).mkdir()
        workshop = Workshop(tmp_path / folder)
        entries = [workshop.source(n, [d for d in ds if d["text"] not in gone]) for n, ds in made.items()]
        corpus = workshop.curate(GATED, sources=entries, keep_original=keep_original)
        if not gone:
            report = forgotten(corpus, {d["id"] for d in named})
            assert (
                report.documents == sum(d["text"] in texts for ds in made.values() for d in ds) > len(named)
            )
            assert report.reelected > 0
        digests.append(digest(corpus))
    assert digests[0] == digests[1]


def test_a_run_at_work_is_not_disturbed(corpus: Corpus) -> None:
    """forget says so and changes nothing."""
    chosen = choose(corpus, ids=["leak"])
    with corpus.catalog.alone(), pytest.raises(CuratorError, match="another curator run is at work"):
        forget(corpus, chosen, "x")
    assert corpus.sql("SELECT count(*) FROM tombstones").rows() == [(0,)]


def test_shards_made_before_are_not_registered(corpus: Corpus) -> None:
    """A worker that outlived its run, and hands in its shard after documents were forgotten, is refused."""
    forgotten(corpus, {"leak"})
    sidecar = commits.Sidecar(Path("late.json"), {"shard_id": 0, "task": "read", "quarantine": None, "measures": {}, "text": None, "source": "a", "columns": {}})  # fmt: skip
    with corpus.catalog.write() as con:
        con.execute("UPDATE splits SET state = 'planned' WHERE split_id = 0")
        assert commits.commit(con, corpus.folder, [sidecar], 1) == []
        known = {**sidecar.content, "tombstones": 3}
        assert len(commits.commit(con, corpus.folder, [commits.Sidecar(sidecar.path, known)], 1)) == 1


KILLS = int(os.environ.get("CURATOR_KILLS", "10"))


@pytest.mark.slow
def test_killed_at_random_moments(made: Path, expected: str, tmp_path: Path) -> None:
    """SIGKILL anywhere, and the same command again, or a run before it: in the end it is as if undisturbed."""
    draw = random.Random(11)
    folder = tmp_path / "own"
    rerun(copied(made, folder))  # its sources were moved
    shutil.copytree(folder / "corpus", tmp_path / "undisturbed")
    (folder / "ids").write_text("\n".join(sorted(LEAKED)))
    command = [sys.executable, "-m", "curator", "forget", "--file", "ids", "--reason", "x", "--yes"]
    killed, unfinished, takes = 0, 0, 0.0

    def left() -> bool:
        """Until kills are used up, and came both before the transaction and behind it."""
        return killed < KILLS or not 0 < unfinished < killed

    while left():
        shutil.rmtree(folder / "corpus")
        shutil.copytree(tmp_path / "undisturbed", folder / "corpus")
        corpus = Corpus.existing(folder / "corpus")
        while True:
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
            if takes and left():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(takes * draw.uniform(0.4, 1.0))
                killed += process.poll() is None
                process.kill()
            _, told = process.communicate(timeout=120)
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, told
            with corpus.catalog.read() as con:
                unfinished += bool(
                    con.execute("SELECT 1 FROM store.settings WHERE name = 'forgetting'").fetchall()
                )
            if draw.random() < 0.3:
                run(recipes.load(str(folder / "test.yaml")), InlineEngine())
        takes = takes or time.monotonic() - started
        assert_sound(corpus, expected)
