"""What is written like a telephone number.

Four grammars, tried in this order at one place; digits are ASCII, a gap is one separator (space, hyphen, full
stop, slash, a hyphen or slash with spaces round it):

- international (ITU-T E.164): `+`, or `00` and a gap after the calling code, 8 to 15 digits; 11 after `+1`;
- North American: 3-3-4 digits, area and exchange from 2 to 9, with gaps or the area in brackets;
- with a trunk 0: digits grouped as some national plan prints them (`GROUPINGS`), or the area in brackets;
- any other 7 to 12 digits, only beside a word such as "phone" or "Fax", and not if it is written as a date,
  years or a round number.

The first three would rather miss than take part numbers, statutes or tables for telephone numbers. Rejected:
the library `phonenumbers` (23 MB installed, 4 MB/s; told the country is US it finds 2 of the 27 numbers of the
gold texts in tests/plugins/test_pii.py, told none 0: it wants numbers that are in use in a country it knows).
"""

from __future__ import annotations

import re
from itertools import pairwise

SPACE = " \u00a0\u2009\u202f"
HYPHEN = "\\-\u2010-\u2013"
LATIN = "A-Za-z\u00c0-\u024f"
GAP = f"(?:[{SPACE}]?[{HYPHEN}./][{SPACE}]?|[{SPACE}]{{1,2}})"
_JOINT = rf"(?:\)?{GAP}\(?|\)\(?|\()"

#: digits in the groups of numbers with a trunk 0, as printed in Europe, Asia and Oceania
GROUPINGS = {
    *((2, 8), (3, 7), (3, 8), (4, 6), (4, 7), (5, 6), (2, 4, 4), (3, 3, 4), (3, 4, 4), (4, 3, 3), (4, 3, 4)),
    *((5, 3, 3), (2, 3, 2, 2), (2, 3, 3, 2), (3, 3, 2, 2), (4, 2, 2, 2), (4, 3, 2, 2), (2, 2, 2, 2, 2)),
}

_LEFT = re.compile(rf"(?<![0-9_+$€£¥{LATIN}])(?<![0-9{LATIN}][{HYPHEN}])(?<![0-9]\.)")
_RIGHT = re.compile(rf"(?!\)?[{HYPHEN}.]?[0-9])")
_MORE = re.compile(f"[{SPACE}][0-9]")
_DIGITS = re.compile("[0-9]+")
_EXTENSION = re.compile(rf"[{SPACE}]?,?[{SPACE}]?(?:x|ext\.?|extension)[{SPACE}]?[0-9]{{1,6}}(?![0-9])", re.I)
_GAP_CHARACTERS = f"{SPACE}-\u2010\u2011\u2012\u2013./()"

_INTERNATIONAL = re.compile(
    rf"\(?(?:\+{{1,2}}[{SPACE}]?|00(?=[1-9][0-9]{{0,2}}{GAP}))([1-9][0-9]*(?:{_JOINT}[0-9]+){{0,7}})"
)
_NORTH_AMERICAN = re.compile(
    rf"(?:1{GAP}?\(|\()[{SPACE}]?[2-9][0-9]{{2}}[{SPACE}]?\){GAP}?[2-9][0-9]{{2}}{GAP}?[0-9]{{4}}"
    rf"|(?:1{GAP})?[2-9][0-9]{{2}}{GAP}[2-9][0-9]{{2}}{GAP}[0-9]{{4}}"
)
_AMERICAN_WHOLE = re.compile(f"1{GAP}?[2-9][0-9]{{2}}[2-9][0-9]{{6}}")
_TRUNK = re.compile(
    rf"(?:\(0[0-9]{{1,4}}\){GAP}?|0[1-9][0-9]{{0,3}}{GAP})[0-9]{{2,8}}(?:{GAP}[0-9]{{2,8}}){{0,3}}"
)
_LOOSE = re.compile(rf"\(?[0-9]{{1,11}}(?:{_JOINT}[0-9]{{1,8}}){{0,5}}")
_OTHER = re.compile(
    rf"(?:19|20)[0-9]{{2}}{GAP}(?:19|20)[0-9]{{2}}"  # years
    r"|[0-9]{1,2}([-./])[0-9]{1,2}\1[0-9]{2,4}|(?:19|20)[0-9]{2}([-./])[0-9]{2}\2[0-9]{2}(?![0-9]).*"  # dates
    r"|[0-9]{2}[-/][0-9]{2}[-/ ][0-9]{4}|[0-9]+[.][0-9]+"
    rf"|[0-9]{{1,3}}(?:[{SPACE}.][0-9]{{3}})*[{SPACE}.]000"
)
_DUMP = re.compile(f"[./]|(?<![0-9])00|[0-9](?=[{LATIN}])")
_WORD = re.compile(r"[^\W_]+")
_BEFORE_NUMBER = f"{_GAP_CHARACTERS}\t\n\r:;,=|>[#*+'\""
#: what may stand before a loose number, and what between the two
_PHONE_WORDS = """
    phone phones telephone tel fon fone ph fax telefax telefon telefoon telefono teléfono telefone téléphone tél
    voice mobile mob cell cellular handy móvil celular call dial ring pager beeper hotline whatsapp sms modem
"""
_BETWEEN = """
    number numbers no nr num número is at on to the my our me us him her or and a office home work day evening
    direct direkt line int intl
"""
_PHONE, _FILLER = frozenset(_PHONE_WORDS.split()), frozenset(_BETWEEN.split())
_AFTER = re.compile(
    rf"[{SPACE}{HYPHEN}]*(?:\((?:office|home|work|fax|mobile|cell|voice|phone|tel)\)"
    rf"|(?:office|fax|mobile|cell|voice)(?![{LATIN}0-9])(?![{SPACE}]*[{LATIN}0-9:=.(+]))",
    re.I,
)


