"""Word by word, how one text differs from another."""

from __future__ import annotations

from difflib import SequenceMatcher

#: more words are not compared: the matcher's time grows with their square
MOST_WORDS, CONTEXT = 5_000, 4


def word_diff(old: str, new: str) -> list[tuple[str, str]]:
    """("=", words in both), ("-", only in `old`) and ("+", only in `new`) in order; long equal runs are shortened."""
    a, b = old.split()[:MOST_WORDS], new.split()[:MOST_WORDS]
    parts: list[tuple[str, str]] = []
    for kind, a_start, a_stop, b_start, b_stop in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            first, last = not (a_start or b_start), (a_stop, b_stop) == (len(a), len(b))
            parts.append(("=", _shortened(a[a_start:a_stop], first, last)))
            continue
        if a_stop > a_start:
            parts.append(("-", " ".join(a[a_start:a_stop])))
        if b_stop > b_start:
            parts.append(("+", " ".join(b[b_start:b_stop])))
    if max(len(old.split()), len(new.split())) > MOST_WORDS:
        parts.append(("=", f"… (the first {MOST_WORDS:,} words were compared)"))
    return parts


def _shortened(words: list[str], first: bool, last: bool) -> str:
    """The words beside what differs."""
    before, after = (0 if first else CONTEXT), (0 if last else CONTEXT)
    if len(words) <= before + after + 2:
        return " ".join(words)
    return " ".join([*words[:before], "…", *words[len(words) - after :]])
