"""Parquet files that are made to hurt: what a slice and a page may take, and metadata that lie."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator_plugins.sources.parquet as module
import curator_plugins.sources.parquet_pages as pages
from curator import UsageError
from curator.reading import read_documents
from curator.tables import Rows
from curator_plugins.sources.parquet import Parquet

KIB = 1 << 10


def written(folder: Path, table: pa.Table, **options: Any) -> Parquet:
    pq.write_table(table, folder / "data.parquet", **options)
    return Parquet(path=str(folder / "data.parquet"))


def slices(source: Parquet) -> list[int]:
    """Bytes of the text of each slice."""
    rows = [found for part in source.parts() for found in source.read_rows(part)]
    return [found.batch.column("text").nbytes for found in rows if isinstance(found, Rows)]


def test_a_dictionary_of_one_long_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kB that are a GB of text: a slice has no more of it than it may, whichever page it begins in."""
    monkeypatch.setattr(module, "EXPANDED", 1000 * KIB)
    word = "x" * 100_000
    source = written(tmp_path, pa.table({"text": ["a"] * 9000 + [word] * 1000}), compression="zstd")
    assert (tmp_path / "data.parquet").stat().st_size < 10_000
    found = slices(source)
    assert sum(found) > 100_000_000
    assert max(found) < 1100 * KIB


def test_a_dictionary_that_is_large_and_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many short words: its slices are as large as any."""
    monkeypatch.setattr(module, "EXPANDED", 1000 * KIB)
    words = [f"{n:050}" for n in range(5000)]
    source = written(tmp_path, pa.table({"text": words * 4}), dictionary_pagesize_limit=1 << 20)
    assert max(slices(source)) > 300 * KIB


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_that_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: bool) -> None:
    """Its row group is refused before Arrow takes memory for it; the others are read."""
    monkeypatch.setattr(pages, "LARGE", 100 * KIB)
    table = pa.table({"text": ["first", "x" * 1_000_000, "last"]})
    source = written(tmp_path, table, compression="zstd", row_group_size=1, use_dictionary=dictionary)
    batches = list(read_documents(source, source.parts()))
    assert [text for frame, _ in batches for text in frame["text"]] == ["first", "last"]
    ((_, bad),) = batches
    assert [(q.position, q.reason) for q in bad] == [("1", "decompression_bomb")]
    assert bad[0].detail.startswith("row group 1, from row 1: a page of column 'text' expands from ")
    source.max_ratio = 1e6
    assert sum(len(frame) for frame, _ in read_documents(source, source.parts())) == 3


def test_headers_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Of both versions of data pages, with long statistics, nested columns and NULLs."""
    table = pa.table(
        {
            "text": [f"{n}" * 2000 for n in range(500)],
            "word": ["a", None] * 250,
            "tags": [["x", "y"]] * 500,
            "n": [{"a": n, "b": str(n)} for n in range(500)],
        }
    )
    for version in ("1.0", "2.0"):
        for codec in ("none", "snappy", "zstd"):
            pq.write_table(table, tmp_path / "f", data_page_version=version, compression=codec, data_page_size=5000)
            with (tmp_path / "f").open("rb") as raw:
                (group,) = pages.row_groups(raw)
                found = pages.dictionaries(raw, group, 500)
            assert found["word"] == 5
            assert found["tags.list.element"] == 10
            assert set(found) == {"text", "word", "tags.list.element", "n.b"}  # numbers are as long as they are


def test_a_page_that_declares_two_gigabytes(tmp_path: Path) -> None:
    """And has a few bytes: refused, with little memory taken."""
    source = written(tmp_path, pa.table({"text": ["word"] * 3}), compression="none", use_dictionary=False)
    path = tmp_path / "data.parquet"
    content = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    fields, _ = pages._struct(bytes(content), at, 0)
    size = pages._varint(bytes(content), at + 3)[0]
    assert fields[2] == pages._signed(size) == fields[3]
    huge = bytes.fromhex("feffffff0f")  # 2^31 - 1, in zigzag
    for place in (at + 3, at + 5):  # the size, and the size as stored
        damaged = bytes(content[:place] + huge + content[place + 1 :])
        path.write_bytes(damaged)
        ((_, bad),) = read_documents(source, source.parts())
        assert {q.reason for q in bad} <= {"decompression_bomb", "damaged_file", "wrong_format"}


def test_statistics_that_do_not_fit_the_schema() -> None:
    """Found by fuzzing: asked for such a column, pyarrow 26 ends the process; reading says what is wrong."""
    source = Parquet(path=str(Path(__file__).with_name("misfit.parquet")))
    ((frame, bad),) = read_documents(source, source.parts())
    assert frame.height == 0
    assert [(q.position, q.reason) for q in bad] == [(place, "damaged_file") for place in ("0", "15", "30")]


def test_damage_anywhere(tmp_path: Path) -> None:
    """Any bytes of a small file overwritten: rows and reasons, the same ones twice, never an exception."""
    table = pa.table({"text": [f"text {n}" for n in range(60)], "tags": [["a", "b"]] * 60, "id": range(60)})
    drawn = random.Random(7)
    path = tmp_path / "data.parquet"
    source = written(tmp_path, table, row_group_size=20)
    content = path.read_bytes()
    reasons: set[str] = set()
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(drawn.randint(1, 4)):
            damaged[drawn.randrange(len(damaged))] = drawn.randrange(256)
        path.write_bytes(damaged)
        read = [
            [(frame.to_dicts(), [(q.position, q.reason) for q in bad]) for frame, bad in batches]
            for batches in (read_documents(source, parts) for parts in (planned(source), planned(source)))
        ]
        assert read[0] == read[1]
        reasons |= {reason for _, bad in read[0] for _, reason in bad}
    assert "damaged_file" in reasons


def planned(source: Parquet) -> list[Any]:
    try:
        return list(source.parts())
    except UsageError:  # a column is called otherwise now
        return []
