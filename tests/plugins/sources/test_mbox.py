"""Mail: mbox files of every quoting and any cutting, MIME, charsets, signatures, and what is out of bounds."""

from __future__ import annotations

import bz2
import datetime as dt
import email.policy
import gzip
import itertools
import mailbox
import tracemalloc
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator import Part, Rejected
from curator_plugins.sources.mbox import Mbox

ENVELOPE = b"From someone Thu Apr  1 00:00:00 1993\n"


def mail(body: str | bytes = "Text\n", headers: str = "", number: int = 1) -> bytes:
    head = f"Message-ID: <{number}@x>\nSubject: S{number}\nFrom: Ann <ann@x.org>\nTo: bob@y.org\nDate: 2 Apr 93 19:05:57 GMT\n{headers}\n"
    return head.encode() + (body.encode() if isinstance(body, str) else body)


def written(folder: Path, *mails: bytes, **options: Any) -> Mbox:
    (folder / "box").write_bytes(b"".join(ENVELOPE + message + b"\n" for message in mails))
    return Mbox(path=str(folder / "box"), **options)


def only(source: Mbox) -> Any:
    (record,) = source.read(*source.parts())
    return record


def test_messages(tmp_path: Path, read: Any) -> None:
    """Key, title and date; threads and lists are metadata, people only when asked for."""
    headers = (
        "In-Reply-To: <0@x> (yours)\nReferences: <a@x> <0@x>\nNewsgroups: alt.test\nList-Id: The list <l.x>\n"
    )
    source = written(tmp_path, mail("Hello\n\nFrom here on\n", headers))
    ((found,), bad) = read(source)
    assert bad == []
    assert (found["source_key"], found["title"], found["text"]) == ("1@x", "S1", "Hello\n\nFrom here on")
    assert (found["published"], found["url"], found["retrieved"]) == (
        dt.datetime(1993, 4, 2, 19, 5, 57),
        None,
        None,
    )
    assert orjson.loads(found["metadata"]) == {
        "list": "The list <l.x>",
        "newsgroups": "alt.test",
        "in_reply_to": "0@x",
        "references": ["a@x", "0@x"],
    }
    source.keep_addresses = True
    assert {"from": "Ann <ann@x.org>", "to": "bob@y.org"}.items() <= orjson.loads(
        read(source)[0][0]["metadata"]
    ).items()


def test_messages_without_an_id_are_called_by_their_place(tmp_path: Path, read: Any) -> None:
    """And of two with one id in a file the first is kept; those without text are none."""
    nameless = b"Subject: x\n\nText\n"
    documents, bad = read(written(tmp_path, mail(), nameless, mail(), mail("", number=3)))
    place = len(ENVELOPE + mail() + b"\n")
    assert [d["source_key"] for d in documents] == ["1@x", f"box#{place}"]
    assert [reason for _, reason in bad] == ["duplicate_key", "no_text"]


@pytest.mark.parametrize(
    ("quoting", "expected"),
    [("mboxrd", "From a\n>From b"), ("mboxo", "From a\n>>From b"), ("none", ">From a\n>>From b")],
)
def test_quoting_of_from(tmp_path: Path, quoting: str, expected: str) -> None:
    """As the option says."""
    assert only(written(tmp_path, mail(">From a\n>>From b\n"), quoting=quoting))["text"] == expected


def test_other_envelopes(tmp_path: Path, read: Any) -> None:
    """Dates of other programs; a file of none of them is cut at every From line."""
    envelopes = [
        b"From - Sat May 01 15:07:31 2010",
        b"From a b@x.org Wed, 25 Nov 2026 17:15:39 +0000",
        b"From 1@xxx Wed Nov 25 17:15:39 +0000 2026",
    ]
    path = tmp_path / "box"
    path.write_bytes(b"\n".join(e + b"\n" + mail(number=n) for n, e in enumerate(envelopes)))
    assert [d["source_key"] for d in read(Mbox(path=str(path)))[0]] == ["0@x", "1@x", "2@x"]
    path.write_bytes(b"From nobody\n" + mail() + b"\nFrom me\n" + mail(number=2))
    assert [d["source_key"] for d in read(Mbox(path=str(path)))[0]] == ["1@x", "2@x"]


