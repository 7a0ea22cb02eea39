"""perplexity: by hand on a small model, as cc_net computes it, and what a missing or wrong model says."""

from __future__ import annotations

import functools
import math
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from curator import UsageError
from curator.testing import HARD_TEXTS, check_contract, check_filter, check_row_wise, measure
from curator_plugins.filters.perplexity import Perplexity, normalized
from tests.plugins.peers import real_texts, some_text

ARPA = """\
\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-2.0\t<unk>\t0
-99\t<s>\t-0.5
-1.0\t</s>\t0
-0.5\ta\t-0.25
-1.5\tcafe\t-0.25
-1.25\t0\t0

\\2-grams:
-0.125\t<s> a
-0.25\ta cafe
-0.375\tcafe </s>
-0.75\ta a

\\end\\
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("kenlm", reason="pip install 'corpus-curator[perplexity]'")
    path = tmp_path_factory.mktemp("kenlm") / "small.arpa"
    path.write_text(ARPA)
    return str(path)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sentencepiece model whose words are single characters, mostly."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="pip install 'corpus-curator[perplexity]'")
    path = tmp_path_factory.mktemp("pieces") / "small"
    text = ["a cafe", "cafe a 0", "a a a"] * 20
    train = sentencepiece.SentencePieceTrainer.train
    train(sentence_iterator=iter(text), model_prefix=str(path), vocab_size=11, minloglevel=2, num_threads=1)
    return f"{path}.model"


BY_HAND = {
    "a cafe": (-0.125 - 0.25 - 0.375, 3),
    "a a": (-0.125 - 0.75 - 0.25 - 1.0, 3),  # backing off from a to </s>
    "what": (-0.5 - 2.0 - 1.0, 2),  # unknown
    "a cafe\na cafe": (2 * (-0.125 - 0.25 - 0.375), 6),
    "a cafe\n": (-0.125 - 0.25 - 0.375 - 0.5 - 1.0, 4),  # the blank line has an end, too
    "A Café": (-0.125 - 0.25 - 0.375, 3),
    "7": (-0.5 - 1.25 - 1.0, 2),
}


@pytest.mark.parametrize("text", BY_HAND)
def test_by_hand(text: str, model: str) -> None:
    """10 to the minus mean log score, each line with its start and end."""
    score, length = BY_HAND[text]
    assert measure(Perplexity, text, model=model)["perplexity"].to_list() == [
        round(10 ** (-score / length), 1)
    ]


def test_undefined(model: str) -> None:
    """Without words, NULL, which is kept."""
    assert measure(Perplexity, "", " \n\t", "\n\n", model=model)["perplexity"].to_list() == [None] * 3
    check_filter(Perplexity, keep=["", "\n"], model=model, max_perplexity=0.0)


def test_rules(model: str) -> None:
    """Over the maximum, under the minimum; the limits are rule options, and off where null."""
    at = round(10**0.25, 1)  # of "a cafe"
    check_filter(Perplexity, keep=["a cafe", "a a"], model=model)
    check_filter(
        Perplexity, keep=["a cafe"], drop={"what": "too_high_perplexity"}, model=model, max_perplexity=at
    )
    check_filter(
        Perplexity, keep=["what"], drop={"a cafe": "too_low_perplexity"}, model=model, min_perplexity=at + 0.1
    )
    check_filter(Perplexity, keep=["what"], model=model, max_perplexity=None)
    assert set(Perplexity(model=model).rule_options()) == {"max_perplexity", "min_perplexity"}


def test_the_contract(model: str, pieces: str) -> None:
    """Row-wise and the same in a worker, with and without pieces."""
    check_contract(Perplexity, model=model)
    check_row_wise(Perplexity, *HARD_TEXTS[:-2], model=model, sentencepiece=pieces)


@functools.cache
def marks() -> dict[str, str]:
    """cc_net's table of punctuation, as datatrove took it over."""
    perplexity = pytest.importorskip("datatrove.utils.perplexity", reason="datatrove is not installed")
    return dict(perplexity.KenlmModel.unicode_punct)


