"""From a corpus to a model and back: what `curator train` records of a training, and what the README does with models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import curator
import curator.cli.train
from curator.errors import UsageError
from curator.trainings import Recorded, record
from tests.cli.conftest import call
from tests.conftest import Workshop
from tests.texts import GERMAN
from tests.trainer.exports import prose

TINY = ["--config", "hidden_size=32", "--config", "num_attention_heads=2", "--config", "num_hidden_layers=1"]
SMALL = ["--vocab-size", "400", "--batch-tokens", "512", "--device", "cpu", *TINY]
MIXTURE = {
    "mixture": "both", "tokens": 12_000, "seq_len": 64, "seed": 17, "on_short": "shrink",
    "holdout": {"per_component": "10%"},
    "components": {
        "law": {"where": "declared_domain = 'law'", "weight": 3}, "medicine": {"where": "declared_domain = 'medicine'", "weight": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two domains, its export, and a gpt and a bert trained on it."""
    workshop = Workshop(tmp_path_factory.mktemp("corpus"))
    texts = {"law": prose(1, 120), "medicine": prose(2, 80, words=GERMAN)}
    sources = []
    for domain, documents in texts.items():
        source = workshop.source(domain, [{"id": f"{n}", "text": text} for n, text in enumerate(documents)])
        source["jsonl"]["declared_domain"] = domain
        sources.append(source)
    workshop.curate(["exact"], sources=sources)
    (workshop.folder / "mix.yaml").write_text(yaml.safe_dump(MIXTURE, sort_keys=False))
    assert call("export", "mix.yaml", "-o", "export", folder=workshop.folder).code == 0
    return workshop.folder


@pytest.fixture(scope="module")
def gpt(place: Path) -> str:
    """What training it said."""
    ended = call("train", "export", *SMALL, "--steps", 10, "-o", "gpt", folder=place)
    assert ended.code == 0, ended.err
    return ended.out


@pytest.fixture(scope="module")
def bert(place: Path) -> str:
    """What training it said; masked, of whole words."""
    words = ["--model", "bert", "--whole-word", "--mask-rate", 0.2, "--held-out-tokens", 0]
    ended = call("train", "export", *SMALL, *words, "--steps", 6, "-o", "bert", folder=place)
    assert ended.code == 0, ended.err
    return ended.out


def test_a_training_is_in_the_catalog(place: Path, gpt: str) -> None:
    """One row with its export, one a component as in run.json, and the lines of ledger.jsonl."""
    corpus = curator.open(str(place / "corpus"))
    run = json.loads((place / "gpt" / "run.json").read_text())
    (row,) = corpus.sql("FROM trainings").dicts()
    assert f"training {row['training_id']} of the corpus" in gpt
    result = run["result"]
    assert (row["run"], row["export_id"], row["export"]) == (run["run_id"], 1, str(place / "export"))
    assert (row["model"], row["kind"], row["objective"]) == (str(place / "gpt"), "gpt", "causal")
    assert (row["began_from"], row["finished"], row["steps"]) == (None, True, 10)
    for name in ("parameters", "tokens", "seconds", "loss_start", "loss_end"):
        assert row[name] == pytest.approx(result[name])
    components = corpus.sql("SELECT * EXCLUDE training_id FROM training_components ORDER BY component").dicts()
    assert [c.pop("component") for c in components] == ["law", "medicine"]
    for found, name in zip(components, ("law", "medicine"), strict=True):
        assert found == pytest.approx({k: result["components"][name][k] for k in found})
    lines = [json.loads(line) for line in (place / "gpt" / "ledger.jsonl").read_text().splitlines()]
    ledger = corpus.sql("FROM ledger ORDER BY step, component").dicts()
    assert len(ledger) == 2 * len(lines)
    for found in ledger:
        line = next(line for line in lines if line["step"] == found["step"])
        expected = line["components"][found["component"]]
        assert {k: found[k] for k in expected} == pytest.approx(expected)


def test_recording_again_replaces(place: Path, gpt: str, tmp_path: Path) -> None:
    """A run that went on has its rows once; a folder without a training is refused."""
    corpus = curator.open(str(place / "corpus"))
    before = corpus.sql("SELECT count(*) FROM ledger").rows()
    assert record(corpus, place / "gpt") == Recorded(training_id=1, export_id=1)
    assert corpus.sql("SELECT count(*) FROM ledger").rows() == before
    assert corpus.sql("SELECT count(*) FROM trainings WHERE model LIKE '%/gpt'").rows() == [(1,)]
    with pytest.raises(UsageError, match=r"holds no training: it has no run\.json"):
        record(corpus, tmp_path)


