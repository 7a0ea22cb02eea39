"""What workers left ready becomes part of the catalog."""

from __future__ import annotations

from curator_catalog import Catalog, commits


def register_ready(catalog: Catalog, run_id: int, wait: float) -> list[commits.Sidecar]:
    """Register the sidecars that lie ready, in one transaction, and return those that counted.

    Raises CatalogBusy where somebody holds the catalog for `wait` seconds; nothing is lost then.
    """
    sidecars = commits.pending(catalog.folder)
    if not sidecars:
        return []
    with catalog.write(wait=wait) as con:
        registered = commits.commit(con, catalog.folder, sidecars, run_id)
        leftovers = commits.leftovers(con, sidecars)
    for sidecar in sidecars:
        sidecar.path.unlink(missing_ok=True)
    for path in leftovers:  # after the sidecars: killed here, the next start sweeps them
        (catalog.folder / path).unlink(missing_ok=True)
    return registered
