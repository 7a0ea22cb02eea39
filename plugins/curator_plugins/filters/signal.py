"""A rule over what other steps have stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from curator import Filter, hookimpl
from curator.options import Option


class Signal(Filter):
    """Drop by a SQL rule over any stored signal; measures nothing.

    `signal: {drop: "language.score < $min AND documents.source = 'web'", min: 0.8}`: names are
    `step.signal` and `documents.column`; every further option is a `$value` of the rule. Windows range over
    the documents that no earlier step drops: `gopher_quality.n_words < quantile_cont(gopher_quality.n_words,
    0.1) OVER (PARTITION BY documents.source)`.
    """

    version = 1
    open_options = True

    drop: Annotated[str, "SQL; true drops the document"]

    def __init__(self, *, drop: str, **values: Any) -> None:
        super().__init__(drop=drop)
        self._values = values

    def rules(self) -> Mapping[str, str]:
        return {"drop": self.drop}

    def rule_options(self) -> dict[str, Option]:
        return {"drop": self.options()["drop"]} | {n: Option(n, Any) for n in self._values}

    def for_measuring(self) -> Filter:
        return self


@hookimpl
def register_filters(register: Any) -> None:
    register(Signal)
