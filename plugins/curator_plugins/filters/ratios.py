"""Ratios as the filters store them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl


def ratio(part: Any, whole: Any) -> pl.Series:
    """`part / whole`, both int64[n], null where `whole` is 0."""
    return pl.Series(part / np.maximum(whole, 1)).scatter(np.flatnonzero(whole == 0), None)
