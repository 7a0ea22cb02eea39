"""What is forgotten is gone, to the last byte; the corpus is the one that never held it; runs leave it out."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.errors import CuratorError, UsageError
from curator.export import cached_export, export
from curator.forgetting import Report, choose, forget
from curator.mixture import of_query, plan
from curator.run import run
from curator.tombstones import Tombstones, write_tombstones
from curator.verify import check, digest, repair
from curator.why import find
from curator_catalog import Catalog, catalog, commits, rewriting
from tests.conftest import Workshop
from tests.texts import ENGLISH, documents

KILLS = int(os.environ.get("CURATOR_KILLS", "10"))
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus that tests copy."""
    folder = tmp_path_factory.mktemp("made")
    curated(folder, engine=LocalEngine(1))
    return folder


@pytest.fixture(scope="module")
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


def test_no_byte_is_left(corpus: Corpus, expected: str) -> None:
    """Texts, final texts, titles, metadata, quarantine, caches; and the corpus is one that never held it."""
    outside = corpus.folder.parent / "export"
    export(corpus, plan(corpus, of_query("true")), "parquet", outside)
    inside = cached_export(corpus.folder, of_query("source = 'a'"))
    words = list((corpus.folder / "cache" / "words").glob("*.words"))
    with corpus.catalog.write() as con:
        con.execute("INSERT INTO models (model, kind, path) VALUES ('m', 'domain', '/m.ftz')")
    trial = Catalog(corpus.folder.with_name("corpus.sample"))
    trial.create()
    (trial.folder / "text").write_text(NEEDLE)
    stray = corpus.folder / "shards" / "pending" / "000009-dead.text.parquet"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text(NEEDLE)
    before = holders(corpus.folder)
    assert {"catalog.duckdb", "shards/text", "shards/pending"} < before
    assert {p.partition("_")[0] for p in before if "final" in p} == {"shards/final"}
    assert any(p.startswith("cache/exports/") for p in before)
    assert words
    assert corpus.sql(f"SELECT count(*) FROM quarantine WHERE contains(detail, '{NEEDLE}')").rows() == [(4,)]

    report = forgotten(corpus, {"leak", "leak-near"})

    assert_sound(corpus, expected)
    assert report.by_source == {"a": {"named": 1, "copies": 0}, "b": {"named": 1, "copies": 1}}
    assert [c["source_key"] for c in report.identical_copies] == ["leak-copy"]
    clean = corpus.sql("SELECT doc_id, kept FROM documents WHERE source_key = 'clean'").rows()
    assert [(report.near_copies[0], True)] == clean
    assert report.reelected == 1
    assert (report.files_removed, report.files_rewritten >= 4) == (0, True)
    assert report.models == [{"model": "m", "kind": "domain", "path": "/m.ftz"}]
    assert [(held.path, held.documents, held.dropped) for held in report.exports] == [
        (str(outside), 1, False),
        (str(inside), 1, True),
    ]
    marked = corpus.sql(
        "SELECT path, f.documents FROM export_forgotten f JOIN exports USING (export_id) ORDER BY path"
    ).rows()
    assert sorted(marked) == sorted([(str(inside), 1), (str(outside), 1)])
    assert corpus.sql("SELECT count(*) FROM models WHERE forgotten IS NOT NULL").rows() == [(1,)]
    assert not inside.exists()
    assert not trial.folder.exists()
    assert not any(word.exists() for word in words)
    assert NEEDLE.encode() in (outside / "data" / "all" / "train-00000.parquet").read_bytes() or holders(
        outside
    )
    stones = corpus.sql(
        "SELECT source, url, reason, content_hash IS NULL FROM tombstones ORDER BY doc_id"
    ).rows()
    assert stones == [
        ("a", "https://a.example/1", "takedown 17", False),
        *[("b", None, "takedown 17", False)] * 2,
    ]
    assert corpus.sql("SELECT DISTINCT detail FROM quarantine").rows() == [("emptied by curator forget",)]


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


