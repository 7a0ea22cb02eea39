"""Languages of real sentences, what is undefined, and which are dropped."""

from __future__ import annotations

import gzip
import json
import os
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from typing import Any

import fasttext
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, check_filter, check_row_wise, measure
from curator_plugins.filters.language import Language

DATA = Path(os.environ.get("CURATOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
#: English from the web; manuals in 12 languages; the declaration of human rights in 380
REAL = {
    "web": "bench.jsonl.gz",
    "manuals": "dev/multilingual/*.jsonl.gz",
    "rights": "dev/multilingual-udhr/*.txt",
}

# the first article of the Universal Declaration of Human Rights
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft begabt.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом.",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق، وقد وهبوا عقلا وضميرا.",
}


@pytest.mark.parametrize("backend", ["lid176", "langdetect"])
def test_languages_are_recognised(backend: str) -> None:
    """Both backends label the declaration in seven languages, surely."""
    found = measure(Language, *ARTICLE.values(), backend=backend)
    assert found["language"].to_list() == list(ARTICLE)
    assert found["score"].min() > 0.7
    assert found["score"].max() <= 1.0


@pytest.mark.parametrize("backend", ["lid176", "langdetect"])
def test_a_text_without_letters_is_undetermined(backend: str) -> None:
    """No letters, no language: `und`, score 0; it is a label, so `keep` drops it."""
    found = measure(Language, "", "123 456", "!!! \n ???", "\U0001f600", backend=backend)
    assert found.rows() == [("und", 0.0)] * 4


@pytest.fixture(scope="module")
def package() -> Any:
    with as_file(files("curator_plugins") / "models" / "lid.176.ftz") as path:
        return fasttext.load_model(str(path))


def by_package(package: Any, text: str) -> list[tuple[str, float]]:
    """fastText's two best, as datatrove asks it: the whole text, newlines as spaces."""
    labels, scores = package.predict(text.replace("\n", " "), k=2)
    return [(label.removeprefix("__label__"), score) for label, score in zip(labels, scores, strict=True)]


def real(what: str, most: int = 1500) -> list[str]:
    paths = sorted(DATA.glob(REAL[what]))
    if not paths:
        pytest.skip(f"{DATA / REAL[what]} is not there; CURATOR_TEST_DATA names its folder")
    if paths[0].suffix == ".txt":
        return [path.read_text(encoding="utf-8") for path in paths][:most]
    texts: list[str] = []
    for path in paths:
        with gzip.open(path) as lines:
            texts += [json.loads(line)["text"] for line in islice(lines, most // len(paths))]
    return texts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=300) | st.sampled_from([*ARTICLE.values(), *HARD_TEXTS]), max_size=5))
@example(list(HARD_TEXTS))
@example([f"{one}\x00{other}" for one in ARTICLE.values() for other in ARTICLE.values()])
def test_any_text_is_labelled_as_by_fasttext(package: Any, texts: list[str]) -> None:
    """The fasttext package's label, unless its two best are within 1e-4, and its score, at most 1, within 1e-4."""
    for text, (label, score) in zip(texts, measure(Language, *texts).rows(), strict=True):
        if label == "und":
            assert score == 0.0
            assert not any(c.isalpha() for c in text)
        else:
            first, second = by_package(package, text)
            assert score == pytest.approx(min(first[1], 1.0), abs=1e-4)
            assert label == first[0] or first[1] - second[1] <= 1e-4


@pytest.mark.parametrize("what", REAL)
def test_whole_texts_decide(package: Any, what: str) -> None:
    """Label and the decision at 0.65 are those of fastText over whole texts for 99.9 % and more."""
    texts = real(what)
    found = measure(Language, *texts).rows()
    expected = [by_package(package, text)[0] for text in texts]
    pairs = list(zip(found, expected, strict=True))
    assert len(pairs) >= 300
    assert sum(ours[0] == theirs[0] for ours, theirs in pairs) >= 0.999 * len(pairs)
    assert sum((ours[1] > 0.65) == (theirs[1] > 0.65) for ours, theirs in pairs) >= 0.999 * len(pairs)


def test_a_language_does_not_depend_on_the_batch() -> None:
    """To the last digit, whatever words were met before: a batch, its reversal, one at a time."""
    check_row_wise(Language, *ARTICLE.values(), *(a + b for a in ARTICLE.values() for b in ARTICLE.values()))


def test_newlines_are_spaces() -> None:
    """fastText reads a line; ours reads them all."""
    one, other = measure(Language, ARTICLE["de"], ARTICLE["de"].replace(" ", "\r\n")).rows()
    assert one == other


def test_only_the_first_characters_are_read() -> None:
    """`max_chars` bounds what is read; without it all is."""
    text = ARTICLE["fr"] + " " + ARTICLE["en"] * 50
    assert measure(Language, text)["language"].to_list() == ["en"]
    assert measure(Language, text, max_chars=90)["language"].to_list() == ["fr"]
    assert measure(Language, text, max_chars=None)["language"].to_list() == ["en"]


def test_what_is_dropped() -> None:
    """A language that is not kept, by `language`; an unsure one by `low_score`; no `keep` keeps all."""
    check_filter(
        Language(keep=["en", "de"]),
        keep=[ARTICLE["en"], ARTICLE["de"]],
        drop={ARTICLE["fr"]: "language", "123": "language"},
    )
    check_filter(Language, keep=[*ARTICLE.values(), "123"])
    check_filter(Language, keep=[ARTICLE["en"]], drop={"123": "low_score"}, min_score=0.5)


def test_scores_are_rounded_and_bounded() -> None:
    """Six digits, so that another processor's last bits change nothing that is stored."""
    scores = measure(Language, *ARTICLE.values())["score"].to_list()
    assert scores == [round(s, 6) for s in scores]


def test_language_fills_the_column_of_documents() -> None:
    """documents.language is this step's signal; model and library are in the fingerprint."""
    assert Language.documents == {"language": "language"}
    assert list(Language().versions()) == ["model"]
    assert list(Language(backend="langdetect").versions()) == ["langdetect"]
