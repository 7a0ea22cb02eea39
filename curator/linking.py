"""A second name for a file, which costs no disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link(file: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links. What `target` was is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
