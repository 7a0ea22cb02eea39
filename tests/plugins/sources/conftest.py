"""What the tests of sources share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curator import Source
from curator.reading import read_documents
from curator_plugins.sources.extraction import Extractor
from tests.plugins.sources.servers import Site

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


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on loopback, without pages."""
    with Site() as site:
        yield site


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    """One process for all tests of a module."""
    extractor = Extractor("resiliparse", max_bytes=1 << 20, seconds=5, memory=1 << 28)
    yield extractor
    extractor.close()
