"""The DuckDB catalog of a corpus. Imports neither curator nor its plugins."""

from curator_catalog.catalog import Catalog
from curator_catalog.errors import CatalogBusy, CatalogError, QueryRefused

__all__ = ["Catalog", "CatalogBusy", "CatalogError", "QueryRefused"]
