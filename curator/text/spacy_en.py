"""The words of spaCy's `blank("en")`, chunk by chunk, as datatrove takes them: stripped, empty ones removed.

Algorithm: spaCy splits at `str.isspace` first, so a chunk has the same tokens alone as in its text (but for
the case below); many chunks go to it in one call, a line each. A chunk costs it 14-20 us, therefore `_plain`
splits those whose tokens follow from a few of spaCy's rules: words of ASCII letters and numbers, joined by
hyphens or apostrophes, with at most one mark before and two behind. These are 72 % of the distinct chunks of
24 MB and 57 % of 260 MB; compared with spaCy, none of 1.36 million chunks differs. A chunk with any run of
letters or any number that occurs in spaCy's special cases ("cannot", "e.g.", ":D") is left to spaCy. Rejected: all
of spaCy's rules in a kernel, which would have to follow every release of its tables.

One difference to whole texts is known: spaCy merges special cases of several tokens (":)") after splitting,
and a match that spans a space is discarded but still hides a shorter one beside it ("x( :)y" keeps ":" and
")" apart). It takes two overlapping emoticons; DESIGN.md's comparison of the benchmark corpus met none.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numba import njit
from numpy.typing import NDArray

from curator.text.tokenizers import tokenizer_version
from curator.text.words import Bytes, Offsets, Words, buffers, split
from curator.text.xxh3 import U, xxh3

_AT_ONCE = 4096  # chunks in one call to spaCy
_SUFFIX = 16  # characters of the longest suffix but full stops
_RUN = re.compile("[A-Za-z]+|[0-9]+(?:[.,][0-9]+)*")
_NO_ALNUM = "(?![A-Za-z0-9])"  # no suffix begins with one, but units behind a digit ("5km"), and no infix

LETTER, DIGIT, BEFORE, BEHIND = 1, 2, 4, 8
HYPHEN, DOT, COMMA, APOSTROPHE, SPACE = 0x2D, 0x2E, 0x2C, 0x27, 0x20


def _kinds() -> Bytes:
    kinds = np.zeros(256, np.uint8)
    for c in map(chr, range(128)):
        if c.isalpha():
            kinds[ord(c)] |= LETTER
        if c.isdigit():
            kinds[ord(c)] |= DIGIT
        if c in "\"'([":
            kinds[ord(c)] |= BEFORE
        if c in ",.;:?!)\"']":
            kinds[ord(c)] |= BEHIND
    return kinds


KINDS = _kinds()
#: two marks behind a word that are two tokens, nearest first: no emoticon, no ellipsis
PAIRS = np.array(
    [list(pair) for pair in b"""." ," ?" !" .' ,' ?' !' ). ), ); ". ", '. ', .) ?)""".split()], np.uint8
)


@njit(nogil=True, cache=True)
def _is_special(data: Bytes, at: int, stop: int, special: NDArray[np.uint64]) -> bool:
    h = xxh3(data, U(at), U(stop - at))
    place = np.searchsorted(special, h)
    return bool(place < len(special) and special[place] == h)


@njit(nogil=True, cache=True)
def _run_end(data: Bytes, at: int, stop: int, special: NDArray[np.uint64]) -> int:
    """Where the letters or the number at `at` end; -1 where spaCy must decide."""
    kind = KINDS[data[at]] & (LETTER | DIGIT)
    end = at
    while end < stop and KINDS[data[end]] & kind:
        end += 1
        mark = kind == DIGIT and end + 1 < stop and (data[end] == DOT or data[end] == COMMA)
        if mark and KINDS[data[end + 1]] & DIGIT:
            end += 1  # digits behind a decimal mark belong to the same number
    return end if kind and not _is_special(data, at, end, special) else -1


@njit(nogil=True, cache=True)
def _put(data: Bytes, at: int, stop: int, apart: bool, out: Bytes, end: int) -> int:
    """Copy bytes, behind a space if they begin another token; returns where the next go."""
    if apart:
        out[end] = SPACE
        end += 1
    for i in range(at, stop):
        out[end] = data[i]
        end += 1
    return end


@njit(nogil=True, cache=True)
def _apostrophe(data: Bytes, at: int, stop: int) -> int:
    """Bytes of the apostrophe at `at`, straight or curled; 0 if there is none."""
    if at < stop and data[at] == APOSTROPHE:
        return 1
    return 3 if at + 2 < stop and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0x99 else 0


@njit(nogil=True, cache=True)
def _plain_chunk(data: Bytes, at: int, stop: int, special: NDArray[np.uint64], out: Bytes, end: int) -> int:
    """Write the tokens of a chunk with spaces between; returns where they end, -1 where spaCy must decide."""
    start, apart = at, False
    if KINDS[data[at]] & BEFORE:
        end = _put(data, at, at + 1, False, out, end)
        at += 1
        apart = True
    while True:
        if at >= stop:
            return -1
        run = _run_end(data, at, stop, special)
        if run < 0:
            return -1
        end = _put(data, at, run, apart, out, end)
        at, apart = run, True
        letters = KINDS[data[at - 1]] & LETTER
        mark = _apostrophe(data, at, stop)
        after = at + mark
        if mark and after < stop and KINDS[data[after]] & (LETTER | DIGIT):
            if not letters or KINDS[data[after]] & DIGIT:
                return -1
            final = after + 1 == stop or KINDS[data[after + 1]] & BEHIND
            if final and (data[after] == 0x73 or data[after] == 0x53):  # 's is a token of its own
                end = _put(data, at, after + 1, True, out, end)
                at = after + 1
                break
            end = _put(data, at, after, False, out, end)
            at, apart = after, False
            continue
        hyphens = at
        while hyphens < stop and data[hyphens] == HYPHEN:
            hyphens += 1
        if hyphens == at:
            break
        if hyphens == stop or not KINDS[data[hyphens]] & LETTER or hyphens - at > (3 if letters else 1):
            return -1
        end = _put(data, at, hyphens, True, out, end)
        at = hyphens
    marks = stop - at
    if marks > 2:
        return -1
    for i in range(at, stop):
        if not KINDS[data[i]] & BEHIND:
            return -1
        if data[i] == DOT:
            last = data[i - 1]
            two_capitals = i - 2 >= start and 0x41 <= last <= 0x5A and 0x41 <= data[i - 2] <= 0x5A
            if 0x41 <= last <= 0x5A and not two_capitals:
                return -1
        end = _put(data, i, i + 1, True, out, end)
    if marks == 2:
        for pair in range(len(PAIRS)):
            if PAIRS[pair, 0] == data[at] and PAIRS[pair, 1] == data[at + 1]:
                return end
        return -1
    return end


@njit(nogil=True, cache=True)
def _plain(
    data: Bytes,
    starts: Offsets,
    stops: Offsets,
    special: NDArray[np.uint64],
    out: Bytes,
    offsets: Offsets,
    left: NDArray[np.bool_],
) -> None:
    """The plain chunks' tokens as texts; `left` says which chunks are not plain."""
    end = 0
    offsets[0] = 0
    for i in range(len(starts)):
        written = _plain_chunk(data, starts[i], stops[i], special, out, end)
        left[i] = written < 0
        end = max(end, written)
        offsets[i + 1] = end


