"""A web server on loopback that does as it is told, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Visit(BaseHTTPRequestHandler):
    """One request. A route answers it by one of the methods below, or writes to `wfile` itself."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        site: Site = self.server.site
        self.query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.posted = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        site.asked.append(self.path)
        site.headers.append(dict(self.headers))
        site.times.append(time.monotonic())
        route = site.routes.get(urlsplit(self.path).path)
        if route is None:
            self.send(404, b"nothing here")
        else:
            route(self)

    do_POST = do_GET

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, value: Any, **headers: str) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def html(self, body: str, **headers: str) -> None:
        page = f"<html><head><title>Page</title></head><body>{body}</body></html>"
        self.send(200, page.encode(), Content_Type="text/html; charset=utf-8", **headers)

    def raw(self, data: bytes) -> None:
        """The whole response as it goes over the wire; the connection ends behind it."""
        self.close_connection = True
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """Routes by path; `asked`, `headers` and `times` are what clients sent, and when. Listens at `address`."""

    def __init__(
        self, routes: dict[str, Callable[[Visit], None]] | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.routes = routes or {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self._server: Any = ThreadingHTTPServer((address, 0), Visit)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.handle_error = lambda *_: None  # clients that leave are what we want
        self._server.site = self
        self.port = self._server.server_address[1]
        self.url = f"http://{address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
