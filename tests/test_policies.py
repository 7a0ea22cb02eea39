"""Policies of which copies are kept: changed by deciding, without measuring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasketch
import numpy as np
import pytest

from curator.corpus import Corpus
from curator.errors import CuratorError, RecipeError, UsageError
from curator.mixture import of_query, plan
from curator.redeciding import decide
from curator.verify import digest
from tests.conftest import Workshop, reasons

SOURCES = ("blogs", "books", "crawl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of one text in three sources, twice in the last, and one that only the last has twice."""
    workshop = Workshop(tmp_path_factory.mktemp("three"))
    rows: dict[str, list[dict[str, Any]]] = {
        "blogs": [{"id": "blog", "text": "shared text", "published": "2020-01-01", "n": 5}],
        "books": [{"id": "book", "text": "shared text", "published": "2024-01-01", "n": 1}],
        "crawl": [
            {"id": "crawl-1", "text": "shared text", "published": "2022-01-01", "n": 9},
            {"id": "crawl-2", "text": "shared text", "retrieved": "2023-01-01", "n": 2},
            {"id": "own-1", "text": "own text", "n": 0},
            {"id": "own-2", "text": "own text", "n": 0},
        ],
    }
    for name in SOURCES:
        workshop.source(name, rows[name])
    workshop.curate([{"exact": {}}], sources=entries())
    return workshop.folder


@pytest.fixture
def three(workshop: Workshop, made: Path) -> Workshop:
    workshop.restore(made)
    return workshop


def entries() -> list[dict[str, Any]]:
    return [{"jsonl": {"name": n, "path": f"{n}.jsonl", "columns": {"n": "int"}}} for n in SOURCES]


def kept(workshop: Workshop, **options: Any) -> set[str]:
    decide(workshop.recipe([{"exact": options}], entries()))
    return {key for key, why in reasons(Corpus.existing(workshop.corpus_folder)).items() if why is None}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"blog", "own-1"}),
        ({"keep": "none"}, set()),
        ({"keep": "newest"}, {"book", "own-1"}),
        ({"keep": "documents.n"}, {"crawl-1", "own-1"}),
        ({"keep": "-documents.n"}, {"book", "own-1"}),
        ({"prefer": ["crawl", "books"]}, {"crawl-1", "own-1"}),
        ({"prefer": ["crawl"], "keep": "-documents.n"}, {"crawl-2", "own-1"}),
        ({"copies": 2}, {"blog", "book", "own-1", "own-2"}),
        ({"copies": "cluster_size // 2"}, {"blog", "book", "own-1"}),
        ({"copies": "CASE WHEN cluster_size > 3 THEN 0 ELSE 1 END"}, {"own-1"}),
        ({"against": ["books"]}, {"book", "own-1", "own-2"}),
        ({"against": ["blogs", "books"]}, {"blog", "book", "own-1", "own-2"}),
        ({"within": "source"}, {"blog", "book", "crawl-1", "own-1"}),
    ],
)
def test_policies(three: Workshop, options: dict[str, Any], expected: set[str]) -> None:
    """Which documents are kept; nothing is measured for it."""
    before = Corpus.existing(three.corpus_folder).sql("FROM shards").rows()
    assert kept(three, **options) == expected
    corpus = Corpus.existing(three.corpus_folder)
    assert corpus.sql("FROM shards").rows() == before
    copies = corpus.sql(
        "SELECT DISTINCT cluster_size, y.source_key FROM duplicates JOIN documents y ON y.doc_id = kept_copy"
    ).rows()
    assert {key for _, key in copies} <= expected
    assert len(digest(corpus)) == 32


