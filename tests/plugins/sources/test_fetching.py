"""The guarded fetcher against servers that misbehave, all of them real and on loopback."""

from __future__ import annotations

import functools
import gzip
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import brotli
import pytest
import zstandard

from curator import UsageError
from curator_plugins.sources.addresses import Addresses
from curator_plugins.sources.fetching import Failed, Fetcher, Limits
from curator_plugins.sources.variables import Variables
from tests.plugins.sources.servers import Site, Visit

QUICK = {"seconds": 0.5, "backoff": 0.01, "retries": 2, "per_second": 10_000.0, "max_bytes": 3 << 20}


@pytest.fixture
def other() -> Iterator[Site]:
    """A server at an address that is not allowed."""
    with Site({"/": lambda visit: visit.send(200, b"secret")}, "127.0.0.2") as site:
        yield site


def fetcher(private: Any = ("127.0.0.1/32",), variables: Variables | None = None, **limits: Any) -> Fetcher:
    return Fetcher(
        Addresses(private), Limits(**{**QUICK, **limits}), "curator/test", variables or Variables("api")
    )


def failure(site: Site, route: Callable[[Visit], None], **limits: Any) -> tuple[str, bool]:
    """Why a route cannot be fetched, and whether it may be another time."""
    site.routes["/"] = route
    with fetcher(**limits) as client, pytest.raises(Failed) as failed:
        client.fetch(site.url + "/")
    assert site.url in str(failed.value)
    return failed.value.reason, failed.value.passing


