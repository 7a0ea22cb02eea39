"""Files of web crawlers: WARC, ARC, WET and WAT; one document a page.

**What becomes a document.** Responses and resources with one of `statuses` whose bytes are of one of the `mime`
types, and the conversions of a WET file, whose text is taken as it is. Everything else in the file is counted, in one
row of `quarantine` for each reason and part, with position `*`, the number in `records` and a detail like
`404 38, 410 2`: `skipped_request`, `skipped_warcinfo`, `skipped_metadata` (all of a WAT file), `skipped_status`,
`skipped_mime`, `skipped_uri` (dns: and the crawler's own notes), `skipped_empty`, `revisit` and `bad_http`. So
`sum(records)` and the documents make the records of the file. A row a record, as for pages that fail, would be
millions of rows that say nothing: a crawl file of 30,000 pages has twice as many other records.

**Keys.** `source_key` is the record's id (ARC: date/URL): the same page of two crawls is two documents, which
`url` finds and `retrieved` tells apart, while a file that is renamed or repacked changes no key. With `key: url` a
page of a later crawl supersedes the earlier.

**Cut pages.** A page that the crawler cut (WARC-Truncated; Common Crawl cuts at a size) or that came shorter than
its Content-Length is a document with `truncated` in its metadata: its text up to there is as good as any, and SQL
can drop it. A record that the *file* cuts short is `damaged_record`, since the whole page may be had elsewhere.

**Parts.** A plain or gzip file of WARC (WET, WAT) of more than 128 MiB is cut about every 128 MiB as stored, which
`crawl_parts` does, and what is counted is a row for each reason and part. ARC, zstd, lz4 and gzip files that are one
single member are one part. The usual crawl file of 1 GB, 4-5 GB of HTML, takes 80 s of one core, or 9 minutes with
trafilatura, of which a killed run loses an eighth at most; a part more costs 0.1 s. A file of 5 GB of HTML was read
in 80 s with 102 MB in the worker and 29 MB in the extractor's process at their peaks.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from curator import Part, Rejected, hookimpl
from curator.files import FileSource, refused, unchanged
from curator_plugins.sources.bodies import TooLarge, decoded, sniffed
from curator_plugins.sources.crawl_parts import crawl_parts
from curator_plugins.sources.crawl_records import Record, records
from curator_plugins.sources.extraction import BATCH, Page, PageSource
from curator_plugins.sources.page import decode

DAMAGED = 1000  #: rows of damage that a file may have; more are counted
ABOUT = 5  #: kinds that the count of a reason names
KINDS = ("warcinfo", "request", "metadata", "continuation")
PAGES = ("http", "https", "ftp", "file")  #: schemes of what may be a page although it came without HTTP
CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)


class Warc(PageSource, FileSource):
    """Web crawls: WARC, ARC, WET (and WAT, which has no documents), plain, gzip, zstd or lz4."""

    version = 1
    endings = (".warc", ".arc", ".wet", ".wat")
    statuses: Annotated[list[int], "HTTP statuses of pages that are taken"] = [200]
    mime: Annotated[
        list[str],
        "types of pages that are taken, by their bytes; text/plain is taken as it is, without extraction",
    ] = ["text/html"]
    key: Annotated[
        Literal["record", "url"],
        "what a document is called by: with url, a page crawled again replaces the earlier",
    ] = "record"

    def parts(self) -> Iterator[Part]:
        self.check()
        for uri in self.files():
            yield from crawl_parts(uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, "a crawler's file"):
                yield why
                return
            yield from self._read(part)

    def _read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        counted: dict[str, Counter[str]] = {}
        waiting: list[tuple[dict[str, Any], Page] | dict[str, Any] | Rejected] = []
        held = damaged = 0
        for place, record in records(part.uri, self.max_page_bytes, part.start or 0, part.stop):
            found = self._found(place, record)
            damaged += isinstance(record, Rejected)
            if isinstance(record, Rejected) and damaged > DAMAGED:
                found = _Counted("damaged_record")
            if isinstance(found, _Counted):
                counted.setdefault(found.reason, Counter())[found.what] += 1
                continue
            waiting.append(found)
            held += record.size if isinstance(record, Record) else 0
            if len(waiting) >= BATCH or held >= self.max_page_bytes:
                yield from self._extracted(waiting)
                waiting, held = [], 0
        yield from self._extracted(waiting)
        for reason, kinds in sorted(counted.items()):
            yield Rejected("*", reason, _shown(kinds), kinds.total())

    def _found(
        self, place: str, record: Record | Rejected
    ) -> tuple[dict[str, Any], Page] | dict[str, Any] | Rejected | _Counted:
        """A page and what is known of it, a document, or why it is none."""
        if isinstance(record, Rejected):
            return record
        status = record.http.status_code if record.http is not None else None
        reason = self._not_taken(record, status)
        if reason:
            return reason
        if record.size > self.max_page_bytes:
            return _too_large(place, record.size, self.max_page_bytes)
        body, truncated = record.body, record.truncated
        if record.http is not None:
            truncated = truncated or ("short" if _is_short(record) else None)
            try:
                body = decoded(body, record.http, self.max_page_bytes)
            except TooLarge:
                return _too_large(place, len(record.body), self.max_page_bytes, "when decoded ")
            except zlib.error as error:
                return Rejected(place, "bad_encoding", f"{record.http.get('Content-Encoding')}: {error}")
        if not body.strip():
            return _Counted("skipped_empty")
        mime = "text/plain" if record.kind == "conversion" else sniffed(body)
        if record.kind != "conversion" and mime not in self.mime:
            return _Counted("skipped_mime", mime)
        said = record.http.get("Content-Language") if record.http is not None else record.language
        declared, charset = _content_type(record.mime)
        about = {
            "id": record.id if self.key == "record" else record.url or None,
            self.url_field: record.url,
            self.retrieved: record.date,
            "status": status,
            "mime": mime,
            "declared_mime": declared,
            "content_language": said,
            "truncated": truncated,
            "#position": place,
        }
        about = {name: value for name, value in about.items() if value is not None}
        if mime == "text/plain":
            text, charset = decode(body, charset)
            return {**about, "charset": charset, self.text: text}
        return about, Page(body, record.url, charset, place)

    def _not_taken(self, record: Record, status: int | None) -> _Counted | None:
        if record.kind == "revisit":
            return _Counted("revisit")
        if record.kind not in ("response", "resource", "conversion", "bad_http"):
            return _Counted(f"skipped_{record.kind}" if record.kind in KINDS else "skipped_other")
        if record.kind == "bad_http" or (record.http is not None and status is None):
            return _Counted("bad_http")
        scheme = record.url.partition(":")[0].lower()
        if record.http is None and record.kind != "conversion" and scheme not in PAGES:
            return _Counted("skipped_uri", scheme[:20])
        if status is not None and status not in self.statuses:
            return _Counted("skipped_status", str(status))
        return None

    def _extracted(
        self, found: list[tuple[dict[str, Any], Page] | dict[str, Any] | Rejected]
    ) -> Iterator[dict[str, Any] | Rejected]:
        """The same, in order, the pages as documents."""
        texts = iter(self.extractor.many([item[1] for item in found if isinstance(item, tuple)]))
        for item in found:
            if not isinstance(item, tuple):
                yield item
                continue
            text = next(texts)
            yield text if isinstance(text, Rejected) else self.as_record(text, item[0])


@dataclass(frozen=True, slots=True)
class _Counted:
    """A record that is no page: one of many like it."""

    reason: str
    what: str = ""


def _too_large(place: str, size: int, limit: int, how: str = "") -> Rejected:
    return Rejected(place, "page_too_large", f"{size} bytes, {how}more than max_page_bytes: {limit}")


def _is_short(record: Record) -> bool:
    """Whether the body ends before the server said; what the crawler decoded may be of any length."""
    stated = record.http.get("Content-Length") or ""
    plain = not (record.http.get("Content-Encoding") or record.http.get("Transfer-Encoding"))
    return plain and stated.isdigit() and len(record.body) < int(stated[:18])


def _content_type(said: str | None) -> tuple[str | None, str | None]:
    """(type, charset) of a Content-Type header."""
    if not said:
        return None, None
    found = CHARSET.search(said)
    return said.partition(";")[0].strip().lower()[:100] or None, found[1] if found else None


def _shown(kinds: Counter[str]) -> str:
    """The most frequent kinds, with how often there were any."""
    named = sorted(((what, n) for what, n in kinds.items() if what), key=lambda kind: (-kind[1], kind[0]))
    rest = f", and {len(named) - ABOUT} more" if len(named) > ABOUT else ""
    return ", ".join(f"{what} {n}" for what, n in named[:ABOUT]) + rest


@hookimpl
def register_sources(register: Any) -> None:
    register(Warc)
