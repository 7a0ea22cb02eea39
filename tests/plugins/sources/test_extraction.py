"""Pages to text: charsets, what a page says of itself, and pages that hang, fill or kill what reads them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import Rejected, UsageError
from curator_plugins.sources import page as pages
from curator_plugins.sources.extraction import Extractor, Page, need_web
from curator_plugins.sources.html import Html
from curator_plugins.sources.page import decode, extract

MIB = 1 << 20
PROSE = "<html><body><article><p>Grüße aus Köln, wo der Rhein fließt und die Leute gern reden.</p></article></body></html>"
JAPANESE = "<p>日本語のテキストです。これは文章で、もう少し長く続きます。</p>"
SLOW = b"<div>" * 100_000  # resiliparse takes a quarter of a minute


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    extractor = Extractor("resiliparse", max_bytes=4 * MIB, seconds=0.4, memory=64 * MIB)
    yield extractor
    extractor.close()


def reason(found: dict[str, object] | Rejected) -> str:
    return found.reason if isinstance(found, Rejected) else "read"


@pytest.mark.parametrize(
    ("page", "charset", "expected"),
    [
        (PROSE.encode(), None, "utf-8"),
        (PROSE.encode(), "iso-8859-1", "utf-8"),
        (b"\xef\xbb\xbf" + PROSE.encode(), "iso-8859-1", "utf-8"),
        (PROSE.encode("utf-16"), None, "utf-16-le"),
        (PROSE.encode("latin-1"), "ISO-8859-1", "cp1252"),
        (PROSE.encode("latin-1"), "utf-8", "cp1252"),
        (b"<meta charset='latin1'>" + PROSE.encode("cp1252"), None, "cp1252"),
        (b'<meta content="text/html; charset=windows-1252">' + PROSE.encode("cp1252"), "nonsense", "cp1252"),
        (PROSE.encode("latin-1"), "zlib", "cp1252"),
        (b"<meta charset=shift_jis>" + JAPANESE.encode("cp932"), None, "cp932"),
        (JAPANESE.encode("euc_jp"), None, "euc_jp"),
        (b"<meta charset=iso-2022-jp>" + JAPANESE.encode("iso2022_jp"), None, "iso2022_jp"),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", "iso2022_jp"),
        (
            "<p>Привет, мир, это текст на русском языке, который надо узнать.".encode("koi8-r"),
            "koi8-r",
            "koi8-r",
        ),
    ],
)
def test_charsets(page: bytes, charset: str | None, expected: str) -> None:
    """By a mark, by being UTF-8, by what is declared if the bytes agree, or by detection."""
    text, found = decode(page, charset)
    assert found == expected
    assert next(line for line in ("Grüße", "日本語", "Привет") if line in text)
    assert "\ufffd" not in text


def test_a_page_that_was_cut_within_a_character_is_utf_8() -> None:
    """Crawlers cut pages at a number of bytes."""
    cut = PROSE.encode()[: PROSE.encode().index(b"\xc3\xbc") + 1]
    assert decode(cut, "latin-1") == ("<html><body><article><p>Gr", "utf-8")


@given(
    st.binary(max_size=300),
    st.none() | st.text(max_size=12) | st.sampled_from(["utf-7", "punycode", "utf-16"]),
)
def test_any_bytes_decode(page: bytes, charset: str | None) -> None:
    """To text that is UTF-8 again, with a charset that Python knows."""
    text, found = decode(page, charset)
    assert text.encode().decode() == text
    assert isinstance(found, str)


def test_what_a_page_says_of_itself(extractor: Extractor) -> None:
    """Title, language, date and address, from where pages put them."""
    head = (
        '<html lang="de"><head><title>A &amp;\n B</title><meta property="article:published_time" content="2020-02-03">'
        '<link rel="canonical" href="https://example.org/a"></head>'
    )
    found = extractor((head + PROSE).encode())
    assert isinstance(found, dict)
    assert found["text"] == "Grüße aus Köln, wo der Rhein fließt und die Leute gern reden."
    assert {name: found[name] for name in ("title", "language", "published", "canonical", "charset")} == {
        "title": "A & B",
        "language": "de",
        "published": "2020-02-03",
        "canonical": "https://example.org/a",
        "charset": "utf-8",
    }
    for says, name, value in [
        (
            '<script type="application/ld+json">{"datePublished" : "2021-05-06"}</script>',
            "published",
            "2021-05-06",
        ),
        ('<meta name="dc.date" content=" 2019-01-01 ">', "published", "2019-01-01"),
        ('<meta property="og:url" content="https://example.org/b">', "canonical", "https://example.org/b"),
        ("<!-- saved from url=(0021)https://example.org/c -->", "canonical", "https://example.org/c"),
    ]:
        assert extract((says + PROSE).encode(), "none")[name] == value


def test_the_extractors() -> None:
    """Main content by two libraries; none leaves the markup in."""
    menu = "<ul class=menu><li><a href=/>Home</a></li><li><a href=/x>Contact</a></li></ul>"
    prose = "".join(
        f"<p>{n}. The Rhein flows through Köln, where people like to talk of it.</p>" for n in range(9)
    )
    markup = (
        f"<html><body><nav>{menu}</nav><article>{prose}</article><footer>Copyright</footer></body></html>"
    )
    page = markup.encode()
    for name in ("resiliparse", "trafilatura"):
        text = extract(page, name)["text"]
        assert "Rhein" in text
        assert "Contact" not in text
    assert extract(page, "none")["text"] == page.decode()


def test_a_page_without_main_content_is_taken_whole(extractor: Extractor) -> None:
    """What is lost at extraction is lost for good; filters drop what is no text."""
    found = extractor(b"<body><nav><a href=/>All there is</a></nav></body>")
    assert isinstance(found, dict)
    assert found["text"] == "All there is"


def test_limits(extractor: Extractor) -> None:
    """Each has its reason, and the next page is read as if nothing had been."""
    cases = {
        b"a" * (4 * MIB + 1): "page_too_large",
        SLOW: "extraction_timeout",
        b"<p>hello world" * 150_000: "extraction_memory",
        b"<p> \n </p>": "no_text",
    }
    for page, expected in cases.items():
        found = extractor(page, position="7")
        assert isinstance(found, Rejected)
        assert (found.position, found.reason) == ("7", expected)
        assert reason(extractor(PROSE.encode())) == "read"


@pytest.mark.parametrize("name", ["resiliparse", "none", "pdf"])
def test_too_little_memory_for_the_process(name: str) -> None:
    """Is told as that, with the option, wherever in the process it ends: no crash with a traceback."""
    # a page that fits into no memory that the process happens to have free
    extractor = Extractor(name, max_bytes=64 * MIB, seconds=5, memory=1000)
    found = extractor(b"<p>abc " * 5_000_000)
    extractor.close()
    assert isinstance(found, Rejected)
    assert found.reason == "extraction_memory"
    assert found.detail.startswith(f"{name}, 35000000 bytes: more than max_page_memory: 1000: ")
    assert "Traceback" not in found.detail


def test_the_least_memory() -> None:
    """A limit that no usual page keeps is refused before any work."""
    Html(path="x", max_page_memory=8 * MIB).check()
    with pytest.raises(UsageError, match=r"max_page_memory: 1000 bytes .* set it to 8388608 or more"):
        Html(path="x", max_page_memory=1000).check()


def test_a_batch_answers_page_by_page(extractor: Extractor) -> None:
    """In order, whichever of them ends the process, and however many there are."""
    good = [Page(f"<p>page number {n} of these".encode(), position=str(n)) for n in range(40)]
    batch = [*good[:7], Page(SLOW, position="slow"), *good[7:], Page(b"a" * 5 * MIB, position="large")]
    found = extractor.many(batch)
    texts = [text["text"] for text in found if isinstance(text, dict)]
    assert texts == [f"page number {n} of these" for n in range(40)]
    assert [(i, r.position, r.reason) for i, r in enumerate(found) if isinstance(r, Rejected)] == [
        (7, "slow", "extraction_timeout"),
        (41, "large", "page_too_large"),
    ]


def test_a_crash_of_native_code_is_a_reason(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed as by a fault; a page is tried twice, the second time alone."""
    assert reason(extractor(PROSE.encode())) == "read"
    asked: list[int] = []
    send = pages.send

    def faulty(pipe: object, message: dict[str, object]) -> None:
        process = extractor._process
        assert process is not None
        asked.append(process._popen.pid)
        send(pipe, message)  # type: ignore[arg-type]
        os.kill(process._popen.pid, signal.SIGSEGV)

    monkeypatch.setattr(pages, "send", faulty)
    found = extractor(SLOW)
    assert isinstance(found, Rejected)
    assert found.reason == "extraction_crash"
    assert f"exit code {-signal.SIGSEGV}" in found.detail
    assert len(set(asked)) == len(asked) == 2


