"""Readers of exports that stand apart from the environment of the tests; they run in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.driver import World, world

CONSUMERS = Path(sys.prefix, "consumers")
READERS = Path(__file__).with_name("readers")
Reader = Callable[..., Any]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small mixture, with tokens of 2 bytes."""
    return world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def read() -> Reader:
    """`read("olmo", folder, argument, …)` runs readers/read_olmo.py there and gives the JSON that it prints last."""

    def run(name: str, folder: Path, *arguments: Any) -> Any:
        if not (CONSUMERS / "installed").exists():
            reason = f"readers/read_{name}.py needs {CONSUMERS}; `make consumers` installs it"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        found = subprocess.run(
            [sys.executable, str(READERS / f"read_{name}.py"), *map(json.dumps, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(CONSUMERS), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return json.loads(found.stdout.splitlines()[-1])

    return run
