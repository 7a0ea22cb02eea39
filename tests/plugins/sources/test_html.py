"""Saved pages: one document a file, named by its path, whatever its charset and compression."""

from __future__ import annotations

import gzip
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from curator.reading import read_documents
from curator_plugins.sources.extraction import Extractor
from curator_plugins.sources.html import Html

PROSE = "<p>Grüße aus Köln, wo der Rhein fließt.</p>"


@pytest.fixture
def source(tmp_path: Path, extractor: Extractor) -> Any:
    def source(files: dict[str, bytes], path: str = "", **options: Any) -> Html:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        made = Html(name="saved", path=str(tmp_path / path), max_page_bytes=1 << 20, **options)
        made.__dict__["extractor"] = extractor
        return made

    return source


def test_a_folder_of_pages(source: Any, read: Any) -> None:
    """Of any name, charset and compression; what is saved beside pages is left out by its name."""
    page = PROSE.encode()
    files = {
        "a.html": page,
        "b.htm": PROSE.encode("latin-1"),
        "c/d.xhtml.gz": gzip.compress(
            b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>" + page
        ),
        "e.HTML": PROSE.encode("utf-16"),
        "show.php?id=7": b"<!DOCTYPE html>" + page,
        "index": b"<html>" + page,
        "a_files/style.css": b"p {}",
        "a_files/logo.png": b"\x89PNG",
        "a_files/script.js": b"'<div>'",
    }
    documents, bad = read(source(files))
    assert [d["source_key"] for d in documents] == [
        "a.html",
        "b.htm",
        "c/d.xhtml.gz",
        "e.HTML",
        "index",
        "show.php?id=7",
    ]
    assert {d["text"] for d in documents} == {"Grüße aus Köln, wo der Rhein fließt."}
    charsets = [json.loads(d["metadata"])["charset"] for d in documents]
    assert charsets == ["utf-8", "cp1252", "utf-8", "utf-16-le", "utf-8", "utf-8"]
    assert bad == []


def test_what_a_page_says_of_itself(source: Any, read: Any) -> None:
    """Its address, if it is one; a relative one stays in the metadata."""
    head = '<html lang=de><title>Köln</title><meta property="article:published_time" content="2021-03-04T05:06:07Z">'
    files = {
        "1.html": f"{head}<link rel=canonical href='https://example.org/koeln'>{PROSE}".encode(),
        "2.html": f"<link rel=canonical href='/koeln'>{PROSE}".encode(),
        "3.html": f"<!-- saved from url=(0026)https://example.org/saved -->\n{PROSE}".encode(),
    }
    (first, second, third), _ = read(source(files))
    assert (first["url"], first["title"], first["published"]) == (
        "https://example.org/koeln",
        "Köln",
        datetime(2021, 3, 4, 5, 6, 7),
    )
    assert json.loads(first["metadata"]) == {"charset": "utf-8", "language": "de"}
    assert (second["url"], json.loads(second["metadata"])["canonical"]) == (None, "/koeln")
    assert third["url"] == "https://example.org/saved"


def test_files_that_are_no_pages(source: Any, read: Any) -> None:
    """Each is told: another format, pictures, too large before or after decompressing, damaged, empty."""
    large = b"<p>" + b"a " * (1 << 20)
    files = {
        "0.html": b"%PDF-1.4",
        "1.html": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "2.html": large,
        "3.html.gz": gzip.compress(large),
        "4.html.gz": gzip.compress(PROSE.encode() * 100)[:-12],
        "5.html": b"",
        "6.dat": b"no page",
    }
    documents, bad = read(source(files))
    assert documents == []
    assert [why for _, why in bad] == [
        "wrong_format",
        "wrong_format",
        "page_too_large",
        "page_too_large",
        "damaged_file",
        "no_text",
        "wrong_format",
    ]


def test_a_mixed_folder(source: Any, read: Any) -> None:
    """A file that is not named as a page is one if it begins as one: a table or notes with a page in them are none."""
    page = b"<html><body>" + PROSE.encode()
    table = b'id,page\n1,"' + page + b'"\n'
    files = {
        "a.tsv": table,
        "b.csv.gz": gzip.compress(table),
        "c.jsonl": b'{"html": "' + page + b'"}',
        "d": b"\xef\xbb\xbf\n" + page,
        "e.page": b"<!-- saved --><html>" + page,
        "f": page.decode().encode("utf-16"),
        "g.html": b"Warning: a mistake of the server " + page,
    }
    documents, bad = read(source(files))
    assert [d["source_key"] for d in documents] == ["d", "e.page", "f", "g.html"]
    assert bad == [("0", "wrong_format")] * 3


def test_a_bomb_and_things_that_are_no_files(source: Any, read: Any, tmp_path: Path) -> None:
    """A file of a gibibyte of zeros is read up to the limit; pipes and links out of the folder are not read at all."""
    os.mkfifo(tmp_path / "pipe.html")
    os.symlink("/etc/passwd", tmp_path / "link.html")
    bomb = gzip.compress(bytes(1 << 28), 1) * 4
    assert read(source({"a.html": PROSE.encode(), "bomb.html.gz": bomb}))[1] == [("0", "page_too_large")]


def test_real_pages(dev: Path) -> None:
    """As many documents as the manifest says."""
    for folder, expected in {"web/html": 60, "web/article-html": 58, "finance/edgar": 9}.items():
        made = Html(name="saved", path=str(dev / folder))
        batches = list(read_documents(made, made.parts()))
        made.extractor.close()
        assert (sum(len(frame) for frame, _ in batches), [q for _, bad in batches for q in bad]) == (
            expected,
            [],
        )
