"""Feeds: entries that come once, their pages, and feeds that are broken or hostile."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from curator import Rejected, UsageError
from curator.errors import FetchError
from curator_plugins.sources.entries import parsed
from curator_plugins.sources.feed import Feed
from tests.plugins.sources.killing import killed_until_done
from tests.plugins.sources.servers import Site, Visit

QUICK: dict[str, Any] = {
    "name": "news",
    "allow_private": ["127.0.0.1/32"],
    "timeout": 1.0,
    "backoff": 0.01,
    "retries": 1,
    "per_second": 1e6,
    "refresh": "0s",
}
ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title><rights>CC-BY-4.0</rights>
<entry><id>tag:blog,2024:1</id><title type="html">Salt &amp;amp; &lt;i&gt;pepper&lt;/i&gt;</title><link href="/one"/>
<published>2024-05-01T10:00:00+02:00</published><updated>2024-05-02T00:00:00Z</updated><author><name>Ann</name></author>
<category term="food"/><summary>Short.</summary>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>First.</p><ul><li>a</li></ul></div></content></entry>
<entry><id>urn:2</id><title>Two</title><rights>mine</rights><content type="text">1 &lt; 2</content></entry>
</feed>"""


def rss(*items: tuple[str, str, str]) -> bytes:
    """A feed of (guid, link, description)."""
    entries = "".join(
        f"<item><guid isPermaLink='false'>{guid}</guid><link>{link}</link><title>T {guid}</title>"
        f"<description>&lt;p&gt;{text}&lt;/p&gt;</description></item>"
        for guid, link, text in items
    )
    return f'<rss version="2.0"><channel><title>News</title>{entries}</channel></rss>'.encode()


@pytest.fixture
def source(site: Site, tmp_path: Path) -> Callable[..., Feed]:
    def source(**options: Any) -> Feed:
        made = Feed(**{"urls": f"{site.url}/feed", **QUICK, **options})
        made.folder = str(tmp_path / "fetched")  # type: ignore[misc]  # the host sets it so
        return made

    return source


