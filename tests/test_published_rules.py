"""The published rules on real runs: relaxed afterwards, in languages they were not made for, with little memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator.engines.local import InlineEngine
from curator.errors import RecipeError
from curator.redeciding import decide
from curator.run import run
from curator.verify import digest
from tests.conftest import Workshop, reasons

GOOD = "The house stands by the river, and that of the neighbours with it. "
DOCUMENTS = [
    {"id": "three", "text": f"{GOOD}\n{GOOD[:-2]} again.\nno mark at the end\nIt is a third of them.\nshort one."},
    {"id": "five", "text": "\n".join(f"{GOOD.strip()[:-1]}, number {i}." for i in range(5))},
    {"id": "lorem", "text": f"{GOOD}\nHere lorem ipsum begins.\nAnd a brace {{ comes later on.\n" + GOOD * 4},
    {"id": "brace", "text": f"{GOOD}\nHere a brace {{ comes first.\nThen lorem ipsum comes.\n" + GOOD * 4},
    {"id": "copy", "text": f"{GOOD}\n{GOOD[:-2]} again.\nother words without a mark\nIt is a third of them."},
    {"id": "none", "text": "no mark here\nnor here"},
]


@pytest.mark.parametrize("as_in", ["paper", "datatrove"])
def test_relaxing_a_rule_afterwards_is_a_fresh_run(tmp_path: Path, as_in: str) -> None:
    """Texts are rewritten to the end whatever is decided, so later steps see what they would in a fresh run."""
    if as_in == "datatrove":
        pytest.importorskip("spacy", reason="datatrove's English words are spaCy's")
    later: list[Any] = [{"fineweb_quality": {"as_in": as_in, "max_char_dup_ratio": 0.5}}, "exact"]
    folders = [tmp_path / name for name in ("relaxed", "fresh")]
    for folder in folders:
        folder.mkdir()
    relaxed, fresh = (Workshop(folder) for folder in folders)
    corpus = relaxed.curate([{"c4": {"as_in": as_in}}, *later], DOCUMENTS)
    assert reasons(corpus) == {
        "three": "c4.too_few_sentences",
        "five": None,
        "lorem": "c4.lorem_ipsum",
        "brace": "c4.curly_bracket",
        "copy": "c4.too_few_sentences",
        "none": "c4.too_few_sentences",
    }
    changes = {"c4.min_sentences": "3", "c4.curly_bracket": "false"}
    recipe = relaxed.recipe([{"c4": {"as_in": as_in}}, *later], [{"jsonl": {"name": "web", "path": "web.jsonl"}}])
    decide(recipe.with_options(changes))
    expected = fresh.curate(
        [{"c4": {"as_in": as_in, "min_sentences": 3, "curly_bracket": False}}, *later], DOCUMENTS
    )
    assert reasons(corpus) == reasons(expected)
    assert sorted(key for key, reason in reasons(corpus).items() if reason == "exact.duplicate") == ["three"]
    assert reasons(corpus)["brace"] == "c4.lorem_ipsum"
    assert digest(corpus) == digest(expected)


def test_the_summary_says_where_rules_do_not_apply(workshop: Workshop) -> None:
    """Documents whose words are undefined are counted by step, and no rule over words drops them."""
    japanese = "これは日本語の文章です。これは二つ目の文です。"
    german = "Das Haus steht am Fluss und gehört dem Nachbarn, der es von seinem Vater geerbt hat. " * 5
    documents = [{"id": "ja", "text": japanese}, {"id": "de", "text": german}, {"id": "en", "text": GOOD * 5}]
    corpus = workshop.curate(["language", "gopher_quality"], documents)
    assert reasons(corpus) == {"ja": None, "de": None, "en": None}
    assert workshop.report is not None
    notes = {(step, note.split(":")[0]): n for (step, note), n in workshop.report.funnel.notes.items()}
    assert notes == {
        ("gopher_quality", "written without spaces between words"): 1,
        ("gopher_quality", "in a language without a list of stop words (stop_word_lists takes one)"): 1,
    }
    lists = {"stop_word_lists": {"de": ["nichts"]}}
    assert reasons(workshop.curate(["language", {"gopher_quality": lists}])) == {
        "ja": None,
        "de": "gopher_quality.gopher_enough_stop_words",
        "en": None,
    }


def test_word_memory_changes_no_result(workshop: Workshop) -> None:
    """A table of a few kilobytes starts afresh again and again, and measures the same."""
    pytest.importorskip("spacy", reason="spacy-en needs the extra")
    documents = [{"id": str(i), "text": f"{GOOD * 30} w{i} (x{i}) {i}.{i}"} for i in range(200)]
    steps = [{"gopher_quality": {"as_in": "datatrove"}}, {"gopher_repetition": {"as_in": "datatrove"}}]
    expected = digest(workshop.curate(steps, documents))
    recipe = workshop.recipe(steps, [{"jsonl": {"name": "web", "path": "web.jsonl"}}])
    report = run(recipe, InlineEngine(), corpus=workshop.folder / "small", word_memory=4096)
    assert report.counts["documents"] == 200
    assert list((workshop.folder / "small" / "cache" / "words").glob("*.words")) != []
    assert digest(type(workshop.curate(steps))(workshop.folder / "small")) == expected


def test_lists_of_files_are_found_beside_the_recipe(workshop: Workshop) -> None:
    """In UT1's layout; a file that is not there is named."""
    for category, domain in (("adult", "bad.example"), ("gambling", "dice.example")):
        (workshop.folder / "ut1" / category).mkdir(parents=True)
        (workshop.folder / "ut1" / category / "domains").write_text(f"{domain}\n", encoding="utf-8")
    documents = [
        {"id": "adult", "text": GOOD, "url": "https://www.bad.example/x"},
        {"id": "dice", "text": GOOD, "url": "http://dice.example/"},
        {"id": "fine", "text": GOOD, "url": "https://fine.example/"},
        {"id": "without", "text": GOOD},
    ]
    steps = [{"url": {"domains": ["ut1/adult/domains", "ut1/gambling/domains"]}}]
    found = reasons(workshop.curate(steps, documents))
    assert found == {"adult": "url.domain", "dice": "url.domain", "fine": None, "without": None}
    with pytest.raises(RecipeError, match=r"url\.domains: there is no file 'ut1/none'"):
        workshop.recipe([{"url": {"domains": ["ut1/none"]}}], [{"jsonl": {"path": "web.jsonl"}}])


def test_spans_of_pii_are_stored_and_the_text_as_read_is_kept(workshop: Workshop) -> None:
    """A list of structs in the catalog, to be asked in SQL; the final text has placeholders."""
    text = "Grüße an jane.doe@example.com oder +49 30 901820."
    corpus = workshop.curate([{"pii": {"store_spans": True}}], [{"id": "a", "text": text}])
    (row,) = corpus.sql(
        "SELECT s.emails, s.phones, s.spans::JSON::VARCHAR, t.text, t.text_read FROM signals.pii s JOIN texts t USING (doc_id)"
    ).rows()
    assert row[:2] == (1, 1)
    spans = json.loads(row[2])
    assert [(s["kind"], text[s["start"] : s["end"]]) for s in spans] == [
        ("email", "jane.doe@example.com"),
        ("phone", "+49 30 901820"),
    ]
    assert row[3:] == ("Grüße an <EMAIL> oder <PHONE>.", text)
