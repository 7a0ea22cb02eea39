"""Rows of a query, from any database that SQLAlchemy knows.

Rows are streamed. With `key`, the name of an integer column without NULLs, the query is cut into ranges of
64 MiB of text as its first rows promise, read in the order of the key; without, it is one part in the order
that the query gives. A changed number of rows or range of keys, or for SQLite a changed file, is a new
signature, and everything is read anew; what was updated in place elsewhere shows only by a new key. A part
whose rows are more or fewer than were planned fails as changed; reading all parts in one transaction would
have been exact, but parts are read by different processes, at different times.

`${NAME}` in the user, password, host or database of the URL, or for the whole of it, is an environment
variable. No password and nothing after the URL's `?` is ever shown or stored.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import xxhash

from curator import CuratorError, Part, Rejected, Source, UsageError, hookimpl
from curator.files import SourceChanged, signature
from curator.lines import PART
from curator.plugin import SECRET

if TYPE_CHECKING:
    import sqlalchemy as sa

VARIABLE = re.compile(r"\$\{(\w+)\}")
SAMPLE_ROWS = 100
FETCHED_ROWS = 100  #: rows in memory at a time


class Sql(Source):
    """Rows of a query against any SQLAlchemy URL."""

    version = 1
    url: Annotated[str, SECRET]
    query: str
    key: str | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.id = self.id or self.key

    def parts(self) -> Iterator[Part]:
        if not self.url or not self.query:
            raise UsageError(f"source {self.name!r} needs the options url and query")
        url = self._database()
        with self._connected(url) as connection:
            size = self._size_of_row(connection)
            rows, low, high = self._extent(connection)
            content = [self.query, self.key, rows, low, high]
            if _is_sqlite_file(url):
                files = (url.database, f"{url.database}-wal")
                content += [signature(file) for file in files if file and os.path.exists(file)]
            signed = xxhash.xxh3_128_hexdigest(repr(content).encode())
            if rows == 0:
                raise UsageError(f"source {self.name!r}: the query gives no rows from {_shown(url)}")
            if low is None or high is None:
                yield Part(_shown(url), None, None, f"{signed}:{rows}", rows * size)
                return
            width = -(-(high - low + 1) // max(1, -(-rows * size // PART)))
            for slot, count in self._slots(connection, low, width):
                start = low + slot * width
                yield Part(_shown(url), start, start + width, f"{signed}:{count}", count * size)

    def key_of(self, part: Part, position: str) -> str:
        return position

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        import sqlalchemy as sa

        url = self._database()
        query = self._query()
        statement: Any = self._text()
        if self.key and part.start is not None:
            key = query.c[self.key]
            statement = sa.select(sa.literal_column("*")).select_from(query).order_by(key)
            statement = statement.where(key >= part.start, key < part.stop)
        count = 0
        with self._connected(url) as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=FETCHED_ROWS)
            for row in streaming.execute(statement).mappings():
                record = dict(row)
                record["#position"] = str(record[self.key] if self.key else count)
                count += 1
                yield record
        planned = part.signature.rpartition(":")[2]
        if planned and int(planned) != count:
            raise SourceChanged(part.uri, f"the query gives {count} rows where {planned} were planned")

    def _extent(self, connection: sa.Connection) -> tuple[int, int | None, int | None]:
        """The number of rows, and the smallest and largest key."""
        from sqlalchemy import func, select

        query = self._query()
        if not self.key:
            return int(connection.execute(select(func.count()).select_from(query)).scalar_one()), None, None
        key = query.c[self.key]
        found = connection.execute(select(func.count(), func.count(key), func.min(key), func.max(key)))
        rows, keys, low, high = found.one()
        if rows != keys:
            raise UsageError(
                f"source {self.name!r}: key {self.key!r} is NULL in {rows - keys} rows; exclude them"
            )
        if rows and (isinstance(low, str | bytes | float) or int(low) != low or int(high) != high):
            raise UsageError(
                f"source {self.name!r}: key {self.key!r} is no integer: {low!r} to {high!r}; leave it out"
            )
        return (int(rows), int(low), int(high)) if rows else (0, None, None)

    def _slots(self, connection: sa.Connection, low: int, width: int) -> list[tuple[int, int]]:
        """(number of the key range, its rows) of each range that has rows."""
        from sqlalchemy import func, select

        slot = ((self._query().c[self.key] - low) // width).label("slot")  # type: ignore[index]
        found = connection.execute(select(slot, func.count()).group_by(slot)).all()
        return sorted((int(number), int(count)) for number, count in found)

    def _size_of_row(self, connection: sa.Connection) -> int:
        """The bytes of text that a row has in the mean of the first."""
        import sqlalchemy as sa

        first: sa.Result[Any] = connection.execute(
            sa.select(sa.literal_column("*")).select_from(self._query()).limit(SAMPLE_ROWS)
        )
        columns = list(first.keys())
        for option, name in (("text", self.text), ("key", self.key)):
            if name and name not in columns:
                raise UsageError(
                    f"source {self.name!r}: {option}: {name!r} is no column of the query; "
                    f"it gives {', '.join(columns)}"
                )
        texts = [row[self.text] or "" for row in first.mappings()]
        return 1 + sum(map(len, texts)) // max(len(texts), 1)

    def _text(self) -> sa.TextClause:
        import sqlalchemy as sa

        # a colon before a word would be a parameter
        return sa.text(re.sub(r":(?=\w)", r"\:", self.query.strip().rstrip(";")))

    def _query(self) -> sa.Subquery:
        import sqlalchemy as sa

        columns = [sa.column(self.key, sa.BigInteger)] if self.key else []
        return self._text().columns(*columns).subquery("curator_query")

    def _database(self) -> sa.URL:
        """The URL with its variables filled in, and SQLite's path from the recipe's folder, read-only."""
        import sqlalchemy as sa

        whole = VARIABLE.fullmatch(self.url)
        try:
            url = sa.make_url(self._filled(self.url) if whole else self.url)
        except (sa.exc.ArgumentError, ValueError):
            raise UsageError(
                f"source {self.name!r}: url is no SQLAlchemy URL, as in sqlite:///blog.sqlite or "
                "postgresql+psycopg://user:${PASSWORD}@host/database"
            ) from None
        if not whole:
            url = url.set(
                username=self._filled(url.username),
                password=self._filled(url.password),
                host=self._filled(url.host),
                database=self._filled(url.database),
            )
        if _is_sqlite_file(url) and not str(url.database).startswith("file:"):
            path = os.path.abspath(os.path.join(self.base, os.path.expanduser(str(url.database))))
            if not os.path.isfile(path):  # SQLite would make an empty one
                raise UsageError(f"source {self.name!r}: no database {path} (paths start from {self.base!r})")
            url = url.set(database=path)
        return url

    def _filled(self, value: Any) -> Any:
        def variable(match: re.Match[str]) -> str:
            try:
                return os.environ[match.group(1)]
            except KeyError:
                raise UsageError(
                    f"source {self.name!r}: url names {match.group()}: no such environment variable is set"
                ) from None

        return VARIABLE.sub(variable, value) if isinstance(value, str) else value

    @contextlib.contextmanager
    def _connected(self, url: sa.URL) -> Iterator[sa.Connection]:
        import sqlalchemy as sa

        shown = _shown(url)
        try:
            engine = sa.create_engine(_read_only(url), poolclass=sa.NullPool)
            if url.get_backend_name() == "sqlite":
                sa.event.listen(engine, "connect", _decode_leniently)
            with engine.connect() as connection:
                yield connection
        except ImportError as error:
            raise UsageError(f"source {self.name!r}: {shown} needs a driver: {error}; install it") from None
        except sa.exc.SQLAlchemyError as error:
            message = str(getattr(error, "orig", None) or error)
            for secret in filter(None, (str(url.password or ""), *map(str, url.query.values()))):
                message = message.replace(secret, "***")
            raise CuratorError(f"source {self.name!r}: {shown}: {message}") from None


def _is_sqlite_file(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def _read_only(url: sa.URL) -> sa.URL:
    if not _is_sqlite_file(url) or str(url.database).startswith("file:"):
        return url
    options = {**url.query, "mode": "ro", "uri": "true"}
    return url.set(database=f"file:{quote(str(url.database))}", query=options)


def _shown(url: sa.URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _decode_leniently(connection: Any, _: Any) -> None:
    """Let text that is no UTF-8 be one rejected record instead of the end of the query."""
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")


@hookimpl
def register_sources(register: Any) -> None:
    register(Sql)
