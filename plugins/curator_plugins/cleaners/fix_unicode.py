"""Repairs text that was decoded wrongly, with ftfy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from curator import Cleaner, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curator.documents import Documents

# ASCII without these is what ftfy leaves alone: entities, escapes, control characters, other line ends
_SUSPECT = re.compile(r"[&\x00-\x08\x0b-\x1f\x7f]")


class FixUnicode(Cleaner):
    """Repair mojibake, stray entities, control characters and line ends (ftfy).

    Curly quotes stay curly unless `uncurl_quotes`, as in datatrove's FTFYFormatter; all else is ftfy's
    default. Plain ASCII without entities or control characters is passed by, since ftfy would not change it.
    """

    version = 1

    normalization: Annotated[Literal["NFC", "NFKC", "NFD", "NFKD"] | None, "Unicode normal form"] = "NFC"
    unescape_html: Annotated[Literal["auto"] | bool, "turn entities into characters"] = "auto"
    uncurl_quotes: Annotated[bool, "turn curly quotes into straight ones"] = False
    fix_character_width: Annotated[bool, "turn full-width Latin letters into plain ones"] = True
    remove_control_chars: bool = True

    def setup(self) -> None:
        import ftfy

        self._fix = ftfy.fix_text
        self._config = ftfy.TextFixerConfig(
            normalization=self.normalization,
            unescape_html=self.unescape_html,
            uncurl_quotes=self.uncurl_quotes,
            fix_character_width=self.fix_character_width,
            remove_control_chars=self.remove_control_chars,
            explain=False,
        )

    def versions(self) -> Mapping[str, str]:
        from importlib.metadata import version

        return {"ftfy": version("ftfy")}

    def clean(self, docs: Documents) -> list[str | None]:
        return [
            None if text.isascii() and not _SUSPECT.search(text) else self._fix(text, self._config)
            for text in docs.text
        ]


@hookimpl
def register_cleaners(register: Any) -> None:
    register(FixUnicode)
