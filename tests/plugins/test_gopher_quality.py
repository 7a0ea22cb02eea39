# curled quotes are tokens of their own
"""gopher_quality against datatrove's GopherQualityFilter, and against the publication's text."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from curator.documents import Documents
from curator.text.scripts import without_spaces
from curator.text.words import buffers
from curator_plugins.filters.gopher_quality import GopherQuality
from tests.plugins.peers import real_texts

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}

LINE = "Sentence number 0 talks of topic0 with word0 and item0, plus thing0 to note0 that matter0."
LINES = [LINE.replace("0", str(i)) for i in range(8)]
U = "\n".join(LINES)
GOLDEN = [  # rules.md 2.11, observed on datatrove
    (U, None),
    (f"{U} {'# ' * 40}", "gopher_too_many_hashes"),
    (f"{U} {'... ' * 60}", "gopher_too_many_ellipsis"),
    ("\n".join(f"- {line}" for line in LINES), "gopher_too_many_bullets"),
    ("\n".join(f"* {line}" for line in LINES), "gopher_below_alpha_threshold"),
    ("\n".join(line[:-1] + "…" for line in LINES), "gopher_too_many_end_ellipsis"),
    (f"{U} {' '.join(map(str, range(1, 41)))}", "gopher_below_alpha_threshold"),
]
HARD = [
    "",
    " \n\t ",
    "... !!! ???",
    "The And That Have Be To Of With " * 10,
    "the and that have " * 20,
    "a b c d the of " * 20,
    "extraordinarily incomprehensibilities the of " * 20,
    U.replace("\n", "\r\n"),
    U.replace("\n", "\u2028"),
    "\n".join(f"\u00a0 • {line}..." for line in LINES),
    "\n".join(f"{line}..\n\n" for line in LINES),
    f"{U} x( :)y 👩‍🚀 शब्द \x00\x1c\x85 ‘quoted’",
    "word " * 49,
    "the of " + "word " * 48,
    "the of " + "word " * 99_999,
]


def measured(texts: list[str], step: GopherQuality) -> pl.DataFrame:
    docs = Documents(pl.DataFrame({"text": texts}, schema={"text": pl.String}))
    signals = pl.DataFrame(step.for_measuring().measure(docs))
    types = {int: pl.Int64, float: pl.Float64}
    assert dict(signals.schema) == {name: types[kind] for name, kind in step.declared_signals().items()}
    assert not signals.select(pl.selectors.float().is_nan().any()).row(0).count(True)
    return signals


def reasons(texts: list[str], step: GopherQuality) -> list[str | None]:
    """The first failing rule of each text, by SQL over the signals."""
    signals = measured(texts, step)  # noqa: F841  # read by the query
    cases = []
    for rule, sql in step.declared_rules().items():
        for option in step.rule_options():
            value = getattr(step, option)
            sql = sql.replace(f"${option}", "NULL" if value is None else str(value))
        assert "$" not in sql
        cases.append(f"WHEN {sql} THEN '{rule}'")
    rows = duckdb.sql(f"SELECT CASE {' '.join(cases)} END FROM signals").fetchall()
    return [reason for (reason,) in rows]


def by_datatrove(texts: list[str]) -> list[str | None]:
    pytest.importorskip("spacy", reason="datatrove's English words are spaCy's")
    pytest.importorskip("regex", reason="datatrove imports regex without requiring it: pip install regex")
    module = pytest.importorskip(
        "datatrove.pipeline.filters.gopher_quality_filter", reason="datatrove is not installed"
    )
    from datatrove.data import Document

    reference = module.GopherQualityFilter()
    answers = [reference.filter(Document(text=text, id="0")) for text in texts]
    return [None if answer is True else answer[1] for answer in answers]


@pytest.mark.parametrize(("text", "reason"), GOLDEN)
def test_golden_cases(text: str, reason: str | None) -> None:
    assert reasons([text], GopherQuality(as_in="datatrove")) == [reason]


def test_as_datatrove_on_hard_texts() -> None:
    texts = [text for text, _ in GOLDEN] + HARD
    assert reasons(texts, GopherQuality(as_in="datatrove")) == by_datatrove(texts)


def test_as_datatrove_on_real_texts() -> None:
    texts = real_texts()
    ours = reasons(texts, GopherQuality(as_in="datatrove"))
    assert ours == by_datatrove(texts)
    assert len(set(ours)) > 3


def as_published(text: str) -> str | None:
    """The publication's rules in plain Python, over words between white space."""
    words, lines = text.split(), text.splitlines()
    if not words:
        return "gopher_short_doc"
    mean = sum(map(len, words)) / len(words)
    checks = {
        "gopher_short_doc": len(words) < 50,
        "gopher_long_doc": len(words) > 100_000,
        "gopher_below_avg_threshold": mean < 3,
        "gopher_above_avg_threshold": mean > 10,
        "gopher_too_many_hashes": text.count("#") / len(words) > 0.1,
        "gopher_too_many_ellipsis": (text.count("...") + text.count("…")) / len(words) > 0.1,
        "gopher_too_many_bullets": sum(s.lstrip().startswith(("•", "-")) for s in lines) / len(lines) > 0.9,
        "gopher_too_many_end_ellipsis": sum(s.rstrip().endswith(("...", "…")) for s in lines) / len(lines)
        > 0.3,
        "gopher_below_alpha_threshold": sum(any(map(str.isalpha, w)) for w in words) / len(words) < 0.8,
        "gopher_enough_stop_words": len({*words} & STOP_WORDS) < 2,
    }
    return next((rule for rule, failed in checks.items() if failed), None)