def test_versions_that_newer_ones_replaced(tmp_path: Path) -> None:
    """Rows that no table knows any more go from the files by key, and by text; what replaced them by key only."""
    workshop = Workshop(tmp_path)
    old = [{"id": "1", "text": LEAK}, {"id": "2", "text": LEAK}, {"id": "3", "text": "Another one."}]
    workshop.curate(["exact"], old)
    corpus = workshop.curate(
        ["exact"], [{"id": "1", "text": "A new text."}, {"id": "2", "text": "A third text."}]
    )
    assert holders(corpus.folder) == {"shards/text"}
    forgotten(corpus, {"1"})
    assert corpus.sql("SELECT source_key FROM documents").rows() == [("2",)]
    assert holders(corpus.folder, "A new text") == set()
    assert holders(corpus.folder) == {"shards/text"}  # that of document 2, which nobody named
    forgotten(corpus, {"2"})
    assert holders(corpus.folder) == set()
    assert corpus.sql("SELECT count(*) FROM documents").rows() == [(0,)]


def test_copies_may_stay(corpus: Corpus) -> None:
    """With copies=False a document is known again by its key only."""
    report = forgotten(corpus, {"leak"}, copies=False)
    assert (report.documents, report.identical_copies) == (1, [])
    (corpus.folder.parent / "b.jsonl").write_text((corpus.folder.parent / "b.jsonl").read_text() + "\n\n")
    (corpus.folder.parent / "a.jsonl").write_text((corpus.folder.parent / "a.jsonl").read_text() + "\n\n")
    assert rerun(corpus)[0]["forgotten"] == 1
    rows = corpus.sql("SELECT source_key FROM documents WHERE source_key LIKE 'leak%' ORDER BY 1").rows()
    assert rows == [("leak-copy",), ("leak-near",)]


def test_a_whole_source_in_every_decision_set(tmp_path: Path) -> None:
    """Its shards leave no file; each recipe elects again, and the one in force stays in force."""
    workshop = Workshop(tmp_path)
    both = [
        workshop.source("x", [{"id": "1", "text": LEAK}]),
        workshop.source("y", [{"id": "1", "text": LEAK + " "}, {"id": "2", "text": CLEAN}]),
    ]
    workshop.curate([{"minhash": {"bands": 4, "rows": 2}}], sources=both, name="other")
    corpus = workshop.curate(["normalize_whitespace", "exact"], sources=both, name="test")
    kept = "SELECT decision_set, list(source || source_key ORDER BY 1) FROM decisions JOIN documents d USING (doc_id) WHERE decisions.kept GROUP BY 1 ORDER BY 1"
    kept = kept.replace("ORDER BY 1) FROM", "ORDER BY source, source_key) FROM")
    assert corpus.sql(kept).rows() == [("other", ["x1"]), ("test", ["x1", "y2"])]
    report = forget(corpus, choose(corpus, where="source = 'x'"), "licence")
    assert (report.files_removed, report.files_rewritten) == (2, 0)
    assert corpus.sql(kept).rows() == [("other", ["y1"]), ("test", ["y1", "y2"])]
    assert corpus.sql(
        "SELECT count(DISTINCT path), min(shard_id) FROM shards WHERE measure = 'text'"
    ).rows() == [(1, 1)]
    with corpus.catalog.read() as con:
        assert con.execute("SELECT value FROM store.settings WHERE name = 'decision_set'").fetchall() == [
            ("test",)
        ]
    assert check(corpus).ok


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


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["leak", "", "nobody", "noone"], "no document is called line 3: 'nobody', line 4: 'noone'"),
        (["0-0000", "twice"], "line 2: 'twice' is 2 documents"),
    ],
)
def test_ids_that_name_no_document_or_several(corpus: Corpus, ids: list[str], told: str) -> None:
    """They are named with their lines, and nothing is forgotten."""
    with corpus.catalog.write() as con:
        con.execute("UPDATE store.documents SET url = 'twice' WHERE source_key IN ('0-0001', '1-0001')")
    with pytest.raises(UsageError, match=told):
        choose(corpus, ids=ids)


