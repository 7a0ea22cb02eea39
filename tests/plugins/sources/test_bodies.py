"""Bodies of HTTP answers: decoded under a limit, and what they are by their bytes."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_plugins.sources.bodies import TooLarge, decoded, sniffed

CODINGS = st.sampled_from(["gzip", "x-gzip", "deflate", "br", "zstd", "identity", "gzip, br", "unheard-of"])


@given(st.binary(max_size=2000), st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_chunks(body: bytes, sizes: list[int]) -> None:
    """Of any sizes are the body again, and a cut in the last loses only what is cut."""
    chunked, at = b"", 0
    for size in sizes * (1 + len(body) // sum(sizes)):
        if piece := body[at : at + size]:
            chunked += b"%x\r\n%s\r\n" % (len(piece), piece)
            at += size
    headers = {"Transfer-Encoding": "chunked"}
    assert decoded(chunked + b"0\r\n\r\n", headers, 1 << 20) == body
    if body:
        assert body.startswith(decoded(chunked[:-10], headers, 1 << 20)) or len(chunked) < 20


@given(st.binary(max_size=500), CODINGS, st.booleans())
def test_bodies_that_are_not_what_their_headers_say(body: bytes, coding: str, chunked: bool) -> None:
    """Are taken for decoded already, or refused: never more than the limit, never another exception."""
    headers = {"Content-Encoding": coding, "Transfer-Encoding": "chunked" if chunked else ""}
    with contextlib.suppress(TooLarge, zlib.error):
        assert len(decoded(body, headers, 100_000)) <= 100_000


def test_the_limit() -> None:
    """Is of the decoded body."""
    headers = {"Content-Encoding": "gzip"}
    assert decoded(gzip.compress(bytes(1000)), headers, 1000) == bytes(1000)
    with pytest.raises(TooLarge):
        decoded(gzip.compress(bytes(1001)), headers, 1000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<!DOCTYPE html>", "text/html"),
        (b"\xef\xbb\xbf \n<!-- a > b --><?xml version='1.0'?><HTML>", "text/html"),
        (b"<style>\n p {}</style><div>", "text/html"),
        ("<!doctype html><p>x".encode("utf-16"), "text/html"),
        (b"Warning: in line 3\n<html><body>", "text/html"),
        (b"<?xml version='1.0'?>\n<rss><channel><link>x</link>", "application/rss+xml"),
        (b"<?xml version='1.0'?><playlist><title>x</title>", "application/xml"),
        (b"<svg><style>a</style></svg>", "image/svg+xml"),
        (b"// script: '<div>'", "text/plain"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"%PDF-1.4\n%\xe2\xe3\0", "application/pdf"),
        (b"\0\1\2\3", "application/octet-stream"),
        (b"", "text/plain"),
    ],
)
def test_types_by_bytes(body: bytes, expected: str) -> None:
    """What the web's standard would call them, more or less."""
    assert sniffed(body) == expected
