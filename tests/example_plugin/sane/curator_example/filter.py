"""The filter itself, in a module of its own, imported relatively."""

import polars as pl

from curator import Filter, hookimpl

__all__ = ["Shouting", "hookimpl"]


class Shouting(Filter):
    """Drop documents in capitals."""

    most: float = 0.5
    signals = {"capitals": pl.col("text").str.count_matches(r"\p{Lu}") / pl.col("text").str.len_chars()}
    rules = {"shouting": "capitals > $most"}
