"""decontaminate: what it measures, against plain Python and datatrove, and how benchmarks are read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator.testing import check_contract, check_filter, check_row_wise, measure
from curator_plugins.filters.benchmarks import read_benchmark
from curator_plugins.filters.decontaminate import Decontaminate
from tests.plugins import peers

LONG = "A train of 12 cars leaves the old station at noon and meets another one, which left at ten, near the river."
SHORT = "Which of these nine numbers is a prime?"  # eight words
ITEMS: list[dict[str, Any]] = [
    {"id": "train", "question": LONG, "answer": "near the river"},
    {
        "id": 2,
        "question": SHORT,
        "answer": "the seventh of them in the list, as it has no divisor but one and itself",
    },
    {"question": ["of", "few words"], "answer": None, "n": 3},
]


def write(path: Path, items: list[Any]) -> str:
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The benchmark of most tests."""
    return write(tmp_path_factory.mktemp("benchmark") / "trains.jsonl", ITEMS)


def matches(*texts: str, **options: Any) -> list[list[tuple[str, str, float, int, str]]]:
    """(item, field, overlap, words, text) of every match of every text."""
    found = measure(Decontaminate, *texts, **options)["matches"].to_list()
    return [[(m["item"], m["field"], m["overlap"], m["words"], m["text"]) for m in ms] for ms in found]


def test_what_is_measured(file: str) -> None:
    """Whole, in another dress, in part and not at all; spans are characters of the text as it is."""
    dressed = "🚂 é! a TRAIN of 99.5 cars -- leaves: the old\tstation, at noón and meets another one which left at ten near the river"
    half = "He said: meets another one, which left at ten, near the river. And then the old station at noon and meets"
    whole, other, part, none = matches(LONG, dressed, f"{LONG[:80]} late.", half, benchmarks={"t": file})
    assert whole == [("train", "question", 1.0, 22, LONG[:-1])]
    assert [m[:4] for m in other] == [("train", "question", 1.0, 22)]
    assert part == [("train", "question", pytest.approx(4 / 10), 16, LONG[:78])]
    assert none == []
    measured = measure(Decontaminate, dressed, benchmarks={"t": file})
    (span,) = measured["matches"][0][0]["spans"]
    assert dressed[span["start"] : span["stop"]] == dressed[5:]
    assert measured["overlap"].to_list() == [1.0]


def test_short_fields(file: str) -> None:
    """Fewer words than an n-gram: found as a whole, or, under min_words, not at all."""
    assert matches(f"So: {SHORT}", benchmarks={"t": file}) == [[("2", "question", 1.0, 8, SHORT[:-1])]]
    assert matches(SHORT.replace("nine", "ten"), f"{SHORT}", benchmarks={"t": file}, min_words=9) == [[], []]
    assert matches("of few words", benchmarks={"t": file}, min_words=3, ngram=3) == [
        [("#3", "question", 1.0, 3, "of few words")]
    ]


def test_spans_are_merged(file: str) -> None:
    """An item twice, the second time in part: two spans, each n-gram counted once, the longest piece shown."""
    text = f"{LONG[26:]} Again! {LONG}"
    ((m,),) = measure(Decontaminate, text, benchmarks={"t": file})["matches"].to_list()
    assert [text[s["start"] : s["stop"]] for s in m["spans"]] == [LONG[26:-1], LONG[:-1]]
    assert (m["overlap"], m["words"], m["text"]) == (1.0, 16 + 22, LONG[:-1])


def test_fields(file: str) -> None:
    """All that hold text, but the id and the ignored; or only those to match."""

    def fields(**given: Any) -> list[tuple[str, str]]:
        text = f"{LONG} {ITEMS[1]['answer']}"
        return [m[:2] for m in matches(text, benchmarks={"t": {"file": file, **given}})[0]]

    assert fields() == [("train", "question"), ("2", "answer")]
    assert fields(fields={"question": "ignore"}) == [("2", "answer")]
    assert fields(fields={"question": "match", "answer": "ignore"}) == [("train", "question")]
    assert fields(fields={"question": "match"}, id="n") == [("#1", "question")]


