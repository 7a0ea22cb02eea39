"""XML and SGML: paths and fields, reading order, entities, damage, limits, and the same as lxml reads."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator import Part, Rejected, UsageError
from curator_plugins.sources import elements
from curator_plugins.sources.xml import Xml

ACTS = """<?xml version="1.0"?>
<library xmlns="urn:x" xmlns:l="urn:l">
  <!-- <act>no</act> -->
  <act id="1"><l:title>One</l:title><body><p>A <b>bold</b> word.</p><p>Next<note>x</note></p></body><l:k>a</l:k><l:k>b</l:k></act>
  <annex><act id="2"><title>Two &amp; <![CDATA[<three>]]></title><body>Just text</body></act></annex>
</library>"""
FIELDS = {"id": "@id", "text": "body//text()", "title": "title", "keywords": "k"}


def written(folder: Path, content: str | bytes, **options: Any) -> Xml:
    (folder / "file.xml").write_bytes(content.encode() if isinstance(content, str) else content)
    return Xml(path=str(folder / "file.xml"), **options)


def test_records_and_fields(tmp_path: Path, read: Any) -> None:
    """By a path without namespaces; several values are a list; sentences stay whole, blocks get a line."""
    documents, bad = read(written(tmp_path, ACTS, record="act", fields=FIELDS, leave_out=["note"]))
    assert bad == []
    assert [(d["source_key"], d["title"], d["text"]) for d in documents] == [
        ("1", "One", "A bold word.\nNext"),
        ("2", "Two & <three>", "Just text"),
    ]
    assert [d["metadata"] for d in documents] == ['{"keywords":["a","b"]}', None]


@pytest.mark.parametrize(
    ("record", "ids"),
    [
        ("act", ["1", "2"]),
        ("/library/act", ["1"]),
        ("./library/act", ["1"]),
        ("annex/act", ["2"]),
        ("*/*/act", ["2"]),
    ],
)
def test_record_paths(tmp_path: Path, read: Any, record: str, ids: list[str]) -> None:
    """From the root, or from anywhere."""
    documents, _ = read(written(tmp_path, ACTS, record=record, fields=FIELDS))
    assert [d["source_key"] for d in documents] == ids


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".", "A\nB\nC"),
        ("s/t", "B"),
        ("//t", ["A", "B"]),
        ("t[1]", "A"),
        ("s/@n", "5"),
        ("s[@n='5']/u", "C"),
        ("nothing | s/u", "C"),
        ("*", ["A", "B\nC"]),
        ("@missing", None),
    ],
)
def test_field_paths(tmp_path: Path, path: str, value: Any) -> None:
    """The part of XPath that the documentation names."""
    source = written(tmp_path, '<r><t>A</t><s n="5"><t>B</t><u> C\n </u></s></r>', fields={"f": path})
    (record,) = source.read(*source.parts())
    assert (record.get("f"), record["text"]) == (value, "A\nB\nC")


def test_several_values(tmp_path: Path, read: Any) -> None:
    """Of a column of documents the first is it, of the text all, of metadata a list."""
    fields = {"title": "t", "text": "//p", "others": "t", "year": "y"}
    content = "<r><t>A</t><t>B</t><y>1</y><y>2</y><s><p>x</p></s><p>y</p></r>"
    found = read(written(tmp_path, content, fields=fields, columns={"year": "int"}))[0][0]
    assert (found["title"], found["text"], found["year"]) == ("A", "x\n\ny", 1)
    assert orjson.loads(found["metadata"]) == {"others": ["A", "B"]}


def test_text_of_blocks(tmp_path: Path, read: Any) -> None:
    """An element among text is inline, unless it holds blocks itself; one among spaces is a block."""
    content = "<r><p>See <x>this</x>\n  list: <list><item>a</item> <item>b</item></list> end</p><p><b>x</b> <i>y</i></p></r>"
    assert read(written(tmp_path, content))[0][0]["text"] == "See this list:\na\nb\nend\nx y"
    kept = read(written(tmp_path, "<r>\n  a  b\n c\n</r>", keep_whitespace=True))
    assert kept[0][0]["text"] == "  a  b\n c"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('<?xml version="1.0" encoding="iso-8859-1"?><r>ü</r>'.encode("latin-1"), "ü"),
        ('<?xml version="1.0" encoding="Shift_JIS"?><r>日本</r>'.encode("shift_jis"), "日本"),
        ("<r>ü</r>".encode("utf-16"), "ü"),
        (b"\xef\xbb\xbf<r>\xc3\xbc</r>", "ü"),
        ('<?xml version="1.0" encoding="utf-16"?><r>ü</r>'.encode("utf-16-le"), "ü"),
    ],
)
def test_encodings(tmp_path: Path, read: Any, content: bytes, expected: str) -> None:
    """As the file declares."""
    assert read(written(tmp_path, content))[0][0]["text"] == expected


def test_a_wrong_declaration_is_overridden(tmp_path: Path, read: Any) -> None:
    """By the option; an encoding that nobody knows is an error there, and a rejected file here."""
    assert read(written(tmp_path, b"<r>\xfc</r>", encoding="latin-1"))[0][0]["text"] == "ü"
    assert read(written(tmp_path, b"<r>\xfc</r>"))[1] == [("3", "bad_xml")]
    assert read(written(tmp_path, b'<?xml version="1.0" encoding="klingon"?><r/>'))[1] == [
        ("0", "unknown_encoding")
    ]
    assert read(written(tmp_path, b'<?xml version="1.0" encoding="utf-16"?><r/>'))[1] == [
        ("0", "bad_encoding")
    ]
    with pytest.raises(UsageError, match="encoding: 'hex' is unknown"):
        list(written(tmp_path, "", encoding="hex").parts())


LAUGHS = "<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "doctype",
    [
        f"<!DOCTYPE r [{LAUGHS}]>",
        f"<!DOCTYPE r [<!ENTITY i '{'A' * 100_000}'>]>",
        "<!DOCTYPE r [<!ENTITY i SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE r [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>",
        "<!DOCTYPE r [<!ENTITY % p '&#60;!ENTITY i \"x\">'> %p;]>",
        "<!DOCTYPE r PUBLIC 'a' 'http://127.0.0.1:9/x.dtd' [<!ENTITY i 'x'>]>",
    ],
)
def test_entities_are_refused_at_their_declaration(tmp_path: Path, read: Any, doctype: str) -> None:
    """Billion laughs, quadratic blow-up, files, parameters: nothing is expanded or opened."""
    tracemalloc.start()
    found = read(written(tmp_path, f"<?xml version='1.0'?>{doctype}<r>{'&i;' * 10_000}</r>"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [reason for _, reason in found[1]] == ["entity_declaration"]
    assert found[0] == []
    assert peak < 20 << 20


def test_a_dtd_that_is_only_named_is_passed_over(tmp_path: Path, read: Any) -> None:
    """As PubMed's files name one; characters' usual names are known, other entities cost their record."""
    doctype = f"<!DOCTYPE s SYSTEM '{tmp_path}/x.dtd'>"
    (tmp_path / "x.dtd").write_text("<!ENTITY secret 'found'>")
    documents, bad = read(
        written(tmp_path, f"{doctype}<s><r>caf&eacute;</r><r>&secret;</r><r>b</r></s>", record="r")
    )
    assert [d["text"] for d in documents] == ["café", "b"]
    assert [reason for _, reason in bad] == ["unknown_entity"]
    assert read(written(tmp_path, "<r>&undeclared;</r>"))[1] == [("3", "bad_xml")]


def test_xinclude_and_stylesheets_are_just_markup(tmp_path: Path, read: Any) -> None:
    """Nothing is fetched for them."""
    content = """<?xml-stylesheet href="file:///etc/passwd"?><r xmlns:xi="http://www.w3.org/2001/XInclude">a
    <xi:include href="file:///etc/passwd" parse="text"/></r>"""
    assert read(written(tmp_path, content))[0][0]["text"] == "a"


def test_damage_ends_a_file(tmp_path: Path, read: Any) -> None:
    """What stands before it is read, the rest is one rejection that says what was lost."""
    whole = f"<s>{'<r>text</r>' * 3}</s>"
    source = written(tmp_path, whole[:-9], record="r")
    assert [r["#position"] for r in source.read(*source.parts()) if isinstance(r, dict)] == ["3", "14"]
    (last,) = [r for r in source.read(*source.parts()) if isinstance(r, Rejected)]
    assert (last.reason, "the record from byte 25 on is lost" in last.detail) == ("bad_xml", True)
    assert [r for _, r in read(written(tmp_path, whole.replace("text", "\1", 1), record="r"))[1]] == [
        "bad_xml"
    ]
    packed = gzip.compress(whole.encode() * 1)[:-6]
    documents, bad = read(written(tmp_path, packed, record="r"))
    assert (len(documents), [reason for _, reason in bad]) == (3, ["damaged_file"])
    assert read(written(tmp_path, ""))[1] == [("0", "bad_xml")]
    assert read(written(tmp_path, "PK\3\4"))[1] == [("0", "wrong_format")]
    assert read(written(tmp_path, "<a/>", record="r"))[1] == [("4", "no_record")]


def test_large_records_cost_only_themselves(tmp_path: Path, read: Any) -> None:
    """By bytes or by elements; those before and after are read, and a record's memory is bounded."""
    for large in ("x" * 3_000_000, "<i/>" * 10_000):
        source = written(tmp_path, f"<s><r>a</r><r>{large}</r><r>b</r></s>", record="r", max_bytes=1_000_000)
        documents, bad = read(source)
        assert ([d["text"] for d in documents], bad) == (["a", "b"], [("11", "too_large")])
    deep = f"<s><r>a</r>{'<i>' * 600}"
    assert read(written(tmp_path, deep, record="r"))[1][0][1] == "too_deep"
    endless = f"<s><r>a</r><!-- {'x' * (elements.UNFINISHED + (2 << 20))}"
    documents, bad = read(written(tmp_path, endless, record="r"))
    assert ([d["text"] for d in documents], [reason for _, reason in bad]) == (["a"], ["too_large"])