def phone_at(text: str, at: int) -> int:
    """The end of the telephone number that begins at `at`, or -1."""
    first = text[at]
    if first != "(" and not _LEFT.match(text, at):
        return -1
    end = -1
    if first in "+(0" and (found := _INTERNATIONAL.match(text, at)):
        end = _international(text, found)
    elif first != "0" and (found := _NORTH_AMERICAN.match(text, at)):
        end = _north_american(text, found)
    elif first in "(0" and (found := _TRUNK.match(text, at)) and not _within(text, at):
        end = max(_trunk(text, found), _loose(text, at))
    if end < 0:
        end = _loose(text, at)
    extension = _EXTENSION.match(text, end) if end > 0 else None
    return extension.end() if extension else end


def _international(text: str, found: re.Match[str]) -> int:
    start, with_plus = found.start(1), "+" in found.group()
    if not with_plus and (_within(text, found.start()) or _DUMP.search(found.group(), 2)):
        return -1
    if text[start] == "1":
        american = _NORTH_AMERICAN.match(text, start) or (with_plus and _AMERICAN_WHOLE.match(text, start))
        end = american.end() if american and _RIGHT.match(text, american.end()) else -1
    else:
        end = _whole(text, start, found.end(), range(8, 16))
    number = text[start:end]
    if end < 0 or (number.isdigit() and len(number) < 10) or _OTHER.fullmatch(number):
        return -1
    return end if _balanced(text[found.start() : end]) else -1


def _north_american(text: str, found: re.Match[str]) -> int:
    end = found.end()
    only_spaces = not found.group().strip(f"0123456789{SPACE}")
    if only_spaces and (_within(text, found.start()) or _MORE.match(text, end)):
        return -1  # three of a row of numbers
    return end if _RIGHT.match(text, end) else -1


def _trunk(text: str, found: re.Match[str]) -> int:
    groups = [g.span() for g in _DIGITS.finditer(text, found.start(), found.end())]
    for n in range(len(groups), 1, -1):
        end = groups[n - 1][1]
        if (
            _RIGHT.match(text, end)
            and (n == len(groups) or text[end] in SPACE)
            and _is_trunk(text, groups[:n])
        ):
            return end
    return -1


def _is_trunk(text: str, groups: list[tuple[int, int]]) -> bool:
    sizes = tuple(stop - start for start, stop in groups)
    gaps = [text[stop:start] for (_, stop), (start, _) in pairwise(groups)]
    if any("/" in gap for gap in (gaps if sizes[0] == 2 else gaps[1:])):
        return False  # as in dates
    if ")" in gaps[0] and 9 <= sum(sizes) <= 11:
        return True
    if set(sizes) == {2} and (len(set(gaps)) > 1 or gaps[0] in SPACE):
        return False  # as in lotteries and tables
    return sizes in GROUPINGS and (len(sizes) > 2 or gaps[0] != ".")


def _loose(text: str, at: int) -> int:
    found = _LOOSE.match(text, at)
    if not found or not (_follows_phone(text, at) or _AFTER.match(text, found.end())):
        return -1
    number, end = found.group(), found.end()
    if text[end : end + 1] == "%" or _OTHER.fullmatch(number) or not _RIGHT.match(text, end):
        return -1
    if not 7 <= sum(map(str.isdigit, number)) <= 12 or not _balanced(number) or _within(text, at):
        return -1
    return end


def _whole(text: str, start: int, stop: int, wanted: range) -> int:
    """The end of the most groups of digits that have together as many as `wanted`, or -1."""
    total, end = 0, -1
    for group in _DIGITS.finditer(text, start, stop):
        total += len(group.group())
        if total in wanted and _RIGHT.match(text, group.end()):
            end = group.end()
    return end


def _within(text: str, at: int) -> bool:
    """Whether digits stand before, with nothing but a gap between."""
    before = text[max(0, at - 6) : at]
    digits = before.rstrip(_GAP_CHARACTERS)
    return len(digits) < len(before) and digits[-1:].isdecimal()


def _balanced(text: str) -> bool:
    return text.count("(") == text.count(")")


def _follows_phone(text: str, at: int) -> bool:
    before = text[max(0, at - 32) : at].rstrip(_BEFORE_NUMBER)
    if not before[-1:].isalpha():
        return False
    for word in reversed(_WORD.findall(before.lower())):
        if word in _PHONE:
            return True
        if word not in _FILLER:
            return False
    return False
