"""Which tokens a masked-language model is asked for: a pure function of (seed, row, position).

One 64-bit number is drawn for each position. Its upper half says whether the token is asked for, its lower half
what stands in its place: the mask (8 of 10), any token of the vocabulary (1 of 10), the token itself (1 of 10).
End tokens and padding are never asked for. Of whole words, the number of the first token says whether all of them are
asked for, and each token's own what stands in its place. What begins a word is read off the vocabulary, so scripts
without spaces have long ones. Rejected: transformers' collators, whose masks depend on how far the loader had read
ahead, so that a resumed run differs (measured: losses by 0.03), and whose whole words need offsets into the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curator.rows import Batch, TokenRows

MASK_TOKENS = ("[MASK]", "<mask>")
TRAINING, HELD_OUT = 0, 1  # streams of draws
BYTE_LEVEL_SPACES = ("Ġ", "Ċ", "ĉ", "č")  # what byte-level vocabularies write space, newline, tab and return as


@dataclass(frozen=True)
class Masking:
    """Masks batches of `rows`' tokens. `draws` gives uint64[rows, seq_len] for row numbers."""

    draws: Callable[[Any], NDArray[np.uint64]]
    rate: float
    mask_id: int
    end_id: int
    vocab_size: int
    starts_word: NDArray[np.bool_] | None = None

    @staticmethod
    def of(rows: TokenRows, rate: float, stream: int = TRAINING, *, whole_word: bool = False) -> Masking:
        """The masking of an export's rows. Raises UsageError where its tokenizer has no mask token."""
        from curator import UsageError

        if not 0 < rate < 1:
            raise UsageError(f"mask_rate {rate}: give a share of the tokens between 0 and 1")
        mask_id = mask_token(rows)[1]
        starts_word = word_starts(rows) if whole_word else None
        return Masking(_Draws(rows, stream), rate, mask_id, rows.end_id, rows.vocab_size, starts_word)

    def __call__(self, batch: Batch, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The ids with masks, and where a token is asked for; both [rows, seq_len]."""
        draws = self.draws(rows)
        chosen = (draws >> np.uint64(32)) < np.uint64(self.rate * 2**32)
        if self.starts_word is not None:
            starts = self.starts_word[batch.ids] | (batch.position == 0)
            firsts = np.maximum.accumulate(np.where(starts, np.arange(starts.shape[1]), 0), axis=1)
            chosen = np.take_along_axis(chosen, firsts, axis=1)
        chosen &= (batch.document >= 0) & (batch.ids != self.end_id)
        lower = (draws & np.uint64(0xFFFFFFFF)).astype(np.int64)
        kind, token = lower % 10, lower // 10 % self.vocab_size
        replaced = np.where(kind < 8, self.mask_id, np.where(kind == 8, token, batch.ids))
        return np.where(chosen, replaced, batch.ids), chosen


@dataclass(frozen=True)
class _Draws:
    rows: TokenRows
    stream: int

    def __call__(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        return self.rows.draws(self.stream, numbers)


def word_starts(rows: TokenRows) -> NDArray[np.bool_]:
    """bool[vocab_size]: whether a token begins a word, by the marks that the kind of vocabulary has.

    Byte-level ones mark the white space before a word, sentencepiece's likewise, WordPiece what goes on; in others each
    token is a word. Special tokens stand for themselves.
    """
    import json

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(rows.tokenizer_file))
    described = json.loads(tokenizer.to_str())
    parts = json.dumps([described[name] for name in ("normalizer", "pre_tokenizer", "decoder")])
    going_on = described["model"].get("continuing_subword_prefix")
    special = {token["id"] for token in described["added_tokens"]}
    starts = np.ones(rows.vocab_size, dtype=np.bool_)
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number in special:
            continue
        if '"ByteLevel"' in parts:
            starts[number] = token.startswith(BYTE_LEVEL_SPACES)
        elif going_on and described["model"].get("type") == "WordPiece":
            starts[number] = not token.startswith(going_on)
        elif "\\u2581" in parts:
            starts[number] = token.startswith("\u2581")
    return starts


def mask_token(rows: TokenRows) -> tuple[str, int]:
    """The mask token of an export's tokenizer, and its id. Raises UsageError where it has none."""
    from tokenizers import Tokenizer

    from curator import UsageError

    tokenizer = Tokenizer.from_file(str(rows.tokenizer_file))
    for token in MASK_TOKENS:
        if (found := tokenizer.token_to_id(token)) is not None:
            return token, found
    raise UsageError(
        f"the tokenizer {rows.tokenizer_file} has no mask token, which a masked model needs: add one of "
        f"{' or '.join(MASK_TOKENS)} to it, or train a gpt"
    )
