"""Parquet: row groups, values of every type, and files that are none or damaged."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator_plugins.sources.parquet
from curator import UsageError
from curator_plugins.sources.parquet import Parquet


def written(folder: Path, table: pa.Table, **options: Any) -> Parquet:
    pq.write_table(table, folder / "data.parquet", **options)
    return Parquet(path=str(folder / "data.parquet"))


def test_parts_are_ranges_of_row_groups(tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed to a size; together they are the file, and positions are row numbers in it."""
    monkeypatch.setattr(curator_plugins.sources.parquet, "PART", 3000)
    table = pa.table({"text": [f"{n:0100}" for n in range(100)]})
    source = written(tmp_path, table, row_group_size=10, compression="none", use_dictionary=False)
    parts = list(source.parts())
    assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    documents, bad = read(source)
    assert bad == []
    assert [d["text"] for d in documents] == table["text"].to_pylist()
    assert [d["source_key"] for d in documents] == [f"data.parquet#{n}" for n in range(100)]


def test_values_of_every_type(tmp_path: Path, read: Any) -> None:
    """Unmapped columns become JSON, nested ones too; nanoseconds lose what Python cannot hold."""
    moment = dt.datetime(2024, 5, 1, 10, 0, 0, 5)
    table = pa.table(
        {
            "text": ["x"],
            "published": pa.array([1714550400000000123], pa.timestamp("ns", "Europe/Paris")),
            "nested": [{"a": [1, 2], "b": None}],
            "times": pa.array(
                [[{"at": 1714550400000000123}]], pa.list_(pa.struct({"at": pa.timestamp("ns")}))
            ),
            "decimal": [decimal.Decimal("1.50")],
            "binary": [b"\xff"],
            "day": [dt.date(2024, 5, 1)],
            "moment": [moment],
            "nan": [float("nan")],
            "length": pa.array([1500000000], pa.duration("ns")),
            "word": pa.array(["a"]).dictionary_encode(),
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    ((found,), bad) = read(written(tmp_path, table))
    assert bad == []
    assert found["published"] == dt.datetime(2024, 5, 1, 8)
    assert orjson.loads(found["metadata"]) == {
        "nested": {"a": [1, 2], "b": None},
        "times": [{"at": "2024-05-01T08:00:00"}],
        "decimal": "1.50",
        "binary": "ff",
        "day": "2024-05-01",
        "moment": "2024-05-01T10:00:00.000005",
        "nan": None,
        "length": 1.5,
        "word": "a",
        "map": [["k", 1]],
    }


def test_text_inside_a_struct_and_as_bytes(tmp_path: Path, read: Any) -> None:
    """A dotted name reaches into a struct; bytes are text when they are UTF-8."""
    source = written(tmp_path, pa.table({"doc": [{"body": "ü".encode()}, {"body": b"\xff"}, None]}))
    source.text = "doc.body"
    documents, bad = read(source)
    assert [d["text"] for d in documents] == ["ü"]
    assert bad == [("1", "invalid_utf8"), ("2", "no_text")]


def test_a_string_that_is_no_utf8(tmp_path: Path, read: Any) -> None:
    """Parquet does not check its strings; one bad value is one refused row."""
    text = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    documents, bad = read(written(tmp_path, pa.table({"text": text}), store_schema=False))
    assert [d["text"] for d in documents] == ["a", "c"]
    assert bad == [("1", "invalid_utf8")]


def test_a_moment_that_python_does_not_have(tmp_path: Path, read: Any) -> None:
    """Only that row is refused."""
    when = pa.array([2**62, 0], pa.timestamp("us"))
    documents, bad = read(written(tmp_path, pa.table({"text": ["a", "b"], "published": when})))
    assert [d["text"] for d in documents] == ["b"]
    assert bad == [("0", "bad_value")]


def test_damage_costs_its_row_group(tmp_path: Path, read: Any) -> None:
    """The other row groups are read."""
    texts = [f"{n} " * 50 for n in range(30)]
    source = written(tmp_path, pa.table({"text": texts}), row_group_size=10, compression="gzip")
    path = tmp_path / "data.parquet"
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    documents, bad = read(source)
    assert [d["text"] for d in documents] == texts[:10] + texts[20:]
    assert bad == [("10", "damaged_file")]


def test_what_is_no_parquet_file(tmp_path: Path, read: Any) -> None:
    """One row in the quarantine for the file: another format, or a cut one."""
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "good")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-8])
    (tmp_path / "other").write_bytes(b'{"text": "x"}')
    documents, bad = read(Parquet(path=str(tmp_path)))
    assert len(documents) == 1
    assert bad == [("0", "damaged_file"), ("0", "wrong_format")]


def test_a_file_without_the_text_column(tmp_path: Path) -> None:
    """The error names the columns that there are, before anything is read."""
    with pytest.raises(UsageError, match=r"no column 'text'; it has body, id\. .*`text:`"):
        list(written(tmp_path, pa.table({"body": ["x"], "id": [1]})).parts())


def test_files_without_the_column_among_others(tmp_path: Path, read: Any) -> None:
    """One row in the quarantine for each, as long as another has it; a damaged file does not count."""
    pq.write_table(pa.table({"body": ["x", "y"]}), tmp_path / "a", row_group_size=1)
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:-8])
    source = Parquet(path=str(tmp_path))
    with pytest.raises(UsageError, match=r"/a has no column 'text'; it has body\. "):
        list(source.parts())
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "c")
    documents, bad = read(source)
    assert [d["source_key"] for d in documents] == ["c#0"]
    assert bad == [("0", "no_column"), ("0", "damaged_file")]


def test_an_empty_file(tmp_path: Path, read: Any) -> None:
    """No rows are no documents, and no error."""
    assert read(written(tmp_path, pa.table({"text": pa.array([], pa.string())}))) == ([], [])


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """Every row is a document."""
    documents, bad = read(Parquet(path=str(dev / "*/*.parquet")))
    assert (len(documents), bad) == (2375 + 467 + 1042, [])
