"""The log of what was fetched: lines that were being written, and files that are full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import curator_plugins.sources.pagelog
from curator_plugins.sources.pagelog import PageLog, write_whole


def test_a_line_that_was_being_written(tmp_path: Path) -> None:
    """It is cut off; the file is closed and never written again."""
    with PageLog(str(tmp_path)) as log:
        log.append({"n": 1})
    (tmp_path / "000002.jsonl.open").write_bytes(b'{"n":2}\n{"n":')
    assert [line["n"] for line in PageLog(str(tmp_path)).lines()] == [1]
    with PageLog(str(tmp_path)) as log:
        assert log.last() == {"n": 2}
        log.append({"n": 3})
        (tmp_path / "notes.txt").touch()
    assert [line["n"] for line in log.lines()] == [1, 2, 3]
    assert [os.path.basename(name) for name in log.files()] == [f"00000{n}.jsonl" for n in (1, 2, 3)]


def test_files_that_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line begins another; the last line is found however long it is."""
    monkeypatch.setattr(curator_plugins.sources.pagelog, "FULL", 100)
    with PageLog(str(tmp_path / "log")) as log:
        for length in (10, 90, 70_000, 5_000_000, 1):
            log.append({"text": "x" * length})
            before = log.last()
    assert before == {"text": "x" * 5_000_000}
    assert [len(line["text"]) for line in log.lines()] == [10, 90, 70_000, 5_000_000, 1]
    assert [os.path.getsize(name) for name in log.files()] == [124, 70_012, 5_000_012, 13]
    (tmp_path / "log" / "000005.jsonl").write_bytes(b"")
    assert log.last() == {"text": "x"}


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    write_whole(str(tmp_path / "new" / "state.json"), b"{}")
    write_whole(str(tmp_path / "new" / "state.json"), b"[]")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "new").iterdir()] == [("state.json", b"[]")]


@pytest.mark.parametrize("lost", [1, 2, 7, 20, 21, 22, 23, 40, 60])
def test_a_log_cut_off_anywhere(tmp_path: Path, lost: int) -> None:
    """The lines that are whole stay, and the log goes on behind them."""
    log = PageLog(str(tmp_path))
    for n in range(3):
        log.append({"n": n, "text": "x\n"})
    path = tmp_path / "000001.jsonl.open"
    content = path.read_bytes()
    path.write_bytes(content[:-lost])
    with PageLog(str(tmp_path)) as again:
        again.append({"n": 9})
    whole = content[:-lost].count(b"\n")
    assert [line["n"] for line in again.lines()] == [*range(whole), 9]
