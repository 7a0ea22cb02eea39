"""robots.txt, as RFC 9309 has it, for the pages that `feed` fetches; `crawl` has Scrapy's.

Parsed by protego, which Scrapy uses, too: pure Python, 20 kB, and nothing under it. Rejected: the standard
library's urllib.robotparser, which takes the first rule that fits instead of the longest, and knows no `*` or `$`.
"""

from __future__ import annotations

import httpx
from protego import Protego

from curator_plugins.sources.fetching import Failed, Fetcher

AGENT = "curator"  #: whose rules are obeyed


class Robots:
    """What the robots.txt of each server allows. Each is asked for once, also where that fails."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self._known: dict[httpx.URL, Protego | Failed] = {}

    def check(self, url: httpx.URL) -> None:
        """Raises Failed for what may not be fetched; a passing one where robots.txt cannot be had for now."""
        where = url.copy_with(username=None, password=None, path="/robots.txt", query=None, fragment=None)
        if where not in self._known:
            self._known[where] = self._asked(where)
        rules = self._known[where]
        if isinstance(rules, Failed):
            raise rules
        if not rules.can_fetch(str(url), AGENT):
            raise Failed("robots", self.fetcher.variables.hide(f"{url}: {where} forbids it"))

    def _asked(self, where: httpx.URL) -> Protego | Failed:
        try:
            return Protego.parse(self.fetcher.fetch(where).body.decode(errors="replace"))
        except Failed as error:
            if error.status is not None and 400 <= error.status < 500 and not error.passing:
                return Protego.parse("")  # it has none
            what = f"{error}; without it nothing of this server is fetched"
            reason = "private_address" if error.reason == "private_address" else "robots"
            return Failed(reason, what, passing=error.passing, status=error.status)