def test_as_published() -> None:
    texts = [text for text, _ in GOLDEN] + HARD + real_texts()
    unspaced = without_spaces(*buffers(pa.array(texts, pa.large_string())))
    texts = [text for text, without in zip(texts, unspaced, strict=True) if not without]
    assert len(texts) > len(unspaced) / 2
    assert reasons(texts, GopherQuality()) == [as_published(text) for text in texts]


def test_undefined_is_null_and_only_short_doc_drops_it() -> None:
    for as_in in ("paper", "datatrove"):
        (row,) = measured([""], GopherQuality(as_in=as_in)).to_dicts()
        defined = {name: value for name, value in row.items() if value is not None}
        assert defined == {"n_words": 0, "n_non_symbol_words": 0, "stop_words": 0}
        assert reasons([""], GopherQuality(as_in=as_in)) == ["gopher_short_doc"]
        off = GopherQuality(as_in=as_in, min_words=None, min_stop_words=None)
        assert reasons([""], off) == [None]


def test_without_spaces_between_words_measures_of_words_are_null() -> None:
    """They come back with a tokenizer that finds words there; lines are measured all the same."""
    (row,) = measured(["- 日本語の文章です。"], GopherQuality()).to_dicts()
    assert {name: value for name, value in row.items() if value is not None} == {
        "bullet_line_ratio": 1.0,
        "end_ellipsis_line_ratio": 0.0,
    }
    assert reasons(["日本語の文章です。"], GopherQuality()) == [None]
    assert measured(["日本語の文章です。"], GopherQuality(words="unspaced"))["n_words"].to_list() == [9]


def test_stop_words_by_language() -> None:
    """English without a step that tells languages; else each language's list, NULL where there is none."""
    text = "the cat and der Hund und das Haus"
    docs = Documents(pl.DataFrame({"text": [text] * 5}))
    labels = pl.DataFrame({"language": ["en", "de", "fr", None, "und"]})
    step = GopherQuality(stop_word_lists={"de": ["der", "die", "das", "und"]})
    assert step.reads == ("documents.language",)
    assert GopherQuality(as_in="datatrove").reads == ()
    as_fineweb_2 = GopherQuality(as_in="datatrove", words="unspaced", stop_word_lists={"de": ["der", "und"]})
    assert as_fineweb_2.reads == ("documents.language",)
    labelled = docs.with_signals("documents", labels)
    assert as_fineweb_2.measure(labelled)["stop_words"].to_list() == [2, 2, None, 2, None]
    assert step.measure(docs)["stop_words"].to_list() == [2] * 5
    assert step.measure(docs.with_signals("documents", labels))["stop_words"].to_list() == [2, 3, None, 2, None]


def test_null_switches_each_rule_off() -> None:
    step = GopherQuality()
    everything_off: dict[str, Any] = dict.fromkeys(step.rule_options())
    assert len(everything_off) == 10
    assert set(reasons(HARD, GopherQuality(**everything_off))) == {None}


def test_measures_are_row_wise() -> None:
    texts = [text for text, _ in GOLDEN] + HARD
    for as_in in ("paper", "datatrove"):
        step = GopherQuality(as_in=as_in)
        whole = measured(texts, step)
        assert measured(texts[::-1], step).reverse().equals(whole)
        assert pl.concat([measured([text], step) for text in texts]).equals(whole)
    assert measured([], GopherQuality()).height == 0


def test_versions_name_the_effective_tokenizer() -> None:
    assert GopherQuality().versions()["words"].startswith("whitespace ")
    assert GopherQuality(as_in="datatrove").versions()["words"].startswith("spacy-en ")
    assert GopherQuality(as_in="datatrove", words="unicode").versions()["words"].startswith("unicode ")
