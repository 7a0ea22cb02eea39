"""The crawl itself, in a process of its own: Scrapy's reactor cannot be started twice, and ends with the
process.

Reads one line of JSON, the options, from its standard input, and ends with it, so with its parent. Writes a
line of JSON after each page that is safely on disk, and at the end what went wrong.
`curator_plugins.sources.crawl` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import xxhash
from scrapy import Request, signals
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import SitemapSpider
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from zope.interface import implementer

from curator_plugins.sources.addresses import Addresses, refusal
from curator_plugins.sources.crawled import Crawled
from curator_plugins.sources.online import now

MEMORY = 2 << 30  #: bytes that the process may have (on Linux)
DISALLOW = b"User-agent: *\nDisallow: /"
TRIES = 3  #: runs that try a page which may come later


class Hosts:
    """What is known of hosts: why they were refused, and why their robots.txt cannot be had."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.without_robots: dict[str, str] = {}


@implementer(IHostnameResolver)
class GuardedResolver:
    """Every connection of Scrapy's gets its address here, those to plain addresses too; what is refused has none."""

    def __init__(self, crawler: Any, reactor: Any) -> None:
        self.reactor, self.inner = reactor, reactor.nameResolver
        self.addresses = Addresses(crawler.settings["ALLOW_PRIVATE"])
        self.hosts: Hosts = crawler.settings["HOSTS"]

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> GuardedResolver:
        return cls(crawler, reactor)

    def install_on_reactor(self) -> None:
        self.reactor.installNameResolver(self)

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *arguments: Any, **options: Any) -> Any:
        receiver = _Checked(resolutionReceiver, hostName, self)
        return self.inner.resolveHostName(receiver, hostName, *arguments, **options)


@implementer(IResolutionReceiver)
class _Checked:
    """Hands the addresses on, or none of them where one is forbidden."""

    def __init__(self, receiver: Any, host: str, resolver: GuardedResolver) -> None:
        self.receiver, self.host, self.resolver = receiver, host, resolver
        self.found: list[Any] = []
        self.resolutionBegan = receiver.resolutionBegan

    def addressResolved(self, address: Any) -> None:
        self.found.append(address)

    def resolutionComplete(self) -> None:
        forbidden = [a.host for a in self.found if not self.resolver.addresses.allows(a.host)]
        if forbidden:
            self.resolver.hosts.refused[self.host] = refusal(self.host, forbidden[0])
        for address in () if forbidden else self.found:
            self.receiver.addressResolved(address)
        self.receiver.resolutionComplete()


class Robots:
    """Where robots.txt cannot be had, nothing is allowed (RFC 9309); Scrapy would allow all."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    @classmethod
    def from_crawler(cls, crawler: Any) -> Robots:
        return cls(crawler.settings["HOSTS"])

    def process_response(self, request: Request, response: Response) -> Response:
        if not _asks_for_robots(request) or (response.status < 500 and response.status != 429):
            return response
        return self._nothing(request, f"robots.txt: the server says {response.status}")

    def process_exception(self, request: Request, exception: Exception) -> Response | None:
        if not _asks_for_robots(request) or isinstance(exception, IgnoreRequest):
            return None
        return self._nothing(request, f"robots.txt cannot be had: {exception}")

    def _nothing(self, request: Request, why: str) -> Response:
        self.hosts.without_robots[urlparse_cached(request).netloc] = why
        return Response(request.url, body=DISALLOW)


def _asks_for_robots(request: Request) -> bool:
    return urlsplit(request.url).path == "/robots.txt" and bool(request.meta.get("dont_obey_robotstxt"))


class Patience:
    """Retry-After: the host is asked no sooner; AutoThrottle shortens the wait again when it answers well."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Any) -> Patience:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        asked = (response.headers.get("Retry-After") or b"").strip()
        if response.status in (429, 503) and asked.isdigit():
            slot = self.crawler.engine.downloader.slots.get(request.meta.get("download_slot"))
            if slot:
                longest = self.crawler.settings.getfloat("LONGEST_WAIT")
                slot.delay = max(slot.delay, min(float(asked[:9]), longest))
        return response


