"""Records of XML, and of SGML, by a path and fields.

`record` names the elements that are documents, `fields` what becomes of their content:

    xml: {path: "acts/*.xml", record: act, fields: {text: body, title: heading, published: "meta/@date"}}

A field's path is a small part of XPath: names and `*` between slashes, `//` for any depth, `.` for the record itself,
`[2]`, `[@type='short']`, `[title]`, an attribute `@id` at the end, and `a | b` for the first that says something. Its
value is all text below it in reading order (a `//text()` at the end may be written, and means the same), of several
elements a list, of the text field joined by blank lines, of a column of documents the first. Names are written without namespace
and prefix. A file is one part, as only its beginning tells what its end means. `curator_plugins.sources.elements`
has how it is read, what of entities and of damage.

**SGML** (`format: sgml`) is cut at the tags of `record`, in any case of letters, and each record is read as far as it
makes sense (`curator_plugins.sources.sgml`). It is also for XML that is broken here and there: no record costs another,
and a file has many parts.

Measured (CPU, one core): XML of statutes, all their text, 27 MB/s, of which expat takes a quarter; Reuters' SGML 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal
from xml.etree.ElementTree import Element

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import FileSource, listed, refused, signature, unchanged
from curator.lines import decompressed, expected_size, line_parts
from curator_plugins.sources.blocks import text_of
from curator_plugins.sources.cuts import Cut, between, until
from curator_plugins.sources.elements import ELEMENT_BYTES, Records, Refused, known_encoding
from curator_plugins.sources.sgml import tree

SHOWN = 8  #: names of elements in a message


class Xml(FileSource):
    """Records of XML or SGML files, plain or compressed."""

    version = 1
    endings = (".xml",)
    record: Annotated[
        str, "path of the elements that are documents: act, library/act, or /* for the whole file"
    ] = "/*"
    fields: Annotated[dict[str, str], "field: path below the record, as {text: body, id: '@id'}; without text, all of the record is the text"] = {}
    leave_out: Annotated[list[str], "names of elements whose text is in no field"] = []
    keep_whitespace: Annotated[bool, "leave line ends and indents as they are"] = False
    format: Annotated[
        Literal["xml", "sgml"], "sgml: records are cut at their tags and read as far as they make sense"
    ] = "xml"
    encoding: Annotated[str | None, "of files that declare none, or a wrong one"] = None
    max_bytes: Annotated[int, "a record that takes more memory is quarantined"] = 64 << 20

    def parts(self) -> Iterator[Part]:
        self._check()
        for uri in self.files():
            if self.format == "sgml":
                yield from line_parts(uri)
            else:
                yield Part(uri, signature=signature(uri), size=expected_size(uri))

    def _check(self) -> None:
        where = f"source {self.name!r}"
        if self.encoding and not known_encoding(self.encoding):
            raise UsageError(
                f"{where}: encoding: {self.encoding!r} is unknown, or none that markup is written in"
            )
        if self.format == "sgml" and not re.fullmatch(r"[A-Za-z][\w.-]{0,99}", self.record):
            raise UsageError(
                f"{where}: record: {self.record!r}: with `format: sgml` it is the name of a tag, as REUTERS"
            )
        if not re.fullmatch(r"\.?/?(\*|[\w.-]+)(/(\*|[\w.-]+))*", self.record):
            raise UsageError(
                f"{where}: record: {self.record!r} is no path of names, as act, library/act or /*; "
                "names are written without a namespace's prefix"
            )
        for name, path in self.fields.items():
            try:
                _field(Element("x"), path, str)
            except (SyntaxError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{where}: fields: {name}: {path!r}: {error}; `curator plugins xml` says what a path is"
                ) from None

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, self.format.upper()):
                yield why
                return
            for position, element in self._elements(part):
                yield element if isinstance(element, Rejected) else self._fields(element, position)

    def _elements(self, part: Part) -> Iterator[tuple[int, Any]]:
        if self.format == "xml":
            yield from self._parsed(part)
            return
        found = False
        for position, cut in self._cuts(part):
            found = True
            yield position, cut if isinstance(cut, Rejected) else self._lenient(cut, position)
        if not found and not part.start:  # the first part speaks for the file, so it looks through the others
            whole = Part(part.uri)
            if part.stop is None or next(self._cuts(whole), None) is None:
                yield 0, self._no_record(part.uri)

    def _parsed(self, part: Part) -> Iterator[tuple[int, Any]]:
        records = Records(self.record, self.max_bytes, self.encoding)
        found = False
        for position, element in records.read(decompressed(part.uri, max_ratio=self.max_ratio)):
            if not found and isinstance(element, Rejected) and element.reason == "bad_xml":
                beginning = next(decompressed(part.uri, max_ratio=self.max_ratio), b"")[:1000]
                if re.match(rb"\s*<(?!\?xml)", beginning):
                    hint = "if this is SGML, set `format: sgml`, and `record:` to the name of a tag"
                    element = replace(element, detail=f"{element.detail}; {hint}")
            found = True
            yield position, element

    def _cuts(self, part: Part) -> Iterator[Cut]:
        start = part.start or 0
        name = re.escape(self.record).encode()
        pieces = until(decompressed(part.uri, start, max_ratio=self.max_ratio), None if part.stop is None else part.stop - start)
        return between(pieces, rb"<%s(?=[\s>])" % name, rb"</%s\s{0,9}>" % name, self.max_bytes, start)

    def _no_record(self, uri: str) -> Rejected:
        """What is said of a file without a record, with the names that its beginning has."""
        beginning = next(decompressed(uri, max_ratio=self.max_ratio), b"").decode("latin-1")
        names = list(dict.fromkeys(re.findall(r"<([A-Za-z][\w.:-]{0,99})", beginning)))
        there = f"there are {listed(names, SHOWN)}" if names else "there are no tags at its beginning"
        return Rejected("0", "no_record", f"no element {self.record}; {there}")

    def _lenient(self, cut: bytes, position: int) -> Any:
        """The record as a tree, or why there is none."""
        cost = len(cut) + ELEMENT_BYTES * cut.count(b"<")
        if cost > self.max_bytes:
            return Rejected(str(position), "too_large", f"{len(cut)} bytes with {cut.count(b'<')} tags")
        try:
            return tree(cut.decode(self.encoding or "utf-8"))
        except UnicodeError as error:
            return Rejected(str(position), "bad_encoding", f"{error}; set `encoding:`, as to latin-1")
        except Refused as error:
            return Rejected(str(position), error.reason, error.detail)

    def _fields(self, element: Any, position: int) -> dict[str, Any] | Rejected:
        def text(found: Any) -> str:
            return text_of(found, unseen=unseen, keep=self.keep_whitespace)

        unseen = frozenset(self.leave_out)
        single = {self.id or "id", self.url_field, self.title, self.published, self.retrieved}
        single |= {self.license_field, self.domain_field or "", *self.columns}
        record: dict[str, Any] = {"#position": str(position)}
        for name, path in {self.text: ".", **self.fields}.items():
            values = _field(element, path, text)
            if name == self.text:
                if not values and not _matches(element, path):
                    below = listed(list(dict.fromkeys(found.tag for found in element)), SHOWN) or "no elements"
                    return Rejected(str(position), "no_text", f"no element {path} in {element.tag}, which has {below}")
                record[name] = "\n\n".join(values)
            elif values:
                record[name] = values[0] if len(values) == 1 or name in single else values
        return record


def _field(record: Any, path: str, text: Any) -> list[str]:
    """What the first of the path's alternatives says that says something."""
    for steps, attribute in _ways(path):
        found = record.iterfind(steps)
        said = [one.get(attribute) or "" for one in found] if attribute else [text(one) for one in found]
        values = [value for value in said if value]
        if values:
            return values
    return []


def _matches(record: Any, path: str) -> bool:
    """Whether the record has an element, of any text, that the path leads to."""
    return any(record.find(steps) is not None for steps, _ in _ways(path))


def _ways(path: str) -> Iterator[tuple[str, str]]:
    """The path's alternatives: the way to elements, and the name of the attribute where it is one's."""
    for way in path.split("|"):
        way = way.strip().removesuffix("text()").rstrip("/") or "."
        way = f".{way}" if way.startswith("//") else way
        steps, at, attribute = way.rpartition("@")
        if at and "[" not in attribute and "]" not in attribute:
            yield steps.rstrip("/") or ".", attribute
        else:
            yield way, ""


@hookimpl
def register_sources(register: Any) -> None:
    register(Xml)