class SpacyEnglish:
    """spaCy's English tokenizer, loaded when a chunk first needs it."""

    @cached_property
    def _tokenizer(self) -> Any:
        """spaCy's tokenizer, three times as fast: without the 20 attributes that it computes of each new word,
        with its patterns for suffixes and infixes tried only where one can begin, and that for URLs only where
        there is a full stop.
        """
        tokenizer_version("spacy-en")  # says how to install spaCy where it is missing
        import spacy

        nlp: Any = spacy.blank("en")
        nlp.vocab.lex_attr_getters = {}
        tokenizer = nlp.tokenizer
        suffix = tokenizer.suffix_search.__self__.pattern
        infix = tokenizer.infix_finditer.__self__.pattern
        find_suffix = re.compile(f"(?:{_NO_ALNUM}|(?<=[0-9]))(?:{suffix})").search
        is_url = tokenizer.url_match
        tokenizer.suffix_search = lambda text: find_suffix(text, max(len(text.rstrip(".")) - _SUFFIX, 0))
        tokenizer.url_match = lambda text: is_url(text) if "." in text else None
        tokenizer.infix_finditer = re.compile(f"{_NO_ALNUM}(?:{infix})").finditer
        return tokenizer

    @cached_property
    def _special(self) -> NDArray[np.uint64]:
        """Hashes of the runs of letters and the numbers in spaCy's special cases, sorted."""
        runs = {run for case in self._tokenizer.rules for run in _RUN.findall(case)}
        return np.array(sorted(xxhash.xxh3_64_intdigest(run.encode()) for run in runs), np.uint64)

    def tokens(self, chunks: list[str]) -> list[str]:
        """By spaCy itself: the tokens of each chunk with spaces between."""
        found: list[str] = []
        for first in range(0, len(chunks), _AT_ONCE):
            with self._tokenizer.vocab.memory_zone():  # or it would keep every word for ever
                doc = self._tokenizer("\n".join(chunks[first : first + _AT_ONCE]))
                found.extend(" ".join([token.text for token in doc]).split("\n"))
        return found

    def __call__(self, data: Bytes, starts: Offsets, stops: Offsets) -> Words:
        """The words of the chunks `data[starts[i]:stops[i]]`, one "document" each."""
        out = np.empty(2 * int((stops - starts).sum()), np.uint8)
        offsets, left = np.empty(len(starts) + 1, np.int64), np.empty(len(starts), np.bool_)
        _plain(data, starts, stops, self._special, out, offsets, left)
        texts = pa.LargeStringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(out))
        if left.any():
            chunks = [data[a:b].tobytes().decode() for a, b in zip(starts[left], stops[left], strict=True)]
            by_spacy = pa.array(self.tokens(chunks), pa.large_string())
            texts = pc.replace_with_mask(texts, pa.array(left), by_spacy)
        return split(*buffers(texts))