# -- addresses


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
        *(
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
        ),
        *("fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::"),
        *("2002:a9fe:a9fe::1", "2001:0:7f00:1::", "2001:db8::1", "100::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not Addresses().allows(address)
    assert Addresses(True).allows(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
)
def test_public_addresses(address: str) -> None:
    assert Addresses().allows(address)


def test_private_networks_that_are_allowed() -> None:
    some = Addresses(["10.0.0.0/8", "fd00::/8"])
    asked = ["10.1.1.1", "::ffff:10.1.1.1", "fd00::1", "127.0.0.1", "169.254.169.254"]
    assert [address for address in asked if some.allows(address)] == asked[:3]
    with pytest.raises(UsageError, match=r"allow_private: 10\.0\.0\.1/8 has host bits set; name networks as"):
        Addresses(["10.0.0.1/8"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_loopback_under_any_name_is_refused(site: Site, host: str) -> None:
    """No request is sent."""
    with (
        fetcher(private=False) as client,
        pytest.raises(Failed, match="is no public address; allow_private") as failed,
    ):
        client.fetch(f"http://{host}:{site.port}/")
    assert (failed.value.reason, failed.value.passing, site.asked) == ("private_address", False, [])


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.2]", "169.254.169.254"])
def test_a_redirect_to_a_private_address(site: Site, other: Site, host: str) -> None:
    site.routes["/"] = lambda visit: visit.send(302, Location=f"http://{host}:{other.port}/")
    with fetcher() as client, pytest.raises(Failed, match="is no public address") as failed:
        client.fetch(site.url)
    assert (failed.value.reason, site.asked, other.asked) == ("private_address", ["/"], [])


def test_a_name_whose_address_changes(site: Site, other: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is resolved once for a connection, which goes to the address that was checked, under the URL's name."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    resolved = []
    real = socket.getaddrinfo

    def lookup(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "rebind.test":
            host = next(answers)
            resolved.append(host)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    site.routes["/"] = lambda visit: visit.send(200, b"public", Connection="close")
    with fetcher() as client:
        assert client.fetch(f"http://rebind.test:{site.port}/").body == b"public"
        assert (site.headers[0]["Host"], resolved) == (f"rebind.test:{site.port}", ["127.0.0.1"])
        with pytest.raises(Failed, match=r"rebind\.test is at 127\.0\.0\.2, which is no public address"):
            client.fetch(f"http://rebind.test:{site.port}/")
    assert other.asked == []


def test_proxies_of_the_environment_are_not_used(
    site: Site, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other.url)
    monkeypatch.setenv("ALL_PROXY", other.url)
    site.routes["/"] = lambda visit: visit.send(200, b"direct")
    with fetcher() as client:
        assert client.fetch(site.url).body == b"direct"
    assert other.asked == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "http://", "x", "http://a:x/"]
)
def test_only_http_is_fetched(url: str) -> None:
    with fetcher() as client, pytest.raises(Failed) as failed:
        client.fetch(url)
    assert failed.value.reason == "bad_url"


# -- redirects and what is sent


def test_redirects_are_followed_and_counted(site: Site) -> None:
    def down(visit: Visit) -> None:
        left = int(visit.query["n"])
        visit.send(302, Location=f"/?n={left - 1}") if left else visit.send(200, b"end")

    site.routes["/"] = down
    with fetcher() as client:
        answer = client.fetch(f"{site.url}/?n=5")
        assert (answer.body, str(answer.url)) == (b"end", f"{site.url}/?n=0")
        with pytest.raises(Failed, match="more than redirects: 5") as failed:
            client.fetch(f"{site.url}/?n=6")
    assert failed.value.reason == "redirects"
    assert failure(site, lambda visit: visit.send(301, Location="/")) == ("redirects", False)
    assert failure(site, lambda visit: visit.send(301, Location="file:///etc/passwd")) == ("bad_url", False)


def test_headers_go_to_no_other_site(site: Site, other: Site) -> None:
    """Neither by a redirect nor by an address that a page gave; another port is another site."""
    secrets = {"X-Key": "hunter22", "Authorization": "Bearer hunter22"}
    site.routes |= {
        "/near": lambda visit: visit.send(302, Location="/end", Set_Cookie="sid=hunter22"),
        "/far": lambda visit: visit.send(302, Location=other.url, Set_Cookie="sid=hunter22"),
        "/end": lambda visit: visit.send(200, b"end"),
    }
    with fetcher(private=True) as client:
        client.fetch(f"{site.url}/near", secrets)
        client.fetch(f"{site.url}/far", secrets)
        client.fetch(other.url, secrets, home=site.url)
    assert [{**headers, **secrets} == headers for headers in site.headers] == [True, True, True]
    assert len(other.headers) == 2
    assert "hunter22" not in str(other.headers)
    assert other.headers[0]["User-Agent"] == "curator/test"


def test_messages_hold_no_secret(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "p&ss word")
    variables = Variables("api")
    url = variables.fill(f"{site.url}/?key=") + "p%26ss+word"
    assert variables.fill("${TOKEN}") == "p&ss word"
    site.routes["/"] = lambda visit: visit.send(403, b"no such key: p&ss word")
    with fetcher(variables=variables) as client, pytest.raises(Failed) as failed:
        client.fetch(url.replace("http://", "http://me:secret@"))
    assert (
        str(failed.value)
        == f"{site.url}/?key=${{TOKEN}}: the server says 403 Forbidden: no such key: ${{TOKEN}}"
    )


# -- time and size


def test_a_server_that_drips(site: Site) -> None:
    """Its headers or its body, a byte at a time: the whole response has one clock."""

    def drip(data: bytes) -> Callable[[Visit], None]:
        def route(visit: Visit) -> None:
            for byte in data:
                visit.raw(bytes([byte]))
                time.sleep(0.02)

        return route

    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    began = time.monotonic()
    for data in (start, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000):
        assert failure(site, drip(data + b"x" * 1000), seconds=0.2, retries=0) == ("timeout", True)
    assert failure(site, lambda visit: time.sleep(1), seconds=0.1, retries=1) == ("timeout", True)
    assert time.monotonic() - began < 5


def endless(start: bytes, chunk: bytes) -> Callable[[Visit], None]:
    def route(visit: Visit) -> None:
        visit.raw(start)
        while True:
            visit.wfile.write(chunk)

    return route


def test_a_body_without_end(site: Site) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert failure(site, endless(start, chunk), seconds=5) == ("too_large", False)
    assert failure(site, endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), seconds=5) == ("too_large", False)


@pytest.mark.parametrize(
    ("start", "chunk"), [(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 997 + b"\r\n"), (b"", b"x" * 1000)]
)
def test_headers_without_end(site: Site, start: bytes, chunk: bytes) -> None:
    assert failure(site, endless(start, chunk), seconds=5, retries=0) == ("broken_response", True)


def test_informational_responses_without_end(site: Site) -> None:
    reason, _ = failure(
        site, endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), seconds=0.5, max_bytes=1000, retries=0
    )
    assert reason in ("too_large", "timeout")


