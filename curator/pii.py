"""What personal data looks like: e-mail addresses, telephone numbers, public IPs, payment cards, IBANs.

A kind is a function (text, at) -> the end of what begins exactly at `at`, or -1; `spans` tries the kinds at
the places given, leftmost first, and at one place in the order of KINDS, and goes on after what it found. So
a span depends on the text alone, and spans never overlap. Everything is ASCII but Latin letters in e-mail
addresses and spaces and hyphens between digits.

Cost: 1-3 µs a place, so the places decide: `curator.text.pii` finds them with a kernel; `places` here, with
regular expressions at 13 MB/s, for a text that is shown. Rejected: one regular expression for each kind over the
whole text (datatrove: 13 MB/s for two kinds), and a tagger for names, which needs a model and judges
differently with each version of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Literal, get_args

from curator.phones import HYPHEN, LATIN, SPACE, phone_at

#: in order of priority
Kind = Literal["email", "iban", "ip", "credit_card", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Span = tuple[Kind, int, int]

_NAME = f"0-9_{LATIN}"
_EMAIL = re.compile(
    rf"(?<![{_NAME}])(?<![{_NAME}][.$%+'-])(?!(?i:git)@)(?=[^@\s]{{1,64}}@)"
    rf"[{_NAME}](?:[{_NAME}$%+-]|[.'](?=[{_NAME}$%+-]))*"
    rf"@(?![0-9]+\.[0-9])(?:[0-9{LATIN}](?:[0-9{LATIN}-]{{0,61}}[0-9{LATIN}])?\.)+"
    rf"(?!(?i:png|jpe?g|gif|svg|webp|pdf|html?|css|js|php|txt)(?![0-9{LATIN}]))"
    rf"[A-Za-z]{{2,24}}(?![0-9{LATIN}])"
)

_IPV4 = re.compile(
    rf"(?<![{_NAME}])(?<![0-9]\.)(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}(?![{_NAME}])(?!\.[0-9])(?![-+][{LATIN}])"
)
_IPV6 = re.compile(
    rf"(?<![{_NAME}:.])[23][0-9A-Fa-f]{{3}}(?:::?[0-9A-Fa-f]{{1,4}}){{2,7}}(?:::)?(?![{_NAME}])(?!:+[0-9A-Fa-f])"
)
_VERSION = re.compile(
    r"(?:\bv|\bver|version|release|\brel|build|firmware|driver|player|update|patch|revision|\brev|edition|sections?"
    r"|\bsec|chapter|clause|article|paragraph|§|\boid|abschnitte?|nummern?|\bnr|\bno|ziffer)[.:\s=(]*\Z",
    re.I,
)
_PRODUCT = re.compile(f"[{LATIN}]/\\Z")  # "Chrome/1.0.154.53"
_NETWORK = re.compile(
    r"(?:@|://|[a-z0-9-]\.[a-z]{2,4}\s*[(\[<]"
    r"|\b(?:ip(?:v4)?s?|address(?:es)?|hosts?|ftp|ssh|telnet|ping|dns|nameserver|gateway|proxy|router|inet)\b[^0-9\n]{0,16}"
    r"|[a-z0-9-]\.(?:com|edu|gov|mil|net|org)\b[^0-9\n]{0,16})\Z",
    re.I,
)

_CARD = re.compile(
    rf"(?<![{_NAME}.])(?<![0-9][{HYPHEN}])(?:[1-6][0-9]{{11,18}}"
    rf"|[2-6][0-9]{{3}}([{SPACE}-])(?:[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}(?:\1[0-9]{{3}})?|[0-9]{{6}}\1[0-9]{{4,5}}))"
    rf"(?![{_NAME}])(?![{HYPHEN}.][0-9])"
)
_ISSUER = re.compile(
    r"4[0-9]{15}(?:[0-9]{3})?"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-59]|[689][0-9])[0-9]{11}"  # Diners Club
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}(?:[0-9]{3})?"  # JCB
    r"|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}(?:[0-9]{3})?"  # Discover
    r"|62[0-9]{14,17}"  # UnionPay
)
#: short, old or shared ranges, that parcels and articles have as well: Maestro, Visa and JCB of before
_RARE_ISSUER = re.compile(r"(?:50|5[6-9]|6[0-9])[0-9]{10,17}|4[0-9]{12}|(?:1800|2131)[0-9]{11}|35[0-9]{14}")
_CARD_WORD = re.compile(r"\b(?:cards?|cc|visa|mastercard|maestro|amex|diners|jcb|credit|debit|pan)\b", re.I)

_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
#: the registry of ISO 13616: country -> characters of its IBANs
IBAN_LENGTHS = {country: length for length, countries in _COUNTRIES.items() for country in countries.split()}


def email_at(text: str, at: int) -> int:
    """An address as RFC 5321 limits it and as people write it: no quotes, comments or bare host names."""
    found = _EMAIL.match(text, at)
    return found.end() if found else -1


def ip_at(text: str, at: int) -> int:
    """A public address: unicast and global by IANA's registries; no version, no number of a section.

    Where all of an IPv4's numbers are small, or the first three are, it is as likely a section or a release;
    such a one counts only after a word on networks, a host name, "@" or "://".
    """
    if found := _IPV4.match(text, at):
        return found.end() if _is_public_ipv4(text, found) else -1
    if found := _IPV6.match(text, at):
        try:
            return found.end() if ipaddress.IPv6Address(found.group()).is_global else -1
        except ValueError:
            return -1
    return -1


def _is_public_ipv4(text: str, found: re.Match[str]) -> bool:
    try:
        address = ipaddress.IPv4Address(found.group())
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    before = text[max(0, found.start() - 40) : found.start()]
    if _VERSION.search(before):
        return False
    octets = address.packed
    if octets[0] < 20 and _PRODUCT.search(before):
        return False
    return (max(octets) >= 100 and max(octets[:3]) >= 32) or _NETWORK.search(before) is not None


def credit_card_at(text: str, at: int) -> int:
    """A number in an issuer's range and length with the right check digit (ISO/IEC 7812), whole or grouped."""
    found = _CARD.match(text, at)
    if not found:
        return -1
    number = re.sub("[^0-9]", "", found.group())
    if not luhn(number):
        return -1
    if _ISSUER.fullmatch(number) or (
        _RARE_ISSUER.fullmatch(number) and _CARD_WORD.search(text, max(0, at - 40), at)
    ):
        return found.end()
    return -1


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


