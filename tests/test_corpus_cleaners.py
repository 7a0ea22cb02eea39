"""Cleaners that look at the whole corpus: what they remove, of which documents, and what follows when these change."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curator.corpus import Corpus
from curator.errors import RecipeError, UsageError
from curator.redeciding import decide
from curator.verify import digest
from tests.conftest import Workshop, reasons

Documents = list[dict[str, Any]]


def texts(corpus: Corpus) -> dict[str, str]:
    return dict(corpus.sql("SELECT source_key, text FROM texts JOIN documents USING (doc_id)").rows())


def made(seed: int, n: int, prefix: str = "") -> Documents:
    """Documents of lines that often repeat, some of them too long to be drawn by chance."""
    draw = random.Random(seed)
    lines = [
        " ".join(draw.choices(["alpha", "beta", "gamma", "delta"], k=draw.randint(1, 9))) for _ in range(30)
    ]
    return [
        {"id": f"{prefix}{i:02}", "text": "\n".join(draw.choices(lines, k=draw.randint(1, 8)))}
        for i in range(n)
    ]


def without_repeated_lines(
    documents: Documents, *, first: bool = True, more_than: int | None = None
) -> dict[str, str]:
    """The rule in plain Python; documents in the order of their ids."""
    lines = {d["id"]: d["text"].split("\n") for d in sorted(documents, key=lambda d: d["id"])}
    occurs = Counter(line.strip() for own in lines.values() for line in own)
    documents_with = Counter(line for own in lines.values() for line in {line.strip() for line in own})
    seen: set[str] = set()
    found = {}
    for name, own in lines.items():
        kept = []
        for line in own:
            key = line.strip()
            often = occurs[key] > 1 if more_than is None else documents_with[key] > more_than
            if not key or not often or (first and key not in seen):
                kept.append(line)
            seen.add(key)
        found[name] = "\n".join(kept)
    return found


@pytest.mark.parametrize(
    ("options", "twin"),
    [
        ({}, {}),
        ({"keep": "none"}, {"first": False}),
        ({"keep": "none", "max_documents": 3}, {"first": False, "more_than": 3}),
        ({"max_documents": 2}, {"more_than": 2}),
    ],
)
def test_repeated_lines(workshop: Workshop, options: dict[str, Any], twin: dict[str, Any]) -> None:
    """What is left, and what is stored as removed, is what the rule says."""
    documents = made(1, 40)
    corpus = workshop.curate([{"repeated_lines": options}], documents)
    assert texts(corpus) == without_repeated_lines(documents, **twin)
    removed = corpus.sql(
        "SELECT source_key, removed, removed_bytes FROM signals.repeated_lines JOIN documents USING (doc_id)"
    ).rows()
    before = {d["id"]: d["text"] for d in documents}
    for name, gone, size in removed:
        left = texts(corpus)[name]
        assert Counter("\n".join([left, *(gone or [])]).split()) == Counter(before[name].split())
        assert size == sum(len(line) for line in gone or [])


def test_the_share_of_repeated_lines_drops(workshop: Workshop) -> None:
    """A document is dropped by the share of its lines that others have; the share is a rule's."""
    documents = [
        {"id": "a", "text": "one\ntwo\nthree\nfour"},
        {"id": "b", "text": "one\ntwo\nthree\nfive"},
        {"id": "c", "text": "one\nsix\nseven\neight"},
    ]
    step = {"repeated_lines": {"max_repeated_lines": 0.5}}
    assert reasons(workshop.curate([step], documents)) == {
        "a": "repeated_lines.repeated_lines",
        "b": "repeated_lines.repeated_lines",
        "c": None,
    }
    recipe = workshop.recipe([step], [{"jsonl": {"name": "web", "path": "web.jsonl"}}])
    decide(recipe.with_options({"repeated_lines.max_repeated_lines": "0.8"}))
    assert set(reasons(Corpus.existing(workshop.corpus_folder)).values()) == {None}


