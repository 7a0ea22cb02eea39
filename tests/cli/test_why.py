"""why: one document by any of its names, with every rule, margin, copy and its text."""

from __future__ import annotations

import pytest

from tests.cli.conftest import SENTENCE, Curator


def key_of(ask: Curator, source_key: str, column: str) -> str:
    query = f"SELECT {column} FROM documents WHERE source = 'notes' AND source_key = '{source_key}'"
    return ask("sql", query, "--format", "csv").out.split()[1]


@pytest.mark.parametrize("name", ["doc_id", "doc_key", "url", "source_key"])
def test_a_document_by_any_of_its_names(ask: Curator, name: str) -> None:
    """doc_id, doc_key (with and without dashes, in any case), source_key and URL find the same one."""
    value = key_of(ask, "long", name)
    names = [value, value.replace("-", "").upper()] if name == "doc_key" else [value]
    for given in names:
        ended = ask("why", given, "--json")
        assert (ended.code, ended.json["document"]["source_key"]) == (0, "long")


def test_an_ambiguous_name_lists_what_it_may_be(ask: Curator) -> None:
    """A URL of two documents: both doc_ids, and what to give instead; exit code 2."""
    ended = ask("why", "https://notes.example/both")
    ids = sorted(key_of(ask, key, "doc_id") for key in ("copy", "both"))
    assert (ended.code, ended.out) == (2, "")
    assert "'https://notes.example/both' is 2 documents: " in ended.err
    assert all(f"{doc_id} (notes)" in ended.err for doc_id in ids)
    assert ended.err.endswith("; give the doc_id\n")


def test_an_unknown_name(ask: Curator) -> None:
    """Neither of the four; numbers that are no doc_id included."""
    for name in ("nobody", "999999999999", "-1", "1.5", "18446744073709551616", "'; DROP TABLE x; --"):
        ended = ask("why", "--", name)
        assert (ended.code, ended.out) == (2, ""), name
        assert f"no document is called {name!r}: give a doc_id, doc_key, source_key or URL" in ended.err


def test_every_rule_with_its_margin(ask: Curator) -> None:
    """What was measured, the rule, its options, the answer, and how far off it is."""
    told = ask("why", "short", "--json").json
    rules = {f"{r['step']}.{r['rule']}": r for r in told["rules"]}
    short = rules["gopher_quality.gopher_short_doc"]
    assert (short["values"], short["options"], short["margin"], short["fails"]) == (
        {"n_words": 11}, {"min_words": 40}, -29, True
    )  # fmt: skip
    assert rules["gopher_quality.gopher_long_doc"]["fails"] is False
    assert rules["exact.duplicate"]["fails"] is False
    assert [told["document"][k] for k in ("decision", "reason", "stars")] == [
        "dropped", "gopher_quality.gopher_short_doc", 1
    ]  # fmt: skip
    assert told["signals"]["gopher_quality"]["n_words"] == 11
    assert told["file"].endswith("notes.jsonl")
    failing = [name for name, rule in rules.items() if rule["fails"]]
    assert failing == told["document"]["reasons"]


def test_copies_are_listed(ask: Curator) -> None:
    """The cluster, which copy is kept, and the others."""
    told = ask("why", "long", "--json").json
    (copy,) = told["copies"]
    assert (copy["step"], copy["cluster_size"], copy["is_kept"]) == ("exact", 2, False)
    assert [o["source_key"] for o in copy["others"]] == ["copy"]
    assert str(copy["kept_copy"]) == key_of(ask, "copy", "doc_id")
    assert "exact: one of 2 copies; kept is this one" in ask("why", "copy").out


def test_what_a_person_sees(ask: Curator) -> None:
    """The decision first, then the facts, the rules and the text."""
    ended = ask("why", "long")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"{key_of(ask, 'long', 'doc_id')} notes long"
    assert lines[1] == "dropped: exact.duplicate"
    assert ["title", "Long"] in ended.cells()
    assert SENTENCE.strip() in " ".join(ended.out.split())


def test_the_text_is_redacted(ask: Curator) -> None:
    """Contact details are hidden unless --unredacted, in JSON too."""
    for flags in ([], ["--json"]):
        assert "Write to <email> or call <number> from <ip>." in ask("why", "short", *flags).out
        open_text = ask("why", "short", "--unredacted", *flags).out
        assert "Write to jane.doe@example.org or call +49 30 1234 5678 from 192.168.0.17." in open_text
