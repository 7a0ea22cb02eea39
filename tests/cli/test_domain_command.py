"""`curator domain train`: what it prints and stores, that it repeats, what it refuses, and the model applied."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import xxhash

from tests.cli.conftest import call
from tests.conftest import Workshop
from tests.plugins.test_domain import LABELS, corpus_of, made_documents

SOURCES = [{"jsonl": {"name": "web", "path": "web.jsonl", "domain_field": "topic"}}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, dict[str, Any]]:
    """A corpus of three vocabularies, a model trained on it, and what the training answered."""
    workshop = Workshop(tmp_path_factory.mktemp("trained"))
    corpus_of(workshop, made_documents())
    ended = call("domain", "train", "--labels", LABELS, "-o", "model.ftz", "--json", folder=workshop.folder)
    assert (ended.code, ended.err) == (0, "")
    return workshop, ended.json


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def test_scores_are_those_of_the_held_out_documents(trained: tuple[Workshop, dict[str, Any]]) -> None:
    """Counted by hand over documents.domain, after a run that applied the model."""
    workshop, answer = trained
    corpus = workshop.curate([{"domain": {"model": "model.ftz"}}], sources=SOURCES)
    rows = corpus.sql("SELECT text, declared_domain, domain FROM texts JOIN documents USING (doc_id)").rows()
    held_out = []
    for text, declared, domain in rows:
        line = re.sub(r"[\W\d_]+", " ", text[:2000].lower()).strip()
        if xxhash.xxh3_64_intdigest(line.encode()) % 5 == 0:
            held_out.append((declared, domain))
    right = Counter(declared for declared, domain in held_out if declared == domain)
    declared, answered = Counter(d for d, _ in held_out), Counter(a for _, a in held_out)
    documents = Counter(row[1] for row in rows)
    assert 20 < len(held_out) < 60
    assert 0 < len(held_out) - right.total() < 15
    assert answer["scores"] == [
        {
            "label": label,
            "documents": documents[label],
            "held_out": declared[label],
            "precision": (precision := right[label] / answered[label]),
            "recall": (recall := right[label] / declared[label]),
            "f1": pytest.approx(f1(precision, recall)),
        }
        for label in sorted(documents)
    ]
    assert answer["macro_f1"] == pytest.approx(sum(s["f1"] for s in answer["scores"]) / 3)


def test_a_run_fills_domain_and_classifications(trained: tuple[Workshop, dict[str, Any]]) -> None:
    """Label and score of every document, beside what the source declares."""
    workshop, _ = trained
    corpus = workshop.curate([{"domain": {"model": "model.ftz"}}], sources=SOURCES)
    found = corpus.sql(
        "SELECT count(*), count(*) FILTER (c.label = d.domain AND c.score BETWEEN 0.3 AND 1), "
        "count(*) FILTER (d.domain = d.declared_domain) FROM documents d JOIN classifications c USING (doc_id) "
        "WHERE c.classifier = 'domain'"
    ).rows()[0]
    assert found[:2] == (180, 180)
    assert 130 < found[2] < 175  # one in seven declares another's


def test_the_catalog_knows_the_model(trained: tuple[Workshop, dict[str, Any]]) -> None:
    """Table models and the sidecar say what it is, of what, and how good."""
    workshop, answer = trained
    file = workshop.folder / "model.ftz"
    rows = workshop_models(workshop)
    assert [(r["model"], r["kind"], r["path"], r["query"]) for r in rows] == [
        ("domain", "domain", str(file), LABELS)
    ]
    sidecar = json.loads(file.with_name("model.ftz.json").read_text())
    whole = xxhash.xxh3_128_hexdigest(file.read_bytes())
    assert (rows[0]["hash"], sidecar["hash"], answer["hash"]) == (whole,) * 3
    assert rows[0]["labels"] == sidecar["labels"] == ["Kochen & Würze", "medical", "real estate"]
    assert json.loads(rows[0]["scores"]) == sidecar["scores"]
    assert sidecar["scores"] == {"labels": answer["scores"], "macro_f1": answer["macro_f1"]}
    assert answer["bytes"] == file.stat().st_size < 100_000
    assert not list(workshop.folder.glob(".training-*"))


def workshop_models(workshop: Workshop) -> list[dict[str, Any]]:
    from curator.corpus import Corpus

    return Corpus.existing(workshop.corpus_folder).sql("FROM models ORDER BY created").dicts()


def test_it_prints_a_table(workshop: Workshop) -> None:
    """A row a label; labels that are too small are named, and copies counted."""
    rare = [{"id": f"r{i}", "text": "rare words" + " again" * i, "topic": "rare"} for i in range(9)]
    several = [{"id": f"s{t}", "text": "the same text", "topic": t} for t in ("medical", "real estate")]
    copies = [{"id": f"c{i}", "text": f"{i} MEDBADE medsolu!", "topic": "medical"} for i in range(4)]
    corpus_of(workshop, made_documents() + rare + several + copies)
    ended = call("domain", "train", "--labels", LABELS + ";", "-o", "m.ftz", folder=workshop.folder)
    assert ended.code == 0
    assert ended.cells()[0] == ["label", "documents", "held out", "precision", "recall", "F1"]
    assert [row[0] for row in ended.cells()[1:4]] == ["Kochen & Würze", "medical", "real estate"]
    assert "label 'rare' left out: 9 documents are too few" in ended.out
    assert "left out besides: 3 copies, 2 rows whose text has several labels" in ended.out
    assert "- domain: {model: m.ftz}" in ended.out


def test_training_repeats(trained: tuple[Workshop, dict[str, Any]]) -> None:
    """The same bytes from a process of its own and from rows in another order; another seed gives others.

    At the level of the process, too, standard output holds JSON and standard error nothing.
    """
    workshop, _ = trained
    backwards = LABELS + " ORDER BY source_key DESC"
    command = [
        sys.executable,
        "-m",
        "curator",
        "domain",
        "train",
        "--json",
        "-o",
        "again.ftz",
        "--labels",
        backwards,
    ]
    done = subprocess.run(command, cwd=workshop.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["path"] == "again.ftz"
    first = (workshop.folder / "model.ftz").read_bytes()
    assert (workshop.folder / "again.ftz").read_bytes() == first
    other = call("domain", "train", "--labels", LABELS, "-o", "o.ftz", "--seed", 1, folder=workshop.folder)
    assert other.code == 0
    assert (workshop.folder / "o.ftz").read_bytes() != first


def test_another_model_makes_only_its_step_stale(workshop: Workshop) -> None:
    """The file counts by its content, not by its name; a run measures the domain step anew, and no other."""
    steps: list[Any] = ["language", {"domain": {"model": "model.ftz"}}, "gopher_quality"]
    corpus_of(workshop, made_documents())

    def train(*more: object) -> None:
        ended = call("domain", "train", "--labels", LABELS, "-o", "model.ftz", *more, folder=workshop.folder)
        assert ended.code == 0, ended.err

    def fingerprints(model: str = "model.ftz") -> list[str]:
        chosen = [steps[0], {"domain": {"model": model}}, steps[2]]
        return [s.fingerprint for s in workshop.recipe(chosen, SOURCES).steps]

    train()
    workshop.curate(steps, sources=SOURCES)
    before = fingerprints()
    for end in ("", ".json"):
        (workshop.folder / f"copy.ftz{end}").write_bytes((workshop.folder / f"model.ftz{end}").read_bytes())
    assert fingerprints("copy.ftz") == before
    train("--force", "--max-chars", 60)
    assert [a == b for a, b in zip(fingerprints(), before, strict=True)] == [True, False, True]
    corpus = workshop.curate(steps, sources=SOURCES)
    assert corpus.sql("SELECT count(*), count(domain) FROM documents").rows() == [(180, 180)]
    tables = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'measures'"
    with corpus.catalog.read() as con:
        names = [name.rpartition("_")[0] for (name,) in con.execute(tables).fetchall()]
    assert {n: names.count(n) for n in ("language", "domain", "gopher_quality")} == {
        "language": 1,
        "domain": 2,
        "gopher_quality": 1,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT text FROM texts", "--labels gives text (string); it must give two columns of text"),
        ("SELECT text, doc_id FROM texts", "--labels gives text (string), doc_id (uint64); it must give"),
        ("SELECT text, text, text FROM texts", "it must give two columns of text"),
        ("SELECT text, NULL::VARCHAR FROM texts", "--labels gives no text with a label"),
        (
            "SELECT text, 'one' FROM texts",
            "needs two labels of at least 10 different texts; --labels gives 'one' (180)",
        ),
        ("SELECT text, source_key FROM texts JOIN documents USING (doc_id)", "(1) and 170 more"),
        ("SELECT text, nothing FROM texts", 'column "nothing" not found'),
        ("SELECT 1; SELECT 2", "give one statement; this is 2"),
        ("COPY texts TO 'x.csv'", "only SELECT is allowed here"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission"),
    ],
)
def test_a_query_that_gives_no_labels_is_refused(
    trained: tuple[Workshop, dict[str, Any]], query: str, message: str
) -> None:
    """Exit code 2, and nothing is written."""
    folder = trained[0].folder
    ended = call("domain", "train", "--labels", query, "-o", "refused.ftz", folder=folder)
    assert ended.code == 2
    assert message.lower() in ended.err.lower()
    assert not list(folder.glob("*refused*"))
    assert not list(folder.glob(".training-*"))


def test_an_existing_model_is_not_written_over(trained: tuple[Workshop, dict[str, Any]]) -> None:
    """Unless --force; nor is a folder made."""
    folder = trained[0].folder
    before = (folder / "model.ftz").read_bytes()
    ended = call("domain", "train", "--labels", LABELS, "-o", "model.ftz", folder=folder)
    assert (ended.code, "model.ftz exists; --force writes over it" in ended.err) == (2, True)
    assert (folder / "model.ftz").read_bytes() == before
    ended = call("domain", "train", "--labels", LABELS, "-o", "gone/model.ftz", folder=folder)
    assert (ended.code, "there is no folder gone to write model.ftz to" in ended.err) == (2, True)


def test_without_a_corpus(tmp_path: Path) -> None:
    """It says how to make one."""
    ended = call("domain", "train", "--labels", LABELS, "-o", "model.ftz", folder=tmp_path)
    assert (ended.code, "there is no corpus in 'corpus'" in ended.err) == (2, True)
