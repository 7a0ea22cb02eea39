"""Crawls of real servers on loopback: sitemaps, robots.txt, later walks, kills, and servers that misbehave."""

from __future__ import annotations

import functools
import gzip
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from curator import Rejected, UsageError
from curator.errors import FetchError
from curator_plugins.sources.crawl import Crawl
from curator_plugins.sources.crawled import Crawled
from curator_plugins.sources.pagelog import PageLog
from tests.plugins.sources.killing import killed_until_done
from tests.plugins.sources.servers import Site, Visit

QUICK: dict[str, Any] = {
    "name": "web",
    "allow_private": ["127.0.0.1/32", "127.0.0.3/32"],
    "timeout": 2.0,
    "retries": 1,
    "per_second": 10_000.0,
    "concurrency": 4,
}
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Crawl]:
    def source(**options: Any) -> Crawl:
        made = Crawl(**{**QUICK, **options})
        made.folder = str(tmp_path / "fetched")  # type: ignore[misc]  # the host sets it so
        return made

    return source


def sitemap(*urls: str, index: bool = False) -> bytes:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    entries = "".join(f"<{inner}><loc>{url}</loc></{inner}>" for url in urls)
    return f'<?xml version="1.0"?><{outer} {NAMESPACE}>{entries}</{outer}>'.encode()


