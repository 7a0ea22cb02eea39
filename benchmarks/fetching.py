"""What fetching costs: http_api beside httpx, crawl beside Scrapy, pages of a server on loopback.

    python benchmarks/fetching.py [--pages 1000]

CPU seconds of the client and its processes, and seconds on the clock; the server is a process of its own. The peers
fetch and parse, and store nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable

import httpx

from curator_plugins.sources.crawl import Crawl
from curator_plugins.sources.http_api import HttpApi

PAGE = b"<html><body><article>" + b"<p>Some words that make a page of ten kilobytes.</p>" * 190 + b"</article>"
SPIDER = """
import sys
import scrapy
from scrapy.crawler import CrawlerProcess

class Pages(scrapy.Spider):
    name = "pages"
    async def start(self):
        for n in range(int(sys.argv[2])):
            yield scrapy.Request(f"{sys.argv[1]}/page/{n}")
    def parse(self, response):
        pass

process = CrawlerProcess({
    "LOG_LEVEL": "ERROR", "CONCURRENT_REQUESTS": 16, "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "TELNETCONSOLE_ENABLED": False, "ROBOTSTXT_OBEY": True,
})
process.crawl(Pages)
process.start()
"""


def serve() -> None:
    """Answer for ever: pages of HTML below /page, else 100 records of 1 kB, no two answers alike."""
    numbers = itertools.count()

    def answer(connection: socket.socket) -> None:
        asked = connection.makefile("rb")
        while line := asked.readline():
            while asked.readline().strip():
                pass
            status, kind, body = "200 OK", "text/html", PAGE
            if b"/robots.txt" in line:
                status, body = "404 Not Found", b""
            elif b"/page/" not in line:
                number = next(numbers)
                records = [{"id": number * 100 + n, "text": "x" * 980} for n in range(100)]
                kind, body = "application/json", json.dumps(records).encode()
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def plain(url: str, pages: int) -> None:
    with httpx.Client() as client:
        for page in range(pages):
            client.get(f"{url}/records?page={page}").json()


def last(counts: Iterable[int]) -> int:
    return max(counts)


def api(url: str, pages: int) -> None:
    source = HttpApi(
        url=f"{url}/records", allow_private=True, per_second=1e9, page={"param": "page"}, max_pages=pages
    )
    with tempfile.TemporaryDirectory() as folder:
        source.folder = folder  # type: ignore[misc]  # the host sets it so
        assert last(source.fetch()) == 100 * pages


def scrapy(url: str, pages: int) -> None:
    subprocess.run([sys.executable, "-c", SPIDER, url, str(pages)], check=True)


def crawl(url: str, pages: int) -> None:
    urls = [f"{url}/page/{n}" for n in range(pages)]
    source = Crawl(urls=urls, allow_private=True, per_second=1e9, concurrency=16)
    with tempfile.TemporaryDirectory() as folder:
        source.folder = folder  # type: ignore[misc]  # the host sets it so
        assert last(source.fetch()) == pages


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve()
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE) as server:
        assert server.stdout
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        cases: dict[str, Callable[[str, int], None]] = {
            "httpx and json": plain,
            "http_api": api,
            "scrapy": scrapy,
            "crawl": crawl,
        }
        for name, fetch in cases.items():
            before, began = cpu(), time.monotonic()
            fetch(url, asked.pages)
            used, took = cpu() - before, time.monotonic() - began
            print(f"{name:15} {used:6.2f} CPU s, {took:6.2f} s; {asked.pages / used:6.0f} pages per CPU second")
        server.kill()


if __name__ == "__main__":
    main()
