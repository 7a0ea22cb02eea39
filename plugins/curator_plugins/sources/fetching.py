"""Fetching over HTTP from servers that may be slow, broken or hostile. `http_api` and `feed` use it.

On httpx, with three things of our own that it has no option for: connections go to addresses that were
checked (see `addresses`; names, certificates and the Host header stay those of the URL), one clock runs over
all of a response, headers and every byte of the body included (httpx's timeouts start anew with each byte, so
a server that sends one every 10 s holds it for ever), and bodies are decompressed under a limit (see
`decoding`). Headers are limited to 100 KiB by httpcore. Redirects are followed here, so that each is checked
and the recipe's headers go to no other host than the one they were written for.

Proxies of the environment are not used: a proxy resolves names itself, so nothing could be checked. `.netrc`
is not read either. Certificates are verified against certifi's list, or the one that SSL_CERT_FILE names.

Retried, after 1, 2, 4, … seconds, are what may pass: no connection, a broken one, 408, 425, 429 and 5xx. The
waits have no random part: one process fetches, so there is nobody to fall out of step with. Retry-After is
obeyed; one longer than a run should wait ends the fetching, and the next run goes on.

Cost, on loopback, of 1,000 pages of 100 kB: 1.8 s of the processor, storing and counting records included, and
13 s on the clock of a busy machine, most of them waiting for the disk; httpx with `.json()` alone takes 1.0 and
4 s (benchmarks/fetching.py).
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from curator.errors import FetchError
from curator_plugins.sources.addresses import Addresses, PrivateAddress
from curator_plugins.sources.decoding import CODINGS, BadBody, decoded
from curator_plugins.sources.online import now
from curator_plugins.sources.variables import Variables

PASSING = {408, 425, 429, 500, 502, 503, 504, 522, 524}
NETWORK = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
REDIRECTS = {301, 302, 303, 307, 308}


class Failed(FetchError):
    """A URL that could not be fetched. `passing`: it may work another time; `status`: what the server said."""

    def __init__(
        self, reason: str, message: str, *, passing: bool = False, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason, self.passing, self.status = reason, passing, status


@dataclass(frozen=True)
class Limits:
    """What one request may cost. Times are in seconds."""

    seconds: float = 60.0  #: of one response, from connecting to its last byte
    max_bytes: int = 64 << 20  #: of a body, as sent and decompressed
    redirects: int = 5
    retries: int = 4
    backoff: float = 1.0  #: before the first retry
    longest_wait: float = 120.0  #: that a server may ask for
    per_second: float = 5.0  #: requests to one host


@dataclass(frozen=True)
class Answer:
    """A response: `url` is where redirects led to, secrets and all, `body` decompressed, `retrieved` in UTC."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes
    retrieved: datetime

    @property
    def charset(self) -> str | None:
        """What the server says it is."""
        return httpx.Response(200, headers=self.headers).charset_encoding


