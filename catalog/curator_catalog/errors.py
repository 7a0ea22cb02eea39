"""What the catalog refuses."""


class CatalogError(Exception):
    """Something about the catalog file that the user can mend."""


class CatalogBusy(CatalogError):
    """Another process holds the catalog file."""


class QueryRefused(CatalogError):
    """A statement that the gate for users' SQL does not let through, or that DuckDB cannot run."""
