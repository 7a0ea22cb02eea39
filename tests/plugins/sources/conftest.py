"""What the tests of sources share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curator import Source
from curator.reading import read_documents

DEV = Path(__file__).parents[4] / "shared" / "data" / "dev"

Read = Callable[[Source], tuple[list[dict[str, Any]], list[tuple[str, str]]]]


@pytest.fixture
def read() -> Read:
    """The documents of a source as dicts, and (position, reason) of what was quarantined."""

    def read(source: Source) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
        batches = list(read_documents(source, source.parts()))
        bad = [(q.position, q.reason) for _, quarantined in batches for q in quarantined]
        return (pl.concat([frame for frame, _ in batches]).to_dicts() if batches else []), bad

    return read


@pytest.fixture
def dev() -> Path:
    """The developers' corpus, where there is one."""
    if not DEV.is_dir():
        pytest.skip(f"no developers' corpus at {DEV}")
    return DEV