def stored(source: Crawl) -> list[tuple[str, int, bytes]]:
    """(URL, status, body) of each page in the WARC files."""
    found = []
    for name in sorted(Path(source.folder).glob("*.warc.gz")):
        with open(name, "rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response):
                headers = record.http_headers
                body = record.reader.read()
                assert headers
                assert int(headers["Content-Length"]) == len(body)
                found.append((record.headers["WARC-Target-URI"], headers.status_code, body))
    return found


def rejected(source: Crawl) -> dict[str, str]:
    logs = [part for name in PageLog(source.folder).files() for part in source.local(name)]
    found = [record for part in logs for record in source.read(part)]
    assert all(isinstance(record, Rejected) for record in found)
    return {r.position: r.reason for r in found if isinstance(r, Rejected)}


def pages(site: Site, paths: list[str]) -> None:
    for path in paths:
        site.routes[path] = lambda visit: visit.html(f"page {visit.path}")


def test_sitemaps(site: Site, source: Any) -> None:
    """Named by robots.txt, an index, compressed in either way; what robots.txt forbids is not fetched."""
    url = site.url
    names = {
        "/index.xml": sitemap(f"{url}/plain.xml", f"{url}/packed.xml.gz", f"{url}/coded.xml", index=True),
        "/plain.xml": sitemap(f"{url}/1", f"{url}/2", f"{url}/private/3"),
        "/packed.xml.gz": gzip.compress(sitemap(f"{url}/4", f"{url}/1")),
        "/bomb.xml.gz": gzip.compress(bytes(30 << 20), 1),
        "/entities.xml": b'<!DOCTYPE u [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        + sitemap(f"{url}/5", f"{url}/&e;"),
        "/junk.xml": b"no sitemap",
    }
    for path, body in names.items():
        kind = "application/gzip" if path.endswith("gz") else "application/xml"
        site.routes[path] = functools.partial(Visit.send, status=200, body=body, Content_Type=kind)
    coded = gzip.compress(sitemap(f"{url}/6"))
    site.routes["/coded.xml"] = lambda visit: visit.send(
        200, coded, Content_Encoding="gzip", Content_Type="text/xml"
    )
    robots = f"User-agent: *\nDisallow: /private\nSitemap: {url}/index.xml\n".encode()
    site.routes["/robots.txt"] = lambda visit: visit.send(200, robots, Content_Type="text/plain")
    pages(site, ["/0", "/1", "/2", "/private/3", "/4", "/5", "/6"])
    sitemaps = [f"{url}/{name}" for name in ("robots.txt", "bomb.xml.gz", "entities.xml", "junk.xml")]
    crawl = source(
        urls=[f"{url}/0", f"{url}/nowhere"], sitemaps=sitemaps, max_bytes=1 << 20, contact="me@x.org"
    )
    with pytest.raises(FetchError, match=r"source 'web': .*\.xml.*\(and 1 more\); the next run tries again"):
        list(crawl.fetch())
    found = {(where.removeprefix(url), status) for where, status, _ in stored(crawl)}
    assert {where for where, _ in found} - {f"/{n}" for n in range(7)} <= {"/nowhere", "/"}
    assert {(f"/{n}", 200) for n in (0, 1, 2, 4, 5, 6)} | {("/nowhere", 404)} <= found
    assert rejected(crawl) == {f"{url}/private/3": "robots"}
    assert "/private/3" not in site.asked
    rows = [record for part in crawl.parts() for record in crawl.read(part)]
    assert [row.reason for row in rows if isinstance(row, Rejected)].count("robots") == 1
    assert [site.asked.count(path) for path in ("/1", "/robots.txt")] == [
        1,
        2,
    ]  # once for itself, once for its sitemaps
    assert all(headers["User-Agent"] == "curator/0.1.0 (+me@x.org)" for headers in site.headers)


def test_later_walks(site: Site, source: Any) -> None:
    """Conditional; only what changed is stored again. Within `refresh` nothing is asked. Retry-After is obeyed."""
    version = ["one"]
    busy = [True]

    def same(visit: Visit) -> None:
        if busy:
            busy.clear()
            visit.send(429, Retry_After="1")
        else:
            visit.html("same")

    def tagged(visit: Visit) -> None:
        if visit.headers.get("If-None-Match") == f'"{version[-1]}"':
            visit.send(304)
        else:
            visit.html(version[-1], ETag=f'"{version[-1]}"')

    site.routes |= {"/tagged": tagged, "/same": same}
    urls = [f"{site.url}/{name}" for name in ("tagged", "same", "gone")]
    assert list(source(urls=urls).fetch())[-1] == 3
    first, second = (n for n, path in enumerate(site.asked) if path == "/same")
    assert (
        site.times[second] - site.times[first] >= 0.5
    )  # Scrapy takes from half to one and a half of a delay
    before = list(source().local(str(Path(source().folder) / "000001.jsonl")))
    site.asked.clear()
    assert list(source(urls=urls).fetch()) == []
    assert site.asked == []
    assert set(source(urls=urls, refresh="0s").fetch()) == {0}
    version.append("two")
    assert list(source(urls=urls, refresh="0s").fetch())[-1] == 1
    assert sorted(body for _, _, body in stored(source()) if b"body" in body)[1:] == [
        b"<html><head><title>Page</title></head><body>same</body></html>",
        b"<html><head><title>Page</title></head><body>two</body></html>",
    ]
    assert list(source().local(str(Path(source().folder) / "000001.jsonl"))) == before


def test_links_are_followed_on_request(site: Site, source: Any) -> None:
    """On the hosts that are named, so deep; a later walk follows those of pages that did not change."""
    links = {
        "/": '<a href="/a">a</a> <a href="http://127.0.0.2/">out</a> <a href="mailto:x">m</a>',
        "/a": '<a href="/b#x">b</a> <a href="/">up</a>',
        "/b": '<a href="/c">c</a>',
    }
    for path, body in links.items():
        site.routes[path] = functools.partial(Visit.html, body=body)
    for refresh in ("1d", "0s"):
        site.asked.clear()
        list(source(urls=[f"{site.url}/"], follow="same-host", max_depth=2, refresh=refresh).fetch())
        assert sorted(site.asked) == ["/", "/a", "/b", "/robots.txt"]


def drip(visit: Visit) -> None:
    visit.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        visit.wfile.write(b"x")
        time.sleep(0.05)


def endless(visit: Visit) -> None:
    visit.raw(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        visit.wfile.write(b"x" * 65536)


def reset(visit: Visit) -> None:
    visit.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.rfile.close()
    visit.wfile.close()
    visit.connection.close()


def test_servers_that_misbehave(site: Site, source: Any) -> None:
    """Each page has its reason; what may pass is tried by three runs before it is given up."""
    bomb = gzip.compress(bytes(30 << 20), 1)
    fails = [True]
    bad: dict[str, Callable[[Visit], None]] = {
        "/drip": drip,
        "/endless": endless,
        "/reset": reset,
        "/short": lambda visit: visit.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        "/garbage": lambda visit: visit.raw(b"\x00\x01\r\n\r\n"),
        "/bomb": lambda visit: visit.send(200, bomb, Content_Encoding="gzip", Content_Type="text/html"),
        "/loop": lambda visit: visit.send(302, Location=f"/loop?{visit.path[-10:]}{len(site.asked)}"),
        "/ring": lambda visit: visit.send(302, Location="/ring"),
        "/metadata": lambda visit: visit.send(302, Location="http://169.254.169.254/latest"),
        "/file": lambda visit: visit.send(302, Location="file:///etc/passwd"),
        "/503": lambda visit: visit.send(503),
    }
    site.routes |= bad
    site.routes["/late"] = lambda visit: visit.send(500) if fails and fails.pop() else visit.html("late")
    with (
        Site({"/": lambda visit: visit.html("secret")}, "127.0.0.2") as private,
        Site(address="127.0.0.3") as broken,
    ):
        broken.routes = {"/robots.txt": lambda visit: visit.send(500), "/x": lambda visit: visit.html("x")}
        site.routes["/private"] = lambda visit: visit.send(302, Location=f"{private.url}/other")
        urls = [site.url + path for path in (*bad, "/private", "/late")]
        urls += [private.url + "/", f"http://[::ffff:127.0.0.2]:{private.port}/", f"{broken.url}/x"]
        crawl = source(urls=urls, timeout=0.7, max_bytes=1 << 20, concurrency=16)
        for _ in range(2):
            with pytest.raises(FetchError, match="the next run tries again"):
                list(crawl.fetch())
        list(crawl.fetch())
        assert private.asked == []
        assert "/x" not in broken.asked
    assert [body.count(b"late") for *_, body in stored(crawl)].count(1) == 1
    assert [status for url, status, _ in stored(crawl) if url.endswith("/file")] == [302]
    reasons = {url.removeprefix(site.url): reason for url, reason in rejected(crawl).items()}
    assert reasons == {
        "/drip": "timeout",
        "/endless": "too_large",
        "/reset": "broken_response",
        "/short": "broken_response",
        "/garbage": "unreachable",
        "/bomb": "too_large",
        "/loop": "redirects",
        "/metadata": "private_address",
        "/ring": "redirects",
        "/503": "http_status",
        "/private": "private_address",
        f"{private.url}/": "private_address",
        f"http://[::ffff:127.0.0.2]:{private.port}/": "private_address",
        f"{broken.url}/x": "robots",
    }


def test_killed_in_the_middle(site: Site, source: Any, tmp_path: Path) -> None:
    """Pages that were stored are not fetched again; the process of a killed run ends."""
    paths = [f"/{n}" for n in range(40)]

    def slow(visit: Visit) -> None:
        time.sleep(0.01)
        visit.html(f"page {visit.path}")

    site.routes |= dict.fromkeys(paths, slow)
    options = {"urls": [site.url + path for path in paths], **QUICK, "concurrency": 2}
    kills = killed_until_done(Crawl, options, tmp_path / "fetched", 16)
    assert kills == 2
    asked = [path for path in site.asked if path != "/robots.txt"]
    assert (sorted(set(asked)), len(asked) <= 40 + 4 * kills) == (sorted(paths), True)
    assert sorted(url for url, *_ in stored(source())) == sorted(options["urls"])


def test_stopped_in_the_middle(site: Site, source: Any, read: Any) -> None:
    """As by `--limit`: what came is read, under the pages' addresses, and the next run brings the rest."""
    paragraph = "A sentence that is long enough to be the body of an article. " * 5
    site.routes |= dict.fromkeys(
        [f"/{n}" for n in range(8)],
        lambda visit: visit.html(f"<article><p>{visit.path} {paragraph}</p></article>"),
    )
    urls = [f"{site.url}/{n}" for n in range(8)]
    crawl = source(urls=urls, per_second=20.0, concurrency=1)
    fetching = crawl.fetch()
    assert next(fetching) == 1
    fetching.close()
    documents, bad = read(crawl)
    assert 1 <= len(documents) < 8
    assert [reason for _, reason in bad] == ["skipped_warcinfo"]
    list(crawl.fetch())
    asked = [path for path in site.asked if path != "/robots.txt"]
    assert (sorted(set(asked)), len(asked) <= 9) == ([f"/{n}" for n in range(8)], True)  # one was in flight
    documents, _ = read(crawl)
    assert sorted(d["source_key"] for d in documents) == urls
    assert {d["url"].removeprefix(site.url): d["text"][:2] for d in documents} == {
        f"/{n}": f"/{n}" for n in range(8)
    }


class Answered:
    """What a crawl stores of a response."""

    def __init__(self, url: str, body: bytes) -> None:
        self.url, self.body, self.status, self.ip_address = url, body, 200, None
        self.headers = {b"X-Split": [b"a\r\nSet-Cookie: b"], b"Content-Encoding": [b"gzip"]}


def test_what_a_killed_process_left(tmp_path: Path, source: Any) -> None:
    """The WARC file is cut off behind the last page that the log knows; a file without one goes."""
    with Crawled(source().folder) as crawled:
        for n in range(2):
            crawled.store(f"http://x/{n}", Answered(f"http://x/{n}", b"body"), {"status": 200})
    folder = Path(source().folder)
    whole = (folder / "000001.warc.gz").read_bytes()
    (folder / "000001.warc.gz").rename(folder / "000001.warc.gz.open")
    with open(folder / "000001.warc.gz.open", "ab") as file:
        file.write(whole[:100])
    (folder / "000002.warc.gz.open").write_bytes(whole[:50])
    with Crawled(source().folder) as crawled:
        assert crawled.done == {"http://x/0", "http://x/1"}
    assert sorted(path.name for path in folder.iterdir()) == ["000001.jsonl", "000001.warc.gz"]
    assert (folder / "000001.warc.gz").read_bytes() == whole
    assert stored(source()) == [("http://x/0", 200, b"body"), ("http://x/1", 200, b"body")]
    assert b"Set-Cookie" not in [line[:10] for line in gzip.decompress(whole).splitlines()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "source 'web' needs the option urls, or sitemaps"),
        ({"urls": ["ftp://x/"]}, "'ftp://x/' is no address of http:// or https://"),
        ({"urls": ["http://me:pw@x/"]}, "is no address of http:// or https:// without a user"),
        ({"urls": ["http://x/"], "refresh": "often"}, "source 'web', refresh: 'often'"),
    ],
)
def test_mistakes(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(source(**options).fetch())


def test_nothing_fetched(source: Any) -> None:
    with pytest.raises(UsageError, match="source 'web': nothing was fetched"):
        list(source(urls=["http://x/"]).parts())