def test_wrong_lengths(site: Site) -> None:
    """A body that is too short is tried again; what stands behind the end is left."""
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"
    assert failure(site, lambda visit: visit.raw(short)) == ("broken_response", True)
    assert len(site.asked) == 3
    site.routes["/long"] = lambda visit: visit.send(200, b"as said" + b"HTTP/1.1 200 OK", Content_Length="7")
    with fetcher() as client:
        assert [client.fetch(f"{site.url}/long").body for _ in range(3)] == [b"as said"] * 3


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(gzip.compress, compresslevel=1),
    "deflate": zlib.compress,
    "br": functools.partial(brotli.compress, quality=3),
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", COMPRESSED)
def test_compressed_bodies(site: Site, coding: str) -> None:
    text = b"All happy families are alike. " * 1000
    body = COMPRESSED[coding](text)
    site.routes |= {
        "/": lambda visit: visit.send(200, body, Content_Encoding=coding),
        "/empty": lambda visit: visit.send(200, b"", Content_Encoding=coding),
    }
    with fetcher() as client:
        assert client.fetch(site.url).body == text
        assert client.fetch(f"{site.url}/empty").body == b""
    bomb = COMPRESSED[coding](bytes(5 << 20))
    assert failure(site, lambda visit: visit.send(200, bomb, Content_Encoding=coding))[0] in (
        "bomb",
        "too_large",
    )
    large = COMPRESSED[coding](b"".join(struct.pack("<q", n * n) for n in range(450_000)))
    assert failure(site, lambda v: v.send(200, large, Content_Encoding=coding), seconds=5) == (
        "too_large",
        False,
    )
    for broken in (body[:-5], b"\x1f\x8bgarbage"):
        send = functools.partial(Visit.send, status=200, body=broken, Content_Encoding=coding)
        assert failure(site, send) == ("damaged_body", False)


def test_deflate_without_its_header_and_unknown_codings(site: Site) -> None:
    deflate = zlib.compressobj(wbits=-15)
    raw = deflate.compress(b"text " * 100) + deflate.flush()
    site.routes["/"] = lambda visit: visit.send(200, raw, Content_Encoding="deflate")
    with fetcher() as client:
        assert client.fetch(site.url).body == b"text " * 100
    for coding in ("compress", "gzip, gzip"):
        send = functools.partial(Visit.send, status=200, body=b"x", Content_Encoding=coding)
        assert failure(site, send) == ("unknown_coding", False)


# -- trying again


def test_errors_that_pass(site: Site) -> None:
    """429 and 5xx are tried again, and so is a connection that breaks, in the head or in the body."""

    def reset(visit: Visit) -> None:
        visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visit.close_connection = True
        visit.rfile.close()
        visit.wfile.close()
        visit.connection.close()

    def reset_in_the_body(visit: Visit) -> None:
        visit.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
        reset(visit)

    troubles: list[Callable[[Visit], None]] = [
        lambda visit: visit.send(429),
        lambda visit: visit.send(503),
        lambda visit: visit.raw(b"garbage\r\n\r\n"),
        lambda visit: visit.raw(b""),
        reset,
        reset_in_the_body,
    ]
    left = list(troubles)
    site.routes["/"] = lambda visit: left.pop()(visit) if left else visit.send(200, b"done")
    with fetcher(retries=6) as client:
        assert client.fetch(site.url).body == b"done"
    assert len(site.asked) == 7
    assert failure(site, lambda visit: visit.send(500)) == ("http_status", True)
    assert failure(site, lambda visit: visit.send(404)) == ("http_status", False)
    assert len(site.asked) == 7 + 3 + 1


def test_nobody_listens(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with fetcher() as client, pytest.raises(Failed, match=r"cannot be reached.*, 3 times") as failed:
        client.fetch(f"http://127.0.0.1:{port}/")
    assert (failed.value.reason, failed.value.passing) == ("unreachable", True)


def test_retry_after(site: Site) -> None:
    """Seconds or a date; longer than longest_wait ends it at once."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1.2), usegmt=True)
    waits = [soon, "0.5", "0", "-3", "1"]
    site.routes["/"] = lambda visit: (
        visit.send(429, Retry_After=waits.pop()) if waits else visit.send(200, b"done")
    )
    began = time.monotonic()
    with fetcher(retries=5) as client:
        assert client.fetch(site.url).body == b"done"
    assert 1.0 <= time.monotonic() - began < 5
    site.asked.clear()
    assert failure(site, lambda visit: visit.send(503, Retry_After="3600")) == ("http_status", True)
    assert len(site.asked) == 1


def test_the_rate_of_one_host(site: Site) -> None:
    site.routes["/"] = lambda visit: visit.send(200)
    began = time.monotonic()
    with fetcher(per_second=20) as client:
        for _ in range(5):
            client.fetch(site.url)
    assert time.monotonic() - began >= 4 / 20
