# look-alikes are what is tested
"""The word kernels against plain Python twins."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.text import Chunks, tokenizer_version
from curator.text.characters import (
    _PUNCTUATION,
    _TERMINAL,
    _UNSPACED,
    ALPHA,
    DIGIT,
    LINE_END,
    NON_SYMBOL,
    PUNCTUATION,
    SPACE,
    UNSPACED,
    WORD,
    _code_points,
    classes,
)
from curator.text.lines import lines
from curator.text.totals import totals
from curator.text.words import STOP_WORD, STOP_WORDS, buffers, split
from curator.text.xxh3 import U, xxh3

SPACES = [chr(c) for c in range(0x3001) if chr(c).isspace()]
SYMBOLS = set(map(chr, _code_points(f"{_PUNCTUATION} {_TERMINAL}")))
LETTERS = set(map(chr, _code_points(_UNSPACED)))
MARKS = set(map(chr, _code_points(_PUNCTUATION)))
PIECES = [
    *SPACES,
    *STOP_WORDS,
    *".,،٫…•-#'’\"()!?_~`",
    *"\x00\x07\x1b\x7f\u200b\u200c\u200d\ufeff\u00ad",
    *["...", "..", "\r\n", "Word", "don't", "12.5", "1,000,000", "٣٫١٤", "½", "１２", "x" * 70, "ab" * 700],
    *["é", "e\u0301", "İ", "ß", "ΟΔΟΣ", "Σ", "ς", "한국어", "שָׁלוֹם", "नमस्ते", "👩‍🚀", "𝔘", "ﬁ", "Ǆ", "\u1fef"],
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join)
batches = st.lists(texts, max_size=4)


def arrow(batch: list[str]) -> pa.LargeStringArray:
    return pa.array(batch, pa.large_string())


def is_word(c: str) -> bool:
    category = unicodedata.category(c)
    return category[0] in "LMN" or category == "Pc" or c in "\u200c\u200d"


def unicode_words(text: str) -> list[str]:
    found, run = [], ""
    for c in text:
        if run and not is_word(c):
            found.append(run)
            run = ""
        if is_word(c):
            run += c
        elif not c.isspace():
            found.append(c)
    return [*found, run] if run else found


def normalized(text: str) -> str:
    text = re.sub(r"\d+(?:[.,،٫⎖⎗⎘]\d+)?", "0", text.lower())
    text = "".join(" " if c in MARKS else c for c in text)
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


TWINS = {
    "whitespace": str.split,
    "unicode": unicode_words,
    "normalized": lambda text: normalized(text).split(),
}


def flags_of(word: str) -> int:
    stop = STOP_WORDS.index(word) + 1 if word in STOP_WORDS else 0
    letters = ALPHA * any(map(str.isalpha, word))
    return NON_SYMBOL * any(c not in SYMBOLS for c in word) | letters | STOP_WORD * stop


@pytest.mark.parametrize("tokenizer", TWINS)
@settings(max_examples=300, deadline=None)
@given(batch=batches)
@example(batch=[])
@example(batch=["", " ", "", "a"])
@example(batch=["".join(f"{c}{s}" for c, s in zip(PIECES, SPACES * 9, strict=False))])
def test_words_are_python_s(tokenizer: str, batch: list[str]) -> None:
    found = Chunks().words(arrow(batch), tokenizer)
    words = [TWINS[tokenizer](text) for text in batch]
    flat = [word for of_text in words for word in of_text]
    assert found.doc_offsets.tolist() == [0, *np.cumsum([len(w) for w in words], dtype=int)]
    assert found.hashes.tolist() == [xxhash.xxh3_64_intdigest(word.encode()) for word in flat]
    assert found.lengths.tolist() == [len(word) for word in flat]
    assert found.flags.tolist() == [flags_of(word) for word in flat]
    types = [found.doc_offsets.dtype, found.hashes.dtype, found.lengths.dtype, found.flags.dtype]
    assert types == [np.int64, np.uint64, np.uint32, np.uint8]


@settings(max_examples=300, deadline=None)
@given(batch=batches)
@example(batch=["- a\n\t• b...\r\nc… \u2028....\x85", "......", "\n", "\r\n\r", "a\r", " \x1c-", "... #"])
def test_lines_are_python_s(batch: list[str]) -> None:
    found = lines(*buffers(arrow(batch)))
    for d, text in enumerate(batch):
        split_lines = text.splitlines()
        expected = (
            len(split_lines),
            sum(line.lstrip().startswith(("•", "-")) for line in split_lines),
            sum(line.rstrip().endswith(("...", "…")) for line in split_lines),
            text.count("#"),
            text.count("...") + text.count("…"),
        )
        assert tuple(counts[d] for counts in found) == expected


@settings(max_examples=100, deadline=None)
@given(batch=batches)
def test_totals_are_sums_over_words(batch: list[str]) -> None:
    found = totals(split(*buffers(arrow(batch))))
    for d, text in enumerate(batch):
        words = text.split()
        spoken = [word for word in words if flags_of(word) & NON_SYMBOL]
        expected = (
            len(words),
            sum(map(len, words)),
            len(spoken),
            sum(map(len, spoken)),
            sum(any(map(str.isalpha, word)) for word in words),
            len(set(words) & set(STOP_WORDS)),
        )
        assert tuple(counts[d] for counts in found) == expected


def test_character_classes_are_python_s() -> None:
    table = classes()
    for c, bits in zip(map(chr, range(len(table))), table.tolist(), strict=True):
        expected = (
            NON_SYMBOL * (c not in SYMBOLS)
            | ALPHA * c.isalpha()
            | SPACE * c.isspace()
            | WORD * is_word(c)
            | DIGIT * c.isdecimal()
            | PUNCTUATION * (c in MARKS)
            | LINE_END * (c.splitlines() == [""])
            | UNSPACED * (c in LETTERS)
        )
        assert bits == expected, hex(ord(c))


def test_normalizing_every_character() -> None:
    batch = [f"x{chr(c)}y" for c in range(1, 0x110000, 1) if not 0xD800 <= c < 0xE000]
    found = Chunks().words(arrow([" | ".join(batch)]), "normalized")
    words = normalized(" | ".join(batch)).split()
    assert found.hashes.tolist() == [xxhash.xxh3_64_intdigest(word.encode()) for word in words]


def test_normalized_words_of_every_length_and_neighbour() -> None:
    """Words that registers hold, and those just longer or broken off, at the end of a text and before it."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    words = [letters[at : at + size] for size in range(20) for at in (0, 20, 22, 30)]
    around = ["", " ", ".", "9", "é", "\u0301", "@", "[", "`", "{", "\x7f", "\xa0", "ſ", "한"]
    batch = [f"{before}{word}{after}" for word in words for before in around for after in around]
    batch += [f"{text} and a rest that is long enough" for text in batch]
    found = Chunks().words(arrow(batch), "normalized")
    expected = [word for text in batch for word in normalized(text).split()]
    assert found.hashes.tolist() == [xxhash.xxh3_64_intdigest(word.encode()) for word in expected]
    assert found.lengths.tolist() == [len(word) for word in expected]
    assert found.flags.tolist() == [flags_of(word) for word in expected]


