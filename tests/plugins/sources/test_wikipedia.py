"""MediaWiki dumps: wikitext to text, parts of any compression, what is skipped, and pages that hang the parser."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import Rejected
from curator_plugins.sources import wikipedia
from curator_plugins.sources.sandbox import Sandbox, Spent
from curator_plugins.sources.wikipedia import Wikipedia
from curator_plugins.sources.wikitext import plain

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ltg">
<siteinfo><dbname>ltgwiki</dbname><base>https://ltg.wikipedia.org/wiki/Suoku_puslopa</base><namespaces>
<namespace key="0" /><namespace key="6">Fails</namespace><namespace key="14">Kategoreja</namespace></namespaces></siteinfo>
"""


def page(
    number: int,
    text: str = "Text",
    title: str | None = None,
    ns: int = 0,
    extra: str = "",
    model: str = "wikitext",
) -> str:
    return (
        f"<page><title>{escape(title or f'Page {number}')}</title><ns>{ns}</ns><id>{number}</id>{extra}<revision><id>{number}0</id>"
        f"<timestamp>2016-04-18T23:12:22Z</timestamp><contributor><username>U</username><id>9</id></contributor>"
        f'<model>{model}</model><text xml:space="preserve">{escape(text)}</text></revision></page>\n'
    )


def written(folder: Path, *pages: str, **options: Any) -> Wikipedia:
    (folder / "dump.xml").write_text(HEAD + "".join(pages) + "</mediawiki>")
    return Wikipedia(path=str(folder / "dump.xml"), **options)


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        (
            "'''Bold''' and ''it'', a [[link]], [[target|label]]s, [[:Category:X|named]].",
            "Bold and it, a link, labels, named.",
        ),
        ("a {{infobox|x={{y}}|z}}b{{#if:x|y}}.", "a b."),
        ("One.<ref name=x>{{cite|t=[[q]]}}</ref> Two<ref name=x/>.<!-- no -->", "One. Two."),
        ("Before\n{| class=x\n|-\n! h\n| c {{t}}\n|}\nAfter", "Before\n\nAfter"),
        (
            "[[File:a.jpg|thumb|A [[caption]]]][[Fails:b.png]][[Attēls:c.png|x]][[Category:K]][[Kategoreja:L]][[fr:Titre]]T",
            "T",
        ),
        ("== Life ==\nBorn.\n=== Late ===\n== References ==\n{{reflist}}\n", "## Life\nBorn."),
        ("== A ==\n=== B ===\nx", "## A\n### B\nx"),
        ("* one\n** two\n# three", "- one\n- two\n- three"),
        ("[http://x.org label] [http://x.org] http://y.org", "label http://y.org"),
        ("'''Aristotle''' ({{IPA|x}}; {{lang|y}} 384 BC) was ({{z}}) born", "Aristotle (384 BC) was born"),
        ("__NOTOC__ a&nbsp;b &lt;c&gt; &#8211;", "a b <c> –"),
        ("<gallery>\nFile:x.jpg|y\n</gallery>a<br/>b <small>c</small><div>d</div>", "a\nb c\nd"),
        ("mass <math>E={{m}c^2}</math>", "mass $E={{m}c^2}$"),
        ("<nowiki>{{kept}} '''as is'''</nowiki>", "{{kept}} '''as is'''"),
        ("unclosed {{template | x\n\n[[link", "unclosed {{template | x\n\n[[link"),
    ],
)
def test_wikitext(wikitext: str, expected: str) -> None:
    """What a reader sees."""
    assert plain(wikitext, ["file", "image", "media", "category", "fails", "kategoreja"]) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "{{",
                "}}",
                "[[",
                "]]",
                "{|",
                "|}",
                "|",
                "''",
                "'''",
                "<ref>",
                "</ref>",
                "=",
                "\n",
                "a",
                "<!--",
                "-->",
                "*",
            ]
        )
    )
)
def test_any_wikitext_is_some_text(pieces: list[str]) -> None:
    """Nothing raises, and no line break is doubled more than once."""
    found = plain("".join(pieces))
    assert "\n\n\n" not in found
    assert found == found.strip("\n")


