"""Personal data in many texts at once: a kernel finds the places, `curator.pii` judges them.

Algorithm: one pass over the UTF-8 bytes that stops only at "@", "(", "+" and at the first digit of a run; from
there it looks a few bytes back and ahead for what a kind needs (a name before "@"; 7 digits with gaps; four
short numbers with full stops; four hexadecimal digits and ":"; two letters and two digits), counting code
points on the way. 350 MB/s; one place in 2.4 kB of the benchmark corpus remains for Python. The worst case is
a text of nothing but long numbers, 6 MB/s. Rejected: the grammars as kernels, which nobody could check by eye,
and regular expressions over whole texts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from curator.pii import KINDS, MATCHERS, Span
from curator.text.words import Bytes, Offsets, buffers

EMAIL, IBAN, IP, CREDIT_CARD, PHONE = 1, 2, 4, 8, 16  # 1 << place in KINDS

LETTER, DIGIT, NAME, STOP, CONTINUATION = 1, 2, 4, 8, 16


def _classes() -> Bytes:
    """Class bits of each byte; NAME is what an e-mail's local part may have."""
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte)
        if byte < 0x80 and character.isalpha():
            table[byte] = LETTER | NAME
        elif byte < 0x80 and character.isdigit():
            table[byte] = DIGIT | NAME | STOP
        elif character in "_.$%+'-":
            table[byte] = NAME
    table[0x80:0xC0] = CONTINUATION | NAME
    table[0xC3:0xCA] = NAME
    for character in "@(+":
        table[ord(character)] |= STOP
    return table


_CLASSES = _classes()


@njit(nogil=True, cache=True)
def _gap(data: Bytes, at: int, stop: int) -> int:
    """The bytes of the character at `at` if it may stand between the digits of a number, else 0."""
    b = data[at]
    if b == 0x20 or (b >= 0x28 and b <= 0x2F and b != 0x2A and b != 0x2B and b != 0x2C):
        return 1
    if b == 0xC2 and at + 1 < stop and data[at + 1] == 0xA0:
        return 2
    if b == 0xE2 and at + 2 < stop and data[at + 1] == 0x80:
        c = data[at + 2]
        if c == 0x89 or c == 0xAF or (c >= 0x90 and c <= 0x93):
            return 3
    return 0


@njit(nogil=True, cache=True)
def _digits(data: Bytes, at: int, stop: int) -> int:
    """How many digits stand at `at` in a row."""
    n = 0
    while at + n < stop and 0x30 <= data[at + n] <= 0x39:
        n += 1
    return n


@njit(nogil=True, cache=True)
def _skip(data: Bytes, at: int, stop: int) -> int:
    """Past at most five characters that may stand between digits."""
    for _ in range(5):
        if at >= stop:
            break
        width = _gap(data, at, stop)
        if width == 0:
            break
        at += width
    return at


@njit(nogil=True, cache=True)
def _digits_ahead(data: Bytes, at: int, stop: int, enough: int) -> bool:
    """Whether `enough` digits follow with nothing but gaps between."""
    n = 0
    while n < enough:
        here = _digits(data, at, stop)
        if here == 0:
            return False
        n += here
        at = _skip(data, at + here, stop)
    return True


@njit(nogil=True, cache=True)
def _north_american(data: Bytes, at: int, stop: int) -> bool:
    """Whether 3, 3 and 4 digits follow, perhaps after a 1, with gaps between."""
    n = _digits(data, at, stop)
    if n == 1:
        at = _skip(data, at + 1, stop)
        n = _digits(data, at, stop)
    if n != 3:
        return False
    at = _skip(data, at + 3, stop)
    n = _digits(data, at, stop)
    if n == 7:
        return True
    if n != 3:
        return False
    at = _skip(data, at + 3, stop)
    return _digits(data, at, stop) == 4


@njit(nogil=True, cache=True)
def _quad(data: Bytes, at: int, stop: int) -> bool:
    """Whether four numbers of at most three digits follow, with full stops between."""
    for part in range(4):
        n = _digits(data, at, stop)
        if n == 0 or n > 3:
            return False
        at += n
        if part < 3:
            if at >= stop or data[at] != 0x2E:
                return False
            at += 1
    return True


@njit(nogil=True, cache=True)
def _hextet(data: Bytes, at: int, stop: int) -> bool:
    """Whether a hexadecimal number of four digits and ":" follow."""
    if at + 4 >= stop or data[at + 4] != 0x3A:
        return False
    for i in range(at, at + 4):
        b = data[i] | 0x20
        if not (0x30 <= data[i] <= 0x39 or (b >= 0x61 and b <= 0x66)):
            return False
    return True


@njit(nogil=True, cache=True)
def _number(data: Bytes, classes: Bytes, begin: int, at: int, stop: int, n: int, after_digits: bool) -> int:
    """The kinds that may begin at the run of `n` digits at `at`."""
    before = data[at - 1] if at > begin else np.uint8(0)
    if classes[before] & LETTER or before == 0x5F:
        return 0
    kinds = 0
    if n <= 3 and _quad(data, at, stop):
        kinds |= IP
    if (data[at] == 0x32 or data[at] == 0x33) and _hextet(data, at, stop):
        kinds |= IP
    if (n == 4 or n >= 12) and 0x31 <= data[at] <= 0x36 and _digits_ahead(data, at, stop, 12):
        kinds |= CREDIT_CARD
    if n <= 15:
        if after_digits:
            if _north_american(data, at, stop):
                kinds |= PHONE
        elif _digits_ahead(data, at, stop, 7):
            kinds |= PHONE
    return kinds


