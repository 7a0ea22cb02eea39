"""The records of an XML file, one tree after the other, from a stream of bytes.

expat parses, with its handlers bound to the standard library's tree builder inside records and to nothing
outside them: 100 MB/s a core (60 MB of statutes, 375,000 elements), lxml's pull parser 150. expat it is, since
it stops at the first entity declaration, before anything is expanded; holds nothing but the record at hand,
which ends when it has taken too much, where libxml2 must build the tree to its end; and is in Python already.

**Entities.** A file that declares one is refused at the declaration. Nothing outside the file is ever opened: a
DTD that is only named, as PubMed's and JATS's files do, is passed over; references to the characters' usual
names (`&eacute;`) are those characters, and a record with any other is rejected.

**Damage.** What stands before it was read; of what follows nobody can say what it is a part of, so it is one
`Rejected`. (Records that are cut at their tags instead: `format: sgml`.)

Names lose their namespace and prefix. Bytes in other encodings than UTF-8 are decoded by Python, which knows
more of them than expat; then positions count bytes of the same text in UTF-8.
"""

from __future__ import annotations

import codecs
import html.entities
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from curator import Rejected
from curator.lines import DamagedFile

MAX_DEPTH = 500  #: elements in one another
ELEMENT_BYTES = 300  #: of memory that an element takes, with an attribute, beside its text
UNFINISHED = 4 << 20  #: bytes of one tag, comment or declaration that may be held
FED = 1 << 20  #: bytes parsed at a time
DECLARATION = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)[\"']")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Refused(Exception):
    """Why a file is read no further."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail


def local(name: str) -> str:
    """The name without its namespace's prefix."""
    return name.rpartition(":")[2] if ":" in name else name


