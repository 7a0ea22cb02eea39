"""Connections to databases that are only read: URLs with variables, sessions as alike as may be, no secret shown.

All that is read of a connection is one read-only transaction, in UTC, which does not end while the reader works between
two fetches.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from curator import CuratorError, UsageError
from curator.variables import VARIABLE, filled

if TYPE_CHECKING:
    import sqlalchemy as sa

SECRET = re.compile(r"pass(?!file)|pwd|secret|token", re.IGNORECASE)  #: in names of parameters after the URL's `?`
DRIVERS = {  # SQLAlchemy's own defaults are others, by version
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}  #: what installs a driver
PATIENCE = 15.0  #: seconds that a server, which was there when it was planned, may take to come back

POSTGRESQL = (  # for one transaction: a pooler, as PgBouncer, would hand on to others what is set for a session
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL cursor_tuple_fraction = 1",  # plan for all rows, not for the first tenth
)
MYSQLS = ("mysql", "mariadb")
MYSQL = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET SESSION time_zone = '+00:00', net_write_timeout = 86400",
)


class Database:
    """The database that a URL names; `base` is the folder that paths start from, `what` leads every message."""

    def __init__(self, url: str, base: str, what: str) -> None:
        self.what = what
        self.url = self._resolved(url, base)
        #: the URL without password and parameters
        self.shown = self.url.set(query={}).render_as_string(hide_password=True)

    @property
    def files(self) -> list[str]:
        """The files that the whole database is in, if it is in files."""
        path = _file(self.url)
        return [path + end for end in ("", "-wal", ".wal") if os.path.exists(path + end)] if path else []

    @contextlib.contextmanager
    def connected(self, *, patient: bool = False) -> Iterator[sa.Connection]:
        """A connection; `patient` waits for a server that is away.

        Raises UsageError for a missing driver, CuratorError for whatever the database or its driver says.
        """
        import sqlalchemy as sa

        try:
            engine = self._engine()
            with self._reached(engine, PATIENCE if patient else 0.0) as connection:
                for statement in POSTGRESQL if engine.dialect.name == "postgresql" else ():
                    connection.exec_driver_sql(statement)
                yield connection
        except ImportError as error:
            extra = EXTRAS.get(str(error.name))
            fix = f"pip install 'corpus-curator[{extra}]'" if extra else "install it"
            raise UsageError(f"{self.what}: {self.shown} needs a driver: {error}; {fix}") from None
        except sa.exc.SQLAlchemyError as error:
            lost = "the connection was lost: " if getattr(error, "connection_invalidated", False) else ""
            raise CuratorError(f"{self.what}: {self.shown}: {lost}{self._said(error)}") from None

    @contextlib.contextmanager
    def streamed(self, statement: sa.Executable, at_once: int) -> Iterator[sa.CursorResult[Any]]:
        """The rows of a statement, so many in memory at once; raises as `connected` does."""
        with self.connected(patient=True) as connection:
            options = {"stream_results": True, "yield_per": at_once}
            result = connection.execution_options(**options).execute(statement)
            unread = getattr(result.cursor, "_result", None)
            try:
                yield result
            finally:
                if connection.dialect.driver == "pymysql" and unread is not None:
                    unread.unbuffered_active = False  # or it reads all the rest, even where nothing comes any more
                if not connection.invalidated:
                    connection.invalidate() if connection.dialect.name in MYSQLS else result.close()

    def _engine(self) -> sa.Engine:
        import sqlalchemy as sa

        engine = sa.create_engine(_opened(self.url), poolclass=sa.NullPool)

        @sa.event.listens_for(engine, "do_connect")
        def connect(dialect: sa.Dialect, _: Any, args: Any, options: Any) -> Any:
            connection = dialect.connect(*args, **options)
            if dialect.name == "sqlite":
                connection.text_factory = _decoded
            if dialect.driver == "psycopg":
                from curator_plugins.sources.postgresql_values import load_leniently

                load_leniently(connection)
            if dialect.name in MYSQLS:
                with contextlib.closing(connection.cursor()) as cursor:
                    for statement in MYSQL:
                        cursor.execute(statement)
                connection.commit()
            return connection

        return engine

    def _reached(self, engine: sa.Engine, patience: float) -> sa.Connection:
        import sqlalchemy as sa

        until = time.monotonic() + patience
        while True:
            try:
                return engine.connect()
            except sa.exc.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.5)
            except (ImportError, sa.exc.SQLAlchemyError):
                raise
            except Exception as error:  # a driver's own, as of a parameter that it does not know
                what = f"{type(error).__name__}: {self._said(error)}"
                raise CuratorError(f"{self.what}: {self.shown}: {what}") from None

    def _said(self, error: Exception) -> str:
        """What the driver says, in one line and without secrets."""
        message = " ".join(str(getattr(error, "orig", None) or error).split())
        secrets = [str(self.url.password or "")]
        secrets += [str(value) for name, value in self.url.query.items() if SECRET.search(name)]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            for written in (secret, quote(secret), quote_plus(secret)):
                message = message.replace(written, "***")
        return message

    # -- the URL

    def _resolved(self, text: str, base: str) -> sa.URL:
        import sqlalchemy as sa

        whole = VARIABLE.fullmatch(text)
        try:
            url = sa.make_url(self._filled(text) if whole else text)
        except (sa.exc.ArgumentError, ValueError):
            raise CuratorError(
                f"{self.what}: url is no SQLAlchemy URL, as in sqlite:///blog.sqlite or "
                "postgresql://user:${PASSWORD}@host/database"
            ) from None
        if not whole:
            self._refuse_secrets(url)
            url = url.set(
                username=self._filled(url.username),
                password=self._filled(url.password),
                host=self._filled(url.host),
                database=self._filled(url.database),
                query={name: self._filled(value) for name, value in url.query.items()},
            )
        if path := _file(url):
            path = os.path.abspath(os.path.join(base, os.path.expanduser(path)))
            if not os.path.isfile(path):  # it would be made, and empty
                raise CuratorError(f"{self.what}: no database {path} (paths start from {base!r})")
            url = url.set(database=path)
        return url

    def _refuse_secrets(self, url: sa.URL) -> None:
        """The recipe is stored with the run and with exports."""
        written = [name for name, value in url.query.items() if SECRET.search(name) and not _is_variable(value)]
        if url.password and not _is_variable(str(url.password)):
            written.append("password")
        if written:
            raise CuratorError(
                f"{self.what}: url holds a {written[0]}, and recipes are stored with what they made: "
                f"write ${{{written[0].upper()}}} in its place, and set that environment variable"
            )

    def _filled(self, value: Any) -> Any:
        try:
            return filled(value)
        except UsageError as error:  # which, of a source that was read, would mean that it has gone
            raise CuratorError(f"{self.what}: url: {error}") from None


def _is_variable(value: Any) -> bool:
    match = VARIABLE.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match[3] is None


def _file(url: sa.URL) -> str | None:
    """The path that the URL of a database in a file names."""
    path = str(url.database or "")
    is_file = url.get_backend_name() in ("sqlite", "duckdb") and path not in ("", ":memory:")
    return path if is_file and not path.startswith("file:") else None


def _opened(url: sa.URL) -> sa.URL:
    """The URL that SQLAlchemy opens: with the driver that we install, and read-only."""
    if url.drivername == "duckdb":
        from curator_plugins.sources import duckdb_dialect

        return url.set(drivername=duckdb_dialect.DRIVER, query={})
    if url.get_backend_name() == "sqlite" and (path := _file(url)):
        options = {**url.query, "mode": "ro", "uri": "true"}
        return url.set(database=f"file:{quote(path)}", query=options)
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
