"""Lines of plain and compressed files, however they are cut."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curator.lines
from curator import Rejected
from curator.lines import compression, decompressed, line_parts, lines


def lz4(content: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4,
}
TEXT = b"".join(b"%d %s\n" % (n, b"x" * (n % 97)) for n in range(20_000))


def write(folder: Path, content: bytes) -> str:
    path = folder / "file"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("kind", COMPRESS)
def test_compression_is_sniffed_and_members_are_joined(tmp_path: Path, kind: str) -> None:
    """The name says nothing; several gzip members, zstd frames or bz2 streams are one file."""
    compress = COMPRESS[kind]
    half = len(TEXT) // 2
    uri = write(tmp_path, compress(TEXT[:half]) + compress(TEXT[half:]))
    assert b"".join(decompressed(uri)) == TEXT
    assert b"".join(decompressed(uri, at=half - 10)) == TEXT[half - 10 :]


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bz2", "xz", "lz4"])
def test_a_truncated_file_gives_its_lines_and_says_so(tmp_path: Path, kind: str) -> None:
    """What came before the damage is read; the line that it cuts is not."""
    compressed = COMPRESS[kind](TEXT)
    found = list(lines(write(tmp_path, compressed[:-20])))
    *whole, (offset, last) = found
    assert isinstance(last, Rejected)
    assert last.reason == "damaged_file"
    assert all(isinstance(line, bytes) for _, line in whole)
    assert b"".join(line + b"\n" for _, line in whole if isinstance(line, bytes)) == TEXT[:offset]


def test_damage_in_the_middle(tmp_path: Path) -> None:
    """A flipped byte is found by the checksum or the decoder; lines before the damage are as they were."""
    compressed = bytearray(gzip.compress(TEXT))
    compressed[len(compressed) // 2] ^= 0xFF
    found = list(lines(write(tmp_path, bytes(compressed))))
    assert isinstance(found[-1][1], Rejected)


def test_zstd_with_a_skippable_frame_and_a_long_window(tmp_path: Path) -> None:
    """As pzstd, seekable zstd and `zstd --long=31` write them."""
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)
    long = zstandard.ZstdCompressor(compression_params=parameters).compress(TEXT)
    uri = write(tmp_path, skippable + long + skippable + long)
    assert b"".join(decompressed(uri)) == TEXT + TEXT


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.lists(st.binary(max_size=12)).map(b"\n".join).filter(lambda content: not compression(content)),
    cuts=st.sets(st.integers(1, 80)),
    compressed=st.booleans(),
    piece=st.integers(1, 9),
)
def test_any_cutting_gives_the_same_lines(
    tmp_path: Path, content: bytes, cuts: set[int], compressed: bool, piece: int
) -> None:
    """Every line belongs to exactly one range, the one that it begins in, and keeps its offset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curator.lines, "PIECE", piece)
        patch.setattr(curator.lines, "FED", piece)
        uri = write(tmp_path, gzip.compress(content) if compressed else content)
        expected, offset = [], 0
        for line in content.split(b"\n"):
            expected.append((offset, line))
            offset += len(line) + 1
        if not expected[-1][1]:
            expected.pop()  # the end of the file is no line
        edges: list[int | None] = [0, *sorted(cuts), None]
        found = [line for start, stop in itertools.pairwise(edges) for line in lines(uri, start or 0, stop)]
        assert found == expected


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 40), min_size=1), limit=st.integers(0, 30), piece=st.integers(1, 9))
def test_long_lines_are_refused_and_the_rest_is_read(
    tmp_path: Path, lengths: list[int], limit: int, piece: int
) -> None:
    """A line over the limit is a Rejected at its offset; offsets of later lines are right."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curator.lines, "PIECE", piece)
        patch.setattr(curator.lines, "FED", piece)
        uri = write(tmp_path, b"".join(b"x" * length + b"\n" for length in lengths))
        found = list(lines(uri, max_bytes=limit))
        assert [len(line) if isinstance(line, bytes) else line.reason for _, line in found] == [
            length if length <= limit else "too_large" for length in lengths
        ]
        assert [offset for offset, _ in found] == [sum(lengths[:n]) + n for n in range(len(lengths))]


@pytest.mark.parametrize("kind", COMPRESS)
def test_parts_cover_the_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts follow on each other, the last has no end, and together they give every line once."""
    for name, size in (("PART", 20_000), ("WHOLE", 1000), ("SAMPLE", 20_000)):
        monkeypatch.setattr(curator.lines, name, size)
    uri = write(tmp_path, COMPRESS[kind](TEXT))
    parts = list(line_parts(uri))
    whole = kind in ("bz2", "xz")
    assert len(parts) == 1 if whole else len(parts) > 5
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[0].start == 0
    assert parts[-1].stop is None
    assert whole or 0.3 < sum(part.size for part in parts) / len(TEXT) < 2
    found = [line for part in parts for line in lines(uri, part.start or 0, part.stop)]
    assert found == list(lines(uri))


def test_an_empty_file_is_one_empty_part(tmp_path: Path) -> None:
    """So that it is planned, read once and not looked at again."""
    uri = write(tmp_path, b"")
    (part,) = line_parts(uri)
    assert list(lines(uri, part.start or 0, part.stop)) == []


@pytest.mark.parametrize("pack", [bytes, bz2.compress, gzip.compress, zstandard.compress])
def test_a_range_of_stored_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Of whole streams, each decompressed by itself."""
    pieces = [pack(b"%d " % n * 1000) for n in range(4)]
    (tmp_path / "file").write_bytes(b"".join(pieces))
    first, last = len(pieces[0]), sum(map(len, pieces[:3]))
    found = b"".join(decompressed(str(tmp_path / "file"), stored=(first, last)))
    assert found == b"1 " * 1000 + b"2 " * 1000
    assert b"".join(decompressed(str(tmp_path / "file"), stored=(last, None))) == b"3 " * 1000
