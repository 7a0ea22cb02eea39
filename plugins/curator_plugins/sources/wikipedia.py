"""Articles of MediaWiki's XML dumps (`pages-articles`), of Wikipedia or any other wiki.

A page is cut from the file at its tags, which its text cannot hold, and parsed by itself; its wikitext becomes
text in `curator_plugins.sources.wikitext`, in a process that is bounded: a page that takes more than `seconds` of
CPU or `memory` is quarantined as `extraction_timeout` or `extraction_memory`. Pages in other namespaces and redirects
are no documents; one quarantine row for each part says how many there were (`redirect`, `other_namespace`), since a
row for each would be 18 million of English. The key is the wiki and the page's id, as enwiki:39,
`published` the revision's timestamp, the
address follows from the dump's `base`. A dump does not say its licence: the option `license` does.

**Parts.** A multistream dump is bz2 of many streams, and each begins with bytes that stand nowhere else: a part
begins at the first stream after each 16 MiB, found by reading from there, which takes no index file and 1 MiB a
part; a page that runs on into the next part is read with the one that it begins in. A dump in one stream is one
part. Others are cut as files of lines are. Rejected: mwxml, which reads a dump from its
beginning only, and stops at damage.

Measured (CPU, one core, of XML): English articles 2.4 MB/s, Latgalian stubs 1.8; two thirds of it are
mwparserfromhell's.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, open_raw, refused, signature, size_of, unchanged
from curator.lines import GUESSED_RATIO, DamagedFile, compression, decompressed, line_parts
from curator_plugins.sources.cuts import between, until
from curator_plugins.sources.elements import Records
from curator_plugins.sources.sandbox import Sandbox, Spent

STREAM = b"1AY&SY"  #: how the first block of a bz2 stream begins, after BZh and a digit
STEP = 16 * MIB  #: stored bytes of a part of a multistream dump
PAGE_BYTES = 32 * MIB  #: of a page's XML; MediaWiki's own limit is 2 MiB of wikitext
MEDIA, FILE, CATEGORY = "-2", "6", "14"
ENGLISH = ("file", "image", "media", "category")


class Wikipedia(FileSource):
    """Articles of MediaWiki XML dumps, plain, bz2 (also multistream), gzip, zstd or xz."""

    version = 1
    endings = ("-pages-articles.xml", "-pages-articles-multistream.xml")
    namespaces: Annotated[list[int], "numbers of the namespaces that are read; 0 are articles"] = [0]
    seconds: Annotated[float, "of CPU that one page may take"] = 10.0
    memory: Annotated[int, "bytes that parsing may take"] = 1 << 30

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._sites: dict[str, dict[str, Any]] = {}

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        _needs_parser(self.name)
        return {"mwparserfromhell": version("mwparserfromhell")}

    def parts(self) -> Iterator[Part]:
        _needs_parser(self.name)
        for uri in self.files():
            with open_raw(uri) as file:
                multistream = compression(file.read(6)) == "bz2"
            yield from self._streams(uri) if multistream else line_parts(uri)

    def _streams(self, uri: str) -> Iterator[Part]:
        """Ranges of stored bytes that begin with streams."""
        size, signed = size_of(uri), signature(uri)
        starts = [0]
        with open_raw(uri) as file:
            head = file.read(MIB)
            if size > STEP and head.find(STREAM, 5) > 0:  # dumps in one stream have no second begin nearby
                for at in range(STEP, size, STEP):
                    begin = _stream_from(file, at, min(at + STEP, size))
                    if begin:
                        starts.append(begin)
        for start, stop in zip(starts, [*starts[1:], None], strict=True):
            yield Part(uri, start, stop, signed, ((stop or size) - start) * GUESSED_RATIO)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, "a dump of MediaWiki"):
                yield why
                return
            site = self._site(part.uri)
            skipped: Counter[str] = Counter()
            with Sandbox(
                "curator_plugins.sources.wikitext:plain",
                site["unseen"],
                seconds=self.seconds,
                memory=self.memory,
            ) as plain:
                pages = 0
                for position, cut in between(_pieces(part), rb"<page(?=[\s>])", b"</page>", PAGE_BYTES):
                    pages += 1
                    record = cut if isinstance(cut, Rejected) else self._page(cut, position, site, plain)
                    if isinstance(record, str):
                        skipped[record] += 1
                    else:
                        yield record
            for reason, count in sorted(skipped.items()):
                yield Rejected("*", reason, f"of {pages} pages", count)
            if not pages and not part.start:
                yield Rejected("0", "no_record", "no <page>; this is no dump of MediaWiki, or an empty one")

    def _page(
        self, cut: bytes, position: int, site: dict[str, Any], plain: Sandbox
    ) -> dict[str, Any] | Rejected | str:
        """The document, or why there is none; a string where there was to be none."""
        ((_, page),) = Records("/page", 2 * PAGE_BYTES).read([cut])
        if isinstance(page, Rejected):
            return Rejected(str(position), page.reason, page.detail)
        number = page.findtext("id") or ""
        try:
            namespace = int(page.findtext("ns") or 0)
            version = int(_last(page).findtext("id") or 0)
        except ValueError as error:
            return Rejected(str(position), "bad_xml", f"page {number}: ns or revision's id: {error}")
        if namespace not in self.namespaces:
            return "other_namespace"
        if page.find("redirect") is not None:
            return "redirect"
        revision = _last(page)
        title = page.findtext("title") or ""
        text = revision.findtext("text") or ""
        try:
            if (revision.findtext("model") or "wikitext") == "wikitext":
                text = plain(text)
        except Spent as error:
            return Rejected(str(position), error.reason, f"page {number}, {title!r}: {error}")
        record = {
            "#position": str(position),
            "id": f"{site['wiki']}:{number}" if site["wiki"] else number,
            self.text: text,
            self.title: title,
            self.published: revision.findtext("timestamp"),
            "namespace": namespace,
            "revision": version,
        }
        if site["base"]:
            record[self.url_field] = site["base"] + quote(title.replace(" ", "_"), safe="/:@!$*(),;'")
        return record

    def _site(self, uri: str) -> dict[str, Any]:
        """What the beginning of the dump says of the wiki."""
        if uri not in self._sites:
            head = b""
            try:
                for piece in decompressed(uri):
                    head += piece
                    if b"</siteinfo>" in head or b"<page" in head or len(head) > MIB:
                        break
            except DamagedFile:
                pass  # reading the pages says so
            self._sites[uri] = _siteinfo(head)
        return self._sites[uri]


def _needs_parser(source: str) -> None:
    try:
        import mwparserfromhell  # noqa: F401
    except ImportError:
        raise UsageError(
            f"source {source!r} needs mwparserfromhell: pip install 'corpus-curator[wikipedia]'"
        ) from None


def _stream_from(file: Any, start: int, stop: int) -> int | None:
    """Where the first bz2 stream in [start, stop) begins."""
    file.seek(start)
    held, base = b"", start
    while base < stop and (piece := file.read(MIB)):
        held += piece
        at = held.find(STREAM, 4)
        while at >= 0:
            if held[at - 4 : at - 1] == b"BZh":
                return base + at - 4 if base + at - 4 < stop else None
            at = held.find(STREAM, at + 1)
        base += max(len(held) - 10, 0)
        held = held[-10:]
    return None


def _pieces(part: Part) -> Iterator[bytes | None]:
    """The content of the part and, after a None, what follows it."""
    with open_raw(part.uri) as file:
        stored = compression(file.read(6)) == "bz2"
    start, stop = part.start or 0, part.stop
    if not stored:
        yield from until(decompressed(part.uri, start), None if stop is None else stop - start)
        return
    yield from decompressed(part.uri, stored=(start, stop))
    if stop is not None:
        yield None
        yield from decompressed(part.uri, stored=(stop, None))


def _siteinfo(head: bytes) -> dict[str, Any]:
    """The wiki's name, the address of its pages, and the names of the namespaces whose links are not seen."""
    start, end = head.find(b"<siteinfo"), head.find(b"</siteinfo>")
    info: Any = Element("siteinfo")
    if 0 <= start < end:
        ((_, found),) = Records("/siteinfo", MIB).read([head[start : end + 11]])
        info = info if isinstance(found, Rejected) else found
    base, _, _ = (info.findtext("base") or "").rpartition("/")
    names = {
        space.get("key"): html.unescape(space.text or "") for space in info.iterfind("namespaces/namespace")
    }
    unseen = {*ENGLISH, *(name.lower() for key in (MEDIA, FILE, CATEGORY) if (name := names.get(key)))}
    return {
        "base": f"{base}/" if base else "",
        "unseen": sorted(unseen),
        "wiki": info.findtext("dbname"),
    }


def _last(page: Element) -> Element:
    """The last of the page's revisions, of which most dumps have one."""
    revisions = page.findall("revision")
    return revisions[-1] if revisions else Element("revision")


@hookimpl
def register_sources(register: Any) -> None:
    register(Wikipedia)
