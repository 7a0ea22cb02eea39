"""Wikitext -> the text that a reader sees, with mwparserfromhell.

Dropped: comments, references, templates, parser functions, tables, galleries, files, categories, links to other
languages, magic words. Formulas stay as they were written, between dollars. A heading becomes Markdown's (`## Life`) unless nothing follows it; an item of a
list gets a dash; a link its label. Brackets that a template left empty go with it.

References and balanced templates are cut before the parser sees them: it reads 1.1 MB/s of English articles with
them, 2.8 without. Even so it takes quadratic time for some input (github earwig/mwparserfromhell#364: 32 KB of `{{a|`
take longer than 15 s) and gigabytes for other (#286), so it runs in `curator_plugins.sources.sandbox`. Rejected:
wikitextparser, which is as good, twice as fast and less easily upset, but under the GPL, version 3, which a package
under Apache's licence cannot depend on; wikipedia's old extractors of regular expressions, which nobody maintains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
REFERENCE = re.compile(r"<ref\b[^<>]*/>|<ref\b[^<>]*>[^<]*(?:<(?!/?ref\b)[^<]*)*</ref\s*>", re.IGNORECASE)
BRACES = re.compile(
    r"<(math|chem|ce|nowiki|pre|syntaxhighlight|source)\b[^<>/]*>.*?</\1\s*>|\{\{|\}\}", re.DOTALL | re.IGNORECASE
)
MAGIC_WORD = re.compile(r"__[^\W\d_a-z]+__")
LANGUAGE = re.compile(r"(?:[a-z]{2,3}|simple)(?:-[a-z]+)*")
MEDIA = re.compile(
    r"[^:]+:.*\.(?:jpe?g|png|gif|svg|webp|tiff?|og[gav]|webm|mp3|wav|pdf|djvu)\s*", re.IGNORECASE
)
NO_TEXT = """categorytree ce chem gallery graph hiero imagemap includeonly inputbox mapframe maplink noinclude
    ref references score section style table templatedata templatestyles timeline"""
UNSEEN = frozenset(NO_TEXT.split())
BREAKS = frozenset(("blockquote", "br", "center", "div", "dl", "hr", "ol", "p", "tr", "ul"))
TABLE_LINE = re.compile(r"^[ \t:]*(?:\{\||\|\}|\||!).*\n?", re.MULTILINE)
EMPTY_BRACKETS = re.compile(r"[ \t]?(?:\([\s,;:/·]*\)|（[\s、，；]*）)")
OPENING = re.compile(r"\([\s,;:]+")
HEADING = re.compile(r"(#{1,6}) \S")


def plain(wikitext: str, unseen: Sequence[str] = ()) -> str:
    """The text of a page. `unseen` are the site's names, in lower case, of the namespaces of files and categories."""
    import mwparserfromhell

    text = REFERENCE.sub("", COMMENT.sub("", wikitext))
    found: list[str] = []
    _render(mwparserfromhell.parse(_without_templates(text)), frozenset(unseen), found)
    text = TABLE_LINE.sub("", MAGIC_WORD.sub("", "".join(found)))
    text = OPENING.sub("(", EMPTY_BRACKETS.sub("", text))
    return "\n".join(_with_content([" ".join(line.split()) for line in text.split("\n")]))


def _without_templates(text: str) -> str:
    """The text without what stands in balanced double braces; as it is where they are not."""
    kept: list[str] = []
    depth = done = 0
    for found in BRACES.finditer(text):
        if found.group(1):
            continue
        if found.group() == "{{":
            if not depth:
                kept.append(text[done : found.start()])
            depth += 1
        elif depth:
            depth -= 1
            done = found.end()
    return text if depth else "".join([*kept, text[done:]])


def _render(code: Wikicode | None, unseen: frozenset[str], found: list[str]) -> None:
    from mwparserfromhell import nodes

    for node in code.nodes if code else ():
        if isinstance(node, nodes.Text):
            found.append(node.value)
        elif isinstance(node, nodes.Wikilink):
            if not _is_unseen(str(node.title), unseen):
                _render(node.title if node.text is None else node.text, unseen, found)
        elif isinstance(node, nodes.Tag):
            _render_tag(node, unseen, found)
        elif isinstance(node, nodes.Heading):
            found.append("#" * node.level + " ")
            _render(node.title, unseen, found)
        elif isinstance(node, nodes.ExternalLink):
            _render(node.title or (None if node.brackets else node.url), unseen, found)
        elif isinstance(node, nodes.HTMLEntity):
            found.append(node.normalize())


def _render_tag(node: Any, unseen: frozenset[str], found: list[str]) -> None:
    name = str(node.tag).strip().lower()
    if name in UNSEEN:
        return
    if name == "math":
        found.append(f"${str(node.contents).strip()}$")
        return
    if node.wiki_markup in ("*", "#"):
        if not found or found[-1] != "- ":
            found.append("- ")
        return
    if name in BREAKS:
        found.append("\n")
    _render(node.contents, unseen, found)
    if name in BREAKS - {"br", "hr"}:
        found.append("\n")


def _is_unseen(title: str, unseen: frozenset[str]) -> bool:
    """Whether a link is an image, a category or the page in another language, and no link in the text."""
    prefix, colon, _ = title.strip().partition(":")
    if not colon or not prefix:
        return False
    name = prefix.strip().replace("_", " ").lower()
    return (
        name in unseen or LANGUAGE.fullmatch(prefix) is not None or MEDIA.fullmatch(title.strip()) is not None
    )


def _with_content(lines: list[str]) -> list[str]:
    """Lines without headings that nothing stands below, one blank line at most between them."""
    kept: list[str] = []
    nearest = 0  # level of the heading that is the next thing below; 0 at the end, and high for text
    for line in reversed(lines):
        heading = HEADING.match(line)
        if heading:
            level = len(heading.group(1))
            if nearest <= level:
                continue
            nearest = level
        elif line:
            nearest = 7
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept[::-1]
