"""bad_words against datatrove's C4BadWordsFilter on the same lists, and the language and share that it takes."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.measuring import StepRunner
from curator.testing import check_filter, documents
from curator_plugins.filters.bad_words import BadWords
from tests.conftest import Workshop, reasons
from tests.plugins import peers

LISTS = Path(str(files("curator_plugins") / "lists" / "ldnoobw"))
LANGUAGES = sorted(path.name for path in LISTS.iterdir() if path.suffix == "" and path.name != "LICENSE")
RULE = "document_removed_with_badwords"


def measured(texts: list[str], language: str | None, **options: Any) -> list[tuple[bool | None, str | None]]:
    languages = pl.DataFrame({"language": pl.Series([language] * len(texts), dtype=pl.String)})
    docs = documents(*texts).with_signals("documents", languages)
    rows = StepRunner("bad_words", BadWords(**options)).run(docs).rows
    return rows.drop("doc_id").rows()


def test_words_have_borders() -> None:
    """A word counts between what is no letter, digit or underscore, in any case, and the first is named."""
    check_filter(
        BadWords,
        keep=["", "a class of analysts", "sexton", "_sex_", "sex1", "Sexe"],
        drop=dict.fromkeys(["sex", "SEX.", "(sex)", "\nSex\n", "x sex\u0301 y", "no 'blow job' here"], RULE),
    )
    assert measured(["porn, then sex", "blow  job", "a blow job"], "en") == [
        (True, "porn"),
        (False, None),
        (True, "blow job"),
    ]


def test_languages_without_spaces() -> None:
    """No borders in Japanese, Thai and Chinese; C4's allowed words are none, in any language."""
    assert measured(["これはポルノだ", "性と女の子とグロ", "sm"], "ja") == [
        (True, "ポルノ"),
        (False, None),
        (False, None),
    ]
    assert measured(["性交", "性"], "zh")[1] == (False, None)
    assert measured(["これはポルノだ"], "en") == [(False, None)]


def test_the_language() -> None:
    """Of the earlier step; where it is not known, the default; without a list nothing is measured or dropped."""
    assert measured(["Du Arschloch!"], "de") == [(True, "arschloch")]
    assert measured(["Du Arschloch!"], None) == [(False, None)]
    assert measured(["Du Arschloch!"], None, default_language="de") == [(True, "arschloch")]
    for unknown in ("und", "README.md", "LICENSE", "../ldnoobw/en", "", "EN"):
        assert measured(["sex"], unknown) == [(None, None)]
    check_filter(BadWords, keep=["sex"], default_language="und")


def test_in_a_run(workshop: Workshop) -> None:
    """`language` decides which list is read."""
    german = "Das ist ein Satz in deutscher Sprache, und du bist ein Arschloch, mein Freund."
    english = "This is a sentence in the English language, and you are an Arschloch, my friend."
    corpus = workshop.curate(
        ["language", "bad_words"], [{"id": "de", "text": german}, {"id": "en", "text": english}]
    )
    assert reasons(corpus) == {"de": f"bad_words.{RULE}", "en": None}


def test_a_share_is_kept(workshop: Workshop) -> None:
    """About the share, the same whatever the order, more with a larger share, and never a reason to drop others."""
    texts = [{"id": str(i), "text": "sex" if i % 2 else "tea"} for i in range(1000)]
    kept: dict[float, set[str]] = {}
    for share in (0.0, 0.1, 0.5, 1.0):
        corpus = workshop.curate([{"bad_words": {"keep_fraction": share}}], texts)
        kept[share] = {key for key, reason in reasons(corpus).items() if reason is None and int(key) % 2}
        assert {key for key, reason in reasons(corpus).items() if reason} == {
            str(i) for i in range(1, 1000, 2)
        } - kept[share]
    assert [len(kept[share]) for share in (0.0, 1.0)] == [0, 500]
    assert kept[0.1] < kept[0.5]
    assert 20 < len(kept[0.1]) < 85
    assert 200 < len(kept[0.5]) < 300


@functools.cache
def reference() -> Any:
    """datatrove's, reading our lists instead of downloading them."""
    step = peers.datatrove("filters.c4_filters", "C4BadWordsFilter", fail_on_missing_language=False)
    from datatrove.pipeline.filters import c4_filters

    c4_filters.cached_asset_path_or_download = lambda url, **_: str(LISTS / url.rpartition("/")[2])
    return step


def test_every_language_of_the_reference_has_its_list() -> None:
    """28, of the same names."""
    reference()
    from datatrove.pipeline.filters import c4_filters

    assert sorted(c4_filters._BADWORDS_LANGS) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_listed_word_as_datatrove(language: str) -> None:
    """Alone, in a sentence, in capitals, inside another word and beside a mark: the same answer."""
    words = (LISTS / language).read_text(encoding="utf-8").split("\n")
    texts = [
        form.format(word) for word in words for form in ("{}", "x {}, y", "a{}b", "_{}_", "{}\u0301", "１{}")
    ]
    texts += [text.upper() for text in texts]
    theirs = peers.reasons(reference(), texts, language=language)
    assert [bad for bad, _ in measured(texts, language)] == [reason is not None for reason in theirs]
    assert {RULE} <= set(theirs)


@settings(max_examples=200, deadline=None)
@given(
    peers.some_text("sex", "İ", "ς", "Arsch", "ass", "BLOW JOB", "エロ", "хуй", "кака", "-"),
    st.sampled_from(LANGUAGES),
)
def test_as_datatrove(text: str, language: str) -> None:
    """Any text in any language: found or not as in the reference."""
    (theirs,) = peers.reasons(reference(), [text], language=language)
    assert measured([text], language)[0][0] == (theirs is not None)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "zh", "ja", "th", "ru"])
def test_as_datatrove_on_real_texts(language: str) -> None:
    """Real documents, with the list of each language."""
    texts = peers.real_texts(300, 5)
    theirs = peers.reasons(reference(), texts, language=language)
    assert [bad for bad, _ in measured(texts, language)] == [reason is not None for reason in theirs]