@cache
def _iban(length: int) -> re.Pattern[str]:
    fours, rest = divmod(length - 4, 4)
    tail = f"[{SPACE}][A-Z0-9]{{{rest}}}" if rest else ""
    upper = f"[A-Z]{{2}}[0-9]{{2}}(?:[0-9A-Z]{{{length - 4}}}|(?:[{SPACE}][A-Z0-9]{{4}}){{{fours}}}{tail})"
    lower = f"[a-z]{{2}}[0-9]{{2}}[0-9a-z]{{{length - 4}}}"
    return re.compile(f"(?:{upper}|{lower})(?![{_NAME}])")


_NO_NAME_BEFORE = re.compile(f"(?<![{_NAME}])")


def iban_at(text: str, at: int) -> int:
    """An account number of ISO 13616: a country of the registry, its length, and remainder 1 modulo 97."""
    length = IBAN_LENGTHS.get(text[at : at + 2].upper())
    if length is None or not _NO_NAME_BEFORE.match(text, at):
        return -1
    found = _iban(length).match(text, at)
    return found.end() if found and mod97(found.group()) == 1 else -1


def mod97(iban: str) -> int:
    """The remainder by ISO 7064 of an IBAN, its first four characters moved to the end, letters as 10 to 35."""
    compact = "".join(iban.split())
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97


MATCHERS: dict[Kind, Callable[[str, int], int]] = {
    "email": email_at,
    "iban": iban_at,
    "ip": ip_at,
    "credit_card": credit_card_at,
    "phone": phone_at,
}

_EMAIL_START = re.compile(f"(?={_EMAIL.pattern})")
_NUMBER_START = re.compile(rf"(?<![0-9])[0-9]|[(+](?=[{SPACE}(+]{{0,2}}[0-9])")
_IBAN_START = re.compile(rf"(?<![{_NAME}])[A-Za-z]{{2}}(?=[0-9]{{2}})")


def places(text: str) -> Iterator[int]:
    """Every place where something of any kind could begin, in order."""
    starts = {
        found.start()
        for start in (_EMAIL_START, _NUMBER_START, _IBAN_START)
        for found in start.finditer(text)
    }
    return iter(sorted(starts))


def spans(text: str, at: Iterable[int] | None = None, kinds: Collection[str] = KINDS) -> Iterator[Span]:
    """(kind, start, end) of all that is found, in order; `at` are the places to try, all where not given."""
    chosen = [(kind, MATCHERS[kind]) for kind in KINDS if kind in kinds]
    reached = 0
    for place in places(text) if at is None else at:
        if place < reached:
            continue
        for kind, matcher in chosen:
            end = matcher(text, place)
            if end > 0:
                yield kind, place, end
                reached = end
                break


def replaced(text: str, found: Iterable[Span], placeholders: Mapping[Kind, str]) -> str:
    """The text with each span replaced by its kind's placeholder."""
    parts, reached = [], 0
    for kind, start, end in found:
        parts += [text[reached:start], placeholders[kind]]
        reached = end
    return "".join([*parts, text[reached:]])