def test_folders_of_messages(tmp_path: Path, read: Any) -> None:
    """One message a file, as .eml or in a Maildir, plain or compressed, beside mbox files."""
    box = mailbox.Maildir(tmp_path / "dir", create=True)
    box.add(mail(number=1))
    (tmp_path / "a.eml").write_bytes(mail(number=2).replace(b"\n", b"\r\n"))
    (tmp_path / "b.eml.gz").write_bytes(gzip.compress(mail(number=3)))
    (tmp_path / "c.mbox.bz2").write_bytes(bz2.compress(ENVELOPE + mail(number=4)))
    (tmp_path / "d.txt").write_bytes(b"no mail at all\n")
    documents, bad = read(Mbox(path=str(tmp_path)))
    assert [(d["source_key"], d["text"]) for d in documents] == [(f"{n}@x", "Text") for n in (2, 3, 4, 1)]
    assert bad == [("0", "wrong_format")]


def multipart(kind: str, *parts: str, boundary: str = "b") -> tuple[str, str]:
    inside = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return (
        f"{inside}--{boundary}--\n",
        f'MIME-Version: 1.0\nContent-Type: multipart/{kind}; boundary="{boundary}"\n',
    )


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nplain ü"
HTML = "Content-Type: text/html\n\n<p>rich<p>text"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (multipart("alternative", PLAIN, HTML), "plain ü"),
        (multipart("alternative", "Content-Type: text/plain\n\n \n", HTML), "rich\n\ntext"),
        (multipart("alternative", HTML), "rich\n\ntext"),
        (multipart("mixed", PLAIN, HTML), "plain ü\n\nrich\n\ntext"),
        (multipart("signed", PLAIN, "Content-Type: application/pgp-signature\n\nxx"), "plain ü"),
        (
            multipart(
                "mixed",
                "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nno",
                PLAIN,
            ),
            "plain ü",
        ),
        (multipart("mixed", "Content-Transfer-Encoding: base64\nContent-Type: text/plain\n\nw7w=\n"), "ü"),
        (multipart("mixed", "Content-Transfer-Encoding: quoted-printable\n\nf=C3=BCr=\n dich"), "für dich"),
        (multipart("mixed", "Content-Transfer-Encoding: base64\n\n!!not base64"), "\x9e\x8b^m\xab\x1e\xeb"),
        (("no boundary at all", "Content-Type: multipart/mixed\n"), ""),
    ],
)
def test_parts(tmp_path: Path, parts: tuple[str, str], text: str) -> None:
    """The plain alternative, else the HTML; all inline parts, no attachments."""
    found = only(written(tmp_path, mail(*parts)))["text"]
    assert found == text or not text.isprintable()


def test_attachments_are_listed(tmp_path: Path) -> None:
    """With type, name and encoded size, undecoded."""
    message = EmailMessage()
    message["Message-ID"] = "<1@x>"
    message.set_content("see attached")
    message.add_attachment(b"\0" * 3000, maintype="image", subtype="png", filename="größe.png")
    message.add_attachment(EmailMessage())
    record = only(written(tmp_path, message.as_bytes()))
    assert record["text"] == "see attached"
    assert record["attachments"] == [
        {"type": "image/png", "name": "größe.png", "bytes": 4053},
        {"type": "message/rfc822"},
    ]


