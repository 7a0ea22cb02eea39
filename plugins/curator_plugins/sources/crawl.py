"""Pages of the web: those that are named, those of sitemaps, and on request those that they link to.

Scrapy crawls; ours are the limits, the addresses that may be connected to, and what is stored. It obeys
robots.txt (where that cannot be had nothing is fetched, as RFC 9309 has it), waits between requests to one
host, longer where the host is slow, and links are followed only with `follow: same-host`. Pages are stored as
WARC and read as the source `warc` reads them, errors of servers included.

A walk goes over all pages once. A killed one goes on with the pages that it lacks; one that is complete is
made again when it is older than `refresh`, with conditional requests: a page that answers 304, or with the
same bytes, is not stored again; one that changed is, and takes the place of the older. A page that did not
come because of the network or the server is tried by three runs, and then quarantined; one that robots.txt
forbids, that is too large or at a private address, at once.

Cost, of 1,000 pages of 10 kB on loopback: 5.8 s of the processor, where a spider of Scrapy's that stores
nothing takes 3.3; both take 0.9 to start (benchmarks/fetching.py).

Scrapy is the extra `crawl`: 63 MB, most of them Twisted and cryptography. Rejected: a crawler of our own on
httpx (queues, politeness and robots.txt are Scrapy's trade), and Scrapy's JOBDIR, which keeps requests by
pickle and loses those in flight in a kill.

Scrapy holds headers in memory and has no limit but on the length of a line: they are bounded by `timeout`, and
the process by 2 GiB.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from curator import NothingToRead, Part, Rejected, UsageError, hookimpl
from curator.errors import FetchError
from curator.files import unchanged
from curator.lines import lines
from curator_plugins.sources.crawled import Crawled
from curator_plugins.sources.extraction import PageSource
from curator_plugins.sources.online import OnlineSource, is_over, span
from curator_plugins.sources.pagelog import PageLog

LEAVING = 10  #: seconds that the process has to end


class Crawl(OnlineSource, PageSource):
    """Pages of the web, by their addresses or by sitemaps."""

    version = 1
    without_effect = (
        *OnlineSource.without_effect,
        *PageSource.without_effect,
        *("urls", "sitemaps", "follow", "max_depth", "max_pages", "max_walk_bytes", "concurrency"),
    )
    urls: Annotated[list[str], "addresses of pages"] = []
    sitemaps: Annotated[
        list[str], "addresses of sitemaps, of indexes of them, or of robots.txt that name some"
    ] = []
    follow: Annotated[Literal["same-host"] | None, "follow links to pages of the hosts that are named"] = None
    max_depth: Annotated[int, "links from a page that is named, with follow"] = 3
    max_pages: Annotated[int, "pages of one walk"] = 100_000
    max_walk_bytes: Annotated[int, "bytes of pages that one run fetches"] = 10 << 30
    per_second: Annotated[float, "requests per second to one host, at most"] = 1.0
    concurrency: Annotated[int, "requests at a time to one host"] = 2
    max_bytes: Annotated[int, "bytes of one page, as sent and decompressed"] = 16 << 20
    retries: Annotated[int, "times that what failed is tried again"] = 2
    mime: Annotated[list[str], "types of pages that are taken, by their bytes"] = ["text/html"]
    refresh: Annotated[str | None, "walk again when the last walk is older, as 12h or 7d; null: never"] = "1d"

    def fetch(self) -> Iterator[int]:
        self._check()
        with PageLog(self.folder) as pages:
            last = pages.last()
        if last and "finished" in last and not is_over(last["finished"], self.refresh, self.name):
            return
        path = os.pathsep.join(filter(None, sys.path))
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [sys.executable, "-P", "-m", "curator_plugins.sources.crawling"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": path},
            ) as process,
        ):
            problems: list[str] = []
            try:
                assert process.stdin
                assert process.stdout
                process.stdin.write(json.dumps(self._asked()).encode() + b"\n")
                process.stdin.flush()
                for line in process.stdout:
                    said = json.loads(line)
                    problems = said.get("problems", problems)
                    yield said["pages"]
            finally:
                _end(process)
                with Crawled(self.folder):  # which closes the files of a process that was stopped
                    pass
            if process.returncode:
                errors.seek(0)
                tail = errors.read().decode(errors="replace").strip()[-500:]
                raise FetchError(
                    f"source {self.name!r}: the crawl ended with exit code {process.returncode}: {tail}"
                )
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise FetchError(f"source {self.name!r}: {problems[0]}{more}; the next run tries again")

    def parts(self) -> Iterator[Part]:
        found = [self.here(part) for part in self._reader.parts()] if self._files() else []
        for file in PageLog(self.folder).files():
            with open(file, "rb") as log:
                if b'"rejected":' in log.read():
                    found += self.local(file)
        if not found:
            raise NothingToRead(f"source {self.name!r}: nothing was fetched")
        yield from found

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        part = self.there(part)
        if not part.uri.endswith(".jsonl"):
            for record in self._reader.read(part):
                if isinstance(record, dict):  # a page that comes again is a newer version of it
                    record[self.id or "id"] = record.get(self.url_field)
                yield record
            return
        with unchanged(part):
            for _, line in lines(part.uri, part.start or 0, part.stop):
                about = {} if isinstance(line, Rejected) else json.loads(line)
                if "rejected" in about:
                    yield Rejected(about["url"], *about["rejected"])

    def _files(self) -> list[str]:
        names = sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []
        return [os.path.join(self.folder, name) for name in names if name.endswith(".warc.gz")]

    @cached_property
    def _reader(self) -> Any:
        from curator_plugins.sources.warc import Warc

        shared = set(Warc.options()) & set(self.options())
        pages = os.path.join(glob.escape(self.folder), "*.warc.gz")  # a folder's *.jsonl would be taken for archives, too
        return Warc(**{"path": pages, **{name: getattr(self, name) for name in shared}})

    def _asked(self) -> dict[str, Any]:
        options = (
            *("folder", "urls", "sitemaps", "max_pages", "max_walk_bytes", "allow_private", "per_second"),
            *("concurrency", "timeout", "max_bytes", "redirects", "retries", "longest_wait"),
        )
        asked = {name: getattr(self, name) for name in options}
        return {**asked, "agent": self.agent(), "max_depth": self.max_depth if self.follow else 0}

    def _check(self) -> None:
        self.check()
        self.addresses()
        if self.refresh:
            span(self.refresh, self.name)
        for url in (*self.urls, *self.sitemaps):
            if not url.startswith(("http://", "https://")) or "@" in url.split("/")[2]:
                raise UsageError(
                    f"source {self.name!r}: {url!r} is no address of http:// or https:// without a user"
                )
        if not self.urls and not self.sitemaps:
            raise UsageError(f"source {self.name!r} needs the option urls, or sitemaps")
        if importlib.util.find_spec("scrapy") is None:
            raise UsageError(
                f"source {self.name!r} needs the package scrapy: pip install 'corpus-curator[crawl]'"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process ends with its input."""
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(LEAVING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@hookimpl
def register_sources(register: Any) -> None:
    register(Crawl)
