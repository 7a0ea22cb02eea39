"""Ratios as the filters store them, and what they say where words are undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

#: what a summary says of documents whose words a tokenizer cannot tell
NO_SPACES = "written without spaces between words: rules over words drop nothing there (words: unspaced finds some)"


def ratio(part: Any, whole: Any) -> pl.Series:
    """`part / whole`, both int64[n], null where `whole` is 0."""
    return pl.Series(part / np.maximum(whole, 1)).scatter(np.flatnonzero(whole == 0), None)
