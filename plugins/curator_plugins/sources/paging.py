"""How the pages of an API follow each other.

A place in a walk is what JSON can hold (a number, a cursor, a URL), so that it can be stored with each page
and the walk resumed from it. None is the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, Required

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

if TYPE_CHECKING:
    import httpx

Place = str | int | float | None
DEEPEST = 4  #: objects within each other that are searched for lists


@with_config(ConfigDict(extra="forbid"))
class Numbered(TypedDict, total=False):
    """Paging by the number of the page, or of its first record: `{param: page, start: 1, size_param: n, size: 9}`."""

    param: Required[str]
    start: int
    size_param: str
    size: int


@with_config(ConfigDict(extra="forbid"))
class Cursor(TypedDict, total=False):
    """Paging by a value that each page gives for the next: `{param: after, path: meta.next}`."""

    param: Required[str]
    path: Required[str]
    size_param: str
    size: int


class Paging(Protocol):
    """`counted`: the place of the next page is known whatever this page holds."""

    counted: bool
    first: Place

    def parameters(self, place: Place) -> dict[str, Any]: ...
    def following(self, place: Place, headers: httpx.Headers, page: Any, records: int) -> Place: ...


def paging(
    page: Numbered | None, offset: Numbered | None, cursor: Cursor | None, following: str | None
) -> Paging:
    """What the options say; at most one of them is given."""
    if page:
        return Pages(page, 1, by_records=False)
    if offset:
        return Pages(offset, 0, by_records=True)
    return Cursors(cursor) if cursor else Links(following)


class Pages:
    counted = True

    def __init__(self, option: Numbered, start: int, *, by_records: bool) -> None:
        self.option, self.by_records = option, by_records
        self.first: Place = option.get("start", start)

    def parameters(self, place: Place) -> dict[str, Any]:
        return {self.option["param"]: place, **_size(self.option)}

    def following(self, place: Place, headers: httpx.Headers, page: Any, records: int) -> Place:
        assert isinstance(place, int)
        return place + ((self.option.get("size") or records) if self.by_records else 1)


class Cursors:
    counted = False
    first: Place = ""

    def __init__(self, option: Cursor) -> None:
        self.option = option

    def parameters(self, place: Place) -> dict[str, Any]:
        return {**({} if place == "" else {self.option["param"]: place}), **_size(self.option)}

    def following(self, place: Place, headers: httpx.Headers, page: Any, records: int) -> Place:
        found = reached(page, self.option["path"])
        return found if isinstance(found, str | int | float) and found not in ("", False) else None


class Links:
    """`link` is the Link header's `rel="next"`; anything else is the path of the next URL in the page."""

    counted = False
    first: Place = ""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def parameters(self, place: Place) -> dict[str, Any]:
        return {}

    def following(self, place: Place, headers: httpx.Headers, page: Any, records: int) -> Place:
        if self.path == "link":
            import httpx

            return httpx.Response(200, headers=headers).links.get("next", {}).get("url") or None
        found = reached(page, self.path) if self.path else None
        return found if isinstance(found, str) and found else None


def _size(option: Any) -> dict[str, Any]:
    return {option["size_param"]: option["size"]} if "size_param" in option and "size" in option else {}


def reached(value: Any, path: str) -> Any:
    """What `a.b` names in nested objects, `a.-1` in lists; None where there is nothing."""
    for name in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(name)
        elif (
            isinstance(value, list) and name.lstrip("-").isdecimal() and -len(value) <= int(name) < len(value)
        ):
            value = value[int(name)]
        else:
            return None
    return value


def lists(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the lists in nested objects; those within lists are left out."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        here = f"{path}.{name}" if path else name
        if isinstance(inner, list):
            yield here
        elif here.count(".") < DEEPEST:
            yield from lists(inner, here)