def test_every_name_of_a_document(corpus: Corpus) -> None:
    """doc_id, doc_key with and without dashes, source_key and URL name it, before it is forgotten and after."""
    ((doc_id, doc_key),) = corpus.sql(
        "SELECT doc_id, doc_key::VARCHAR FROM documents WHERE source_key = 'leak'"
    ).rows()
    names = [str(doc_id), doc_key, doc_key.replace("-", ""), "leak", "https://a.example/1"]
    for name in names:
        assert choose(corpus, ids=[name], copies=False).documents["doc_id"].to_list() == [doc_id]
    assert choose(corpus, ids=names, copies=False).documents.height == 1
    forgotten(corpus, {"leak"})
    for name in names:
        with pytest.raises(UsageError, match=f"'{name}' was forgotten; table tombstones says when and why"):
            find(corpus, name)
    again = choose(corpus, ids=names)
    assert (again.documents.height, again.already) == (0, names)


@pytest.mark.parametrize(
    "where",
    ["1) or (1=1; drop", "1) or (1=1", "true) UNION (SELECT 1", "true UNION SELECT true", "1, 2", "kept FROM documents",
     "true LIMIT 1", "true; SELECT 1", "", "kept -- \n) or (true", "nothing = 1"],
)  # fmt: skip
def test_the_gate(corpus: Corpus, where: str) -> None:
    """Only one expression over documents is let through."""
    with pytest.raises(UsageError):
        choose(corpus, where=where)


def test_an_expression_may_look_at_texts(corpus: Corpus) -> None:
    """Subqueries are allowed, comments too."""
    by_text = f"doc_id IN (SELECT doc_id FROM texts WHERE contains(text, '{NEEDLE}')) -- all of them"
    assert set(choose(corpus, where=by_text).documents["source_key"]) == LEAKED


def test_a_run_at_work_is_not_disturbed(corpus: Corpus) -> None:
    """forget says so and changes nothing."""
    chosen = choose(corpus, ids=["leak"])
    with corpus.catalog.alone(), pytest.raises(CuratorError, match="another curator run is at work"):
        forget(corpus, chosen, "x")
    assert corpus.sql("SELECT count(*) FROM tombstones").rows() == [(0,)]


def test_a_damaged_file_stops_it(corpus: Corpus) -> None:
    """Before anything is changed, with the command that mends it."""
    ((path,),) = corpus.sql("SELECT path FROM shards WHERE measure = 'text' AND shard_id = 0").rows()
    (corpus.folder / path).write_bytes(b"PAR1")
    with pytest.raises(
        CuratorError, match=r"`curator check --repair` and `curator run` .* nothing was forgotten"
    ):
        forgotten(corpus, {"leak"})
    assert corpus.sql("SELECT count(*) FROM documents WHERE source_key = 'leak'").rows() == [(1,)]


def test_shards_made_before_are_not_registered(corpus: Corpus) -> None:
    """A worker that outlived its run, and hands in its shard after documents were forgotten, is refused."""
    forgotten(corpus, {"leak"})
    sidecar = commits.Sidecar(Path("late.json"), {"shard_id": 0, "task": "read", "quarantine": None, "measures": {}, "text": None, "source": "a", "columns": {}})  # fmt: skip
    with corpus.catalog.write() as con:
        con.execute("UPDATE splits SET state = 'planned' WHERE split_id = 0")
        assert commits.commit(con, corpus.folder, [sidecar], 1) == []
        known = {**sidecar.content, "tombstones": 3}
        assert len(commits.commit(con, corpus.folder, [commits.Sidecar(sidecar.path, known)], 1)) == 1


