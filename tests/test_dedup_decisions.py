"""Which copy is kept, when documents of a cluster fall out by other rules."""

from __future__ import annotations

import random
from typing import Any

import pytest

from curator.redeciding import decide
from tests.conftest import Workshop, reasons


def sentence(seed: int, n: int = 120) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=6)) for _ in range(n)]


def changed(words: list[str], at: int, n: int) -> list[str]:
    """A near copy: `n` words from `at` on are others."""
    return words[:at] + ["other" + "xyz"[at % 3] * (i + 1) for i in range(n)] + words[at + n :]


@pytest.fixture
def chain() -> list[dict[str, Any]]:
    """left ~ hub ~ right, left and right too far apart to be linked; and a document of its own."""
    hub = sentence(1)
    left, right = changed(hub, 5, 10), changed(hub, 90, 10)
    texts = {"a-left": left, "b-hub": hub, "c-right": right, "d-alone": sentence(2)}
    return [{"id": name, "text": " ".join(words), "n": i} for i, (name, words) in enumerate(texts.items())]


MINHASH = {"minhash": {"bands": 20, "rows": 5, "min_similarity": 0.7}}
COLUMNS = [{"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"n": "int"}}}]


def run(workshop: Workshop, steps: list[Any], documents: list[dict[str, Any]]) -> dict[str, str | None]:
    workshop.source("web", documents)
    return reasons(workshop.curate(steps, sources=COLUMNS))


def test_a_chain_is_one_cluster(workshop: Workshop, chain: list[dict[str, Any]]) -> None:
    """Linked documents are one cluster, of which the first by source_key is kept."""
    found = run(workshop, [MINHASH], chain)
    assert found == {
        "a-left": None,
        "b-hub": "minhash.duplicate",
        "c-right": "minhash.duplicate",
        "d-alone": None,
    }


def test_a_dropped_bridge_parts_the_cluster(workshop: Workshop, chain: list[dict[str, Any]]) -> None:
    """Filters then dedup: without the document between them the two are no copies."""
    found = run(workshop, [{"signal": {"as": "no", "drop": "documents.n = 1"}}, MINHASH], chain)
    assert found == {"a-left": None, "b-hub": "no.drop", "c-right": None, "d-alone": None}


def test_a_dropped_kept_copy_hands_on(workshop: Workshop, chain: list[dict[str, Any]]) -> None:
    """Filters then dedup: when the first is dropped, the next is kept."""
    found = run(workshop, [{"signal": {"as": "no", "drop": "documents.n = 0"}}, MINHASH], chain)
    assert found == {"a-left": "no.drop", "b-hub": None, "c-right": "minhash.duplicate", "d-alone": None}


def test_dedup_before_the_filters(workshop: Workshop, chain: list[dict[str, Any]]) -> None:
    """FineWeb-2's order: the elected copy may fall by a later filter, and none is kept."""
    filters = {"signal": {"as": "no", "drop": "documents.n = 0"}}
    found = run(workshop, [MINHASH, filters], chain)
    assert found == {
        "a-left": "no.drop",
        "b-hub": "minhash.duplicate",
        "c-right": "minhash.duplicate",
        "d-alone": None,
    }
    minhash = {"minhash": {**MINHASH["minhash"], "reelect": True}}
    found = run(workshop, [minhash, filters], chain)
    assert found == {
        "a-left": "minhash.duplicate",
        "b-hub": None,
        "c-right": "minhash.duplicate",
        "d-alone": None,
    }


@pytest.mark.parametrize(
    ("keep", "kept"), [("first", "a"), ("longest", "b"), ("documents.n", "c"), ("-documents.n", "a")]
)
def test_the_kept_copy_is_a_policy(workshop: Workshop, keep: str, kept: str) -> None:
    """first, longest and best of a value; changed afterwards without measuring."""
    base = sentence(3)
    docs = [
        {"id": "a", "text": " ".join(base), "n": 1},
        {"id": "b", "text": " ".join([*base, "more", "words"]), "n": 2},
        {"id": "c", "text": " ".join(base), "n": 3},
    ]
    workshop.source("web", docs)
    corpus = workshop.curate([{"minhash": {"bands": 20, "rows": 5}}], sources=COLUMNS)
    recipe = workshop.recipe([{"minhash": {"bands": 20, "rows": 5}}], COLUMNS)
    decide(recipe.with_options({"minhash.keep": keep}))
    assert [k for k, reason in reasons(corpus).items() if reason is None] == [kept]
    rows = corpus.sql(
        "SELECT DISTINCT cluster_size, (SELECT source_key FROM documents d WHERE d.doc_id = kept_copy) FROM duplicates"
    ).rows()
    assert rows == [(3, kept)]


def test_exact_then_minhash(workshop: Workshop) -> None:
    """Each dedup says what it drops; edges and clusters are there to ask."""
    base = sentence(4)
    docs = [
        {"id": "a", "text": " ".join(base)},
        {"id": "b", "text": " ".join(base)},
        {"id": "c", "text": " ".join(changed(base, 50, 2))},
    ]
    corpus = workshop.curate(["exact", {"minhash": {"bands": 20, "rows": 5}}], docs)
    assert reasons(corpus) == {"a": None, "b": "exact.duplicate", "c": "minhash.duplicate"}
    edges = corpus.sql("SELECT step, similarity > 0.8 FROM duplicate_edges ORDER BY similarity DESC").rows()
    assert edges == [("minhash", True), ("minhash", True)]


def test_within_a_column(workshop: Workshop) -> None:
    """`within` links only documents of one value."""
    base = " ".join(sentence(5))
    docs = [{"id": f"{n}{i}", "text": base, "n": n} for n in (1, 2) for i in range(2)]
    workshop.source("web", docs)
    for step in ("exact", "minhash"):
        corpus = workshop.curate([{step: {"within": "n"}}], sources=COLUMNS, name=step)
        assert [k for k, reason in reasons(corpus).items() if reason is None] == ["10", "20"]


def test_sources_rank_as_in_the_recipe(workshop: Workshop) -> None:
    """The copy of the source that stands first in the recipe is kept."""
    text = " ".join(sentence(6))
    first, second = (workshop.source(n, [{"id": "x", "text": text}]) for n in ("zeta", "alpha"))
    corpus = workshop.curate(["exact"], sources=[first, second])
    assert corpus.sql("SELECT source FROM documents WHERE kept").rows() == [("zeta",)]
    corpus = workshop.curate(["exact"], sources=[second, first], name="other")
    assert corpus.sql("SELECT source FROM documents WHERE kept").rows() == [("alpha",)]
