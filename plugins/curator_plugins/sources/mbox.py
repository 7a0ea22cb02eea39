"""Mail and forum archives: mbox files, plain or compressed, and folders of single messages (.eml, Maildir).

One document a message; `curator_plugins.sources.mail` has what becomes text. The key is the Message-ID, `title` the
subject, `published` the date. Metadata holds ids of the messages it answers, list, newsgroups and attachments
(type, name, encoded size); names and addresses of people only with `keep_addresses`. Of two messages with one
Message-ID in a file the host keeps the first (`duplicate_key`): a message that was sent to two lists.

**Cutting.** A message begins at a line as mail programs write it, `From someone Thu Apr  1 00:00:00 1993`; where a
file's first line is another kind of "From ", at every line that begins so. What other mbox files leave unquoted
("From here on") ends no message. Rejected: believing Content-Length (mboxcl), which everybody says is wrong as often as
it is there. A plain file's parts are ranges of bytes, as of files of lines. Attachments make messages large: one of
more than `max_bytes` is quarantined unread.

Measured (CPU, one core): Usenet 15 MB/s, of which the standard library's parser takes two thirds.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

from curator import Part, Rejected, hookimpl
from curator.files import MIB, FileSource, refused, unchanged
from curator.lines import DamagedFile, decompressed, line_parts, whole
from curator_plugins.sources.cuts import starting, until
from curator_plugins.sources.mail import BadMail, Body, header, message_ids, parsed

ENVELOPE = (
    rb"From [^\n]{0,200}?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ \t]+(?:[A-Z][a-z]{2}[ \t]+\d{1,2}|\d{1,2}[ \t]+[A-Z][a-z]{2}[ \t]+\d{4})"
    rb"[ \t]+\d{1,2}:\d\d[^\n]{0,60}"
)
QUOTED_FROM = {
    "mboxrd": re.compile(rb"^>(?=>*From )", re.MULTILINE),
    "mboxo": re.compile(rb"^>(?=From )", re.MULTILINE),
}
HEADER = re.compile(rb"(?:>?From [^\n]*\n)?[!-9;-~]{1,80}[ \t]*:")


class Mbox(FileSource):
    """Messages of mbox files, .eml files and Maildir folders, plain or compressed."""

    version = 1
    endings = (".mbox", ".eml")
    quotes: Annotated[Literal["keep", "drop"], "drop: take out lines that quote others"] = "keep"
    signatures: Annotated[
        Literal["keep", "drop"], "drop: take out what follows a line `-- `, and PGP's armour"
    ] = "keep"
    keep_addresses: Annotated[bool, "put names and addresses of sender and receivers into metadata"] = False
    quoting: Annotated[
        Literal["mboxrd", "mboxo", "none"], "what a line `>From ` stands for: mboxrd and mboxo take off a >"
    ] = "mboxrd"
    max_bytes: Annotated[int, "a larger message, with its attachments, is quarantined unread"] = 32 * MIB

    def parts(self) -> Iterator[Part]:
        for uri in self.files():
            yield from line_parts(uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, "mail"):
                yield why
                return
            for position, raw in self._messages(part):
                yield raw if isinstance(raw, Rejected) else self._record(raw, position)

    def _messages(self, part: Part) -> Iterator[tuple[int, bytes | Rejected]]:
        """(offset, message without its envelope) of each that begins in the part."""
        try:
            head = next(decompressed(part.uri), b"").lstrip(b"\r\n")
        except DamagedFile as error:
            yield 0, Rejected("0", error.reason, str(error))
            return
        if not head.startswith(b"From "):
            if not part.start:
                yield 0, self._whole(part.uri, head)
            return
        start = part.start or 0
        opening = ENVELOPE if re.match(ENVELOPE, head) else b"From "
        before = max(start - 1, 0)
        pieces = until(decompressed(part.uri, before, max_ratio=self.max_ratio), None if part.stop is None else part.stop - before)
        unquoted = QUOTED_FROM.get(self.quoting)
        for offset, raw in starting(pieces, opening, self.max_bytes, start):
            if isinstance(raw, Rejected):
                yield offset, raw
                continue
            message = raw.partition(b"\n")[2].removesuffix(b"\n")
            yield offset, unquoted.sub(b"", message) if unquoted else message

    def _whole(self, uri: str, head: bytes) -> bytes | Rejected:
        """The message that the file is."""
        if not HEADER.match(head):
            return Rejected("0", "wrong_format", f"neither an mbox nor a message: {head[:80]!r}")
        return whole(uri, self.max_bytes, self.max_ratio)

    def _record(self, raw: bytes, position: int) -> dict[str, Any] | Rejected:
        try:
            message = parsed(raw)
            body = Body(message, self.quotes == "keep", self.signatures == "keep")
        except (
            BadMail,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            IndexError,
            RecursionError,
        ) as error:
            return Rejected(str(position), "bad_mail", f"{type(error).__name__}: {error}")
        record: dict[str, Any] = {
            "#position": str(position),
            self.text: body.text,
            self.title: header(message, "subject"),
        }
        key = next(iter(message_ids(message, "message-id")), header(message, "message-id"))
        said: dict[str, Any] = {
            "id": key,
            self.published: _date(message),
            "list": header(message, "list-id"),
            "newsgroups": header(message, "newsgroups"),
            "in_reply_to": next(iter(message_ids(message, "in-reply-to")), None),
            "references": message_ids(message, "references"),
            "attachments": body.attachments,
            "charset_guessed": body.guessed,
        }
        if self.keep_addresses:
            said |= {name: header(message, name) for name in ("from", "to", "cc")}
        return record | {name: value for name, value in said.items() if value}


def _date(message: Message[str, str]) -> Any:
    """The moment that it was written, or what stands there instead."""
    said = header(message, "date")
    if said:
        with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
            return parsedate_to_datetime(said)
    return said


@hookimpl
def register_sources(register: Any) -> None:
    register(Mbox)
