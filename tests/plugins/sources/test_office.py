"""Word, OpenDocument and EPUB: the text in reading order, what the file says of itself, and files that are none."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from curator_plugins.sources.office import Docx, Epub, Odt


def packed(members: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return held.getvalue()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
CORE = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"
DOCX = {
    "_rels/.rels": f"""<Relationships><Relationship Type="{RELATIONS}" Target="/word/document2.xml"/>
        <Relationship Type="{CORE}" Target="docProps/core.xml"/></Relationships>""",
    "docProps/core.xml": f"""<cp:coreProperties xmlns:cp="c" {DC}><dc:title>A  title</dc:title>
        <dc:creator>Ada</dc:creator><dcterms:created>2024-01-31T12:00:00Z</dcterms:created></cp:coreProperties>""",
    "word/document2.xml": f"""<w:document {W}><w:body>
        <w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Head</w:t></w:r><w:r><w:t>ing</w:t></w:r></w:p>
        <w:p><w:r><w:t xml:space="preserve">One </w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>
        <w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:ins><w:r><w:t> new</w:t></w:r></w:ins></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        <w:p><w:r><w:instrText>PAGE</w:instrText></w:r></w:p></w:body></w:document>""",
}
ODT = {
    "mimetype": "application/vnd.oasis.opendocument.text",
    "meta.xml": f"""<office:document-meta xmlns:office="o" xmlns:meta="m" {DC}><office:meta><dc:title>Titel</dc:title>
        <meta:creation-date>2024-01-31T12:00:00</meta:creation-date></office:meta></office:document-meta>""",
    "content.xml": """<office:document-content xmlns:office="o" xmlns:text="t"><office:body><office:text>
        <text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h>Heading</text:h>
        <text:p>One<text:s/>two<text:tab/><text:span>three</text:span><text:line-break/>four</text:p>
        </office:text></office:body></office:document-content>""",
}
EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/b.opf"/></rootfiles></container>',
    "OEBPS/b.opf": f"""<package><metadata {DC}><dc:title>Book</dc:title><dc:creator>Ada</dc:creator>
        <dc:creator>Bob</dc:creator><dc:language>en</dc:language><dc:date>1901</dc:date><dc:rights>CC0</dc:rights>
        </metadata><manifest><item id="a" href="text/one%201.xhtml"/><item id="b" href="two.xhtml"/>
        <item id="n" href="nav.xhtml" properties="nav"/></manifest>
        <spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/><itemref idref="none"/></spine></package>""",
    "OEBPS/two.xhtml": """<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://x/x.dtd">
        <html xmlns="h"><head><title>T</title></head><body><h1>First</h1><p>caf&eacute;&nbsp;<b>au</b> lait</p></body></html>""",
    "OEBPS/text/one 1.xhtml": "<html><body><p>Second</p></body></html>",
}


@pytest.fixture
def one(tmp_path: Path, read: Any) -> Any:
    def one(plugin: Any, content: bytes, **options: Any) -> Any:
        (tmp_path / "x.file").write_bytes(content)
        documents, bad = read(plugin(path=str(tmp_path / "x.file"), **options))
        return documents[0] if documents else bad[0][1]

    return one


def test_word(one: Any) -> None:
    """Paragraphs, tabs and breaks; what is deleted or a field's code is left out."""
    found = one(Docx, packed(DOCX))
    assert found["text"] == "Heading\n\nOne two\nthree new\n\ncell"
    assert (found["title"], found["published"]) == ("A title", datetime(2024, 1, 31, 12))
    assert (found["source_key"], orjson.loads(found["metadata"])) == ("x.file", {"creator": "Ada"})


def test_open_document(one: Any) -> None:
    """As Word."""
    found = one(Odt, packed(ODT))
    assert found["text"] == "Heading\n\nOne two three\nfour"
    assert (found["title"], found["published"]) == ("Titel", datetime(2024, 1, 31, 12))


def test_books(one: Any) -> None:
    """Chapters in the order of the spine, entities of HTML's names, metadata."""
    found = one(Epub, packed(EPUB))
    assert found["text"] == "First\n\ncafé au lait\n\nSecond"
    assert (found["title"], found["published"]) == ("Book", datetime(1901, 1, 1))
    told = orjson.loads(found["metadata"])
    assert told == {"creator": "Ada, Bob", "language": "en", "rights": "CC0", "chapter_starts": [0, 21]}


BOMB = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><w:document>&b;</w:document>'
LOCK = '<encryption><CipherReference URI="OEBPS/two.xhtml"/></encryption>'


@pytest.mark.parametrize(
    ("plugin", "content", "reason"),
    [
        (Docx, packed(DOCX | {"word/document2.xml": BOMB}), "entity_declaration"),
        (Docx, packed(DOCX | {"word/document2.xml": "<a><b></a>"}), "bad_xml"),
        (Docx, packed(DOCX | {"word/document2.xml": "<d>" + " " * (40 << 20) + "</d>"}), "bomb"),
        (Docx, packed(DOCX | {"word/document2.xml": "<document><body/></document>"}), "no_text"),
        (Docx, packed(ODT), "wrong_format"),
        (Docx, packed(DOCX)[:-40], "damaged_file"),
        (Docx, b"\xd0\xcf\x11\xe0 an old .doc", "wrong_format"),
        (Epub, packed(EPUB | {"META-INF/encryption.xml": LOCK}), "encrypted"),
        (Epub, packed({k: v for k, v in EPUB.items() if "two" not in k}), "wrong_format"),
        (Odt, packed({"content.xml": "<x/>"}).replace(b"content.xml", b"../tent.xml"), "wrong_format"),
    ],
)
def test_what_is_refused(one: Any, plugin: Any, content: bytes, reason: str) -> None:
    """One reason a file."""
    assert one(plugin, content) == reason


def test_the_size_of_all_xml_is_bounded(one: Any) -> None:
    """Not of the pictures."""
    pictures = {f"OEBPS/{n}.png": "x" * 10_000 for n in range(3)}
    assert one(Epub, packed(EPUB | pictures), max_bytes=9_000)["title"] == "Book"
    assert one(Epub, packed(EPUB), max_bytes=800) == "too_large"
