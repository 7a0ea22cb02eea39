"""A walk over the pages of an API: where it stands, what it asks for, and where it ends.

See `http_api`, which stores what each step gives.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import xxhash

from curator import Rejected
from curator.errors import FetchError
from curator.moments import moment
from curator.variables import VARIABLE
from curator_plugins.sources.fetching import Answer, Failed, Fetcher, same_site
from curator_plugins.sources.online import is_over, now
from curator_plugins.sources.pagelog import PageLog
from curator_plugins.sources.paging import Place, reached
from curator_plugins.sources.variables import Variables

if TYPE_CHECKING:
    from curator_plugins.sources.http_api import HttpApi

BAD_PAGES = 3  #: in a row that stop a walk for this run

log = logging.getLogger(__name__)


class Request:
    """Asks for the page at a place."""

    def __init__(self, source: HttpApi, fetcher: Fetcher, variables: Variables) -> None:
        self.source, self.fetcher, self.variables = source, fetcher, variables
        self.url = variables.fill(source.url)
        self.params, self.headers, self.body = map(
            variables.fill, (source.params, source.headers, source.body)
        )
        self.secret = {
            name: self.params[name] for name, value in source.params.items() if VARIABLE.search(str(value))
        }
        self.paging = source.paging()

    def send(self, place: Place, since: str | int | None) -> Answer:
        if not self.paging.counted and self.source.cursor is None and place:  # a URL of the server's
            url = httpx.URL(self.variables.restored_url(str(place)))
            if same_site(httpx.URL(self.url), url):
                missing = {name: value for name, value in self.secret.items() if name not in url.params}
                url = url.copy_merge_params(missing) if missing else url
            return self.fetcher.fetch(url, self.headers, self.body, home=self.url)
        more = self.paging.parameters(place)
        if self.source.since and since is not None:
            more[self.source.since["param"]] = since
        if self.body is not None:
            url = httpx.URL(self.url).copy_merge_params(self.params)
            return self.fetcher.fetch(url, self.headers, {**self.body, **more}, home=self.url)
        url = httpx.URL(self.url).copy_merge_params({**self.params, **more})
        return self.fetcher.fetch(url, self.headers, home=self.url)

    def following(self, place: Place, answer: Answer, page: Any, records: int) -> Place:
        found = self.paging.following(place, answer.headers, page, records)
        if isinstance(found, str) and self.source.next:
            return self.variables.stored_url(str(answer.url.join(found)))
        return found


class Walk:
    """A walk over the pages, at the page that comes next."""

    def __init__(
        self,
        source: HttpApi,
        number: int,
        place: Place,
        since: str | int | None,
        largest: Any = None,
        page: int = 1,
    ) -> None:
        self.source = source
        self.number, self.place, self.since, self.largest, self.page = number, place, since, largest, page
        self.seen: set[str] = set()
        self.digest = ""
        self.empty = 0
        self.passed: list[dict[str, Any]] = []  # pages that cannot be read, behind the last that can
        self.problem: FetchError | None = None  # the first of them

    @classmethod
    def after(cls, pages: PageLog, source: HttpApi) -> Walk | None:
        """The walk that goes on behind the last page stored, or the next one; None where none is due."""
        first, last = source.paging().first, pages.last()
        start = source.since.get("start") if source.since else None
        if last is None:
            return cls(source, 1, first, start)
        if last["next"] is None or last["page"] >= source.max_pages:
            always = source.since is not None and source.refresh is None
            # where a walk ends depends on what its records are
            other = last.get("path", source.records) != source.records
            if not (always or other or is_over(last["retrieved"], source.refresh, source.name)):
                return None
            largest = last["largest"] if source.since and not other else None
            return cls(source, last["walk"] + 1, first, start if largest is None else largest, largest)
        walk = cls(source, last["walk"], last["next"], last["since"], last["largest"], last["page"] + 1)
        walk.digest = last.get("digest", "")
        for line in pages.lines():
            if line["walk"] == walk.number and "body" in line:
                walk.seen |= {_hash(line["next"]), _hash(line["url"])}
        return walk

    def step(self, request: Request) -> list[dict[str, Any]]:
        """Fetch the page and go to the next: the lines to store, none where the page cannot be read.

        Raises FetchError where the walk stops for this run.
        """
        source = request.source
        line: dict[str, Any] = {
            **{"walk": self.number, "page": self.page, "since": self.since},
            **{"records": 0, "path": source.records},
        }
        try:
            answer = request.send(self.place, self.since)
        except Failed as error:
            if error.status in (400, 404) and request.paging.counted and self.page > 1:
                log.info("source %s: the walk ends: %s", source.name, error)
                return self._behind_passed(self._gone_to(None, line | {"retrieved": now().isoformat()}))
            raise
        line |= {
            "url": request.variables.stored_url(str(answer.url)),
            "retrieved": answer.retrieved.isoformat(),
        }
        found, page, text = self._parsed(source, answer)
        if isinstance(found, Rejected):
            detail = request.variables.hide(found.detail)
            self._pass(
                line | {"rejected": [found.reason, detail]}, request.following(self.place, answer, page, 0)
            )
            return []
        if source.since:
            for record in found:
                self.largest = _larger(self.largest, reached(record, source.since["field"]))
        before, self.digest = self.digest, xxhash.xxh3_64_hexdigest(orjson.dumps(found))
        if found and before == self.digest:
            detail = "it holds the same records as the page before, so the walk ends; is the paging right?"
            line["rejected"] = ["same_page", detail]
            log.warning("source %s: page %d, %s: %s", source.name, self.page, line["url"], detail)
            return self._behind_passed(self._gone_to(None, line))
        line |= {"records": len(found), "body": request.variables.stored(text), "digest": self.digest}
        return self._behind_passed(self._gone_to(self._following(request, answer, page, found, line), line))

    def _pass(self, line: dict[str, Any], following: Place) -> None:
        """Go on behind a page that cannot be read.

        Raises FetchError where that is no use: it is the first, or the last of three in a row, or nothing is known
        to follow. Nothing of these pages is stored then, so the next run asks for them again.
        """
        source = self.source
        _, detail = line["rejected"]
        more = f" (if the pages end before it, max_pages: {self.page - 1} says so)" if self.page > 1 else ""
        self.problem = self.problem or FetchError(
            f"source {source.name!r}: {line['url']}: {detail}; the next run asks for it again{more}"
        )
        last = self.page == 1 or len(self.passed) + 1 >= BAD_PAGES or self.page >= source.max_pages
        if last or following is None or following == self.place:
            raise self.problem
        self.passed.append(self._gone_to(following, line))

    def _behind_passed(self, line: dict[str, Any]) -> list[dict[str, Any]]:
        """The line, and before it those of pages that were passed over; these are not the end of a walk."""
        if self.problem and line["next"] is None and not line["records"]:
            raise self.problem
        lines, self.passed, self.problem = [*self.passed, line], [], None
        return lines

    def _parsed(self, source: HttpApi, answer: Answer) -> tuple[list[Any] | Rejected, Any, str]:
        try:
            text = answer.body.decode("utf-8-sig")
            page = orjson.loads(text)
        except (UnicodeDecodeError, orjson.JSONDecodeError) as error:
            kind = answer.headers.get("content-type", "no type")
            start = answer.body[:80].decode(errors="replace")
            return Rejected("", "bad_json", f"no JSON but {kind}: {start!r} ({error})"), None, ""
        return source.listed(page), page, text

    def _following(
        self, request: Request, answer: Answer, page: Any, found: list[Any], line: dict[str, Any]
    ) -> Place:
        """The place of the next page, or None at the end of the walk."""
        source = request.source
        self.empty = 0 if found else self.empty + 1
        if self.empty > (0 if request.paging.counted else 1):
            return None
        following = request.following(self.place, answer, page, len(found))
        if following is None:
            return None
        why = None
        if _hash(following) in self.seen | {_hash(line["url"])}:
            why = "it leads back to a page that was read"
        elif self.page >= source.max_pages:
            why = f"max_pages: {source.max_pages} are read, and there are more"
        self.seen |= {_hash(following), _hash(line["url"])}
        if why:
            log.warning(
                "source %s: the walk ends at page %d, %s: %s", source.name, self.page, line["url"], why
            )
        return None if why else following

    def _gone_to(self, place: Place, line: dict[str, Any]) -> dict[str, Any]:
        """The line, completed; the walk stands at the next page."""
        self.page, self.place = self.page + 1, place
        return {**line, "next": place, "largest": self.largest}


def _hash(place: Place) -> str:
    return xxhash.xxh3_64_hexdigest(repr(place).encode())


def _larger(one: Any, other: Any) -> Any:
    """The later of two moments, or the larger of two values of one kind."""
    if one is None or not isinstance(other, str | int | float) or isinstance(other, bool):
        return other if one is None and isinstance(other, str | int | float) else one
    if isinstance(one, str) and isinstance(other, str):
        before, after = moment(one), moment(other)
        if before and after:
            return other if after > before else one
        return max(one, other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return max(one, other)
    return one
