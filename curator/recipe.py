"""Recipe file -> checked, frozen objects.

Everything is checked before any work: each mistake is one RecipeError with file, line, key and a
suggestion. A step's fingerprint says what its measures depend on; rule options are left out of it, so
changing them never makes a measure stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash
from pydantic import TypeAdapter, ValidationError

from curator.errors import UsageError
from curator.loading import Plugins
from curator.options import Option
from curator.plugin import Source
from curator.registry import Entry, suggest

GATE, LOOK = "gate", "look"
RESERVED = ("as", "expect", "rules")
Options = dict[str, Any]


@dataclass(frozen=True)
class Used:
    """A plugin as a recipe uses it; `ref` and `options` are all that a worker needs to build it."""

    name: str
    kind: str
    plugin: str
    ref: str
    version: str
    options: Options
    line: int = 0

    @property
    def plugin_kind(self) -> str:
        """The kind that the plugin is registered as."""
        return "cleaner" if self.kind == LOOK else self.kind

    def build(self, plugins: Plugins, **more: Any) -> Any:
        entry = plugins.by_ref(self.ref, self.plugin_kind, self.plugin)
        return built(entry, self.options, plugins, **more)


@dataclass(frozen=True)
class StepSpec(Used):
    """One step; `table` is where its measures are stored; those named in `wide_signals` lie in shard files.

    `awaits`: it runs when the catalog has found something in what the look before it measured; `behind` are the
    tables of the steps that await and that changed the text before it.
    """

    fingerprint: str = ""
    rules: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    contamination: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    rule_options: tuple[str, ...] = ()
    group: str | None = None
    bands: str | None = None
    signature: str | None = None
    vectors: str | None = None
    sets: str | None = None
    wide_signals: tuple[str, ...] = ()
    awaits: bool = False
    behind: tuple[str, ...] = ()
    expect: tuple[float, float] | None = None

    @property
    def table(self) -> str:
        return f"{self.plugin}_{self.fingerprint}"

    @property
    def is_corpus_cleaner(self) -> bool:
        """Whether it changes texts by what the catalog found over the corpus."""
        return self.awaits and self.kind == "cleaner"

    @property
    def measures(self) -> bool:
        """Whether the step stores anything; `gate` and `signal` do not."""
        return bool(self.signals)

    @property
    def wide(self) -> bool:
        """Whether nothing of it but the documents' ids lies in the catalog."""
        return bool(self.signals) and len(self.wide_signals) == len(self.signals)

    def build(self, plugins: Plugins, **more: Any) -> Any:
        plugin = super().build(plugins, **more)
        if self.kind != LOOK:
            return plugin
        from curator.corpus_cleaner import Look

        return Look(plugin, self.name.rpartition(".")[2])


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. `to_json` is what runs and exports record and what workers get."""

    name: str
    file: str
    corpus: str
    plugins: tuple[str, ...]
    keep_original: bool
    sources: tuple[Used, ...]
    steps: tuple[StepSpec, ...]
    tokenizer: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> Recipe:
        raw = json.loads(text)
        steps = tuple(
            StepSpec(
                **{
                    **s,
                    "reads": tuple(s["reads"]),
                    **{n: tuple(s[n]) for n in ("rule_options", "wide_signals", "behind")},
                    "expect": tuple(s["expect"]) if s["expect"] else None,
                }
            )
            for s in raw.pop("steps")
        )
        sources = tuple(Used(**s) for s in raw.pop("sources"))
        return Recipe(**{**raw, "plugins": tuple(raw["plugins"]), "sources": sources, "steps": steps})

    @cached_property
    def base(self) -> str:
        """The folder that the sources' relative paths start from."""
        return str(Path(self.file).resolve().parent)

    @property
    def cleaners(self) -> tuple[StepSpec, ...]:
        return tuple(s for s in self.steps if s.kind == "cleaner")

    @property
    def first_awaiting(self) -> int:
        """Index of the first step that awaits what the catalog finds; the number of steps where there is none."""
        return next((i for i, s in enumerate(self.steps) if s.awaits), len(self.steps))

    @property
    def behind(self) -> tuple[str, ...]:
        """The tables of all corpus cleaners: what the final text depends on."""
        return tuple(s.table for s in self.steps if s.is_corpus_cleaner)

    @property
    def last_corpus_cleaner(self) -> int:
        """Index of the last step whose texts depend on which documents earlier steps drop; 0 where there is none."""
        return max((i for i, s in enumerate(self.steps) if s.is_corpus_cleaner), default=0)

    @property
    def column_types(self) -> dict[str, str]:
        """DuckDB type of every column that a source promotes."""
        from curator.checking import COLUMN_TYPES

        return {
            name: COLUMN_TYPES[kind]
            for source in self.sources
            for name, kind in (source.options.get("columns") or {}).items()
        }

    @property
    def text_version(self) -> str:
        """The fingerprint of the final text: of all cleaners in order."""
        return fingerprint("text", [s.fingerprint for s in self.cleaners])

    def with_options(self, changes: Mapping[str, str]) -> Recipe:
        """The recipe with rule options changed, as `{"gopher_quality.min_words": "80"}`.

        Raises UsageError for an unknown step or option, and for a measure option, which cannot be changed
        without measuring.
        """
        from curator.checking import check_rules
        from curator.variables import file_found, files_found

        recipe = self
        for target, raw in changes.items():
            step_name, _, option_name = target.partition(".")
            step = next((s for s in recipe.steps if s.name == step_name), None)
            if step is None:
                raise UsageError(
                    f"--set {target}: recipe {self.name!r} has no step {step_name!r}"
                    + suggest(step_name, (s.name for s in self.steps))
                )
            if option_name not in step.rule_options:
                if option_name in step.options:
                    raise UsageError(
                        f"--set {target}: {option_name!r} decides what is measured, so it cannot be changed by "
                        f"deciding; write it in {self.file} and run again"
                    )
                raise UsageError(
                    f"--set {target}: step {step_name!r} has no option {option_name!r}"
                    + suggest(option_name, step.rule_options)
                )
            if step in recipe.steps[: recipe.last_corpus_cleaner]:
                raise UsageError(
                    f"--set {target}: step {recipe.steps[recipe.last_corpus_cleaner].name} removes what the documents "
                    f"that {step_name!r} lets pass repeat, so the texts would be others; write it in {self.file} and run again"
                )
            entry = Plugins(recipe.plugins).by_ref(step.ref, step.kind, step.plugin)
            option = entry.plugin.options().get(option_name)
            by_column = any(f"${option_name}" in sql for sql in step.rules.values())
            value = checked_value(option, _parsed(raw, f"--set {target}"), by_column, f"--set {target}")
            if option is not None and option.is_file:
                value = files_found(value, self.base)
            options = {**step.options, option_name: value}
            options = entry.plugin.resolve(options, lambda file: file_found(file, self.base))
            changed = replace(step, options=options)
            rules = changed.build(Plugins(recipe.plugins)).declared_rules()
            changed = replace(changed, rules={n: rules[n] for n in step.rules if n in rules})
            recipe = replace(recipe, steps=tuple(changed if s is step else s for s in recipe.steps))
        for at, message in check_rules(recipe):
            raise UsageError(f"--set: step {recipe.steps[at].name}: {message}")
        return recipe


