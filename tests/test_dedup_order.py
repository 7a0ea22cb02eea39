"""Edges, clusters and kept copies do not depend on the order of documents, files, splits, workers or arrival."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curator import planning
from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.run import run
from tests.conftest import Workshop

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("an", "er", "il", "om", "ust", "eck")]
CROWD = 80  # near copies of one text: more than a bucket links in pairs
STEPS: list[Any] = [
    {"exact": {"on": "normalized"}},
    {"minhash": {"as": "near", "min_similarity": 0.8}},
    "minhash",
]
Found = dict[str, Any]


def changed(words: list[str], changes: int, rng: random.Random) -> list[str]:
    words = list(words)
    for _ in range(changes):
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    return words


def documents() -> list[dict[str, Any]]:
    """Unrelated texts, families of copies that differ in 0 to 12 words, and one crowd; too short ones and none."""
    rng = random.Random(5)
    texts: list[list[str]] = [[], ["one", "two"], ["one", "two"], ["Two", "one"]]
    for _ in range(25):
        base = rng.choices(WORDS, k=rng.randrange(20, 150))
        texts += [changed(base, changes, rng) for changes in (0, 0, 1, 2, 4, 8, 12)]
    crowd = rng.choices(WORDS, k=300)
    texts += [changed(crowd, 1, rng) for _ in range(CROWD)]
    spelled = [" ".join(words) for words in texts]
    spelled += [text.upper() + "!" for text in spelled[::9]]
    return [{"id": f"doc-{at:03}", "text": text} for at, text in enumerate(spelled)]


@dataclass(frozen=True)
class Layout:
    seed: int  # of the order of documents
    files: int = 1
    workers: int = 0
    split_bytes: int = planning.SPLIT_BYTES
    arrivals: int = 1  # runs, each with more of the files


LAYOUTS = [
    Layout(seed=1),
    Layout(seed=2, files=7),
    Layout(seed=3, files=5, split_bytes=1000),
    Layout(seed=4, files=4, split_bytes=20_000, workers=2),
    Layout(seed=5, files=4, split_bytes=20_000, arrivals=2),
]


def curated(folder: Path, layout: Layout) -> Corpus:
    shuffled = documents()
    random.Random(layout.seed).shuffle(shuffled)
    workshop = Workshop(folder)
    recipe = workshop.recipe(STEPS, [{"jsonl": {"name": "web", "path": "web-*.jsonl"}}])
    engine = LocalEngine(layout.workers) if layout.workers else InlineEngine()
    for at in range(layout.files):
        lines = [json.dumps(row) + "\n" for row in shuffled[at :: layout.files]]
        folder.joinpath(f"web-{at}.jsonl").write_text("".join(lines))
        if (at + 1) * layout.arrivals % layout.files == 0:
            run(recipe, engine)
    return Corpus.existing(workshop.corpus_folder)


def found_in(corpus: Corpus) -> Found:
    edges = corpus.sql(
        "SELECT e.step, x.source_key, y.source_key, similarity FROM duplicate_edges e "
        "JOIN documents x ON x.doc_id = a JOIN documents y ON y.doc_id = b ORDER BY ALL"
    ).rows()
    clusters = corpus.sql(
        "SELECT step, list(d.source_key ORDER BY d.source_key), any_value(k.source_key), count(DISTINCT kept_copy) "
        "FROM duplicates c JOIN documents d USING (doc_id) JOIN documents k ON k.doc_id = kept_copy "
        "GROUP BY step, cluster_id ORDER BY ALL"
    ).rows()
    reasons = corpus.sql("SELECT source_key, reason FROM documents ORDER BY ALL").rows()
    return {"edges": edges, "clusters": clusters, "reasons": reasons}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found_in(curated(tmp_path_factory.mktemp("plain"), Layout(seed=0)))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_same_copies(layout: Layout, plain: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SPLIT_BYTES", layout.split_bytes)
    corpus = curated(tmp_path, layout)
    n_splits = corpus.sql("SELECT count(*) FROM splits").rows()[0][0]
    assert n_splits > 1 or layout.split_bytes == Layout.split_bytes
    assert found_in(corpus) == plain


def test_the_documents_are_worth_the_trouble(plain: Found) -> None:
    sizes = {step: sorted(len(c[1]) for c in plain["clusters"] if c[0] == step) for step in ("exact", "near")}
    assert sizes["near"][-1] > 64 < CROWD
    assert len(sizes["exact"]) > 20
    assert len(sizes["near"]) > 15
    assert all(kept == 1 for *_, kept in plain["clusters"])
    assert {reason and reason.split(".")[0] for _, reason in plain["reasons"]} >= {None, "exact", "near"}