@pytest.mark.parametrize(
    ("body", "charset", "text", "guessed"),
    [
        ("für".encode(), "utf-8", "für", False),
        ("für".encode("latin-1"), "iso-8859-1", "für", False),
        ("“x”".encode("cp1252"), "iso-8859-1", "“x”", False),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本", False),
        ("привет".encode("koi8-r"), "koi8-r", "привет", False),
        ("für".encode(), "us-ascii", "für", False),
        ("für".encode("latin-1"), "utf-8", "für", True),
        ("für".encode(), "x-klingon", "für", True),
        ("für".encode("latin-1"), "", "für", True),
        (b"a\0b", "utf-8", "a\0b", False),
        (b"\x81\x8d", "hex", "\x81\x8d", True),
    ],
)
def test_charsets(tmp_path: Path, body: bytes, charset: str, text: str, guessed: bool) -> None:
    """As declared; else UTF-8 if it is, else Western, and metadata says so."""
    headers = (
        f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n" if charset else ""
    )
    record = only(written(tmp_path, mail(body + b"\n", headers)))
    assert (record["text"], record.get("charset_guessed", False)) == (text, guessed)


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("=?utf-8?q?f=C3=BCr?= =?iso-8859-1?q?_=FC?=", "für ü"),
        ("folded\n over lines", "folded over lines"),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?klingon?q?f=C3=BCr?=", "für"),
        ("raw ü", "raw ü"),
        ("", None),
    ],
)
def test_headers(tmp_path: Path, subject: str, title: str | None) -> None:
    """Encoded words, folding, raw bytes, and what is broken."""
    assert only(written(tmp_path, mail().replace(b"S1", subject.encode())))["title"] == title


def test_dates(tmp_path: Path, read: Any) -> None:
    """What is none stays in the metadata."""
    found = read(written(tmp_path, mail().replace(b"2 Apr 93 19:05:57 GMT", b"yesterday")))[0][0]
    assert (found["published"], orjson.loads(found["metadata"])) == (None, {"published": "yesterday"})