def load(path: str, *, extra_plugins: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe file. Raises RecipeError at the first mistake."""
    from curator.recipe_file import RecipeFile

    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no recipe {path!r}; `curator init` writes one")
    return RecipeFile(path, file.read_text(encoding="utf-8"), extra_plugins).recipe()


def _parsed(value: str, what: str) -> Any:
    import yaml

    from curator import yamlfile

    try:
        return yamlfile.value(value)
    except yaml.YAMLError:
        raise UsageError(f"{what} = {value!r}: not a value as in a recipe") from None


def is_source(option: Option) -> bool:
    """Whether an option is another source: `{plugin: options}` in a recipe, and built for the plugin."""
    return isinstance(option.type, type) and issubclass(option.type, Source)


def built(entry: Entry, options: Options, plugins: Plugins, **more: Any) -> Any:
    """The plugin with these options, and with the sources that they name in their place."""
    scalars = {k: v for k, v in options.items() if not is_table(v)}
    for name, option in entry.plugin.options().items():
        if is_source(option):
            ((plugin, inner),) = options[name].items()
            scalars[name] = built(plugins.get("source", plugin), inner, plugins)
    return entry.plugin(**scalars, **more)


def version_of(entry: Entry, options: Options, plugins: Plugins) -> str:
    """The plugin's version, with those of the sources that its options name."""
    inner = [next(iter(options[o.name].items())) for o in entry.plugin.options().values() if is_source(o)]
    found = (version_of(plugins.get("source", plugin), given, plugins) for plugin, given in inner)
    return "/".join([entry.version, *found])


def is_table(value: Any) -> bool:
    """Whether an option is a table over a column: {by: language, default: 50, zh: null}."""
    return isinstance(value, dict) and "by" in value


def fingerprint(*parts: Any) -> str:
    """Hash of what a result depends on."""
    return xxhash.xxh3_64_hexdigest(json.dumps(parts, sort_keys=True, default=str).encode())


def checked_value(option: Option | None, value: Any, by_column: bool, what: str) -> Any:
    """The value as the option's type. Raises UsageError, naming `what`."""
    if option is None:
        return value
    if by_column and is_table(value):
        return {
            key: cell if key == "by" or cell is None else checked_value(option, cell, False, f"{what}.{key}")
            for key, cell in value.items()
        }
    try:
        return TypeAdapter(option.type).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{what} = {value!r}: expected {option.type_name} ({first['msg'].lower()})"
        ) from None
