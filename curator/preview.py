"""What a planned mixture comes to in rows, steps and epochs, before anything is tokenized or written.

Where all documents are counted, rows are those that an export will have: its documents are packed and its plan is made
(0.5 us a document). Elsewhere rows are taken to be full, which best-fit packing misses by less than 1 %.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from curator.errors import CuratorError
from curator.holdout import overlap
from curator.mixture import Plan
from curator_catalog.mixtures import Share

#: more epochs than that are worth visibly less than new text (Muennighoff et al. 2023)
MANY_EPOCHS = 4.0


@dataclass(frozen=True)
class StagePlace:
    """Where a stage begins: the first token and row of the run, and its components' shares of its tokens."""

    token: int
    row: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Preview:
    """The figures of a plan. Raises CuratorError where a document to train on is held out too: that must not be."""

    planned: Plan

    def __post_init__(self) -> None:
        if self.holdout_overlap:
            raise CuratorError(
                f"mixture {self.planned.mixture.model.mixture!r}: {self.holdout_overlap:,} documents to train on are held out "
                "or near copies of such; please report this"
            )

    @cached_property
    def holdout_overlap(self) -> int:
        """Documents to train on that are held out, or whose near copy is."""
        return overlap(self.planned.documents)

    @cached_property
    def _packed(self) -> list[tuple[int, int]]:
        """(rows, tokens) of each component's documents."""
        from curator.packing import pack

        model = self.planned.mixture.model
        packed = []
        for share in self.planned.shares:
            lengths = self._training.filter(pl.col("component") == share.name)["tokens"]
            tokens = round(lengths.sum())
            if self.planned.counts.all_exact:
                ends = lengths.cast(pl.Int64).cum_sum().to_numpy()
                rows = len(pack(ends, model.seq_len, mode=model.packing.mode))
            else:
                rows = math.ceil(tokens / model.seq_len)
            packed.append((rows, tokens))
        return packed

    @cached_property
    def _training(self) -> pl.DataFrame:
        return self.planned.documents.filter(~pl.col("held_out"))

    @cached_property
    def _order(self) -> Any:
        from curator.order import plan_rows

        model = self.planned.mixture.model
        manifest = {
            "seed": model.seed, "tokens": max(1, round(self.planned.tokens)), "tokenizer": None,
            "components": [{"name": s.name, "share": s.share, "max_epochs": s.max_epochs} for s in self.planned.shares],
            "stages": [{"start": s.start, "shares": s.shares} for s in self.planned.stages],
        }  # fmt: skip
        return plan_rows(manifest, self._packed)[0]

    @property
    def rows(self) -> int:
        """The rows of the run. Raises UsageError for less than one, and for a stage without any."""
        return len(self._order)

    @property
    def steps(self) -> int | None:
        """Batches of `batch_tokens`, if the mixture says how large they are."""
        batch = self.planned.mixture.model.batch_tokens
        return None if batch is None else int(self.planned.tokens // batch)

    @property
    def fill(self) -> float | None:
        """The share of the rows that is tokens and not padding; None where tokens are estimates."""
        rows, tokens = (sum(figures) for figures in zip(*self._packed, strict=True))
        return tokens / (rows * self.planned.mixture.model.seq_len) if self.planned.counts.all_exact else None

    @property
    def stages(self) -> list[StagePlace]:
        """Where the stages begin; one where the mixture has none."""
        starts = [stage.start for stage in self._order.stages] or [0]
        return [
            StagePlace(round(stage.start * self.planned.tokens), row, stage.shares)
            for stage, row in zip(self.planned.stages, starts, strict=True)
        ]

    @property
    def shortfall(self) -> str | None:
        """What the budget lacks, and what would fill it."""
        planned = self.planned
        if planned.tokens >= planned.budget * 0.9995:
            return None
        lacking = planned.budget - planned.tokens
        said = f"{lacking:,.0f} of the {planned.budget:,.0f} tokens asked cannot be had"
        full = [s for s in planned.shares if s.capped]
        if not full:
            return f"{said}: lower tokens: to {planned.tokens:,.0f}"
        first = full[0]
        # with the shares kept, the target of a full component grows as the budget does
        needed = math.ceil(10 * first.epochs * planned.budget / planned.tokens - 1e-6) / 10
        return (
            f"{said}: {', '.join(s.name for s in full)} at the cap; lower tokens: to {planned.tokens:,.0f}, widen the query "
            f"of {first.name}, lower its weight, or raise its max_epochs from {first.max_epochs:g} to {needed:.1f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For --json and the catalog."""
        model = self.planned.mixture.model
        return self.planned.to_dict() | {
            "seq_len": model.seq_len, "rows": self.rows, "steps": self.steps, "packing": model.packing.model_dump(),
            "tokens_lost_to_packing": 0, "fill": self.fill, "holdout_overlap": self.holdout_overlap,
            "stages": [asdict(place) for place in self.stages], "shortfall": self.shortfall,
        }  # fmt: skip


def note(share: Share) -> str:
    """What is to be said of a component in two words."""
    if share.capped:
        return "CAP, above 4" if share.epochs > MANY_EPOCHS * 1.000001 else "CAP"
    if share.epochs > MANY_EPOCHS * 1.000001:
        return "above 4 epochs"
    return "down-sampled" if share.epochs < 0.995 else ""
