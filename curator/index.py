"""documents.parquet: which document stands where in an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from curator.blending import blend
from curator.manifest import datasets
from curator.token_counts import exact_counts

if TYPE_CHECKING:
    from curator.building import Build
    from curator.corpus import Corpus
    from curator.exporting import SplitName
    from curator.mixture import Plan
    from curator.token_counts import TokenMeasure

INDEX = (
    "doc_id", "doc_key", "source", "source_key", "content_hash", "text_hash", "license", "component", "held_out", "epoch",
    "place", "n_chars", "n_bytes", "token_start", "token_stop",
)  # fmt: skip


def stages(manifest: dict[str, Any]) -> list[tuple[float, dict[str, float]]]:
    """(share of the training from which it holds, shares of the tokens by component) of each stage."""
    if staged := manifest.get("stages"):
        return [(s["start"], s["shares"]) for s in staged]
    return [(0.0, {c["name"]: c["share"] for c in manifest["components"]})]


def make_index(
    corpus: Corpus, planned: Plan, manifest: dict[str, Any], measure: TokenMeasure | None
) -> pl.DataFrame:
    """The rows of documents.parquet."""
    chosen = planned.documents.with_columns(epoch=pl.lit(0, dtype=pl.UInt32))
    training, held_out = chosen.filter(~pl.col("held_out")), chosen.filter("held_out")
    if manifest["blended"]:
        stream = training.drop("epoch")
        training = blend(stream, stages(manifest), manifest["tokens"], manifest["seed"])
    parts = []
    for dataset, split in datasets(manifest):
        of = training if split == "train" else held_out
        part = of if manifest["blended"] and split == "train" else of.filter(pl.col("component") == dataset)
        parts.append(part.with_row_index("place").with_columns(pl.col("place").cast(pl.UInt64), _dataset=pl.lit(dataset)))
    index = pl.concat(parts)
    if measure is not None:
        index = index.join(exact_counts(corpus, measure), on="doc_id", how="left", maintain_order="left")
    else:
        nothing = pl.lit(None, dtype=pl.UInt32)
        index = index.with_columns(n_tokens=nothing, n_bytes=nothing)
    stop = pl.col("n_tokens").cast(pl.UInt64).cum_sum().over("_dataset", "held_out")
    return index.with_columns(token_stop=stop, token_start=stop - pl.col("n_tokens")).select(INDEX)


def rows_of(index: pl.DataFrame, manifest: dict[str, Any], dataset: str, split: str) -> pl.DataFrame:
    """The rows of documents.parquet that a dataset's split has, in order."""
    rows = index.filter(pl.col("held_out") == (split == "heldout"))
    return rows if manifest["blended"] and split == "train" else rows.filter(pl.col("component") == dataset)


def datasets_left(
    build: Build, index: pl.DataFrame, manifest: dict[str, Any], unit: str
) -> list[tuple[str, SplitName, pl.DataFrame]]:
    """(dataset, split, its documents) of what has documents and is not done yet; `unit` is a template of its name."""
    found = []
    for dataset, split in datasets(manifest):
        rows = rows_of(index, manifest, dataset, split)
        if rows.height and not build.done(unit.format(dataset=dataset, split=split)):
            found.append((dataset, split, rows))
    return found
