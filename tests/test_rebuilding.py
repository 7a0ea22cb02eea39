"""Exports held to their manifests, made again from them, and traced: row to documents, document to exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.errors import CuratorError, UsageError
from curator.export import export
from curator.exported import exports_of
from curator.forgetting import choose, forget
from curator.lineage import decided, lineage, rows_of_step
from curator.mixture import load
from curator.rebuilding import rebuild, verify
from curator.tokens import open_tokens
from tests.conftest import Workshop
from tests.test_export import on_disk, tokenizer
from tests.test_mixture import BOTH, corpus, made, mixture

__all__ = ["corpus", "made", "tokenizer"]


@pytest.fixture
def out(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> Path:
    """An export in two formats."""
    asked = load(mixture(workshop, BOTH, tokens=20_000, holdout={"per_component": "10%"}, tokenizer="tokenizer.json"))
    export(corpus, asked, {"parquet": {}, "nanogpt": {}}, workshop.folder / "export")
    return workshop.folder / "export"


def test_verify_says_what_changed(out: Path) -> None:
    """A file that is gone, cut, altered, or added; one that formats share is read once."""
    found = verify(out)
    assert found.ok
    assert found.files == len(on_disk(out)) - 1
    assert found.bytes == sum({p.stat().st_ino: p.stat().st_size for p in out.rglob("*") if p.is_file()}.values()) - (
        (out / "manifest.json").stat().st_size
    )
    (out / "licences.csv").unlink()
    path = out / "parquet" / "law" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    payload = out / "nanogpt" / "med" / "train.bin"
    payload.write_bytes(payload.read_bytes()[:-1] + b"\xff")  # its other name is the same file
    (out / "notes.txt").touch()
    found = verify(out)
    size = path.stat().st_size
    shared = next((out / "tokens").glob("*/train.med.bin")).relative_to(out).as_posix()
    assert sorted(found.damaged) == sorted(
        [
            ("licences.csv", "is missing"),
            (path.relative_to(out).as_posix(), f"has {size:,} bytes, {size + 1:,} were written"),
            ("nanogpt/med/train.bin", "has another content than was written"),
            (shared, "has another content than was written"),
        ]
    )
    assert found.unknown == ["notes.txt"]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("blended", [False, True])
def test_the_same_bytes_again(workshop: Workshop, corpus: Corpus, tokenizer: Path, alone: bool, blended: bool) -> None:
    """From the export, or from its manifest alone, when everything else of it and the tokenizer's file are gone."""
    asked = load(mixture(workshop, BOTH, tokens=20_000, holdout={"per_component": "10%"}, tokenizer="tokenizer.json"))
    export(corpus, asked, {"jsonl": {}, "megatron": {}}, workshop.folder / "export", blended=blended)
    before = on_disk(workshop.folder / "export")
    manifest = workshop.folder / "export" / "manifest.json"
    if alone:
        manifest = Path(shutil.copy(manifest, workshop.folder / "kept.json"))
        shutil.rmtree(workshop.folder / "export")
        tokenizer.unlink()
    rebuild(corpus, manifest, workshop.folder / "again", InlineEngine())
    assert on_disk(workshop.folder / "again") == before
    assert corpus.sql("SELECT count(*), count(DISTINCT manifest_hash) FROM exports").rows() == [(2, 1)]


def test_what_cannot_be_rebuilt_is_named(workshop: Workshop, corpus: Corpus, out: Path) -> None:
    """The first document that was forgotten or is gone or has another text, the export that nobody knows; nothing is left."""
    again = workshop.folder / "again"
    index = pl.read_parquet(out / "documents.parquet")
    first = index.row(3, named=True)
    forget(corpus, choose(corpus, where=f"doc_id = {first['doc_id']}"), "takedown 12")
    with pytest.raises(CuratorError, match=rf"document {first['doc_id']} \(web {first['source_key']}, .*\) was forgotten on .*: takedown 12$"):
        rebuild(corpus, out, again, InlineEngine())
    manifest = Path(shutil.copy(out / "manifest.json", workshop.folder / "kept.json"))
    with pytest.raises(CuratorError, match=r"was forgotten on .*: takedown 12"):
        rebuild(corpus, manifest, again, InlineEngine())
    manifest.write_text(manifest.read_text().replace('"seed": 17', '"seed": 18'))
    with pytest.raises(UsageError, match=r"neither is documents.parquet beside it, nor does the corpus .* know this export"):
        rebuild(corpus, manifest, again, InlineEngine())
    assert not again.exists()
    assert list(workshop.folder.glob(".tmp-*")) == []