def test_cluster_size_in_mixtures(three: Workshop) -> None:
    """FineWeb-2 repeats a document by the size of its cluster: `cluster_size(doc_id)` tells it."""
    kept(three)
    corpus = Corpus.existing(three.corpus_folder)
    sizes = corpus.sql("SELECT source_key, cluster_size(doc_id) FROM documents WHERE kept ORDER BY 1").rows()
    assert sizes == [("blog", 4), ("own-1", 2)]
    # an argument of the name of a column within is the caller's all the same
    chosen = corpus.sql("SELECT source_key FROM documents WHERE kept AND cluster_size(doc_id) > 2").rows()
    assert chosen == [("blog",)]
    assert of_query("cluster_size(doc_id) = 2").model.components["all"].where == "cluster_size(doc_id) = 2"
    assert plan(corpus, of_query("cluster_size(doc_id) = 2")).documents["source_key"].to_list() == ["own-1"]
    kept(three, **{"within": "source"})
    sizes = corpus.sql("SELECT source_key, cluster_size(doc_id) FROM documents WHERE kept ORDER BY 1").rows()
    assert sizes == [("blog", 1), ("book", 1), ("crawl-1", 2), ("own-1", 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefer": ["book"]}, "exact.prefer: there is no source 'book'; did you mean 'books'"),
        ({"against": ["nowhere"]}, "exact.against: there is no source 'nowhere'"),
        ({"copies": "documents.n"}, "exact.copies = 'documents.n': a number, or SQL over cluster_size"),
        ({"copies": "1 +"}, "is not a SQL expression"),
        ({"against": ["blogs", "books", "crawl"]}, "exact.against: it names every source"),
        ({"keep": "random()"}, "random\\(\\) answers otherwise each time"),
        ({"copies": "random()"}, "random\\(\\) answers otherwise each time"),
        ({"keep": "shortest"}, "keep is first, none, longest, newest or a SQL value"),
    ],
)
def test_refused(three: Workshop, options: dict[str, Any], message: str) -> None:
    """What makes no sense is told by option and value."""
    with pytest.raises(RecipeError, match=message):
        three.recipe([{"exact": options}], entries())


def test_addresses(workshop: Workshop) -> None:
    """One address in two forms is one document; without an address there is no copy."""
    corpus = workshop.curate(
        [{"exact": {"on": "url"}}],
        [
            {"id": "a", "text": "one", "url": "http://example.com/b?x=1&y=2#top"},
            {"id": "b", "text": "two", "url": "HTTP://EXAMPLE.com/b?y=2&x=1"},
            {"id": "c", "text": "three", "url": "http://example.com/c"},
            {"id": "d", "text": "four"},
            {"id": "e", "text": "four"},
            {"id": "f", "text": "five", "url": "http://[no"},
            {"id": "g", "text": "six", "url": "http://example.com:80/c"},
            {"id": "h", "text": "seven", "url": "http://example.com:8080/c"},
            {"id": "i", "text": "eight", "url": "https://example.com:443?q=1"},
            {"id": "j", "text": "nine", "url": "https://example.com/?q=1"},
            {"id": "k", "text": "ten", "url": "N/A"},
            {"id": "l", "text": "eleven", "url": "N/A"},
        ],
    )
    assert {key for key, why in reasons(corpus).items() if why} == {"b", "g", "j"}


def test_sql_without_an_answer(three: Workshop) -> None:
    """SQL that fails on some document is told by recipe and what DuckDB says; the shortest copy needs no cast."""
    with pytest.raises(
        CuratorError, match=r"recipe 'test': a rule, or the SQL of keep:, has no answer .*Could not convert"
    ):
        kept(three, keep="CAST(documents.source_key AS INT)")
    assert kept(three, keep="-documents.n_words") == {"blog", "own-1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"min_similarity": 1.5}, "min_similarity is 1.5"),
        ({"threshold": 2}, "threshold is 2"),
        ({"threshold": 0.8, "bands": 10}, "give one or the other"),
    ],
)
def test_minhash_refuses(workshop: Workshop, options: dict[str, Any], message: str) -> None:
    """Options out of range are told when the recipe is loaded."""
    workshop.source("web", [{"id": "a", "text": "one"}])
    with pytest.raises(UsageError, match=message):
        workshop.recipe([{"minhash": options}], [{"jsonl": {"name": "web", "path": "web.jsonl"}}])


