"""Separated values: quoting, ragged rows, encodings and headers."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator_plugins.sources.csv import Csv
from curator_plugins.sources.tsv import Tsv


def written(folder: Path, content: bytes, **options: Any) -> Csv:
    (folder / "data.csv").write_bytes(content)
    return Csv(path=str(folder / "data.csv"), **options)


def test_quoted_newlines_and_positions(tmp_path: Path, read: Any) -> None:
    """A position is the line that a record begins at, as editors count; compression changes nothing."""
    content = b'\xef\xbb\xbftext,title\r\n"a\r\nb, ""c""",T\r\n\r\nd,\r\n'
    for stored in (content, gzip.compress(content)):
        documents, bad = read(written(tmp_path, stored))
        assert [(d["text"], d["title"]) for d in documents] == [('a\r\nb, "c"', "T"), ("d", None)]
        assert [d["source_key"] for d in documents] == ["data.csv#2", "data.csv#5"]
        assert bad == []


def test_bad_rows_are_refused_and_the_rest_is_read(tmp_path: Path, read: Any) -> None:
    """Ragged rows, invalid bytes, fields over the limit, NUL characters."""
    content = b"id,text\n1,a\n2\n3,b,c\n4,\xff\n5," + b"x" * 101 + b"\n6,n\0l\n7,\n8,end"
    documents, bad = read(written(tmp_path, content, max_chars=100))
    assert [d["text"] for d in documents] == ["a", "n\0l", "end"]
    assert bad == [
        ("3", "bad_row"),
        ("4", "bad_row"),
        ("5", "invalid_utf8"),
        ("6", "too_large"),
        ("8", "no_text"),
    ]


def test_a_line_too_long_to_hold(tmp_path: Path, read: Any) -> None:
    """It is never held, and takes the record along that it is in."""
    content = b'text,n\na,1\n"b\n' + b"x" * (2 << 20) + b'",2\nc,3\n'
    documents, bad = read(written(tmp_path, content, max_chars=100))
    assert [d["text"] for d in documents] == ["a", "c"]
    assert bad[0] == ("3", "too_large")


def test_a_file_cut_short(tmp_path: Path, read: Any) -> None:
    """Its whole records are read."""
    content = gzip.compress(b"text\n" + b"".join(b"%d\n" % (n * n * 7919) for n in range(20_000)))
    documents, bad = read(written(tmp_path, content[:-100]))
    assert len(documents) > 2_000
    assert [reason for _, reason in bad] == ["damaged_file"]


def test_headers(tmp_path: Path, read: Any) -> None:
    """Columns without a name get one, and a repeated name a number; `header` names those of a bare file."""
    ((found,), _) = read(written(tmp_path, b",text,a,a\n0,x,1,2\n"))
    assert orjson.loads(found["metadata"]) == {"column_1": "0", "a": "1", "a_4": "2"}
    ((first, _), _) = read(written(tmp_path, b"1,x\n2,y\n", header=["id", "text"]))
    assert (first["source_key"], first["text"]) == ("1", "x")
    with pytest.raises(UsageError, match=r"no column 'text'; it has a;b\. .*`delimiter:`"):
        list(written(tmp_path, b"a;b\n").parts())
    assert read(written(tmp_path, b"")) == ([], [])


def test_files_without_the_column_among_others(tmp_path: Path, read: Any) -> None:
    """One row in the quarantine for each, as long as another has it; an empty file and a foreign one do not count."""
    files = {"a.html": b"<html>\n<p>x, y", "b.csv": b"body\nx\n", "c.csv": b"", "d.csv": b"PAR1"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    source = Csv(path=str(tmp_path))
    with pytest.raises(UsageError, match=r"a\.html has no column 'text'; it has <html>\. "):
        list(source.parts())
    (tmp_path / "e.csv").write_bytes(b"text\nx\n")
    documents, bad = read(source)
    assert [d["source_key"] for d in documents] == ["e.csv#2"]
    assert bad == [("0", "no_column"), ("0", "no_column"), ("0", "wrong_format")]


def test_delimiter_quote_and_encoding(tmp_path: Path, read: Any) -> None:
    """Each can be said."""
    source = written(tmp_path, 'id;text\n1;"ü'.encode("latin-1"), delimiter=";", quote="", encoding="latin-1")
    assert read(source)[0][0]["text"] == '"ü'
    for encoding in ("utf-16", "klingon"):
        with pytest.raises(UsageError, match=f"encoding: '{encoding}'"):
            list(written(tmp_path, b"", encoding=encoding).parts())


def test_tabs(tmp_path: Path, read: Any) -> None:
    """`tsv` is `csv` with tabs."""
    (tmp_path / "data").write_text('id\ttext\n1\t"a\tb, c"\n')
    assert read(Tsv(path=str(tmp_path / "data")))[0][0]["text"] == "a\tb, c"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())))
def test_what_is_written_is_read(tmp_path: Path, read: Any, texts: list[str]) -> None:
    """Any texts, through the standard library's writer."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["n", "text"])
    writer.writerows(enumerate(texts))
    documents, bad = read(written(tmp_path, buffer.getvalue().encode()))
    assert [d["text"] for d in documents] == texts
    assert bad == []


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """Quoted fields of many lines, in commas and tabs."""
    documents, bad = read(Csv(path=str(dev / "news/bbc.csv"), id="doc_id"))
    assert (len(documents), bad) == (647, [])
    documents, bad = read(Tsv(path=str(dev / "medical/mtsamples.tsv"), text="note", id="row"))
    assert (len(documents), bad) == (136, [])
