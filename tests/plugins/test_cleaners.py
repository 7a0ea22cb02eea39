"""fix_unicode passes most lines by, and still gives what ftfy gives."""

from __future__ import annotations

import ftfy
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curator.documents import Documents
from curator_plugins.cleaners.fix_unicode import FixUnicode

PIECES = ["plain", "\n", "\r\n", "\r", "\u2028", "\x85", "âœ” ok", "&hellip;", "<b>", "ﬁne", "ＬＯＵＤ", "caf\u0065\u0301", "café",
          "“curled”", "\x1b[31mred\x1b[0m", "\x00", "\x9c", "schÃ¶n", "日本語", "👍🏽", "\ufeff", " ", "Ä", "&", "\u212b", "l’été"]  # fmt: skip
OPTIONS = [{}, {"uncurl_quotes": True}, {"normalization": None}, {"normalization": "NFKC", "unescape_html": True}]


def plugin(options: dict[str, object]) -> FixUnicode:
    found = FixUnicode(**options)
    found.setup()
    return found


PLUGINS = [plugin(options) for options in OPTIONS]


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(st.characters(codec="utf-8"))))
@example("&amp; before\n<b>\n&amp; behind")
@example("a\n")
@example("")
def test_the_same_as_ftfy(text: str) -> None:
    """Line by line or whole, every option gives ftfy's own answer."""
    for options, cleaner in zip(OPTIONS, PLUGINS, strict=True):
        config = ftfy.TextFixerConfig(**{"uncurl_quotes": False, "explain": False, **options})
        cleaned = cleaner.clean(Documents(pl.DataFrame({"text": [text]})))[0]
        assert (text if cleaned is None else cleaned) == ftfy.fix_text(text, config)


@pytest.mark.parametrize(("text", "fixed"), [("schÃ¶n", "schön"), ("a &lt; b", "a < b"), ("“x”", None), ("plain", None)])
def test_examples(text: str, fixed: str | None) -> None:
    """Mojibake and entities are repaired; curly quotes stay."""
    assert PLUGINS[0].clean(Documents(pl.DataFrame({"text": [text]}))) == [fixed]
