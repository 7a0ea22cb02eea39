"""The source in the documentation of the hook, as a third party would write it."""

from __future__ import annotations

import inspect
import textwrap

from curator import hookspecs
from tests.conftest import Workshop


def test_the_documented_source_reads(workshop: Workshop) -> None:
    """The code of register_sources' docstring, in a file of the recipe, reads subtitles and refuses what is none."""
    doc = inspect.getdoc(hookspecs.register_sources) or ""
    code = doc[doc.index("    from curator import Part") : doc.index("\nWhat lies elsewhere")]
    (workshop.folder / "vtt.py").write_text(textwrap.dedent(code), encoding="utf-8")
    talk = "WEBVTT\n\n1\n00:00.000 --> 00:02.000\nTo be or not to be,\n\n00:02.000 --> 00:04.000\nthat is the question.\n"
    (workshop.folder / "hamlet.vtt").write_text(talk)
    (workshop.folder / "other.vtt").write_text("no subtitles")
    corpus = workshop.curate([], sources=[{"vtt": {"path": "*.vtt"}}], plugins=["./vtt.py"])
    texts = corpus.sql("SELECT source_key, text FROM texts JOIN documents USING (doc_id)").rows()
    assert texts == [("hamlet.vtt#0", "To be or not to be, that is the question.")]
    assert corpus.sql("SELECT reason FROM quarantine").rows() == [("wrong_format",)]
