"""Edges between near copies: derived in a scratch database, stored in one short transaction."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curator_catalog import Catalog, copies
from curator_catalog.plans import DecisionPlan


@contextmanager
def scratch_files(folder: Path) -> Iterator[Path]:
    """A folder for results on their way into the catalog."""
    files = folder / "cache" / f"deciding-{time.time_ns()}"
    files.mkdir(parents=True)
    try:
        yield files
    finally:
        shutil.rmtree(files, ignore_errors=True)


def derive_edges(catalog: Catalog, plan: DecisionPlan, note: Callable[[str], None]) -> None:
    """Derive and store the edges that are missing or stale."""
    with scratch_files(catalog.folder) as files:
        with catalog.scratch(wait=600.0) as con:
            found = copies.derive_missing_edges(con, plan, catalog.folder)
            if not found:
                return
            copies.export_edges(con, files)
        with catalog.write(wait=600.0) as con:
            copies.write_edges(con, plan, found, files)
    for name, summary in found.items():
        note(
            f"{name.partition('_')[0]}: {summary.edges:,} edges between {summary.groups:,} distinct documents"
            + (f", {summary.truncated_buckets:,} truncated buckets" if summary.truncated_buckets else "")
        )
