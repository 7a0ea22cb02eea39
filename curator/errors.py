"""Errors that speak to the user: each names the thing, its value, where it came from and the fix."""

from __future__ import annotations


class CuratorError(Exception):
    """Something the user can mend; the command line prints it without a traceback and exits with 1."""

    exit_code = 1


class UsageError(CuratorError):
    """A mistake in a recipe, an option or a query, found before any work; exit code 2."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe's mistake, at a file, line and key."""

    def __init__(self, message: str, *, file: str, line: int | None = None, key: str = "") -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {key + ': ' if key else ''}{message}")


class FetchError(CuratorError):
    """What a source fetches from elsewhere cannot be reached now; the run goes on with what is there."""


class PluginError(CuratorError):
    """A plugin broke its contract: wrong names, types or lengths, or it cannot be loaded."""


class GuardError(CuratorError):
    """A guard stopped the run before decisions were committed; exit code 3."""

    exit_code = 3
