"""Name -> plugin, for one run: built where it is needed and passed on; there is no global manager."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from curator.errors import PluginError, UsageError
from curator.options import REQUIRED
from curator.plugin import (
    Classifier,
    Cleaner,
    Dedup,
    Exporter,
    Filter,
    Plugin,
    Source,
)

BASES: dict[str, type[Plugin]] = {
    "source": Source,
    "cleaner": Cleaner,
    "filter": Filter,
    "dedup": Dedup,
    "classifier": Classifier,
    "exporter": Exporter,
}
STEP_KINDS = ("cleaner", "filter", "dedup", "classifier")


@dataclass(frozen=True)
class Entry:
    """A registered plugin. `ref` is what a worker loads it from: `entry_point:NAME` or `file:PATH`."""

    kind: str
    name: str
    plugin: type[Plugin]
    origin: str
    ref: str
    version: str

    @property
    def doc(self) -> str:
        text = inspect.getdoc(self.plugin) or ""
        return text.split("\n\n")[0].replace("\n", " ").strip()


class Registry:
    """The plugins that a recipe can name."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def add(self, kind: str, target: Any, *, origin: str, ref: str, version: str, **extra: Any) -> Entry:
        """Register a class or function of `kind`. Raises PluginError for a wrong or taken one."""
        plugin = as_plugin(kind, target, origin=origin, **extra)
        name = plugin_name(plugin)
        taken = self._entries.get((kind, name))
        if taken is not None and taken.ref != ref:
            raise PluginError(
                f"{kind} {name!r} from {origin} is already registered by {taken.origin}; "
                "pass name= to register()"
            )
        declared = plugin.version
        entry = Entry(kind, name, plugin, origin, ref, version if declared is None else str(declared))
        self._entries[kind, name] = entry
        return entry

    def entries(self) -> list[Entry]:
        return sorted(self._entries.values(), key=lambda e: (list(BASES).index(e.kind), e.name))

    def find(self, kinds: tuple[str, ...], name: str) -> Entry | None:
        found = [self._entries[kind, name] for kind in kinds if (kind, name) in self._entries]
        if len(found) > 1:
            both = " and ".join(f"a {e.kind} from {e.origin}" for e in found)
            raise UsageError(f"{name!r} is {both}; register one under another name with name=")
        return found[0] if found else None


def suggest(name: str, known: typing.Iterable[str]) -> str:
    """ "; did you mean 'x'?", or the list of what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}" if known else ""


def plugin_name(plugin: type[Plugin]) -> str:
    declared = inspect.getattr_static(plugin, "name", "")
    if isinstance(declared, str) and declared:
        return declared
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plugin.__name__).lower()


def as_plugin(
    kind: str, target: Any, *, origin: str, name: str | None = None, rule: str | None = None
) -> type[Plugin]:
    base = BASES[kind]
    if isinstance(target, type):
        if not issubclass(target, base):
            raise PluginError(
                f"{target.__name__} from {origin} is registered as a {kind} but is no {base.__name__}"
            )
        if rule is not None:
            raise PluginError(
                f"{target.__name__} from {origin}: a class states its rules itself, not in register()"
            )
        return (
            target
            if name is None
            else type(target.__name__, (target,), {"name": name, "__doc__": target.__doc__})
        )
    if not callable(target) or kind not in ("filter", "cleaner"):
        raise PluginError(
            f"{target!r} from {origin} cannot be registered as a {kind}; give a subclass of {base.__name__}"
        )
    make = _filter_from if kind == "filter" else _cleaner_from
    return make(target, name or target.__name__, rule, origin)


def _options_of(function: Callable[..., Any], origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or any(p.kind is not p.KEYWORD_ONLY for p in parameters[1:]):
        raise PluginError(
            f"{function.__name__} from {origin}: the first parameter is the document, "
            "all others are options and stand after a *"
        )
    hints = typing.get_type_hints(function, include_extras=True)
    annotations = {p.name: hints.get(p.name, Any) for p in parameters[1:]}
    defaults = {p.name: p.default for p in parameters[1:] if p.default is not REQUIRED}
    return annotations, defaults


def _filter_from(function: Callable[..., Any], name: str, rule: str | None, origin: str) -> type[Plugin]:
    annotations, defaults = _options_of(function, origin)
    answer = typing.get_type_hints(function).get("return", bool)
    if rule is None and answer is not bool:
        raise PluginError(
            f"{name} from {origin} answers {getattr(answer, '__name__', answer)}, so say which answers drop: "
            f'register({function.__name__}, rule="{name} < 3")'
        )

    def measure(self: Any, docs: Any) -> Mapping[str, Any]:
        options = {option: getattr(self, option) for option in annotations}
        return {name: [function(doc, **options) for doc in docs]}

    body = {
        "__annotations__": annotations,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        **defaults,
        "name": name,
        "version": getattr(function, "version", None),
        "signals": {name: answer},
        "rules": {name: rule or f"NOT {name}"},
        "measure": measure,
    }
    return type(function.__name__, (Filter,), body)


def _cleaner_from(function: Callable[..., Any], name: str, rule: str | None, origin: str) -> type[Plugin]:
    if rule is not None:
        raise PluginError(
            f"{name} from {origin}: a cleaner that is a function has no rule; use curator.Cleaner"
        )
    annotations, defaults = _options_of(function, origin)

    def clean(self: Any, docs: Any) -> list[str]:
        call = functools.partial(function, **{option: getattr(self, option) for option in annotations})
        return [call(text) for text in docs.text]

    body = {
        "__annotations__": annotations,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        **defaults,
        "name": name,
        "version": getattr(function, "version", None),
        "clean": clean,
    }
    return type(function.__name__, (Cleaner,), body)
