"""Runs of a source's fetch that are killed, again and again, until one comes to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHILD = """
import importlib, json, sys
module, name, options, folder = json.loads(sys.argv[1])
source = getattr(importlib.import_module(module), name)(**options)
source.folder = folder
for count in source.fetch():
    print(count, flush=True)
"""


def killed_until_done(source: type, options: dict[str, Any], folder: Path, pieces: int) -> int:
    """Kill -9 each run after so many pieces; returns how many were killed."""
    kills = 0
    command = json.dumps([source.__module__, source.__name__, options, str(folder)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    while True:
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, command], stdout=subprocess.PIPE, env=environment
        ) as child:
            assert child.stdout
            if not [child.stdout.readline() for _ in range(pieces)][-1]:
                return kills
            child.send_signal(signal.SIGKILL)
            kills += 1
        time.sleep(0.2)  # until a process of the killed one has seen that its parent is gone
