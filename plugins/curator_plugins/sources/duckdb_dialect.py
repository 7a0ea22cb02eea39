"""DuckDB files through SQLAlchemy: only read, nothing else reached, no extension loaded.

Its module is a DB-API already, whose cursors stream, so a dialect of SQLAlchemy's is these lines. Rejected:
duckdb-engine (0.17.0 works with DuckDB 2.0), a psycopg2 dialect with DuckDB behind it, for one package more.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect

DRIVER = "duckdb+curator"

#: a query reads the file that was named, not others: `read_csv` and ATTACH are refused
CONFIG = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "threads": 1,
}


class DuckDB(DefaultDialect):
    """Each statement is a transaction of its own."""

    name = "duckdb"
    driver = "curator"
    supports_statement_cache = True
    div_is_floordiv = False

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        import duckdb

        return duckdb

    def create_connect_args(self, url: URL) -> Any:
        return [url.database], {"read_only": True, "config": CONFIG}

    def connect(self, *args: Any, **options: Any) -> Any:
        connection = super().connect(*args, **options)
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def do_rollback(self, dbapi_connection: Any) -> None:
        """There is no transaction to end."""


registry.register(DRIVER.replace("+", "."), __name__, "DuckDB")
