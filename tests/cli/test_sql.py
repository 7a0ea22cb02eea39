"""sql and status."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Curator, call

NOTES = "SELECT source_key, stars, decision FROM documents WHERE source = 'notes' ORDER BY source_key"
ROWS = [
    {"source_key": "both", "stars": 4, "decision": "kept"},
    {"source_key": "copy", "stars": 3, "decision": "kept"},
    {"source_key": "german", "stars": 2, "decision": "dropped"},
    {"source_key": "long", "stars": 5, "decision": "dropped"},
    {"source_key": "short", "stars": 1, "decision": "dropped"},
]


def read(content: bytes, kind: str) -> list[dict[str, object]]:
    if kind == "csv":
        return pl.read_csv(content).to_dicts()
    if kind == "json":
        return list(json.loads(content))
    if kind == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    return pl.read_parquet(io.BytesIO(content)).to_dicts()


def test_a_table_for_people(ask: Curator) -> None:
    """Column names, a rule, the rows."""
    ended = ask("sql", NOTES)
    assert (ended.code, ended.err) == (0, "")
    assert ended.cells() == [
        ["source_key", "stars", "decision"],
        *[[str(v) for v in r.values()] for r in ROWS],
    ]


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_formats_for_programs(ask: Curator, tmp_path: Path, kind: str) -> None:
    """--format to stdout, and -o by the file's name, hold the same rows, and nothing else."""
    assert read(ask("sql", NOTES, "--format", kind).raw, kind) == ROWS
    ended = ask("sql", NOTES, "-o", tmp_path / f"notes.{kind}")
    assert (ended.code, ended.out) == (0, "")
    assert read((tmp_path / f"notes.{kind}").read_bytes(), kind) == ROWS
    ask("sql", NOTES, "-o", tmp_path / "notes.out", "--format", kind)
    assert read((tmp_path / "notes.out").read_bytes(), kind) == ROWS


def test_a_table_in_a_file(ask: Curator, tmp_path: Path) -> None:
    """--format table -o writes what a person reads."""
    assert ask("sql", NOTES, "--format", "table", "-o", tmp_path / "notes.txt").code == 0
    assert "german" in (tmp_path / "notes.txt").read_text()


def test_lists_in_csv(ask: Curator) -> None:
    """What CSV has no form for is written as JSON, bytes in hexadecimal."""
    query = "SELECT reasons || ['x,y'] AS reasons, {'a': 1} AS s, 'x'::BLOB AS raw FROM documents WHERE source_key = 'german'"
    (row,) = csv.DictReader(io.StringIO(ask("sql", query, "--format", "csv").out))
    assert json.loads(row["reasons"]) == ["language.language", "x,y"]
    assert (json.loads(row["s"]), row["raw"]) == ({"a": 1}, "78")


def test_odd_values_in_every_format(ask: Curator) -> None:
    """Timestamps, UUIDs, JSON, big integers, nulls and no rows at all."""
    query = (
        "SELECT doc_key, content_hash, published, metadata, 18446744073709551615::UBIGINT AS big, "
        "DATE '2024-02-29' AS day, {'a': [1, NULL]} AS nested, 1.5::DECIMAL(4, 2) AS price, 'x'::BLOB AS raw FROM documents LIMIT 1"
    )
    for kind in ("table", "csv", "json", "jsonl", "parquet"):
        for chosen in (query, query.replace("LIMIT 1", "WHERE false")):
            assert (ask("sql", chosen, "--format", kind).err, kind) == ("", kind)


def test_a_long_result_is_cut_and_says_so(ask: Curator) -> None:
    """--rows bounds the table; 0 shows all; formats for programs are never cut."""
    query = "SELECT range AS n FROM range(50)"
    cut = ask("sql", query)
    assert (len(cut.cells()), cut.err) == (41, "40 of 50 rows; --rows 0 shows all, -o writes them\n")
    assert len(ask("sql", query, "--rows", 0).cells()) == 51
    assert len(ask("sql", query, "--format", "csv").out.splitlines()) == 51


def test_a_query_from_standard_input(ask: Curator) -> None:
    """- reads the query."""
    assert ask("sql", "-", "--format", "csv", stdin="SELECT 1 AS one").out == "one\n1\n"


WRONG = {
    "SELECT nothing FROM documents": "nothing",
    "SELEC 1": "SELEC",
    "DROP TABLE quarantine": "SELECT",
    "SELECT 1; SELECT 2": "one",
    "COPY documents TO 'x.csv'": "SELECT",
    "FROM read_csv('/etc/passwd')": "passwd",
}


@pytest.mark.parametrize("query", WRONG)
def test_what_is_refused_exits_with_two(ask: Curator, query: str) -> None:
    """Wrong or forbidden statements are wrong usage, in one message."""
    ended = ask("sql", query)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("curator: ")
    assert WRONG[query] in ended.err
    assert "Traceback" not in ended.err


def test_where_there_is_no_corpus(tmp_path: Path) -> None:
    """Every command that asks a corpus says how to get one; exit code 2, nothing made."""
    for command in (["sql", "SELECT 1"], ["status"], ["why", "x"], ["check"]):
        ended = call(*command, folder=tmp_path)
        assert (ended.code, ended.out) == (2, "")
        message = "there is no corpus in 'corpus'; `curator run RECIPE` makes one, -c or $CURATOR_CORPUS names another"
        assert message in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_of_the_environment(
    ask: Curator, finished: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$CURATOR_CORPUS names the corpus; -c goes before it."""
    monkeypatch.setenv("CURATOR_CORPUS", str(finished[0] / "corpus"))
    assert (
        call("sql", "SELECT count(*) AS n FROM documents", "--format", "csv", folder=tmp_path).out
        == "n\n596\n"
    )
    assert call("sql", "SELECT 1", "-c", "elsewhere", folder=tmp_path).code == 2


def test_an_unknown_ending(ask: Curator, tmp_path: Path) -> None:
    """-o with a name that says no format."""
    ended = ask("sql", "SELECT 1", "-o", tmp_path / "x.xlsx")
    assert (ended.code, "name the file .csv, .json, .jsonl or .parquet, or give --format" in ended.err) == (
        2,
        True,
    )
    assert list(tmp_path.iterdir()) == []


def test_status(ask: Curator) -> None:
    """Splits, documents, quarantine and runs, for people and for programs."""
    told = ask("status", "--json").json
    notes = next(s for s in told["sources"] if s["source"] == "notes")
    assert notes == {
        "source": "notes", "done": 1, "planned": 0, "failed": 0, "documents": 5, "kept": 2, "pending": 0
    }  # fmt: skip
    assert told["quarantine"] == [{"source": "notes", "step": "reading", "reason": "no_text", "records": 1}]
    assert [(r["run_id"], r["recipe"], r["state"]) for r in told["runs"]] == [(1, "small", "done")]
    assert told["vanished"] == []
    shown = ask("status")
    assert (shown.code, shown.err) == (0, "")
    assert ["notes", "1", "0", "0", "5", "2", "0"] in shown.cells()
    assert ["notes", "reading", "no_text", "1"] in shown.cells()