def test_a_public_text_as_context(tmp_path: Path) -> None:
    """A benchmark over public texts drops the questions about them, not the texts."""
    public = "Four score and seven years ago our fathers brought forth on this continent a new nation, conceived in liberty."
    path = write(tmp_path / "squad.jsonl", [{"id": "q", "context": public, "question": LONG}])
    named = {"s": {"file": path, "fields": {"question": "match", "context": "ignore"}}}
    check_filter(Decontaminate, benchmarks=named, keep=[public], drop={LONG: "contaminated"})
    check_filter(Decontaminate, benchmarks={"s": path}, drop=dict.fromkeys([public, LONG], "contaminated"))


def test_shared_ngrams_count_for_the_largest_overlap(tmp_path: Path) -> None:
    """Items that share an instruction: listed is what overlaps most, by number or share."""
    told = "If you follow these instructions, do you return to the place where you began?"
    ends = [
        "Take two steps and turn left.",
        "Take two steps and turn right, then jump up.",
        "Sit down here now please.",
    ]
    path = write(tmp_path / "a.jsonl", [{"text": f"{told} {end}"} for end in ends])
    both = {"a": path, "b": path}
    (found,) = matches(f"{told} {ends[1]}", benchmarks={"a": path})
    assert [m[:3] for m in found] == [("#2", "text", 1.0)]
    ((*two,),) = matches(f"{told} {ends[1]}", benchmarks=both)
    assert [m[:3] for m in two] == [("#2", "text", 1.0)] * 2
    (found,) = matches(told, benchmarks={"a": path})
    assert [(m[0], m[2]) for m in found] == [("#3", 2 / 7), ("#1", 2 / 8), ("#2", 2 / 11)]
    assert matches(told, benchmarks={"a": path}, max_items=2) == [[]]
    (found,) = matches(f"{told} {ends[1]}", benchmarks={"a": path}, max_items=2)
    assert [m[:3] for m in found] == [("#2", "text", 1.0)]


few = st.lists(st.sampled_from([*"abcdE", "1", ",", "\n", "é"]), max_size=24).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(few, min_size=1, max_size=4), few)
def test_overlap_as_plain_python(
    tmp_path_factory: pytest.TempPathFactory, items: list[str], text: str
) -> None:
    """The largest share of an item's distinct n-grams of three different words or more."""
    path = write(
        tmp_path_factory.mktemp("few") / "few.jsonl", [{"text": i} for i in [*items, "one two three"]]
    )

    def grams(text: str, n: int) -> set[tuple[str, ...]]:
        words = text.lower().replace(",", " ").replace("1", "0").replace("é", "e").split()
        n = min(n, max(len(words), 3))
        return {g for i in range(len(words) - n + 1) if len(set(g := tuple(words[i : i + n]))) >= 3}

    def overlap(item: str) -> float:
        wanted = grams(item, 4)
        n = len(next(iter(wanted), ()))
        return len(wanted & grams(text, n)) / len(wanted) if wanted and len(text.split()) >= n else 0.0

    measured = measure(Decontaminate, text, benchmarks={"few": path}, ngram=4, min_words=3)
    assert measured["overlap"].to_list() == [max(map(overlap, items))]


def test_the_contract(file: str) -> None:
    """Row-wise, repeatable, as declared, by name in a worker, also where something is found."""
    check_contract(Decontaminate, benchmarks={"t": file}, ngram=5, min_words=3)
    check_row_wise(Decontaminate, LONG, SHORT, "", f"{SHORT} {LONG}", benchmarks={"t": file, "u": file})


MISTAKES = {
    "{}": "no field of any item holds text",
    "": "no items; it must have one JSON object a line",
    '{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}': ":2: item '1' stands in line 1 too; name the field of an id",
    '{"text": "a"}\n\n{"text": ': ":3: this is no JSON",
    '["a"]': ':1: an item is a JSON object, this is ["a"]',
}


@pytest.mark.parametrize("content", MISTAKES)
def test_mistakes_in_a_file(content: str, tmp_path: Path) -> None:
    """Named with benchmark, file and line."""
    path = tmp_path / "b.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_benchmark("b", str(path), {}, "id")
    assert str(error.value).startswith(f"benchmark 'b': {path}")
    assert MISTAKES[content] in str(error.value)


