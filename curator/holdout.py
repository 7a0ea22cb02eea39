"""What is never trained on: a keyed hash of a document says so, or SQL, or that an export held it out before.

Near copies fall on one side: the hash is of the smallest doc_key in the document's cluster, and with a document that
SQL or an earlier export holds out goes its whole cluster, in every component. So what is held out does not depend on
shards, seeds or mixtures, and a larger share holds out the same documents and more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from curator.corpus import Corpus
from curator.plan import splitmix64

_KEY = 0x686F6C646F757431  # "holdout1": never changed, so what is held out stays so


def low64(keys: pl.Series) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The low 64 bits of doc_keys, which are xxh3-128 and so uniform."""
    return np.array([int(k.replace("-", "")[16:], 16) for k in keys], dtype=np.uint64)


def hold_out(
    frames: dict[str, pl.DataFrame], share: float, named: set[int], before: set[str]
) -> dict[str, pl.DataFrame]:
    """The documents of each component with a column `held_out`.

    `share` of each by hash, the doc_ids `named`, the doc_keys held out `before`, and the clusters of the last two.
    """
    by_name = {
        name: pl.col("doc_id").is_in(list(named)) | pl.col("doc_key").is_in(list(before)) for name in frames
    }
    clusters = {c for name, f in frames.items() for c in f.filter(by_name[name])["cluster"]}
    return {
        name: frame.with_columns(held_out=_hashed(frame["cluster"], share) | frame["cluster"].is_in(list(clusters)))
        for name, frame in frames.items()
    }


def _hashed(clusters: pl.Series, share: float) -> pl.Series:
    hashed = splitmix64(low64(clusters) ^ np.uint64(_KEY))
    return pl.Series(hashed < np.uint64(min(int(share * 2**64), 2**64 - 1)), dtype=pl.Boolean)


def held_out_before(corpus: Corpus) -> set[str]:
    """The doc_keys that an export of the corpus holds out."""
    rows = corpus.sql(
        "SELECT DISTINCT doc_key::VARCHAR FROM export_documents WHERE held_out AND doc_key IS NOT NULL"
    ).rows()
    return {key for (key,) in rows}


def overlap(documents: pl.DataFrame) -> int:
    """How many of the documents to train on are held out as well, or have a near copy that is."""
    held, training = documents.filter("held_out"), documents.filter(~pl.col("held_out"))
    both = training["doc_key"].is_in(held["doc_key"].to_list()) | training["cluster"].is_in(held["cluster"].to_list())
    return int(both.sum())
