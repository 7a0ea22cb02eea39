"""A mail or news message as bytes -> its text and what its headers say.

The standard library takes the message apart (its older policy: the newer one is three times slower and raises on
headers that people have sent); nothing of an attachment is decoded. Text is what would be shown: of alternatives the
plain one, else the HTML one as text; of several parts all that are inline, with blank lines between. A charset
that is missing, unknown or wrong is UTF-8 if the bytes are, else Windows' Western one, and then metadata says
`charset_guessed`. Flowed lines (RFC 3676) are joined.

Quoted lines and signatures are taken out by the marks of RFC 3676: `>` at the beginning of a line, with the line before that
says who wrote them, and `-- ` alone on one; PGP's armour goes with the signature. Rejected: mail-parser-reply and
email-reply-parser, whose patterns backtrack without bound on long messages and know attributions in some
languages, and talon, which nobody maintains.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from typing import Any

from curator_plugins.sources.blocks import html_text

HEADER_CHARS = 10_000
MAX_MULTIPARTS = 100  #: in one another or side by side; each line is compared with the boundary of each
MAX_LINES = 1_000_000  #: each takes 50 bytes of memory, and base64 of 64 MiB has fewer
CONTENT_HEADER = re.compile(
    rb"^content-(?:type|disposition):[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE
)
ATTACHMENTS = 100  #: that metadata lists
MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
#: charsets as mail calls them -> what their bytes are, as browsers take them
CHARSETS = {
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
}
CHARSETS |= {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "x-sjis": "cp932",
}
CHARSETS |= {"iso-8859-8-i": "iso-8859-8", "iso-8859-9": "cp1254", "unicode-1-1-utf-7": "utf-7"}

QUOTED = re.compile(r"[ \t]?>")
SIGNATURE_LINES = 20  #: of one that begins with `--` without its space
ATTRIBUTION_CHARS = 200
#: the first line of an attribution that mail programs have broken into two
BEGUN = re.compile(r"(?:On|At|In article|Am|Le|El|Il|Em|Op|W dniu) .*[^.:?!]$")
ARMOUR = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Z][a-zA-Z]*:.*\n)*\n?", re.MULTILINE)
PGP_SIGNATURE = re.compile(
    r"^-----BEGIN PGP SIGNATURE-----\n(?:.*\n){0,200}?-----END PGP SIGNATURE-----[ \t]*$", re.MULTILINE
)


class BadMail(Exception):
    """A message that cannot be taken apart."""


def parsed(raw: bytes) -> Message[str, str]:
    """The message; raises BadMail, also for what the parser would need hours or gigabytes for."""
    headers = [found.group() for found in CONTENT_HEADER.finditer(raw)]
    if any(len(value) > HEADER_CHARS for value in headers):
        raise BadMail(f"a header of more than {HEADER_CHARS} bytes says what a part is")
    if sum(b"multipart/" in value.lower() for value in headers) > MAX_MULTIPARTS:
        raise BadMail(f"more than {MAX_MULTIPARTS} multiparts")
    if raw.count(b"\n") > MAX_LINES:
        raise BadMail(f"more than {MAX_LINES} lines")
    try:
        return email.message_from_bytes(raw)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadMail(f"{type(error).__name__}: {error}") from None


def header(message: Message[str, str], name: str) -> str | None:
    """A header's text, decoded and on one line."""
    # `get` would make replacement characters of 8-bit ones
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), None)
    if raw is None:
        return None
    raw = raw[:HEADER_CHARS]
    try:
        found = decode_header(raw) if "=?" in raw else [(raw, None)]
    except (HeaderParseError, ValueError):
        found = [(raw, None)]
    text = "".join(
        piece if isinstance(piece, str) and charset is None else decoded(_bytes(piece), charset)[0]
        for piece, charset in found
    )
    if any("\udc80" <= c <= "\udcff" for c in text):  # 8-bit characters that are in no encoding
        text = decoded(_bytes(text), None)[0]
    return " ".join(text.split()) or None


def _bytes(piece: str | bytes) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogateescape")


def decoded(data: bytes, charset: str | None) -> tuple[str, bool]:
    """The text, and whether it took another charset than the declared one."""
    name = (charset or "utf-8").strip().strip("'\"").lower()
    for codec in dict.fromkeys((CHARSETS.get(name, name), "utf-8", "cp1252")):
        try:
            return data.decode(codec), codec != CHARSETS.get(name, name)
        except (LookupError, UnicodeError, ValueError, AssertionError):
            continue
    return data.decode("latin-1"), True


