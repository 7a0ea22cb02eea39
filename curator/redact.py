"""Hides what looks like a person's contact details in samples that are shown.

What `curator.pii` finds, and beyond it whatever looks like an address or a long number, since hiding too much
costs nothing here. This is for output only; taking such text out of the corpus is the work of the cleaner `pii`.
"""

from __future__ import annotations

import re

from curator.pii import Kind, replaced, spans

_NAMES: dict[Kind, str] = {
    "email": "<email>",
    "iban": "<iban>",
    "ip": "<ip>",
    "credit_card": "<number>",
    "phone": "<number>",
}
_BEYOND = (
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<ip>"),
    (re.compile(r"(?<!\w)\+?\d(?:[ ().-]{0,2}\d){8,18}(?!\w)"), "<number>"),
)


def redact(text: str) -> str:
    """The text with e-mail addresses, IP addresses, IBANs, and phone, card and other long numbers replaced."""
    text = replaced(text, spans(text), _NAMES)
    for pattern, name in _BEYOND:
        text = pattern.sub(name, text)
    return text
