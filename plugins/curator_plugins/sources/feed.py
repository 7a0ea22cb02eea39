"""Entries of RSS and Atom feeds.

Each run asks each feed for what is new (with its ETag and date, so that most answer 304), and stores the
entries that were not there before, or are not what they were; these take the place of their older versions. A
feed is not asked again before `refresh` is over. With `full_text` the page of each new entry is fetched and
stored, too: most feeds hold only the beginning. Text is taken out of these pages when they are read, by
`extract`; the markup of an entry is made text as it is.

An entry whose page cannot be fetched for now is left to the next run; one whose page never will be (404, a
private address, too large, no HTML, forbidden by robots.txt) goes to the quarantine. Where robots.txt cannot be
had, no page is fetched; of feeds, which are named, it is not asked. A feed that cannot be reached stops no other.
`path` names feeds that are files; they are read as they are, without `full_text`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import xxhash

from curator import Part, Rejected, UsageError, hookimpl
from curator.errors import FetchError
from curator.files import expand, signature, unchanged
from curator.lines import lines, whole
from curator.options import SECRET
from curator_plugins.sources.extraction import PageSource
from curator_plugins.sources.literals import refuse_literals
from curator_plugins.sources.online import OnlineSource, is_over, span
from curator_plugins.sources.pagelog import PageLog, write_whole
from curator_plugins.sources.variables import Variables

if TYPE_CHECKING:
    from curator_plugins.sources.fetching import Fetcher

PARSING = 30.0  #: seconds that a feed may take to parse

log = logging.getLogger(__name__)


class Feed(OnlineSource, PageSource):
    """Entries of RSS and Atom feeds, and on request the pages they lead to."""

    version = 1
    endings = (".rss", ".atom")
    without_effect = (
        *OnlineSource.without_effect,
        *PageSource.without_effect,
        *("urls", "headers", "full_text"),
    )
    urls: Annotated[str | list[str], SECRET, "addresses of feeds; ${NAME} is an environment variable"] = []
    path: Annotated[str | list[str], "feeds that are files"] = []
    headers: Annotated[
        dict[str, str], SECRET, "headers, as {Authorization: Bearer ${TOKEN}}; only feeds' servers get them"
    ] = {}
    full_text: Annotated[bool, "fetch the page of each entry, and take its text"] = False
    refresh: Annotated[str, "ask a feed again when this long has passed, as 30m or 1d"] = "1h"

    @classmethod
    def resolve(cls, options: dict[str, Any], file: Callable[[str], str]) -> dict[str, Any]:
        refuse_literals(options)
        return options

    def fetch(self) -> Iterator[int]:
        span(self.refresh, self.name)
        self.check()
        if not self._urls():
            return
        problems: list[FetchError] = []
        variables = Variables(self.name)
        with self.fetcher(variables) as fetcher, PageLog(self.folder) as entries:
            following = _Following(self, fetcher, entries, problems)
            for url in self._urls():
                yield from following.ask(url)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise FetchError(f"source {self.name!r}: {problems[0]}{more}; the next run tries again")

    def parts(self) -> Iterator[Part]:
        if not self._urls() and not self.path:
            raise UsageError(f"source {self.name!r} needs the option urls, or path")
        for file in PageLog(self.folder).files() if self._urls() else ():
            yield from self.local(file)
        for path in [self.path] if isinstance(self.path, str) else self.path:
            for uri in expand(path, self.base):
                yield Part(uri, signature=signature(uri))

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        part = self.there(part)
        with unchanged(part):
            if part.stop is None and part.start is None:
                yield from self._file(part.uri)
                return
            for _, line in lines(part.uri, part.start or 0, part.stop, 8 * self.max_bytes):
                yield line if isinstance(line, Rejected) else self._record(orjson.loads(line))

    def _file(self, uri: str) -> Iterator[dict[str, Any] | Rejected]:
        from curator_plugins.sources.entries import parsed

        feed = whole(uri, self.max_bytes, option="max_bytes")
        if isinstance(feed, Rejected):
            yield feed
            return
        found = parsed(feed, os.path.basename(uri), "application/xml", PARSING)
        for entry in [found] if isinstance(found, Rejected) else found:
            yield entry if isinstance(entry, Rejected) else self._record(entry)

    def _record(self, entry: dict[str, Any]) -> dict[str, Any] | Rejected:
        """A document of an entry, by the names that the options give to fields."""
        key = entry.pop("key")
        if "rejected" in entry:
            return Rejected(key, *entry["rejected"])
        page, text = entry.pop("page", None), entry.pop("text", "")
        for name in ("content", "digest"):
            entry.pop(name, None)
        if page:
            html = page["body"].encode("latin-1")
            found = self.extractor(html, url=page["url"], charset=page["charset"], position=key)
            if isinstance(found, Rejected):
                return found
            text = found.pop("text")
            entry = {**found, **entry}
        usual = {
            "url": self.url_field,
            "title": self.title,
            "published": self.published,
            "license": self.license_field,
        }
        record = {usual.get(name, name): value for name, value in entry.items()}
        return {**record, self.text: text, self.id or "id": key, "#position": key}

    def _urls(self) -> list[str]:
        return [self.urls] if isinstance(self.urls, str) else self.urls


class _Following:
    """What is known of the feeds: `state.json` has when each answered and how, the log every entry."""

    def __init__(self, source: Feed, fetcher: Fetcher, entries: PageLog, problems: list[FetchError]) -> None:
        from curator_plugins.sources.robots import Robots

        self.source, self.fetcher, self.entries, self.problems = source, fetcher, entries, problems
        self.robots = Robots(fetcher)
        self.variables = fetcher.variables
        self.headers = self.variables.fill(source.headers)
        self.path = os.path.join(source.folder, "state.json")
        self.state: dict[str, dict[str, str]] = {}
        if os.path.exists(self.path):
            with open(self.path, "rb") as file:
                self.state = orjson.loads(file.read())
        self.seen = {line["key"]: line["digest"] for line in entries.lines()}
        self.brought = 0

    def ask(self, url: str) -> Iterator[int]:
        """Store what is new in a feed; yields after each entry how many entries this run stored."""
        from curator_plugins.sources.entries import parsed
        from curator_plugins.sources.fetching import Failed

        source, known = self.source, self.state.get(url, {})
        if "retrieved" in known and not is_over(known["retrieved"], source.refresh, source.name):
            return
        conditions = {"If-None-Match": "etag", "If-Modified-Since": "modified"}
        headers = {name: known[field] for name, field in conditions.items() if field in known}
        try:
            answer = self.fetcher.fetch(
                self.variables.fill(url), {**self.headers, **headers}, accepted=(200, 304)
            )
        except Failed as error:
            log.warning("source %s: %s", source.name, error)
            self.problems.append(error)
            return
        retrieved = answer.retrieved.isoformat()
        body = xxhash.xxh3_64_hexdigest(answer.body)
        if answer.status == 304 or body == known.get("body"):
            self._remember(url, {**known, "retrieved": retrieved})
            return
        shown = self.variables.stored_url(str(answer.url))
        found = parsed(answer.body, shown, answer.headers.get("content-type", ""), PARSING)
        if isinstance(found, Rejected):
            self._store(url, body, {"rejected": [found.reason, found.detail]})
        whole = True
        for entry in [] if isinstance(found, Rejected) else found:
            if self.seen.get(entry["key"]) == entry["digest"]:
                continue
            line = {**entry, "feed": shown, "retrieved": retrieved}
            if source.full_text:
                try:
                    line |= self._page(entry)
                except Failed as error:
                    self.problems.append(error)
                    whole = False
                    continue
            self._store(entry["key"], entry["digest"], line)
            yield self.brought
        if whole:
            named = {
                "etag": answer.headers.get("etag"),
                "modified": answer.headers.get("last-modified"),
                "body": body,
            }
            self._remember(
                url, {"retrieved": retrieved, **{name: value for name, value in named.items() if value}}
            )

    def _page(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The page of an entry, or why there will be none; raises Failed where there may be one later."""
        from curator_plugins.sources.fetching import Failed

        if "url" not in entry:
            return {"rejected": ["no_page", "the entry has no link"]}
        try:
            answer = self.fetcher.fetch(entry["url"], check=self.robots.check)
        except Failed as error:
            if error.passing:
                raise
            return {"rejected": [error.reason, str(error)]}
        kind = answer.headers.get("content-type", "text/html")
        if "html" not in kind and "xml" not in kind:
            return {"rejected": ["wrong_format", f"{entry['url']} is {kind}, not HTML"]}
        page = {"url": str(answer.url), "charset": answer.charset, "body": answer.body.decode("latin-1")}
        return {"page": page, "retrieved": answer.retrieved.isoformat()}

    def _store(self, key: str, digest: str, line: dict[str, Any]) -> None:
        self.entries.append({"key": key, "digest": digest, **line})
        self.seen[key] = digest
        self.brought += 1

    def _remember(self, url: str, about: dict[str, str]) -> None:
        self.state[url] = about
        write_whole(self.path, orjson.dumps(self.state))


@hookimpl
def register_sources(register: Any) -> None:
    register(Feed)
