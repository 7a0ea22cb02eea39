"""Trees of elements -> text in reading order, a line for each block.

Of HTML the names say what a block is; `pre` is kept as it stands and items of lists get a dash. Of XML nobody
knows the names, so the content tells: an element among text is part of its sentence, and one whose siblings
have nothing but spaces between them is a block of its own. `INLINE` are names that are never blocks, for
`<p><b>One</b> <i>two</i></p>`. White space is one space, unless it is to be kept.

Works on the standard library's trees and on lxml's alike; without recursion, as trees may be deep. Rejected:
resiliparse's plain text, twice as fast on HTML, but it knows only HTML, and brings fastwarc along.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

#: HTML's blocks, and how many newlines stand around each
HTML = dict.fromkeys(
    ("address", "br", "caption", "dd", "div", "dt", "figcaption", "li", "option", "tr"), 1
) | (
    dict.fromkeys(("article", "aside", "blockquote", "details", "dl", "fieldset", "figure", "footer"), 2)
    | dict.fromkeys(("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol"), 2)
    | dict.fromkeys(("p", "pre", "section", "table", "ul"), 2)
)
HTML_UNSEEN = frozenset(("head", "noscript", "script", "style", "template", "title"))
IN_SENTENCES = (
    "a abbr b bold code em emph ext-link i ital italic sc small span strong sub sup u underline xref"
)
INLINE = frozenset(IN_SENTENCES.split())
BREAKS = frozenset(("br", "lb"))
MAX_TAGS = 300_000  #: of a fragment of HTML: 100 MB of memory


def html_text(html: str) -> str:
    """The text of a fragment of HTML, with blank lines round paragraphs, code as it stands; "" where there is none.

    Raises ValueError for more than MAX_TAGS tags.
    """
    from lxml import etree

    if html.count("<") > MAX_TAGS:
        raise ValueError(f"HTML with more than {MAX_TAGS} tags")
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.replace("\0", "").encode(errors="replace"), parser)
    except etree.ParserError:
        return ""
    return "" if root is None else text_of(root, HTML, HTML_UNSEEN)


def text_of(
    root: Any, blocks: dict[str, int] | None = None, unseen: Container[str] = (), keep: bool = False
) -> str:
    """All text below an element. `blocks` are the names that begin a line; None: the content tells them.

    Elements called as in `unseen` are left out; `keep` leaves white space as it is.
    """
    lines = _Lines(keep)
    stack: list[tuple[Any, int, bool]] = [
        (root, 0, False)
    ]  # (element, newlines around it, whether it ends here)
    while stack:
        node, gap, ends = stack.pop()
        if not ends and isinstance(node.tag, str) and node.tag not in unseen:
            if gap:
                lines.cut(gap)
            if blocks:
                lines.enter(node.tag)
            if node.text:
                lines.run.append(node.text)
            stack.append((node, gap, True))
            if len(node):
                gaps = _gaps(node, blocks)
                stack += [
                    (child, gap, False) for child, gap in zip(reversed(node), reversed(gaps), strict=True)
                ]
            continue
        if ends and gap:
            lines.cut(gap)
        if ends and blocks:
            lines.leave(node.tag)
        if node is not root and node.tail:
            lines.run.append(node.tail)
    lines.cut(0)
    return "".join(lines.found)


def _gaps(node: Any, blocks: dict[str, int] | None) -> list[int]:
    """How many newlines stand around each child."""
    if blocks:
        return [blocks.get(child.tag, 0) for child in node]
    mixed = _mixed(node)
    return [
        int(
            child.tag in BREAKS
            or (child.tag not in INLINE and (not mixed or (len(child) > 0 and not _mixed(child))))
        )
        for child in node
    ]


def _mixed(node: Any) -> bool:
    """Whether text stands between its children."""
    return _says(node.text) or any(_says(child.tail) for child in node)


def _says(text: str | None) -> bool:
    return text is not None and not text.isspace() and text != ""


class _Lines:
    """Text that is cut into lines as it comes; `run` is what was said since the last cut."""

    def __init__(self, keep: bool) -> None:
        self.run: list[str] = []
        self.found: list[str] = []
        self._gap = 0
        self._item = False  # whether an item of a list begins
        self._kept = int(keep)  # how many of the elements that we are in keep their white space

    def cut(self, gap: int) -> None:
        said = "".join(self.run)
        self.run = []
        said = said.strip("\r\n") if self._kept else " ".join(said.split())
        if said and not (self._kept and said.isspace()):
            if self.found:
                self.found.append("\n" * (self._gap or 1))
            self.found.append(f"- {said}" if self._item else said)
            self._item = False
            self._gap = 0
        self._gap = max(self._gap, gap)

    def enter(self, name: str) -> None:
        if name == "li":
            self._item = True
        elif name in ("td", "th"):
            self.run.append(" ")
        elif name == "pre":
            self._kept += 1

    def leave(self, name: str) -> None:
        if name == "li":
            self._item = False
        elif name == "pre":
            self._kept -= 1
