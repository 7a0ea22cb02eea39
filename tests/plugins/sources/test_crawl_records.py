"""The records of files that were changed at random, and of disks and networks that fail."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_plugins.sources import crawl_records
from curator_plugins.sources.bodies import TooLarge, decoded
from curator_plugins.sources.crawl_records import Record, records

HTTP = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"


def warc(number: int) -> bytes:
    body = gzip.compress(b"<p>page %d" % number)
    block = HTTP + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    header = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{number}>\r\nWARC-Target-URI: http://x/{number}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def arc(number: int) -> bytes:
    url = "filedesc://x" if number == 0 else f"http://x/{number}"
    return b"%s 1.2.3.4 20080430204826 text/html %d\n%s%s\n" % (url.encode(), len(HTTP) + 5, HTTP, b"<p>a\n")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([warc, arc]),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1, max_size=8),
)
def test_mutated_files(
    tmp_path_factory: pytest.TempPathFactory, kind: object, members: bool, changes: list[tuple[float, bytes]]
) -> None:
    """Give records and rows of damage, each at a place of its own; never an exception."""
    pieces = [kind(n) for n in range(4)]  # type: ignore[operator]
    content = bytearray(b"".join(map(gzip.compress, pieces) if members else pieces))
    for place, put in changes:
        at = int(place * len(content))
        content[at : at + 1] = put
    path = tmp_path_factory.getbasetemp() / "mutated.warc"
    path.write_bytes(content)
    found = list(records(str(path), 1 << 20))
    assert len({place for place, _ in found}) == len(found)
    for _, record in found:
        if isinstance(record, Record) and record.http is not None:
            with contextlib.suppress(TooLarge, zlib.error):
                assert len(decoded(record.body, record.http, 1 << 20)) <= 1 << 20


def test_an_error_of_the_network_is_no_damage() -> None:
    """It may be gone the next time, so it fails the part."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError

    for read in (crawl_records._warc, crawl_records._arc):
        with pytest.raises(TimeoutError):
            list(read(Slow(), "gzip", 1 << 20))