def test_hash_is_xxh3() -> None:
    data = np.random.default_rng(1).integers(0, 256, 5000, np.uint8)
    for n in [*range(1100), 2047, 2048, 2049, 4096, 4990]:
        for at in (0, 7):
            assert xxh3(data, U(at), U(n)) == xxhash.xxh3_64_intdigest(data[at : at + n].tobytes())


def test_slices_and_nulls_of_arrow_arrays() -> None:
    array = pa.array(["left out", "one two", None, "three"], pa.large_string())
    found = Chunks().words(array.slice(1), "whitespace")
    assert found.counts.tolist() == [2, 0, 1]
    assert (
        found.hashes.tolist() == Chunks().words(arrow(["one two", "", "three"]), "whitespace").hashes.tolist()
    )


def test_versions_name_what_decides() -> None:
    assert tokenizer_version("whitespace") == f"whitespace 1, Unicode {unicodedata.unidata_version}"
    with pytest.raises(UsageError, match=r"'nltk'.* whitespace, unicode, unspaced, normalized, spacy-en"):
        tokenizer_version("nltk")
    with pytest.raises(UsageError, match="no word tokenizer"):
        Chunks().words(arrow(["a"]), "nltk")


def test_spacy_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UsageError, match=r"pip install 'corpus-curator\[spacy\]'"):
        tokenizer_version("spacy-en")
