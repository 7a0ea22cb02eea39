"""Where walks over the pages of an API end, and where they only stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curator.errors import FetchError
from curator_plugins.sources.http_api import HttpApi
from tests.plugins.sources.servers import Site, Visit
from tests.plugins.sources.test_http_api import PAGE, apis, ids, numbered, post, posts


@pytest.fixture
def source(site: Site, tmp_path: Path) -> Callable[..., HttpApi]:
    return apis(site, tmp_path / "fetched")


def ended(bad: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The quarantine by the number of the page."""
    return [(position.partition("page=")[2], reason) for position, reason in bad]


def test_walks_that_would_not_end(site: Site, source: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Links and cursors that lead back, a server that ignores the page, and `max_pages`."""
    site.routes |= {
        "/self": lambda visit: visit.json(posts(1), Link='</self>; rel="next"'),
        "/ring": lambda visit: visit.json(
            posts(int(visit.query.get("p", 1))),
            Link=f'</ring?p={int(visit.query.get("p", 1)) % 3 + 1}>; rel="next"',
        ),
        "/cursor": lambda visit: visit.json(posts(len(site.asked)) | {"next": "same"}),
        "/ignores": lambda visit: visit.json(posts(1, 2)),
        "/always": lambda visit: visit.json(posts(len(site.asked))),
        "/empty": lambda visit: visit.json(posts() | {"next": len(site.asked)}),
    }
    cases = [
        ("/self", {"next": "link"}, 1, "leads back"),
        ("/ring", {"next": "link"}, 4, "leads back"),
        ("/cursor", {"cursor": {"param": "after", "path": "next"}}, 2, "leads back"),
        ("/ignores", {"page": PAGE}, 2, "the same records as the page before, so the walk ends"),
        ("/always", {"page": PAGE, "max_pages": 5}, 5, "max_pages: 5 are read, and there are more"),
        ("/empty", {"cursor": {"param": "after", "path": "next"}}, 2, ""),
    ]
    for path, options, asked, why in cases:
        site.asked.clear()
        caplog.clear()
        list(source(url=site.url + path, **options).fetch())
        assert (path, len(site.asked)) == (path, asked)
        assert why in caplog.text
        list(source(url=site.url + path, **options).fetch())
        assert len(site.asked) == asked  # the walk is over: it is not made again


def test_a_server_that_ignores_the_page(site: Site, source: Any, read: Any) -> None:
    """Its second page is one row of the quarantine, and none of its records come again."""
    site.routes["/posts"] = lambda visit: visit.json(posts(1, 2))
    for options in ({"page": {"param": "page"}}, {"offset": {"param": "page"}}):
        api = source(**options)
        assert list(api.fetch()) == [2, 2]
        documents, bad = read(api)
        assert (ids(documents), ended(bad)) == ([1, 2], [("2", "same_page")])


def test_pages_that_cannot_be_read(site: Site, source: Any, read: Any) -> None:
    """Up to two in a row are passed over when a page follows; three stop the walk until the next run."""
    good = numbered(90)
    broken: dict[str, Callable[[Visit], None]] = {
        "6": lambda visit: visit.send(200, b'{"data": {"items": [{"id": 1, "body"'),
        "7": lambda visit: visit.send(200, b"\xff\xfe"),
        "8": lambda visit: visit.json({"data": {"items": {"id": 5}}}),
    }
    bad: dict[str, Callable[[Visit], None]] = {
        **broken,
        "2": lambda visit: visit.html("maintenance"),
        "3": lambda visit: visit.json({"error": "no"}),
        "5": lambda visit: visit.json({"data": {"items": [1, None, "x", post(9)]}}),
    }
    site.routes["/posts"] = lambda visit: bad.get(visit.query["page"], good)(visit)
    api = source(page={"param": "page"})
    for first in (1, 6):  # what is there is not asked for again
        site.asked.clear()
        with pytest.raises(
            FetchError, match=r"page=6: no JSON but no type.*; the next run asks for it again"
        ):
            list(api.fetch())
        assert [int(path.rpartition("=")[2]) for path in site.asked] == list(range(first, 9))
    documents, rejected = read(api)
    assert ids(documents) == [*range(1, 11), *range(31, 41)]
    passed = [("2", "bad_json"), ("3", "no_records"), *((f"5#{n}", "bad_record") for n in range(3))]
    assert ended(rejected) == [*passed, ("5#3", "duplicate_key")]
    for number in broken:
        del bad[number]
    assert list(api.fetch()) == [10, 20, 30, 40, 40]
    assert ids(read(api)[0])[20:] == list(range(51, 91))


@pytest.mark.parametrize("end", [lambda visit: visit.send(404), lambda visit: visit.json(posts())])
def test_a_walk_does_not_end_on_a_page_that_cannot_be_read(
    site: Site, source: Any, read: Any, end: Callable[[Visit], None]
) -> None:
    well: list[int] = []
    routes = {
        "1": lambda visit: visit.json(posts(1)),
        "2": lambda visit: visit.json(posts(2)) if well else visit.html("log in"),
    }
    site.routes["/posts"] = lambda visit: routes.get(visit.query["page"], end)(visit)
    api = source(page={"param": "page"})
    with pytest.raises(FetchError, match=r"page=2: no JSON but text/html.*log in.*max_pages: 1 says so"):
        list(api.fetch())
    assert list(source(page={"param": "page"}, max_pages=1).fetch()) == []
    well.append(1)
    assert list(api.fetch()) == [1, 1]
    assert (read(api)[1], ids(read(api)[0]), list(api.fetch())) == ([], [1, 2], [])


def test_a_first_page_that_cannot_be_read(
    site: Site, source: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is told of at once, without secrets, and a corrected recipe goes on; another list is another walk."""
    monkeypatch.setenv("KEY", "hunter2hunter2")
    page = numbered(15)
    site.routes["/posts"] = page
    options = {"page": {"param": "page"}, "params": {"key": "${KEY}"}}
    with pytest.raises(FetchError) as wrong:
        list(source(records="items", **options).fetch())
    assert str(wrong.value) == (
        f"source 'api': {site.url}/posts?key=${{KEY}}&page=1: records: 'items' names no list of records; "
        "the page is an object of 'data' with lists at data.items; the next run asks for it again"
    )
    assert len(site.asked) == 1
    site.routes["/posts"] = lambda visit: visit.html(f"log in, {visit.query['key']}")
    with pytest.raises(
        FetchError, match=r"page=1: no JSON but text/html; charset=utf-8: .*log in, \$\{KEY\}"
    ):
        list(source(**options).fetch())
    site.routes["/posts"] = lambda visit: visit.json({**posts(*range(len(visit.query["page"]))), "other": []})
    assert list(source(records="other", **options).fetch()) == [0]
    site.routes["/posts"] = page
    api = source(**options)
    assert list(api.fetch()) == [10, 15, 15]
    documents, bad = read(api)
    assert (ids(documents), bad) == (list(range(16)), [])


def test_a_broken_page_with_the_next_cursor_is_tried_by_the_next_run(
    site: Site, source: Any, read: Any
) -> None:
    well: list[int] = []

    def route(visit: Visit) -> None:
        if "after" not in visit.query:
            visit.json(posts(1) | {"next": 2})
        elif well:
            visit.json(posts(*well))
        else:
            visit.html("maintenance")

    site.routes["/posts"] = route
    api = source(cursor={"param": "after", "path": "next"})
    fetching = api.fetch()
    assert next(fetching) == 1
    with pytest.raises(FetchError, match=r"after=2: no JSON but text/html.*the next run asks for it again"):
        next(fetching)
    well.append(5)
    assert list(api.fetch()) == [1]
    assert (ids(read(api)[0]), read(api)[1]) == ([1, 5], [])
