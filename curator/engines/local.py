"""Our own pool of spawned processes on this machine.

It survives a killed worker: the task goes back to the queue and a new worker starts; a task that kills
three workers is reported and the others go on. (Measured: with one worker killed, ProcessPoolExecutor gave
BrokenProcessPool for 7 of 12 tasks, multiprocessing.Pool hung for ever.) Workers get one thread each.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from curator.engines import Outcome
from curator.errors import CuratorError, PluginError

ATTEMPTS = 3


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Any = None


class LocalEngine:
    """`workers` processes; one a core unless given."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or len(
            os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        )

    def map(
        self, make: Callable[[Any], Callable[[Any], Any]], argument: Any, tasks: Iterable[Any]
    ) -> Iterator[Outcome | None]:
        """Run tasks; see `curator.engines.Engine.map`."""
        queue = deque((task, 0) for task in tasks)
        workers: list[_Worker] = []
        try:
            while queue or any(w.task is not None for w in workers):
                while len(workers) < min(self.workers, len(queue) + sum(w.task is not None for w in workers)):
                    workers.append(_start(make, argument))
                for worker in workers:
                    if worker.task is None and queue:
                        worker.task = queue.popleft()
                        with suppress(ConnectionError):  # it was killed meanwhile, as its pipe will tell
                            worker.pipe.send(worker.task[0])
                ready = wait([w.pipe for w in workers], timeout=1.0)
                if not ready:
                    yield None
                for worker in [w for w in workers if w.pipe in ready]:
                    try:
                        answer = worker.pipe.recv()
                    except (EOFError, OSError):
                        workers.remove(worker)
                        worker.process.join()
                        if worker.task is None:
                            continue
                        task, attempts = worker.task
                        if attempts + 1 < ATTEMPTS:
                            queue.append((task, attempts + 1))
                            continue
                        code = worker.process.exitcode
                        yield Outcome(
                            task,
                            error=f"the worker died {ATTEMPTS} times on it (exit code {code}; out of memory?)",
                        )
                    else:
                        task, worker.task = worker.task[0], None
                        yield Outcome(task, *answer)
        finally:
            for worker in workers:
                if worker.task is None:
                    worker.pipe.close()
                else:
                    worker.process.terminate()
            for worker in workers:
                worker.process.join()


class InlineEngine:
    """Does the tasks in this process, one after the other: for debugging a plugin, and for small jobs."""

    def map(
        self, make: Callable[[Any], Callable[[Any], Any]], argument: Any, tasks: Iterable[Any]
    ) -> Iterator[Outcome | None]:
        """Run tasks; see `curator.engines.Engine.map`."""
        function = make(argument)
        for task in tasks:
            yield Outcome(task, *_answer(function, task))
        if hasattr(function, "close"):
            function.close()


def _answer(function: Callable[[Any], Any], task: Any) -> tuple[Any, str | None, bool]:
    try:
        return function(task), None, False
    except PluginError as error:
        return None, str(error), True
    except CuratorError as error:
        return None, str(error), False
    except Exception as error:  # whatever a task raises is its outcome
        where = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{type(error).__name__}: {error} (at {where.filename}:{where.lineno})", False


def _one_thread_each() -> dict[str, str]:
    """Environment of a worker: one thread each, for every library that would take more."""
    names = (
        "POLARS_MAX_THREADS",
        "OMP_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "ARROW_IO_THREADS",
    )
    return {name: "1" for name in names if name not in os.environ}


def _start(make: Callable[[Any], Callable[[Any], Any]], argument: Any) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    before = dict(os.environ)
    os.environ.update(_one_thread_each())
    try:
        process = context.Process(target=_work, args=(theirs, make, argument), daemon=True)
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    theirs.close()
    return _Worker(process, ours)


def _leave_with_the_coordinator() -> None:
    """So that a long task does not go on for nobody."""
    coordinator = multiprocessing.parent_process()
    assert coordinator is not None
    coordinator.join()
    os._exit(1)


def _work(pipe: Connection, make: Callable[[Any], Callable[[Any], Any]], argument: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_coordinator, daemon=True).start()
    function: Callable[[Any], Any] | None = None
    made: tuple[Any, str | None, bool] = (None, None, False)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            close = getattr(function, "close", None)
            if close is not None:
                close()
            return
        if function is None:
            made = _answer(make, argument)
            function = made[0]
        answer = _answer(function, task) if function else made
        try:
            pipe.send(answer)
        except (BrokenPipeError, OSError):
            return
