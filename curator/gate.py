"""Which documents a gate lets pass, in a worker: the same SQL as in the catalog."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from curator.deciding import decision_plan

if TYPE_CHECKING:
    from curator.documents import Documents
    from curator.recipe import Recipe


class Gates:
    """The gates of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._drops = cache(self._condition)

    def passes(self, at: int, docs: Documents) -> pl.Series:
        """Which documents no rule before step `at` drops."""
        import duckdb

        with duckdb.connect(config={"threads": 1, "python_enable_replacements": False}) as con:
            con.register("d", docs.frame.drop("text").with_row_index("batch_row").to_arrow())
            joins = "d"
            for i, spec in enumerate(self.recipe.steps[:at]):
                if spec.name in docs.signals:
                    con.register(f"s{i}", docs.signals[spec.name].to_arrow())
                    joins += f" LEFT JOIN s{i} ON s{i}.doc_id = d.doc_id"
            passed = con.sql(f"SELECT NOT ({self._drops(at)}) AS keep FROM {joins} ORDER BY batch_row").pl()
        keep: pl.Series = passed["keep"]
        return keep

    def _condition(self, at: int) -> str:
        rules = [r.sql for step in decision_plan(self.recipe).steps[:at] for r in step.rules]
        return " OR ".join(f"coalesce({sql}, false)" for sql in rules) or "false"
