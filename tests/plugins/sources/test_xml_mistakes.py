"""What `xml` says of a wrong record, a wrong path and a wrong format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator import Part, Rejected
from curator_plugins.sources.xml import Xml

REUTERS = b"<!DOCTYPE lewis>\n<REUTERS ID=1><TEXT>a&#3;</TEXT><BODY></BODY></REUTERS>"


def written(folder: Path, content: bytes, **options: Any) -> Xml:
    (folder / "file").write_bytes(content)
    return Xml(path=str(folder / "file"), **options)


def test_sgml_without_the_record(tmp_path: Path) -> None:
    """Is told once a file, with the names that there are: by its first part, if no other has a record either."""
    for content, there in {
        REUTERS * 2: "there are REUTERS, TEXT, BODY",
        b"no markup": "there are no tags at its beginning",
    }.items():
        source = written(tmp_path, content, format="sgml", record="R")
        (whole,) = source.parts()
        parts = [Part(whole.uri, a, b, whole.signature) for a, b in ((0, 5), (5, 60), (60, None))]
        told = Rejected("0", "no_record", f"no element R; {there}")
        assert [list(source.read(part)) for part in [whole, *parts]] == [[told], [told], [], []]


def test_a_first_part_without_a_record(tmp_path: Path) -> None:
    """Says nothing where another has one."""
    source = written(tmp_path, b" " * 9 + b"<R>x</R>", format="sgml", record="R")
    (whole,) = source.parts()
    assert list(source.read(Part(whole.uri, 0, 5, whole.signature))) == []
    assert [found["text"] for found in source.read(whole)] == ["x"]


@pytest.mark.parametrize(
    ("path", "reason", "detail"),
    [
        ("TEXT/BODI", "no_text", "no element TEXT/BODI in REUTERS, which has TEXT, BODY"),
        ("BODI | //X/@y", "no_text", "no element BODI | //X/@y in REUTERS, which has TEXT, BODY"),
        ("BODY", None, None),
        ("BODI | BODY//text()", None, None),
        ("@NEWID", None, None),
    ],
)
def test_a_wrong_path_of_the_text(tmp_path: Path, path: str, reason: str | None, detail: str | None) -> None:
    """Is told with what is there; an element that is there and empty is left to the host."""
    source = written(tmp_path, REUTERS, format="sgml", record="REUTERS", fields={"text": path})
    (found,) = source.read(*source.parts())
    if reason and detail:
        assert found == Rejected("17", reason, detail)
    else:
        assert found == {"#position": "17", "text": ""}


def test_another_field_may_be_missing(tmp_path: Path) -> None:
    """It costs no document; without `text` in `fields`, all of the record is the text."""
    source = written(tmp_path, REUTERS, format="sgml", record="REUTERS", fields={"title": "HEADING"})
    (found,) = source.read(*source.parts())
    assert found == {"#position": "17", "text": "a"}


def test_sgml_read_as_xml(tmp_path: Path) -> None:
    """The option is named where a file that says nowhere that it is XML breaks in its first record."""
    hint = "; if this is SGML, set `format: sgml`, and `record:` to the name of a tag"
    for content, hinted in {
        REUTERS: True,
        b"<?xml version='1.0'?>" + REUTERS: False,
        b"<l><act>x</act><act>&#3;</act></l>": False,
        b'{"no": "markup"}': False,
    }.items():
        source = written(tmp_path, content, record="REUTERS" if b"REUTERS" in content else "act")
        last = list(source.read(*source.parts()))[-1]
        assert isinstance(last, Rejected)
        assert (last.reason, hint in last.detail) == ("bad_xml", hinted)
