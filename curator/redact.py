"""Hides what looks like a person's contact details in samples that are shown.

This is for output only; what it misses is still in the corpus. Removing such text from the corpus is a
cleaner's work.
"""

from __future__ import annotations

import re

_PATTERNS = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<ip>"),
    (re.compile(r"(?<!\w)\+?\d(?:[ ().-]{0,2}\d){8,14}(?!\w)"), "<number>"),
)


def redact(text: str) -> str:
    """The text with e-mail addresses, IPv4 addresses and long numbers replaced."""
    for pattern, name in _PATTERNS:
        text = pattern.sub(name, text)
    return text
