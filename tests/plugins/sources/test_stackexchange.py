"""Posts.xml: questions put together with answers that stand anywhere, in any parts and buckets, and bad rows."""

from __future__ import annotations

import datetime as dt
import gzip
import random
import tracemalloc
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator import Part, Rejected, UsageError
from curator_plugins.sources import stackexchange
from curator_plugins.sources.blocks import html_text
from curator_plugins.sources.stackexchange import Stackexchange


def row(number: int, body: str = "<p>Text</p>", **more: Any) -> str:
    """A row as the dumps have it: all in attributes, line ends and quotes escaped."""
    values = {"Id": number, "CreationDate": "2012-01-02T03:04:05.677", "Score": 0, "Body": body} | more
    escaped = {"\n": "&#xA;", '"': "&quot;"}
    return (
        "  <row "
        + " ".join(f"{key}={quoteattr(str(value), escaped)}" for key, value in values.items())
        + " />\n"
    )


def question(number: int, **more: Any) -> str:
    return row(number, **{"PostTypeId": 1, "Title": f"Title {number}", "Tags": "<python><c++>", **more})


def answer(number: int, to: int, **more: Any) -> str:
    return row(number, **{"PostTypeId": 2, "ParentId": to, "Body": f"<p>Answer {number}</p>", **more})


def written(folder: Path, *rows: str, **options: Any) -> Stackexchange:
    content = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "".join(rows) + "</posts>"
    (folder / "Posts.xml").write_text(content, encoding="utf-8")
    return Stackexchange(path=str(folder / "Posts.xml"), **options)


BODY = '<p>How do I "quote" <code>a &amp; b</code>?</p>\n\n<pre class="lang-py"><code>def f(x):\n    return x &lt; 1\n</code></pre>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>'
POSTS = (
    answer(2, 4),
    question(4, Body=BODY, AcceptedAnswerId=7, Score=5, ViewCount=99, ContentLicense="CC BY-SA 3.0"),
    answer(5, 4, Score=9, ContentLicense="CC BY-SA 4.0"),
    answer(7, 4, Score=-1),
    question(8, Tags="|a|b|"),
    row(9, PostTypeId=4),
    answer(10, 999),
)


def test_questions_and_answers(tmp_path: Path, read: Any) -> None:
    """The accepted answer first, then by score; code as it stands; licences of all."""
    documents, bad = read(written(tmp_path, *POSTS, site="https://x.stackexchange.com/"))
    first, second = documents
    assert first["text"] == (
        'Title 4\n\nHow do I "quote" a & b?\n\ndef f(x):\n    return x < 1\n\n- one\n- two'
        "\n\nAnswer 7\n\nAnswer 5\n\nAnswer 2"
    )
    assert (first["source_key"], first["title"], first["url"]) == (
        "4",
        "Title 4",
        "https://x.stackexchange.com/questions/4",
    )
    assert (first["published"], first["license"]) == (
        dt.datetime(2012, 1, 2, 3, 4, 5, 677000),
        "CC BY-SA 3.0 AND CC BY-SA 4.0",
    )
    assert orjson.loads(first["metadata"]) == {
        "tags": ["python", "c++"],
        "score": 5,
        "views": 99,
        "answers": 3,
        "accepted": True,
        "answer_scores": [-1, 9, 0],
    }
    assert (second["text"], orjson.loads(second["metadata"])["tags"]) == ("Title 8\n\nText", ["a", "b"])
    assert bad == [("all", "no_question")]


def test_sites_have_the_same_ids(tmp_path: Path, read: Any) -> None:
    """So the folder below `path` is in the key, and says the address if it is called as a site."""
    for folder in ("cs.stackexchange.com", "dba"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, question(1))
    documents, _ = read(Stackexchange(path=str(tmp_path / "*/Posts.xml")))
    assert [(d["source_key"], d["url"]) for d in documents] == [
        ("cs.stackexchange.com/1", "https://cs.stackexchange.com/questions/1"),
        ("dba/1", None),
    ]


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"answers": "accepted"}, ["Answer 7", "Text"]),
        ({"answers": "none"}, ["- two", "Text"]),
        ({"min_score": 0}, ["Answer 2", "Text"]),
        ({"min_score": 5}, ["Answer 5"]),
    ],
)
def test_which_answers(tmp_path: Path, read: Any, options: dict[str, Any], texts: list[str]) -> None:
    """By the options; what they end with."""
    documents, _ = read(written(tmp_path, *POSTS, **options))
    assert [d["text"].rpartition("\n")[2] for d in documents] == texts


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 999), parts=st.integers(1, 5), buckets=st.integers(1, 4))
def test_any_parts_and_buckets_give_the_same(tmp_path: Path, seed: int, parts: int, buckets: int) -> None:
    """Every question once, with its own answers, wherever they stand."""
    chance = random.Random(seed)
    ids = list(range(1, 40))
    asked = ids[:15]
    rows = [question(n) for n in asked] + [answer(n, chance.choice(asked)) for n in ids[15:]]
    chance.shuffle(rows)
    source = written(tmp_path, *rows)
    (whole,) = source.parts()
    expected = {r["id"]: r for r in source.read(whole) if isinstance(r, dict)}
    assert sum(r["answers"] for r in expected.values()) == 24
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stackexchange, "BUCKET", 1 + len("".join(rows)) // parts // buckets)
        found = [
            record
            for number in range(parts)
            for record in source.read(Part(whole.uri, number, parts, whole.signature))
        ]
    assert len(found) == 15
    assert {r["id"]: r for r in found if isinstance(r, dict)} == expected