@njit(nogil=True, cache=True)
def _in_word(data: Bytes, classes: Bytes, begin: int, at: int) -> bool:
    """Whether the byte before `at` ends a digit, "_" or Latin letter."""
    if at == begin:
        return False
    before = data[at - 1]
    if classes[before] & CONTINUATION:
        return at - begin >= 2 and 0xC3 <= data[at - 2] <= 0xC8
    return bool(before == 0x5F or classes[before] & (LETTER | DIGIT) != 0)


@njit(nogil=True, cache=True)
def _begins_name(data: Bytes, classes: Bytes, begin: int, at: int) -> bool:
    """Whether an e-mail address may begin at `at`, of whose local part the byte there is."""
    b = data[at]
    if not (classes[b] & (LETTER | DIGIT) or b == 0x5F or b >= 0xC3) or _in_word(data, classes, begin, at):
        return False
    joined = at > begin and classes[data[at - 1]] & NAME and not classes[data[at - 1]] & CONTINUATION
    return not (joined and _in_word(data, classes, begin, at - 1))


@njit(nogil=True, cache=True)
def _places(
    data: Bytes,
    offsets: Offsets,
    classes: Bytes,
    wanted: int,
    docs: NDArray[np.int32],
    starts: NDArray[np.int64],
    kinds: Bytes,
) -> int:
    """Fill the arrays with the document, the character and the kinds of each place; returns how many."""
    n = 0
    for d in range(len(offsets) - 1):
        begin, stop = offsets[d], offsets[d + 1]
        at, more = begin, begin  # `more` is `begin` and the continuation bytes so far
        digits_end = begin - 16
        while at < stop:
            kind = classes[data[at]]
            if kind & CONTINUATION:
                more += 1
            if not kind & STOP:
                at += 1
                continue
            found, start = 0, at - more
            if kind & DIGIT:
                size = _digits(data, at, stop)
                after_digits = at - digits_end < 16 and _skip(data, digits_end, stop) == at
                found = _number(data, classes, begin, at, stop, size, after_digits)
                if (
                    size >= 2
                    and at - begin >= 2
                    and classes[data[at - 1]] & classes[data[at - 2]] & LETTER
                    and (at - begin == 2 or not classes[data[at - 3]] & (LETTER | DIGIT))
                    and wanted & IBAN
                ):
                    docs[n], starts[n], kinds[n] = d, start - 2, IBAN
                    n += 1
                at += size
                digits_end = at
            elif data[at] == 0x40:
                after = data[at + 1] if at + 1 < stop else np.uint8(0)
                back, length = at, 0
                if wanted & EMAIL and (classes[after] & (LETTER | DIGIT) or after >= 0x80):
                    while back > begin and length < 64 and classes[data[back - 1]] & NAME:
                        back -= 1
                        if not classes[data[back]] & CONTINUATION:
                            length += 1
                            if _begins_name(data, classes, begin, back):
                                docs[n], starts[n], kinds[n] = d, start - length, EMAIL
                                n += 1
                at += 1
            else:
                ahead = _skip(data, at + 1, stop)
                if ahead < stop and data[ahead] == 0x2B:
                    ahead = _skip(data, ahead + 1, stop)
                if _digits_ahead(data, ahead, stop, 7):
                    found = PHONE
                at += 1
            found &= wanted
            if found:
                docs[n], starts[n], kinds[n] = d, start, found
                n += 1
    return n


@dataclass(frozen=True)
class Places:
    """Where something may begin, by document and place: arrays of one length, `kinds` as bits."""

    docs: NDArray[np.int32]
    starts: NDArray[np.int64]
    kinds: Bytes


def places(texts: pa.LargeStringArray, kinds: Collection[str] = KINDS) -> Places:
    """The places of all texts, `starts` in characters; an e-mail's and a number's may be the same twice."""
    data, offsets = buffers(texts)
    most = int(offsets[-1] - offsets[0])  # only what is written takes memory
    docs, starts, found = np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most, np.uint8)
    wanted = sum(1 << i for i, kind in enumerate(KINDS) if kind in kinds)
    n = _places(data, offsets, _CLASSES, wanted, docs, starts, found)
    order = np.lexsort((found[:n], starts[:n], docs[:n]))
    return Places(docs[:n][order], starts[:n][order], found[:n][order])


def spans(texts: pa.LargeStringArray, kinds: Collection[str] = KINDS) -> dict[int, list[Span]]:
    """The spans of each document that has any, as `curator.pii.spans` finds them one by one."""
    by_mask = [
        [(KINDS[i], MATCHERS[KINDS[i]]) for i in range(len(KINDS)) if mask >> i & 1] for mask in range(32)
    ]
    found: dict[int, list[Span]] = {}
    there = places(texts, kinds)
    text, current, reached = "", -1, 0
    for doc, place, mask in zip(
        there.docs.tolist(), there.starts.tolist(), there.kinds.tolist(), strict=True
    ):
        if doc != current:
            text, current, reached = texts[doc].as_py() or "", doc, 0
        if place < reached:
            continue
        for kind, matcher in by_mask[mask]:
            end = matcher(text, place)
            if end > 0:
                found.setdefault(doc, []).append((kind, place, end))
                reached = end
                break
    return found