class Records:
    """The elements at a path: `act` anywhere, `library/act` below another, `/library/act` from the root, `*` for any.

    `max_bytes` is what a record may take: its bytes, and ELEMENT_BYTES for each element.
    """

    def __init__(self, path: str, max_bytes: int, encoding: str | None = None) -> None:
        self._rooted = path.startswith(("/", "./"))
        self._path = path.removeprefix(".").strip("/").split("/")
        self._max_bytes = max_bytes
        self._encoding = encoding

    def read(self, pieces: Iterable[bytes]) -> Iterator[tuple[int, Element | Rejected]]:
        """(position, element or why there is none) of each record."""
        self._names: list[str] = []  # of the elements that are open
        self._ready: list[tuple[int, Element | Rejected]] = []
        self._builder: TreeBuilder | None = None  # of the record that is open, unless it was given up
        self._depth = 0  # how deep that record stands; 0 outside of records
        self._why: Rejected | None = None
        self._root = "none"
        self._start = self._elements = 0
        self._parser = self._new_parser()
        found = False
        fed = 0
        try:
            for piece in self._utf8(pieces):
                fed += len(piece)
                self._parser.Parse(piece)
                if fed - self._parser.CurrentByteIndex > UNFINISHED:
                    raise Refused("too_large", f"a tag or comment of more than {UNFINISHED} bytes")
                if self._builder is not None:
                    self._check_cost()
                found = found or bool(self._ready)
                yield from self._taken()
            self._parser.Parse(b"", True)
            found = found or bool(self._ready)
            yield from self._taken()
            if not found:
                raise Refused("no_record", f"no element {'/'.join(self._path)}; the root is {self._root}")
        except (Refused, expat.ExpatError, DamagedFile) as error:
            yield from self._taken()
            yield self._stopped(error)

    def _stopped(self, error: Exception) -> tuple[int, Rejected]:
        """What becomes of the rest of the file."""
        position = max(self._parser.CurrentByteIndex, 0)
        if isinstance(error, Refused):
            reason, detail = error.reason, error.detail
        elif isinstance(error, DamagedFile):
            reason, detail = error.reason, str(error)
        else:
            reason, detail = "bad_xml", str(error)
            position = max(self._parser.ErrorByteIndex, 0)
        if self._depth:
            detail += f"; the record from byte {self._start} on is lost with it"
        return position, Rejected(str(position), reason, detail)

    def _taken(self) -> list[tuple[int, Element | Rejected]]:
        taken, self._ready = self._ready, []
        return taken

    def _utf8(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same in UTF-8, by the file's own word for what it is in."""
        decode: Callable[[bytes, bool], str] | None = None
        first = True
        for piece in itertools.chain(pieces, [b""]):
            if first and piece:
                first = False
                name = self._encoding or declared(piece)
                if codecs.lookup(name).name != "utf-8":
                    decode = codecs.getincrementaldecoder(name)().decode
            for at in range(0, len(piece) or 1, FED):
                fed = piece[at : at + FED]
                try:
                    yield decode(fed, not piece).encode() if decode else fed
                except UnicodeError as error:
                    raise Refused("bad_encoding", str(error)) from None

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        return parser

    def _refuse(self, name: str, *_: object) -> None:
        raise Refused(
            "entity_declaration", f"the file declares the entity {name!r}; entities are never resolved"
        )

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        name = local(name)
        names = self._names
        names.append(name)
        if len(names) > MAX_DEPTH:
            raise Refused(
                "too_deep", f"more than {MAX_DEPTH} elements in one another: {'/'.join(names[:5])}/…"
            )
        if not self._depth:
            if len(names) == 1:
                self._root = name
            if not self._is_record():
                return
            self._depth = len(names)
            self._start = self._parser.CurrentByteIndex
            self._elements = 0
            self._why = None
            self._builder = TreeBuilder()
            self._parser.CharacterDataHandler = self._builder.data
            self._parser.SkippedEntityHandler = self._named
        builder = self._builder
        if builder is None:
            return
        self._elements += 1
        if attributes:
            attributes = {local(key): value for key, value in attributes.items()}
        builder.start(name, attributes)
        if not self._elements & 63:
            self._check_cost()

    def _end(self, name: str) -> None:
        depth = len(self._names)
        name = self._names.pop()
        builder = self._builder
        if builder is not None:
            builder.end(name)
        if depth == self._depth:
            self._depth = 0
            self._parser.CharacterDataHandler = self._parser.SkippedEntityHandler = None
            if builder is not None:
                self._check_cost()
            self._ready.append((self._start, self._why or builder.close()))  # type: ignore[union-attr]
            self._builder = None

    def _is_record(self) -> bool:
        names, path = self._names, self._path
        if len(names) < len(path) or (self._rooted and len(names) > len(path)):
            return False
        return all(want in ("*", name) for want, name in zip(reversed(path), reversed(names), strict=False))

    def _check_cost(self) -> None:
        cost = self._parser.CurrentByteIndex - self._start + ELEMENT_BYTES * self._elements
        if cost > self._max_bytes:
            detail = f"more than {self._max_bytes} bytes, each of {self._elements} elements taken as {ELEMENT_BYTES}"
            self._give_up("too_large", detail)

    def _named(self, name: str, is_parameter: bool) -> None:
        character = html.entities.html5.get(f"{name};")
        if is_parameter or self._builder is None:
            return
        if character:
            self._builder.data(character)
        else:
            self._give_up("unknown_entity", f"&{name}; is declared outside the file, if at all")

    def _give_up(self, reason: str, detail: str) -> None:
        """The record becomes no element; its end is still looked for."""
        self._why = Rejected(str(self._start), reason, detail)
        self._builder = None
        self._parser.CharacterDataHandler = None


def declared(head: bytes) -> str:
    """The encoding that the beginning of a file declares; raises Refused where Python knows none such."""
    mark = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if mark is None and head[:4] in (b"<\0?\0", b"\0<\0?"):
        mark = "utf-16-le" if head.startswith(b"<") else "utf-16-be"
    said = DECLARATION.match(head[:512])
    name = mark or (said.group(1).decode() if said else "utf-8")
    if not known_encoding(name):
        raise Refused("unknown_encoding", f"the file says that its encoding is {name!r}")
    return name


def known_encoding(name: str) -> bool:
    """Whether Python decodes it, and it is one that XML may be in."""
    try:
        return "<a>".encode(name).replace(b"\0", b"").endswith(b"<a>")
    except (LookupError, UnicodeError):
        return False