def test_other_texts_are_noticed(workshop: Workshop, corpus: Corpus, out: Path) -> None:
    """Under a recipe that cleans otherwise; the error says which decisions the export was made under."""
    source: dict[str, Any] = {"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"kind": "str"}, "license": "CC0-1.0"}}
    workshop.curate(["normalize_whitespace"], sources=[source], name="clean")
    changed = corpus.sql("SELECT count(*) FROM texts WHERE text <> text_read").rows()
    assert changed == [(200,)]
    with pytest.raises(CuratorError, match=r"has another text now than when it was exported, under the decisions of 'test'; .* others"):
        rebuild(corpus, out, workshop.folder / "again", InlineEngine())


def test_a_file_that_comes_out_otherwise_is_named(workshop: Workshop, corpus: Corpus, out: Path) -> None:
    """With the versions that differ, as a library may write other bytes."""
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["licences.csv"]["xxh3_128"] = "0" * 32
    manifest["versions"]["pyarrow"] = "1.0"
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CuratorError, match=r"licences.csv comes out otherwise than in .*: pyarrow 1.0 then, .* now; install those"):
        rebuild(corpus, out, workshop.folder / "again", InlineEngine())
    assert not (workshop.folder / "again").exists()


def test_rows_are_traced_to_their_documents(corpus: Corpus, out: Path) -> None:
    """The pieces of every row are what the row holds, and their documents are those of the index."""
    rows = open_tokens(out)
    index = pl.read_parquet(out / "documents.parquet").filter(~pl.col("held_out"))
    numbers = list(range(0, len(rows), 7))
    pieces = lineage(out, numbers)
    start = dict(index.select("doc_key", "token_start").rows())
    for number in numbers:
        of = [p for p in pieces if p.row == number]
        batch = rows.read([number])
        place = rows.places([number])
        assert {(p.component, p.epoch) for p in of} == {(rows.names[int(place.component[0])], int(place.epoch[0]))}
        payload = np.fromfile(rows.folder.parent / f"train.{of[0].component}.bin", dtype="<u2")
        tokens = [t for p in of for t in payload[start[p.doc_key] + p.start : start[p.doc_key] + p.stop].tolist()]
        assert tokens == batch.ids[0][batch.document[0] >= 0].tolist()
    told = decided(corpus, pieces)
    assert {(p.decision, p.reason) for p in told} <= {("kept", None), ("dropped", "exact.duplicate")}
    gone = told[0]
    forget(corpus, choose(corpus, where=f"doc_id = {gone.doc_id}"), "takedown 7")
    assert {(p.decision, p.reason) for p in decided(corpus, pieces) if p.doc_key == gone.doc_key} == {("forgotten", "takedown 7")}
    with pytest.raises(UsageError, match=rf"is trained in {len(rows):,} rows of 1024, numbered from 0; row {len(rows)} is none"):
        lineage(out, [len(rows)])


def test_rows_of_a_step() -> None:
    """Steps count from 1, as the ledger does."""
    assert list(rows_of_step(1, 4)) == [0, 1, 2, 3]
    assert list(rows_of_step(3, 2)) == [4, 5]
    with pytest.raises(UsageError, match="the first step of a training is 1"):
        rows_of_step(0, 4)


def test_a_document_is_traced_to_its_exports(workshop: Workshop, corpus: Corpus, out: Path) -> None:
    """Place and token range in each, also of an export that is deleted since."""
    index = pl.read_parquet(out / "documents.parquet")
    about = index.row(5, named=True)
    shutil.rmtree(out)
    (found,) = exports_of(corpus, about["doc_id"])
    assert found["path"] == str(out)
    assert {k: found[k] for k in ("component", "held_out", "place", "token_start", "token_stop")} == {
        k: about[k] for k in ("component", "held_out", "place", "token_start", "token_stop")
    }