def test_documents_that_were_dropped_repeat_nothing(workshop: Workshop) -> None:
    """The first of equal lines is sought among documents that no earlier step drops; the others stay as they are."""
    documents = [
        {"id": "a", "text": "bad\nshared"},
        {"id": "b", "text": "good\nshared"},
        {"id": "c", "text": "shared"},
    ]
    drop = {"signal": {"drop": "documents.source_key = 'a'"}}
    corpus = workshop.curate([drop, "repeated_lines"], documents)
    assert texts(corpus) == {"a": "bad\nshared", "b": "good\nshared", "c": ""}


def test_passages(workshop: Workshop) -> None:
    """Every passage of so many words that occurs twice, and nothing else, is removed but for the first."""
    draw = random.Random(3)
    words = [f"w{draw.randrange(10**6)}" for _ in range(400)]
    shared, other = words[:30], words[30:42]
    documents = [
        {"id": "a", "text": " ".join([*words[100:150], *shared, *words[150:180]])},
        {"id": "b", "text": " ".join([*words[200:210], *shared[3:], *words[210:260], *other])},
        {"id": "c", "text": " ".join([*other, *words[300:330], *shared[:9]])},
        {"id": "d", "text": " ".join([*words[380:384], *shared[5:15], *shared[5:15]])},
    ]
    corpus = workshop.curate([{"repeated_passages": {"length": 10}}], documents)
    found = {name: text.split() for name, text in texts(corpus).items()}
    assert found == {
        "a": [*words[100:150], *shared, *words[150:180]],
        "b": [*words[200:210], *words[210:260], *other],
        "c": [*words[300:330], *shared[:9]],
        "d": words[380:384],
    }
    rows = corpus.sql(
        "SELECT source_key, removed FROM signals.repeated_passages JOIN documents USING (doc_id) ORDER BY 1"
    ).rows()
    assert [(name, [text.split() for text in gone or []]) for name, gone in rows] == [
        ("a", []),
        ("b", [shared[3:]]),
        ("c", [other]),
        ("d", [shared[5:15], shared[5:15]]),
    ]


def test_passages_of_characters(workshop: Workshop) -> None:
    """The unit may be characters, for scripts without spaces."""
    documents = [
        {"id": "a", "text": "我们今天去北京看长城。"},
        {"id": "b", "text": "他们说今天去北京看长城很好。"},
    ]
    corpus = workshop.curate([{"repeated_passages": {"length": 6, "unit": "characters"}}], documents)
    assert texts(corpus) == {"a": "我们今天去北京看长城。", "b": "他们说很好。"}


STEPS = [
    {"signal": {"drop": "len(documents.source_key) > 3"}},
    {"repeated_lines": {"max_repeated_lines": 0.9}},
    "gate",
    {"repeated_passages": {"length": 6}},
    {"length": {"words": "whitespace"}},
    {"minhash": {"ngram": 2, "bands": 20, "rows": 2}},
]


def entries(workshop: Workshop, names: list[str]) -> list[dict[str, Any]]:
    for seed, name in enumerate(names):
        workshop.source(name, made(seed + len(name), 25, f"{name}-"))
    return [{"jsonl": {"name": name, "path": f"{name}.jsonl"}} for name in names]


def test_a_source_more_is_as_if_it_had_been_there(workshop: Workshop, tmp_path: Path) -> None:
    """Adding a source, whose documents come first, gives the digest of a run with both; a second run does nothing."""
    both = entries(workshop, ["a", "b"])
    workshop.curate(STEPS, sources=both[1:])
    corpus = workshop.curate(STEPS, sources=both)
    grown = digest(corpus)
    assert workshop.report is not None
    before = corpus.sql("SELECT shard_id, measure, path FROM shards ORDER BY ALL").rows()
    workshop.curate(STEPS, sources=both)
    assert corpus.sql("SELECT shard_id, measure, path FROM shards ORDER BY ALL").rows() == before
    assert digest(corpus) == grown
    (tmp_path / "fresh").mkdir()
    fresh = Workshop(tmp_path / "fresh")
    assert digest(fresh.curate(STEPS, sources=entries(fresh, ["a", "b"]))) == grown


