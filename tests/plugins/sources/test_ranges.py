"""Ranges: what is written is read back, and pieces hold every value once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import CuratorError
from curator_plugins.sources.ranges import Range, less, value

zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-7, minutes=-30))])
values = st.one_of(
    st.integers(), st.text(), st.uuids(), st.dates(), st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones),
)  # fmt: skip
ends = st.one_of(st.none(), values.map(lambda found: value(found, "key")))


@given(st.text(min_size=1), ends, ends, st.booleans(), st.booleans())
def test_a_range_is_read_back(column: str, low: Any, high: Any, low_closed: bool, high_closed: bool) -> None:
    """Any column and values, in one word that has no # and no &; a value keeps its type."""
    found = Range(column, low, high, low_closed and low is not None, high_closed or high is None)
    read = Range.parse(str(found))
    assert read == found
    assert (type(read.low), type(read.high)) == (type(found.low), type(found.high))
    assert not {"#", "&", "\n"} & set(str(found))


def test_how_it_is_written() -> None:
    """As a reader would."""
    zoned = datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert str(Range("updated_at", value(zoned, ""), date(2024, 2, 1))) == "updated_at>2024-01-01T00:00:00+00:00,<=2024-02-01"
    assert str(Range("name", 'a,"b', "ü", True, False)) == 'name>="a%2C%22b",<"%C3%BC"'
    assert str(Range("n", value(Decimal("3.00"), ""), value(Decimal("3.5"), ""))) == "n>3,<=3.5"
    assert str(Range("u", UUID(int=1), None)) == "u>00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize("odd", [1.5, True, b"x", Decimal("nan"), None])
def test_values_that_make_no_range(odd: Any) -> None:
    """Are named with the column."""
    with pytest.raises(CuratorError, match=r"since 'n' has values as .*: cast it in the query"):
        value(odd, "since 'n'")


def test_an_overlap() -> None:
    """Is a number of an integer, and a duration of dates and times."""
    assert less(10, 3, "") == less(10, "3", "") == 7
    assert less(date(2024, 3, 1), "2d", "") == date(2024, 2, 28)
    assert less(datetime(2024, 3, 1), "90m", "") == datetime(2024, 2, 29, 22, 30)
    for end, overlap in ((10, "1h"), (date(2024, 3, 1), 3), ("text", 3), (10, -1), (Decimal("1.5"), 1)):
        with pytest.raises(CuratorError, match=r"posts: overlap: .* cannot be taken from .* as in 12h"):
            less(end, overlap, "posts: overlap")
