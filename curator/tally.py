"""What a task counts on its way: CPU seconds, documents, and what it could not read or measure."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass
class Tally:
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[str] = field(default_factory=Counter)
    quarantine: list[dict[str, Any]] = field(default_factory=list)

    def time(self, name: str) -> Clock:
        """Adds the CPU seconds of a `with` block to those of `name`."""
        return Clock(self, name)

    def quarantine_frame(self) -> pl.DataFrame:
        """The rows of `quarantine` as the catalog takes them."""
        strings = ("source", "uri", "position", "step", "reason", "detail")
        numbers = {"doc_id": pl.UInt64, "records": pl.UInt64}
        schema = {"split_id": pl.UInt32, **dict.fromkeys(strings, pl.String), **numbers}
        return pl.DataFrame(self.quarantine, schema=schema).with_columns(pl.col("records").fill_null(1))


class Clock:
    def __init__(self, tally: Tally, name: str) -> None:
        self.tally, self.name = tally, name

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.tally.seconds[self.name] += time.process_time() - self.start
