"""JSON APIs: every way of paging, walks that are resumed, and secrets that stay secret."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from curator import UsageError
from curator.errors import FetchError
from curator_plugins.sources.http_api import HttpApi
from curator_plugins.sources.online import now
from tests.plugins.sources.killing import killed_until_done
from tests.plugins.sources.servers import Site, Visit

QUICK: dict[str, Any] = {
    "name": "api",
    "text": "body.content",
    "records": "data.items",
    "allow_private": ["127.0.0.1/32"],
    "timeout": 1.0,
    "backoff": 0.01,
    "retries": 1,
    "per_second": 1e6,
}


def apis(site: Site, folder: Path) -> Callable[..., HttpApi]:
    """Makes sources, by their options, that fetch from the site into one folder."""

    def source(**options: Any) -> HttpApi:
        made = HttpApi(**{"url": f"{site.url}/posts", **QUICK, **options})
        made.folder = str(folder)  # type: ignore[misc]  # the host sets it so
        return made

    return source


@pytest.fixture
def source(site: Site, tmp_path: Path) -> Callable[..., HttpApi]:
    return apis(site, tmp_path / "fetched")


def post(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "body": {"content": f"post {number}"}, **fields}


def posts(*numbers: int) -> dict[str, Any]:
    return {"data": {"items": [post(number) for number in numbers]}}


def numbered(total: int, size: int = 10) -> Callable[[Visit], None]:
    """`?page=1&n=10`, empty pages behind the last."""

    def route(visit: Visit) -> None:
        assert visit.query.get("n", str(size)) == str(size)
        first = (int(visit.query["page"]) - 1) * size + 1
        visit.json(posts(*range(first, min(first + size, total + 1))))

    return route


def ids(documents: list[dict[str, Any]]) -> list[int]:
    return [int(document["source_key"]) for document in documents]


PAGE = {"param": "page", "size_param": "n", "size": 10}


def test_numbered_pages(site: Site, source: Any, read: Any) -> None:
    """Up to the empty one; each piece is counted, and reading needs no server."""
    site.routes["/posts"] = numbered(25)
    api = source(page=PAGE, params={"lang": "en"})
    assert list(api.fetch()) == [10, 20, 25, 25]
    assert site.asked == [f"/posts?lang=en&page={page}&n=10" for page in (1, 2, 3, 4)]
    site.__exit__(None, None, None)
    documents, bad = read(api)
    assert (ids(documents), bad) == (list(range(1, 26)), [])
    assert (documents[4]["text"], documents[4]["metadata"]) == ("post 5", '{"body":{}}')
    assert abs(documents[0]["retrieved"] - now()) < timedelta(minutes=1)


def test_offsets(site: Site, source: Any, read: Any) -> None:
    """By the size that is asked for, or by how many came."""

    def route(visit: Visit) -> None:
        first = int(visit.query["from"])
        visit.json([post(number) for number in range(first, min(first + 4, 10))])

    site.routes["/posts"] = route
    for size in ({"size_param": "limit", "size": 4}, {}):
        api = source(records="", offset={"param": "from", **size})
        assert list(api.fetch())[-1] == 10
        assert ids(read(api)[0]) == list(range(10))
    starts = ["0&limit=4", "4&limit=4", "8&limit=4", "12&limit=4", "0", "4", "8", "10"]
    assert [path.partition("from=")[2] for path in site.asked] == starts


def test_cursors(site: Site, source: Any, read: Any) -> None:
    """In the query, or in the body of a POST; a page without records may lead on."""
    pages = {None: ([1, 2], "b c&d"), "b c&d": ([], 7), 7: ([3], None)}

    def route(visit: Visit) -> None:
        asked = json.loads(visit.posted) if visit.posted else visit.query
        after = asked.get("after")
        numbers, following = pages[int(after) if after == "7" else after]
        visit.json(posts(*numbers) | {"meta": {"next": following}, "q": asked.get("q")})

    site.routes["/posts"] = route
    for options in ({"params": {"q": "x"}}, {"body": {"q": "x"}}):
        api = source(cursor={"param": "after", "path": "meta.next"}, **options)
        assert list(api.fetch()) == [2, 2, 3]
        assert ids(read(api)[0]) == [1, 2, 3]


def test_links(site: Site, source: Any, read: Any) -> None:
    """In the header, or at a path of the page; they may be relative, and are asked for as they are."""

    def route(visit: Visit) -> None:
        page = int(visit.query.get("p", 1))
        following = f"/posts?p={page + 1}&x=%20" if page < 3 else None
        links = f'<{following}>; rel="next", </>; rel="first"' if following else '</>; rel="first"'
        visit.json({**posts(page), "links": [{"next": following}]}, Link=links)

    site.routes["/posts"] = route
    for following in ("link", "links.-1.next"):
        site.asked.clear()
        api = source(next=following)
        assert list(api.fetch()) == [1, 2, 3]
        assert ids(read(api)[0]) == [1, 2, 3]
        assert site.asked == ["/posts", "/posts?p=2&x=%20", "/posts?p=3&x=%20"]


def test_the_end_of_numbered_pages_may_be_a_404(site: Site, source: Any, read: Any) -> None:
    """Behind the first page; there it is an error."""
    page = numbered(20)
    site.routes["/posts"] = lambda visit: page(visit) if int(visit.query["page"]) < 3 else visit.send(404)
    api = source(page=PAGE)
    assert list(api.fetch()) == [10, 20, 20]
    assert (len(read(api)[0]), list(api.fetch())) == (20, [])
    with pytest.raises(FetchError, match=r"/none\?page=1&n=10: the server says 404 Not Found: nothing here"):
        list(source(url=f"{site.url}/none", page=PAGE).fetch())


def test_what_cannot_be_reached_leaves_what_is_there(site: Site, source: Any, read: Any) -> None:
    """The next run goes on, and no page is asked for twice."""
    page, broken = numbered(30), [True]
    site.routes["/posts"] = lambda visit: (
        visit.send(503) if broken and visit.query["page"] == "3" else page(visit)
    )
    with pytest.raises(FetchError, match=r"page=3.*503 Service Unavailable, 2 times"):
        list(source(page=PAGE).fetch())
    assert len(read(source(page=PAGE))[0]) == 20
    before = list(source(page=PAGE).parts())
    broken.clear()
    site.asked.clear()
    assert list(source(page=PAGE).fetch()) == [10, 10]
    assert [path.partition("&")[0] for path in site.asked] == ["/posts?page=3", "/posts?page=4"]
    after = source(page=PAGE)
    assert ids(read(after)[0]) == list(range(1, 31))
    assert list(after.parts())[: len(before)] == before  # what was read is not read again
    assert list(after.fetch()) == []


def test_killed_at_any_page(site: Site, source: Any, read: Any, tmp_path: Path) -> None:
    """Every page that was announced is asked for once, and the one in flight at most twice."""
    page = numbered(200)

    def slow(visit: Visit) -> None:
        time.sleep(0.005)
        page(visit)

    site.routes["/posts"] = slow
    options = {"url": f"{site.url}/posts", **QUICK, "page": PAGE}
    kills = killed_until_done(HttpApi, options, tmp_path / "fetched", 6)
    assert kills >= 2
    asked = [path.partition("&")[0] for path in site.asked]
    assert sorted(set(asked), key=asked.index) == [f"/posts?page={n}" for n in range(1, 22)]
    assert len(asked) <= 21 + kills
    documents, bad = read(source(page=PAGE))
    assert (ids(documents), bad) == (list(range(1, 201)), [])


def test_walking_again(site: Site, source: Any, read: Any) -> None:
    """Only when the last walk is older than `refresh`; other parameters are another walk."""
    site.routes["/posts"] = numbered(5)
    assert list(source(page=PAGE).fetch()) == [5, 5]
    assert list(source(page=PAGE).fetch()) == []
    assert list(source(page=PAGE, refresh="1h").fetch()) == []
    assert list(source(page=PAGE, refresh="0s").fetch()) == [5, 5]
    assert list(source(page=PAGE, params={"q": "y"}).fetch()) == [5, 5]
    documents, bad = read(source(page=PAGE))
    assert (ids(documents), [reason for _, reason in bad]) == ([1, 2, 3, 4, 5], ["duplicate_key"] * 5)
    with pytest.raises(UsageError, match="refresh: 'daily': a number and s, m, h, d or w, as 12h"):
        list(source(page=PAGE, refresh="daily").fetch())


def test_only_what_changed(site: Site, source: Any) -> None:
    """A later walk asks from the largest value that any page held, in time and not in spelling."""
    stamps = ["2024-05-01T10:00:00Z", "2024-05-01T10:30:00+01:00", "2024-04-30"]
    site.routes["/posts"] = lambda visit: visit.json(
        {"data": {"items": [post(n, at={"updated": stamp}) for n, stamp in enumerate(stamps)]}}
    )
    options = {"since": {"param": "after", "field": "at.updated", "start": "2020-01-01"}}
    for _ in range(2):
        list(source(**options).fetch())
    stamps.append("2024-06-01T00:00:00Z")
    for _ in range(2):
        list(source(**options).fetch())
    starts = [
        "2020-01-01",
        "2024-05-01T10%3A00%3A00Z",
        "2024-05-01T10%3A00%3A00Z",
        "2024-06-01T00%3A00%3A00Z",
    ]
    assert site.asked == [f"/posts?after={start}" for start in starts]
    assert list(source(refresh="1d", **options).fetch()) == []


def test_secrets_are_neither_stored_nor_shown(
    site: Site, source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where the server repeats them; a resumed walk sends them again."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("TOKEN", "s3cr+t/value")
    monkeypatch.setenv("OTHER", "not-for-the-server")
    broken = [True]

    def route(visit: Visit) -> None:
        page = int(visit.query.get("p", 1))
        assert (visit.headers["X-Key"], visit.query["key"]) == ("s3cr+t/value", "s3cr+t/value")
        if page == 3 and broken:
            visit.send(400, b"bad key s3cr+t/value")
            return
        own = f"/posts?p={page + 1}&echo=s3cr%2Bt%2Fvalue&x=${{OTHER}}"
        visit.json({**posts(page), "you": dict(visit.headers), "next": own if page < 4 else None})

    site.routes["/posts"] = route
    options = {"params": {"key": "${TOKEN}"}, "headers": {"X-Key": "${TOKEN}"}, "next": "next"}
    with pytest.raises(FetchError) as failed:
        list(source(**options).fetch())
    assert "bad key ${TOKEN}" in str(failed.value)
    broken.clear()
    assert list(source(**options).fetch()) == [1, 2]
    assert all("not-for-the-server" not in path for path in site.asked)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl")).decode()
    for form in ("s3cr+t/value", "s3cr%2Bt%2Fvalue", "s3cr%2Bt/value", "s3cr+t\\/value"):
        assert form not in stored + caplog.text + str(failed.value)
    assert orjson.loads(stored.splitlines()[0])["url"] == f"{site.url}/posts?key=${{TOKEN}}"


def test_secrets_go_to_no_other_site(
    site: Site, source: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither headers nor parameters where a page leads elsewhere; a body is sent nowhere else at all."""
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    with Site({"/posts": lambda visit: visit.json(posts(2))}) as other:
        site.routes["/posts"] = lambda visit: visit.json({**posts(1), "next": f"{other.url}/posts?p=2"})
        secrets = {"params": {"key": "${TOKEN}"}, "headers": {"X-Key": "${TOKEN}"}}
        assert list(source(next="next", **secrets).fetch()) == [1, 2]
        assert site.headers[0]["X-Key"] == "hunter2hunter2"
        assert (other.asked, "X-Key" in other.headers[0]) == (["/posts?p=2"], False)
        site.routes["/moved"] = lambda visit: visit.send(307, Location=f"{other.url}/posts")
        with pytest.raises(FetchError, match="/moved: its body is not sent to http"):
            list(source(url=f"{site.url}/moved", body={"key": "${TOKEN}"}).fetch())
        assert len(other.asked) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page": PAGE, "next": "link"}, "page and next are given; an API pages in one way"),
        ({"url": "ftp://x/"}, "url: 'ftp://x/' is no address of http:// or https://"),
        (
            {"headers": {"A": "${NO_SUCH}"}},
            r"source 'api': \$\{NO_SUCH\}: this environment variable is not set",
        ),
        (
            {"allow_private": ["here"]},
            "source 'api': allow_private: 'here' does not appear to be an IPv4 or IPv6",
        ),
    ],
)
def test_mistakes(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(source(**options).fetch())


def test_nothing_fetched(source: Any) -> None:
    with pytest.raises(UsageError, match="source 'api': nothing was fetched from http://127"):
        list(source().parts())
