"""What the sources that fetch over HTTP have in common: their limits, and when to fetch again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar

import curator
from curator import Part, Source, UsageError
from curator.lines import line_parts
from curator_plugins.sources.addresses import Addresses
from curator_plugins.sources.variables import Variables

if TYPE_CHECKING:
    from curator_plugins.sources.fetching import Fetcher

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class OnlineSource(Source):
    """Base of `http_api`, `feed` and `crawl`."""

    contact: Annotated[
        str | None, "address or URL that the User-Agent names, so that servers' owners can write"
    ] = None
    allow_private: Annotated[
        bool | list[str], "fetch from addresses that are not public: all, or those in networks as 10.0.0.0/8"
    ] = False
    per_second: Annotated[float, "requests per second to one host"] = 5.0
    timeout: Annotated[float, "seconds of one response, from connecting to its last byte"] = 60.0
    max_bytes: Annotated[int, "bytes of one response, as sent and decompressed"] = 64 << 20
    redirects: Annotated[int, "redirects that one request may follow"] = 5
    retries: Annotated[int, "times that what failed is tried again"] = 4
    backoff: Annotated[float, "seconds before the first retry, doubled for each after it"] = 1.0
    longest_wait: Annotated[float, "seconds that a server may have us wait (Retry-After)"] = 120.0

    #: none of these changes what a page that was fetched holds
    without_effect: ClassVar[Sequence[str]] = (
        *("name", "contact", "allow_private", "per_second", "timeout", "max_bytes", "redirects", "retries"),
        *("backoff", "longest_wait", "refresh"),
    )

    def local(self, file: str) -> Iterator[Part]:
        """The parts of a file of JSON lines in `folder`, by its path below it, so that a corpus may be moved."""
        yield from map(self.here, line_parts(file))

    def here(self, part: Part) -> Part:
        """The part by the path of its file below `folder`; what it has is newer than what earlier files have."""
        uri = os.path.relpath(part.uri, self.folder).replace(os.sep, "/")
        return replace(part, uri=uri, newer=not part.start)

    def there(self, part: Part) -> Part:
        """The part by the whole path of its file."""
        return replace(part, uri=os.path.join(self.folder, part.uri))

    def agent(self) -> str:
        """The User-Agent."""
        return f"curator/{curator.__version__}" + (f" (+{self.contact})" if self.contact else "")

    def addresses(self) -> Addresses:
        """Raises UsageError for a bad allow_private, and for limits that let nothing through."""
        for name in ("per_second", "timeout", "max_bytes"):
            if getattr(self, name) <= 0:
                raise UsageError(
                    f"source {self.name!r}, {name}: {getattr(self, name)}: it must be more than 0"
                )
        try:
            return Addresses(self.allow_private)
        except UsageError as error:
            raise UsageError(f"source {self.name!r}: {error}") from None

    def fetcher(self, variables: Variables) -> Fetcher:
        from curator_plugins.sources.fetching import Fetcher, Limits

        limits = Limits(
            seconds=self.timeout,
            max_bytes=self.max_bytes,
            redirects=self.redirects,
            retries=self.retries,
            backoff=self.backoff,
            longest_wait=self.longest_wait,
            per_second=self.per_second,
        )
        return Fetcher(self.addresses(), limits, self.agent(), variables)


def now() -> datetime:
    """This second in UTC, as the catalog stores moments."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def is_over(since: str, age: str | None, source: str) -> bool:
    """Whether `since`, a moment in ISO 8601, is longer ago than `age`, as 12h; never where that is None."""
    return age is not None and now() - datetime.fromisoformat(since) >= span(age, source)


def span(age: str, source: str) -> timedelta:
    """How long `30m`, `12h`, `1d` are; raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", age.strip())
    if not found:
        raise UsageError(f"source {source!r}, refresh: {age!r}: a number and s, m, h, d or w, as 12h")
    return timedelta(seconds=float(found.group(1)) * UNITS[found.group(2)])
