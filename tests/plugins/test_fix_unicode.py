"""What fix_unicode repairs, what it leaves, and that its short cut changes nothing."""

from __future__ import annotations

from typing import Any

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.testing import measure
from curator_plugins.cleaners.fix_unicode import FixUnicode

REPAIRED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mojibake": ("cafÃ© dâ€™Or", "café d’Or", {}),
    "twice": ("schÃƒÂ¶n", "schön", {}),
    "entities": ("a &lt; b &amp;&amp; c &eacute;", "a < b && c é", {}),
    "entities beside tags": ("<p>a &lt; b</p>", "<p>a &lt; b</p>", {}),
    "entities left": ("a &lt; b", "a &lt; b", {"unescape_html": False}),
    "control characters": ("a\x00b\x0bc\x1b[0md\x7f", "abcd", {}),
    "control characters left": ("a\x01b", "a\x01b", {"remove_control_chars": False}),
    "line ends": ("a\r\nb\rc\u2028d", "a\nb\nc\nd", {}),
    "curly quotes stay": ("“so”, ‘he’ said", "“so”, ‘he’ said", {}),
    "curly quotes straight": ("“so”, ‘he’ said", "\"so\", 'he' said", {"uncurl_quotes": True}),
    "width": ("ＡＢＣ１２３", "ABC123", {}),
    "width left": ("ＡＢＣ", "ＡＢＣ", {"fix_character_width": False}),
    "normal form": ("e\u0301", "é", {}),
    "normal form left": ("e\u0301", "e\u0301", {"normalization": None}),
    "compatible form": ("x²", "x2", {"normalization": "NFKC"}),
    "ligatures": ("ﬁne", "fine", {}),
    "plain": ("Plain text, as it is.\n\ttabs too", "Plain text, as it is.\n\ttabs too", {}),
    "nothing": ("", "", {}),
    "right text": ("Füße, 日本語, שלום, 😀", "Füße, 日本語, שלום, 😀", {}),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_repairs(case: str) -> None:
    """Each kind of damage, with the option that turns its repair off or on."""
    text, wanted, options = REPAIRED[case]
    assert measure(FixUnicode, text, **options)["text"].to_list() == [wanted]


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    "a &;<>lt#39\x00\x0b\r\n\x7f\x1b[mÃ©â€™“\u0301ﬁＡ"
)


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(["NFC", "NFKC", None]), st.booleans())
def test_the_short_cut_changes_nothing(text: str, normalization: Any, quotes: bool) -> None:
    """Every text becomes what ftfy makes of it, whether it was passed by or not."""
    options = {"normalization": normalization, "uncurl_quotes": quotes}
    wanted = ftfy.fix_text(text, ftfy.TextFixerConfig(**options, explain=False))
    assert measure(FixUnicode, text, **options)["text"].to_list() == [wanted]


def test_it_measures_nothing_and_names_ftfy() -> None:
    """A cleaner without signals; ftfy's version is in the fingerprint."""
    assert measure(FixUnicode, "a").columns == ["text"]
    assert dict(FixUnicode().versions()) == {"ftfy": ftfy.__version__}
