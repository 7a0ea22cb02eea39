"""Parts of crawl files: any cutting gives the records of the whole file, whatever its pages hold."""

from __future__ import annotations

import gzip
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import Rejected
from curator_plugins.sources import crawl_parts
from curator_plugins.sources.crawl_records import records

LIMIT = 1 << 20


def warc(name: str, body: bytes) -> bytes:
    header = (
        f"WARC/1.0\r\nWARC-Type: resource\r\nWARC-Record-ID: <urn:{name}>\r\nWARC-Target-URI: http://x/{name}\r\n"
        f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return header.encode() + body + b"\r\n\r\n"


def payload(kind: str, draw: random.Random) -> bytes:
    """Of a page, as they would deceive who looks for records within."""
    inner = [warc(f"inner{draw.random()}", draw.randbytes(draw.randrange(2000))) for _ in range(100)]
    return {
        "text": b"<p>words " * draw.randrange(3000),
        "noise": draw.randbytes(draw.randrange(150_000)),
        "lines": b"WARC/1.0\r\n\r\nWARC/1.0\r\nWARC-Type: response\r\n\r\n" * draw.randrange(50),
        "records": b"".join(inner),
        "records to the end": b"".join(inner).removesuffix(b"\r\n\r\n"),
        "members": b"".join(map(gzip.compress, inner)),
        "magic": b"\n\x1f\x8b\x08\0\0\0\0\0" * draw.randrange(500),
    }[kind]


KINDS = ("text", "noise", "lines", "records", "records to the end", "members", "magic")


def crawl(kinds: list[str], members: bool, draw: random.Random) -> list[bytes]:
    """Its records as stored."""
    pages = [warc(str(n), payload(kind, draw)) for n, kind in enumerate(kinds)]
    return [gzip.compress(page, draw.choice([0, 1, 9])) if members else page for page in pages]


def read(path: Path, start: int = 0, stop: int | None = None) -> list[tuple[str, Any]]:
    return [
        (place, record.detail if isinstance(record, Rejected) else (record.id, record.body))
        for place, record in records(str(path), LIMIT, start, stop)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=2, max_size=12),
    st.booleans(),
    st.integers(0, 10_000),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=5),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 300), st.binary(max_size=3)), max_size=2
    ),
)
def test_any_cutting_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    members: bool,
    seed: int,
    cuts: list[float],
    changes: list[tuple[float, int, bytes]],
) -> None:
    """Records and rows of damage, each once and in the order of the file."""
    content = bytearray(b"".join(crawl(kinds, members, random.Random(seed))))
    for place, lost, put in changes:
        at = int(place * len(content))
        content[at : at + lost] = put
    path = tmp_path_factory.getbasetemp() / "cut.warc"
    path.write_bytes(content)
    bounds = [0, *sorted({int(cut * len(content)) for cut in cuts} - {0}), None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crawl_parts, "WINDOW", 50_000)  # so that parts of small files, too, are not read from 0
        parts = [record for start, stop in pairwise(bounds) for record in read(path, start or 0, stop)]
    assert parts == read(path)
    if not changes:
        assert [found[0] for _, found in parts] == [f"urn:{n}" for n in range(len(kinds))]


@pytest.mark.parametrize("members", [False, True])
def test_a_part_is_not_read_from_the_beginning(tmp_path: Path, members: bool) -> None:
    """But from a record at or before it: in a plain file the last, in a gzip file one within the window."""
    draw = random.Random(1)
    stored = crawl([draw.choice(KINDS) for _ in range(60)], members, draw)
    offsets = [sum(map(len, stored[:n])) for n in range(len(stored))]
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(stored))
    with open(path, "rb") as file:
        for start in (offsets[30], offsets[30] + 1, offsets[31] - 1):
            found = crawl_parts.certain(file, start)
            assert found in offsets
            assert found <= start
            assert found == offsets[30] if not members else found > start - 2 * crawl_parts.WINDOW


def test_members_of_a_page_are_no_records(tmp_path: Path) -> None:
    """Of a crawled .warc.gz in a stored member, larger than what is searched: its members are whole records."""
    draw = random.Random(2)
    inner = [gzip.compress(warc(f"inner{n}", draw.randbytes(1000))) for n in range(4000)]
    stored = [gzip.compress(warc(str(n), b"".join(inner)), 0) for n in range(2)]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(stored))
    middle = len(stored[0]) + len(stored[1]) // 2
    with open(path, "rb") as file:
        assert crawl_parts.certain(file, middle) == len(stored[0])
    ((place, _),) = list(records(str(path), 8 << 20, 1))
    assert place == str(len(stored[0]))
    assert list(records(str(path), 8 << 20, middle)) == []


@pytest.mark.parametrize("members", [False, True])
def test_which_files_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: bool) -> None:
    """Those that begin with two records, plain or a member each; parts are as long as they are said to be."""
    monkeypatch.setattr(crawl_parts, "PART", 4000)
    pages = [warc(str(n), bytes([65 + n]) * 3000) for n in range(6)]
    stored = [gzip.compress(page, 0) for page in pages] if members else pages
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(stored))
    size = path.stat().st_size
    parts = list(crawl_parts.crawl_parts(str(path)))
    assert [part.start for part in parts] == list(range(0, size, 4000))
    assert [part.stop for part in parts] == [*range(4000, size, 4000), None]
    assert sum(part.size for part in parts) == size * (4 if members else 1)
    found = [place for part in parts for place, _ in read(path, part.start or 0, part.stop)]
    assert found == [str(sum(map(len, stored[:n]))) for n in range(6)]


def test_which_files_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One member for all, other compressions, ARC, lines that end otherwise."""
    import zstandard

    monkeypatch.setattr(crawl_parts, "PART", 100)
    pages = [warc(str(n), random.Random(n).randbytes(3000)) for n in range(3)]
    whole = b"".join(pages)
    arc = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 20\n1 0 InternetArchive\n\n" + bytes(200)
    path = tmp_path / "a.warc"
    for content in (
        gzip.compress(whole),
        b"".join(map(zstandard.compress, pages)),
        arc,
        gzip.compress(arc),
        whole.replace(b"\r\n", b"\n"),
        b"no crawl at all " * 20,
    ):
        path.write_bytes(content)
        (part,) = crawl_parts.crawl_parts(str(path))
        assert (part.start, part.stop) == (None, None)
