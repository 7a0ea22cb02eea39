"""The sources that fetch, in whole runs: what the corpus has of them, and what it must not have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from curator import UsageError
from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.run import Report, run
from curator_plugins.sources.crawl import Crawl
from tests.conftest import Workshop
from tests.plugins.sources.servers import Site, Visit

QUICK = {"allow_private": ["127.0.0.1/32"], "per_second": 1000.0, "backoff": 0.01, "retries": 1}
SENTENCES = "This page has a paragraph that is long enough to be taken for its body. " * 5


class Web:
    """A site with an API, a feed and pages, and a recipe of all three."""

    def __init__(self, site: Site, workshop: Workshop) -> None:
        self.site, self.workshop = site, workshop
        self.versions = {"api": "first", "feed": "first", "page": "first"}
        site.routes |= {"/api": self.api, "/feed": self.feed, "/1": self.page, "/2": self.page}

    def api(self, visit: Visit) -> None:
        assert visit.headers["Authorization"] == "Bearer hunter2hunter2"
        page = int(visit.query["page"])
        items = [
            {"id": n, "text": f"{self.versions['api']} {n}"} for n in (2 * page, 2 * page + 1) if page < 3
        ]
        visit.json({"items": items, "token": "hunter2hunter2"})

    def feed(self, visit: Visit) -> None:
        item = (
            f"<item><guid>1</guid><title>T</title><description>{self.versions['feed']}</description></item>"
        )
        visit.send(200, f'<rss version="2.0"><channel><title>F</title>{item}</channel></rss>'.encode())

    def page(self, visit: Visit) -> None:
        visit.html(f"<article><p>{self.versions['page']} {visit.path}. {SENTENCES}</p></article>")

    def run(self, refresh: str, **more: str) -> Report:
        url = self.site.url
        headers = {"Authorization": "Bearer ${TOKEN}"}
        api = {"url": f"{url}/api", "headers": headers, "records": "items", "page": {"param": "page"}}
        crawl = {"urls": [f"{url}/1", f"{url}/2", f"{url}/3"]}
        sources = [
            {plugin: {**QUICK, "name": plugin, "refresh": refresh, **more, **options}}
            for plugin, options in {"http_api": api, "feed": {"urls": f"{url}/feed"}, "crawl": crawl}.items()
        ]
        return run(self.workshop.recipe([], sources), InlineEngine())

    def texts(self) -> dict[str, str]:
        sql = "SELECT source || ' ' || source_key, substring(text, 1, 8) FROM documents JOIN texts USING (doc_id)"
        return dict(Corpus.existing(self.workshop.corpus_folder).sql(sql).rows())


def test_runs_over_the_web(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new or changed is brought by a later run, under the same keys; no secret is anywhere in the corpus."""
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    with Site() as site:
        web = Web(site, workshop)
        assert web.run("1h").failed == []
        keys = [f"http_api {n}" for n in range(2, 6)]
        keys += [f"feed {site.url}/1", f"crawl {site.url}/1", f"crawl {site.url}/2"]
        first = web.texts()
        assert sorted(first) == sorted(keys)
        assert set(first.values()) == {
            "first",
            "first 2",
            "first 3",
            "first 4",
            "first 5",
            "first /1",
            "first /2",
        }
        asked = len(site.asked)
        assert web.run("1h").counts["documents"] == 0
        assert len(site.asked) == asked
        web.versions = dict.fromkeys(web.versions, "other")
        report = web.run("0s")
        assert (report.failed, report.changes.vanished) == ([], {})
        other = {key: text.replace("first", "other") for key, text in first.items()}
        assert web.texts() == other
        asked = len(site.asked)
        assert web.run("1h", license="CC0").counts["documents"] == 14  # all versions are read again
        assert (web.texts(), len(site.asked)) == (other, asked)
        corpus = Corpus.existing(workshop.corpus_folder)
        reasons: list[Any] = corpus.sql(
            "SELECT reason, source FROM quarantine WHERE reason <> 'superseded_key'"
        ).rows()
        assert sorted(set(reasons)) == [("skipped_status", "crawl"), ("skipped_warcinfo", "crawl")]
    held = [path for path in Path(workshop.corpus_folder).rglob("*") if path.is_file()]
    assert len(held) > 10
    assert [path for path in held if b"hunter2hunter2" in path.read_bytes()] == []


def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what to install."""
    source = Crawl(name="x", urls=["http://x/"])
    source.folder = str(tmp_path)  # type: ignore[misc]  # the host sets it so
    monkeypatch.setitem(sys.modules, "scrapy", None)
    message = r"source 'x' needs the package scrapy: pip install 'corpus-curator\[crawl\]'"
    with pytest.raises(UsageError, match=message):
        list(source.fetch())
