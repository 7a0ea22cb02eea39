"""Files that are made to hurt: each is read up to what is wrong, has one reason, and costs what it may."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import curator.lines
from curator import Part, UsageError
from curator.files import SourceChanged, expand, signature
from curator.lines import PIECE, DecompressionBomb, decompressed, line_parts, lines
from curator.reading import read_documents
from curator_plugins.sources.csv import Csv
from curator_plugins.sources.jsonl import Jsonl
from curator_plugins.sources.text import Text
from tests.conftest import Workshop
from tests.test_lines import lz4

MIB = 1 << 20
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4,
}


def reasons(source: Any) -> tuple[int, list[str]]:
    batches = list(read_documents(source, source.parts()))
    return sum(frame.height for frame, _ in batches), [q.reason for _, bad in batches for q in bad]


# -- compression


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("frames", [1, 40])
def test_a_bomb_is_left_when_it_is_known_as_one(
    tmp_path: Path, kind: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one frame or many: its lines up to there are read, and it gives a piece at a time."""
    monkeypatch.setattr(curator.lines, "EXPANDED", 4 * MIB)
    first = b'{"text": "first"}\n'
    path = tmp_path / "bomb"
    zeros = COMPRESS[kind](b"\0" * (40 * MIB // frames))
    path.write_bytes(COMPRESS[kind](first) + zeros * frames)
    sizes: list[int] = []
    with pytest.raises(DecompressionBomb, match=r"expand to .* over 100 times their size; .*raise max_ratio"):
        sizes.extend(map(len, decompressed(str(path), max_ratio=100)))
    assert 4 * MIB - 2 * PIECE < sum(sizes) < 9 * MIB
    assert max(sizes) <= 2 * PIECE
    source = Jsonl(path=str(path), max_ratio=100)
    assert reasons(source) == (1, ["decompression_bomb"])
    source.max_ratio, source.max_chars = 1e9, 1000
    assert reasons(source) == (1, ["too_large"])
    assert reasons(Text(path=str(path), max_ratio=100, max_chars=10 * MIB)) == (0, ["decompression_bomb"])
    assert reasons(Csv(path=str(path), header=["text"], max_ratio=100))[1] == ["decompression_bomb"]


@pytest.mark.parametrize("kind", ["gzip", "lz4"])
def test_text_that_repeats_is_no_bomb(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same line over and over, beyond the free allowance: gzip makes it 340 times smaller."""
    monkeypatch.setattr(curator.lines, "EXPANDED", 0)
    path = tmp_path / "file"
    path.write_bytes(COMPRESS[kind](b'{"text": "lorem ipsum dolor"}\n' * 100_000))
    found = [line for _, line in lines(str(path))]
    assert len(found) == 100_000
    assert set(found) == {b'{"text": "lorem ipsum dolor"}'}


def test_planning_a_bomb_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of its first bytes is enough."""
    monkeypatch.setattr(curator.lines, "WHOLE", 1000)
    monkeypatch.setattr(curator.lines, "EXPANDED", 512 * MIB)
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(b"\0" * (100 * MIB)))
    assert 40 * MIB < sum(part.size for part in line_parts(str(path))) < 200 * MIB


def test_xz_that_asks_for_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before that is taken."""
    monkeypatch.setattr(curator.lines, "XZ_MEMORY", MIB)
    path = tmp_path / "file"
    path.write_bytes(lzma.compress(b'{"text": "x"}\n'))
    ((_, found),) = lines(str(path))
    assert "emory usage limit" in found.detail  # type: ignore[union-attr]


def test_a_header_that_comes_in_two_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a gzip member with a name and extra fields, which isal took for damage wherever it was cut."""
    content = gzip.compress(b"abc\n")
    header = content[:3] + bytes([4 | 8 | 16]) + content[4:10] + b"\4\0extra"[:6] + b"name\0" + b"comment\0"
    path = tmp_path / "file"
    path.write_bytes((header + content[10:]) * 50)
    for fed in (7, 13, 40):
        monkeypatch.setattr(curator.lines, "FED", fed)
        assert b"".join(decompressed(str(path))) == b"abc\n" * 50


def test_compression_within_compression(tmp_path: Path) -> None:
    """Is not unpacked again: it is no text, and one row in the quarantine."""
    path = tmp_path / "file.gz.gz"
    path.write_bytes(gzip.compress(lzma.compress(b'{"text": "x"}\n' * 1000)))
    for source in (Jsonl(path=str(path)), Csv(path=str(path)), Text(path=str(path))):
        ((_, (bad,)),) = read_documents(source, source.parts())
        assert (bad.reason, bad.detail.split(",")[0]) == ("wrong_format", "this is xz within gzip")


def test_a_line_longer_than_many_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part reads its own range of it, not to its end."""
    monkeypatch.setattr(curator.lines, "PART", MIB)
    path = tmp_path / "file"
    path.write_bytes(b"first\n" + b"x" * (20 * MIB) + b"\nlast\n")
    read = []

    def counted(*given: Any, **named: Any) -> Any:
        for piece in decompressed(*given, **named):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(curator.lines, "decompressed", counted)
    parts = list(line_parts(str(path)))
    found = [line for part in parts for _, line in lines(str(path), part.start or 0, part.stop, MIB)]
    assert [line if isinstance(line, bytes) else line.reason for line in found] == [b"first", "too_large", b"last"]
    assert sum(read) < 48 * MIB  # the first reads it all, and the others once more


# -- files that are none


def test_a_pipe_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is not opened, since that waits for ever: planned anew, the path says what it is."""
    path = tmp_path / "file.jsonl"
    path.write_text('{"text": "x"}')
    part = Part(str(path), signature=signature(str(path)))
    path.unlink()
    os.mkfifo(path)
    for source in (Jsonl(path=str(path)), Csv(path=str(path)), Text(path=str(path))):
        with pytest.raises(SourceChanged, match="is a named pipe now, not a file"):
            list(source.read(part))
    with pytest.raises(UsageError, match="is a named pipe, not a file"):
        expand(str(path))


def test_sockets_and_devices(tmp_path: Path) -> None:
    """Neither is opened."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(UsageError, match="is a socket, not a file"):
            expand(str(tmp_path / "s"))
    with pytest.raises(UsageError, match="is not a regular file, not a file"):
        expand("/dev/zero")


def test_loops_of_links(tmp_path: Path) -> None:
    """`**` goes through no link: with two to their own folder it would never end."""
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "a.txt").write_text("")
    for name in ("one", "two", "deep/up"):
        (data / name).symlink_to(data)
    (data / "itself.txt").symlink_to(data / "itself.txt")
    expected = [str(data / "deep" / "a.txt")]
    assert expand(str(data)) == expected
    for pattern in ("**/*.txt", "**/a.txt", "**", "**/deep/**", "deep/*.txt", "**/**/*.txt"):
        assert expand(str(data / pattern)) == expected, pattern


# -- separated values


def test_a_quote_that_never_closes(tmp_path: Path) -> None:
    """Costs the row that it is in up to its limit; later rows are read."""
    path = tmp_path / "data.csv"
    rows = b"".join(b"%d,some words\n" % n for n in range(500_000))
    path.write_bytes(b'id,text\n1,ok\n2,"open\n' + rows)
    found, bad = reasons(Csv(path=str(path), max_chars=1000))
    assert bad == ["too_large"]
    assert found > 499_000


def test_a_row_of_many_long_fields(tmp_path: Path) -> None:
    """Each is within the limit, and all of them together are not: the row is never held whole."""
    path = tmp_path / "data.csv"
    path.write_text("text,b\n" + ",".join(['"' + "x" * 900 + '\n"'] * 20_000))
    tracemalloc.start()
    try:
        _, bad = reasons(Csv(path=str(path), max_chars=1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(bad) == {"too_large", "bad_row"}
    assert peak < 12_000_000


def test_a_hundred_thousand_columns(tmp_path: Path) -> None:
    """They take time in proportion to their number; a message does not name them all."""
    path = tmp_path / "data.csv"
    path.write_text(",".join(["same"] * 100_000) + "\n" + "," * 99_999 + "\n")
    with pytest.raises(UsageError, match=r"same, same_2, same_3, .* and 99950 more\. ") as refused:
        list(Csv(path=str(path)).parts())
    assert len(str(refused.value)) < 2000
    assert reasons(Csv(path=str(path), text="same_7")) == (0, ["no_text"])


def test_several_encodings_in_a_file(tmp_path: Path) -> None:
    """A record in another encoding is refused by itself."""
    path = tmp_path / "data"
    texts = ["a", "ü", "b\0c"]
    latin, utf8 = (f"{text}\n".encode(code) for text, code in (("ü", "latin-1"), ("é", "utf-8")))
    path.write_bytes(b"text\n" + "\n".join(texts).encode() + b"\n" + latin + utf8)
    assert reasons(Csv(path=str(path))) == (4, ["invalid_utf8"])
    path.write_bytes(b'{"text": "%s"}\n{"text": "%s"}' % (latin[:-1], utf8[:-1]))
    assert reasons(Jsonl(path=str(path))) == (1, ["invalid_utf8"])
    path.write_bytes('{"text": "x"}\n'.encode("utf-16"))
    assert set(reasons(Jsonl(path=str(path)))[1]) <= {"invalid_utf8", "bad_json"}


# -- JSON


def test_json_that_is_hard_to_parse(tmp_path: Path) -> None:
    """Numbers of a million digits, nests of a hundred thousand, and a message cut within a character."""
    path = tmp_path / "data.jsonl"
    hard = [
        '{"text": "x", "n": ' + "1" * 1_000_000 + "}",
        '{"text": "x", "n": 1e' + "9" * 1000 + "}",
        '{"text": "x", "n": 0.' + "1" * 1_000_000 + "}",
        '{"text": "x", "n": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"text": "x", "n": ' + '{"a":' * 900 + "1" + "}" * 900 + "}",
        '"' + "ü" * 100 + '"',
        '{"text": "x", "n": NaN, "m": ' + "[" * 100_000,
    ]
    path.write_text("\n".join([*hard, '{"text": "last"}']))
    source = Jsonl(path=str(path))
    batches = list(read_documents(source, source.parts()))
    assert batches[-1][0]["text"][-1] == "last"
    for frame, _ in batches:
        for metadata in frame["metadata"].drop_nulls():
            assert "n" in json.loads(metadata)
    assert {q.reason for _, bad in batches for q in bad} <= {"bad_json", "bad_metadata"}


def test_the_last_of_equal_keys_counts(tmp_path: Path) -> None:
    """As in every reader of JSON; the metadata have it once."""
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "first", "a": 1, "text": "last", "a": 2}\n{"text": "x", "text": null}')
    source = Jsonl(path=str(path))
    ((frame, bad),) = read_documents(source, source.parts())
    assert frame.select("text", "metadata").rows() == [("last", '{"a":2}')]
    assert [q.reason for q in bad] == ["no_text"]


def test_what_is_no_readable_file_is_listed(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a link out and a file without permission cost no other file anything: each is a row with its reason."""
    (workshop.folder / "secret").write_text('{"text": "outside"}\n')
    data = workshop.folder / "data"
    data.mkdir()
    (data / "a.jsonl").write_text('{"text": "one"}\n')
    os.mkfifo(data / "pipe.jsonl")
    (data / "out.jsonl").symlink_to(workshop.folder / "secret")
    (data / "shut.jsonl").write_text('{"text": "shut"}\n')
    # root may read everything
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("shut.jsonl"))
    source = {"jsonl": {"name": "web", "path": "data"}}
    corpus = workshop.curate([], sources=[source])
    listed = corpus.sql("SELECT parse_filename(uri), reason, detail FROM quarantine ORDER BY ALL").rows()
    assert [row[:2] for row in listed] == [("out.jsonl", "link"), ("pipe.jsonl", "not_a_file"), ("shut.jsonl", "unreadable")]
    assert listed[1][2] == "a named pipe"
    monkeypatch.undo()
    (data / "out.jsonl").unlink()
    corpus = workshop.curate([], sources=[source])
    assert corpus.sql("SELECT text FROM texts ORDER BY text").rows() == [("one",), ("shut",)]
    corpus = workshop.curate([], sources=[source])
    assert workshop.report is not None
    assert workshop.report.counts["quarantined"] == 0
