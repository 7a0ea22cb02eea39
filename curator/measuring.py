"""One step over one batch: run the plugin, hold it to its contract, and isolate documents that it fails on.

A plugin that raises is called again on halves of the batch until the documents at fault stand alone; those
stay unmeasured (pending) and go to the quarantine. Wrong names, types or lengths are the plugin's fault for
every document, so they stop the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from curator.checking import empty_frame, polars_types
from curator.documents import Documents
from curator.errors import PluginError
from curator.plugin import Cleaner, Step


@dataclass
class Measured:
    """What a step answered for a batch: a row (doc_id, signals…) for each document that it measured.

    `cleaned` is the batch with its new texts, where a cleaner made it and failed on none.
    """

    rows: pl.DataFrame
    texts: pl.Series | None = None
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    cleaned: Documents | None = None


class StepRunner:
    """A step, set up in this process. `name` is the recipe's."""

    def __init__(self, name: str, step: Step) -> None:
        self.name = name
        self.step = step.for_measuring()
        declared = self.step.declared_signals()
        self.expressions = {n: e for n, e in declared.items() if isinstance(e, pl.Expr)}
        self.types = polars_types(declared, empty_frame(), name)
        self.step.setup()

    def run(self, docs: Documents) -> Measured:
        """Measure (and clean) a batch. Raises PluginError where the plugin breaks its contract."""
        if not len(docs):
            return Measured(self._empty(), docs.text if isinstance(self.step, Cleaner) else None)
        try:
            return self._run(docs)
        except PluginError:
            raise
        except NotImplementedError as error:
            raise PluginError(f"step {self.name}: {error}") from error
        except Exception as error:  # a plugin may raise anything
            if len(docs) == 1:
                doc_id = docs.frame["doc_id"][0]
                reason = (type(error).__name__, str(error)[:500])
                nothing = docs.text.head(0) if isinstance(self.step, Cleaner) else None
                return Measured(self._empty(), nothing, {doc_id: reason})
            half = len(docs) // 2
            index = pl.Series(range(len(docs)))
            parts = [self.run(docs.take(index < half)), self.run(docs.take(index >= half))]
            return Measured(
                pl.concat([p.rows for p in parts]),
                pl.concat([p.texts for p in parts if p.texts is not None])
                if isinstance(self.step, Cleaner)
                else None,
                {k: v for p in parts for k, v in p.failed.items()},
            )

    def _run(self, docs: Documents) -> Measured:
        texts: pl.Series | None = None
        whole: Documents | None = None
        answered: Mapping[str, Any] = {}
        if isinstance(self.step, Cleaner):
            cleaned = self.step.clean(docs)
            if isinstance(cleaned, tuple):
                cleaned, answered = cleaned
            if isinstance(cleaned, Documents):
                whole, cleaned = cleaned, cleaned.text
            texts = self._column("clean()", cleaned, pl.String(), len(docs))
            texts = texts.zip_with(texts.is_not_null(), docs.text.rename(texts.name))
        elif len(self.expressions) < len(self.types):
            answered = self.step.measure(docs)
        if not isinstance(answered, Mapping):
            raise PluginError(
                f"step {self.name}: measure() answered {type(answered).__name__}, not a mapping"
            )
        unknown = set(answered) ^ (set(self.types) - set(self.expressions))
        if unknown:
            raise PluginError(
                f"step {self.name}: measure() answered {sorted(answered)}, the declared signals are "
                f"{sorted(set(self.types) - set(self.expressions))}; they differ in {sorted(unknown)}"
            )
        if self.expressions:
            computed = docs.frame.select([e.alias(n) for n, e in self.expressions.items()])
            answered = {**answered, **computed.to_dict()}
        columns = [self._column(name, answered[name], kind, len(docs)) for name, kind in self.types.items()]
        rows = pl.DataFrame([docs.frame["doc_id"], *columns])
        measured = self._without_nan(rows, texts)
        measured.cleaned = None if measured.failed else whole
        return measured

    def _column(self, name: str, values: Any, kind: pl.DataType, length: int) -> pl.Series:
        try:
            series = values if isinstance(values, pl.Series) else pl.Series(name, values)
            if series.dtype != kind:
                if series.dtype == pl.Null or (
                    series.dtype.is_numeric() and (kind.is_numeric() or kind == pl.Boolean)
                ):
                    series = series.cast(kind)
                elif not (isinstance(kind, pl.List) and isinstance(series.dtype, pl.List)):
                    raise TypeError(f"{series.dtype}")
                else:
                    series = series.cast(kind)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise PluginError(
                f"step {self.name}: {name} must be {kind} for every document, got {error}"
            ) from error
        if len(series) != length:
            raise PluginError(f"step {self.name}: {name} has {len(series)} values for {length} documents")
        return series.rename(name)

    def _without_nan(self, rows: pl.DataFrame, texts: pl.Series | None) -> Measured:
        floats = [n for n, kind in self.types.items() if kind.is_float()]
        bad = (
            rows.select(pl.any_horizontal([pl.col(n).is_nan() for n in floats]).fill_null(False))
            if floats
            else None
        )
        if bad is None or not bad.to_series().any():
            return Measured(rows, texts)
        mask = bad.to_series()
        failed = dict.fromkeys(
            rows["doc_id"].filter(mask), ("nan", "a signal is NaN; answer None where it is undefined")
        )
        return Measured(rows.filter(~mask), None if texts is None else texts.filter(~mask), failed)

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema={"doc_id": pl.UInt64, **self.types})