def test_a_line_comes_back(workshop: Workshop) -> None:
    """When the document with the first of equal lines is gone, the next one has the line again."""
    first = workshop.source("a", [{"id": "1", "text": "shared\nown"}])
    second = workshop.source("b", [{"id": "2", "text": "shared\nother"}])
    sources = [first, second]
    assert texts(workshop.curate(["repeated_lines", "length"], sources=sources)) == {
        "1": "shared\nown",
        "2": "other",
    }
    workshop.source("a", [{"id": "1", "text": "own"}])
    corpus = workshop.curate(["repeated_lines", "length"], sources=sources)
    assert texts(corpus) == {"1": "own", "2": "shared\nother"}
    assert dict(corpus.sql("SELECT source_key, n_chars FROM documents").rows()) == {"1": 3, "2": 12}
    lengths = "SELECT source_key, l.n_chars FROM signals.length l JOIN documents USING (doc_id)"
    assert dict(corpus.sql(lengths).rows()) == {"1": 3, "2": 12}


def test_earlier_rules_are_not_changed_by_deciding(workshop: Workshop) -> None:
    """What the corpus cleaner saw hangs on them; those behind it may change."""
    steps = [{"length": {"min_chars": 2}}, "repeated_lines", {"length": {"as": "after", "min_chars": 2}}]
    workshop.curate(steps, made(1, 5))
    recipe = workshop.recipe(steps, [{"jsonl": {"name": "web", "path": "web.jsonl"}}])
    with pytest.raises(
        UsageError, match="step repeated_lines removes what the documents that 'length' lets pass repeat"
    ):
        recipe.with_options({"length.min_chars": "3"})
    decide(recipe.with_options({"after.min_chars": "3"}))


def test_refused(workshop: Workshop) -> None:
    """A recipe that cannot work is refused by name."""
    source = workshop.source("web", made(1, 3))
    with pytest.raises(RecipeError, match="keep_original must not be false"):
        workshop.recipe(["repeated_lines"], [source], keep_original=False)
    with pytest.raises(RecipeError, match="known only behind repeated_lines"):
        workshop.recipe([{"signal": {"drop": "documents.n_words > 3"}}, "repeated_lines"], [source])
    with pytest.raises(RecipeError, match="length is 2; it must be at least 4"):
        workshop.recipe([{"repeated_passages": {"length": 2}}], [source])


def test_a_share_of_the_spans_at_a_time(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """More spans than are looked at together give the same."""
    monkeypatch.setattr("curator_catalog.spans.SPANS_AT_ONCE", 17)
    documents = made(4, 30)
    assert texts(workshop.curate(["repeated_lines"], documents)) == without_repeated_lines(documents)


def test_a_folder_of_any_name(tmp_path: Path) -> None:
    """What SQL writes for the workers lies in the corpus's folder, whatever it is called."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    documents = made(5, 10)
    assert texts(Workshop(folder).curate(["repeated_lines"], documents)) == without_repeated_lines(documents)


def test_windows_newlines(workshop: Workshop) -> None:
    """A paragraph is the same whatever ends its lines, and blank lines may hold spaces."""
    documents = [
        {"id": "a", "text": "one\n\nshared line\nand another\n\ntwo"},
        {"id": "b", "text": "three\r\n\r\nshared line\nand another\r\n\r\nfour"},
        {"id": "c", "text": "five\n \nshared line\nand another"},
    ]
    corpus = workshop.curate([{"repeated_lines": {"unit": "paragraph"}}], documents)
    assert texts(corpus) == {"a": documents[0]["text"], "b": "three\r\n\r\nfour", "c": "five"}
