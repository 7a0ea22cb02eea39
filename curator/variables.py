"""Environment variables in the values of a recipe."""

from __future__ import annotations

import os
import re
from typing import Any

from curator.errors import UsageError

VARIABLE = re.compile(r"\$\{(\w+)(:-([^}]*))?\}")


def filled(value: Any) -> Any:
    """`${NAME}` and `${NAME:-default}` from the environment, in strings, and in lists and mappings of them.

    Raises UsageError for a variable that is not set.
    """
    if isinstance(value, list):
        return [filled(v) for v in value]
    if isinstance(value, dict):
        return {name: filled(v) for name, v in value.items()}
    if not isinstance(value, str):
        return value

    def from_environment(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[3])
        if found is None:
            raise UsageError(f"{value!r}: the environment variable {match[1]} is not set")
        return found

    return VARIABLE.sub(from_environment, value)
