"""An export as a map-style PyTorch dataset, in the order of its plan; there is no state, so resuming is an index.

A row is `seq_len` tokens of packed documents. Positions restart at each document, which is what transformers' causal
models take document boundaries from, as long as they get no attention_mask and `use_cache` is off; so causal rows have
none. BERT's models do not read boundaries from positions: masked rows have a 4D bool mask, which sdpa attention takes
as it is. Cost: one compiled copy a batch, which `stack` hands on whole; benchmarks/loader.py has the rates, also those
of a loader that stacks row by row. Rejected: an IterableDataset, which transformers resumes by reading everything
again, and which every rank reads in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from torch.utils.data import Dataset

from curator_trainer.masking import Masking

if TYPE_CHECKING:
    from curator.rows import HeldOut, TokenRows

Objective = Literal["causal", "masked"]
Row = dict[str, torch.Tensor]
IGNORED = -100  # the label that PyTorch's losses skip


class MixtureDataset(Dataset[Row]):
    """The rows of an export: input_ids, labels and position_ids, int64[seq_len] each, in the order to train in.

    Labels are -100 on padding and on the first token of a document, which nothing before it predicts. With
    objective="masked" the tokens to predict are masked (of `mask_rate`, 80 % become [MASK], 10 % another token, 10 %
    stay), as a function of (seed, row, position) alone, and attention_mask, bool[1, seq_len, seq_len], keeps documents
    apart; with `whole_word` all tokens of a word are asked for, or none. `components` adds the number of each row's
    component, int64, which models do not take: pop it first. Do not shuffle it: the plan has. The export is tokenized
    first if it has not been; `seq_len` and `vocab_size` are as in `curator.open_tokens`.
    """

    def __init__(
        self,
        export: str | Path,
        *,
        objective: Objective = "causal",
        mask_rate: float = 0.30,
        whole_word: bool = False,
        components: bool = False,
        seq_len: int | None = None,
        vocab_size: int | None = None,
    ) -> None:
        from curator import UsageError, open_tokens

        if objective not in ("causal", "masked"):
            raise UsageError(f"objective {objective!r}: there are causal and masked")
        if whole_word and objective == "causal":
            raise UsageError("whole_word is how tokens are masked, and objective 'causal' masks none; leave it out")
        self.rows: TokenRows = open_tokens(export, seq_len=seq_len, vocab_size=vocab_size)
        self.objective, self.components = objective, components
        self.masking = (
            Masking.of(self.rows, mask_rate, whole_word=whole_word) if objective == "masked" else None
        )

    @staticmethod
    def from_corpus(corpus: str | Path, mixture: str | Path, **options: Any) -> MixtureDataset:
        """A mixture of a corpus, through an export in the corpus's cache; `options` are the class's."""
        from curator import cached_export

        return MixtureDataset(cached_export(corpus, mixture), **options)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Rows:
        """Several rows with one look-up and one copy; DataLoader calls it for a batch."""
        rows = np.asarray(indices, dtype=np.int64)
        columns = encode(self.rows, rows, self.masking)
        if self.components:
            columns["component"] = torch.from_numpy(self.rows.places(rows).component)
        return Rows(columns)


class Rows(Sequence[Row]):
    """The rows of one batch: views of its `columns`, so that whoever takes it whole copies nothing."""

    def __init__(self, columns: Row) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["input_ids"])

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Row | Rows:
        taken = {name: column[index] for name, column in self.columns.items()}
        return Rows(taken) if isinstance(index, slice) else taken


def encode(
    source: TokenRows | HeldOut, rows: np.ndarray[tuple[int], np.dtype[np.int64]], masking: Masking | None
) -> Row:
    """What a model takes, of `rows` of a source: masked where `masking` is given."""
    if masking is None:
        ids, labels, position = (torch.from_numpy(array) for array in source.causal(rows))
        return {"input_ids": ids, "labels": labels, "position_ids": position}
    batch = source.read(rows)
    ids, position, document = (torch.from_numpy(array) for array in batch)
    masked, chosen = masking(batch, rows)
    return {
        "input_ids": torch.from_numpy(masked),
        "labels": torch.where(torch.from_numpy(chosen), ids, IGNORED),
        "position_ids": position,
        # padding (document -1) sees padding: a row of the mask without True would give NaN
        "attention_mask": (document[:, :, None] == document[:, None, :])[:, None],
    }


def stack(rows: Sequence[Row]) -> Row:
    """Collate rows into a batch; a batch of MixtureDataset is taken as it is."""
    if isinstance(rows, Rows):
        return rows.columns
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
