"""Bodies of HTTP answers: what was sent, without its encodings, and what it is by its bytes.

Crawlers write bodies as they came, or decoded with the headers left as they were; so a body that is not what its
headers say is taken for decoded already. Decoding stops at a limit of bytes. What a server calls its bytes is not
trusted: a page is what begins like one, by the rules of the web's sniffing standard, or has a root element of HTML
near its beginning (pages begin with BOMs, comments, scripts and mistakes; libmagic and resiliparse's own detection
call 9 of 213 real pages plain text or unknown).
"""

from __future__ import annotations

import io
import re
import zlib
from typing import Any

from curator.files import MIB

CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[^\r\n]{0,200}\r?\n")
HEAD = 4096  #: bytes that tell what a body is
TAGS = b"|".join(
    rb"!doctype\s+html html head body title meta link script style iframe div span font table a p h1 br b".split()
)
SKIPPED = rb"(?>\s++|<!--(?>(?!-->).)*+-->|<!\[[^>]*+>|<\?[^>]*+>|<!DOCTYPE[^>]*+>)*+"
PAGE = re.compile(rb"(?:\xef\xbb\xbf)?" + SKIPPED + rb"<(?:" + TAGS + rb")[\s>/]", re.I | re.S)
ROOT = re.compile(rb"<!doctype\s+html|<(?:html|head|body)[\s>]", re.I)
XML_ROOT = re.compile(rb"(?:\xef\xbb\xbf)?" + SKIPPED + rb"<([a-z][\w:.-]*)", re.I | re.S)
BINARY = re.compile(rb"[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]")  #: bytes that no text has, as the standard says
XML = {b"svg": "image/svg+xml", b"rss": "application/rss+xml", b"feed": "application/atom+xml"}


class TooLarge(Exception):
    """A body that would be larger than the limit, decoded."""


def decoded(body: bytes, headers: Any, limit: int) -> bytes:
    """The body as the server had it; raises TooLarge. What is cut short is decoded as far as it goes."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        body = _dechunked(body)
    for coding in reversed((headers.get("Content-Encoding") or "").lower().split(",")[:3]):
        body = _decoded(body, coding.strip().removeprefix("x-"), limit)
    return body


def _dechunked(body: bytes) -> bytes:
    chunks: list[bytes] = []
    at = 0
    while (found := CHUNK.match(body, at)) and (size := int(found[1], 16)):
        at = found.end() + size
        if not chunks and at < len(body) and body[at : at + 1] not in b"\r\n":
            return body  # a page that begins with a number
        chunks.append(body[found.end() : at])
        at += 2 if body[at : at + 2] == b"\r\n" else 1
    return b"".join(chunks) if chunks or CHUNK.fullmatch(body) else body


def _decoded(body: bytes, coding: str, limit: int) -> bytes:
    if coding == "gzip" and body.startswith(b"\x1f\x8b"):
        return _inflated(body, 31, limit)
    if coding == "deflate" and not PAGE.match(body, 0, HEAD):
        try:
            return _inflated(body, 15, limit)
        except zlib.error:
            return _inflated(body, -15, limit)
    if coding in ("br", "zstd") and not PAGE.match(body, 0, HEAD):
        from fastwarc.stream_io import BrotliReader, ZstdReader

        reader = (BrotliReader if coding == "br" else ZstdReader)(io.BytesIO(body))
        return _read(reader, body, limit)
    return body


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    stream = zlib.decompressobj(window)
    out = stream.decompress(body, limit + 1)
    if len(out) > limit:
        raise TooLarge
    return out


def _read(reader: Any, body: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := reader.read(MIB // 16):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLarge
    except OSError:
        pass  # cut short, or never encoded
    return b"".join(pieces) or body


def sniffed(body: bytes) -> str:
    """The body's MIME type by its bytes: text/html of any page."""
    head = body[:HEAD]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode()
    if PAGE.match(head):
        return "text/html"
    root = XML_ROOT.match(head)
    if root and root[1].lower() in XML:
        return XML[root[1].lower()]
    if ROOT.search(head) and not BINARY.search(head):
        return "text/html"
    if root and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        return "application/xml"
    if not BINARY.search(head):
        return "text/plain"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    from resiliparse.parse.encoding import detect_mime

    found = str(detect_mime(head))
    return "application/octet-stream" if found.startswith("text/") else found