REPLY = """Hi,

On Mon, 5 Apr 1993 at 10:00, Ann Example <ann@example.org>
wrote:

> old
>> older

new
  > odd
> last

Bob

-- 
Bob, Inc.
"""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, REPLY.strip("\n")),
        ({"quotes": "drop"}, "Hi,\n\nnew\n  > odd\n\nBob\n\n-- \nBob, Inc."),
        ({"signatures": "drop"}, REPLY.strip("\n").removesuffix("\n\n-- \nBob, Inc.")),
        ({"quotes": "drop", "signatures": "drop"}, "Hi,\n\nnew\n  > odd\n\nBob"),
    ],
)
def test_quotes_and_signatures(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    """Go if asked for, an attribution with what it introduces."""
    assert only(written(tmp_path, mail(REPLY), **options))["text"] == text


def test_pgp_armour_goes_with_the_signature(tmp_path: Path) -> None:
    """Of what is signed inline."""
    armoured = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nsaid\n"
        "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    )
    assert only(written(tmp_path, mail(armoured), signatures="drop"))["text"] == "said"


def test_flowed_lines_are_joined(tmp_path: Path) -> None:
    """Within one depth of quoting."""
    headers = "Content-Type: text/plain; format=flowed\n"
    body = "a long \nline\n> quoted \n> on\nb\n-- \nsig\n"
    assert only(written(tmp_path, mail(body, headers)))["text"] == "a long line\n> quoted on\nb\n-- \nsig"


bodies = st.text(st.sampled_from("aF >\n\0é"), max_size=40) | st.sampled_from(
    ["From x\n", "\n\nFrom \n", "a\n>From b"]
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(contents=st.lists(bodies, min_size=1, max_size=5), cuts=st.lists(st.integers(1, 900), max_size=3))
def test_what_mailbox_writes_is_read_back(tmp_path: Path, contents: list[str], cuts: list[int]) -> None:
    """Any bodies, any cutting into parts; Python's mailbox finds the same messages."""
    path = tmp_path / "written"
    path.unlink(missing_ok=True)
    box = mailbox.mbox(path)
    for number, content in enumerate(contents):
        message = EmailMessage(email.policy.compat32)
        message["Message-ID"] = f"<{number}@x>"
        message["Content-Type"] = "text/plain; charset=utf-8"
        message["Content-Transfer-Encoding"] = "8bit"
        message.set_payload(content.encode().decode("ascii", "surrogateescape"))
        box.add(message)
    box.close()
    source = Mbox(path=str(path), quoting="none")
    (whole,) = source.parts()
    edges: list[Any] = [0, *sorted(set(cuts)), None]
    parts = [Part(whole.uri, a, b, whole.signature) for a, b in itertools.pairwise(edges)]
    found = [record for part in parts for record in source.read(part)]
    kept = [m.get_payload(decode=True).decode() for m in mailbox.mbox(path)]  # type: ignore[union-attr]
    assert [r["id"] for r in found if isinstance(r, dict)] == [f"{n}@x" for n in range(len(contents))]
    assert [r["text"] for r in found if isinstance(r, dict)] == [
        k.strip("\n") if k.strip() else "" for k in kept
    ]


@pytest.mark.parametrize(
    "message",
    [
        mail("x", "Content-Type: multipart/mixed; boundary=" + ";" * 100_000 + "\n"),
        mail(
            "--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 500,
            "Content-Type: multipart/mixed; boundary=b\n",
        ),
        mail("x\n" * 1_000_001),
        mail("<br>" * 400_000, "Content-Type: text/html\n"),
    ],
    ids=["header", "multiparts", "lines", "tags"],
)
def test_what_would_take_hours_or_gigabytes(tmp_path: Path, message: bytes, read: Any) -> None:
    """Is quarantined, and costs no other message."""
    documents, bad = read(written(tmp_path, mail(number=8), message, mail(number=9)))
    assert [d["source_key"] for d in documents] == ["8@x", "9@x"]
    assert [reason for _, reason in bad] == ["bad_mail"]


def test_a_large_message_is_never_held(tmp_path: Path, read: Any) -> None:
    """Not even a line of it."""
    source = written(tmp_path, mail(number=8), mail("x" * 20_000_000), mail(number=9), max_bytes=1_000_000)
    (part,) = source.parts()
    tracemalloc.start()
    found = list(source.read(part))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [r.reason if isinstance(r, Rejected) else r["id"] for r in found] == ["8@x", "too_large", "9@x"]
    assert peak < 8 << 20


def test_files_that_are_no_mail(tmp_path: Path, read: Any) -> None:
    """Another format, damage, nothing."""
    path = tmp_path / "box"
    for content, reasons in (
        (b"PK\3\4", ["wrong_format"]),
        (b"", ["wrong_format"]),
        (
            gzip.compress(b"".join(ENVELOPE + mail("x" * 9999, number=n) for n in range(99)))[:-9],
            ["damaged_file"],
        ),
        (gzip.compress(mail())[:-9], ["damaged_file"]),
    ):
        path.write_bytes(content)
        assert [reason for _, reason in read(Mbox(path=str(path)))[1]] == reasons


def test_the_developers_corpus(dev: Path, read: Any, tmp_path: Path) -> None:
    """5,453 posts and 27 mails, the same as Python's mailbox finds; a file's second of an id is a duplicate."""
    counts = []
    for folder in ("forum", "forum-list"):
        total = 0
        for packed in sorted((dev / folder).glob("*.mbox.gz")):
            documents, bad = read(Mbox(path=str(packed)))
            (tmp_path / "plain").write_bytes(gzip.decompress(packed.read_bytes()))
            ids = [str(m["Message-ID"]).strip().strip("<>") for m in mailbox.mbox(tmp_path / "plain")]
            assert [d["source_key"] for d in documents] == list(dict.fromkeys(ids))
            assert [reason for _, reason in bad] == ["duplicate_key"] * (len(ids) - len(documents))
            total += len(ids)
        counts.append(total)
    assert counts == [5453, 27]
