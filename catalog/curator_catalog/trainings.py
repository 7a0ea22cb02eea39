"""Trainings in the catalog: one row a run, its components, and its ledger; a run that went on replaces its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import duckdb


@dataclass(frozen=True)
class Training:
    """A run, as in the table trainings."""

    run: str
    export_id: int | None
    export: str
    model: str
    kind: str
    objective: str
    began_from: str | None
    parameters: int
    steps: int
    tokens: int
    seconds: float
    loss_start: float
    loss_end: float
    finished: bool


@dataclass(frozen=True)
class TrainedComponent:
    """A component of a run, as in the table training_components."""

    component: str
    asked: float
    achieved: float
    tokens: int
    epochs: float
    bits_per_byte_start: float | None
    bits_per_byte_end: float | None


@dataclass(frozen=True)
class LedgerLine:
    """A component at a step, as in the table ledger."""

    step: int
    component: str
    rows: int
    tokens: int
    epochs: float
    loss: float | None
    learning_rate: float | None
    seconds: float


def export_of(con: duckdb.DuckDBPyConnection, manifest_hash: str) -> int | None:
    """The number of the export with this manifest, if the catalog knows it."""
    rows = con.execute("SELECT max(export_id) FROM exports WHERE manifest_hash = ?", [manifest_hash]).fetchall()
    found: int | None = rows[0][0]
    return found


def put_training(
    con: duckdb.DuckDBPyConnection,
    training: Training,
    components: Sequence[TrainedComponent],
    lines: Iterable[LedgerLine],
) -> int:
    """Store a run in place of what is there of it, and return its number."""
    numbers = con.execute(
        "SELECT coalesce((SELECT training_id FROM trainings WHERE run = ?), (SELECT coalesce(max(training_id), 0) + 1 FROM trainings))",
        [training.run],
    ).fetchall()
    number = int(numbers[0][0])
    con.execute("DELETE FROM training_components WHERE training_id = ?", [number])
    con.execute("DELETE FROM ledger WHERE training_id = ?", [number])
    con.execute(
        f"INSERT OR REPLACE INTO trainings VALUES ({_places(15)}, current_timestamp::TIMESTAMP)",
        [number, *astuple(training)],
    )
    for component in components:
        con.execute(
            f"INSERT INTO training_components VALUES ({_places(8)})", [number, *astuple(component)]
        )
    _insert_ledger(con, number, list(lines))
    return number


def _insert_ledger(con: duckdb.DuckDBPyConnection, number: int, lines: list[LedgerLine]) -> None:
    import pyarrow as pa

    if not lines:
        return
    columns: dict[str, list[Any]] = {
        name: [getattr(line, name) for line in lines] for name in LedgerLine.__dataclass_fields__
    }
    con.register("ledger_lines", pa.table(columns))
    con.execute(f"INSERT INTO ledger SELECT {number}, * FROM ledger_lines")
    con.unregister("ledger_lines")


def _places(count: int) -> str:
    return ", ".join("?" * count)
