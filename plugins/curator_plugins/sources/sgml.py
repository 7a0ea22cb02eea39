"""A piece of SGML, or of broken XML, as a tree, as far as it makes sense.

A tag that is never closed ends with its parent, an end without a beginning is passed over, attributes need no quotes,
a reference that stands for no character stays as it is written, and control characters are dropped. Names keep
their case. No declaration is obeyed. Time and memory are linear in the text: no pattern looks past the next `<`.

Rejected: lxml's recovering parser of XML, which takes any end tag for that of the innermost element, so that one
unclosed tag moves all that follows into it; its parser of HTML, which moves `<title>` and `<body>` to where a page
has them; the standard library's of HTML, whose time is quadratic in unclosed comments.
"""

from __future__ import annotations

import html
import re
from xml.etree.ElementTree import Element, TreeBuilder

from curator_plugins.sources.elements import MAX_DEPTH, Refused, local

TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)>|<[!?][^<>]*>")
ATTRIBUTE = re.compile(r"([\w.:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>/]+))")
REFERENCE = re.compile(r"&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]\w{0,31});", re.IGNORECASE)
CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])


def tree(text: str) -> Element:
    """The first element of the text; raises Refused where there is none."""
    builder = TreeBuilder()
    names: list[str] = []
    done = 0
    text = _without_comments(text)
    for tag in TAG.finditer(text):
        if names and tag.start() > done:
            builder.data(_plain(text[done : tag.start()]))
        done = tag.end()
        end, name, rest = tag.groups()
        if name is None:
            continue
        name = local(name)
        if end:
            if name.lower() in (known.lower() for known in names):
                closed = ""
                while closed.lower() != name.lower():
                    builder.end(closed := names.pop())
                if not names:
                    return builder.close()
            continue
        if len(names) == MAX_DEPTH:
            raise Refused("too_deep", f"more than {MAX_DEPTH} elements in one another")
        builder.start(name, {local(key): _plain(a or b or c) for key, a, b, c in ATTRIBUTE.findall(rest)})
        if rest.endswith("/") and names:  # the record itself goes on to its end tag
            builder.end(name)
        else:
            names.append(name)
    if not names:
        raise Refused("bad_sgml", f"nothing in it makes sense: {text[:100]!r}")
    while names:
        builder.end(names.pop())
    return builder.close()


def _without_comments(text: str) -> str:
    first, *others = text.split("<!--")
    return first + "".join(
        after if ends else f"<!--{said}" for said, ends, after in (o.partition("-->") for o in others)
    )


def _plain(text: str) -> str:
    if "&" in text:
        text = REFERENCE.sub(lambda reference: html.unescape(reference.group()), text)
    return text.translate(CONTROLS)
