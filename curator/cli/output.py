"""What a person sees: tables on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

CorpusOption = typer.Option(
    "./corpus", "--corpus", "-c", envvar="CURATOR_CORPUS", help="The corpus folder.", show_default=True
)
JsonOption = typer.Option(False, "--json", help="Print JSON for programs.")


@contextmanager
def errors() -> Iterator[None]:
    """Turn errors meant for the user into one message and an exit code."""
    from curator.errors import CuratorError

    try:
        yield
    except CuratorError as error:
        print(f"curator: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("curator: interrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"curator: {error}", file=sys.stderr)
        sys.exit(1)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()
) -> None:
    """Print a table to stdout; numbers stand right."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", header_style="bold", box=_box(), pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    console().print(drawn)


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD


def console(*, stderr: bool = False) -> Any:
    """A rich console as wide as the terminal, or 110 where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 110
    return Console(stderr=stderr, width=width, highlight=False)


def as_json(value: Any) -> None:
    """Print JSON to stdout."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def share(part: int, whole: int) -> str:
    """12.3 %."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def characters(number: float) -> str:
    """9.7 M."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 1000:
            return f"{number:.0f}" if not unit else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.1f} T"


def size(number: float) -> str:
    """1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


class Bars:
    """The progress of a run on stderr: bytes (or what a stage says), rate, time left; notes above it."""

    def __init__(self, *, in_bytes: bool = True) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        documents = TextColumn("{task.fields[documents]:,} documents")
        sized = [_of_a_size(DownloadColumn)(), _of_a_size(TransferSpeedColumn)()]
        rate = [*sized, documents] if in_bytes else [_rate_column()]
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            *rate,
            TimeElapsedColumn(),
            _of_a_size(TextColumn)("left"),
            _of_a_size(TimeRemainingColumn)(),
            console=console(stderr=True),
            transient=False,
        )
        self._task: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._close()
            self._progress.stop()

    def stage(self, title: str, total_bytes: int) -> None:
        self._progress.start()
        self._close()
        self._task = self._progress.add_task(title, total=total_bytes or None, documents=0, sized=bool(total_bytes))

    def _close(self) -> None:
        """A stage whose size nobody knew ends where the next begins."""
        task = next((t for t in self._progress.tasks if t.id == self._task), None)
        if task is not None and task.total is None:
            self._progress.update(task.id, total=task.completed)

    def advance(self, size: int, documents: int) -> None:
        done = self._progress.tasks[self._task].fields["documents"] + documents
        self._progress.update(self._task, advance=size, documents=done)

    def note(self, message: str) -> None:
        self._progress.console.print(f"[dim]note:[/dim] {_plain(message)}")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _of_a_size(column: Any) -> Any:
    """The column, which says nothing of a stage whose size nobody knows."""
    from rich.text import Text

    class Sized(column):  # type: ignore[misc]  # of a class that is given
        def render(self, task: Any) -> Any:
            return super().render(task) if task.fields.get("sized", True) else Text()

    return Sized


def _rate_column() -> Any:
    """1.2 M of 3.4 M, 0.3 M/s."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            done, total = characters(task.completed), characters(task.total or 0)
            return Text(f"{done} of {total}, {characters(task.speed or 0)}/s")

    return Rate()
