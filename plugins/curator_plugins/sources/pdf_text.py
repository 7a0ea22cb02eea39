"""The text layer of one PDF; runs in the process that `curator_plugins.sources.page` describes."""

from __future__ import annotations

import re
from typing import Any

SEPARATOR = "\n\n"  #: between pages
DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(Z)|([+-]\d\d)'?(\d\d)?'?)?")
PASSWORD = 4  #: PDFium's code for a file that is encrypted
FIELDS = ("Title", "Author", "Subject", "Keywords", "Creator", "Producer")


def extract(content: bytes) -> dict[str, Any]:
    """{text, pages, page_starts (character offsets)} and what the file says of itself; or {reason, detail}."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        reason = "encrypted" if error.err_code == PASSWORD else "damaged_file"
        return {"reason": reason, "detail": str(error)}
    texts, unread = [], []
    for number in range(len(document)):
        try:
            page = document[number]
            layer = page.get_textpage()
            texts.append(_tidy(layer.get_text_bounded()))
            layer.close()
            page.close()
        except pypdfium2.PdfiumError:
            unread.append(number + 1)
            texts.append("")
    if len(unread) == len(texts):
        return {"reason": "damaged_file", "detail": f"none of {len(texts)} pages can be read"}
    if not any(texts):
        return {"reason": "no_text_layer", "detail": f"{len(texts)} pages without a character, perhaps scanned"}
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + len(SEPARATOR)
    about = document.get_metadata_dict()
    found = {name.lower(): value.strip() for name in FIELDS if (value := about.get(name))}
    published = _date(about.get("CreationDate") or "")
    return {
        "text": SEPARATOR.join(texts),
        "pages": len(texts),
        "page_starts": starts,
        **({"pages_unread": unread} if unread else {}),
        **({"published": published} if published else {}),
        **found,
    }


def _tidy(text: str) -> str:
    # PDFium has a \x02 for the hyphen of a word that goes on in the next line
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x02", "").strip()


def _date(text: str) -> str | None:
    """ISO 8601 of a PDF's date, as D:20240131120000+01'00'."""
    found = DATE.match(text)
    if not found:
        return None
    year, month, day, hour, minute, second, utc, offset, minutes = found.groups()
    zone = "Z" if utc else f"{offset}:{minutes or '00'}" if offset else ""
    return f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{zone}"
