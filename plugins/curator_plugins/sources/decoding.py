"""Bodies of responses, decompressed under a limit.

httpx decompresses without one: 100 kB of gzip become 100 MB in one call. Here every step gives at most PIECE
bytes for gzip, deflate and br, and what 1 KiB of zstd can hold, at most 32 MiB.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

PIECE = 1 << 18
FED = 1 << 10  #: compressed bytes of zstd at a time, which has no limit of its own
RATIO = 200  #: decompressed bytes for each that came, from FREE bytes on; text reaches 3 to 30
FREE = 1 << 20

CODINGS = "gzip, deflate, br, zstd"


class BadBody(Exception):
    """A body that is too large, too dense or damaged; `reason` is the word for it in the quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decoded(pieces: Iterable[bytes], coding: str, limit: int) -> bytes:
    """The whole body; raises BadBody where it has more than `limit` bytes, or is a bomb, or damaged."""
    received = 0

    def counted() -> Iterator[bytes]:
        nonlocal received
        for piece in pieces:
            received += len(piece)
            yield piece

    coding = coding.strip().lower()  # one: a bomb could hide in several, and nobody uses them
    stream = counted() if coding in ("", "identity") else _decompressed(counted(), coding)
    held: list[bytes] = []
    size = 0
    for piece in stream:
        size += len(piece)
        if size > limit:
            raise BadBody("too_large", f"more than max_bytes: {limit}")
        if size > FREE and size > RATIO * received:
            raise BadBody("bomb", f"{received} bytes decompress to more than {RATIO} times as many")
        held.append(piece)
    return b"".join(held)


def _decompressed(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    decompress = {"gzip": _zlib, "x-gzip": _zlib, "deflate": _zlib, "br": _brotli, "zstd": _zstd}.get(coding)
    if decompress is None:
        raise BadBody("unknown_coding", f"Content-Encoding {coding!r}; known are {CODINGS}")
    try:
        yield from decompress(pieces)
    except BadBody:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("zlib", "zstandard", "brotli", "_brotli", "zstd"):
            raise
        raise BadBody("damaged_body", f"{coding}: {error}") from None


def _zlib(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate: Any = None
    for piece in pieces:
        while piece:
            if inflate is None:  # gzip and zlib tell themselves; deflate without a header is common, too
                plain = piece[:1] != b"\x1f" and piece[0] & 0x0F != 8
                inflate = zlib.decompressobj(-zlib.MAX_WBITS if plain else zlib.MAX_WBITS | 32)
            while output := inflate.decompress(piece, PIECE):
                yield output
                piece = inflate.unconsumed_tail
            piece = inflate.unused_data if inflate.eof else b""
            inflate = None if inflate.eof else inflate
    if inflate is not None:
        raise BadBody("damaged_body", "the compressed body ends too early")


def _brotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import brotli

    decoder, fed = brotli.Decompressor(), False
    for piece in pieces:
        fed = True
        while (
            output := decoder.process(piece, output_buffer_limit=PIECE)
        ) or not decoder.can_accept_more_data():
            yield output  # it holds some back without saying so
            piece = b""
    if fed and not decoder.is_finished():
        raise BadBody("damaged_body", "the compressed body ends too early")


def _zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    decoder, fed = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(), False
    for piece in pieces:
        fed = True
        for start in range(0, len(piece), FED):
            yield decoder.decompress(piece[start : start + FED])
    if fed and not decoder.eof:
        raise BadBody("damaged_body", "the compressed body ends too early")
