"""Moments, out of what sources call a date.

ISO 8601 (a year or a month is its first day; no time zone is UTC), RFC 2822 (and 822, whose years have two
digits), VMS's 26-FEB-1987 15:03:27.51, YYYYMMDD and YYYYMMDDhhmmss, and seconds, milli-, micro- or nanoseconds since 1970. Only what can be read in one way: "04/05/2024" is no
moment, and what is none stays in the metadata. Rejected: dateutil, which guesses.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any


def moment(value: Any) -> datetime | None:
    """The moment that a value names, as a naive datetime in UTC; None where it names none for certain."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = _parsed(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = _counted(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime):
            return None
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    except (ValueError, OverflowError, TypeError):
        return None


def _parsed(text: str) -> datetime | float | None:
    if re.fullmatch(r"\d{4,}(\.\d+)?", text):
        return float(text)
    if re.fullmatch(r"\d{4}-\d\d", text):
        text += "-01"
    text = re.sub(r"^(\d{1,2})-([A-Za-z]{3})-(\d{4} +\d\d?:\d\d:\d\d)(\.\d+)?$", r"\1 \2 \3", text)
    if re.match(r"(\w{3}, ?)?\d{1,2} \w{3} (\d{4}|\d\d) +\d", text):
        return parsedate_to_datetime(text)
    return datetime.fromisoformat(re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", text))


def _counted(number: float) -> datetime | None:
    if not math.isfinite(number):
        return None
    for pattern, smallest in (("%Y", 1000), ("%Y%m%d", 1000_01_01), ("%Y%m%d%H%M%S", 1000_01_01_00_00_00)):
        if smallest <= number < 3 * smallest and number == int(number):
            return datetime.strptime(str(int(number)), pattern)
    for unit in (1, 1e3, 1e6, 1e9):
        if 1e8 <= number / unit < 1e11:  # 1973 and later, or else it would be milliseconds
            return datetime(1970, 1, 1) + timedelta(seconds=number / unit)
    return None
