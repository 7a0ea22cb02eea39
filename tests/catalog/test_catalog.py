"""The catalog file: its schema and comments, migrations, and the commit of shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from curator.corpus import Corpus
from curator.engines import Outcome
from curator.engines.local import InlineEngine
from curator.errors import CuratorError
from curator.run import run
from curator.verify import check, digest
from curator_catalog import Catalog, CatalogBusy, CatalogError, catalog, commits
from tests.conftest import Workshop
from tests.texts import documents

STEPS = ["fix_unicode", "language", "gopher_quality", "exact", {"minhash": {"min_similarity": 0.7}}]
CONTRACT = {
    "documents": "doc_id doc_key source source_key url host title published retrieved license declared_domain domain "
    "language metadata n_chars n_words content_hash text_hash decision kept reason reasons",
    "texts": "doc_id text_read text",
    "decisions": "decision_set doc_id decision kept reason reasons",
    "rules": "decision_set step rule reason expression options",
    "duplicates": "decision_set doc_id step cluster_id cluster_size kept_copy",
    "duplicate_edges": "a b step similarity",
    "sources": "source plugin options license declared_domain",
    "splits": "split_id source state size error",
    "shards": "shard_id measure path rows bytes hash run_id",
    "runs": "run_id recipe resolved versions started finished state counts seconds",
    "quarantine": "split_id source uri position step doc_id reason detail",
    "tombstones": "doc_key content_hash url source doc_id reason forgotten",
    "export_forgotten": "export_id documents forgotten",
    "documents_in('test')": "doc_id source_key decision kept reason reasons",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus after a run, with a promoted column, copies, quarantine and two decision sets."""
    workshop = Workshop(tmp_path_factory.mktemp("curated"))
    (workshop.folder / "web.jsonl").write_text(
        "{broken\n" + "".join(json.dumps(d) + "\n" for d in documents(0, 60)), encoding="utf-8"
    )
    source = {"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"n": "int"}}}
    workshop.curate(["gopher_quality", "exact"], sources=[source], name="other")
    workshop.curate(STEPS, sources=[source])
    return workshop.folder


@pytest.fixture
def curated(workshop: Workshop, made: Path) -> Corpus:
    return workshop.restore(made)


def uncommented(path: Path) -> list[str]:
    """Every table, view, macro and column of ours that has no comment."""
    ours = "NOT internal AND schema_name IN ('main', 'store', 'measures', 'signals', 'decided')"
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.execute(
            f"""SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE {ours} AND comment IS NULL
            UNION ALL SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE {ours} AND comment IS NULL
            UNION ALL SELECT function_name FROM duckdb_functions() WHERE {ours} AND comment IS NULL
            UNION ALL SELECT schema_name || '.' || table_name || '.' || column_name FROM duckdb_columns()
                WHERE {ours} AND comment IS NULL"""
        ).fetchall()
    return sorted(name for (name,) in rows)


def test_everything_has_a_comment_when_new(tmp_path: Path) -> None:
    """A catalog made from the migrations explains every table, view, macro and column."""
    created = Catalog(tmp_path)
    created.create()
    assert uncommented(created.path) == []
    with created.read() as con:
        assert catalog.schema_version(con) == catalog.migrations()[-1][0]


def test_everything_has_a_comment_after_a_run(curated: Corpus) -> None:
    """So does one with measures, signals, decisions and a promoted column."""
    assert uncommented(curated.catalog.path) == []
    rows = curated.sql("SELECT comment FROM duckdb_columns() WHERE table_name = 'documents' AND column_name = 'n'").rows()
    assert set(rows) == {("Field of the records, which a source promotes to a column",)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """To read from alone."""
    corpus = Corpus(tmp_path_factory.mktemp("empty"))
    corpus.catalog.create()
    return corpus


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_on_an_empty_catalog(empty: Corpus, name: str) -> None:
    """The tables SQL users rely on answer with their columns and no rows."""
    table = empty.sql(f"FROM {name}").arrow()
    assert table.num_rows == 0
    assert set(CONTRACT[name].split()) - set(table.column_names) == set()


def test_the_contract_after_a_run(curated: Corpus) -> None:
    """They answer with their columns, and the numbers agree with each other."""
    for name, columns in CONTRACT.items():
        assert set(columns.split()) - set(curated.sql(f"FROM {name}").arrow().column_names) == set(), name
    numbers = curated.sql(
        """SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM texts),
            (SELECT count(*) FROM decisions WHERE decision_set = 'test'), (SELECT count(*) FROM documents_in('other')),
            (SELECT count(*) FROM signals.minhash), (SELECT rows FROM shards WHERE measure = 'text'),
            (SELECT count(*) FROM quarantine), (SELECT count(*) FROM documents_in('nobody'))"""
    ).rows()
    assert numbers == [(60, 60, 60, 60, 60, 60, 1, 0)]
    assert curated.sql("SELECT count(*) FROM duplicates WHERE step = 'minhash'").rows()[0][0] > 0
    edges = curated.sql(
        "SELECT bool_and(x.doc_key < y.doc_key AND similarity BETWEEN 0 AND 1) FROM duplicate_edges "
        "JOIN documents x ON a = x.doc_id JOIN documents y ON b = y.doc_id"
    ).rows()
    assert edges == [(True,)]


def test_two_steps_that_measure_the_same(workshop: Workshop) -> None:
    """They share one table, of one row a document, and differ in their rules."""
    twice = ["gopher_quality", {"gopher_quality": {"as": "strict", "min_words": 1000}}]
    steps = [*twice, "minhash", {"minhash": {"as": "longest", "keep": "longest"}}]
    corpus = workshop.curate(steps, documents(0, 30))
    for step in ("gopher_quality", "strict", "minhash", "longest"):
        counts = corpus.sql(f"SELECT count(*), count(DISTINCT doc_id) FROM signals.{step}").rows()
        assert counts == [(30, 30)], step
    assert corpus.sql("SELECT count(*) FROM shards").rows() == [(2,)]
    assert corpus.sql("SELECT count(*) FILTER (list_contains(reasons, 'strict.gopher_short_doc')) FROM documents").rows() == [(30,)]


def test_a_new_column_while_a_run_goes_on(workshop: Workshop) -> None:
    """documents answers between the commit that promotes a column and the decisions."""
    corpus = workshop.curate(["exact"], [{"id": "a", "text": "one", "n": 1}])
    with corpus.catalog.write() as con:
        con.execute("ALTER TABLE store.documents ADD COLUMN later INTEGER")
    assert corpus.sql("SELECT source_key, kept FROM documents").rows() == [("a", True)]


# -- migrations


def test_migrations_are_numbered_from_1() -> None:
    numbers = [number for number, _ in catalog.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def with_a_migration(monkeypatch: pytest.MonkeyPatch, sql: str) -> int:
    """Another migration behind the last one; its number."""
    known = catalog.migrations()
    number = known[-1][0] + 1
    monkeypatch.setattr(catalog, "migrations", lambda: [*known, (number, sql)])
    return number


def test_an_older_catalog_is_migrated(curated: Corpus, monkeypatch: pytest.MonkeyPatch, workshop: Workshop) -> None:
    """Only what is new is done, once; until then reading it says which command migrates it."""
    before = digest(curated)
    number = with_a_migration(monkeypatch, "CREATE TABLE store.added AS SELECT count(*) AS n FROM store.documents")
    with pytest.raises(CuratorError, match=rf"schema version {number - 1}, which is older than {number}; `curator run`"):
        curated.sql("SELECT 1")
    for _ in range(2):
        curated.catalog.create()
    with curated.catalog.read() as con:
        assert con.execute("FROM store.added").fetchall() == [(60,)]
        assert catalog.schema_version(con) == number
    assert digest(curated) == before


def test_a_migration_that_fails_leaves_the_catalog(curated: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations are one transaction."""
    with monkeypatch.context() as patched:
        with_a_migration(patched, "CREATE TABLE store.added (i INT); SELECT error('half way')")
        with pytest.raises(duckdb.Error, match="half way"):
            curated.catalog.create()
    assert curated.sql("SELECT count(*) FROM documents").rows() == [(60,)]
    with curated.catalog.read() as con:
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'added'").fetchall() == [(0,)]


def test_a_newer_catalog_is_refused(curated: Corpus, monkeypatch: pytest.MonkeyPatch, workshop: Workshop) -> None:
    """By a run and by a query; the message names both versions."""
    known = catalog.migrations()[-1][0]
    with monkeypatch.context() as patched:
        number = with_a_migration(patched, "SELECT 1")
        curated.catalog.create()
    with pytest.raises(CuratorError, match=f"has schema version {number}, this curator knows up to {known}"):
        workshop.curate(STEPS)
    with pytest.raises(CuratorError, match=f"schema version {number}, which is newer than this curator"):
        curated.sql("SELECT 1")


def test_a_file_that_is_no_catalog(tmp_path: Path) -> None:
    """It is named; nothing is written into it."""
    (tmp_path / "catalog.duckdb").write_bytes(b"something else" * 1000)
    with pytest.raises(CatalogError, match=f"{tmp_path}/catalog.duckdb cannot be opened"):
        Catalog(tmp_path).create()
    assert (tmp_path / "catalog.duckdb").read_bytes() == b"something else" * 1000


def test_a_busy_catalog_names_its_holder(tmp_path: Path) -> None:
    """Who waits for no longer is told who has it."""
    opened = Catalog(tmp_path)
    opened.create()
    with duckdb.connect(str(opened.path)), pytest.raises(CatalogBusy, match=f"{opened.path} is held by "), opened.read(0.1):
        pass


# -- a folder that was moved


def test_a_moved_corpus_answers(curated: Corpus, workshop: Workshop) -> None:
    """Texts and signals are found where they are now: the views follow the folder at the first question."""
    before = curated.sql("SELECT text FROM texts ORDER BY doc_id").rows()
    moved = workshop.folder / "it's moved"
    workshop.corpus_folder.rename(moved)
    assert Corpus(moved).sql("SELECT text FROM texts ORDER BY doc_id").rows() == before
    assert Corpus(moved).sql("SELECT count(*) FROM documents WHERE kept").rows()[0][0] > 0
    assert Corpus(moved).sql("SELECT count(*) FROM signals.minhash").rows() == [(60,)]


def test_a_moved_corpus_has_its_digest(curated: Corpus, workshop: Workshop) -> None:
    """signals.minhash, and so `curator check --digest`, answer in a moved folder too."""
    before = digest(curated)
    moved = workshop.corpus_folder.rename(workshop.folder / "moved")
    assert digest(Corpus(moved)) == before


# -- commits

WEB = [{"jsonl": {"name": "web", "path": "web.jsonl"}}]


def interrupt() -> None:
    """As Ctrl-C would."""
    raise InterruptedError


class Keeping(InlineEngine):
    """Copies what a task hands in to `kept`, before it is registered; then asks `then`."""

    def __init__(self, corpus: Path, kept: Path, then: Callable[[], Any] = lambda: None) -> None:
        self.corpus, self.kept, self.then = corpus, kept, then

    def map(self, make: Any, argument: Any, tasks: Iterable[Any]) -> Iterator[Outcome | None]:
        for outcome in super().map(make, argument, tasks):
            shutil.copytree(self.corpus / "shards", self.kept, dirs_exist_ok=True)
            self.then()
            yield outcome


def kept_run(workshop: Workshop, steps: list[Any]) -> Path:
    """Run, and return a copy of all files as they were before the last commit."""
    kept = workshop.folder / "kept"
    run(workshop.recipe(steps, WEB), Keeping(workshop.corpus_folder, kept))
    return kept


def hand_in_again(workshop: Workshop, kept: Path, *, as_another_attempt: bool = False, only: str = "") -> None:
    """Put files of earlier attempts back, under their own names or as a late orphan would name its own."""
    names = {p.stem: f"{p.stem[:7]}{'f' * 12}" for p in (kept / "pending").glob("0*.json")}
    for path in (p for p in kept.rglob("*") if p.is_file() and p.name.endswith(only)):
        name = str(path.relative_to(kept))
        content = path.read_bytes()
        if as_another_attempt:
            for old, new in names.items():
                name = name.replace(old, new)
                content = content.replace(old.encode(), new.encode()) if path.suffix == ".json" else content
        target = workshop.corpus_folder / "shards" / name
        if not target.exists():
            target.write_bytes(content)


def shard_files(corpus: Corpus) -> list[str]:
    return sorted(str(p.relative_to(corpus.folder)) for p in (corpus.folder / "shards").rglob("*") if p.is_file())


@pytest.mark.parametrize("stage", ["read", "measure"])
@pytest.mark.parametrize("how", ["registered", "half tidied", "orphan"])
def test_what_was_handed_in_before_counts_once(workshop: Workshop, stage: str, how: str) -> None:
    """A sidecar of a commit that was killed before it tidied up, or of a late worker, changes nothing.

    Its files are deleted, unless they are the registered ones.
    """
    workshop.source("web", documents(0, 60))
    if stage == "measure":
        workshop.curate(["exact"])
    kept = kept_run(workshop, ["exact", "gopher_quality", "minhash"])
    corpus = Corpus.existing(workshop.corpus_folder)
    before, files = digest(corpus), shard_files(corpus)
    hand_in_again(workshop, kept, as_another_attempt=how == "orphan", only=".json" if how == "half tidied" else "")
    run(workshop.recipe(["exact", "gopher_quality", "minhash"], WEB), InlineEngine())
    assert digest(corpus) == before
    assert shard_files(corpus) == files
    assert check(corpus).damaged == []
    assert corpus.sql("SELECT count(*), count(DISTINCT doc_id) FROM signals.minhash").rows() == [(60, 60)]


@pytest.mark.parametrize("stage", ["read", "measure"])
def test_a_sidecar_whose_files_were_swept(workshop: Workshop, stage: str) -> None:
    """A late worker hands in after the next run swept its files: it is left out and its task done again."""
    workshop.source("web", documents(0, 60))
    if stage == "measure":
        workshop.curate(["exact"])
    recipe = workshop.recipe(["exact", "gopher_quality", "minhash"], WEB)
    kept = workshop.folder / "kept"
    with pytest.raises(InterruptedError):
        run(recipe, Keeping(workshop.corpus_folder, kept, interrupt))

    class Late(InlineEngine):
        def map(self, make: Any, argument: Any, tasks: Iterable[Any]) -> Iterator[Outcome | None]:
            hand_in_again(workshop, kept, only=".json")
            yield None
            yield from super().map(make, argument, tasks)

    shutil.rmtree(workshop.corpus_folder / "shards" / "pending")
    (workshop.corpus_folder / "shards" / "pending").mkdir()
    run(recipe, Late())
    corpus = Corpus.existing(workshop.corpus_folder)
    assert (check(corpus).damaged, check(corpus).orphans) == ([], [])
    assert corpus.sql("SELECT count(*), count(DISTINCT doc_id) FROM signals.minhash").rows() == [(60, 60)]


def test_a_half_written_sidecar_is_none(workshop: Workshop) -> None:
    """One that a worker was killed in is neither read nor left."""
    corpus = workshop.curate(["exact"], documents(0, 10))
    (corpus.folder / "shards" / "pending" / ".tmp-000000-abc.json").write_text("{")
    workshop.curate(["exact"])
    assert list((corpus.folder / "shards" / "pending").iterdir()) == []


def test_a_split_that_was_planned_anew(workshop: Workshop) -> None:
    """A late worker's shard of a file that changed meanwhile is left out and deleted."""
    workshop.source("web", documents(0, 60))
    kept = kept_run(workshop, ["exact", "minhash"])
    workshop.source("web", documents(7, 50))
    corpus = workshop.curate(["exact", "minhash"])
    files = shard_files(corpus)
    hand_in_again(workshop, kept, as_another_attempt=True)
    workshop.curate(["exact", "minhash"])
    assert shard_files(corpus) == files
    assert corpus.sql("SELECT count(*), min(source_key[1]) FROM documents").rows() == [(50, "7")]


@pytest.mark.parametrize("broken", ["measure", "quarantine"])
def test_a_commit_is_one_transaction(workshop: Workshop, broken: str) -> None:
    """When it breaks half way, nothing of it is visible; the next run registers what is whole."""
    (workshop.folder / "web.jsonl").write_text(
        "{broken\n" + "".join(json.dumps(d) + "\n" for d in documents(0, 20)), encoding="utf-8"
    )
    recipe = workshop.recipe(["exact", "gopher_quality"], WEB)
    with pytest.raises(InterruptedError):
        run(recipe, Keeping(workshop.corpus_folder, workshop.folder / "kept", interrupt))
    corpus = Corpus.existing(workshop.corpus_folder)
    (sidecar,) = commits.pending(corpus.folder)
    narrow = next(m["narrow"] for t, m in sidecar.content["measures"].items() if t.startswith("gopher"))
    path = corpus.folder / (narrow if broken == "measure" else sidecar.content["quarantine"])
    whole = path.read_bytes()
    path.write_bytes(b"no Parquet")
    with pytest.raises(duckdb.Error, match=r"no magic bytes|too small"), corpus.catalog.write() as con:
        commits.commit(con, corpus.folder, [sidecar], 1)
    with corpus.catalog.read() as con:
        (exact,) = con.execute("SELECT table_name FROM store.measures WHERE plugin = 'exact'").fetchall()[0]
        for table in ("documents", "shards", "quarantine", f'measures."{exact}"'):
            assert con.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table
        assert con.execute("SELECT state FROM splits").fetchall() == [("planned",)]
    path.write_bytes(whole)
    run(recipe, InlineEngine())
    counts = corpus.sql("SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM quarantine)").rows()
    assert counts == [(20, 1)]
    assert corpus.sql("SELECT hash FROM shards").rows() == [(sidecar.content["text"]["hash"],)]
