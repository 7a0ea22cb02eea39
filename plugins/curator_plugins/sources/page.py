"""One page of the web: bytes in, its text and what it says of itself out. Run as a module, it is a process.

**Charset.** What is valid UTF-8 is UTF-8, whatever is declared (but for the charsets that spell everything in
ASCII); then what the HTTP header and the page's own `<meta>` say, if the bytes agree; else it is detected. A
declared charset that the bytes contradict is never believed: servers say iso-8859-1 of everything. Only names of
the web's encoding standard are known, so that none of Python's other codecs (zlib, punycode) is in reach.

The process finds the page in memory that it shares with its parent, reads requests from its standard input and
answers on its standard output: each a 4-byte length and JSON. It ends with its input, so with its parent, and kills itself when a page
takes too long: by the system's timers, which no native code holds up. `curator_plugins.sources.extraction` is
the other end. Nothing of curator is imported here: a process is up in 0.05 s.
"""

from __future__ import annotations

import codecs
import contextlib
import faulthandler
import html
import logging
import mmap
import os
import re
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

LENGTH = struct.Struct("<I")
WALL = 20  #: seconds on the clock that stand for one of work, on a machine that is busy with others
#: the standard's charset -> Python's codec with all of its characters
WIDER = {"gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
#: charsets whose bytes are valid UTF-8 too
ESCAPED = {"iso2022_jp", "iso-2022-jp", "utf-16", "utf-16le", "utf-16be", "utf_16_le", "utf_16_be"}
BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
META_CHARSET = re.compile(
    rb"<(?:meta\b[^>]{0,200}?charset|\?xml\b[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.I
)
META_BYTES = 4096  #: where a charset may be declared: the standard has 1024, pages do not keep to it
DATED = ("date", "pubdate", "publishdate", "dc.date", "dcterms.date", "dcterms.created", "parsely-pub-date")
PUBLISHED = 'meta[property="article:published_time"],meta[itemprop="datePublished"],' + ",".join(
    f'meta[name="{name}"]' for name in DATED
)
PUBLISHED_JSON = re.compile(r'"datePublished"\s*:\s*"([^"\\]{8,40})"')  # as schema.org has it
SAVED_FROM = re.compile(r"<!--\s*saved from url=\(\d+\)(\S{1,2000})", re.I)


def decode(page: bytes, charset: str | None) -> tuple[str, str]:
    """The page as text, and the charset that it turned out to have."""
    bom = next((mark for mark in BOMS if page.startswith(mark)), None)
    if bom:
        return page[len(bom) :].decode(BOMS[bom], "replace"), BOMS[bom]
    found = META_CHARSET.search(page, 0, META_BYTES)
    declared = [name for said in (charset, found and found[1].decode()) if said and (name := _codec(said))]
    if not (charset and declared and declared[0] in ESCAPED):
        with contextlib.suppress(UnicodeDecodeError):
            # the last character of a page that was cut may be half a one
            text, used = codecs.utf_8_decode(page, "strict", False)
            if len(page) - used < 4 and not ("iso2022_jp" in declared and b"\x1b$" in page):
                return text, "utf-8"
    for name in declared:
        with contextlib.suppress(UnicodeError):
            return page.decode(name), name
    from resiliparse.parse.encoding import detect_encoding

    guessed = _codec(detect_encoding(page) or "utf-8") or "utf-8"
    return page.decode(guessed, "replace"), guessed


def _codec(said: str) -> str | None:
    from resiliparse.parse.encoding import map_encoding_to_html5

    with contextlib.suppress(LookupError, ValueError):
        name = map_encoding_to_html5(said, False)
        name = name and WIDER.get(name, name)
        if name:
            codecs.lookup(name)
        return name or None
    return None


def extract(
    page: bytes, extractor: str, url: str | None = None, charset: str | None = None
) -> dict[str, Any]:
    """{text, charset} of a page, and title, language, published, canonical (its own address) where it has them."""
    if extractor == "pdf":
        from curator_plugins.sources import pdf_text

        return pdf_text.extract(page)
    from resiliparse.parse.html import HTMLTree

    markup, name = decode(page, charset)
    tree = HTMLTree.parse(markup)
    return {"text": _text(extractor, markup, tree, url), "charset": name, **_about(tree, markup)}


def _text(extractor: str, markup: str, tree: Any, url: str | None) -> str:
    if extractor == "resiliparse":
        from resiliparse.extract.html2text import extract_plain_text

        # where it finds no main content in a page, the page is as good as any; what is lost here is lost for good
        return str(extract_plain_text(tree, main_content=True)) or str(extract_plain_text(tree))
    if extractor == "trafilatura":
        import trafilatura

        # fast: without its other algorithms to compare with, which on pages with known texts make it worse
        return trafilatura.extract(markup, url=url, include_comments=False, fast=True) or ""
    return markup


def _about(tree: Any, markup: str) -> dict[str, str]:
    root = tree.document.document_element if tree.document else None
    head = tree.head or root
    published = head and head.query_selector(PUBLISHED)
    at = -1 if published else markup.find('"datePublished"')
    dated = PUBLISHED_JSON.match(markup, at) if at >= 0 else None
    canonical = head and head.query_selector('link[rel="canonical"],meta[property="og:url"]')
    saved = None if canonical else SAVED_FROM.search(markup, 0, META_BYTES)
    said = {
        "title": html.unescape(tree.title or ""),
        "language": root and (root.getattr("lang") or root.getattr("xml:lang")),
        "published": published.getattr("content") if published else dated and dated[1],
        "canonical": canonical.getattr("href") or canonical.getattr("content")
        if canonical
        else saved and saved[1],
    }
    return {name: tidy for name, value in said.items() if value and (tidy := " ".join(value.split())[:2000])}


# -- the process


def serve(extractor: str, seconds: float, memory: int, shared: str, max_bytes: int) -> None:
    """Answer requests until there are no more; `shared` is the file that pages are put into."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    logging.disable()
    with open(shared, "rb") as file:
        pages = mmap.mmap(file.fileno(), max_bytes, access=mmap.ACCESS_READ)
    extract(b"<html><title>a</title><body><p>Imports what pages need.</p></body>", extractor)
    _limit_memory(memory)
    send(answers, {"ready": True})
    answers.flush()
    while (asked := receive(requests)) is not None:
        at = 0
        for size, url, charset in asked["pages"]:
            with _killed_after(seconds):
                send(answers, _answer(pages, at, size, extractor, url, charset))
            at += size
        answers.flush()


def send(pipe: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message; it goes off when the pipe is flushed."""
    packed = orjson.dumps(message)
    pipe.write(LENGTH.pack(len(packed)) + packed)


def receive(pipe: BinaryIO) -> dict[str, Any] | None:
    """What the process at the other end says; None where it has died."""
    length = pipe.read(LENGTH.size)
    packed = pipe.read(*LENGTH.unpack(length)) if len(length) == LENGTH.size else b""
    try:
        return dict(orjson.loads(packed))
    except orjson.JSONDecodeError:
        return None


def _answer(
    pages: mmap.mmap, at: int, size: int, extractor: str, url: str | None, charset: str | None
) -> dict[str, Any]:
    try:
        return extract(pages[at : at + size], extractor, url, charset)
    except MemoryError:
        return {"reason": "extraction_memory", "detail": "out of memory"}
    except BaseException as error:  # a panic of native code is no Exception
        # the parsers refuse no markup, and the selectors are our own: all that they can lack is memory
        kind = "memory" if type(error).__name__ in ("HTMLParserException", "CSSParserException") else "failed"
        return {"reason": f"extraction_{kind}", "detail": f"{type(error).__name__}: {error}"}


def _limit_memory(memory: int) -> None:
    """What is taken from here on is `memory` bytes at most, where the system knows how (Linux)."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as statm:
            held = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))


@contextlib.contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Ends the process after so many seconds of work, or WALL times as many on the clock."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        faulthandler.dump_traceback_later(seconds, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
