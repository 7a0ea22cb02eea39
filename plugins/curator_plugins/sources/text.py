"""Text and Markdown files: one document a file, or one for each piece of it.

`split` is a regular expression (`^` and `$` match at lines): a piece begins at each match, as at the chapters
of a book with `split: "^## "`, and what stands before the first match is piece 0. YAML front matter between
`---` lines goes to title, published, url and metadata. A file is held whole, up to four bytes for each of
`max_chars`. Rejected: guessing the encoding; what is not UTF-8 is rejected, and `encoding` says better.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import FileSource, refused, signature, unchanged
from curator.lines import expected_size, whole

FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?\r?\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
FRONT_MATTER_CHARS = 1 << 16
HEADING = re.compile(r"\s*#{1,6}[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)


class Text(FileSource):
    """Text and Markdown files, one document a file, or split at a pattern."""

    version = 1
    endings = (".txt", ".md", ".markdown")
    split: str | None = None
    encoding: str = "utf-8"
    front_matter: bool = True

    def parts(self) -> Iterator[Part]:
        try:
            re.compile(self.split or "")
            "".encode(self.encoding)
        except (re.error, LookupError) as error:
            options = f"split: {self.split!r}, encoding: {self.encoding!r}"
            raise UsageError(f"source {self.name!r}, {options}: {error}") from None
        for uri in self.files():
            yield Part(uri, signature=signature(uri), size=expected_size(uri))

    def key_of(self, part: Part, position: str) -> str:
        return super().key_of(part, position) if self.split else self.relative(part.uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            text = self._content(part.uri)
            if isinstance(text, Rejected):
                yield text
                return
            front, body = front_matter(text) if self.front_matter else ({}, text)
            fields = self._fields(front)
            for position, title, piece in self._pieces(body):
                record = {**fields, self.text: piece, "#position": str(position)}
                if not self.id:
                    record["id"] = self.key_of(part, str(position))
                if title and self.split and self.title in fields:
                    record["file_title"] = fields[self.title]
                if title and (self.split or self.title not in fields):
                    record[self.title] = title
                yield record

    def _content(self, uri: str) -> str | Rejected:
        if why := refused(uri, "text"):
            return why
        content = whole(uri, 4 * self.max_chars, self.max_ratio)
        if isinstance(content, Rejected):
            return content
        try:
            return content.decode(self.encoding).removeprefix("\ufeff")
        except UnicodeError as error:
            reason = "invalid_utf8" if self.encoding.lower().startswith("utf") else "bad_encoding"
            return Rejected("0", reason, str(error))

    def _fields(self, front: dict[str, Any]) -> dict[str, Any]:
        """The front matter, with the host's names for what Markdown writers call otherwise."""
        usual = {
            "title": self.title,
            "date": self.published,
            "published": self.published,
            "url": self.url_field,
        }
        fields: dict[str, Any] = {}
        for name, value in front.items():
            name = usual.get(name.lower(), name)
            if name == self.text or (name == "id" and not self.id):
                name = (
                    f"file_{name}"  # the file's path is the document's id: ids of pages repeat in each folder
                )
            fields.setdefault(name, value)
        return fields

    def _pieces(self, body: str) -> Iterator[tuple[int, str | None, str]]:
        """(number, title, text) of each piece that is not blank; of a blank file, of the whole."""
        if self.split is None or not body.strip():
            yield 0, _heading(body), body
            return
        starts = {match.start(): match.group() for match in re.finditer(self.split, body, re.MULTILINE)}
        edges = sorted({0, *starts, len(body)})
        first = 0 if 0 not in starts else 1
        for number, (start, stop) in enumerate(itertools.pairwise(edges), first):
            piece = body[start:stop].strip("\r\n")
            if not piece.strip():
                continue
            title = _heading(piece)
            if title is None and starts.get(start, "").strip():
                title = piece.partition("\n")[0].strip()
            yield number, title, piece


def _heading(text: str) -> str | None:
    found = HEADING.match(text)
    return found.group(1) if found else None


def front_matter(text: str, chars: int = FRONT_MATTER_CHARS) -> tuple[dict[str, Any], str]:
    """The YAML between dashes at the beginning, and the text after it; {} and the whole where there is none."""
    found = FRONT_MATTER.match(text, 0, chars) if text.startswith("---") else None
    if not found:
        return {}, text
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # an alias may stand for millions of values
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(found.group(1), loader)):
            return {}, text
        front = yaml.load(found.group(1), loader)
    except (yaml.YAMLError, ValueError):
        return {}, text  # a line of dashes, and then prose
    if not isinstance(front, dict):
        return {}, text
    return {str(name): value for name, value in front.items()}, text[found.end() :].lstrip("\r\n")


@hookimpl
def register_sources(register: Any) -> None:
    register(Text)