class Fetcher:
    """Fetches URLs. Close it, or use it in `with`."""

    def __init__(self, addresses: Addresses, limits: Limits, agent: str, variables: Variables) -> None:
        self.limits, self.variables = limits, variables
        for name in ("httpx", "httpcore"):  # they log addresses and headers, and with them the secrets
            logging.getLogger(name).setLevel(logging.WARNING)
        self._wire = _Backend(addresses)
        self._client = httpx.Client(
            transport=_Transport(self._wire),
            headers={"User-Agent": agent, "Accept-Encoding": CODINGS},
            timeout=limits.seconds,
            trust_env=False,
        )
        self._due: dict[str, float] = {}  # when the next request to a host may be made

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def fetch(
        self,
        url: str | httpx.URL,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        accepted: Iterable[int] = (200,),
        home: str | None = None,
        check: Callable[[httpx.URL], None] | None = None,
    ) -> Answer:
        """GET the URL, or POST `body` as JSON. Raises Failed; a status that is not in `accepted` is one.

        The headers go only to the site of `home`, or else of the URL. `check` may raise Failed before each request.
        """
        try:
            request = self._client.build_request(
                "GET" if body is None else "POST", url, headers=headers, json=body
            )
            site = httpx.URL(home or url)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise self._failed("bad_url", url, str(error)) from None
        tries = 0
        while True:
            try:
                return self._followed(request, site, set(headers or ()), frozenset(accepted), check)
            except _Passing as error:
                wait = self.limits.backoff * 2**tries if error.wait is None else error.wait
                tries += 1
                if error.wait is not None and wait > self.limits.longest_wait:
                    limit = f"longest_wait: {self.limits.longest_wait:g}"
                    what = f"{error}, and asks to wait {wait:.0f} s, longer than {limit}"
                elif tries > self.limits.retries:
                    what = f"{error}, {tries} times"
                else:
                    time.sleep(min(wait, self.limits.longest_wait))
                    continue
                raise self._failed(error.reason, url, what, passing=True, status=error.status) from None

    def _followed(
        self,
        request: httpx.Request,
        site: httpx.URL,
        ours: set[str],
        accepted: frozenset[int],
        check: Callable[[httpx.URL], None] | None,
    ) -> Answer:
        first = request.url
        for _ in range(self.limits.redirects + 1):
            if request.url.scheme not in ("http", "https") or not request.url.host:
                raise self._failed(
                    "bad_url", first, f"only http and https are fetched, not {_bare(request.url)}"
                )
            if not same_site(site, request.url):
                if request.method == "POST":
                    raise self._failed("redirects", first, f"its body is not sent to {_bare(request.url)}")
                for name in (*ours, "authorization", "cookie"):
                    request.headers.pop(name, None)
            if check:
                check(request.url)
            try:
                answer, following = self._once(request, accepted)
            except Failed as error:
                if request.url == first:
                    raise
                what = f"redirected to {error}"
                raise self._failed(error.reason, first, what, status=error.status) from None
            if following is None:
                return answer
            request = following
        raise self._failed("redirects", first, f"more than redirects: {self.limits.redirects}")

    def _once(self, request: httpx.Request, accepted: frozenset[int]) -> tuple[Answer, httpx.Request | None]:
        self._await_turn(request.url.host)
        self._wire.start(self.limits)
        shown = request.url
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                if response.status_code in REDIRECTS and response.next_request is not None:
                    return Answer(
                        request.url, response.status_code, response.headers, b"", now()
                    ), response.next_request
                if response.status_code not in accepted:
                    raise self._refused(response)
                coding = response.headers.get("content-encoding", "")
                body = decoded(response.iter_raw(), coding, self.limits.max_bytes)
                return Answer(_bare(response.url), response.status_code, response.headers, body, now()), None
            finally:
                response.close()
        except PrivateAddress as error:
            raise self._failed("private_address", shown, str(error)) from None
        except BadBody as error:
            raise self._failed(error.reason, shown, str(error)) from None
        except _Exhausted as error:
            raise self._failed("too_large", shown, str(error)) from None
        except httpx.RemoteProtocolError as error:
            raise _Passing("broken_response", f"the server broke off or speaks no HTTP ({error})") from None
        except (httpcore.TimeoutException, httpx.TimeoutException):
            raise _Passing(
                "timeout", f"no complete response within seconds: {self.limits.seconds:g}"
            ) from None
        except httpcore.RemoteProtocolError as error:
            raise _Passing("broken_response", f"the server broke off or speaks no HTTP ({error})") from None
        except (httpcore.NetworkError, httpx.TransportError, OSError, ssl.SSLError) as error:
            raise _Passing(
                "unreachable", f"cannot be reached ({str(error) or type(error).__name__})"
            ) from None
        except (httpx.InvalidURL, httpx.DecodingError, httpcore.LocalProtocolError, ValueError) as error:
            raise self._failed("bad_response", shown, str(error)) from None

    def _refused(self, response: httpx.Response) -> Exception:
        status = f"the server says {response.status_code} {response.reason_phrase}".rstrip()
        if response.status_code in PASSING:
            return _Passing("http_status", status, _retry_after(response.headers), response.status_code)
        try:
            said = decoded(response.iter_raw(), response.headers.get("content-encoding", ""), 1 << 16)
            status += f": {said[:200].decode(errors='replace')}" if said else ""
        except (BadBody, _Exhausted, httpx.TransportError, *NETWORK):
            pass  # the status says enough
        return self._failed("http_status", response.url, status, status=response.status_code)

    def _failed(self, reason: str, url: str | httpx.URL, what: str, **more: Any) -> Failed:
        shown = _bare(url) if isinstance(url, httpx.URL) else url
        return Failed(reason, self.variables.hide(f"{shown}: {what}"), **more)

    def _await_turn(self, host: str) -> None:
        now = time.monotonic()
        turn = max(now, self._due.get(host, now))
        self._due[host] = turn + 1 / self.limits.per_second
        if turn > now:
            time.sleep(turn - now)


def _bare(url: httpx.URL) -> httpx.URL:
    """The URL without user and password."""
    return url.copy_with(username=None, password=None) if url.userinfo else url


def same_site(first: httpx.URL, url: httpx.URL) -> bool:
    """Whether a header meant for `first` may go to `url`: the same host and port, or its https after its http."""
    here, there = ((u.scheme, u.port or {"http": 80, "https": 443}.get(u.scheme)) for u in (first, url))
    return first.host == url.host and (here == there or (here, there) == (("http", 80), ("https", 443)))


def _retry_after(headers: httpx.Headers) -> float | None:
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
        return max((when.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except ValueError:
        return None


class _Passing(Exception):
    """What may be over when it is tried again, after `wait` seconds if the server says so."""

    def __init__(self, reason: str, what: str, wait: float | None = None, status: int | None = None) -> None:
        super().__init__(what)
        self.reason, self.wait, self.status = reason, wait, status


class _Exhausted(Exception):
    """More bytes came than a response may have."""


class _Transport(httpx.BaseTransport):
    """httpx's own, which takes no backend. Errors are httpcore's."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=httpx.create_ssl_context(), network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        assert isinstance(request.stream, httpx.SyncByteStream)
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        stream = _Stream(answer)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore.SyncBackend):
    """Connects to checked addresses, and counts the bytes and the time of one response after the other."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.deadline = 0.0
        self.bytes_left = 0

    def start(self, limits: Limits) -> None:
        self.deadline = time.monotonic() + limits.seconds
        self.bytes_left = limits.max_bytes + (1 << 20)  # headers, and how the body is wrapped

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def connect_tcp(self, host: str, port: int, *_: Any, **options: Any) -> httpcore.NetworkStream:
        options.pop("timeout", None)
        problem: Exception | None = None
        for address in self.addresses.resolve(host, port):
            try:
                return _Counted(super().connect_tcp(address, port, self.left(), **options), self)
            except httpcore.NetworkError as error:
                problem = error
        raise problem or httpcore.ConnectError(f"{host} has no address")


class _Counted(httpcore.NetworkStream):
    """A connection that ends with the time or the bytes that its backend has left."""

    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream, self._backend = stream, backend

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._backend.left())
        self._backend.bytes_left -= len(data)
        if self._backend.bytes_left < 0:
            raise _Exhausted("more bytes than max_bytes")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left())

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._backend.left())
        return _Counted(stream, self._backend)
