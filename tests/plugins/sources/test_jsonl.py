"""JSON lines: what is read, what is refused, and that a large file needs little memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard

from curator import Part, UsageError
from curator.files import SourceChanged
from curator.reading import read_documents
from curator_plugins.sources.jsonl import Jsonl


def written(folder: Path, *lines: bytes, name: str = "data.jsonl") -> Jsonl:
    (folder / name).write_bytes(b"\n".join(lines))
    return Jsonl(path=str(folder / name))


def test_positions_are_byte_offsets(tmp_path: Path, read: Any) -> None:
    """Of the line in the decompressed file, so the key is the same for any compression and cutting."""
    lines = b'{"text": "a"}\n\n{"text": "b"}\r\n{"text": "c"}'
    expected = ["data.jsonl#0", "data.jsonl#15", "data.jsonl#30"]
    for content in (lines, gzip.compress(lines), zstandard.compress(lines)):
        documents, bad = read(written(tmp_path, content))
        assert [d["source_key"] for d in documents] == expected
        assert [d["text"] for d in documents] == ["a", "b", "c"]
        assert bad == []


def test_bad_lines_are_refused_and_the_rest_is_read(tmp_path: Path, read: Any) -> None:
    """One reason a line; blank lines and a byte order mark are nothing."""
    source = written(
        tmp_path,
        b'\xef\xbb\xbf{"text": "first"}',
        b"  ",
        b'{"text": "cut',
        b'{"text": "a\xff"}',
        b'["text"]',
        b"null",
        b'{"text": "\\ud800"}',
        b'{"text": "\\udc80"}',
        b'{"text": "nan", "score": NaN}',
        b"[" * 100_000,
        b'{"text": "big", "id": 123456789012345678}',
        b'{"text": "x"} {"text": "y"}',
        b'{"text": "last"}',
    )
    documents, bad = read(source)
    assert [d["text"] for d in documents] == ["first", "nan", "big", "last"]
    assert [reason for _, reason in bad] == [
        "bad_json",
        "invalid_utf8",
        "bad_json",
        "bad_json",
        "lone_surrogate",
        "lone_surrogate",
        "bad_json",
        "bad_json",
    ]
    assert documents[1]["metadata"] == '{"score":null}'
    assert documents[2]["source_key"] == "123456789012345678"


def test_a_file_that_is_no_text_is_refused_as_a_whole(tmp_path: Path, read: Any) -> None:
    """One row in the quarantine, not one a line."""
    assert read(written(tmp_path, b"PAR1\n\n\n\n")) == ([], [("0", "wrong_format")])


def test_a_record_over_the_limit(tmp_path: Path, read: Any) -> None:
    """By its line, before it is parsed, or by the characters of its text."""
    source = written(
        tmp_path, b'{"text": "%s"}' % (b"x" * (2 << 20)), b'{"text": "12345"}', b'{"text": "1234"}'
    )
    source.max_chars = 4
    documents, bad = read(source)
    assert [d["text"] for d in documents] == ["1234"]
    assert [reason for _, reason in bad] == ["too_large", "too_large"]


def test_a_file_that_changed_fails(tmp_path: Path) -> None:
    """It fails its part, before or after it is read."""
    source = written(tmp_path, b'{"text": "a"}')
    (part,) = source.parts()
    reading = source.read(part)
    next(reading)
    written(tmp_path, b'{"text": "b", "longer": true}')
    with pytest.raises(SourceChanged, match=r"data\.jsonl: it changed while it was read"):
        next(reading)
    with pytest.raises(SourceChanged, match="after it was planned"):
        list(source.read(part))


def test_nothing_found(tmp_path: Path) -> None:
    """It is found when planning, before any work."""
    with pytest.raises(UsageError, match="names no file"):
        list(Jsonl(path=str(tmp_path / "*.jsonl")).parts())


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
def test_a_large_file_needs_little_memory(tmp_path: Path, compressed: bool) -> None:
    """300 MB pass through less than 80 MB, one line of 60 MB among them that is refused."""
    line = json.dumps({"text": "lorem ipsum " * 400}).encode() + b"\n"
    path = tmp_path / "large.jsonl"
    open_file: Any = gzip.open if compressed else open
    with open_file(path, "wb") as file:
        for number in range(300_000_000 // len(line)):
            file.write(line)
            if number == 1000:
                file.write(b'{"text": "' + b"x" * 60_000_000 + b'"}\n')
    source = Jsonl(path=str(path), max_chars=1_000_000)
    reasons: list[str] = []
    rows = 0
    tracemalloc.start()
    try:
        for frame, bad in read_documents(source, Part(str(path))):
            rows += frame.height
            reasons += [q.reason for q in bad]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (rows, reasons) == (300_000_000 // len(line), ["too_large"])
    assert peak < 80_000_000


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """Every document that the manifest counts is there, under other field names too."""
    documents, bad = read(Jsonl(path=str(dev / "medical/pubmed.jsonl.gz"), text="abstract", id="pmid"))
    assert (len(documents), bad) == (319, [])
    assert documents[0]["url"] == f"https://pubmed.ncbi.nlm.nih.gov/{documents[0]['source_key']}/"
    documents, bad = read(Jsonl(path=[str(dev / "encyclopedia/*.jsonl.gz"), str(dev / "medical/*.zst")]))
    assert (len(documents), bad) == (2221 + 541 + 2500 + 1563 + 2267 + 77 + 1737, [])
