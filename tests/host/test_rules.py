"""Rules: what is one scalar expression, where its names stand, and literals."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import UsageError
from curator.rules import literal, parse, quoted


def qualified(sql: str) -> str:
    """The expression with columns in angle brackets and options in braces."""
    return parse(sql).qualify(lambda parts: f"<{'.'.join(parts)}>", lambda name: f"{{{name}}}")


QUALIFIED = {
    "n_words < $min_words": "<n_words> < {min_words}",
    "a.b > 3 AND documents.source = 'web'": "<a.b> > 3 AND <documents.source> = 'web'",
    "$x": "{x}",
    "a": "<a>",
    "NOT  a\n  OR\tb": "NOT  <a>\n  OR\t<b>",
    '"Odd ""name" = 1': '<Odd "name> = 1',
    '"select" + step."group by"': "<select> + <step.group by>",
    "größe > 'größe' || naïve": "<größe> > 'größe' || <naïve>",
    "'日本' = 名前 AND $größe": "'日本' = <名前> AND {größe}",
    "a -- b\n + c": "<a> -- b\n + <c>",
    "/* a $b */ a + $b": "/* a $b */ <a> + {b}",
    "len(list_filter(parts, lambda x: x > most)) = 0": "len(list_filter(<parts>, lambda x: x > <most>)) = 0",
    "list_filter(a, lambda x, i: x > i + b) = x": "list_filter(<a>, lambda x, i: x > i + <b>) = <x>",
    "list_transform(a, lambda x: list_filter(b, lambda y: y > x))": (
        "list_transform(<a>, lambda x: list_filter(<b>, lambda y: y > x))"
    ),
    "list_filter(a, lambda X: x > 1) = []": "list_filter(<a>, lambda X: x > 1) = []",
    "CASE WHEN a IS NULL THEN $b ELSE c END": "CASE WHEN <a> IS NULL THEN {b} ELSE <c> END",
    "a BETWEEN $low AND $high": "<a> BETWEEN {low} AND {high}",
    "CAST(a AS INTEGER) > 1 AND b::VARCHAR IN ('x', c)": "CAST(<a> AS INTEGER) > 1 AND <b>::VARCHAR IN ('x', <c>)",
    "rank() OVER (PARTITION BY a ORDER BY b DESC) > $n": "rank() OVER (PARTITION BY <a> ORDER BY <b> DESC) > {n}",
    "a[1] > b[2:3][1]": "<a>[1] > <b>[2:3][1]",
    "{'k': c}['k'] = 1": "{'k': <c>}['k'] = 1",
    "documents.metadata->>'$.score' > $min": "<documents.metadata>->>'$.score' > {min}",
    "'a' || 'it''s b' || a": "'a' || 'it''s b' || <a>",
}


@pytest.mark.parametrize("sql", QUALIFIED)
def test_names_are_replaced_where_they_stand(sql: str) -> None:
    """Columns and options are cut out at their places; all else stays as it was written."""
    assert qualified(sql) == QUALIFIED[sql]


@pytest.mark.parametrize(
    ("sql", "windows"),
    [
        ("a < 3", False),
        ("a < quantile_cont(a, 0.1) OVER ()", True),
        ("NOT (row_number() OVER (PARTITION BY documents.source ORDER BY a) > $n)", True),
        ("'x OVER ()' = a", False),
    ],
)
def test_windows_are_found(sql: str, windows: bool) -> None:
    """Whether an expression holds a window, wherever in it."""
    assert parse(sql).has_window is windows


REFUSED = [
    "a < (SELECT 1)",
    "EXISTS (SELECT 1)",
    "a IN (SELECT b FROM c)",
    "*",
    "COLUMNS(*)",
    "a; DROP TABLE b",
    "a FROM b",
    "a WHERE b",
    "a, b",
    "a ORDER BY b",
    "a LIMIT 1",
    "a UNION SELECT b",
    "a QUALIFY b",
    "DISTINCT a",
    "a GROUP BY a",
    "",
    "a <",
    "a < 3)",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_one_scalar_expression_is_refused(sql: str) -> None:
    """Subqueries, stars, clauses and further statements are refused, quoting the rule."""
    with pytest.raises(UsageError) as raised:
        parse(sql)
    assert str(raised.value).startswith(repr(sql))


@cache
def database() -> duckdb.DuckDBPyConnection:
    """In memory; one for all examples, as opening one takes longer than what is asked of it."""
    return duckdb.connect()


def from_duckdb(sql: str) -> Any:
    return database().execute(f"SELECT {sql}").fetchall()[0][0]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


@given(scalars)
def test_a_literal_is_its_value(value: Any) -> None:
    """DuckDB reads a literal as the value it was made of, with the type that Python gives it."""
    found = from_duckdb(literal(value))
    assert (float(found) if isinstance(value, float) else found) == value
    assert isinstance(found, bool) == isinstance(value, bool)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
    | st.lists(st.integers(-9, 9))
)
def test_a_list_literal_is_its_values(value: list[Any]) -> None:
    """Lists too, the empty one included."""
    assert from_duckdb(literal(value)) == value


@pytest.mark.parametrize("value", [{}, {"a": "it's"}, {"\t'": None, "b": "c"}, {"a": 1, "b": -2}, {"a": ["x"]}], ids=str)
def test_a_mapping_literal_is_its_values(value: dict[str, Any]) -> None:
    """Mappings too, the empty one included; `[key]` is NULL where there is none."""
    assert from_duckdb(literal(value)) == value
    assert from_duckdb(f"{literal(value)}['nothing']") is None


@pytest.mark.parametrize(
    "value", [1e300, -1e300, 5e-324, 0.1, -0.0, 1e16, 2.5, -3, "", "'", "\\", "$x", "a\nb", True, None]
)
def test_literals_with_edges(value: Any) -> None:
    """Quotes, backslashes, dollars, signs and exponents come back exactly."""
    found = from_duckdb(literal(value))
    assert (float(found) if isinstance(value, float) else found) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_a_literal(value: float) -> None:
    """A limit of infinity switches a rule off without null."""
    assert from_duckdb(f"{literal(value)} = CAST('{value}' AS DOUBLE)") is True


def test_a_literal_stands_anywhere() -> None:
    """Negative numbers keep their precedence; a minus before one is no comment."""
    assert from_duckdb(f"5 -{literal(-3)}") == 8
    assert from_duckdb(f"2 ** {literal(-1)}") == 0.5
    assert from_duckdb(f"-{literal(-1.5)}") == 1.5


@pytest.mark.parametrize("value", [b"x", {1, 2}, math.nan])
def test_what_has_no_literal_is_refused(value: Any) -> None:
    """A value of another type is refused by its type."""
    with pytest.raises(UsageError, match="a rule cannot use a value"):
        literal(value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_quoted_is_one_identifier(name: str) -> None:
    """Any name survives as a column's."""
    con = database()
    assert con.execute(f"SELECT 1 AS {quoted(name)}").description[0][0] == name
