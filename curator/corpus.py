"""A corpus folder: its catalog to query, and what one can ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.errors import UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from curator.recipe import Recipe


class Result:
    """A query's rows, materialised; the catalog is closed again."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self._table

    def pl(self) -> pl.DataFrame:
        """As a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self._table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def rows(self) -> list[tuple[Any, ...]]:
        """As tuples."""
        return list(zip(*(c.to_pylist() for c in self._table.columns), strict=True))

    def dicts(self) -> list[dict[str, Any]]:
        """As dicts."""
        return list(self._table.to_pylist())


class Corpus:
    """The corpus in `folder`."""

    def __init__(self, folder: str | Path) -> None:
        from curator_catalog import Catalog

        self.folder = Path(folder).resolve()
        self.catalog = Catalog(self.folder)

    @staticmethod
    def existing(folder: str | Path) -> Corpus:
        """The corpus in `folder`. Raises UsageError where there is none."""
        corpus = Corpus(folder)
        if not corpus.catalog.exists():
            raise UsageError(
                f"there is no corpus in {str(folder)!r}; `curator run RECIPE` makes one, -c or $CURATOR_CORPUS names another"
            )
        return corpus

    def recipe(self) -> Recipe | None:
        """The recipe whose decisions are in force."""
        from curator.recipe import Recipe

        with self.catalog.read() as con:
            rows = con.execute(
                "SELECT recipe FROM store.decision_sets JOIN store.settings ON value = decision_set "
                "WHERE name = 'decision_set'"
            ).fetchall()
        return Recipe.from_json(rows[0][0]) if rows else None

    def sql(self, query: str, parameters: Sequence[Any] = (), *, wait: float = 60.0) -> Result:
        """Run one SELECT over the documented tables and views.

        It waits up to `wait` seconds while a run commits, and holds the catalog only while the query runs.
        Raises UsageError for a statement that is refused or wrong.
        """
        from curator.errors import CuratorError
        from curator_catalog import CatalogError, QueryRefused

        try:
            return Result(self.catalog.query(query, parameters, wait=wait))
        except QueryRefused as error:
            raise UsageError(str(error)) from None
        except CatalogError as error:
            raise CuratorError(str(error)) from None
