"""Our fastText against the fasttext package: models of every kind that is read, hard texts, refusals."""

from __future__ import annotations

import random
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.text.fasttext import FastText

SPACES = [chr(c) for c in range(0x3001) if chr(c).isspace()]
PIECES = [
    *SPACES,
    *[
        "</s>",
        "</s",
        "x</s>",
        "__label__",
        "__label__en",
        "__label__x",
        "x__label__en",
        "<",
        ">",
        "<>",
        "< >",
    ],
    *"\x00\x07\x1b\x7f\u200b\u200c\u200d\ufeff\u00ad.,;0",
    *["word", "Word", "the", "la", "de", "und", "http://example.org/" + "a/" * 90, "x" * 400, "é" * 300],
    *[
        "e\u0301",
        "İ",
        "ß",
        "ΟΔΟΣ",
        "한국어",
        "שָׁלוֹם",
        "مرحبا بالعالم",
        "नमस्ते दुनिया",
        "人人生而自由在尊严和权利上",
        "สวัสดีชาวโลก",
    ],
    *["👩‍🚀", "𝔘", "\U0010ffff", "\u07ff", "\u0800", "\uffff", "а", "я", "ы"],
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join)
batches = st.lists(texts, max_size=4)
#: name -> (labels, settings of the training, settings of the quantisation)
KINDS: dict[str, tuple[int, dict[str, Any], dict[str, Any] | None]] = {
    "hierarchical": (7, {"loss": "hs", "minn": 1, "maxn": 4, "bucket": 5000, "dim": 16}, None),
    "pruned": (
        7,
        {"loss": "softmax", "minn": 1, "maxn": 3, "bucket": 2000, "dim": 10},
        {"qnorm": True, "cutoff": 400, "dsub": 4},
    ),
    "words": (300, {"loss": "softmax", "maxn": 0, "dim": 7}, {"qout": True, "qnorm": False, "dsub": 2}),
    "rare words": (2, {"loss": "hs", "maxn": 0, "dim": 4, "minCount": 1000}, None),
    "one label": (1, {"loss": "hs", "minn": 3, "maxn": 3, "bucket": 100, "dim": 4}, None),
}
REFUSED = {
    "wordNgrams 2": {"wordNgrams": 2},
    "the loss one-vs-all": {"loss": "ova"},
    "the loss negative sampling": {"loss": "ns"},
}


def lid176() -> Path:
    with as_file(files("curator_plugins") / "models" / "lid.176.ftz") as path:
        return path


def trained(
    folder: Path, labels: int, settings: dict[str, Any], quantisation: dict[str, Any] | None = None
) -> Path:
    """A model of 900 words, each label with its own preferences; its file."""
    chance = random.Random(1)
    letters = "abcdefghij" + "äéßøжшя한국어人自由"
    words = ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(900)]
    lines = []
    for i in range(max(600, 3 * labels)):
        label = i % labels
        start = 900 * label // labels
        chosen = chance.choices(words, k=6) + chance.choices(words[start : start + 200], k=12)
        lines.append(f"__label__l{label} " + " ".join(chosen))
    text = folder / "lines.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(str(text), epoch=3, thread=1, seed=1, verbose=0, **settings)
    if quantisation is not None:
        model.quantize(input=str(text), thread=1, **quantisation)
    path = folder / "model.bin"
    model.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def lid() -> tuple[FastText, Any]:
    return FastText(lid176()), fasttext.load_model(str(lid176()))


def best(model: FastText, batch: list[str]) -> list[tuple[int, float]]:
    labels, scores = model.best(pa.array(batch, pa.large_string()))
    return list(zip(labels.tolist(), scores.tolist(), strict=True))


def check_same(ours: FastText, theirs: Any, batch: list[str]) -> None:
    """The package's label where its two best differ by 1e-4, and its score, of every text."""
    for text, (label, score) in zip(batch, best(ours, batch), strict=True):
        labels, scores = theirs.predict(text.replace("\n", " "), k=2)
        if len(labels) == 0:
            assert (label, score) == (-1, 0)
            continue
        assert score == pytest.approx(scores[0], abs=1e-4)
        if len(labels) == 1 or scores[0] - scores[1] > 1e-4:
            assert ours.labels[label] == labels[0]