def test_articles(tmp_path: Path, read: Any) -> None:
    """Key, title, address, moment and metadata are the page's; redirects and other namespaces are counted."""
    source = written(
        tmp_path,
        page(1, "A &amp; [[B]]", "C++ & D?"),
        page(2, "#REDIRECT [[x]]", extra='<redirect title="x" />'),
        page(3, ns=10),
        page(4, ns=14),
    )
    ((found,), bad) = read(source)
    assert (found["source_key"], found["title"], found["text"]) == ("ltgwiki:1", "C++ & D?", "A & B")
    assert found["url"] == "https://ltg.wikipedia.org/wiki/C%2B%2B_%26_D%3F"
    assert (found["published"], found["license"]) == (dt.datetime(2016, 4, 18, 23, 12, 22), None)
    assert orjson.loads(found["metadata"]) == {"namespace": 0, "revision": 10}
    assert bad == [("all", "other_namespace"), ("all", "redirect")]
    details = [r.detail for r in source.read(*source.parts()) if isinstance(r, Rejected)]
    assert details == ["2 of 4 pages", "1 of 4 pages"]


def test_other_namespaces_and_models(tmp_path: Path, read: Any) -> None:
    """Are read when asked for; what is no wikitext stays as it is."""
    source = written(tmp_path, page(1, ns=828, text="return {{1}}", model="Scribunto"), namespaces=[828])
    assert read(source)[0][0]["text"] == "return {{1}}"


def test_a_page_that_takes_too_long_costs_only_itself(tmp_path: Path, read: Any) -> None:
    """mwparserfromhell's quadratic case: the process is ended, the next page has a new one."""
    source = written(tmp_path, page(1), page(2, "{{a|" * 8000), page(3), seconds=0.5)
    documents, bad = read(source)
    assert [d["source_key"] for d in documents] == ["ltgwiki:1", "ltgwiki:3"]
    assert [reason for _, reason in bad] == ["extraction_timeout"]


def test_the_sandbox() -> None:
    """What takes too much, raises, or kills its process is told apart; the next call works."""
    with Sandbox("operator:mul", 10**10, seconds=5, memory=1 << 30) as greedy:
        with pytest.raises(Spent, match="more than 1024 MiB") as caught:
            greedy("x")
        assert caught.value.reason == "extraction_memory"
        assert greedy("") == ""
    with Sandbox("builtins:int", seconds=5, memory=1 << 30) as numbers:
        with pytest.raises(Spent, match="ValueError: invalid literal") as caught:
            numbers("x")
        assert (caught.value.reason, numbers("12")) == ("extraction_failed", 12)
    with Sandbox("os:_exit", seconds=5, memory=1 << 30) as fatal, pytest.raises(Spent, match="TypeError"):
        fatal("1")


def dump(count: int, marker: str = "x") -> tuple[list[bytes], bytes]:
    """(streams, the whole) of a dump: 5 pages a stream, as the multistream dumps have 100."""
    pages = [page(n, f"{marker} {n} " * 50).encode() for n in range(count)]
    pieces = [HEAD.encode(), *(b"".join(pages[n : n + 5]) for n in range(0, count, 5)), b"</mediawiki>\n"]
    return pieces, b"".join(pieces)


