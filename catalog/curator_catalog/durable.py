"""Files that survive a crash under their names."""

from __future__ import annotations

import os
from pathlib import Path


def publish(temporary: Path, target: Path) -> None:
    """Rename, and make the rename durable where folders can be synced."""
    os.replace(temporary, target)
    if os.name == "posix":
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