def test_mistakes_in_fields(file: str, tmp_path: Path) -> None:
    """A field that no item has, and one that is no text."""
    with pytest.raises(UsageError, match=r"no item has a field 'qestion'; did you mean 'question'\?"):
        read_benchmark("b", file, {"qestion": "match"}, "id")
    nested = write(tmp_path / "n.jsonl", [{"q": {"stem": LONG, "choices": [{"a": 1}]}}])
    assert read_benchmark("b", nested, {"q.stem": "match"}, "id").fields == [("b", "#1", "q.stem", LONG)]
    with pytest.raises(
        UsageError, match=r":1: field 'q.choices' is \[\{'a': 1\}\], not text or a list of texts"
    ):
        read_benchmark("b", nested, {"q.choices": "match"}, "id")


def test_compressed_files(file: str, tmp_path: Path) -> None:
    """gzip and zstd, known by their content; a damaged file is named."""
    plain = Path(file).read_bytes()
    for name, data in (("a.gz", gzip.compress(plain)), ("b", zstandard.compress(plain))):
        (tmp_path / name).write_bytes(data)
        assert read_benchmark("b", str(tmp_path / name), {}, "id") == read_benchmark("b", file, {}, "id")
    (tmp_path / "c").write_bytes(gzip.compress(plain)[:-20])
    with pytest.raises(UsageError, match="damaged_file"):
        read_benchmark("b", str(tmp_path / "c"), {}, "id")


def gold() -> list[dict[str, Any]]:
    path = peers.DATA / "dev" / "gold" / "contaminated.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no {path}; set CURATOR_TEST_DATA")
    with gzip.open(path) as lines:
        return [json.loads(line) for line in lines]


def benchmarks() -> dict[str, str]:
    return {
        path.name.removesuffix(".jsonl.gz"): str(path) for path in sorted(peers.DATA.glob("benchmarks/*.gz"))
    }


def test_gold() -> None:
    """600 forum posts, 200 with an item put in: which are dropped, and that the item is named."""
    documents = gold()
    found = measure(Decontaminate, *(d["text"] for d in documents), benchmarks=benchmarks())[
        "matches"
    ].to_list()
    dropped: dict[str, int] = {}
    for document, ms in zip(documents, found, strict=True):
        over = [(m["benchmark"], m["item"]) for m in ms if m["overlap"] >= Decontaminate.min_overlap]
        kind = document.get("kind", "clean")
        right = (document.get("benchmark"), document.get("item")) in over if document["label"] else bool(over)
        dropped[kind] = dropped.get(kind, 0) + right
    assert dropped == {"verbatim": 88, "case_ws": 38, "partial": 36, "paraphrase-noise": 23, "clean": 0}


@pytest.mark.parametrize("ngram", [12, 13])
def test_as_datatrove(ngram: int) -> None:
    """Its filter, over words between white space, with an index made by its own functions: the same documents.

    Its indexer only runs where lighteval is installed, so the index is put together here, without n-grams of fewer
    than three different words, which ours leaves out. SHA-1, as its xxhash fails with that package's version 4.
    """
    peers.datatrove("filters", "LambdaFilter", lambda document: True)
    pytest.importorskip("spacy", reason="datatrove's English words are spaCy's")
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import ngrams, simplify_text

    named = {name: path for name, path in benchmarks().items() if name not in ("bbh", "lambada-test")}
    config = NGramsDecontConfig(n_grams=ngram, hash_config=HashConfig(hash_fc="sha1"))
    step = NGramsDecontFilter("unused", config)
    texts = [d["text"] for d in gold()]

    def words(text: str) -> list[str]:
        return simplify_text(text, step.config.norm_config).split()

    step.tokenizer = type("Words", (), {"word_tokenize": staticmethod(str.split)})()
    step._index_hashes = {
        step.hash_func(" ".join(gram)): name
        for name, path in named.items()
        for field in read_benchmark(name, path, {}, "id").fields
        for gram in ngrams(words(field.text), ngram)
        if len(set(gram)) >= 3
    }
    theirs = [reason is not None for reason in peers.reasons(step, texts)]
    ours = measure(Decontaminate, *texts, benchmarks=named, ngram=ngram, min_words=ngram)["overlap"] > 0
    assert ours.to_list() == theirs
    assert np.count_nonzero(theirs) > 100