def test_a_stopped_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves what there is in the catalog, unfinished; going on replaces it by the whole."""

    def stop(self: Any, progress: Any) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    words = ["train", "export", *SMALL, "--steps", 6, "--held-out-tokens", 0, "-o", "stopped"]
    with monkeypatch.context() as patched:
        patched.setattr(curator.cli.train._Bar, "__call__", stop)
        assert call(*words, folder=place).code == 130
    corpus = curator.open(str(place / "corpus"))
    query = "SELECT steps, finished, count(l.step) FROM trainings t JOIN ledger l USING (training_id) WHERE model LIKE '%/stopped' GROUP BY ALL"
    assert corpus.sql(query).rows() == [(4, False, 8)]
    assert call(*words, folder=place).code == 0
    assert corpus.sql(query).rows() == [(6, True, 12)]


def test_another_corpus_and_none(place: Path, gpt: str, tmp_path: Path) -> None:
    """Where the export is not known its number is NULL; where there is no corpus, training succeeds and says so."""
    other = Workshop(tmp_path)
    corpus = other.curate(["exact"], [{"id": "1", "text": "one"}])
    assert record(corpus, place / "gpt") == Recorded(training_id=1, export_id=None)
    assert corpus.sql("SELECT export_id, steps FROM trainings").rows() == [(None, 10)]
    words = ["--steps", 1, "--held-out-tokens", 0, "-o", tmp_path / "model"]
    ended = call("train", place / "export", *SMALL, *words, "-c", "none", folder=tmp_path)
    assert ended.code == 0
    assert "note: there is no corpus in 'none' to record the training in; -c names one" in ended.out


def test_the_table_has_bits_per_byte(gpt: str, bert: str) -> None:
    """Before and after, and the change; dashes where they are not measured."""
    row = next(line.split() for line in gpt.splitlines() if line.split()[:1] == ["law"])
    start, arrow, end, change = row[7:]
    assert arrow == "->"
    assert float(end) < float(start)
    assert float(change) == pytest.approx(float(end) - float(start), abs=0.0011)
    row = next(line.split() for line in bert.splitlines() if line.split()[:1] == ["law"])
    assert row[7:] == ["-", "-"]
    assert "masked bits per byte" in bert


def test_generating(place: Path, gpt: str) -> None:
    """README: a trained GPT goes on from a text."""
    folder = str(place / "gpt")
    # begin: generate
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer("the time of", return_tensors="pt", return_token_type_ids=False)
    ids = model.generate(**prompt, max_new_tokens=20, do_sample=True, top_k=50)
    text = tokenizer.decode(ids[0], skip_special_tokens=True)
    # end
    assert text.startswith("the time of")
    assert prompt["input_ids"].shape[1] < ids.shape[1] <= prompt["input_ids"].shape[1] + 20


def test_fine_tuning(place: Path, bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README: a trained BERT learns to tell domains apart, from texts of the catalog."""
    monkeypatch.chdir(place)
    # begin: fine-tune
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    texts = curator.open("corpus").sql("SELECT text, declared_domain AS domain FROM documents JOIN texts USING (doc_id)").pl()
    labels = sorted(set(texts["domain"]))
    tokenizer = AutoTokenizer.from_pretrained("bert")
    model = AutoModelForSequenceClassification.from_pretrained("bert", num_labels=len(labels))
    rows = [
        {**tokenizer(text, truncation=True, return_token_type_ids=False), "labels": labels.index(domain)}
        for text, domain in texts.iter_rows()
    ]
    arguments = TrainingArguments("classifier", num_train_epochs=3, learning_rate=3e-3, report_to="none")
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    # end
    predicted: Any = trainer.predict(rows)
    assert (predicted.predictions.argmax(1) == predicted.label_ids).mean() > 0.9


def test_a_step_is_traced_to_its_documents(place: Path, gpt: str) -> None:
    """By the model's folder alone: the rows are those of its own tokenizer, which the export does not name."""
    run = json.loads((place / "gpt" / "run.json").read_text())
    ended = call("lineage", "gpt", "--step", 2, "--json", "-c", "corpus", folder=place)
    pieces = ended.json
    rows = curator.open_tokens(place / "export", vocab_size=400)
    assert sorted({p["row"] for p in pieces}) == list(range(run["rows_a_step"], 2 * run["rows_a_step"]))
    tokens = rows.tokens(range(run["rows_a_step"], 2 * run["rows_a_step"]))
    assert sum(p["stop"] - p["start"] for p in pieces) == tokens.sum()
    assert {p["decision"] for p in pieces} == {"kept"}
    assert {p["source"] for p in pieces} == {"law", "medicine"}
    table = call("lineage", "gpt", "--step", 2, "-c", "corpus", folder=place)
    assert table.out.splitlines()[-1] == f"{len({p['doc_key'] for p in pieces})} documents in {run['rows_a_step']} rows"
    for arguments, message in (
        (["export", "--step", 2], "does not say how many rows a step took: give --rows-a-step"),
        (["gpt"], "give --row N, or --step K, one of the two"),
    ):
        ended = call("lineage", *arguments, folder=place)
        assert (ended.code, message in ended.err) == (2, True)
