"""Text files: whole or split, with front matter, in other encodings."""

from __future__ import annotations

import datetime as dt
import gzip
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator_plugins.sources.text import Text


def written(folder: Path, content: str | bytes, **options: Any) -> Text:
    (folder / "file.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    return Text(path=str(folder / "file.txt"), **options)


def test_one_document_a_file(tmp_path: Path, read: Any) -> None:
    """Its key is its path below the folder; compressed files are read, empty ones refused."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_text("\n# The title #\n\nText\n")
    (tmp_path / "deep/b.gz").write_bytes(gzip.compress(b"plain\n"))
    (tmp_path / "empty").write_text(" \n")
    documents, bad = read(Text(path=str(tmp_path)))
    assert [(d["source_key"], d["title"], d["text"]) for d in documents] == [
        ("a.md", "The title", "\n# The title #\n\nText\n"),
        ("deep/b.gz", None, "plain\n"),
    ]
    assert bad == [("0", "no_text")]


def test_front_matter(tmp_path: Path, read: Any) -> None:
    """Title, date and url find their columns in any case; the rest is metadata, the path stays the key."""
    source = written(
        tmp_path, "---\nTitle: T\ndate: 2024-05-01\nurl: u\nid: intro\ntags: [a, 1]\n1: x\n---\n\n# H\nText"
    )
    ((found,), _) = read(source)
    assert (found["title"], found["published"], found["url"]) == ("T", dt.datetime(2024, 5, 1), "u")
    assert (found["text"], found["source_key"]) == ("# H\nText", "file.txt")
    assert orjson.loads(found["metadata"]) == {"file_id": "intro", "tags": ["a", 1], "1": "x"}
    source.id = "id"
    assert read(source)[0][0]["source_key"] == "intro"


@pytest.mark.parametrize(
    "content",
    [
        "---\njust a line\n---\ntext",
        "---\na: b: c\n---\ntext",
        "---\na: 1\nno end",
        "---\na: &x [1, 1]\nb: [*x, *x]\n---\ntext",
        "text\n---\na: 1\n---\n",
    ],
)
def test_what_is_no_front_matter_is_text(tmp_path: Path, read: Any, content: str) -> None:
    """Rules of dashes, bad YAML, and aliases, which may stand for millions of values."""
    ((found,), _) = read(written(tmp_path, content))
    assert (found["text"], found["metadata"]) == (content, None)


def test_front_matter_can_be_switched_off(tmp_path: Path, read: Any) -> None:
    """Then it is text."""
    ((found,), _) = read(written(tmp_path, "---\na: 1\n---\nx", front_matter=False))
    assert found["text"] == "---\na: 1\n---\nx"


def test_split_at_headings(tmp_path: Path, read: Any) -> None:
    """A piece begins at each match, has the heading as its title, and keeps the file's as metadata."""
    book = "---\ntitle: Book\n---\nBy me.\n\n## One\n\na\n\n## Two ##\nb\n## \n"
    documents, bad = read(written(tmp_path, book, split="^## "))
    assert bad == []
    assert [(d["source_key"], d["title"], d["text"]) for d in documents] == [
        ("file.txt#0", "Book", "By me."),
        ("file.txt#1", "One", "## One\n\na"),
        ("file.txt#2", "Two", "## Two ##\nb"),
        ("file.txt#3", "##", "## "),
    ]
    assert [d["metadata"] for d in documents][:2] == [None, '{"file_title":"Book"}']


def test_split_at_other_patterns(tmp_path: Path, read: Any) -> None:
    """A matched line that is no Markdown heading is a title too; blank lines are none."""
    documents, _ = read(written(tmp_path, "CHAPTER I\na\nCHAPTER II\nb", split="^CHAPTER .*$"))
    assert [(d["source_key"], d["title"]) for d in documents] == [
        ("file.txt#1", "CHAPTER I"),
        ("file.txt#2", "CHAPTER II"),
    ]
    documents, _ = read(written(tmp_path, "a\n\n\nb\nc\n\nd", split=r"\n\s*\n"))
    assert [(d["text"], d["title"]) for d in documents] == [("a", None), ("b\nc", None), ("d", None)]
    with pytest.raises(UsageError, match=r"split: '\(', .*unterminated"):
        list(written(tmp_path, "", split="(").parts())


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("#ab \n", min_size=1).filter(str.strip))
def test_pieces_are_the_whole(tmp_path: Path, read: Any, text: str) -> None:
    """Nothing but line ends around pieces is lost, and a piece begins at a match."""
    documents, bad = read(written(tmp_path, text, split="^#"))
    assert bad == []
    assert re.sub(r"\s", "", "".join(d["text"] for d in documents)) == re.sub(r"\s", "", text)
    assert all(d["text"].startswith("#") for d in documents if not d["source_key"].endswith("#0"))


def test_encodings(tmp_path: Path, read: Any) -> None:
    """UTF-8 with or without a mark, or what the recipe says; anything else is refused, not guessed."""
    assert read(written(tmp_path, b"\xef\xbb\xbfx"))[0][0]["text"] == "x"
    assert read(written(tmp_path, "ü".encode("utf-16"), encoding="utf-16"))[0][0]["text"] == "ü"
    assert read(written(tmp_path, b"\xfc", encoding="latin-1"))[0][0]["text"] == "ü"
    assert read(written(tmp_path, b"\xfc")) == ([], [("0", "invalid_utf8")])
    assert read(written(tmp_path, b"\x81", encoding="cp1252")) == ([], [("0", "bad_encoding")])
    with pytest.raises(UsageError, match="encoding: 'klingon'"):
        list(written(tmp_path, "", encoding="klingon").parts())


def test_what_is_refused_as_a_whole(tmp_path: Path, read: Any) -> None:
    """Too large, damaged, or another format."""
    assert read(written(tmp_path, "x" * 401, max_chars=100)) == ([], [("0", "too_large")])
    assert read(written(tmp_path, gzip.compress(b"text")[:-4])) == ([], [("0", "damaged_file")])
    assert read(written(tmp_path, b"%PDF-1.7")) == ([], [("0", "wrong_format")])


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """Books by chapter, laws with front matter, and the declaration in 380 languages."""
    books, bad = read(Text(path=str(dev / "books"), split="^#+ "))
    assert len({d["source_key"].partition("#")[0] for d in books}) == 42
    assert len(books) > 1000
    assert bad == []
    laws, bad = read(Text(path=str(dev / "legal-de")))
    assert (len(laws), bad) == (277, [])
    assert sum(bool(d["title"] and "jurabk" in d["metadata"]) for d in laws) == 275  # two begin with text
    declarations, bad = read(Text(path=str(dev / "multilingual-udhr/*.txt")))
    assert (len(declarations), bad) == (380, [])
