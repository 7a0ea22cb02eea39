"""Components -> one stream of documents with their repeats, in which every stretch is mixed as the whole is.

A component's documents lie one after the other, epoch after epoch, each in another keyed order; where its n-th token
belongs in the stream follows from its shares, so the stream is a sort by that place. There is no state and no draw.
Rejected: interleaving by probability (datasets), which mixes documents, not tokens, and drifts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from curator.plan import keyed, permute

_ORDER = 3  # the first key of these permutations, apart from those of rows and draws


def blend(
    documents: pl.DataFrame, stages: Sequence[tuple[float, dict[str, float]]], tokens: float, seed: int
) -> pl.DataFrame:
    """The documents to train on (`component`, `tokens`) as a stream of `tokens` tokens, with the column `epoch`.

    `stages`: from which share of the stream on, and the components' shares of the tokens there.
    """
    starts = np.array([start for start, _ in stages] + [1.0]) * tokens
    parts = []
    for number, (name,) in enumerate(documents.select("component").unique(maintain_order=True).iter_rows()):
        frame = documents.filter(pl.col("component") == name)
        shares = np.array([s.get(name, 0.0) for _, s in stages])
        reached = np.concatenate([[0.0], np.cumsum(np.diff(starts) * shares)])  # its tokens at each start
        whole = float(frame["tokens"].sum())
        if not whole or not reached[-1]:
            continue
        n = frame.height
        for epoch in range(int(np.ceil(reached[-1] / whole - 1e-9))):
            order = permute(np.arange(n), n, keyed(seed, _ORDER, number, epoch)) if epoch else np.arange(n)
            taken = frame[order]
            before = epoch * whole + (taken["tokens"].cum_sum() - taken["tokens"]).to_numpy()
            # a stage in which it has no share is a step, which interp takes at its end
            place = np.interp(before, reached, starts)
            columns = pl.Series("_place", place), pl.lit(epoch, dtype=pl.UInt32).alias("epoch"), pl.lit(number).alias("_number")
            parts.append(taken.with_columns(*columns).filter(pl.Series(before < reached[-1])))
    if not parts:
        return documents.head(0).with_columns(epoch=pl.lit(0, dtype=pl.UInt32))
    return pl.concat(parts).sort("_place", "_number", maintain_order=True).drop("_place", "_number")
