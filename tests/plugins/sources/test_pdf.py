"""PDF files: the text layer, what a file says of itself, and files that have none or mean harm."""

from __future__ import annotations

import gzip
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from curator import UsageError
from curator_plugins.sources import pdf_text
from curator_plugins.sources.pdf import Pdf

pytest.importorskip("pypdfium2", reason="pip install 'corpus-curator[pdf]'")


def written(pages: list[bytes], info: str = "", more: str = "", same: bool = False) -> bytes:
    """A PDF of pages with these content streams; `more` goes into the trailer."""
    contents = [4 + 2 * n for n in range(len(pages))]
    kids = " ".join(f"{number + 1} 0 R" for number in contents)
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    for number, content in zip(contents, pages, strict=True):
        packed = zlib.compress(content)
        objects[number] = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
        objects[number + 1] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {contents[0] if same else number} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        ).encode()
    if info:
        objects[max(objects) + 1] = info.encode()
        more += f" /Info {max(objects)} 0 R"
    held = bytearray(b"%PDF-1.7\n")
    at = {}
    for number, body in objects.items():
        at[number] = len(held)
        held += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = "".join(f"{at[number]:010} 00000 n \n" for number in sorted(at))
    xref = len(held)
    held += f"xref\n0 {len(at) + 1}\n0000000000 65535 f \n{table}".encode()
    held += f"trailer\n<< /Size {len(at) + 1} /Root 1 0 R{more} >>\nstartxref\n{xref}\n%%EOF\n".encode()
    return bytes(held)


def page(*lines: str) -> bytes:
    shown = " ".join(f"({line}) Tj 0 -20 Td" for line in lines)
    return f"BT /F 12 Tf 50 700 Td {shown} ET".encode()


INFO = "<< /Title (A title) /Author (Ada) /CreationDate (D:20240131120000+01'00') /Producer (hand) >>"


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def file(content: bytes, name: str = "x.pdf", **options: Any) -> Pdf:
        (tmp_path / name).write_bytes(content)
        return Pdf(path=str(tmp_path), **options)

    return file


def test_pages_are_one_document(file: Any, read: Any) -> None:
    """Joined by an empty line, with the place of each, and what the file says of itself."""
    pages = [page("First line", "second line"), page("", ""), page("Last page")]
    ((document,), bad) = read(file(written(pages, INFO)))
    assert (document["text"], bad) == ("First line\nsecond line\n\n\n\nLast page", [])
    assert (document["source_key"], document["title"]) == ("x.pdf", "A title")
    assert document["published"] == datetime(2024, 1, 31, 11)
    told = orjson.loads(document["metadata"])
    assert told == {"pages": 3, "page_starts": [0, 24, 26], "author": "Ada", "producer": "hand"}
    assert document["text"][told["page_starts"][2] :] == "Last page"


def test_a_compressed_file(file: Any, read: Any) -> None:
    """As any other source reads it."""
    ((document,), bad) = read(file(gzip.compress(written([page("text")])), "x.pdf.gz"))
    assert (document["text"], document["published"], bad) == ("text", None, [])


ENCRYPTED = (
    " /Encrypt << /Filter /Standard /V 1 /R 2 /Length 40 /P -44 "
    f"/O <{'41' * 32}> /U <{'42' * 32}> >> /ID [<41> <41>]"
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (written([page()], INFO), "no_text_layer"),
        (written([b"q 100 0 0 100 0 0 cm Q"] * 3), "no_text_layer"),
        (written([page("secret")], more=ENCRYPTED), "encrypted"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 9, "damaged_file"),
        (b"PK\3\4 no PDF", "wrong_format"),
        (b"", "wrong_format"),
        (gzip.compress(written([page("text")]))[:-20], "damaged_file"),
    ],
    ids=["empty", "drawn", "encrypted", "garbage", "zip", "nothing", "cut"],
)
def test_what_has_no_text(file: Any, read: Any, content: bytes, reason: str) -> None:
    """One row in the quarantine, and the next file is read."""
    source = file(content)
    file(written([page("good")]), "y.pdf")
    documents, bad = read(source)
    assert ([d["text"] for d in documents], bad) == (["good"], [("0", reason)])


def test_bombs(file: Any, read: Any) -> None:
    """Streams that unpack to gigabytes, and pages without end: time, memory and size are bounded."""
    packed = zlib.compress(b"BT /F 12 Tf (a) Tj ET " * (4 << 20), 1)
    bomb = written([b""]).replace(zlib.compress(b""), packed).replace(b"/Length 8", b"/Length %d" % len(packed))
    many = written([page(*["some words of a line"] * 30)] * 15_000, same=True)
    file(bomb, "bomb.pdf")
    file(many, "many.pdf")
    documents, bad = read(file(written([page("good")]), "x.pdf", max_seconds=0.3, max_memory=128 << 20))
    assert [d["text"] for d in documents] == ["good"]
    assert [position for position, _ in bad] == ["0", "0"]
    assert {reason for _, reason in bad} <= {"extraction_timeout", "extraction_memory", "extraction_crash", "no_text_layer"}
    _, bad = read(file(b"", "x.pdf", max_file_bytes=100))
    assert bad == [("0", "too_large"), ("0", "too_large"), ("0", "wrong_format")]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("D:20240131120000Z", "2024-01-31T12:00:00Z"),
        ("D:20240131120000+01'30'", "2024-01-31T12:00:00+01:30"),
        ("D:20240131120000-08", "2024-01-31T12:00:00-08:00"),
        ("20240131", "2024-01-31T00:00:00"),
        ("D:2024", "2024-01-01T00:00:00"),
        ("Wednesday", None),
    ],
)
def test_dates(written: str, expected: str | None) -> None:
    """As the format has them, with what is left out at its first."""
    assert pdf_text._date(written) == expected


def test_a_missing_package_is_told_before_any_work(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that has it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the package pypdfium2: pip install 'corpus-curator\[pdf\]'"):
        list(file(b"").parts())
