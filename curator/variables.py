"""What the values of a recipe stand for: environment variables, and files beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator.errors import UsageError

VARIABLE = re.compile(r"\$\{(\w+)(:-([^}]*))?\}")


def filled(value: Any, variable: Callable[[re.Match[str]], str] | None = None) -> Any:
    """`${NAME}` and `${NAME:-default}` from the environment, in strings, and in lists and mappings of them.

    `variable` says what a match of VARIABLE stands for, where not the environment alone does. Raises UsageError
    for a variable that is not set.
    """
    if isinstance(value, list):
        return [filled(v, variable) for v in value]
    if isinstance(value, dict):
        return {name: filled(v, variable) for name, v in value.items()}
    if not isinstance(value, str):
        return value

    def from_environment(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[3])
        if found is None:
            raise UsageError(f"{value!r}: the environment variable {match[1]} is not set")
        return found

    return VARIABLE.sub(variable or from_environment, value)


def file_found(path: str, base: str) -> str:
    """The path of a file, relative to `base`. Raises UsageError where there is none."""
    found = Path(base) / str(filled(path))
    if not found.is_file():
        raise UsageError(f"there is no file {path!r} in {base}")
    return str(found)


def files_found(value: Any, base: str) -> Any:
    """The value of a FILE option with its paths found: one, or a list; a mapping is the plugin's to resolve."""
    if isinstance(value, list):
        return [file_found(path, base) for path in value]
    return file_found(value, base) if isinstance(value, str) else value