def test_deep_markup_and_nul_and_bad_bytes(extractor: Extractor) -> None:
    """None of them is more than a page."""
    for page in (
        b"<ul><li>" * 30_000 + b"deep",
        b"<p>a\0b\0c d",
        b"<p>caf\xe9 \xff\xfe ok",
        b"<p>" + b"&#0;&#xd800; x",
    ):
        found = extractor(page)
        assert reason(found) in ("read", "extraction_timeout")
        if isinstance(found, dict):
            found["text"].encode()


def test_the_process_ends_with_its_parent() -> None:
    """However that ends: a killed worker leaves no process behind, even one that is at work on a page."""
    program = (
        "import os; from curator_plugins.sources.extraction import Extractor\n"
        "x = Extractor('resiliparse', max_bytes=1 << 20, seconds=0.5, memory=1 << 28)\n"
        "x(b'<p>hello world'); print(x._process._popen.pid, flush=True); x(b'<div>' * 100_000)"
    )
    path = os.pathsep.join(filter(None, sys.path))
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.1)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.1)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_where_memory_has_no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS and Windows, pages go through a temporary file, and none is left."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    extractor = Extractor("none", max_bytes=MIB, seconds=5, memory=64 * MIB)
    found = extractor(b"<p>some words")
    extractor.close()
    assert isinstance(found, dict)
    assert (found["text"], list(tmp_path.iterdir())) == ("<p>some words", [])


def test_a_missing_package_names_the_extra() -> None:
    """And the option that asked for it."""
    with pytest.raises(
        UsageError, match=r"extract: x needs the package no_such.*pip install 'corpus-curator\[web\]'"
    ):
        need_web("extract: x", "no_such")
