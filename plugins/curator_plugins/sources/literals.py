"""Secrets that stand in a recipe as they are. Recipes are stored with what they made, and go out with exports.

A secret is known by the name of its header, parameter or field. Names of something else are met, too, as
`sort_key`: their values may come from the environment as well. Rejected: looking at values (a key of 32 digits
and the identifier of a record look the same), and databases.py's pattern (a `key` or `auth` is no usual
parameter of a database).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from curator import UsageError
from curator.variables import VARIABLE

#: in a name whose words are separated by _
SECRET_NAME = re.compile(
    r"token(?![a-z])|secret|passw(or)?d|passphrase|credential|cookie|bearer|jwt|authorization|authentication"
    r"|(?<![a-z])(o?auth|sig|signature|pwd)(?![a-z])"
    r"|(?<![a-z])(api|app|access|auth|private|secret|user|session|client|consumer|subscription)?key(?![a-z])"
)
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")  #: what separates them


def is_secret(name: str) -> bool:
    """Whether a header, parameter or field of this name holds a secret."""
    return SECRET_NAME.search(WORDS.sub("_", name).lower()) is not None


def refuse_literals(options: dict[str, Any]) -> None:
    """Raises UsageError for a secret in `url` or `urls`, `params`, `headers` or `body` that is no variable."""
    for option in ("url", "urls"):
        urls = options.get(option) or []
        for url in [urls] if isinstance(urls, str) else urls:
            _refuse_user(option, url)
            for name, value in _query(url):
                _refuse(option, name, value)
    for option in ("params", "headers", "body"):
        for name, value in _named(options.get(option)):
            _refuse(option, name, value)


def _named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values in nested mappings and lists, by the nearest name that says that they are secret, or their own."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _named(item, name if is_secret(name) else str(inner))
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, name)
    else:
        yield name, value


def _query(url: str) -> Iterator[tuple[str, str]]:
    for pair in re.split("[&;#]", url.partition("?")[2]):
        name, _, value = pair.partition("=")
        yield unquote(name), value


def _refuse_user(option: str, url: str) -> None:
    user, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    if at and (VARIABLE.sub("", user).strip(":") or any(match[3] for match in VARIABLE.finditer(user))):
        raise UsageError(f"{option} holds a user or password, and would be stored with the recipe; {_fix()}")


def _refuse(option: str, name: str, value: Any) -> None:
    if not is_secret(name) or value is None or isinstance(value, bool) or value == "":
        return
    variables = list(VARIABLE.finditer(str(value)))
    if not variables:
        raise UsageError(f"{option}: the value of {name} would be stored with the recipe; {_fix()}")
    for match in variables:
        if match[3]:
            raise UsageError(
                f"{option}: the default of ${{{match[1]}}}, in the value of {name}, would be stored with the recipe; "
                f"write ${{{match[1]}}}, and set it in the environment"
            )


def _fix() -> str:
    return "write ${NAME} in its place, and set NAME in the environment (also for what only has the name of a secret)"
