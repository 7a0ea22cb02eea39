"""A function of text in a process of its own, which may be slow, greedy or fatal without harm.

For parsers that hang on some input, and in C, where no signal of Python's gets through. The child lets the
kernel count: SIGPROF ends it after its CPU seconds, so a busy machine costs nobody's document, RLIMIT_AS refuses
memory. (Windows has neither: there a timer kills it, and memory is unbounded.) It starts in 0.1 s, at the first
call and after each death; a call costs 60 µs. Rejected: multiprocessing, which a daemonic worker may not use.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import Any, BinaryIO

HAS_TIMER = hasattr(signal, "setitimer")


class Spent(Exception):
    """The function took what it may not: `reason` is extraction_timeout, extraction_memory or extraction_failed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Sandbox:
    """Calls `function`, as "package.module:name", with a text and the same further arguments each time."""

    def __init__(self, function: str, *arguments: Any, seconds: float, memory: int) -> None:
        self._setup = (function, arguments, seconds, memory)
        self._seconds, self._memory = seconds, memory
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, text: str) -> Any:
        """What the function returns; raises Spent."""
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        killer = None if HAS_TIMER else threading.Timer(self._seconds, child.kill)
        if killer:
            killer.start()
        try:
            _send(child.stdin, text)
            ok, answer = _receive(child.stdout)
        except (EOFError, OSError):
            self._child = None
            raise self._death(child) from None
        finally:
            if killer:
                killer.cancel()
        if ok:
            return answer
        if answer.startswith("MemoryError"):
            raise Spent("extraction_memory", f"more than {self._memory >> 20} MiB")
        raise Spent("extraction_failed", answer)

    def close(self) -> None:
        if self._child:
            with contextlib.suppress(OSError):
                self._child.communicate()
        self._child = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(folder or os.curdir for folder in sys.path)
        self._child = subprocess.Popen(
            [sys.executable, "-c", "from curator_plugins.sources.sandbox import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._child.stdin is not None
        _send(self._child.stdin, self._setup)
        return self._child

    def _death(self, child: subprocess.Popen[bytes]) -> Spent:
        child.communicate()
        timed_out = {-signal.SIGPROF, -signal.SIGXCPU} if HAS_TIMER else {1}
        if child.returncode in timed_out:
            return Spent("extraction_timeout", f"more than {self._seconds:g} seconds")
        return Spent("extraction_failed", f"its process died with code {child.returncode}")


def serve() -> None:
    """The child: answers texts from stdin until there are no more."""
    texts, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no answer
    function, arguments, seconds, memory = _receive(texts)
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while True:
        try:
            text = _receive(texts)
        except EOFError:
            return
        if HAS_TIMER:
            signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            answer = True, call(text, *arguments)
        except (Exception, MemoryError) as error:
            answer = False, f"{type(error).__name__}: {error}"[:500]
        if HAS_TIMER:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers, answer)


def _send(pipe: Any, message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(8, "big") + data)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> Any:
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError
    data = pipe.read(int.from_bytes(head, "big"))
    return pickle.loads(data)