def shingles(text: str, n: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def near_copies() -> list[dict[str, Any]]:
    """Texts that share more and more of their words with the first, in lower case without marks."""
    draw = np.random.default_rng(5)
    words = [
        f"w{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{'uvxyzabcde'[n // 100]}" for n in range(1000)
    ]
    base = [str(w) for w in draw.permutation(words)[:200]]
    rows = []
    for i in range(20):
        changed = [
            str(w) if draw.random() < i / 100 else b
            for b, w in zip(base, draw.permutation(words)[:200], strict=True)
        ]
        rows.append({"id": f"{i:02}", "text": " ".join(changed)})
    return rows


def test_verified_edges_have_the_true_similarity(workshop: Workshop) -> None:
    """`verify: exact`: every edge has the Jaccard similarity of the two sets of shingles; min_similarity cuts by it."""
    documents = near_copies()
    step = {"minhash": {"ngram": 3, "bands": 40, "rows": 2, "verify": "exact", "min_similarity": 0.8}}
    corpus = workshop.curate([step], documents)
    sets = {d["id"]: shingles(d["text"], 3) for d in documents}
    edges = corpus.sql(
        "SELECT x.source_key, y.source_key, similarity FROM duplicate_edges JOIN documents x ON x.doc_id = a "
        "JOIN documents y ON y.doc_id = b"
    ).rows()
    assert len(edges) > 100
    for a, b, similarity in edges:
        assert similarity == pytest.approx(len(sets[a] & sets[b]) / len(sets[a] | sets[b]), abs=1e-6)
    linked = {frozenset((a, b)) for a, b, similarity in edges if similarity >= 0.8}
    clustered = corpus.sql(
        "SELECT count(DISTINCT source_key) FROM duplicates JOIN documents USING (doc_id)"
    ).rows()
    assert clustered == [(len(frozenset().union(*linked)),)]


def test_threshold_gives_bands_and_rows(workshop: Workshop) -> None:
    """With a threshold, bands and rows are datasketch's optimum."""
    corpus = workshop.curate([{"minhash": {"threshold": 0.5, "permutations": 128}}], near_copies()[:3])
    lsh = datasketch.MinHashLSH(threshold=0.5, num_perm=128)
    sizes = corpus.sql("SELECT DISTINCT len(bands), octet_length(signature) // 4 FROM signals.minhash").rows()
    assert sizes == [(lsh.b, lsh.b * lsh.r)]


def test_characters(workshop: Workshop) -> None:
    """Shingles of characters find copies in scripts without spaces, where white space and case make no difference."""
    text = "敏捷的棕色狐狸跳过了懒狗然后又跑回森林里去了" * 2
    documents = [
        {"id": "a", "text": text + "。ABC def"},
        {"id": "b", "text": text + "。abc  def\n"},
        {"id": "c", "text": "完全不同的一句话,说的是别的事情,没有任何相同的地方"},
    ]
    step = {"minhash": {"unit": "characters", "ngram": 5, "bands": 20, "rows": 5, "verify": "exact"}}
    assert reasons(workshop.curate([step], documents)) == {"a": None, "b": "minhash.duplicate", "c": None}


def test_datasketch_reads_what_is_stored(workshop: Workshop) -> None:
    """Signatures from the catalog work in datasketch's LSH, Forest and Ensemble, and find what its own would."""
    documents = near_copies()
    corpus = workshop.curate(
        [{"minhash": {"ngram": 1, "bands": 16, "rows": 8, "words": "whitespace"}}], documents
    )
    stored = {
        key: datasketch.MinHash(
            hashvalues=np.frombuffer(signature, np.uint32), num_perm=128, seed=1, scheme="affine32"
        )
        for key, signature in corpus.sql(
            "SELECT source_key, signature FROM signals.minhash JOIN documents USING (doc_id) ORDER BY 1"
        ).rows()
    }
    sets = {d["id"]: shingles(d["text"], 1) for d in documents}

    def similar(a: str, b: str) -> float:
        return len(sets[a] & sets[b]) / len(sets[a] | sets[b])

    lsh = datasketch.MinHashLSH(threshold=0.8, num_perm=128)
    forest = datasketch.MinHashLSHForest(num_perm=128)
    ensemble = datasketch.MinHashLSHEnsemble(threshold=0.8, num_perm=128)
    ensemble.index([(key, minhash, len(sets[key])) for key, minhash in stored.items()])
    for key, minhash in stored.items():
        lsh.insert(key, minhash)
        forest.add(key, minhash)
    forest.index()
    assert stored["00"].jaccard(stored["05"]) == pytest.approx(similar("00", "05"), abs=0.1)
    near = {key for key in sets if similar("00", key) >= 0.9}
    assert near <= set(lsh.query(stored["00"]))
    assert near <= set(ensemble.query(stored["00"], len(sets["00"])))
    assert set(forest.query(stored["00"], len(near))) <= {key for key in sets if similar("00", key) > 0.7}