def test_memory_is_flat(tmp_path: Path) -> None:
    """A file of 30 MB takes that of its records."""
    record = f"<r><p>{'x' * 10_000}</p></r>"
    source = written(tmp_path, f"<s>{record * 3000}</s>", record="r")
    (part,) = source.parts()
    tracemalloc.start()
    count = sum(1 for _ in source.read(part))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 10 << 20) == (3000, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": "l:act"}, "names are written without a namespace"),
        ({"record": "act["}, "is no path of names"),
        ({"fields": {"title": "/x"}}, "fields: title: '/x'"),
        ({"fields": {"title": "a[["}}, "fields: title"),
        ({"format": "sgml"}, "it is the name of a tag"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Are named before anything is read."""
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        list(written(tmp_path, "<r/>", **options).parts())


SGML = b"""<!DOCTYPE lewis SYSTEM "lewis.dtd">
<REUTERS NEWID="1"><TOPICS><D>a<D>b</TOPICS><TITLE>T &lt;X></TITLE><BODY>caf\xe9 &eacute; AT&T &#3;&nosuch; \x05x
 y</BODY></REUTERS>
<reuters newid=2><title>never closed<reuters NEWID="3"><BODY>three</BODY></REUTERS >
<REUTERS NEWID="4"><BODY>cut"""
READ_SGML = {
    "format": "sgml",
    "record": "REUTERS",
    "encoding": "latin-1",
    "fields": {"id": "@NEWID", "text": "BODY", "title": "TITLE"},
}


def test_sgml(tmp_path: Path, read: Any) -> None:
    """Records cut at their tags in any case; each is read as far as it makes sense, and costs no other."""
    documents, bad = read(written(tmp_path, SGML, **READ_SGML))
    assert [(d["source_key"], d["title"], d["text"]) for d in documents] == [
        ("1", "T <X>", "café é AT&T &nosuch; x y"),
        ("3", None, "three"),
    ]
    assert [reason for _, reason in bad] == ["unclosed", "unclosed"]
    assert read(written(tmp_path, SGML, **{**READ_SGML, "encoding": None}))[1][0] == ("36", "bad_encoding")
    bomb = b"<R>" + b"<a/>" * 10_000 + b"</R>"
    assert read(written(tmp_path, bomb, format="sgml", record="R", max_bytes=1_000_000))[1] == [
        ("0", "too_large")
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<R x=1/>a<b/>c</R>", "ac"),
        ("<R><k><m>x</c></k>y</m></R>", "x\ny"),
        ("<R><!-- <R> -->x<!-- y", None),
        ("<R a='<'>x</R>", None),
        ("<R>a < b > c <3 <é></R>", "a < b > c <3 <é>"),
    ],
)
def test_what_makes_little_sense(tmp_path: Path, read: Any, content: str, text: str | None) -> None:
    """Is read as far as it does."""
    documents, _ = read(written(tmp_path, content, format="sgml", record="R"))
    assert [d["text"] for d in documents] == ([text] if text else [])


def test_sgml_entities_are_never_resolved(tmp_path: Path, read: Any) -> None:
    """A declaration within a record is noise."""
    content = '<R><!DOCTYPE x [<!ENTITY i SYSTEM "file:///etc/passwd"><!ENTITY j "expanded">]>a &i; &j;</R>'
    ((found,), bad) = read(written(tmp_path, content, format="sgml", record="R"))
    assert ("root:" in found["text"], "expanded" in found["text"].replace('"expanded"', ""), bad) == (
        False,
        False,
        [],
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=4))
def test_any_cutting_of_sgml_gives_the_same(tmp_path: Path, cuts: list[int]) -> None:
    """A record belongs to the part that it begins in."""
    source = written(tmp_path, SGML, **READ_SGML)
    (whole,) = source.parts()
    edges: list[Any] = [0, *sorted(set(cuts) - {0}), None]
    parts = [Part(whole.uri, a, b, whole.signature) for a, b in itertools.pairwise(edges)]
    assert [r for part in parts for r in source.read(part)] == list(source.read(whole))


names = st.sampled_from(["a", "b", "r"])
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"),
    max_size=8,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tree=st.recursive(texts, lambda inner: st.tuples(names, st.lists(inner, max_size=3)), max_leaves=12))
def test_the_same_records_as_lxml(tmp_path: Path, tree: Any) -> None:
    """Its whole-file parse finds the same outermost elements with the same text."""
    from lxml import etree

    def element(node: Any) -> Any:
        made = etree.Element(node[0])
        for child in node[1]:
            if isinstance(child, str):
                if len(made):
                    made[-1].tail = (made[-1].tail or "") + child
                else:
                    made.text = (made.text or "") + child
            else:
                made.append(element(child))
        return made

    root = etree.Element("root")
    root.append(element(tree if isinstance(tree, tuple) else ("a", [tree])))
    content = etree.tostring(root, encoding="utf-8")
    expected = [
        "".join(found.itertext())
        for found in etree.fromstring(content).iterfind(".//r")
        if not any(above.tag == "r" for above in found.iterancestors())
    ]
    found = [
        "".join(record.itertext())
        for _, record in elements.Records("r", 1 << 20).read([content])
        if not isinstance(record, Rejected)
    ]
    assert found == expected


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """5,225 stories in SGML with title, date and body."""
    fields = {
        "id": "@NEWID",
        "text": "TEXT/BODY",
        "title": "TEXT/TITLE",
        "published": "DATE",
        "topics": "TOPICS/D",
    }
    source = Xml(
        path=str(dev / "news/reuters.sgm.gz"), **{**READ_SGML, "fields": fields}, keep_whitespace=True
    )
    documents, bad = read(source)
    assert (len(documents), bad) == (5225, [])
    assert sum(bool(d["title"]) for d in documents) == 5225
    assert sum(bool(d["published"]) for d in documents) > 5100  # the others have a word after the date
    first = documents[0]
    assert (first["source_key"], first["title"], first["published"]) == (
        "3",
        "TEXAS COMMERCE BANCSHARES <TCB> FILES PLAN",
        dt.datetime(1987, 2, 26, 15, 3, 27),
    )
    assert first["text"].startswith("Texas Commerce Bancshares Inc's Texas\nCommerce Bank-Houston said")
    assert not any(c in d["text"] for d in documents for c in "\0\1\2\3\5\26\37")
    assert orjson.loads(documents[2]["metadata"]) == {"topics": ["earn", "acq"]}
