"""Word, OpenDocument and EPUB files: zip archives with the text in XML, one document a file.

Read by the safe readers of `archive` and of `xml`, so nothing need be installed: all that is theirs is which member
holds the text, and what its blocks are called. Deleted text, field codes, comments and headers are left out;
a book's chapters come in the order of its spine, joined by an empty line, with `chapter_starts` in the metadata.
Title, creator, language, dates and rights are what the file says of itself (Dublin Core in all three).

Rejected: python-docx (and lxml), odfpy, ebooklib (AGPL): each reads one format, trusts archive and XML, and leaves the
text to be put together all the same. Of the old .doc nothing is read. Measured: 14 MB of XML a second and core.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from curator import Part, Rejected, hookimpl
from curator.files import MIB, FileSource, open_raw, signature, size_of, unchanged
from curator_plugins.sources import elements
from curator_plugins.sources.blocks import HTML, HTML_UNSEEN, text_of
from curator_plugins.sources.members import Limits, Refused, is_zip, zip_members

RATIO = 200.0  #: as of `archive`
MEMBERS = 100_000
SEPARATOR = "\n\n"  #: between chapters
#: Dublin Core's names -> ours
SAID = {"title": "title", "creator": "creator", "language": "language", "rights": "rights", "publisher": "publisher"}
SAID |= {"created": "published", "creation-date": "published", "date": "published", "subject": "subject"}


class Package:
    """A zip file's members as XML, together no larger than `limit` bytes, each in twice that of memory. All raise Refused."""

    def __init__(self, raw: BinaryIO, limit: int) -> None:
        if not is_zip(raw.read(4)):
            raise Refused("wrong_format", "this is no zip archive")
        raw.seek(0)
        self._left = limit
        self._memory = 2 * limit
        self._members = {m.name: m for m in zip_members(raw, Limits(limit, 1 << 62, RATIO, MEMBERS))}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def tree(self, name: str) -> Element:
        """The root of a member, its names without namespaces."""
        member = self._members.get(name)
        if member is None:
            raise Refused("wrong_format", f"it has no {name}")
        if member.copy is None:
            raise Refused(*(member.refused or ()))
        self._left -= member.size
        if self._left < 0:
            raise Refused("too_large", f"more than max_bytes, up to {name}")
        held = io.BytesIO()
        member.copy(held)
        _, root = next(elements.Records("/*", self._memory).read([held.getvalue()]))
        if isinstance(root, Rejected):
            raise Refused(root.reason, f"{name}: {root.detail}")
        return root

    def said(self, name: str) -> dict[str, str]:
        """What a member says of the document; {} where there is no such member."""
        return _said(self.tree(name)) if name in self else {}


def _said(root: Element) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for element in root.iter():
        if element.tag in SAID and (value := " ".join((element.text or "").split())):
            found.setdefault(SAID[element.tag], []).append(value)
    return {name: ", ".join(values) if name in ("creator", "subject") else values[0] for name, values in found.items()}


class Zipped(FileSource):
    """Base of the sources whose files are zip archives of XML."""

    max_bytes: Annotated[int, "a file whose XML is larger is quarantined"] = 128 * MIB

    def parts(self) -> Iterator[Part]:
        for uri in self.files():
            yield Part(uri, signature=signature(uri), size=size_of(uri))

    def key_of(self, part: Part, position: str) -> str:
        return self.relative(part.uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part), open_raw(part.uri) as raw:
            try:
                found = self.document(Package(raw, self.max_bytes))
            except Refused as why:
                yield Rejected("0", *why.args)
                return
        renamed = {"text": self.text, "title": self.title, "published": self.published}
        yield {renamed.get(name, name): value for name, value in found.items()}

    def document(self, package: Package) -> dict[str, Any]:
        """{text} and what the file says of itself."""
        raise NotImplementedError


class Docx(Zipped):
    """Word files (.docx), one document a file."""

    version = 1
    endings = (".docx", ".docm")

    def document(self, package: Package) -> dict[str, Any]:
        kinds = {e.get("Type", "").rpartition("/")[2]: e.get("Target", "") for e in package.tree("_rels/.rels").iter()}
        root = package.tree(kinds.get("officeDocument", "").lstrip("/"))
        _spaced(root, {"tab": " ", "noBreakHyphen": "-"})
        unseen = ("delText", "instrText", "Fallback", "pPr", "rPr", "tblPr", "sectPr")
        said = package.said(kinds.get("core-properties", "").lstrip("/"))
        return {"text": text_of(root, {"p": 2, "tr": 1, "br": 1, "cr": 1, "tbl": 2}, unseen), **said}


class Odt(Zipped):
    """OpenDocument texts (.odt), one document a file."""

    version = 1
    endings = (".odt",)

    def document(self, package: Package) -> dict[str, Any]:
        root = package.tree("content.xml")
        _spaced(root, {"tab": " ", "s": " "})
        unseen = ("tracked-changes", "annotation", "scripts", "font-face-decls", "automatic-styles", "note-citation")
        blocks = {"p": 2, "h": 2, "table-row": 1, "line-break": 1, "table": 2}
        return {"text": text_of(root, blocks, unseen), **package.said("meta.xml")}


class Epub(Zipped):
    """Books in EPUB, one document a file, in the order of the spine."""

    version = 1
    endings = (".epub",)

    def document(self, package: Package) -> dict[str, Any]:
        container = package.tree("META-INF/container.xml")
        path = next((e.get("full-path", "") for e in container.iter("rootfile")), "")
        book = package.tree(path)
        paths = {
            e.get("id"): posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(e.get("href", ""))))
            for e in book.iter("item")
            if "nav" not in e.get("properties", "").split()  # a table of contents
        }
        spine = [paths[e.get("idref")] for e in book.iter("itemref") if e.get("idref") in paths]
        locked: set[str] = set()
        if "META-INF/encryption.xml" in package:  # fonts alone may be encrypted, and are no matter
            locked = {unquote(e.get("URI", "")) for e in package.tree("META-INF/encryption.xml").iter("CipherReference")}
        if locked & set(spine):
            raise Refused("encrypted", f"{len(locked & set(spine))} of {len(spine)} chapters are encrypted")
        texts, starts, at = [], [], 0
        for name in dict.fromkeys(spine):
            text = text_of(package.tree(name), HTML, HTML_UNSEEN)
            if text:
                texts.append(text)
                starts.append(at)
                at += len(text) + len(SEPARATOR)
        said = _said(next(book.iter("metadata"), Element("metadata")))
        return {"text": SEPARATOR.join(texts), "chapter_starts": starts, **said}


def _spaced(root: Element, characters: dict[str, str]) -> None:
    """Give empty elements that stand for a character its text."""
    for element in root.iter():
        if element.tag in characters:
            element.text = characters[element.tag]


@hookimpl
def register_sources(register: Any) -> None:
    register(Docx)
    register(Odt)
    register(Epub)