def cc_net(line: str) -> str:
    """Its text_normalizer.normalize, step by step."""
    line = line.strip()
    if not line:
        return line
    line = "".join(c for c in unicodedata.normalize("NFD", line.lower()) if unicodedata.category(c) != "Mn")
    line = "".join(marks().get(c, c) for c in re.sub(r"\d", "0", line))
    return re.sub("[" + "".join(map(chr, (*range(32), *range(127, 160)))) + "]", "", line)


@settings(max_examples=300, deadline=None)
@given(some_text(*"，“１—…．’►％ー", "É", "Σ", "İ", "12", "Å", "\x7f", "ﬁ"))
def test_normalized_as_cc_net(text: str) -> None:
    """Line by line, character for character."""
    assert normalized(text).split("\n") == [cc_net(line) for line in text.split("\n")]


def as_cc_net(text: str, lm: Any, encode: Any = None) -> float | None:
    score, length, words = 0.0, 0, 0
    for line in text.split("\n"):
        line = cc_net(line)
        if encode is not None:
            line = " ".join(encode(line))
        score += lm.score(line)
        length += len(line.split()) + 1
        words += len(line.split())
    return round(10.0 ** (-score / length), 1) if words else None


@pytest.fixture(scope="module")
def lm(model: str) -> Any:
    import kenlm

    return kenlm.Model(model)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_text("a", "cafe", "Café", "7", "what"))
def test_as_cc_net(model: str, lm: Any, text: str) -> None:
    """Any text, scored by KenLM as cc_net's DocLM does."""
    assert measure(Perplexity, text, model=model)["perplexity"].to_list() == [as_cc_net(text, lm)]


def test_every_mark_of_cc_net() -> None:
    """Each becomes what it is there, but the full-width 1, a digit before it could be a mark."""
    assert {mark: normalized(mark) for mark in marks()} == {**marks(), "１": "0"}


def test_as_cc_net_on_real_texts(model: str, lm: Any, pieces: str) -> None:
    """Real documents, with words and with pieces."""
    import sentencepiece

    texts = [*real_texts(100, 5), *HARD_TEXTS[:-2]]
    assert measure(Perplexity, *texts, model=model)["perplexity"].to_list() == [
        as_cc_net(t, lm) for t in texts
    ]
    encode = sentencepiece.SentencePieceProcessor(model_file=pieces).encode_as_pieces
    found = measure(Perplexity, *texts, model=model, sentencepiece=pieces)["perplexity"].to_list()
    assert found == [as_cc_net(t, lm, encode) for t in texts]


def test_raw_words(model: str) -> None:
    """Without normalisation capitals and accents are other words."""
    known, unknown = measure(Perplexity, "a cafe", "A Café", model=model, normalize=False)["perplexity"]
    assert (known, unknown) == (round(10**0.25, 1), round(10 ** ((0.5 + 2 + 2 + 1) / 3), 1))
    assert math.isfinite(unknown)


def test_what_is_missing(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model, a file of something else, and a missing package each say what to do."""
    with pytest.raises(UsageError, match="perplexity needs a model: name a file of KenLM's"):
        Perplexity().versions()
    (tmp_path / "x.arpa").write_text("no model")
    with pytest.raises(UsageError, match=r"x\.arpa' is no model of KenLM's"):
        Perplexity(model=str(tmp_path / "x.arpa")).setup()
    with pytest.raises(UsageError, match=r"x\.arpa' is no model of sentencepiece"):
        Perplexity(model=model, sentencepiece=str(tmp_path / "x.arpa")).versions()
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(
        UsageError, match=r"kenlm is not installed: pip install 'corpus-curator\[perplexity\]'"
    ):
        Perplexity(model=model).versions()


def test_the_model_counts_by_content(model: str, tmp_path: Path) -> None:
    """The same file elsewhere has the same version; another has another."""
    (tmp_path / "copy.arpa").write_text(ARPA)
    (tmp_path / "other.arpa").write_text(ARPA.replace("-1.25", "-1.5"))
    versions = [
        Perplexity(model=m).versions()
        for m in (model, str(tmp_path / "copy.arpa"), str(tmp_path / "other.arpa"))
    ]
    assert versions[0] == versions[1] != versions[2]
