"""Rows of a query, from PostgreSQL, MySQL, MariaDB, SQLite, DuckDB, or what else SQLAlchemy knows.

Rows are streamed: memory holds 2 MiB of them. With `key`, the name of a column without NULLs (integers, text, UUIDs,
times), the query is cut into ranges of 64 MiB of text as its first rows promise, each of as many rows, whatever the
gaps; without, it is one part in the order that the query gives. The database ranks the keys for that, two seconds for a
million. Rejected: ranges as wide as each other, which one key far away makes into one part.

Without `since`, a changed number of rows or range of keys, or for SQLite and DuckDB a changed file, is a new
signature, and everything is read anew; what was updated in place elsewhere shows only by a new key. A part whose
rows are more or fewer than were planned fails as changed; reading all parts in one transaction would have been
exact, but parts are read by different processes, at different times.

**`since`** names a column that grows with every change, and each run reads what is above the largest value that
the run before planned up to. That value stands in the URI of a part, so what was read stays as it is, and the stored
plan is all the state there is. Rows that arrive while a run reads are the next run's; a row that was changed comes
again, and supersedes its older document by its key. Of rows that come late, with a value below, those are seen that
have the last value itself, or with `overlap` one not further below: that stretch is read again when the keys and
values in it are others than they were. (Their number alone would miss a row that comes while another leaves.) Others
are not seen, nor are deleted rows. Times of more than a day ahead wait until they have come, or one such row would
hide all that follow. A row whose value is NULL would be read never or always: they are refused.

Measured (PostgreSQL on a socket, a million rows of 250 characters, CPU seconds of the client): a bare server-side cursor
of psycopg's 1.9, this 2.3, and 10.5 with all that the host does for a document. Rejected: ADBC, which has the rows in
Arrow after 0.5, and as records, which are dicts, after 4.7.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import xxhash

from curator import CuratorError, NothingToRead, Part, Rejected, Source, UsageError, hookimpl
from curator.files import MIB, SourceChanged, signature
from curator.lines import PART
from curator.options import SECRET
from curator_plugins.sources.databases import Database
from curator_plugins.sources.ranges import Range, Value, less, value

if TYPE_CHECKING:
    import sqlalchemy as sa

SAMPLE_ROWS = 100
FETCHED = 2 * MIB  #: bytes of text in memory at a time, as the first rows promise
FETCHED_ROWS = 2000

log = logging.getLogger(__name__)


class Sql(Source):
    """Rows of a query: of PostgreSQL, MySQL, MariaDB, SQLite, DuckDB, or any other SQLAlchemy URL."""

    version = 2
    without_effect = (*Source.without_effect, "overlap")
    url: Annotated[
        str, SECRET, "where the database is: postgresql://me:${PASSWORD}@host/db, sqlite:///blog.sqlite, …"
    ]
    query: Annotated[str, "one SELECT; its columns are the fields"]
    key: Annotated[str | None, "column that tells rows apart; large tables are read by ranges of it"] = None
    since: Annotated[str | None, "column that grows with every change: a later run reads what is above"] = None
    overlap: Annotated[int | str | None, "how far below it late rows are looked for: 12h, or a number"] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.id = self.id or self.key

    def parts(self) -> Iterator[Part]:
        if not self.url or not self.query:
            raise UsageError(f"{self._what} needs the options url and query")
        if self.overlap is not None and not self.since:
            raise CuratorError(f"{self._what}: overlap is how far `since` looks back; name its column")
        database = self._database()
        with database.connected() as connection:
            size, columns = self._first(connection)
            if self.since:
                yield from self._since(connection, database, size, columns)
            else:
                yield from self._whole(connection, database, size)

    def key_of(self, part: Part, position: str) -> str:
        return position

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        import sqlalchemy as sa

        _, planned, _, keys = part.signature.split(":", 3)
        ranges = [Range.parse(text) for text in (part.uri.partition("#")[2], keys) if text]
        statement: Any = self._text()
        if ranges or self.key:
            where = [condition for found in ranges for condition in found.conditions()]
            statement = sa.select(sa.literal_column("*")).select_from(self._query()).where(*where)
            order = self.key or self.since
            statement = statement.order_by(sa.column(order)) if order else statement
        count = 0
        rows_at_once = max(1, min(FETCHED_ROWS, FETCHED // max(1, part.size // max(1, int(planned)))))
        with self._database().streamed(statement, rows_at_once) as result:
            names = (*result.keys(), "#position")
            place = names.index(self.key) if self.key else None
            for row in result:
                yield dict(zip(names, (*row, str(count if place is None else row[place])), strict=True))
                count += 1
        if not self.since and int(planned) != count:
            raise SourceChanged(part.uri, f"the query gives {count} rows where {planned} were planned")

    # -- planning

    def _whole(self, connection: sa.Connection, database: Database, size: int) -> Iterator[Part]:
        rows = self._count(connection)
        if rows == 0:
            raise NothingToRead(f"{self._what}: the query gives no rows from {database.shown}")
        ends = [self._end(connection, self.key, last=last) for last in (False, True)] if self.key else []
        if self.key and (missing := self._count(connection, _column(self.key).is_(None))):
            raise CuratorError(f"{self._what}: key {self.key!r} is NULL in {missing} rows; exclude them")
        content = [self.query, self.key, rows, *map(str, ends), *map(signature, database.files)]
        yield from self._cut_by_key(connection, database.shown, f"{_hash(content)}:{{}}:", None, rows, size)

    def _since(
        self, connection: sa.Connection, database: Database, size: int, columns: list[str]
    ) -> Iterator[Part]:
        """The known parts, and those of the rows above the value that they end with."""
        since = str(self.since)
        if (self.id or "id") not in columns:
            raise CuratorError(
                f"{self._what}: since needs the column that tells rows apart, so that one that comes again "
                f"replaces its older document: name it as `key`; the query gives {', '.join(columns)}"
            )
        before, seen = _end_of(self.known)
        latest = self._latest(connection, before)
        if latest is None:
            raise NothingToRead(f"{self._what}: the query gives no rows from {database.shown}")
        found = Range(since, before, latest)
        if before is not None:
            stretch = self._stretch(before)
            if self._seen(connection, stretch) != seen:
                found = replace(stretch, high=latest)
        rows = self._count(connection, found)
        uri = f"{database.shown}#{found}"
        yield from (part for part in self.known if not rows or part.uri != uri)
        if rows:
            signed = f"{_hash([self.query, self.key, since])}:{{}}:{self._seen(connection, self._stretch(latest))}"
            if self.key:
                yield from self._cut_by_key(connection, uri, signed, found, rows, size)
                return
            for piece, count in self._pieces(connection, since, found, rows, size):
                yield Part(f"{database.shown}#{piece}", None, None, f"{signed.format(count)}:", count * size)

    def _latest(self, connection: sa.Connection, before: Value | None) -> Value | None:
        """The largest value of `since` to read up to; None without rows."""
        column = _column(str(self.since))
        if missing := self._count(connection, column.is_(None)):
            raise CuratorError(
                f"{self._what}: since {self.since!r} is NULL in {missing} rows, which would be read never or "
                f"always: give them a value in the query, as coalesce({self.since}, created_at), or exclude them"
            )
        above = Range(column.name, before, low_closed=True)
        end = self._end(connection, column.name, above, last=True)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        if isinstance(end, datetime):
            limit: date = tomorrow if end.tzinfo else tomorrow.replace(tzinfo=None)
        else:
            limit = tomorrow.date()
        if end == "infinity" or (isinstance(end, date) and end > limit):
            ahead = self._count(connection, Range(column.name, limit))
            log.warning("%s: %d rows have a %s in the future, up to %s: they wait", self._what, ahead, column.name, end)
            end = self._end(connection, column.name, replace(above, high=limit), last=True)
        return before if end is None else end

    def _stretch(self, end: Value) -> Range:
        """The values up to `end` that late rows are looked for among."""
        low = less(end, self.overlap, f"{self._what}: overlap") if self.overlap else end
        return Range(str(self.since), low, end, low_closed=True)

    def _seen(self, connection: sa.Connection, stretch: Range) -> str:
        """A hash of the keys and values of `since` that there are in a stretch."""
        import sqlalchemy as sa

        since, key = _column(stretch.column), _column(self.id or "id")
        rows = sa.select(since, key).select_from(self._query()).where(*stretch.conditions()).order_by(since, key)
        hashed = xxhash.xxh3_64()
        for row in connection.execute(rows, execution_options={"stream_results": True, "yield_per": FETCHED_ROWS}):
            hashed.update(repr(tuple(row)).encode())
        return hashed.hexdigest()

    def _cut_by_key(
        self, connection: sa.Connection, uri: str, signed: str, found: Range | None, rows: int, size: int
    ) -> Iterator[Part]:
        """The parts of one URI; `signed` has a place for the number of rows."""
        if not self.key or rows * size <= PART:
            yield Part(uri, None, None, f"{signed.format(rows)}:", rows * size)
            return
        pieces = self._pieces(connection, self.key, found, rows, size)
        for number, (keys, count) in enumerate(pieces):
            yield Part(uri, number, number + 1, f"{signed.format(count)}:{keys}", count * size)

    def _pieces(
        self, connection: sa.Connection, name: str, found: Range | None, rows: int, size: int
    ) -> list[tuple[Range, int]]:
        """Ranges of a column, with their rows, that are together those of `found`; equal values stay together."""
        from sqlalchemy import Integer, func, or_, select, type_coerce

        width = -(-rows // -(-rows * size // PART))
        column = _column(name)
        where = found.conditions() if found else []
        ranked = select(column.label("k"), func.rank().over(order_by=column).label("r"))
        ranks = ranked.select_from(self._query()).where(*where).subquery("ranks")
        tile = (type_coerce(ranks.c.r, Integer) - 1) // width
        tiles = select(ranks.c.k, ranks.c.r, tile.label("tile")).subquery("tiles")
        before = func.lag(tiles.c.tile).over(order_by=tiles.c.k)
        ends = select(tiles, before.label("before")).subquery("ends")
        first = select(ends.c.k, ends.c.r).where(or_(ends.c.before.is_(None), ends.c.before != ends.c.tile))
        starts = [(value(k, self._named(name)), int(r)) for k, r in connection.execute(first.order_by(ends.c.r))]
        pieces = []
        for (low, rank), (high, next_rank) in zip(starts, [*starts[1:], (None, rows + 1)], strict=True):
            pieces.append((Range(name, low, high, True, False), next_rank - rank))
        whole = found if found and found.column == name else Range(name)
        pieces[0] = replace(pieces[0][0], low=whole.low, low_closed=whole.low_closed), pieces[0][1]
        pieces[-1] = replace(pieces[-1][0], high=whole.high, high_closed=True), pieces[-1][1]
        return pieces

    def _count(self, connection: sa.Connection, where: Range | sa.ColumnElement[bool] | None = None) -> int:
        from sqlalchemy import func, select

        conditions = where.conditions() if isinstance(where, Range) else [] if where is None else [where]
        counted = select(func.count()).select_from(self._query()).where(*conditions)
        return int(connection.execute(counted).scalar_one())

    def _end(self, connection: sa.Connection, name: str, within: Range | None = None, *, last: bool) -> Value | None:
        """The smallest or largest value of a column; PostgreSQL has no max() of UUIDs."""
        import sqlalchemy as sa

        column = _column(name)
        ordered = sa.select(column).select_from(self._query()).where(*(within.conditions() if within else []))
        ordered = ordered.order_by(column.desc() if last else column).limit(1)
        found = connection.execute(ordered).scalar_one_or_none()
        return None if found is None else value(found, self._named(name))

    def _first(self, connection: sa.Connection) -> tuple[int, list[str]]:
        """The bytes of text that a row has in the mean of the first, and the names of the columns."""
        import sqlalchemy as sa

        first: sa.Result[Any] = connection.execute(
            sa.select(sa.literal_column("*")).select_from(self._query()).limit(SAMPLE_ROWS)
        )
        columns = list(first.keys())
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise CuratorError(f"{self._what}: two columns of the query are called {twice[0]!r}; give one a name with AS")
        for option, name in (("text", self.text), ("key", self.key), ("since", self.since)):
            if name and name not in columns:
                raise CuratorError(
                    f"{self._what}: {option}: {name!r} is no column of the query; it gives {', '.join(columns)}"
                )
        place = columns.index(self.text)
        texts = [row[place] or "" for row in first]
        return 1 + sum(map(len, texts)) // max(len(texts), 1), columns

    # -- the query

    @property
    def _what(self) -> str:
        return f"source {self.name!r}"

    def _named(self, column: str) -> str:
        return f"{self._what}: {'since' if column == self.since else 'key'} {column!r}"

    def _database(self) -> Database:
        return Database(self.url, self.base, self._what)

    def _text(self) -> sa.TextClause:
        import sqlalchemy as sa

        # a colon before a word would be a parameter, and a comment may end the query
        return sa.text(re.sub(r":(?=\w)", r"\:", self.query.strip().rstrip(";")) + "\n")

    def _query(self) -> sa.Subquery:
        return self._text().columns().subquery("curator_query")


def _column(name: str) -> sa.ColumnClause[Any]:
    import sqlalchemy as sa

    return sa.column(name)


def _end_of(known: Sequence[Part]) -> tuple[Value | None, str]:
    """The value that the known parts are planned up to, and what was seen of the last stretch then."""
    ends = [Range.parse(part.uri.partition("#")[2]).high for part in known]
    if not ends:
        return None, ""
    end = max(ends)  # type: ignore[type-var]  # a column's values are of one type
    at = len(ends) - 1 - ends[::-1].index(end)
    return end, known[at].signature.split(":")[2]


def _hash(content: list[Any]) -> str:
    return xxhash.xxh3_128_hexdigest(repr(content).encode())


@hookimpl
def register_sources(register: Any) -> None:
    register(Sql)
