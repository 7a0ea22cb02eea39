"""Ranges of a column's values, as the URI of a part shows them: `updated_at>2024-01-01T00:00:00,<=2024-02-01T00:00:00`.

A value is written as what it is, so a range is read back as it was: an integer, a decimal, a date, a time with or
without zone (with one: in UTC), a UUID, or text, which stands in quotes. Floats are refused: a `real` of PostgreSQL
is another number once Python has it, so the row at the end of a range would be on neither side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import UUID

from curator import CuratorError

if TYPE_CHECKING:
    import sqlalchemy as sa

Value = int | Decimal | date | UUID | str  #: a datetime is a date

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
BOUND = re.compile(r"(>=?|<=?)(.*)")


@dataclass(frozen=True)
class Range:
    """The values of a column between two, each of which may be missing (no end) or belong to it (closed)."""

    column: str
    low: Value | None = None
    high: Value | None = None
    low_closed: bool = False
    high_closed: bool = True

    def __str__(self) -> str:
        low = "" if self.low is None else f">{'=' * self.low_closed}{_written(self.low)}"
        high = "" if self.high is None else f"<{'=' * self.high_closed}{_written(self.high)}"
        return quote(self.column, safe=" ") + ",".join(filter(None, (low, high)))

    @classmethod
    def parse(cls, text: str) -> Range:
        """The range that `str` wrote."""
        column, bounds = re.fullmatch(r"([^<>]*)(.*)", text).groups()  # type: ignore[union-attr]
        low = high = None
        low_closed, high_closed = False, True
        for bound in filter(None, bounds.split(",")):
            sign, value = BOUND.fullmatch(bound).groups()  # type: ignore[union-attr]
            if sign[0] == ">":
                low, low_closed = _read(value), sign == ">="
            else:
                high, high_closed = _read(value), sign == "<="
        return cls(unquote(column), low, high, low_closed, high_closed)

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """What a row's value must fulfil."""
        import sqlalchemy as sa

        # without a type SQLAlchemy adds no cast, and the driver sends the value as what it is
        def bound(value: Value) -> Any:
            return sa.bindparam(None, value, type_=sa.types.NullType(), unique=True)

        column: sa.ColumnClause[Any] = sa.column(self.column)
        found = []
        if self.low is not None:
            found.append(column >= bound(self.low) if self.low_closed else column > bound(self.low))
        if self.high is not None:
            found.append(column <= bound(self.high) if self.high_closed else column < bound(self.high))
        return found


def value(found: Any, what: str) -> Value:
    """A column's value as it may stand in a range; `what` names the column in the error of one that may not."""
    if isinstance(found, Decimal) and found.is_finite():
        return int(found) if found == found.to_integral_value() else found
    if isinstance(found, datetime) and found.tzinfo:
        return found.astimezone(UTC)
    if isinstance(found, int | date | UUID | str) and not isinstance(found, bool):
        return found
    raise CuratorError(
        f"{what} has values as {found!r}, {type(found).__name__}; it takes integers, decimals, dates, times, "
        "UUIDs and text: cast it in the query, or leave it out"
    )


def less(upper: Value, overlap: int | str, what: str) -> Value:
    """`upper` less an overlap: so many of an integer, and of a time "30m", "12h", "2d"; `what` names the option."""
    match = re.fullmatch(r"(\d+)([smhd])", str(overlap))
    if isinstance(upper, date) and match:
        return upper - timedelta(**{UNITS[match[2]]: int(match[1])})
    if isinstance(upper, int) and str(overlap).isdecimal():
        return upper - int(overlap)
    raise CuratorError(
        f"{what}: {overlap!r} cannot be taken from {upper!r}: write a number for integers, and for dates and times "
        "a number of s, m, h or d, as in 12h"
    )


def _written(found: Value) -> str:
    if isinstance(found, str):
        return f'"{quote(found, safe=" :+/")}"'
    return found.isoformat() if isinstance(found, date) else str(found)


def _read(text: str) -> Value:
    if text.startswith('"'):
        return unquote(text[1:-1])
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}", text):
        return UUID(text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text) if "T" in text else Decimal(text)
