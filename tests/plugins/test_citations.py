"""citations: the marks that C4 removes, and no others."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings

from curator.testing import measure
from curator_plugins.cleaners.citations import Citations
from tests.plugins.peers import real_texts, some_text

#: datatrove's CITATION_REGEX
REFERENCE = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


@pytest.mark.parametrize(
    ("text", "wanted", "n"),
    [
        ("Water is wet.[1][23] So[edit] it is.[citation needed]", "Water is wet. So it is.", 4),
        ("empty [] and Arabic [١٢]", "empty  and Arabic ", 2),
        ("[a] [12, p. 3] [Edit] [ 1 ] [1", "[a] [12, p. 3] [Edit] [ 1 ] [1", 0),
        ("[[1]]", "[]", 1),
        ("", "", 0),
    ],
)
def test_marks(text: str, wanted: str, n: int) -> None:
    """Each kind of mark goes, is counted, and nothing around it changes."""
    assert measure(Citations, text).rows() == [(n, wanted)]


@settings(max_examples=300, deadline=None)
@given(some_text("[", "]", "[1]", "[edit]", "[citation needed]", "[²]"))
@example("[²] [Ⅷ] [٣]")
def test_as_the_reference(text: str) -> None:
    """What Python's regex of C4 leaves, character for character."""
    assert measure(Citations, text).rows() == [(len(REFERENCE.findall(text)), REFERENCE.sub("", text))]


def test_as_the_reference_on_real_texts() -> None:
    """The same on real documents, of which some have marks."""
    texts = real_texts()
    found = measure(Citations, *texts)
    assert found["text"].to_list() == [REFERENCE.sub("", text) for text in texts]
    assert 0 < found["citations"].sum() == sum(len(REFERENCE.findall(text)) for text in texts)
