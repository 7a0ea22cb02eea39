"""Exports: complete, hashed, immutable, and nothing half written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import xxhash

from curator.corpus import Corpus
from curator.errors import UsageError
from curator.export import cached_export, export
from curator.mixture import load, of_query, plan
from tests.conftest import Workshop
from tests.test_mixture import BOTH, corpus, mixture

__all__ = ["corpus"]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_an_export_is_complete(workshop: Workshop, corpus: Corpus, format: str) -> None:
    """Texts, index, licences and hashes agree with each other and with the catalog."""
    planned = plan(corpus, load(mixture(workshop, BOTH, tokens=4000, holdout={"per_component": "10%"})))
    out = workshop.folder / "export"
    manifest = export(corpus, planned, format, out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    on_disk = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == on_disk
    for name, about in manifest["files"].items():
        assert xxhash.xxh3_128_hexdigest((out / name).read_bytes()) == about["xxh3_128"]
    index = pl.read_parquet(out / "documents.parquet")
    expected = dict(corpus.sql("SELECT doc_id, text FROM texts").rows())
    for (file,), rows in index.group_by("file", maintain_order=True):
        read = pl.read_parquet(out / file) if format == "parquet" else pl.read_ndjson(out / file)
        assert read["text"].to_list() == [expected[i] for i in rows["doc_id"]]
        assert read["id"].to_list() == rows["doc_key"].to_list()
        assert rows["row"].to_list() == list(range(read.height))
        assert ("heldout" in str(file)) == rows["held_out"].any() == rows["held_out"].all()
    licences = pl.read_csv(out / "licences.csv")
    assert licences["documents"].sum() == index.height
    assert licences["license"].unique().to_list() == ["CC0-1.0"]
    rows = corpus.sql("SELECT component, held_out, count(*) FROM export_documents GROUP BY ALL ORDER BY ALL").rows()
    assert rows == index.group_by("component", "held_out").len().sort("component", "held_out").rows()
    assert corpus.sql("SELECT mixture, format, documents FROM exports").rows() == [("m", format, index.height)]


def test_the_same_mixture_gives_the_same_bytes(workshop: Workshop, corpus: Corpus) -> None:
    """Two exports of one plan have the same file hashes."""
    planned = plan(corpus, load(mixture(workshop, BOTH)))
    first, second = (export(corpus, planned, "parquet", workshop.folder / n)["files"] for n in ("one", "two"))
    assert first == second


def test_an_export_is_never_changed(workshop: Workshop, corpus: Corpus) -> None:
    """A folder that exists is refused."""
    planned = plan(corpus, of_query("kind = 'law'"))
    export(corpus, planned, "parquet", workshop.folder / "export")
    with pytest.raises(UsageError, match="an export is never changed"):
        export(corpus, planned, "jsonl", workshop.folder / "export")


def test_a_cached_export_is_made_once(workshop: Workshop, corpus: Corpus) -> None:
    """The same mixture over the same corpus is exported once."""
    path = mixture(workshop, BOTH)
    first = cached_export(workshop.corpus_folder, path)
    made = (first / "manifest.json").stat().st_mtime_ns
    assert cached_export(workshop.corpus_folder, path) == first
    assert (first / "manifest.json").stat().st_mtime_ns == made


def test_a_full_disk_leaves_nothing(workshop: Workshop, corpus: Corpus) -> None:
    """When the disk is full in the middle, the error says so and no folder is left."""
    out = workshop.folder / "out" / "export"
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from curator.corpus import Corpus; from curator import export, mixture, cli;"
        "opened = Corpus.existing(sys.argv[1]); planned = mixture.plan(opened, mixture.of_query('true'));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from curator.cli.output import errors\n"
        "with errors(): export.export(opened, planned, 'jsonl', __import__('pathlib').Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", script, str(workshop.corpus_folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"curator: no space left for {out}" in done.stderr
    assert list(Path(out.parent).iterdir()) == []
    assert corpus.sql("SELECT count(*) FROM exports").rows() == [(0,)]
