"""A short, seeded slice of benchmarks/fuzz.py: readers on damaged files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fuzz"]


FORMATS = ["jsonl", "csv", "tsv", "text", "parquet", "warc", "mbox", "xml", "sgml", "wikipedia", "stackexchange"]

INPUTS = 100  # of each


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(fuzz: ModuleType, name: str, tmp_path: Path) -> None:
    """Are documents and reasons, the same ones when read again, and nothing else."""
    tokens, _, make = fuzz.formats()[name]
    found = fuzz.pieces(name, tmp_path)  # made ones: no files of others are needed
    path = tmp_path / "input"
    first = make(str(path))
    rows = reasons = 0
    for number in range(INPUTS):
        path.write_bytes(fuzz.input_of(name, 7, number, found, fuzz.TOKENS[tokens]))
        documents, bad = fuzz.read(first)
        assert number % 10 or (documents, bad) == fuzz.read(make(str(path)))
        rows, reasons = rows + len(documents), reasons + len(bad)
    assert rows >= 5
    assert reasons > 20
