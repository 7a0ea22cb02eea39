"""The catalog file: open, migrate, and query through the gate.

DuckDB refuses a second process while a writer holds the file, and a writer while a reader does. So nobody
holds it: every method opens, does its work in one short transaction or one query, and closes. Opening takes
10-15 ms; a reader that polls waits 40 ms at the median behind ten commits a second.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from curator_catalog.errors import CatalogBusy, CatalogError, QueryRefused

_EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN\b\s*(ANALYZE\b)?\s*", re.IGNORECASE | re.DOTALL)
_EXPLAIN_OPTIONS = re.compile(r"\([\w\s,]*\)")
SETTINGS = "SET search_path = 'main,store'; SET TimeZone = 'UTC'"


class Catalog:
    """The catalog of one corpus folder. `memory_limit` and `threads` bound every connection."""

    def __init__(self, folder: str | Path, *, memory_limit: str = "1GB", threads: int = 2) -> None:
        self.folder = Path(folder).resolve()
        self.path = self.folder / "catalog.duckdb"
        self._config: dict[str, Any] = {
            "memory_limit": memory_limit,
            "threads": threads,
            "temp_directory": str(self.folder / "cache" / "duckdb"),
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
        }

    def exists(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def write(self, wait: float = 0.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection in one transaction, committed at the end. Raises CatalogBusy after `wait` seconds."""
        con = self._connect(wait, read_only=False)
        try:
            con.execute(SETTINGS if schema_version(con) else "SET TimeZone = 'UTC'")
            con.execute("BEGIN")
            yield con
            con.execute("COMMIT")
        finally:
            con.close()

    @contextmanager
    def read(self, wait: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection. Raises CatalogBusy after `wait` seconds behind a writer."""
        if not self.exists():
            raise CatalogError(f"there is no catalog {self.path}; `curator run` makes one")
        con = self._connect(wait, read_only=True)
        try:
            con.execute(SETTINGS if schema_version(con) else "SET TimeZone = 'UTC'")
            yield con
        finally:
            con.close()

    @contextmanager
    def scratch(self, wait: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A scratch database, writable, with the catalog attached read-only behind it."""
        con = duckdb.connect(config=self._config)
        try:
            self._retry(
                wait, lambda: con.execute(f"ATTACH '{_escaped(str(self.path))}' AS catalog (READ_ONLY)")
            )
            con.execute("SET search_path = 'memory.main,catalog.main,catalog.store'; SET TimeZone = 'UTC'")
            yield con
        finally:
            con.close()

    def create(self) -> None:
        """Make the catalog, or bring an older one to the newest schema. Raises CatalogError for a newer one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = migrations()
        with self.write(wait=60.0) as con:
            current = schema_version(con)
            if current > wanted[-1][0]:
                raise CatalogError(
                    f"{self.path} has schema version {current}, this curator knows up to {wanted[-1][0]}; "
                    "install the newer corpus-curator that wrote it"
                )
            for number, sql in wanted:
                if number > current:
                    con.execute(sql)
                    con.execute(
                        "INSERT OR REPLACE INTO store.settings VALUES ('schema_version', ?)", [str(number)]
                    )
            root = con.execute("SELECT value FROM store.settings WHERE name = 'root'").fetchall()
            con.execute("INSERT OR REPLACE INTO store.settings VALUES ('root', ?)", [str(self.folder)])
            if current < wanted[-1][0] or root != [(str(self.folder),)]:
                from curator_catalog.views import create_views

                create_views(con, self.folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One coordinator a corpus: a second one would plan the same work, or sweep away the first one's files.

        Raises CatalogError where another is at work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "run.lock").acquire(timeout=0):
                yield
        except Timeout:
            raise CatalogError(
                f"another curator run is at work on {self.folder}; wait for it, or stop it"
            ) from None

    @contextmanager
    def users(self, wait: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for users' SQL: read-only, no file but the corpus's own in reach, settings locked."""
        with self._where_it_is(wait) as con:
            version = schema_version(con)
            newest = migrations()[-1][0]
            if version != newest:
                newer = "is newer than this curator; install the one that wrote it"
                raise CatalogError(
                    f"{self.path} has schema version {version}, which "
                    + (newer if version > newest else f"is older than {newest}; `curator run` migrates it")
                )
            if self._moved(con):
                from curator_catalog.views import shadow_moved_views

                shadow_moved_views(con, self.folder)
            paths = [str(self.folder / p) for (p,) in con.sql("SELECT path FROM shards").fetchall()]
            con.execute(f"SET allowed_paths = [{', '.join(_quoted(p) for p in paths)}]")
            con.execute(
                "SET search_path = 'main'; SET enable_external_access = false; SET lock_configuration = true"
            )
            yield con

    def query(self, sql: str, parameters: Sequence[Any] = (), *, wait: float = 60.0) -> Any:
        """The result of one SELECT as an Arrow table. Raises QueryRefused for any other statement."""
        with self.users(wait) as con:
            statement = check_statement(con, sql)
            try:
                if parameters:
                    return con.sql(statement, params=list(parameters)).to_arrow_table()
                return con.sql(statement).to_arrow_table()
            except duckdb.Error as error:
                raise QueryRefused(f"{error}\nin: {sql.strip()}") from None

    def _moved(self, con: duckdb.DuckDBPyConnection) -> bool:
        root = con.execute("SELECT value FROM store.settings WHERE name = 'root'").fetchall()
        return bool(root) and root[0][0] != str(self.folder)

    @contextmanager
    def _where_it_is(self, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection, views made anew after the folder was moved; where that cannot be written, readers
        shadow them."""
        with self.read(wait) as con:
            if schema_version(con) != migrations()[-1][0] or not self._moved(con):
                yield con
                return
        with suppress(CatalogError), self.write(wait=1.0) as con:
            from curator_catalog.views import create_views

            con.execute("INSERT OR REPLACE INTO store.settings VALUES ('root', ?)", [str(self.folder)])
            create_views(con, self.folder)
        with self.read(wait) as con:
            yield con

    def _connect(self, wait: float, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        connection: duckdb.DuckDBPyConnection = self._retry(
            wait, lambda: duckdb.connect(str(self.path), read_only=read_only, config=self._config)
        )
        return connection

    def _retry(self, wait: float, attempt: Any) -> Any:
        deadline = time.monotonic() + wait
        while True:
            try:
                return attempt()
            except duckdb.Error as error:
                text = str(error)
                if "lock" not in text.lower() and "different configuration" not in text:
                    raise CatalogError(f"{self.path} cannot be opened: {text}") from error
                if time.monotonic() >= deadline:
                    holder = re.search(r"held in (.+?)\s*\(PID (\d+)\)", text)
                    who = f"{holder[1]} (process {holder[2]})" if holder else "another connection"
                    raise CatalogBusy(f"{self.path} is held by {who}; try again when it is done") from None
                time.sleep(0.02)


def check_statement(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """What to execute for the one SELECT (or EXPLAIN of a SELECT) in `sql`.

    Raises QueryRefused for any other statement, naming what it is; for a SELECT that has COPY, INSERT,
    UPDATE or DELETE in its WITH, which DuckDB 2 calls a SELECT all the same; and for the table functions that
    run SQL from a string, which may hide one. (Tried: both overwrite a shard from a read-only connection.)
    """
    kind = _kind(con, sql)
    if kind == "EXPLAIN":
        # put together anew from what was looked at, so that no comment can hide another statement
        prefix = _EXPLAIN.match(sql)
        rest = sql[prefix.end() :] if prefix else ""
        options = _EXPLAIN_OPTIONS.match(rest)
        for chosen in {"", options[0] if options else ""}:
            inner = rest.removeprefix(chosen)
            with suppress(QueryRefused):
                if prefix and (kind := _kind(con, inner)) == "SELECT":
                    return f"EXPLAIN {'ANALYZE ' if prefix[1] else ''}{chosen}{inner}"
        kind = f"EXPLAIN of {kind}"
    if kind != "SELECT":
        raise QueryRefused(
            f"only SELECT is allowed here, this is {kind}: {sql.strip()}\n"
            "to write a result to a file use -o; to change decisions use `curator decide`"
        )
    return sql


def check_expression(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises QueryRefused for what is not one expression, such as `true) UNION (SELECT …`; subqueries may be in it."""
    check_statement(con, f"SELECT {sql}\n")
    tree = json.loads(con.execute("SELECT json_serialize_sql(?)", [f"SELECT {sql}\n"]).fetchall()[0][0])
    node = tree["statements"][0]["node"]
    clauses = ("where_clause", "group_expressions", "having", "qualify", "modifiers", "sample")
    if (
        node["type"] != "SELECT_NODE"
        or len(node["select_list"]) != 1
        or node["from_table"]["type"] != "EMPTY"
        or any(node.get(clause) for clause in clauses)
    ):
        raise QueryRefused(f"give one expression that is true or false of a document; this is more: {sql.strip()}")


def _kind(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """What the one statement in `sql` is by DuckDB's parser: SELECT only if nothing in it writes."""
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(f"{error}\nin: {sql.strip()}") from None
    if len(statements) != 1:
        raise QueryRefused(f"give one statement; this is {len(statements)}: {sql.strip()}")
    if statements[0].type != duckdb.StatementType.SELECT:
        return str(statements[0].type.name)
    tree = json.loads(con.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0])
    if tree["error"]:
        raise QueryRefused(f"{tree['error_message']}\nin: {sql.strip()}")
    return next(_refused(tree), "SELECT")


def _refused(tree: Any) -> Iterator[str]:
    """What in a syntax tree writes, or may."""
    if isinstance(tree, dict):
        if str(tree.get("type")).endswith("_QUERY_NODE"):
            yield f"WITH … {tree['type'].removesuffix('_QUERY_NODE')}"
        if (name := str(tree.get("function_name")).lower()) in ("query", "json_execute_serialized_sql"):
            yield f"SQL in a string, {name}()"
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _refused(branch)


def schema_version(con: duckdb.DuckDBPyConnection) -> int:
    """The schema version of an open catalog; 0 for an empty file."""
    known = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'store' AND table_name = 'settings'"
    if con.execute(known).fetchall()[0][0] == 0:
        return 0
    rows = con.execute("SELECT value FROM store.settings WHERE name = 'schema_version'").fetchall()
    return int(rows[0][0]) if rows else 0


@cache
def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    found = []
    for file in files("curator_catalog").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def _quoted(text: str) -> str:
    return f"'{_escaped(text)}'"


def _escaped(text: str) -> str:
    return text.replace("'", "''")
