"""A short, seeded slice of benchmarks/fuzz.py: readers on damaged files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
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


#: prints what the fuzzer says of a reader that raises, dies and takes too long
HURT = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import fuzz

def hurt(source):
    content = Path(source.path).read_bytes()
    if b"raise" in content:
        raise KeyError("raise")
    if b"die" in content:
        os._exit(3)
    if b"long" in content:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    return [], []

inputs = [b"", b"raise", b"", b"die", b"", b"long"]
fuzz.read, fuzz.SECONDS = hurt, 0.2
fuzz.input_of = lambda name, seed, number, found, tokens: inputs[number]
total, wrong = fuzz.fuzz("csv", 1, len(inputs), Path(sys.argv[2]), None)
print(json.dumps([total["inputs"], wrong]))
"""


def test_a_reader_that_fails_is_seen(tmp_path: Path) -> None:
    """An exception, a death of the process, too much time: each input that does it is named, and the rest is read.

    The fuzzer forks: this process has threads, which forks do not survive, and more memory than an input may take.
    """
    command = [sys.executable, "-c", HURT, ROOT / "benchmarks", tmp_path]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    inputs, wrong = json.loads(asked.stdout)
    assert [what.partition("\n")[0].partition(".")[0] for what in wrong] == [
        "csv 1: Traceback (most recent call last):",
        "csv 3: the child died (3)",
        "csv 5: 0",
    ]
    assert inputs == 5