def test_multistream_dumps_are_cut_at_their_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is read once, in the part whose stream it begins in, wherever its streams are cut."""
    pieces, whole = dump(40)
    monkeypatch.setattr(wikipedia, "STEP", 600)
    multistream = b"".join(map(bz2.compress, pieces))
    anywhere = b"".join(
        bz2.compress(whole[n : n + 1000]) for n in range(0, len(whole), 1000)
    )  # as pbzip2 cuts
    for content, several in ((multistream, True), (anywhere, True), (bz2.compress(whole), False)):
        (tmp_path / "d.xml.bz2").write_bytes(content)
        source = Wikipedia(path=str(tmp_path / "d.xml.bz2"))
        parts = list(source.parts())
        assert (len(parts) > 2) == several
        found = [r["id"] if isinstance(r, dict) else r for part in parts for r in source.read(part)]
        assert found == [f"ltgwiki:{n}" for n in range(40)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_other_dumps_are_cut_at_bytes(tmp_path: Path, pack: Any, read: Any) -> None:
    """Each page is read in the part that it begins in."""
    _, whole = dump(12)
    (tmp_path / "d").write_bytes(pack(whole))
    source = Wikipedia(path=str(tmp_path / "d"))
    (part,) = source.parts()
    for edge in range(0, len(whole), 997):
        halves = [
            type(part)(part.uri, 0, edge, part.signature),
            type(part)(part.uri, edge, None, part.signature),
        ]
        found = [r["id"] for half in halves for r in wikipages(source, half)]
        assert found == [f"ltgwiki:{n}" for n in range(12)]


def wikipages(source: Wikipedia, part: Any) -> Iterator[dict[str, Any]]:
    """The pages of a part with their wikitext: no process for each."""
    pieces = wikipedia._pieces(part)
    for position, cut in wikipedia.between(pieces, rb"<page(?=[\s>])", b"</page>", 1 << 20):
        record = source._page(cut, position, source._site(part.uri), lambda text: text)  # type: ignore[arg-type]
        assert isinstance(record, dict)
        yield record


def test_what_is_damaged_costs_only_itself(tmp_path: Path, read: Any) -> None:
    """A broken page, one without its end, a truncated file, another format."""
    source = written(
        tmp_path, page(1), page(2).replace("</title>", ""), "<page><title>", page(3), "<page>", page(4) * 2
    )
    documents, bad = read(source)
    assert [d["source_key"] for d in documents] == ["ltgwiki:1", "ltgwiki:3", "ltgwiki:4"]
    assert [reason for _, reason in bad] == ["bad_xml", "unclosed", "unclosed", "duplicate_key"]
    path = tmp_path / "dump.xml"
    path.write_bytes(bz2.compress(path.read_bytes())[:-20])
    assert [reason for _, reason in read(source)[1]] == ["damaged_file"]
    path.write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert read(source)[1] == [("0", "wrong_format")]
    path.write_bytes(b"<html>")
    assert read(source)[1] == [("0", "no_record")]


def test_entities_cannot_be_declared(tmp_path: Path, read: Any) -> None:
    """A page begins after any declaration, and one within it is damage."""
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]>'
    source = written(
        tmp_path, page(1).replace("<ns>", f"{bomb}<ns>"), page(2).replace("Text", "&a;"), page(3)
    )
    source_text = Path(source.path if isinstance(source.path, str) else source.path[0])
    source_text.write_text(bomb + source_text.read_text())
    documents, bad = read(source)
    assert ([d["source_key"] for d in documents], [reason for _, reason in bad]) == (
        ["ltgwiki:3"],
        ["bad_xml", "bad_xml"],
    )


@pytest.mark.parametrize(
    ("wiki", "articles", "redirects", "others"), [("enwiki", 39, 33, 0), ("ltgwiki", 280, 52, 286)]
)
def test_the_developers_corpus(
    dev: Path, read: Any, wiki: str, articles: int, redirects: int, others: int
) -> None:
    """Pages are articles, redirects, other namespaces, or (3 of Latgalian) nothing but templates; the same as a plain parse."""
    path = dev / f"encyclopedia/{wiki}-pages-articles.xml.bz2"
    source = Wikipedia(path=str(path))
    documents, bad = read(source)
    root = ElementTree.fromstring(bz2.decompress(path.read_bytes()))
    pages = root.findall("{*}page")
    wanted = [p for p in pages if p.findtext("{*}ns") == "0" and p.find("{*}redirect") is None]
    empty = sum(reason == "no_text" for _, reason in bad)
    assert (len(documents), len(wanted), len(pages)) == (
        articles,
        articles + empty,
        articles + empty + redirects + others,
    )
    titles = {f"{wiki}:{p.findtext('{*}id')}": p.findtext("{*}title") for p in wanted}
    assert {d["source_key"]: d["title"] for d in documents}.items() <= titles.items()
    texts = [re.sub(r"\$.*?\$", "", d["text"], flags=re.DOTALL) for d in documents]
    assert sum(mark in text for text in texts for mark in ("{{", "}}", "[[", "<ref", "{|")) == 0
