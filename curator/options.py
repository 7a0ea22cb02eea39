"""The options of a plugin, and what their annotations may say beside the type."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from typing import Any

REQUIRED = inspect.Parameter.empty


class _Mark:
    """What else an option's annotation says."""


#: `model: Annotated[str | None, FILE]`: a path relative to the recipe, or a list of them, which must exist when it
#: is loaded; what a mapping means by its values, `Plugin.resolve` says. The fingerprint leaves the option to
#: `Plugin.versions`
FILE = _Mark()
#: `url: Annotated[str, SECRET]`: its variables, as `${TOKEN}`, stay as they are written wherever the option is stored
#: or shown; the plugin fills them in when it needs them, by `curator.variables.filled`
SECRET = _Mark()
#: `model: Annotated[str, FOLDER]`: a folder relative to the recipe, or a name that the plugin itself looks up
FOLDER = _Mark()


@dataclass(frozen=True)
class Option:
    """One option of a plugin: `default` is `REQUIRED` where the user must give it."""

    name: str
    type: Any
    default: Any = REQUIRED
    help: str = ""
    is_file: bool = False
    is_folder: bool = False
    is_secret: bool = False

    @property
    def type_name(self) -> str:
        return _type_name(self.type)


def _type_name(kind: Any) -> str:
    """As it is written: `int | None`, `'paper' | 'datatrove'`."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " | ".join(map(repr, inner))
    if origin in (typing.Union, types.UnionType):
        return " | ".join("None" if k is type(None) else _type_name(k) for k in inner)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_name(k) for k in inner)}]"
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
