"""StarCoder's filters of source code: one pass over the bytes, 700 MB/s a core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl

from curator import Filter, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents


class CodeQuality(Filter):
    """Drop source code with long lines or few letters and digits (StarCoder).

    As `basic_filters` of bigcode-dataset (Li et al. 2023; the same limits as Codex, Chen et al. 2021), with
    its names: the longest line, the mean length of lines (those of `str.splitlines`, in characters), and the
    share of characters that `str.isalnum` takes. `alphabetic_frac` is its limit for data formats, of letters
    alone; it is off unless given. All measures of an empty text are NULL, and it is kept; the reference fails.
    """

    version = 1
    signals: ClassVar[Any] = {
        "max_line_length": int,
        "mean_line_length": float,
        "alphanum_fraction": float,
        "alpha_fraction": float,
    }
    rules: ClassVar[Any] = {
        "line_max": "max_line_length > $line_max",
        "line_mean": "mean_line_length > $line_mean",
        "alphanum_frac": "alphanum_fraction < $alphanum_frac",
        "alphabetic_frac": "alpha_fraction < $alphabetic_frac",
    }

    line_max: Annotated[int | None, "characters in the longest line"] = 1000
    line_mean: Annotated[float | None, "mean characters of lines"] = 100.0
    alphanum_frac: Annotated[float | None, "least share of letters and digits"] = 0.25
    alphabetic_frac: Annotated[float | None, "least share of letters"] = None

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        from curator.text.alnum import shapes
        from curator.text.words import buffers

        found = shapes(*buffers(docs.arrow_text))
        empty = np.flatnonzero(found.characters == 0)

        def defined(values: NDArray[Any]) -> pl.Series:
            return pl.Series(values).scatter(empty, None)

        characters, lines = np.maximum(found.characters, 1), np.maximum(found.lines, 1)
        return {
            "max_line_length": defined(found.longest_line),
            "mean_line_length": defined(found.line_characters / lines),
            "alphanum_fraction": defined(found.alphanumeric / characters),
            "alpha_fraction": defined(found.alphabetic / characters),
        }


@hookimpl
def register_filters(register: Any) -> None:
    register(CodeQuality)
