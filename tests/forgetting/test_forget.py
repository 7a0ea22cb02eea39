"""What is forgotten is gone, to the last byte, and the corpus is the one that never held it."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator.corpus import Corpus
from curator.errors import CuratorError
from curator.export import cached_export, export
from curator.forgetting import choose, forget
from curator.mixture import of_query
from curator.verify import check
from curator_catalog import Catalog
from tests.conftest import Workshop
from tests.forgetting.conftest import (
    CLEAN,
    LEAK,
    NEEDLE,
    assert_sound,
    forgotten,
    holders,
    rerun,
)


def test_no_byte_is_left(corpus: Corpus, expected: str) -> None:
    """Texts, final texts, titles, metadata, quarantine, caches; and the corpus is one that never held it."""
    outside = corpus.folder.parent / "export"
    export(corpus, of_query("true"), {"parquet": {}}, outside)
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
    assert NEEDLE.encode() in (outside / "parquet" / "all" / "train-00000-of-00001.parquet").read_bytes() or holders(
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


def test_a_damaged_file_stops_it(corpus: Corpus) -> None:
    """Before anything is changed, with the command that mends it."""
    ((path,),) = corpus.sql("SELECT path FROM shards WHERE measure = 'text' AND shard_id = 0").rows()
    (corpus.folder / path).write_bytes(b"PAR1")
    with pytest.raises(
        CuratorError, match=r"`curator check --repair` and `curator run` .* nothing was forgotten"
    ):
        forgotten(corpus, {"leak"})
    assert corpus.sql("SELECT count(*) FROM documents WHERE source_key = 'leak'").rows() == [(1,)]
