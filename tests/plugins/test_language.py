"""Languages of real sentences, what is undefined, and which are dropped."""

from __future__ import annotations

import pytest

from curator.testing import check_filter, measure
from curator_plugins.filters.language import Language

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


def test_newlines_are_spaces() -> None:
    """fastText reads a line; ours reads them all."""
    one, other = measure(Language, ARTICLE["de"], ARTICLE["de"].replace(" ", "\r\n")).rows()
    assert one == other


def test_only_the_first_characters_are_read() -> None:
    """`max_chars` bounds what is read, null reads all."""
    text = ARTICLE["fr"] + " " + ARTICLE["en"] * 50
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
    """documents.language is this step's signal; models and libraries are in the fingerprint."""
    assert Language.documents == {"language": "language"}
    assert list(Language().versions()) == ["model", "fasttext"]
    assert list(Language(backend="langdetect").versions()) == ["langdetect"]
