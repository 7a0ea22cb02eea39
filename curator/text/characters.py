"""What the kernels know of a character: one byte of class bits for each of the 0x110000 code points.

Built once a process from `unicodedata` (60 ms) and handed to kernels as an array: a lookup costs what a
comparison does and Python's own answer decides, so `str.split`, `isalpha` and `splitlines` agree exactly.
Rejected: ranges compared in the kernel, which are slower and a second truth beside Python's.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

NON_SYMBOL = 1  # outside datatrove's PUNCTUATION_SET
ALPHA = 2  # str.isalpha
SPACE = 4  # str.isspace, which is what str.split() splits at
WORD = 8  # UTS #18 \w: letter, mark, number, connector punctuation, or a joiner
DIGIT = 16  # decimal digit of any script
PUNCTUATION = 32  # becomes a space in normalised text
LINE_END = 64  # str.splitlines
UNSPACED = 128  # of a script that puts no space between words
HIGHEST = 0x110000

# Code points, hexadecimal. The first set is punctuation in general and the control characters, the second
# marks that end a sentence in any script; datatrove's PUNCTUATION_SET is both.
_PUNCTUATION = (
    "0-8 b-1f 21-2f 3a-40 5b-60 7b-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001-3002 "
    "3008-300d 3010-3011 ff01 ff05 ff08-ff09 ff0c ff0e ff11 ff1a-ff1b ff1f ff5e"
)
_TERMINAL = (
    "589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6 "
    "17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d "
    "2047-2049 2e2e 2e3c 2e53-2e54 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f "
    "aaf0-aaf1 abeb fe52 fe56-fe57 ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 "
    "11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 "
    "115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 "
    "11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88"
)


_ENDING_PUNCTUATION = "21 2e 3f 3002 ff01 ff0e ff1f"  # of the first set, those that end a sentence too
# Thai, Lao, Tibetan, Myanmar, Khmer, New Tai Lue, Tai Tham, Balinese, Javanese, kana, bopomofo, Han
_UNSPACED = (
    "e01-e3a e40-e4e e81-ec6 edc-edf f40-fbc 1000-103f 1050-109f 1780-17d3 1980-19c9 1a20-1a7c 1b05-1b4b "
    "3005-3007 3041-30ff 3105-312f 31a0-31bf 31f0-31ff 3400-4dbf 4e00-9fff a984-a9c0 a9e0-a9fe aa60-aa7f "
    "f900-faff ff66-ff9f 20000-323af"
)


def _code_points(ranges: str) -> list[int]:
    found: list[int] = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        found.extend(range(int(first, 16), int(last or first, 16) + 1))
    return found


@cache
def classes() -> NDArray[np.uint8]:
    """Class bits by code point, uint8[0x110000], read-only."""
    by_category = {"L": ALPHA | WORD, "M": WORD, "N": WORD, "Nd": DIGIT | WORD, "Pc": WORD}
    table = np.zeros(HIGHEST, np.uint8)
    for assigned in (range(0x40000), range(0xE0000, 0xE0200)):  # no other letters, marks, numbers, spaces
        categories = map(unicodedata.category, map(chr, assigned))
        table[assigned] = [by_category.get(c) or by_category.get(c[0], 0) for c in categories]
    for c in range(0x3001):
        character = chr(c)
        if character.isspace():
            table[c] |= SPACE
            if len(character.splitlines()[0]) == 0:
                table[c] |= LINE_END
    table[[0x200C, 0x200D]] |= WORD
    table[_code_points(_PUNCTUATION)] |= PUNCTUATION
    table |= NON_SYMBOL
    table[_code_points(f"{_PUNCTUATION} {_TERMINAL}")] &= 0xFF ^ NON_SYMBOL
    table[_code_points(_UNSPACED)] |= UNSPACED
    table.setflags(write=False)
    return table


@cache
def first_bytes(kind: int) -> NDArray[np.uint8]:
    """1 for every byte that the UTF-8 of a character of this class begins with, uint8[256], read-only."""
    table = np.zeros(256, np.uint8)
    table[[chr(c).encode()[0] for c in np.flatnonzero(classes() & kind)]] = 1
    table.setflags(write=False)
    return table


@cache
def terminal_marks() -> str:
    """The marks that end a sentence in any script; datatrove's TERMINAL_PUNCTUATION."""
    return "".join(map(chr, _code_points(f"{_TERMINAL} {_ENDING_PUNCTUATION}")))