def description(path: Path) -> dict[str, Any]:
    """Everything in a catalog file but its rows."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = {
            "tables": "SELECT schema_name, table_name, comment, sql FROM duckdb_tables()",
            "views": "SELECT schema_name, view_name, comment, sql FROM duckdb_views() WHERE NOT internal",
            "columns": "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal",
            "macros": "SELECT schema_name, function_name, comment, macro_definition FROM duckdb_functions() WHERE NOT internal",
            "keys": "SELECT schema_name, table_name, constraint_text FROM duckdb_constraints()",
        }
        return {name: con.execute(f"{query} ORDER BY ALL").fetchall() for name, query in found.items()}


def test_a_rewritten_catalog_is_the_same(corpus: Corpus) -> None:
    """Tables, keys, views, macros, comments and rows; it is smaller, and queries answer."""
    summary = digest(corpus)
    before = description(corpus.catalog.path)
    assert min(map(len, before.values())) > 0
    old, new = rewriting.rewrite(corpus.catalog)
    assert new <= old
    assert description(corpus.catalog.path) == before
    assert digest(corpus) == summary
    with pytest.raises(duckdb.ConstraintException), corpus.catalog.write() as con:
        con.execute("INSERT INTO splits SELECT * FROM splits")


def test_a_log_of_a_killed_writer_is_not_lost(corpus: Corpus) -> None:
    """What stands in the write-ahead log is in the rewritten file, and no log is left beside it."""
    code = (
        "import duckdb, os, sys\n"
        "con = duckdb.connect(sys.argv[1])\n"
        "con.execute(\"UPDATE store.documents SET title = 'from the log' WHERE source_key = 'leak'\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(corpus.catalog.path)], check=False)
    log = Path(f"{corpus.catalog.path}.wal")
    assert log.stat().st_size > 0
    rewriting.rewrite(corpus.catalog)
    assert not log.exists()
    assert corpus.sql("SELECT title FROM documents WHERE source_key = 'leak'").rows() == [("from the log",)]


def test_tombstones_of_workers(tmp_path: Path) -> None:
    """The file that workers map knows all hashes and no other; an empty one knows none."""
    made = Catalog(tmp_path)
    made.create()
    write_tombstones(made)
    assert (len(Tombstones(tmp_path)), "ab" * 16 in Tombstones(tmp_path)) == (0, False)
    draw = np.random.default_rng(7)
    hashes = [draw.bytes(16).hex() for _ in range(500)] + [
        "00" * 16,
        "ff" * 16,
        "ff" * 8 + "00" * 8,
        "ff" * 8 + "01" * 8,
    ]
    with made.write() as con:
        rows = [(hashes[i], hashes[-1 - i] if i % 3 else None) for i in range(len(hashes))]
        con.executemany("INSERT INTO tombstones (doc_key, content_hash) VALUES (?, ?)", rows)
    write_tombstones(made)
    known = Tombstones(tmp_path)
    assert len(known) == len(hashes)
    assert all(h in known for h in hashes)
    others = [draw.bytes(16).hex() for _ in range(500)] + ["ff" * 8 + "02" * 8, "00" * 15 + "01"]
    assert not any(h in known for h in others)


def test_an_older_catalog_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the tables, and keeps its rows; until then forget says which command migrates it."""
    known = catalog.migrations()
    older = Catalog(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(catalog, "migrations", lambda: known[:3])
        older.create()
    with older.write() as con:
        con.execute("INSERT INTO models (model) VALUES ('m')")
    with pytest.raises(
        CuratorError, match=r"schema version 3, which is older than \d+; `curator run` migrates it"
    ):
        choose(Corpus(tmp_path), where="true")
    older.create()
    assert choose(Corpus(tmp_path), where="true").documents.height == 0
    assert Corpus(tmp_path).sql("SELECT model, forgotten FROM models").rows() == [("m", None)]
    assert known[3][0] == 4


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
