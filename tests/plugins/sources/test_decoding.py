"""What must hold of decompressing, whatever comes."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable

import brotli
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_plugins.sources.decoding import BadBody, decoded

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": functools.partial(gzip.compress, compresslevel=1),
    "deflate": zlib.compress,
    "br": functools.partial(brotli.compress, quality=1),
    "zstd": zstandard.compress,
}
bodies = st.binary(max_size=2000) | st.builds(
    lambda b, n: b * n, st.binary(max_size=40), st.integers(0, 50_000)
)


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def outcome(pieces: list[bytes], coding: str, limit: int) -> bytes | str:
    """The body, or why it is refused."""
    try:
        return decoded(pieces, coding, limit)
    except BadBody as error:
        return error.reason


@given(bodies, st.sampled_from(sorted(CODINGS)), st.integers(1, 5000))
@settings(deadline=None, max_examples=200)
def test_any_body_in_any_pieces(body: bytes, coding: str, size: int) -> None:
    """It comes out as it went in, or is refused for its size or density, never for anything else."""
    pieces = cut(CODINGS[coding](body), max(size, len(body) // 50))
    found = outcome(pieces, coding, 1_500_000)
    if len(body) > 1 << 20:
        assert found in ("bomb", "too_large", body)
    else:
        assert found == body
    assert found == "too_large" or coding != "identity" or len(body) <= 1_500_000


@given(st.binary(min_size=1, max_size=300), st.sampled_from(sorted(CODINGS)), st.integers(1, 100))
@settings(deadline=None, max_examples=300)
def test_garbage(body: bytes, coding: str, size: int) -> None:
    """No error but BadBody."""
    found = outcome(cut(body, size), coding, 1000)
    assert isinstance(found, bytes) or found in ("damaged_body", "too_large")