class Prepared:
    """Makes the requests of callbacks conditional, and leaves out what this walk has already."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Any) -> Prepared:
        return cls(crawler)

    async def process_spider_output(self, response: Response, result: Any) -> AsyncIterator[Any]:
        spider, count = self.crawler.spider, 0
        async for request in result:
            count += 1
            for prepared in spider.prepared(request):
                yield prepared
        if not count and "page" not in response.meta:
            spider.problems.append(f"{response.url}: no sitemap, or an empty one (status {response.status})")

    def process_spider_exception(self, response: Response, exception: Exception) -> list[Any]:
        if "page" in response.meta:
            raise exception
        self.crawler.spider.problems.append(f"{response.url}: no sitemap ({exception})")
        return []


class Pages(SitemapSpider):
    """Fetches pages and hands them to `crawled`, which stores them."""

    name = "curator"
    sitemap_rules = [("", "page")]

    def __init__(self, options: dict[str, Any], crawled: Crawled) -> None:
        super().__init__(sitemap_urls=options["sitemaps"])
        self.options, self.crawled = options, crawled
        self.hosts = {urlsplit(url).netloc for url in (*options["urls"], *options["sitemaps"])}
        self.problems: list[str] = []
        self.links = LinkExtractor()
        self.asked = 0

    @classmethod
    def from_crawler(cls, crawler: Any, *arguments: Any, **options: Any) -> Pages:
        spider: Pages = super().from_crawler(crawler, *arguments, **options)
        crawler.signals.connect(spider.dropped, signal=signals.request_dropped)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        for url in self.options["urls"]:
            for request in self.prepared(Request(url, self.page)):
                yield request
        async for request in super().start():
            yield request.replace(errback=self.failed)

    def prepared(self, request: Request) -> Iterator[Request]:
        """The request as it is to be sent, or those for its links where this walk has the page."""
        if request.callback != self.page:
            yield request.replace(errback=self.failed)
            return
        known = self.crawled.pages.get(request.url, {})
        if request.url in self.crawled.done:
            yield from self.followed(known.get("links", ()), known.get("hops", 0))
        elif self.crawled.count + self.asked < self.options["max_pages"]:
            self.asked += 1
            conditions = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("modified")}
            headers = {name: value for name, value in conditions.items() if value}
            meta = {"page": request.url, "hops": request.meta.get("hops", 0)}
            yield request.replace(headers=headers, errback=self.failed, meta={**request.meta, **meta})

    def followed(self, links: Any, hops: int) -> Iterator[Request]:
        if hops < self.options["max_depth"]:
            for link in links:
                yield from self.prepared(Request(link, self.page, meta={"hops": hops + 1}))

    def page(self, response: Response) -> Iterator[Request]:
        """Store a page; yields what it leads to."""
        self.asked -= 1
        url, hops = response.meta["page"], response.meta["hops"]
        if response.status >= 500 or response.status in (408, 429):
            self.crawled.failed(url, "http_status", f"the server says {response.status}", tries=TRIES)
            return
        known = self.crawled.pages.get(url, {})
        links = known.get("links", [])
        if self.options["max_depth"] and response.status != 304:
            links = self._links(response)
        about = {
            "status": response.status,
            "final": response.url,
            "hops": hops,
            "retrieved": now().isoformat(),
        }
        if self.options["max_depth"]:
            about["links"] = links
        digest = xxhash.xxh3_64_hexdigest(response.body)
        if response.status == 304 or digest == known.get("digest"):
            self.crawled.unchanged(url, {**known, **about, "status": known.get("status", response.status)})
        else:
            for name, header in (("etag", "ETag"), ("modified", "Last-Modified")):
                if value := response.headers.get(header):
                    about[name] = value.decode("latin-1")
            self.crawled.store(url, response, {**about, "digest": digest})
        self._said()
        yield from self.followed(links, hops)

    def _links(self, response: Response) -> list[str]:
        try:
            found = [link.url for link in self.links.extract_links(response)]  # type: ignore[arg-type]
        except (AttributeError, ValueError):  # no HTML
            return []
        return [url for url in found if urlsplit(url).netloc in self.hosts]

    def failed(self, failure: Any) -> None:
        request, error = failure.request, failure.value
        host = urlparse_cached(request)
        reason, detail = _reason(error)
        passing = reason in ("unreachable", "timeout", "broken_response")
        hosts: Hosts = self.settings["HOSTS"]
        if host.hostname in hosts.refused:
            reason, detail, passing = "private_address", hosts.refused[host.hostname], False
        elif reason == "robots" and host.netloc in hosts.without_robots:
            detail, passing = hosts.without_robots[host.netloc], True
        if "page" not in request.meta:
            self.problems.append(f"{request.url}: {detail}")
            return
        self.asked -= 1
        self.crawled.failed(
            request.meta["page"], reason, f"{request.url}: {detail}", tries=TRIES if passing else 1
        )
        self._said()

    def dropped(self, request: Request) -> None:
        """An address that was asked for already: it stands twice in the lists, or a page redirects to it."""
        if "page" not in request.meta:
            return
        self.asked -= 1
        before = request.meta.get("redirect_urls", [])
        if request.url in before:
            self.crawled.failed(
                request.meta["page"], "redirects", f"{before[0]}: redirects go round", tries=1
            )
        elif before:
            self.crawled.unchanged(request.meta["page"], {"same": request.url})

    def _said(self) -> None:
        print(json.dumps({"pages": self.crawled.brought}), flush=True)
        if self.crawled.bytes >= self.options["max_walk_bytes"]:
            self.problems.append(f"max_walk_bytes: {self.options['max_walk_bytes']} are fetched")
            self.crawler.engine.close_spider(self, "max_walk_bytes")


def _reason(error: Exception) -> tuple[str, str]:
    """A word for the quarantine, and what happened."""
    kind, said = type(error).__name__, str(error)
    if isinstance(error, IgnoreRequest):
        kinds = {"robots.txt": "robots", "redirections": "redirects"}
        return next((reason for word, reason in kinds.items() if word in said), "too_large"), said
    if kind == "DownloadTimeoutError":
        return "timeout", "no complete response within the time"
    if kind == "DownloadCancelledError":
        return "too_large", said
    if kind == "ResponseDataLossError":
        return "broken_response", said or "the server broke off"
    if kind in ("UnsupportedURLSchemeError", "InvalidURLError", "NotSupported"):
        return "bad_url", said
    return "unreachable", f"{said or kind}"


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """Scrapy's."""
    delay = 1 / options["per_second"]
    here = __name__ if __name__ != "__main__" else "curator_plugins.sources.crawling"
    return {
        "USER_AGENT": options["agent"],
        "ROBOTSTXT_USER_AGENT": "curator",
        "ROBOTSTXT_OBEY": True,
        "ALLOW_PRIVATE": options["allow_private"],
        "HOSTS": Hosts(),
        "DNS_RESOLVER": f"{here}.GuardedResolver",
        "TWISTED_DNS_RESOLVER": f"{here}.GuardedResolver",
        "DNSCACHE_ENABLED": False,
        "DOWNLOAD_HANDLERS": dict.fromkeys(("file", "ftp", "s3", "data")),
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOADER_MIDDLEWARES": {f"{here}.Robots": 540, f"{here}.Patience": 560},
        "SPIDER_MIDDLEWARES": {f"{here}.Prepared": 900},
        "HTTPERROR_ALLOW_ALL": True,
        "HTTPPROXY_ENABLED": False,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "LONGEST_WAIT": options["longest_wait"],
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": delay,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(options["concurrency"]),
        "DOWNLOAD_DELAY": delay,
        "CONCURRENT_REQUESTS": 16 * options["concurrency"],
        "CONCURRENT_REQUESTS_PER_DOMAIN": options["concurrency"],
        "DOWNLOAD_TIMEOUT": options["timeout"],
        "DOWNLOAD_MAXSIZE": options["max_bytes"],
        "DOWNLOAD_WARNSIZE": 0,
        "REDIRECT_MAX_TIMES": options["redirects"],
        "RETRY_TIMES": options["retries"],
        "LOG_LEVEL": "ERROR",
    }


def main() -> None:
    options = json.loads(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with Crawled(options["folder"]) as crawled:
        process = CrawlerProcess(settings(options))
        crawler = process.create_crawler(Pages)
        process.crawl(crawler, options, crawled)
        process.start()
        ended = crawler.stats.get_value("finish_reason") if crawler.stats else None
        if ended is None or not isinstance(crawler.spider, Pages):
            sys.exit(1)
        problems = [*crawler.spider.problems, *crawled.waiting.values()]
        if ended == "finished" and not problems:
            crawled.finish()
    print(json.dumps({"pages": crawled.brought, "problems": problems}), flush=True)


if __name__ == "__main__":
    main()
