"""Entry points and drop-in files -> registry.

Listing entry points reads metadata only; a module is imported when a recipe (or `curator plugins`) names
one of its plugins. A broken plugin becomes one named line, not a crash. Workers load by `ref`, never by
pickle.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from curator import hookspecs
from curator.errors import CuratorError, PluginError, UsageError
from curator.registry import STEP_KINDS, Entry, Registry, suggest


@dataclass
class Plugins:
    """The plugins in reach of one recipe: files are loaded at once, entry points when named."""

    files: tuple[str, ...] = ()
    registry: Registry = field(default_factory=Registry)
    broken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._manager = pluggy.PluginManager("curator")
        self._manager.add_hookspecs(hookspecs)
        self._points: dict[str, EntryPoint] = {}
        self._taken: dict[str, str] = {}
        for point in entry_points(group="curator"):
            first = self._points.setdefault(point.name, point)
            if first is not point:
                self._taken[point.name] = (
                    f"{_origin(first)} and {_origin(point)} both have an entry point {point.name!r}"
                )
        for file in self.files:
            self._load_file(file)

    @property
    def hook(self) -> Any:
        """The event hooks of every plugin loaded so far."""
        return self._manager.hook

    def step(self, name: str) -> Entry:
        """The step plugin called `name`. Raises UsageError where there is none."""
        return self._find(STEP_KINDS, name, "step")

    def get(self, kind: str, name: str) -> Entry:
        """The plugin of `kind` called `name`. Raises UsageError where there is none."""
        return self._find((kind,), name, kind)

    def by_ref(self, ref: str, kind: str, name: str) -> Entry:
        """What a worker calls: load `ref` and give the plugin in it."""
        how, _, target = ref.partition(":")
        if how == "file":
            self._load_file(target)
        elif target in self._points:
            self._load_point(self._points[target])
        entry = self.registry.find((kind,), name)
        if entry is None:
            raise PluginError(
                f"{kind} {name!r} is not in {target!r} on this machine; install the same plugins on all"
            )
        return entry

    def all(self) -> list[Entry]:
        """Load everything there is; what fails stands in `broken`."""
        for name, point in self._points.items():
            if name.partition(".")[0] in hookspecs.KINDS:
                try:
                    self._load_point(point)
                except PluginError as error:
                    self.broken[name] = str(error)
        return self.registry.entries()

    def _find(self, kinds: tuple[str, ...], name: str, what: str) -> Entry:
        found = self.registry.find(kinds, name)
        if found is not None:
            return found
        for kind in kinds:
            point = self._points.get(f"{kind}.{name}")
            if point is not None:
                self._load_point(point)
                found = self.registry.find((kind,), name)
                if found is None:
                    raise PluginError(
                        f"entry point {point.name!r} of {_origin(point)} registers no {kind} {name!r}"
                    )
                return found
        known = {n.partition(".")[2] for n in self._points if n.partition(".")[0] in kinds}
        known |= {e.name for e in self.registry.entries() if e.kind in kinds}
        raise UsageError(f"there is no {what} {name!r}{suggest(name, known)}")

    def _load_point(self, point: EntryPoint) -> None:
        ref = f"entry_point:{point.name}"
        if self._manager.has_plugin(ref):
            return
        if point.name in self._taken:
            raise PluginError(f"{self._taken[point.name]}; uninstall one of them")
        try:
            module = point.load()
        except (Exception, SystemExit) as error:  # a plugin's import may raise anything
            raise PluginError(f"{_origin(point)} failed to load: {type(error).__name__}: {error}") from error
        if self._manager.is_registered(module):
            return
        version = _named(point.dist)[1] if point.dist else "0"
        self._register(module, ref, _origin(point), version)

    def _load_file(self, file: str) -> None:
        import xxhash

        path = Path(file).resolve()
        ref = f"file:{path}"
        if self._manager.has_plugin(ref):
            return
        if not path.is_file():
            raise UsageError(f"there is no plugin file {file}")
        content = path.read_bytes()
        digest = xxhash.xxh3_64_hexdigest(content)
        name = f"curator_file_{path.stem}_{digest}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"plugin file {path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # the file is the user's own: say where it failed
            raise PluginError(
                f"plugin file {path} failed to load: {type(error).__name__}: {error}"
            ) from error
        self._register(module, ref, str(path), digest)

    def _register(self, module: ModuleType, ref: str, origin: str, version: str) -> None:
        try:
            self._manager.register(module, name=ref)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._manager.unregister(name=ref)
            raise PluginError(f"{origin}: {error}") from error
        for kind, hook in hookspecs.KINDS.items():

            def register(target: Any, *, kind: str = kind, **extra: Any) -> None:
                self.registry.add(kind, target, origin=origin, ref=ref, version=version, **extra)

            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin is module:
                    try:
                        implementation.function(register)
                    except CuratorError:
                        raise
                    except Exception as error:
                        raise PluginError(
                            f"{origin}: {hook}() failed: {type(error).__name__}: {error}"
                        ) from error


def _origin(point: EntryPoint) -> str:
    return " ".join(_named(point.dist)) if point.dist else point.value


@lru_cache(100)
def _named(dist: Distribution) -> tuple[str, str]:
    """Name and version; each time that importlib is asked, it reads the metadata with the whole README in it."""
    about = dist.metadata
    return about["Name"], about["Version"]
