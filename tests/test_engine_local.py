"""The pool of our own: lost workers, failing tasks, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curator.engines import Outcome
from curator.engines.local import ATTEMPTS, InlineEngine, LocalEngine
from curator.errors import CuratorError, PluginError

Task = tuple[str, int]


def make(folder: str) -> Callable[[Task], int]:
    """A worker over tasks (what to do, number); each attempt leaves a file `number-pid`."""

    def work(task: Task) -> int:
        what, number = task
        (Path(folder) / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if what == "die" or (what == "die once" and attempts(Path(folder), number) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "raise":
            raise ValueError(f"task {number} is wrong")
        if what == "refuse":
            raise CuratorError(f"task {number} cannot be done; do it later")
        if what == "plugin":
            raise PluginError(f"plugin of task {number} broke its contract")
        if what == "sleep":
            time.sleep(60)
        return number * number

    return work


def make_badly(folder: str) -> Callable[[Task], int]:
    """A worker that cannot be made."""
    raise RuntimeError(f"no model in {folder}")


def attempts(folder: Path, number: int) -> int:
    return len(list(folder.glob(f"{number}-*")))


def outcomes(engine: Any, folder: Path, tasks: list[Task], make: Any = make) -> dict[int, Outcome]:
    """Every task's one outcome, by number."""
    found = [o for o in engine.map(make, str(folder), tasks) if o is not None]
    assert sorted(o.task[1] for o in found) == sorted(number for _, number in tasks)
    return {o.task[1]: o for o in found}


def test_tasks_run_in_workers(tmp_path: Path) -> None:
    """Every task is done once, in as many processes as asked for, none of them this one."""
    found = outcomes(LocalEngine(2), tmp_path, [("square", n) for n in range(12)])
    assert {n: o.result for n, o in found.items()} == {n: n * n for n in range(12)}
    workers = {p.name.split("-")[1] for p in tmp_path.iterdir()}
    assert (len(list(tmp_path.iterdir())), len(workers), str(os.getpid()) in workers) == (12, 2, False)


def test_no_more_workers_than_tasks(tmp_path: Path) -> None:
    """A run of one split starts one worker; one without tasks none."""
    outcomes(LocalEngine(8), tmp_path, [("square", 1)])
    assert len(list(tmp_path.iterdir())) == 1
    assert list(LocalEngine(8).map(make_badly, "", [])) == []


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    """Its task is tried again, by another process, and the others are done."""
    found = outcomes(LocalEngine(2), tmp_path, [("die once" if n == 3 else "square", n) for n in range(8)])
    assert {n: (o.result, o.error) for n, o in found.items()} == {n: (n * n, None) for n in range(8)}
    assert len({p.name.split("-")[1] for p in tmp_path.glob("3-*")}) == 2


def test_a_task_that_kills_its_workers(tmp_path: Path) -> None:
    """After three attempts it is reported with the exit code; the other tasks are done."""
    found = outcomes(LocalEngine(2), tmp_path, [("die" if n == 1 else "square", n) for n in range(6)])
    assert found[1].error == "the worker died 3 times on it (exit code -9; out of memory?)"
    assert (found[1].result, found[1].fatal, attempts(tmp_path, 1)) == (None, False, ATTEMPTS)
    assert [found[n].result for n in (0, 2, 3, 4, 5)] == [0, 4, 9, 16, 25]


def test_an_idle_worker_is_killed(tmp_path: Path) -> None:
    """A worker that dies between two tasks costs nothing but its replacement."""
    found = {}
    for outcome in LocalEngine(1).map(make, str(tmp_path), [("square", n) for n in range(4)]):
        if outcome is None:
            continue
        found[outcome.task[1]] = outcome.result
        worker = int(next(tmp_path.glob(f"{outcome.task[1]}-*")).name.split("-")[1])
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda pid=worker: state(pid) in ("Z", None))
    assert found == {0: 0, 1: 1, 2: 4, 3: 9}
    assert [attempts(tmp_path, n) for n in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize("engine", [LocalEngine(2), InlineEngine()], ids=["local", "inline"])
def test_an_exception_is_an_outcome(tmp_path: Path, engine: Any) -> None:
    """It is told with its type, text and place, is not tried again, and the worker goes on."""
    found = outcomes(engine, tmp_path, [("raise" if n == 2 else "square", n) for n in range(5)])
    assert found[2].error is not None
    assert found[2].error.startswith(f"ValueError: task 2 is wrong (at {__file__}:")
    assert (found[2].fatal, attempts(tmp_path, 2)) == (False, 1)
    assert [found[n].result for n in (0, 1, 3, 4)] == [0, 1, 9, 16]


def test_an_error_that_speaks_to_the_user(tmp_path: Path) -> None:
    """Is told as it is: the place in our code would help nobody."""
    found = outcomes(InlineEngine(), tmp_path, [("refuse", 3)])
    assert (found[3].error, found[3].fatal) == ("task 3 cannot be done; do it later", False)


@pytest.mark.parametrize("engine", [LocalEngine(1), InlineEngine()], ids=["local", "inline"])
def test_a_plugin_error_is_fatal(tmp_path: Path, engine: Any) -> None:
    """A broken plugin fails every task alike, so its outcome says that no other need be tried."""
    found = outcomes(engine, tmp_path, [("plugin", 7)])
    assert (found[7].error, found[7].fatal) == ("plugin of task 7 broke its contract", True)


def test_a_worker_that_cannot_be_made(tmp_path: Path) -> None:
    """What setting up raises is the outcome of its tasks, once each."""
    found = outcomes(LocalEngine(1), tmp_path, [("square", 0), ("square", 1)], make_badly)
    assert {o.error.partition(" (at")[0] for o in found.values() if o.error} == {f"RuntimeError: no model in {tmp_path}"}


def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    """Who stops listening, as after a fatal error, leaves no worker behind, busy or not."""
    results = LocalEngine(2).map(make, str(tmp_path), [("square", 0), ("sleep", 1)])
    assert next(o for o in results if o is not None).result == 0
    wait_until(lambda: attempts(tmp_path, 1) == 1)
    results.close()  # type: ignore[attr-defined]
    assert {state(int(p.name.split("-")[1])) for p in tmp_path.iterdir()} == {None}


def test_workers_leave_with_the_coordinator(tmp_path: Path) -> None:
    """When the coordinator is killed, workers end within seconds, in the middle of a task too."""
    code = (
        "import sys\n"
        "from curator.engines.local import LocalEngine\n"
        "from tests.test_engine_local import make\n"
        "if __name__ == '__main__':\n"
        "    list(LocalEngine(2).map(make, sys.argv[1], [('sleep', 1), ('sleep', 2)]))\n"
    )
    script = tmp_path / "coordinator.py"
    script.write_text(code)
    (tmp_path / "tasks").mkdir()
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, str(script), str(tmp_path / "tasks")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}) as process:
        wait_until(lambda: len(list((tmp_path / "tasks").iterdir())) == 2)
        workers = [int(p.name.split("-")[1]) for p in (tmp_path / "tasks").iterdir()]
        process.kill()
    wait_until(lambda: all(state(pid) in ("Z", None) for pid in workers), 5)
    assert process.returncode == -signal.SIGKILL


def state(pid: int) -> str | None:
    """The letter of a process's state (Z: it has ended), or None where there is none."""
    asked = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip()[:1] or None


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
