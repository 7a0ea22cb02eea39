"""What is personal data and what is not, that the kernel misses nothing, and what pii makes of a text."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import pii
from curator.pii import KINDS, Kind, Span
from curator.redact import redact
from curator.testing import check_contract, check_filter, measure
from curator.text.pii import spans as spans_of_all
from curator_plugins.cleaners.pii import Pii
from tests.conftest import Workshop, reasons

GOLD = Path(__file__).parents[3] / "shared" / "data" / "dev" / "pii" / "presidio-synth.jsonl.gz"

#: kind -> texts, with what is to be found in «»
FOUND = {
    "email": """
        write to «jane.doe@example.org».
        <mailto:«a+b_c-d%e@sub.domain.co.uk»>
        (John «O'Brien@x.com»)
        'see «foo@bar.com»'
        «müller@straße-x.de» und «jürgen@müller.de»
        邮箱«foo@bar.com»。
        wait...«foo@bar.com»
        --«foo@bar.com»--
        «a@b.de»,«c@d.de»;«e@f.museum»
        mail=«5551234567@vtext.com»
        <«1qk73q$3fj@agate.example.edu»>
        uunet!«llo@uu4.psi.com»
        «first.last@xn--mller-kva.de»
    """,
    "phone": """
        call «+49 30 1234 5678»
        «+41 (0)85 806 98 67» or «(+45) 45 93 34 34»
        «+1.510.980.1958»(pager)
        Fax «++49-6151-869923»
        «+447700900123»
        «0049-30-123456» and «001-518-640-0854»
        «(579)888-3058» fax
        Voice«(408) 980-1500»
        «345-899-3560x4587», «(617) 275-1800 ext. 2317»
        «800/555-1234»,«415.555.0199»,«1-800-328-9378»
        Beverly Hills, CA 90210 «(310) 555-0123»
        or «401 841 7800» at night
        «0490 39 07 81»
        «020 7946 0958»
        «(08) 8747 6301»
        «030/1234567»
        «01.23.45.67.89»
        call\u00a0«0344\u00a0811\u00a00072»
        «0221 – 98 76 54»
        電話«03-1234-5678»まで
        Tel.: «467 3395»
        Phone:\t«60-56-85-91»
        fax number is «9469 9966».
        «655 437 108» (office)
        Handy «01747301710»
        Tel: «030/ 209 1394 0»
    """,
    "ip": """
        from «81.23.145.6».
        http://«204.146.133.206»/index.html
        <x@«128.249.27.63»>
        [«129.193.172.90»]:80
        IP «9.3.0.14»
        Special:Contributions/«95.238.186.223»
        in chapter (18.24.0.12), at ftp.example.edu («18.24.0.12»)
        address: «4.8.15.16»
        ::ffff:«81.23.145.6»
        at «2a00:1450:4001:81b::200e».
        [«2601:187:4001:EC8:986A:92B5:7E28:C365»]:443
        «2001:470:1f0b::»/48
    """,
    "credit_card": """
        card 4111111111111112 is wrong, «4111111111111111» is right
        «4111 1111 1111 1111» and «5500-0000-0000-0004»
        «3782 822463 10005»
        «30569309025904»
        num,«6011000990139424»,12/25
        my card «4222222222222»
        maestro «503867297114»
    """,
    "iban": """
        IBAN: «DE89 3704 0044 0532 0130 00» BIC
        «GB82WEST12345698765432»,
        iban «gb82west12345698765432»
        «NO9386011117947»
        «CH93\u00a00076\u00a02011\u00a06238\u00a05295\u00a07»
        账号«FR1420041010050500013M02606»
    """,
}

NOT_FOUND = """
    foo@bar
    @decorator.name and a @ b.com
    icon@2x.png
    npm i react@16.8.0 lodash@4.17.21
    git@github.com:owner/name.git
    a..@b.com
    version 1.2.3.4
    v4.200.15.16
    Chrome/1.0.154.53
    Section 141.200.15.16, §141.2.3.4
    1.2.3.4
    4.8.15.16.23.42
    141.8.15.200.1
    release (11.202.33.228)
    1.2.3.4-beta 141.2.3.4-rc1
    Nummer 7.1.11.2 und 7.1.2.1
    10.1.2.200 192.168.100.17 127.0.0.1 224.0.0.251 198.51.100.7
    999.1.1.1 141.01.2.3 256.200.200.200
    std::vector dead::beef 12:30:45 2010:12:30
    2001:db8::1 and 2002::
    fe80::1ff:fe23:4567:890a
    1990-1995, 1914–1918, 2010 2011
    2003-04-05 12:30:00
    12/10/2003, 01.02.2003, 04/09/87 03/09/87
    ISBN 978-0-313-32280-8, ISBN 0-19-502013-8, ISSN 0028-0836
    10 000 000 people paid $ 1,234,567.89
    D.C. Code 16-2301, Pub. L. 104-191, 21 U.S.C. 360bbb-3
    kwiktag 062 325 556
    SSN 054-28-6917
    Washington, DC 20001-1234
    8-K 001-33977 4.3 9/11/2017
    0020  50 02 40 00 4e 13 00
    +12345678 and 3.14159265 and 1e+10000000
    x = 0.1234567890
    call it 1990-1995, phone 2010-05-06
    100 000 000 phone users
    e053-2995ea90-415-555-1234f
    415-555-1234-9
    ABC-415-555-1234
    04 12 23 35 41 49
    Reuters 04-09 0103
    4111111111111112
    978 0306406157 9780306406157
    41111111111111111
    DE89370400440532013001
    GB82WEST1234569876543
    XX89370400440532013000
    De89370400440532013000
    ADE89370400440532013000
    order 503867297114
    parcel 4222222222222
"""


def lines(block: str) -> list[str]:
    return [line.strip() for line in block.strip().splitlines()]


@pytest.mark.parametrize(("kind", "marked"), [(k, line) for k in FOUND for line in lines(FOUND[k])])
def test_found(kind: str, marked: str) -> None:
    """What stands in «» is found, exactly, and nothing of that kind beside it."""
    text = marked.replace("«", "").replace("»", "")
    for _, start, end in reversed([s for s in pii.spans(text) if s[0] == kind]):
        text = f"{text[:start]}«{text[start:end]}»{text[end:]}"
    assert text == marked


@pytest.mark.parametrize("text", lines(NOT_FOUND))
def test_not_found(text: str) -> None:
    """Versions, sections, dates, years, money, ISBNs, statutes, codes and wrong check digits are left alone."""
    assert list(pii.spans(text)) == []


PIECES = """
    @ jane.doe a x Z . .. - -- _ % + $ ' ( ) / : :: , = v é ß ɏ ɐ 中 😀 — – ‐
    0 1 2 3 00 02 030 212 555 1234 4587 415-555-1234 +49 (0) (030) 1- 2001: db8 ff 2600 8.8.8.8 81.23.145.6
    phone Fax: office x12 ext. ip version card 5019 GB DE IBAN DE89370400440532013000 4111111111111111
    2a00:1450:4001::200e a@b.de git@ png com
"""
WHOLE = ["DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "phone ", "\n", "\x00", "\u0301"]
SPACES = [" ", "  ", "\u00a0", "\u202f", "\u2009"]
texts = st.lists(
    st.lists(st.sampled_from([*PIECES.split(), *WHOLE, *SPACES]), max_size=12).map("".join)
    | st.text(st.characters(exclude_categories=["Cs"])),
    max_size=5,
)


def everywhere(text: str, kinds: list[Kind]) -> list[Span]:
    """The exact checks at every position: leftmost first, then by priority, then on behind it."""
    found: list[Span] = []
    for at in range(len(text)):
        if not found or at >= found[-1][2]:
            ends = [(kind, pii.MATCHERS[kind](text, at)) for kind in KINDS if kind in kinds]
            found += [(kind, at, end) for kind, end in ends if end > 0][:1]
    return found


@settings(max_examples=400, deadline=None)
@given(texts, st.lists(st.sampled_from(KINDS), unique=True))
def test_the_kernel_misses_nothing(texts: list[str], kinds: list[Kind]) -> None:
    """In any batch the places of the kernel, and those of regular expressions, give the spans of every place."""
    found = spans_of_all(pa.array(texts, pa.large_string()), kinds)
    for i, text in enumerate(texts):
        wanted = everywhere(text, kinds)
        assert found.get(i, []) == wanted
        assert list(pii.spans(text, kinds=kinds)) == wanted


@given(st.text("0123456789", min_size=11, max_size=18))
def test_luhn(payload: str) -> None:
    """One check digit of ten is right, and no wrong digit or swapped pair but 09 and 90 keeps it so."""
    right = [payload + check for check in "0123456789" if pii.luhn(payload + check)]
    assert len(right) == 1
    number = right[0]
    for i, digit in enumerate(number):
        assert [d for d in "0123456789" if pii.luhn(number[:i] + d + number[i + 1 :])] == [digit]
        pair = number[i : i + 2]
        if len(set(pair)) == 2 and set(pair) != {"0", "9"}:
            assert not pii.luhn(number[:i] + pair[::-1] + number[i + 2 :])


@given(
    st.sampled_from(sorted(pii.IBAN_LENGTHS)),
    st.text("0123456789ABCXYZ", min_size=29, max_size=29),
    st.data(),
)
def test_iban(country: str, account: str, data: st.DataObject) -> None:
    """The right check digits are found, whole and in groups of four; one other digit or letter is not."""
    account = account[: pii.IBAN_LENGTHS[country] - 4]
    iban = f"{country}{98 - pii.mod97(f'{country}00{account}'):02d}{account}"
    assert pii.iban_at(iban, 0) == len(iban)
    grouped = " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
    assert pii.iban_at(f"({grouped})", 1) == 1 + len(grouped)
    assert (pii.iban_at(iban + "1", 0), pii.iban_at(iban[:-1], 0)) == (-1, -1)
    i = data.draw(st.integers(4, len(iban) - 1))
    other = data.draw(
        st.sampled_from("0123456789" if iban[i].isdigit() else "ABCXYZ").filter(lambda c: c != iban[i])
    )
    assert pii.iban_at(iban[:i] + other + iban[i + 1 :], 0) == -1


TEXT = "Élan 😀: jane@x.org, +49 30 1234 5678; 81.23.145.6; 4111 1111 1111 1111; DE89370400440532013000"


def test_placeholders() -> None:
    """Each kind has its own, some may be given; what is between stays as it was."""
    assert measure(Pii, TEXT)["text"].to_list() == ["Élan 😀: <EMAIL>, <PHONE>; <IP>; <CREDIT_CARD>; <IBAN>"]
    given = {"email": "[\\1]", "phone": ""}
    assert measure(Pii, TEXT, placeholders=given, kinds=["email", "phone"])["text"].to_list() == [
        "Élan 😀: [\\1], ; 81.23.145.6; 4111 1111 1111 1111; DE89370400440532013000"
    ]


def test_counts() -> None:
    """A count for each kind, whether text is replaced or not; NULL where a kind is not looked for."""
    found = measure(Pii, TEXT, "none", "a@b.de c@d.de", redact=False)
    assert found["text"].to_list() == [TEXT, "none", "a@b.de c@d.de"]
    assert found.drop("text").rows() == [(1, 1, 1, 1, 1), (0, 0, 0, 0, 0), (2, 0, 0, 0, 0)]
    assert found.columns[:5] == ["emails", "ibans", "ips", "credit_cards", "phones"]
    only = measure(Pii, TEXT, kinds=["ip"])
    assert only.drop("text").rows() == [(None, None, 1, None, None)]


def test_stored_spans() -> None:
    """In characters of the text before, in order; an empty list where there is nothing."""
    spans = measure(Pii, "", TEXT, "none", store_spans=True)["spans"].to_list()
    assert (spans[0], spans[2]) == ([], [])
    assert [(s["kind"], TEXT[s["start"] : s["end"]]) for s in spans[1]] == [
        ("email", "jane@x.org"),
        ("phone", "+49 30 1234 5678"),
        ("ip", "81.23.145.6"),
        ("credit_card", "4111 1111 1111 1111"),
        ("iban", "DE89370400440532013000"),
    ]
    assert "spans" not in measure(Pii, TEXT).columns
    check_contract(Pii, store_spans=True)


def test_what_begins_first_counts() -> None:
    """Spans do not overlap: the leftmost, and at one place an e-mail address before a number."""
    text = "jane.415-555-1234@x.org 4155551234@x.org 415-555-1234.jane@x.org"
    assert [(k, text[a:b]) for k, a, b in pii.spans(text)] == [
        ("email", "jane.415-555-1234@x.org"),
        ("email", "4155551234@x.org"),
        ("email", "415-555-1234.jane@x.org"),
    ]
    assert [text[a:b] for _, a, b in pii.spans(text, kinds=["phone"])] == ["415-555-1234"] * 2


def test_limits_drop() -> None:
    """More than a limit drops; null, the default, never does; a kind not looked for counts nothing."""
    two = "a@b.de c@d.de"
    check_filter(Pii, keep=[two, TEXT])
    check_filter(Pii, keep=[TEXT], drop={two: "too_many_emails"}, max_emails=1)
    check_filter(Pii, keep=[two], drop={TEXT: "too_many_ibans"}, max_ibans=0)
    check_filter(Pii, keep=[two], drop={TEXT: "too_many_spans"}, max_spans=4)
    check_filter(Pii, keep=[TEXT], drop={two: "too_many_spans"}, max_spans=1, kinds=["email"])
    check_filter(Pii, keep=[two], drop={TEXT: "too_many_phones"}, max_phones=0, max_ips=0, max_credit_cards=0)


def test_in_a_corpus(workshop: Workshop) -> None:
    """A run stores the cleaned text, the counts and the spans, where SQL can ask for them."""
    documents = [
        {"id": "one", "text": TEXT},
        {"id": "two", "text": "a@b.de c@d.de"},
        {"id": "none", "text": "x"},
    ]
    corpus = workshop.curate([{"pii": {"store_spans": True, "max_emails": 1}}], documents)
    assert reasons(corpus) == {"one": None, "two": "pii.too_many_emails", "none": None}
    rows = "documents JOIN signals.pii USING (doc_id) JOIN texts t USING (doc_id)"
    found = corpus.sql(f"SELECT source_key, emails, t.text FROM {rows} ORDER BY source_key").rows()
    assert found == [
        ("none", 0, "x"),
        ("one", 1, "Élan 😀: <EMAIL>, <PHONE>; <IP>; <CREDIT_CARD>; <IBAN>"),
        ("two", 2, "<EMAIL> <EMAIL>"),
    ]
    asked = f"SELECT s.kind, text_read[s.start + 1 : s.end] FROM {rows}, unnest(spans) u(s) WHERE source_key = 'two'"
    assert sorted(corpus.sql(asked).rows()) == [("email", "a@b.de"), ("email", "c@d.de")]


FLOORS = {  # (precision, recall); the card missed begins with 06, which no issuer has
    "email": (1.0, 1.0),
    "iban": (1.0, 1.0),
    "ip": (1.0, 1.0),
    "credit_card": (1.0, 0.96),
    "phone": (1.0, 1.0),
}


@pytest.mark.skipif(not GOLD.is_file(), reason=f"there is no {GOLD.name} beside the repository")
def test_gold_spans() -> None:
    """Precision and recall of equal spans, on texts that presidio-research made and labelled."""
    names = {
        "EMAIL_ADDRESS": "email",
        "IBAN_CODE": "iban",
        "IP_ADDRESS": "ip",
        "CREDIT_CARD": "credit_card",
        "PHONE_NUMBER": "phone",
    }
    gold, found, both = Counter[str](), Counter[str](), Counter[str]()
    with gzip.open(GOLD) as file:
        for line in file:
            document: dict[str, Any] = json.loads(line)
            there = {(names.get(s["type"]), s["start"], s["end"]) for s in document["spans"]}
            here = set(pii.spans(document["text"]))
            for counter, some in ((gold, there), (found, here), (both, there & here)):
                counter.update(kind for kind, *_ in some if kind)
    assert {k: gold[k] for k in FLOORS} == {"email": 18, "iban": 8, "ip": 1, "credit_card": 31, "phone": 27}
    for kind, (precision, recall) in FLOORS.items():
        assert both[kind] / found[kind] >= precision, kind
        assert both[kind] / gold[kind] >= recall, kind


def test_what_is_shown_is_redacted() -> None:
    """Beyond what pii finds, private addresses and long numbers are hidden too."""
    shown = (
        "a@b.de git@x.org 192.168.0.17 v1.2.3.4 +49 30 1234 5678 4111111111111112 DE89370400440532013000 2003"
    )
    assert redact(shown) == "<email> <email> <ip> v1.2.3.4 <number> <number> <iban> 2003"


def test_redacting_is_light() -> None:
    """The command line shows samples without loading numba or Arrow for it."""
    code = "import sys, curator.redact as r; r.redact('a@b.de'); print({'numba', 'pyarrow', 'polars'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