def texts(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {document["source_key"].rpartition("#")[2]: document["text"] for document in documents}


def test_what_an_entry_says_of_itself(site: Site, source: Any, read: Any) -> None:
    """Its longest content, as text; the feed's licence where it states none."""
    site.routes["/feed"] = lambda visit: visit.send(200, ATOM.encode(), Content_Type="application/atom+xml")
    assert list(source().fetch()) == [1, 2]
    (one, two), bad = read(source())
    assert bad == []
    assert (one["source_key"], one["url"], one["title"]) == (
        "tag:blog,2024:1",
        f"{site.url}/one",
        "Salt & pepper",
    )
    assert (one["published"], one["license"]) == (datetime(2024, 5, 1, 8), "CC-BY-4.0")
    assert one["text"].split() == ["First.", "•", "a"]
    assert json.loads(one["metadata"]) == {
        "author": "Ann",
        "feed": f"{site.url}/feed",
        "tags": ["food"],
        "updated": "2024-05-02T00:00:00",
    }
    assert (two["text"], two["license"], two["url"]) == ("1 < 2", "mine", None)


def test_entries_come_once(site: Site, source: Any, read: Any) -> None:
    """Until they change: then they are a newer version, under the same key."""
    items = [("1", "/1", "one"), ("2", "/2", "two")]
    site.routes["/feed"] = lambda visit: visit.send(200, rss(*items))
    assert list(source().fetch()) == [1, 2]
    before = list(source().parts())
    assert list(source().fetch()) == []
    items[:1] = [("3", "/3", "three"), ("1", "/1", "one, corrected")]
    assert list(source().fetch()) == [1, 2]
    assert list(source().parts())[:1] == before
    documents, bad = read(_only(source(), 0))
    assert (texts(documents), bad) == ({"1": "one", "2": "two"}, [])
    documents, bad = read(_only(source(), 1))
    assert (texts(documents), bad) == ({"3": "three", "1": "one, corrected"}, [])


def _only(source: Any, number: int) -> Any:
    """The source with one of its parts."""
    part = list(source.parts())[number]
    source.parts = lambda: [part]
    return source


def test_conditional_requests(site: Site, source: Any) -> None:
    """By ETag and date; within `refresh` nothing is asked at all."""
    body = [rss(("1", "/1", "one"))]

    def route(visit: Visit) -> None:
        if visit.headers.get("If-None-Match") == f'"{len(body)}"':
            visit.send(304)
        else:
            visit.send(200, body[-1], ETag=f'"{len(body)}"', Last_Modified="Wed, 01 May 2024 10:00:00 GMT")

    site.routes["/feed"] = route
    counts = [list(source().fetch()) for _ in range(3)]
    body.append(rss(("1", "/1", "one"), ("2", "/2", "two")))
    counts.append(list(source().fetch()))
    assert (counts, len(site.asked)) == ([[1], [], [], [1]], 4)
    assert site.headers[1]["If-Modified-Since"] == "Wed, 01 May 2024 10:00:00 GMT"
    assert list(source(refresh="1h").fetch()) == []
    assert len(site.asked) == 4


def test_full_text(site: Site, source: Any, read: Any) -> None:
    """The page's text and title; a page that may come later is left to the next run, one that never will is not."""
    broken = [True]
    paragraph = "A sentence that is long enough to be the body of an article. " * 5
    site.routes |= {
        "/feed": lambda visit: visit.send(200, rss(*((n, f"{site.url}/{n}", "teaser") for n in "12345"))),
        "/1": lambda visit: visit.html(f"<nav>Menu</nav><article><h1>One</h1><p>{paragraph}</p></article>"),
        "/2": lambda visit: (
            visit.send(503) if broken else visit.html(f"<article><p>Late. {paragraph}</p></article>")
        ),
        "/3": lambda visit: visit.send(302, Location="http://169.254.169.254/"),
        "/4": lambda visit: visit.send(200, b"%PDF-1.4", Content_Type="application/pdf"),
    }
    fetching = source(full_text=True).fetch()
    with pytest.raises(
        FetchError, match=r"source 'news': .*/2: the server says 503 .*; the next run tries again"
    ):
        list(fetching)
    documents, bad = read(source())
    assert {key: text.split(".")[0] for key, text in texts(documents).items()} == {
        "1": "One\n\nA sentence that is long enough to be the body of an article"
    }
    assert documents[0]["title"] == "T 1"
    assert [(position.rpartition("#")[2], reason) for position, reason in bad] == [
        ("3", "private_address"),
        ("4", "wrong_format"),
        ("5", "http_status"),
    ]
    broken.clear()
    site.asked.clear()
    assert list(source(full_text=True).fetch()) == [1]
    assert site.asked == ["/feed", "/robots.txt", "/2"]
    assert texts(read(source())[0])["2"].startswith("Late.")


def test_robots(site: Site, source: Any, read: Any) -> None:
    """Of each server once a run, those that entries are redirected to as well; where it fails nothing is fetched."""
    page = f"<article><p>{'A sentence of the article. ' * 20}</p></article>"
    rules = b"User-agent: other\nDisallow: /\n\nUser-agent: *\nDisallow: /*.cgi$\nDisallow: /no\nAllow: /no/but"
    with Site(address="127.0.0.1") as other:
        links = ["/no/1", "/no/but/2", "/3.cgi", "/3.cgi?x", "/moved"]
        items = [(str(n), f"{site.url}{link}", "teaser") for n, link in enumerate(links)]
        feed = rss(*items, ("5", f"{other.url}/5", "teaser"))
        site.routes |= dict.fromkeys(("/no/1", "/no/but/2", "/3.cgi"), lambda visit: visit.html(page))
        site.routes |= {
            "/no/feed": lambda visit: visit.send(200, feed),
            "/moved": lambda visit: visit.send(302, Location=f"{other.url}/secret"),
            "/robots.txt": lambda visit: visit.send(200, rules),
        }
        other.routes = {path: lambda visit: visit.html(page) for path in ("/secret", "/5")}
        other.routes["/robots.txt"] = lambda visit: visit.send(503)
        options = {"urls": f"{site.url}/no/feed", "full_text": True, "retries": 0}
        with pytest.raises(FetchError, match=r"/robots.txt: .* 503 .*; without it nothing of this server is fetched"):
            list(source(**options).fetch())
        assert (other.asked, site.asked.count("/robots.txt")) == (["/robots.txt"], 1)
        documents, bad = read(source())
        assert sorted(texts(documents)) == ["1", "3"]
        forbidden = [("0", "robots"), ("2", "robots")]
        assert [(position.rpartition("#")[2], reason) for position, reason in bad] == forbidden
        other.routes["/robots.txt"] = lambda visit: visit.send(200, b"User-agent: curator\nDisallow: /secret")
        list(source(**options).fetch())
        documents, bad = read(source())
        assert (sorted(texts(documents)), len(bad)) == (["1", "3", "5"], 3)
        assert other.asked == ["/robots.txt", "/robots.txt", "/5"]
        assert not {"/no/1", "/3.cgi"} & set(site.asked)


def test_a_feed_that_fails_stops_no_other(site: Site, source: Any, read: Any) -> None:
    site.routes |= {
        "/html": lambda visit: visit.html("no feed"),
        "/gone": lambda visit: visit.send(410, b""),
        "/feed": lambda visit: visit.send(200, rss(("1", "/1", "one"))),
    }
    urls = [f"{site.url}/{path}" for path in ("gone", "html", "feed")]
    for _ in range(2):
        with pytest.raises(FetchError, match="/gone: the server says 410 Gone; the next run tries again"):
            list(source(urls=urls).fetch())
    documents, bad = read(source())
    assert (texts(documents), bad) == ({"1": "one"}, [(f"{site.url}/html", "bad_feed")])


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))


