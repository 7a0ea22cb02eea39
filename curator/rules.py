"""Rules: one scalar SQL expression each, read through DuckDB's own parser.

`qualify` turns the names a user writes (own signals, `step.signal`, `documents.column`, `$option`) into
columns of the joined measures and literals, by cutting the text at the places the parser reports, so the
rest stays as the user wrote it. Splicing the text was chosen over rewriting the tree and printing it back:
the stored rule reads as it was written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from curator.errors import UsageError

if TYPE_CHECKING:
    import duckdb

_PREFIX = "SELECT "


@dataclass(frozen=True)
class Name:
    """A column reference or a `$option` in an expression, at a byte range of its text."""

    kind: str  # "column" | "option"
    parts: tuple[str, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Expression:
    """A parsed rule."""

    sql: str
    names: tuple[Name, ...]
    has_window: bool

    def qualify(self, column: Callable[[tuple[str, ...]], str], option: Callable[[str], str]) -> str:
        """The expression with every column and option replaced."""
        raw = self.sql.encode()
        for name in sorted(self.names, key=lambda n: n.start, reverse=True):
            new = column(name.parts) if name.kind == "column" else option(name.parts[0])
            raw = raw[: name.start] + new.encode() + raw[name.stop :]
        return raw.decode()


@lru_cache(1000)
def parse(sql: str) -> Expression:
    """Parse one scalar expression. Raises UsageError for anything else."""
    with scratch() as con:
        row = con.execute("SELECT json_serialize_sql(?)", [_PREFIX + sql]).fetchone()
    assert row is not None
    tree = json.loads(row[0])
    if tree.get("error"):
        raise UsageError(f"{sql!r} is not a SQL expression: {tree.get('error_message', '').strip()}")
    statements = tree["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    selected = node.get("select_list", [])
    plain = (
        node.get("type") == "SELECT_NODE"
        and len(selected) == 1
        and (node.get("from_table") or {}).get("type") == "EMPTY"
        and not any(
            node.get(k) for k in ("where_clause", "group_expressions", "having", "qualify", "modifiers")
        )
        and not node["cte_map"]["map"]
    )
    if not plain:
        raise UsageError(f"{sql!r} must be one scalar expression over the signals, as `n_words < $min_words`")
    found: list[Name] = []
    windows = False
    shift = len(_PREFIX)
    for part, bound in _walk(selected[0], frozenset()):
        kind = part.get("class")
        if kind == "SUBQUERY" or kind == "STAR":
            raise UsageError(f"{sql!r}: a rule may hold no subquery and no *; use windows, or a signal")
        windows |= kind == "WINDOW"
        if kind == "FUNCTION" and part["function_name"].lower() in _volatile():
            name = part["function_name"]
            raise UsageError(
                f"{sql!r}: {name}() answers otherwise each time; hash(documents.doc_key) does not"
            )
        start = part.get("query_location", 0) - shift
        if kind == "COLUMN_REF" and part["column_names"][0].lower() not in bound:
            stop = start + part["query_location_length"]
            found.append(Name("column", tuple(part["column_names"]), start, stop))
        elif kind == "PARAMETER":
            found.append(Name("option", (part["identifier"],), start, start + part["query_location_length"]))
    return Expression(sql, tuple(found), windows)


@cache
def _volatile() -> frozenset[str]:
    """The functions whose answers change from call to call."""
    with scratch() as con:
        rows = con.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        ).fetchall()
    return frozenset(name for (name,) in rows)


def scratch() -> duckdb.DuckDBPyConnection:
    """A connection to a database in memory, for parsing and for types, in which nothing is stored."""
    return _memory().cursor()


@cache
def _memory() -> duckdb.DuckDBPyConnection:
    """One for the process: to open it takes 17 ms, and a recipe of ten steps asks forty times."""
    import duckdb

    return duckdb.connect(config={"threads": 1, "python_enable_replacements": False})


def _walk(node: Any, bound: frozenset[str]) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Every parsed node with the lambda parameters in reach of it."""
    if isinstance(node, dict):
        if node.get("class") == "LAMBDA":
            names = json.dumps(node.get("lhs", node.get("params", "")))
            bound = bound | {n.lower() for n in re.findall(r'"column_names": \["([^"]+)"\]', names)}
        if "class" in node:
            yield node, bound
        for value in node.values():
            yield from _walk(value, bound)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value, bound)


def literal(value: Any) -> str:
    """A Python value as a SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return f"CAST('{value}' AS DOUBLE)"
    if isinstance(value, int | float) and value == value:
        return f"({value!r})" if value < 0 else repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list | tuple):
        inner = ", ".join(literal(v) for v in value)
        return f"[{inner}]" if value else "CAST([] AS VARCHAR[])"
    if isinstance(value, dict):
        inner = ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items())
        return f"MAP {{{inner}}}" if value else "CAST(MAP {} AS MAP(VARCHAR, VARCHAR))"
    raise UsageError(f"a rule cannot use a value of type {type(value).__name__}: {value!r}")


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