def message_ids(message: Message[str, str], name: str) -> list[str]:
    """The ids that a header names, without their brackets."""
    return MESSAGE_ID.findall(header(message, name) or "")


class Body:
    """What a message shows: `text`, and what is known of the rest."""

    def __init__(self, message: Message[str, str], quotes: bool = True, signatures: bool = True) -> None:
        self.attachments: list[dict[str, Any]] = []
        self.guessed = False
        texts = [self._text(part) for part in self._shown(message)]
        if not quotes or not signatures:
            texts = [_own(text, quotes, signatures) for text in texts]
        self.text = "\n\n".join(text.strip("\n") for text in texts if text.strip())

    def _shown(self, part: Message[str, str]) -> Iterator[Message[str, str]]:
        kind = part.get_content_type()
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            inner: list[Message[str, str]] = [p for p in part.get_payload() if isinstance(p, Message)]
            if kind == "multipart/alternative":
                shown = [[*self._shown(alternative)] for alternative in inner]
                plain = [s for s in shown if s and s[0].get_content_type() == "text/plain" and _says(s)]
                yield from next(iter(plain or [s for s in shown if s]), [])
                return
            for sub in inner:
                yield from self._shown(sub)
        elif kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            yield part
        elif len(self.attachments) < ATTACHMENTS:
            payload = part.get_payload()
            said = {
                "type": kind,
                "name": _file_name(part),
                "bytes": len(payload) if isinstance(payload, str) else None,
            }
            self.attachments.append({key: value for key, value in said.items() if value is not None})

    def _text(self, part: Message[str, str]) -> str:
        data = part.get_payload(decode=True)
        charset = part.get_content_charset()
        text, guessed = decoded(data if isinstance(data, bytes) else b"", charset)
        self.guessed = self.guessed or guessed
        if part.get_content_type() == "text/html":
            return html_text(text)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        flowed = str(part.get_param("format", "")).lower() == "flowed"
        return _unflowed(text, str(part.get_param("delsp", "")).lower() == "yes") if flowed else text


def _says(parts: list[Message[str, str]]) -> bool:
    return any(str(part.get_payload()).strip() for part in parts)


def _file_name(part: Message[str, str]) -> str | None:
    name = part.get_filename()
    if name is None:
        return None
    return decoded(_bytes(str(name)[:300]), None)[0]


def _unflowed(text: str, del_space: bool) -> str:
    """Lines that end in a space joined with the next, where both are quoted as deeply (RFC 3676)."""
    lines: list[str] = []
    depth_before, open_before = 0, False
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        goes_on = content.endswith(" ") and content != "-- "
        if open_before and depth == depth_before and content != "-- ":
            lines[-1] = (lines[-1][:-1] if del_space else lines[-1]) + content
        else:
            lines.append(f"{'>' * depth} {content}" if depth else content)
        depth_before, open_before = depth, goes_on
    return "\n".join(lines)


def _own(text: str, quotes: bool, signatures: bool) -> str:
    """What the writer wrote: without quoted lines, without the signature."""
    if not signatures:
        text = PGP_SIGNATURE.sub("", ARMOUR.sub("", text))
    lines = text.split("\n")
    if not signatures:
        lines = lines[: _signature(lines)]
    if not quotes:
        kept: list[str] = []
        quoted = False
        for line in lines:
            if not QUOTED.match(line):
                kept.append(line)
                quoted = quoted and not line.strip()
            elif not quoted:
                quoted = True
                _drop_attribution(kept)
        lines = kept
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _signature(lines: list[str]) -> int:
    """The number of the line that begins the signature; that of lines if there is none."""
    if "-- " in lines:
        return lines.index("-- ")
    near_end = range(max(len(lines) - SIGNATURE_LINES, 0), len(lines))
    return next((number for number in near_end if lines[number] == "--"), len(lines))


def _drop_attribution(lines: list[str]) -> None:
    """Take `Someone wrote on Monday:` off the end, with blank lines below, and its first line if it has two."""
    end = len(lines)
    while end and not lines[end - 1].strip() and len(lines) - end < 2:
        end -= 1
    if end and len(lines[end - 1]) < ATTRIBUTION_CHARS and lines[end - 1].rstrip().endswith(":"):
        del lines[end - 1 :]
        if lines and BEGUN.match(lines[-1]) and len(lines[-1]) < ATTRIBUTION_CHARS:
            del lines[-1]
