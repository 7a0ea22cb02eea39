"""A training that is killed after a step, for torchrun: EXPORT OUT STEP OPTIONS-AS-JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from curator_trainer.train import train


def main() -> None:
    """Train until the step, then die."""
    export, out, step, options = sys.argv[1:]

    def kill(progress: Any) -> None:
        if progress.step == int(step):
            raise KeyboardInterrupt

    train(export, out, tell=kill, **json.loads(options))


if __name__ == "__main__":
    main()
