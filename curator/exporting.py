"""What an exporter is given: a piece of a component, its tokens, and how the components are to be blended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curator.linking import link

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

SplitName = Literal["train", "heldout"]
#: the one component of an export with --blended: documents of all, in training order, with their repeats
BLENDED = "blended"


@dataclass(frozen=True)
class Shard:
    """Consecutive documents of a component's split: file `number` (from 0) of `of`."""

    component: str
    split: SplitName
    number: int
    of: int

    @property
    def name(self) -> str:
        """train-00000-of-00003."""
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as an export has it: `file` is its tokenizer.json, `size` one more than the largest id."""

    file: Path
    sha256: str
    size: int
    end_token: str
    end_id: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Payload:
    """The tokens of a component's split in the file `path`: documents one after the other, each with its end token.

    Little-endian, of 2 or 4 bytes (`dtype`). `ends` is uint64[documents], in tokens; `documents` has a row for each:
    doc_id, doc_key, source, source_key, …
    """

    component: str
    split: SplitName
    path: Path
    dtype: np.dtype[Any]
    ends: NDArray[np.uint64]
    documents: pl.DataFrame
    vocabulary: Vocabulary

    def link(self, target: Path) -> None:
        """Give the payload a second name, at no cost; a copy where the file system has no hard links."""
        link(self.path, target)


@dataclass(frozen=True)
class Blended:
    """A component in a blend: its share of all tokens, and what there is of it in the export."""

    name: str
    share: float
    epochs: float
    documents: int
    heldout_documents: int
    tokens: int | None  # of the documents to train on; None without a tokenizer


@dataclass(frozen=True)
class BlendStage:
    """From the token `start` of the training on, components are taken by these shares of the tokens (they sum to 1)."""

    start: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Blend:
    """How much of each component goes into a training: what the consumers' own blend files say."""

    mixture: str
    tokens: int
    seq_len: int
    seed: int
    components: tuple[Blended, ...]
    stages: tuple[BlendStage, ...]
    vocabulary: Vocabulary | None
