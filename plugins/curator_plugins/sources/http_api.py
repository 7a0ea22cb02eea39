"""Records of a JSON API, page by page.

A walk over the pages is one run of the API from its first page to its last. Every page is stored as it came,
with the place of the next, and is on disk before the next is asked for: a killed run goes on there, and loses
the page in flight. A walk that reached its end is not made again, unless `refresh` says that it is too old,
or `since` asks each run for what changed: the largest value of a field so far goes into a parameter of the
next walk. Records that come again under their id take the place of the older ones; those that an API has no
more stay.

A walk ends where a page has no next; at an empty page (the second in a row where cursors or links lead on);
at a page, cursor or URL that was there before; at a 400 or 404 behind a numbered page; at `max_pages`. One that
ended is made anew when `records` has changed.

A page that is no JSON, or has no list at `records`, stops the walk for this run, and the next run asks for it
again. But a page that can be read behind one or two that cannot shows that it is the page: these go to the
quarantine, and the walk goes on.

`${NAME}` in `url`, `params`, `headers` and `body` is an environment variable; see `variables`, and `literals` for
what must be one. What is asked
for elsewhere than in the recipe (another `url`, `params`, `body` or paging) is walked anew, into a folder of
its own.

Rejected: dlt's and singer's API sources (a framework and its state beside ours), and ending at a page with
fewer records than `size`: many APIs fill pages before they filter them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any, Required

import orjson
import xxhash
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from curator import NothingToRead, Part, Rejected, UsageError, hookimpl
from curator.files import unchanged
from curator.lines import lines
from curator.options import SECRET
from curator.variables import VARIABLE
from curator_plugins.sources.literals import refuse_literals
from curator_plugins.sources.online import OnlineSource, span
from curator_plugins.sources.pagelog import PageLog
from curator_plugins.sources.paging import Cursor, Numbered, Paging, lists, paging, reached
from curator_plugins.sources.variables import Variables


@with_config(ConfigDict(extra="forbid"))
class Since(TypedDict, total=False):
    """`{param: updated_after, field: updated_at, start: 2024-01-01}`."""

    param: Required[str]
    field: Required[str]
    start: str | int


class HttpApi(OnlineSource):
    """Records of a JSON API, page by page, from where the last run stopped."""

    version = 1
    without_effect = (
        *OnlineSource.without_effect,
        *("url", "params", "headers", "body", "page", "offset", "cursor", "next", "since", "max_pages"),
    )
    url: Annotated[
        str,
        SECRET,
        "address of the first page; ${NAME} is an environment variable, here and in the next three",
    ]
    params: Annotated[dict[str, str | int | float | bool], SECRET, "parameters of the query"] = {}
    headers: Annotated[
        dict[str, str], SECRET, "headers, as {Authorization: Bearer ${TOKEN}}; only this server gets them"
    ] = {}
    body: Annotated[dict[str, Any] | None, SECRET, "JSON to POST; parameters of paging go into it"] = None
    records: Annotated[
        str, "path to the list of records in a page, as data.items; empty: the page is the list"
    ] = ""
    page: Annotated[
        Numbered | None, "paging by number, as {param: page, start: 1, size_param: per_page, size: 100}"
    ] = None
    offset: Annotated[
        Numbered | None, "paging by the first record, as {param: offset, size_param: limit, size: 100}"
    ] = None
    cursor: Annotated[Cursor | None, "paging by a value in the page, as {param: after, path: meta.next}"] = (
        None
    )
    next: Annotated[str | None, "paging by the next URL: link (the Link header), or its path in the page"] = (
        None
    )
    max_pages: Annotated[int, "pages of one walk"] = 10_000
    refresh: Annotated[str | None, "walk again when the last walk is older, as 12h or 7d"] = None
    since: Annotated[
        Since | None, "later walks ask for what changed, as {param: updated_after, field: updated_at}"
    ] = None

    @classmethod
    def resolve(cls, options: dict[str, Any], file: Callable[[str], str]) -> dict[str, Any]:
        refuse_literals(options)
        return options

    def fetch(self) -> Iterator[int]:
        variables = Variables(self.name)
        self._check()
        with self.fetcher(variables) as fetcher, PageLog(self._pages()) as pages:
            from curator_plugins.sources.walking import Request, Walk

            walk = Walk.after(pages, self)
            if walk is None:
                return
            brought = 0
            request = Request(self, fetcher, variables)
            while walk.place is not None:
                for line in walk.step(request):
                    pages.append(line)
                    brought += line["records"]
                yield brought

    def parts(self) -> Iterator[Part]:
        files = PageLog(self._pages()).files()
        if not files:
            raise NothingToRead(f"source {self.name!r}: nothing was fetched from {self.url}")
        for file in files:
            yield from self.local(file)

    def key_of(self, part: Part, position: str) -> str:
        return position

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        part = self.there(part)
        with unchanged(part):
            for _, line in lines(part.uri, part.start or 0, part.stop, 8 * self.max_bytes):
                page = line if isinstance(line, Rejected) else orjson.loads(line)
                if isinstance(page, Rejected):
                    yield page
                elif "rejected" in page:
                    yield Rejected(page["url"], *page["rejected"])
                elif "body" in page:
                    yield from self._records(page)

    def _records(self, page: dict[str, Any]) -> Iterator[dict[str, Any] | Rejected]:
        found = self.listed(orjson.loads(page["body"]))
        if isinstance(found, Rejected):  # `records` is another path than when the page was fetched
            yield Rejected(page["url"], found.reason, found.detail)
            return
        for number, record in enumerate(found):
            position = f"{page['url']}#{number}"
            if isinstance(record, dict):
                yield {self.retrieved: page["retrieved"], **record, "#position": position}
            else:
                yield Rejected(position, "bad_record", f"not an object but {str(record)[:100]}")

    def listed(self, body: Any) -> list[Any] | Rejected:
        """The records of a page."""
        found = reached(body, self.records)
        if isinstance(found, list):
            return found
        what = f"an object of {', '.join(map(repr, body))}" if isinstance(body, dict) else type(body).__name__
        there = f" with lists at {', '.join(paths)}" if (paths := [*islice(lists(body), 9)]) else ""
        detail = f"records: {self.records!r} names no list of records; the page is {what}"
        return Rejected("", "no_records", detail[:500] + there[:300])

    def _check(self) -> None:
        given = [name for name in ("page", "offset", "cursor", "next") if getattr(self, name)]
        if len(given) > 1:
            raise UsageError(
                f"source {self.name!r}: {' and '.join(given)} are given; an API pages in one way"
            )
        if self.refresh:
            span(self.refresh, self.name)
        plain = VARIABLE.sub("", self.url)
        if plain == self.url and not plain.startswith(("http://", "https://")):
            raise UsageError(f"source {self.name!r}: url: {self.url!r} is no address of http:// or https://")

    def _pages(self) -> str:
        asked = [self.url, self.params, self.body, self.page, self.offset, self.cursor, self.next, self.since]
        name = xxhash.xxh3_64_hexdigest(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS))
        return os.path.join(self.folder, name)

    def paging(self) -> Paging:
        return paging(self.page, self.offset, self.cursor, self.next)


@hookimpl
def register_sources(register: Any) -> None:
    register(HttpApi)