def test_large_files_have_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their size, as much as it is known."""
    source = written(tmp_path, *POSTS * 10)
    monkeypatch.setattr(stackexchange, "LARGE", 4000)
    plain = [(p.start, p.stop) for p in source.parts()]
    path = tmp_path / "Posts.xml"
    assert plain == [(n, len(plain)) for n in range(min(8, path.stat().st_size // 4000))]
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert [(p.start, p.stop) for p in source.parts()] == [(0, 1)]


def test_memory_is_that_of_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MB of posts whose answers all come at the end."""
    body = "<p>" + "x" * 5000 + "</p>"
    rows = [question(n, Body=body) for n in range(2000)] + [
        answer(2000 + n, n, Body=body) for n in range(2000)
    ]
    source = written(tmp_path, *rows)
    monkeypatch.setattr(stackexchange, "BUCKET", 1 << 20)
    (part,) = source.parts()
    tracemalloc.start()
    answers = sum(r["answers"] for r in source.read(part) if isinstance(r, dict))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answers, peak < 8 << 20) == (2000, True)


def test_bad_rows_cost_only_themselves(tmp_path: Path, read: Any) -> None:
    """Broken markup, no number, a huge one, invalid bytes, undeclared entities."""
    rows = [
        question(1),
        question(2).replace('Title="', 'Title=<"'),
        '  <row PostTypeId="1" Body="no id" />\n',
        question(3, Body="x" * stackexchange.ROW_BYTES),
        question(4).replace("Text", "&boom;"),
        question(5, Body="<b>" * (stackexchange.ROW_BYTES // 15)),
        question(6),
    ]
    source = written(tmp_path, *rows)
    documents, bad = read(source)
    assert [d["source_key"] for d in documents if d["source_key"] != "5"] == ["1", "6"]
    assert sorted(reason for _, reason in bad) == ["bad_row"] * 3 + ["too_large"]
    path = tmp_path / "Posts.xml"
    path.write_bytes(path.read_bytes().replace(b"Title 6", b"Title \xff"))
    assert ("post 6", "bad_row") in read(source)[1]


def test_files_that_are_no_posts(tmp_path: Path, read: Any) -> None:
    """Another format, damage, entity declarations, none at all."""
    source = written(tmp_path, question(1))
    path = tmp_path / "Posts.xml"
    whole = path.read_bytes()
    path.write_bytes(b"7z\xbc\xaf\x27\x1c...")
    assert read(source) == ([], [("0", "wrong_format")])
    path.write_bytes(gzip.compress(whole)[:-9])
    assert [reason for _, reason in read(source)[1]] == ["damaged_file"]
    path.write_bytes(b"<users><row Id='1'/></users>")
    assert read(source)[1] == [("0", "no_record")]
    bomb = b'<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b SYSTEM "file:///etc/passwd">]>\n'
    path.write_bytes(bomb + whole.replace(b"Text", b"&a;&b;"))
    documents, bad = read(source)
    assert (documents, bad) == ([], [("post 1", "bad_row")])
    with pytest.raises(UsageError, match="site: 'x' is no address"):
        list(written(tmp_path, site="x").parts())


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b<br>c</p>", "a\n\nb\nc"),
        ("a<script>x</script><style>y</style>b", "ab"),
        ("<blockquote><p>q</p></blockquote>r", "q\n\nr"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
        ("<pre>  x\n    y</pre>", "  x\n    y"),
        ("caf&eacute; &lt;b&gt; &#128512;", "café <b> 😀"),
        ("<ol><li><p>a</p></li></ol>", "- a"),
        ("", ""),
        ("<!-- x -->", ""),
        ("<p>unclosed <b>x", "unclosed x"),
    ],
)
def test_html_text(html: str, text: str) -> None:
    """Blocks get lines, code stays."""
    assert html_text(html) == text


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_html_is_some_text(html: str) -> None:
    """Nothing raises."""
    assert isinstance(html_text(html), str)


def test_positions_are_of_posts(tmp_path: Path) -> None:
    """A rejection names the post where it can."""
    source = written(tmp_path, question(3).replace("Text", "&boom;"))
    (bad,) = [r for r in source.read(*source.parts()) if isinstance(r, Rejected)]
    assert (bad.position, "undefined entity" in bad.detail) == ("post 3", True)
