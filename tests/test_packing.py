"""Packing: nothing lost, nothing cut that fits, rows full, the same rows every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.packing import pack


def realistic(documents: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Document lengths as measured on web pages: log-normal, median 555 tokens, mean about 1,000."""
    return np.random.default_rng(0).lognormal(np.log(555), 1.1, documents).astype(np.int64)


@settings(deadline=None)  # the first call compiles
@given(
    lengths=st.lists(st.integers(0, 70), max_size=60),
    seq_len=st.sampled_from([1, 2, 8, 16, 64]),
)
def test_every_token_once_and_only_long_documents_cut(lengths: list[int], seq_len: int) -> None:
    """Pieces partition the payload; a document that fits is one piece, a longer one as few as it can be."""
    ends = np.cumsum(lengths, dtype=np.int64)
    packed = pack(ends, seq_len)
    starts = ends - np.asarray(lengths, dtype=np.int64)
    covered = sorted(map(tuple, packed.pieces.tolist()))
    expected = [
        (first, min(first + seq_len, end))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        for first in range(start, end, seq_len)
    ]
    assert covered == expected
    tokens = packed.tokens()
    assert len(tokens) == len(packed)
    assert tokens.sum() == sum(lengths)
    assert (tokens > 0).all()
    assert (tokens <= seq_len).all()


@pytest.mark.parametrize(("seq_len", "least"), [(256, 0.994), (1024, 0.999), (2048, 0.999)])
def test_rows_are_full(seq_len: int, least: float) -> None:
    """The fill that the design asks for, on a realistic distribution."""
    lengths = realistic(10_000)
    packed = pack(np.cumsum(lengths), seq_len)
    assert lengths.sum() / (len(packed) * seq_len) >= least


def test_best_fit_takes_the_fullest_row_with_room() -> None:
    """By hand: 6, 5, 3, 2, 2 into rows of 8 gives 6+2, 5+3 and 2."""
    packed = pack(np.cumsum([2, 5, 6, 3, 2]), 8)
    rows = [
        packed.pieces[a:b].tolist() for a, b in zip(packed.row_starts, packed.row_starts[1:], strict=False)
    ]
    assert rows == [[[7, 13], [0, 2]], [[2, 7], [13, 16]], [[16, 18]]]


def test_the_same_rows_every_time() -> None:
    """Equal documents keep their order, so the result is one."""
    ends = np.cumsum(realistic(2000) % 300)
    one, two = pack(ends, 256), pack(ends.astype(np.uint64), 256)
    assert (one.pieces == two.pieces).all()
    assert (one.row_starts == two.row_starts).all()


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 70), max_size=60), seq_len=st.sampled_from([1, 2, 8, 64]))
def test_concatenated_rows_are_the_payload_cut(lengths: list[int], seq_len: int) -> None:
    """Rows are full but for the last, their pieces are the payload in its order, and documents are told apart."""
    ends = np.cumsum(lengths, dtype=np.int64)
    packed = pack(ends, seq_len, mode="concat")
    total = sum(lengths)
    assert packed.tokens().tolist() == [min(seq_len, total - start) for start in range(0, total, seq_len)]
    places = np.concatenate([np.arange(a, b) for a, b in packed.pieces] or [np.arange(0)])
    assert places.tolist() == list(range(total))
    cuts = {*ends.tolist(), *range(0, total, seq_len), 0} - {total}
    assert packed.pieces[:, 0].tolist() == sorted(cuts)
    assert (packed.pieces[:, 1] > packed.pieces[:, 0]).all()
    assert packed.row_starts[-1] == len(packed.pieces)


@pytest.mark.parametrize("seq_len", [256, 1024])
def test_what_the_modes_cost(seq_len: int) -> None:
    """Best-fit cuts no document that fits, for at most 0.1 % more rows at 1,024 tokens; concatenating cuts a fifth or more of them."""
    lengths = realistic(10_000)
    ends = np.cumsum(lengths)
    fit, cut = (pack(ends, seq_len, mode=mode) for mode in ("best_fit", "concat"))
    fits = int((lengths <= seq_len).sum())
    for packed, least, most in ((fit, 0, 0), (cut, 0.2 * fits, 0.6 * fits)):
        started = np.searchsorted(ends, packed.pieces[:, 0], side="right")
        pieces = np.bincount(started, minlength=len(ends))
        assert least <= (pieces[lengths <= seq_len] > 1).sum() <= most
    assert len(cut) == -(-lengths.sum() // seq_len)
    assert len(fit) <= len(cut) * (1.006 if seq_len == 256 else 1.001)
