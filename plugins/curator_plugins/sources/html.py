"""Saved pages of the web: one document a file, with the extraction and the limits of the `warc` source.

The URL is what the page says of itself: its canonical link, `og:url`, or the comment that browsers write into what
they save. Of a folder, what is saved beside pages (styles, scripts, pictures, fonts) is left out by its name, and
anything else is read that begins as a page: pages are saved under names like `show.php?id=7` too, but a table may
have a column of pages. The date of the file is not taken for that of fetching: copying changes it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from curator import Part, Rejected, hookimpl
from curator.files import FileSource, refused, signature, unchanged
from curator.lines import expected_size, whole
from curator_plugins.sources.bodies import sniffed
from curator_plugins.sources.extraction import PageSource

BESIDE = re.compile(
    r"\.(css|m?js|json|map|txt|md|csv|svg|png|jpe?g|gif|webp|avif|ico|bmp|woff2?|ttf|otf|eot|mp[34]|webm|ogg|pdf|zip)$",
    re.I,
)
NAMED = re.compile(r"\.(x?html?|xht|shtml|php|aspx?|jsp)(\.(gz|zst|bz2|xz|lz4))?$", re.I)
BEGINS = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<")  #: before the first `<` stands nothing
TEXT = (
    "text/plain",
    "application/xml",
    "application/octet-stream",
)  #: what a page may look like from its beginning

log = logging.getLogger(__name__)


class Html(PageSource, FileSource):
    """Saved pages (.html, .htm, .xhtml, …), plain or compressed, of any charset; one document a file."""

    version = 1
    endings = (".html", ".htm", ".xhtml", ".xht", ".shtml")

    def parts(self) -> Iterator[Part]:
        self.check()
        for uri in self.files():
            yield Part(uri, signature=signature(uri), size=expected_size(uri))

    def files(self) -> list[str]:
        found = super().files()
        pages = [uri for uri in found if uri in self._roots or not BESIDE.search(uri)]
        if len(pages) < len(found):
            log.info(
                "source %r: left out %d files that are no pages by their names",
                self.name,
                len(found) - len(pages),
            )
        return pages

    def key_of(self, part: Part, position: str) -> str:
        return self.relative(part.uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            page = self._content(part.uri)
            found = page if isinstance(page, Rejected) else self.extractor(page)
            if isinstance(found, Rejected):
                yield found
                return
            known: dict[str, Any] = {"#position": "0"}
            if not self.id:
                known["id"] = self.key_of(part, "0")
            if re.match(r"https?://", found.get("canonical", ""), re.I):
                known[self.url_field] = found.pop("canonical")
            yield self.as_record(found, known)

    def _content(self, uri: str) -> bytes | Rejected:
        if why := refused(uri, "a page"):
            return why
        page = whole(uri, self.max_page_bytes, self.max_ratio, option="max_page_bytes", reason="page_too_large")
        if isinstance(page, Rejected):
            return page
        kind = sniffed(page)
        if kind == "text/html" and not NAMED.search(uri) and not BEGINS.match(page):
            kind = "text with a page in it"
        if kind != "text/html" and not (kind in TEXT and NAMED.search(uri)):
            return Rejected("0", "wrong_format", f"this is {kind}, not a page")
        return page


@hookimpl
def register_sources(register: Any) -> None:
    register(Html)
