"""The catalog file written anew: DuckDB neither shrinks a file nor clears the blocks that deleted rows leave."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from curator_catalog.catalog import Catalog
from curator_catalog.durable import publish
from curator_catalog.errors import CatalogBusy


def rewrite(catalog: Catalog, wait: float = 600.0) -> tuple[int, int]:
    """Copy the catalog into a new file and put that in its place; the bytes before and after.

    Tables, keys, views, macros and comments come along (DuckDB 2.0, tested). While the old file is attached
    read-only no writer can open it, so nothing is lost; readers go on with the old one. It takes as much
    disk again as the new file. Raises CatalogBusy where writers leave no gap.
    """
    new, wal = catalog.path.with_name(".tmp-catalog.duckdb"), Path(f"{catalog.path}.wal")
    before = catalog.path.stat().st_size
    for _ in range(10):
        with catalog.write(wait):
            pass  # closing it writes a log, that a killed writer may have left, into the file
        with catalog.scratch(wait) as con:
            if wal.exists():
                continue
            for leftover in (new, Path(f"{new}.wal")):
                leftover.unlink(missing_ok=True)
            con.execute(f"ATTACH '{str(new).replace(chr(39), chr(39) * 2)}' AS rewritten")
            con.execute("COPY FROM DATABASE catalog TO rewritten")
            con.execute("DETACH rewritten")
            _replace(new, catalog.path)
        return before, catalog.path.stat().st_size
    raise CatalogBusy(f"{catalog.path} is written to all the time; try again when that is done")


def _replace(new: Path, old: Path) -> None:
    shutil.copymode(old, new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    publish(new, old)
