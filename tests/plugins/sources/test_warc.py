"""Crawl files: what becomes a document, that every record is accounted for, and files that lie."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from curator.reading import read_documents
from curator_plugins.sources import crawl_parts
from curator_plugins.sources.extraction import Extractor
from curator_plugins.sources.warc import Warc

HTML = b"<html><body><p>Some words of page %d, enough for a text.</p></body></html>"
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"


def warc(
    url: str, body: bytes = HTML % 1, http: bytes = HTTP, kind: str = "response", **headers: Any
) -> bytes:
    """A record; `length` says another Content-Length than the right one."""
    block = http + b"\r\n" + body if http else body
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:test:{url}>",
        "WARC-Target-URI": url,
        "WARC-Date": "2024-05-06T07:08:09Z",
        "Content-Type": "application/http; msgtype=response" if http else "text/plain",
        "Content-Length": headers.pop("length", len(block)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + lines.encode() + b"\r\n" + block + b"\r\n\r\n"


def pages(*numbers: int) -> list[bytes]:
    return [warc(f"http://x/{n}", HTML % n) for n in numbers]


@pytest.fixture
def source(tmp_path: Path, extractor: Extractor) -> Any:
    def source(content: bytes, name: str = "crawl.warc.gz", **options: Any) -> Warc:
        (tmp_path / name).write_bytes(content)
        made = Warc(name="web", path=str(tmp_path / name), max_page_bytes=1 << 20, **options)
        made.__dict__["extractor"] = extractor
        return made

    return source


def counts(source: Warc) -> dict[str, tuple[int, str]]:
    found = [q for _, bad in read_documents(source, source.parts()) for q in bad]
    return {q.reason: (q.records, q.detail) for q in found if q.position == "*"}


def test_the_files_of_writers(source: Any, read: Any) -> None:
    """As warcio writes them: plain, gzip, and the same as zstd and lz4 frames a record."""
    import pyarrow as pa
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    plain, members = io.BytesIO(), []
    for n in range(3):
        one = io.BytesIO()
        for out in (plain, one):
            writer = WARCWriter(out, gzip=False)
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            dated = {"WARC-Date": "2024-01-02T03:04:05Z", "WARC-Record-ID": f"<urn:test:{n}>"}
            writer.write_record(
                writer.create_warc_record(
                    f"http://x/{n}",
                    "response",
                    io.BytesIO(HTML % n),
                    warc_headers_dict=dated,
                    http_headers=headers,
                )
            )
        members.append(one.getvalue())
    lz4 = pa.Codec("lz4")
    for content in (
        plain.getvalue(),
        b"".join(map(gzip.compress, members)),
        gzip.compress(plain.getvalue()),
        b"".join(map(zstandard.compress, members)),
        b"".join(bytes(lz4.compress(m, asbytes=True)) for m in members),
    ):
        documents, bad = read(source(content))
        assert [d["text"] for d in documents] == [
            f"Some words of page {n}, enough for a text." for n in range(3)
        ]
        assert [d["source_key"] for d in documents] == ["urn:test:0", "urn:test:1", "urn:test:2"]
        assert documents[0]["retrieved"] == datetime(2024, 1, 2, 3, 4, 5)
        assert bad == []


def test_what_is_kept_of_a_page(source: Any, read: Any) -> None:
    """Its address, dates, status, both types, charset, languages, and whether it was cut."""
    head = b'<html lang=de><meta name="date" content="2020-02-02"><title>A title</title>'
    http = b"HTTP/1.1 203 OK\r\nContent-Type: application/x-thing\r\nContent-Language: de-AT\r\n"
    content = warc("http://x/a", head + HTML % 1, http, WARC_Truncated="length")
    (document,), _ = read(source(content, statuses=[200, 203]))
    assert (document["url"], document["title"]) == ("http://x/a", "A title")
    assert (document["published"], document["retrieved"]) == (
        datetime(2020, 2, 2),
        datetime(2024, 5, 6, 7, 8, 9),
    )
    assert json.loads(document["metadata"]) == {
        "charset": "utf-8",
        "language": "de",
        "status": 203,
        "mime": "text/html",
        "declared_mime": "application/x-thing",
        "content_language": "de-AT",
        "truncated": "length",
    }


def test_every_record_is_accounted_for(source: Any, read: Any) -> None:
    """Documents, rows of quarantine, and counts by reason make the records of the file."""
    png = b"\x89PNG\r\n\x1a\n" + bytes(30)
    content = b"".join(
        gzip.compress(record)
        for record in [
            warc("", b"software: x", b"", "warcinfo"),
            *[r for n in range(3) for r in (warc(f"http://x/{n}", b"GET", b"", "request"), *pages(n))],
            *[warc(f"http://x/no{n}", b"<p>no", b"HTTP/1.1 404 Not Found\r\n") for n in range(4)],
            warc("http://x/moved", b"", b"HTTP/1.1 301 Moved\r\nLocation: http://x/1\r\n"),
            warc("http://x/a.png", png),
            warc("http://x/b.png", png),
            warc("http://x/robots.txt", b"User-agent: *\nDisallow:", b"HTTP/1.1 200 OK\r\n"),
            warc("http://x/empty", b" "),
            warc("dns:x", b"x. 300 IN A 1.2.3.4", b"", "resource"),
            warc("http://x/1", b"", HTTP, "revisit"),
            warc("http://x/1", b"{}", b"", "metadata"),
            warc("http://x/1", b"part", b"", "continuation"),
            warc("http://x/odd", b"?", b"", "strange"),
            warc("http://x/bad", b"", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000 + b"\r\n"),
            warc("http://x/large", b"<p>" + b"a" * (2 << 20)),
        ]
    )
    documents, bad = read(source(content))
    assert [d["url"] for d in documents] == ["http://x/0", "http://x/1", "http://x/2"]
    counted = counts(source(content))
    assert counted == {
        "bad_http": (1, ""),
        "revisit": (1, ""),
        "skipped_continuation": (1, ""),
        "skipped_empty": (1, ""),
        "skipped_metadata": (1, ""),
        "skipped_mime": (3, "image/png 2, text/plain 1"),
        "skipped_other": (1, ""),
        "skipped_request": (3, ""),
        "skipped_status": (5, "404 4, 301 1"),
        "skipped_uri": (1, "dns 1"),
        "skipped_warcinfo": (1, ""),
    }
    assert [why for place, why in bad if place != "*"] == ["page_too_large"]
    assert len(documents) + 1 + sum(n for n, _ in counted.values()) == 23


def test_wet_and_wat(source: Any, read: Any) -> None:
    """The text of a conversion is taken as it is; a WAT file has no documents."""
    wet = warc(
        "http://x/a", "Straße <b>\nzwei".encode(), b"", "conversion", WARC_Identified_Content_Language="deu"
    )
    (document,), bad = read(source(gzip.compress(wet)))
    assert (document["text"], document["url"]) == ("Straße <b>\nzwei", "http://x/a")
    assert json.loads(document["metadata"])["content_language"] == "deu"
    assert bad == []
    assert read(source(gzip.compress(warc("http://x/a", b'{"Envelope": {}}', b"", "metadata")))) == (
        [],
        [("*", "skipped_metadata")],
    )


def test_plain_text_is_taken_if_asked_for(source: Any, read: Any) -> None:
    """As it is, in the charset that it turns out to have."""
    content = warc(
        "http://x/a.txt", "Grüße <b>".encode("latin-1"), b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    )
    (document,), bad = read(source(content, mime=["text/html", "text/plain"]))
    assert (document["text"], bad) == ("Grüße <b>", [])


def test_arc(source: Any, read: Any) -> None:
    """Version 1, plain or a member a record; its key is date and address."""
    page = HTTP + b"\r\n" + HTML % 5
    rows = [
        b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 20\n1 0 InternetArchive\n\n",
        b"http://x/a b 1.2.3.4 20080430204826 text/html %d\n%s\n" % (len(page), page),
        b"dns:x 1.2.3.4 20080430204826 text/dns 5\n1.2.3\n",
        b"http://x/c 1.2.3.4 20080430204827 text/html 9999\ncut",
    ]
    for content in (b"".join(rows), b"".join(map(gzip.compress, rows))):
        (document,), bad = read(source(content))
        assert document["source_key"] == "20080430204826/http://x/a"
        assert document["retrieved"] == datetime(2008, 4, 30, 20, 48, 26)
        assert document["text"] == "Some words of page 5, enough for a text."
        assert [why for _, why in bad] == ["damaged_record", "skipped_uri", "skipped_warcinfo"]


def test_damage_costs_the_damaged_record(source: Any, read: Any) -> None:
    """Reading goes on at the next member, whatever is wrong with one."""
    first, last = map(gzip.compress, pages(1, 3))
    bad = bytearray(gzip.compress(pages(2)[0]))
    bad[len(bad) // 2] ^= 0xFF
    broken = {
        "bits": bytes(bad),
        "cut": gzip.compress(pages(2)[0])[:120],
        "header without end": gzip.compress(b"WARC/1.0\r\n" + b"X: " + b"a" * (20 << 20)),
        "many headers": gzip.compress(b"WARC/1.0\r\n" + b"X: b\r\n" * 1_000_000),
        "too long": gzip.compress(warc("http://x/2", HTML % 2, length=300)),
        "much too long": gzip.compress(warc("http://x/2", HTML % 2, length=1 << 62)),
        "too short": gzip.compress(warc("http://x/2", HTML % 2, length=90)),
        "negative": gzip.compress(warc("http://x/2", HTML % 2, length=-1)),
    }
    for name, member in broken.items():
        documents, bad_ones = read(source(first + member + last))
        assert [d["url"] for d in documents] == ["http://x/1", "http://x/3"], name
        assert [why for _, why in bad_ones] == ["damaged_record"], name


def test_a_plain_file_is_searched_for_its_next_record(source: Any, read: Any) -> None:
    """At the beginning of a line."""
    one, three = pages(1, 3)
    for bad in (warc("http://x/2", HTML % 2, length=80), warc("http://x/2", HTML % 2, length=250)):
        documents, why = read(source(one + bad + three, name="a.warc"))
        assert [d["url"] for d in documents] == ["http://x/1", "http://x/3"]
        assert [reason for _, reason in why] == ["damaged_record"]


def test_the_end_of_a_file_that_is_cut(source: Any, read: Any) -> None:
    """Is told, whether the cut is in a member, a header or a body."""
    one, two = pages(1, 2)
    whole = gzip.compress(one) + gzip.compress(two)
    for content in (whole[:-20], whole[: len(gzip.compress(one)) + 40], one + two[:60], one + two[:-30]):
        documents, bad = read(source(content))
        assert ([d["url"] for d in documents], [why for _, why in bad]) == (
            ["http://x/1"],
            ["damaged_record"],
        )


def test_bodies_that_are_encoded(source: Any, read: Any) -> None:
    """Chunked, gzip, deflate with and without a header, brotli, zstd; or decoded already, with the headers left."""
    body = HTML % 9
    raw = zlib.compressobj(wbits=-15)
    chunked = b"".join(
        b"%x;x=y\r\n%s\r\n" % (len(body[i : i + 40]), body[i : i + 40]) for i in range(0, len(body), 40)
    )
    encoded = {
        b"Transfer-Encoding: chunked\r\n": [chunked + b"0\r\n\r\n", chunked, body],
        b"Content-Encoding: gzip\r\n": [gzip.compress(body), body],
        b"Content-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n": [gzip.compress(body)],
        b"Content-Encoding: deflate\r\n": [zlib.compress(body), raw.compress(body) + raw.flush(), body],
        b"Content-Encoding: br\r\n": [brotli.compress(body), body],
        b"Content-Encoding: zstd\r\n": [zstandard.compress(body), body],
        b"Content-Encoding: gzip, br\r\n": [brotli.compress(gzip.compress(body))],
    }
    cases = [(header, content) for header, contents in encoded.items() for content in contents]
    content = b"".join(
        warc(f"http://x/{n}", content, HTTP + header) for n, (header, content) in enumerate(cases)
    )
    documents, bad = read(source(content, name="a.warc"))
    assert bad == []
    assert [d["text"] for d in documents] == ["Some words of page 9, enough for a text."] * len(cases)


def test_bombs(source: Any, read: Any) -> None:
    """A member, and bodies of each coding, that make a hundred MiB of zeros: a row each, and little memory."""
    zeros = bytes(100 << 20)
    bombs = {
        b"gzip": gzip.compress(zeros, 1),
        b"br": brotli.compress(zeros, quality=1),
        b"zstd": zstandard.compress(zeros),
    }
    records = [
        warc(f"http://x/{c.decode()}", b, HTTP + b"Content-Encoding: " + c + b"\r\n")
        for c, b in bombs.items()
    ]
    content = b"".join(map(gzip.compress, [warc("http://x/zeros", zeros), *records, *pages(1)]))
    del zeros, bombs, records
    made = source(content)
    tracemalloc.start()
    documents, bad = read(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ([d["url"] for d in documents], [why for _, why in bad]) == (
        ["http://x/1"],
        ["page_too_large"] * 4,
    )
    assert peak < 16 << 20


def test_a_short_body_is_marked(source: Any, read: Any) -> None:
    """The server promised more than came."""
    (document,), _ = read(source(warc("http://x/a", HTML % 1, HTTP + b"Content-Length: 5000\r\n")))
    assert json.loads(document["metadata"])["truncated"] == "short"


def test_the_same_page_of_two_crawls(source: Any, read: Any) -> None:
    """Is two documents of one address; with `key: url` it is one."""
    twice = warc("http://x/a") + warc("http://x/a", WARC_Record_ID="<urn:test:later>")
    documents, bad = read(source(twice))
    assert [(d["url"], d["source_key"]) for d in documents] == [
        ("http://x/a", "urn:test:http://x/a"),
        ("http://x/a", "urn:test:later"),
    ]
    assert bad == []
    documents, bad = read(source(twice, key="url"))
    assert ([(d["url"], d["source_key"]) for d in documents], [why for _, why in bad]) == (
        [("http://x/a", "http://x/a")],
        ["duplicate_key"],
    )


DEV_COUNTS = {  # documents, and all records of the file
    "web/trafilatura-pages.warc.gz": (213, 214),
    "web/trafilatura-pages.warc.wet.gz": (53, 54),
    "warc/dolma-sample-0000.warc.gz": (22, 48),
    "warc/example.arc.gz": (93, 300),
    "warc/iana.warc.gz": (16, 343),
    "warc/warcfile.warc.lz4": (16, 50),
    "warc/whirlwind.warc.gz": (1, 4),
    "warc/whirlwind.warc.wat.gz": (0, 2),
    "warc/whirlwind.warc.wet.gz": (1, 2),
}


@pytest.mark.parametrize("name", DEV_COUNTS)
def test_real_files(dev: Path, name: str) -> None:
    """Documents as the manifest says; with what is counted, all records that warcio finds (it does not read lz4)."""
    from warcio.archiveiterator import ArchiveIterator

    made = Warc(name="web", path=str(dev / name))
    batches = list(read_documents(made, made.parts()))
    made.extractor.close()
    documents = sum(len(frame) for frame, _ in batches)
    rows = [q for _, bad in batches for q in bad]
    total = documents + sum(q.records for q in rows)
    assert (documents, total) == DEV_COUNTS[name]
    if not name.endswith("lz4"):
        with open(dev / name, "rb") as file:
            assert total == sum(1 for _ in ArchiveIterator(file))


def test_an_address(extractor: Extractor, read: Any) -> None:
    """Of any file system that fsspec knows."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/crawl.warc.gz", b"".join(map(gzip.compress, pages(1, 2))))
    made = Warc(name="web", path="memory://crawl.warc.gz")
    made.__dict__["extractor"] = extractor
    assert [d["url"] for d in read(made)[0]] == ["http://x/1", "http://x/2"]
    memory.rm("/crawl.warc.gz")


def test_parts_of_a_file(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give its documents once each; what is counted is a row a part, and the same in all."""
    monkeypatch.setattr(crawl_parts, "PART", 5000)
    content = b"".join(warc(f"http://x/no{n}", b"", kind="request") + pages(n)[0] for n in range(40))
    made = source(content, name="a.warc")
    batches = [list(read_documents(made, [part])) for part in made.parts()]
    assert len(batches) == 5
    keys = [key for batch in batches for frame, _ in batch for key in frame["source_key"]]
    assert keys == [f"urn:test:http://x/{n}" for n in range(40)]
    rows = [q for batch in batches for _, bad in batch for q in bad]
    assert [(q.position, q.reason) for q in rows] == [("*", "skipped_request")] * 5
    assert sum(q.records for q in rows) == 40
