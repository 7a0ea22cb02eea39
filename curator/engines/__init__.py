"""Engines run one verb: `map(make, argument, tasks)` gives outcomes as they complete.

`make(argument)` is called once in each worker and gives the function that does a task; if that has a method
`close`, it is called when there is no more to do. A task may run more
than once (a worker was lost), so what it writes is named uniquely to the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its result, or the error that it ended with (`fatal`: no other task will do)."""

    task: Any
    result: Any = None
    error: str | None = None
    fatal: bool = False


class Engine(Protocol):
    """Runs tasks somewhere."""

    def map(
        self, make: Callable[[Any], Callable[[Any], Any]], argument: Any, tasks: Iterable[Any]
    ) -> Iterator[Outcome | None]:
        """Outcomes in any order; None about every second meanwhile, so that the caller can do its own work."""
        ...