@pytest.mark.parametrize(
    ("feed", "reason"),
    [
        (b"", "bad_feed"),
        (b"\x00\xff\xfe", "bad_feed"),
        (b"/etc/passwd", "bad_feed"),
        (b"<a>" * 300_000, "feed_timeout"),
    ],
)
def test_what_is_no_feed(feed: bytes, reason: str) -> None:
    found = parsed(feed, "http://x/", "", 2.0)
    assert isinstance(found, Rejected)
    assert (found.position, found.reason) == ("http://x/", reason)


@pytest.mark.parametrize("entities", [ENTITIES, '<!ENTITY e9 SYSTEM "file:///etc/passwd">'])
def test_entities_of_a_feed(entities: str) -> None:
    """They are neither multiplied nor fetched."""
    feed = rss(("1", "/1", "&e9;")).replace(b"<rss", f"<!DOCTYPE rss [{entities}]><rss".encode())
    found = parsed(feed, "http://x/", "", 20.0)
    assert not isinstance(found, Rejected)
    assert all("root:" not in str(entry) and len(str(entry)) < 10_000 for entry in found)


def test_feeds_that_are_broken_but_readable() -> None:
    """What is no XML, as an ampersand by itself, costs no entry."""
    feed = rss(("1", "/1", "one"), ("2", "/2", "A & B")).replace(b"</channel></rss>", b"")
    found = parsed(feed, "http://x/", "text/html; charset=utf-8", 20.0)
    assert not isinstance(found, Rejected)
    assert [(entry["key"], entry["text"].split()[0]) for entry in found] == [
        ("http://x/#1", "one"),
        ("http://x/#2", "A"),
    ]


def test_feeds_that_are_files(tmp_path: Path, read: Any) -> None:
    (tmp_path / "a.xml").write_bytes(rss(("1", "/1", "one")))
    (tmp_path / "b.xml.gz").write_bytes(gzip.compress(rss(("1", "/1", "other"))))
    (tmp_path / "c.xml").write_bytes(b"nothing")
    source = Feed(**QUICK, path=str(tmp_path))
    assert list(source.fetch()) == []
    documents, bad = read(source)
    assert [(d["source_key"], d["text"]) for d in documents] == [("a.xml#1", "one"), ("b.xml.gz#1", "other")]
    assert bad == [("c.xml", "bad_feed")]


def test_killed_at_any_entry(site: Site, source: Any, read: Any, tmp_path: Path) -> None:
    """Pages that were stored are not fetched again."""

    def page(visit: Visit) -> None:
        time.sleep(0.005)
        visit.html(f"<article><p>This is the page at {visit.path}. {'It has words. ' * 20}</p></article>")

    numbers = [str(n) for n in range(30)]
    site.routes["/feed"] = lambda visit: visit.send(
        200, rss(*((n, f"{site.url}/{n}", "teaser") for n in numbers))
    )
    site.routes |= {f"/{n}": page for n in numbers}
    options = {"urls": f"{site.url}/feed", **QUICK, "full_text": True}
    kills = killed_until_done(Feed, options, tmp_path / "fetched", 12)
    assert kills == 2
    pages = [path for path in site.asked if path not in ("/feed", "/robots.txt")]
    assert len(pages) <= 30 + kills
    documents, bad = read(source())
    assert (sorted(texts(documents), key=int), bad) == (numbers, [])


def test_mistakes(source: Any) -> None:
    with pytest.raises(UsageError, match="source 'news' needs the option urls, or path"):
        list(source(urls=[]).parts())
    with pytest.raises(UsageError, match="source 'news', refresh: 'hourly'"):
        list(source(refresh="hourly").fetch())