@settings(max_examples=300, deadline=None)
@given(batches)
@example(["", " ", "\n", "\x00", "</s>", "__label__en"])
@example(["a </s> Alle Menschen sind frei", "a\x00Alle Menschen\x00sind frei", "Alle " * 5000, "x" * 100_000])
def test_lid176_as_the_package(lid: tuple[FastText, Any], batch: list[str]) -> None:
    """The shipped model: any text has the label and the score that the fasttext package gives."""
    check_same(*lid, batch)


@pytest.mark.parametrize("kind", KINDS)
def test_other_models_as_the_package(tmp_path: Path, kind: str) -> None:
    """Both losses, words and n-grams from 1 character on, pruned or not, quantised in each way or not."""
    path = trained(tmp_path, *KINDS[kind])
    ours, theirs = FastText(path), fasttext.load_model(str(path))
    assert theirs.is_quantized() == (KINDS[kind][2] is not None)
    assert ours.labels == theirs.get_labels()
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "lines.txt").read_text("utf-8").splitlines()]
    check_same(ours, theirs, [*lines, "", "a", "abc 한국 xyz", *PIECES])


def test_a_text_without_rows_has_no_label(tmp_path: Path) -> None:
    """A model that knows neither the words nor the end of the line gives no label, as the package."""
    model = FastText(trained(tmp_path, *KINDS["rare words"]))
    assert best(model, ["", "nothing known"]) == [(-1, 0), (-1, 0)]


@settings(max_examples=60, deadline=None)
@given(batches)
def test_the_table_never_changes_an_answer(lid: tuple[FastText, Any], batch: list[str]) -> None:
    """A table of a single word, one that has met many, one text at a time, backwards: to the last bit."""
    found = best(lid[0], batch)
    assert best(FastText(lid176(), max_bytes=0), batch) == found
    assert [best(lid[0], [text])[0] for text in batch] == found
    assert best(lid[0], batch[::-1])[::-1] == found


def test_memory_is_bounded() -> None:
    """The table has at most the bytes that were asked for, and at least one place."""
    for max_bytes, words in ((6 << 20, 1 << 16), (100_000, 1 << 10), (0, 1)):
        model = FastText(lid176(), max_bytes)
        assert len(model._keys) == words
        assert model._keys.nbytes + model._sums.nbytes <= max(max_bytes, 88)


def test_a_null_and_a_slice_are_read_as_they_stand(lid: tuple[FastText, Any]) -> None:
    """A null is an empty text; an array that is part of another has offsets of its own."""
    array = pa.array(["Guten Morgen, liebe Leute", None, "Bonjour tout le monde"], pa.large_string())
    labels, scores = lid[0].best(array)
    assert [lid[0].labels[i] for i in labels[[0, 2]]] == ["__label__de", "__label__fr"]
    assert best(lid[0], [""]) == [(labels[1], scores[1])]
    assert np.array_equal(lid[0].best(array.slice(1))[1], scores[1:])
    assert len(lid[0].best(array.slice(0, 0))[0]) == 0


@pytest.mark.parametrize(("named", "options"), REFUSED.items())
def test_models_that_are_refused(tmp_path: Path, named: str, options: dict[str, Any]) -> None:
    """What cannot be computed is named, with the file."""
    path = trained(tmp_path, 3, {"dim": 4, "bucket": 100, **options})
    with pytest.raises(UsageError, match=f"model.bin has {named}; needed is "):
        FastText(path)


def test_files_that_are_refused(tmp_path: Path) -> None:
    """Word vectors, another format, no model, and a model that is cut or goes on."""
    path = tmp_path / "model.bin"
    (tmp_path / "lines.txt").write_text("a b c a b c\n" * 50)
    vectors = fasttext.train_unsupervised(
        str(tmp_path / "lines.txt"), dim=2, bucket=10, minCount=1, verbose=0
    )
    vectors.save_model(str(path))
    with pytest.raises(UsageError, match="was not trained with labels"):
        FastText(path)
    data = lid176().read_bytes()
    for content, message in (
        (b"\0" * 8 + data[8:], "is no fastText model"),
        (data[:4] + b"\x0b" + data[5:], "has format 11; needed is format 12"),
        (data + b"\0", "goes on after its end"),
        *((data[:size], "model.bin is damaged") for size in (0, 7, 60, 90, 5000, 300_000, len(data) - 1)),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            FastText(path)
