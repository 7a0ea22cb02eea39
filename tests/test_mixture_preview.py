"""What a plan comes to: held out, taken, cut for a proxy, counted exactly; the preview's figures; sweeps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from curator import mixture as planning
from curator.cli import app
from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.errors import UsageError
from curator.export import export
from curator.mixture import load, plan
from curator.preview import Preview, note
from curator.run import Quiet
from curator.sweep import draw, write_sweep
from curator.token_counts import count_tokens
from curator.tokenizer import train
from curator.tokens import open_tokens
from curator_catalog.mixtures import Share
from tests.conftest import Workshop
from tests.test_mixture import BOTH, corpus, made, mixture

__all__ = ["corpus", "made"]


def planned(workshop: Workshop, corpus: Corpus, components: dict[str, Any] = BOTH, **top: Any) -> planning.Plan:
    return plan(corpus, load(mixture(workshop, components, **top)))


def keys(made: planning.Plan, **where: Any) -> set[str]:
    return set(made.documents.filter(**where)["doc_key"])


OVERLAPPING = {"law": {"where": "kind = 'law'", "weight": 1}, "rest": {"where": "true", "weight": 1}}


def test_first_wins(workshop: Workshop, corpus: Corpus) -> None:
    """A document that two components name belongs to the first of them."""
    made = planned(workshop, corpus, OVERLAPPING, overlap="first_wins")
    assert made.taken == {"law": 0, "rest": 100}
    assert [s.documents for s in made.shares] == [100, 100]
    assert made.documents["doc_key"].n_unique() == made.documents.height
    all_taken = {**OVERLAPPING, "med": {"where": "kind = 'med'", "weight": 1}}
    with pytest.raises(UsageError, match="component 'med' has no documents to train on: of 100, 100 belong to earlier"):
        planned(workshop, corpus, all_taken, overlap="first_wins")


def test_documents_held_out_by_sql(workshop: Workshop) -> None:
    """They and their near copies go to the holdout of the component that they are in; nothing is on both sides."""
    def words(first: int) -> str:  # of letters alone: digits play no part in the comparison
        return " ".join(f"w{chr(97 + n // 676)}{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}" for n in range(first, first + 200))

    documents = [{"id": f"{kind}{i}", "text": f"{kind} {words(0)}" if i < 2 else f"{kind} {words(200 * (i + 30 * (kind == 'med')))}"}
                 for kind in ("law", "med") for i in range(20)]  # fmt: skip
    corpus = workshop.curate(["minhash"], documents)
    everything = "SELECT doc_id FROM documents WHERE source_key LIKE '{}%'"
    components = {k: {"sql": everything.format(k), "weight": 1} for k in ("law", "med")}
    held = "SELECT doc_id FROM documents WHERE source_key = 'med1'"
    made = planned(workshop, corpus, components, holdout={"sql": held})
    source_keys = set(made.documents.filter("held_out")["source_key"])
    assert source_keys == {"law0", "law1", "med0", "med1"}
    assert made.held_out == {"law": 2, "med": 2}
    assert Preview(made).holdout_overlap == 0
    with pytest.raises(UsageError, match=r"holdout: sql: .*nonsense"):
        planned(workshop, corpus, components, holdout={"sql": "SELECT nonsense"})


def test_a_proxy_repeats_as_the_large_run(workshop: Workshop, corpus: Corpus) -> None:
    """A fifth of the budget sees a fifth of each component, so the epochs are those of the large run, cap and all."""
    large = planned(workshop, corpus, tokens=10_000)
    proxy = planned(workshop, corpus, tokens=2_000, proxy={"simulate_target_tokens": 10_000})
    for small, whole in zip(proxy.shares, large.shares, strict=True):
        assert small.epochs == pytest.approx(whole.epochs, rel=0.06)  # documents are whole
        assert small.available == pytest.approx(whole.available / 5, rel=0.06)
    assert keys(proxy, held_out=False) <= keys(large, held_out=False)


@pytest.fixture
def tokenizer(workshop: Workshop, corpus: Corpus) -> Path:
    """A tokenizer of the corpus."""
    path = workshop.folder / "tok.json"
    path.write_text(train((t for (t,) in corpus.sql("SELECT text FROM texts").rows()), 400))
    return path


def count(corpus: Corpus, path: Path, where: str) -> None:
    doc_ids = corpus.sql(f"SELECT doc_id FROM documents WHERE {where}").pl()["doc_id"]
    count_tokens(corpus, path, doc_ids, InlineEngine(), Quiet())


def test_counts_are_exact_where_there_are_counts(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """All counted: the preview has the very rows of the export. Half counted: exact by component."""
    asked = {"tokenizer": "tok.json", "tokens": 12_000, "seq_len": 64, "holdout": {"per_component": "5%"}}
    estimated = planned(workshop, corpus, **asked)
    assert estimated.counts.exact == {"law": False, "med": False}
    assert estimated.counts.described == "an estimate of tok.json on 200 documents"
    assert Preview(estimated).fill is None
    count(corpus, tokenizer, "kind = 'law'")
    half = planned(workshop, corpus, **asked)
    assert half.counts.exact == {"law": True, "med": False}
    count(corpus, tokenizer, "true")
    made = planned(workshop, corpus, **asked)
    assert made.counts.all_exact
    assert made.counts.described == "counted with tok.json"
    out = workshop.folder / "export"
    export(corpus, made.mixture, {"parquet": {}}, out)
    rows = json.loads((open_tokens(out).folder / "plan.json").read_text())
    preview = Preview(made)
    assert preview.rows == rows["plan"]["rows"]
    packed = [(c["rows"], c["tokens"]) for c in rows["components"]]
    assert preview.fill == sum(t for _, t in packed) / (64 * sum(r for r, _ in packed))
    assert [s.available for s in estimated.shares] == pytest.approx([s.available for s in made.shares], rel=0.02)
    assert half.shares[0].available == made.shares[0].available


def test_packing_goes_into_manifest_and_plan(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """Rows are packed as the mixture says; reading rows as one document changes the fingerprint, not the rows."""
    described = {}
    for name, packing in (("fit", {}), ("cut", {"mode": "concat"}), ("whole", {"mode": "concat", "document_mask": False})):
        asked = load(mixture(workshop, BOTH, tokens=4000, seq_len=64, packing=packing, tokenizer="tok.json"))
        out = workshop.folder / name
        _, manifest = export(corpus, asked, {"parquet": {}}, out)
        folder = open_tokens(out).folder
        described[name] = json.loads((folder / "plan.json").read_text())
        assert described[name]["packing"] == manifest["packing"]
        assert manifest["packing"] == {"mode": "best_fit", "long_docs": "split", "document_mask": True} | packing
        opened = open_tokens(out)
        numbers = np.arange(len(opened))
        batch, causal = opened.read(numbers), opened.causal(numbers)
        inside = batch.document >= 0
        assert (batch.document[inside] == 0).all() == (name != "cut")  # these documents are longer than half a row
        assert (batch.position[inside] == np.nonzero(inside)[1]).all() == (name != "cut")
        assert (causal.position == batch.position).all()
        asked_for = (causal.labels >= 0).sum(axis=1)
        assert (asked_for <= inside.sum(axis=1) - 1).all()
        assert (asked_for == inside.sum(axis=1) - 1).all() or name != "whole"
        tokens = np.diff(np.load(folder / "train.law.pieces.npy"), axis=1)
        starts = np.load(folder / "train.law.rows.npy")
        full = np.add.reduceat(tokens[:, 0], starts[:-1])
        assert (full[:-1] == 64).all() == (name != "fit")
    assert described["cut"]["files"] == described["whole"]["files"]
    assert len({d["fingerprint"] for d in described.values()}) == 3


def test_stages_of_an_export(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """From the mixture to the rows that are read: the second stage has its component alone, which goes on where it was."""
    stages = [{"from": 0}, {"from": "60%", "weights": {"med": 1}}]
    top: dict[str, Any] = {"seq_len": 8, "stages": stages, "tokenizer": "tok.json", "max_epochs": 8}
    out = workshop.folder / "export"
    export(corpus, load(mixture(workshop, BOTH, tokens=30_000, **top)), {"parquet": {}}, out)
    rows = open_tokens(out)
    assert [s.start for s in rows.plan.stages] == [0, 2048]
    assert len(rows) == pytest.approx(30_000 / 8, rel=0.02)
    component, epoch, row = rows.places(np.arange(len(rows)))
    assert np.bincount(component[:2048]).tolist() == pytest.approx([1536, 512], abs=1)
    assert set(component[2048:].tolist()) == {1}
    seen = np.bincount(row[component == 1])
    assert seen.max() - seen.min() <= 1
    assert epoch[component == 1].max() == seen.max() - 1
    assert (rows.read(np.arange(2040, 2056)).document[:, 0] == 0).all()


def test_repeats_are_worth_less_and_less() -> None:
    """Figures of the published law, and the notes beside them."""
    shares = [Share("x", 1, 1.06e6, 20, 1.06e6 * e, 1, False) for e in (0.5, 1, 2.31, 4, 16)]
    assert [round(s.effective / s.available, 3) for s in shares] == [0.5, 1, 2.256, 3.726, 10.586]
    assert [round(s.unique, 2) for s in shares] == [1, 1, 0.43, 0.25, 0.06]
    assert [note(s) for s in shares] == ["down-sampled", "", "", "", "above 4 epochs"]
    assert note(Share("x", 1, 10, 4, 40, 1, True)) == "CAP"


def run_mix(workshop: Workshop, *arguments: str) -> Any:
    command = ["mix", str(workshop.folder / "mix.yaml"), "-c", str(workshop.corpus_folder), *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def test_the_command(workshop: Workshop, corpus: Corpus) -> None:
    """Table, stages, steps and shortfall in 110 columns; all of it as JSON and in the catalog."""
    long = {"a_component_name": {"where": "kind = 'law'", "weight": 1, "max_epochs": 9}, "med": BOTH["med"]}
    stages = [{"from": 0}, {"from": "50%", "weights": {"med": 1}}]
    mixture(workshop, long, tokens=40_000, batch_tokens=1000, seq_len=16, stages=stages, on_short="shrink")
    shown = run_mix(workshop)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines()[:6])) <= 110
    figures = json.loads(run_mix(workshop, "--json").output)
    total = figures["tokens_planned"]
    assert figures["steps"] == total // 1000
    assert figures["rows"] == pytest.approx(total / 16, rel=0.1)  # the boundary goes to a block, and the cap holds
    assert figures["stages"][1]["row"] % 1024 == 0
    assert figures["stages"][1]["shares"] == {"a_component_name": 0, "med": 1}
    assert figures["holdout_overlap"] == 0
    assert figures["components"][1]["capped"] is True
    assert f"{40_000 - total:,} of the 40,000 tokens asked cannot be had: med at the cap" in figures["shortfall"]
    for said in (figures["shortfall"], f"{figures['steps']} steps of 1,000 tokens", "row 1,024: med 100.0 %", "CAP",
                 "held out and trained on: 0 documents", "~"):  # fmt: skip
        assert said in shown.output
    ((stored,),) = corpus.sql("SELECT count(*) FROM mixtures").rows(),
    assert stored == (1,)


def test_a_sweep(workshop: Workshop, corpus: Corpus) -> None:
    """Each file is a mixture that can be planned, with the weights of its line; equal seeds give equal files."""
    components = {"law": {"where": "kind = 'law'", "tokens": 100, "max_epochs": 1}, "med": {"where": "kind = 'med'", "weight": 1}}
    source = load(mixture(workshop, components, tokens=3000))
    more, fewer = workshop.folder / "more", workshop.folder / "fewer"
    runs = write_sweep(corpus, source, 6, more)
    assert write_sweep(corpus, source, 3, fewer) == runs[:3]
    assert (fewer / "m-0002.yaml").read_bytes() == (more / "m-0002.yaml").read_bytes()
    lines = list(csv.DictReader((more / "ratios.csv").open()))
    assert (more / "metrics.csv").read_text() == "run_id\n"
    for line in lines:
        assert sum(float(line[n]) for n in components) == pytest.approx(1, abs=1e-9)
        made = plan(corpus, load(more / f"{line['run_id']}.yaml"))
        assert {s.name: s.share for s in made.shares} == pytest.approx({n: float(line[n]) for n in components})
        assert made.shares[0].epochs <= 1.000001
    assert len({line["law"] for line in lines}) == 6
    with pytest.raises(UsageError, match="more exists"):
        write_sweep(corpus, source, 6, more)
    staged = load(mixture(workshop, BOTH, stages=[{"from": 0}]))
    with pytest.raises(UsageError, match="the mixture has stages:; take them out"):
        write_sweep(corpus, staged, 2, workshop.folder / "staged")


def test_the_draws_of_a_sweep() -> None:
    """Around the prior on average, none beyond its cap, none below the minimum; frozen, so that a sweep can be gone on with."""
    sizes, names = np.array([8e9, 1e9, 1e7]), ["web", "code", "wiki"]
    free = draw(sizes, np.full(3, 99.0), 2000, 17, names)
    prior = np.sqrt(sizes) / np.sqrt(sizes).sum()
    assert np.abs(free.mean(axis=0) - prior).max() < 0.03
    assert free.sum(axis=1) == pytest.approx(1, abs=1e-9)
    assert free[free > 0].min() >= 2e-4
    assert 0.02 < (free.max(axis=1) > 0.999).mean() < 0.6
    capped = draw(sizes, np.array([0.9, 0.5, 0.01]), 200, 17, names)
    assert (capped.max(axis=0) <= [0.9, 0.5, 0.01]).all()
    with pytest.raises(UsageError, match=r"the components give at most 80\.0 % of the budget"):
        draw(sizes, np.array([0.5, 0.2, 0.1]), 1, 17, names)
    assert free[:2].tolist() == [[0.685144, 0.314856, 0.0], [0.000835, 0.664892, 0.334273]]


def test_example_is_valid() -> None:
    """The file that the README shows loads, and says what it leaves out as the defaults do."""
    path = Path(__file__).parents[1] / "examples" / "mixture.yaml"
    assert load(path).model.packing.mode == "best_fit"
    assert set(yaml.safe_load(path.read_text())["components"]) == {"medicine", "law", "finance", "general"}
