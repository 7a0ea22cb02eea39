"""The recipe file: YAML with lines -> a checked recipe."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curator import yamlfile
from curator.checking import resolved, signal_types
from curator.corpus_cleaner import Look
from curator.errors import CuratorError, RecipeError, UsageError
from curator.loading import Plugins
from curator.options import REQUIRED
from curator.plugin import Dedup, Source, Step
from curator.recipe import (
    GATE,
    LOOK,
    Options,
    Recipe,
    StepSpec,
    Used,
    built,
    checked_value,
    fingerprint,
    is_source,
    is_table,
    version_of,
)
from curator.registry import Entry, suggest
from curator.variables import file_found, files_found, filled


class RecipeModel(BaseModel):
    """The recipe file's outer shape; what stands under a plugin's name is checked by its options."""

    model_config = ConfigDict(extra="forbid", title="curator recipe")

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", description="names the decision set")]
    corpus: Annotated[str, Field(description="the corpus folder, relative to this file")] = "./corpus"
    plugins: Annotated[list[str], Field(description=".py files with plugins, relative to this file")] = []
    keep_original: Annotated[bool, Field(description="store the text as read beside the cleaned one")] = True
    tokenizer: Annotated[str | None, Field(description="count the tokens of kept documents with it")] = None
    sources: Annotated[list[dict[str, Options | None]], Field(min_length=1)]
    steps: list[str | dict[str, Options | None]] = []


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe's outer shape."""
    return RecipeModel.model_json_schema()


class RecipeFile:
    """A recipe file being checked."""

    def __init__(self, file: str, text: str, extra_plugins: tuple[str, ...]) -> None:
        self.file = file
        data, self.lines = yamlfile.load(text, file)
        if not isinstance(data, dict):
            raise RecipeError("a recipe is a mapping with name, sources and steps", file=file)
        try:
            self.model = RecipeModel.model_validate(data)
        except ValidationError as error:
            errors = error.errors()
            # of the branches of a union, the one that came furthest
            first = max(
                (e for e in errors if e["loc"][:2] == errors[0]["loc"][:2]), key=lambda e: len(e["loc"])
            )
            loc = tuple(str(p) if isinstance(p, str) else p for p in first["loc"])
            loc = tuple(p for p in loc if p not in ("str",) and not str(p).startswith("dict["))
            hint = ""
            if first["type"] == "extra_forbidden":
                hint = suggest(str(loc[-1]), RecipeModel.model_fields)
            message = first["msg"][:1].lower() + first["msg"][1:]
            raise self.error(message + hint, loc) from None
        base = Path(file).resolve().parent
        self.base = str(base)
        files = []
        for i, name in enumerate(self.model.plugins):
            path = base / name
            if not path.is_file():
                raise self.error(f"there is no plugin file {name!r} in {base}", ("plugins", i))
            files.append(str(path))
        self.plugin_files = (*files, *(str(Path(p).resolve()) for p in extra_plugins))
        try:
            self.plugins = Plugins(self.plugin_files)
        except UsageError:
            raise
        except CuratorError as error:
            raise self.error(str(error), ("plugins",)) from error

    def error(self, message: str, path: yamlfile.Path) -> RecipeError:
        key = ".".join(str(p) for p in path)
        return RecipeError(message, file=self.file, line=yamlfile.line_of(self.lines, path), key=key)

    def recipe(self) -> Recipe:
        from curator.checking import check_rules

        sources: list[Used] = []
        for i, entry in enumerate(self.model.sources):
            source = self.source(entry, ("sources", i))
            if any(s.name == source.name for s in sources):
                raise self.error(
                    f"two sources are called {source.name!r}; give one another name:", ("sources", i)
                )
            sources.append(source)
        steps: list[StepSpec] = []
        places: list[int] = []
        self.source_names = [s.name for s in sources]
        for i, raw in enumerate(self.model.steps):
            step = self.step(raw, ("steps", i), steps)
            if any(s.name == step.name for s in steps):
                raise self.error(
                    f"two steps are called {step.name!r}; name the second with as:", ("steps", i)
                )
            steps += [*self.looks(step, steps, ("steps", i)), step]
            places += [i] * (len(steps) - len(places))
        try:
            corpus = str(filled(self.model.corpus))
        except UsageError as error:
            raise self.error(str(error), ("corpus",)) from None
        recipe = Recipe(
            name=self.model.name,
            file=str(Path(self.file).resolve()),
            corpus=corpus if "://" in corpus else os.path.normpath(os.path.join(self.base, corpus)),
            plugins=self.plugin_files,
            keep_original=self.model.keep_original,
            sources=tuple(sources),
            steps=tuple(steps),
            tokenizer=self.tokenizer(),
        )
        for at, message in check_rules(recipe):
            raise self.error(message, ("steps", places[at]))
        return recipe

    def tokenizer(self) -> str | None:
        if self.model.tokenizer is None:
            return None
        from curator.tokenizer import describe

        path = Path(self.base, self.model.tokenizer)
        try:
            describe(path)
        except UsageError as error:
            raise self.error(str(error), ("tokenizer",)) from None
        return str(path)

    def only(self, raw: Any, path: yamlfile.Path) -> tuple[str, Options]:
        if isinstance(raw, str):
            return raw, {}
        if len(raw) != 1:
            raise self.error("one plugin an entry: `- name: {option: value}`", path)
        name, options = next(iter(raw.items()))
        return name, dict(options or {})

    def options(self, entry: Entry, given: Options, path: yamlfile.Path) -> Options:
        """The options of the right types; any of a step may still be a table over a column."""
        known = entry.plugin.options()
        checked: Options = {}
        for name, value in given.items():
            if name in known and is_source(known[name]):
                continue
            if name not in known and not getattr(entry.plugin, "open_options", False):
                raise self.error(
                    f"{entry.name} has no option {name!r}{suggest(name, known)}", (*path, entry.name, name)
                )
            try:
                if entry.kind == "source" and not (name in known and known[name].is_secret):
                    value = filled(value)
                checked[name] = checked_value(known.get(name), value, entry.kind != "source", name)
                if name in known and known[name].is_file and value is not None:
                    checked[name] = files_found(checked[name], self.base)
                elif name in known and known[name].is_folder:
                    checked[name] = self.folder_option(checked[name])
            except UsageError as error:
                raise self.error(str(error), (*path, entry.name, name)) from None
        for option in known.values():
            if option.name not in checked and not (is_source(option) and option.name in given):
                if option.default is REQUIRED:
                    raise self.error(f"{entry.name} needs the option {option.name!r}", (*path, entry.name))
                checked[option.name] = option.default
        for option in filter(is_source, known.values()):
            checked[option.name] = self.inner(entry, given, checked, option.name, path)
        try:
            return entry.plugin.resolve(checked, lambda file: file_found(file, self.base))
        except UsageError as error:
            raise self.error(str(error), (*path, entry.name)) from None

    def folder_option(self, value: str) -> str:
        """The folder's path, or the value as it is where there is no such folder."""
        value = str(filled(value))
        path = Path(self.base) / value
        return str(path) if path.is_dir() else value

    def inner(
        self, entry: Entry, given: Options, checked: Options, option: str, path: yamlfile.Path
    ) -> dict[str, Options]:
        """The source that an option names, as {plugin: options}.

        What every source has (text, id, …) stands with the outer one; where not, `checked` gets the inner's default.
        """
        place = (*path, entry.name, option)
        raw, kind = given[option], entry.plugin.options()[option].type
        if not isinstance(raw, str) and not (isinstance(raw, dict) and len(raw) == 1):
            raise self.error("one source: `plugin: {option: value}`", place)
        name, options = self.only(raw, place)
        try:
            found = self.plugins.get("source", name)
        except UsageError as error:
            raise self.error(str(error), (*place, name)) from None
        if not issubclass(found.plugin, kind):
            raise self.error(f"{name} reads no files, so {entry.name} cannot give it any", (*place, name))
        common = set(kind.options()) - {"path"}
        for taken in options:
            if taken == "path":
                raise self.error(f"{entry.name} gives {name} what it reads; leave it out", (*place, name, taken))
            if taken in common:
                raise self.error(f"write it beside {option}:, where every source has it", (*place, name, taken))
        shared = {n: checked[n] for n in common if n in given}
        inner = self.options(found, {**options, **shared, "path": ""}, place)
        checked.update({n: inner[n] for n in common if n not in given})
        return {name: inner}

    def source(self, raw: Any, path: yamlfile.Path) -> Used:
        name, given = self.only(raw, path)
        from curator.checking import COLUMN_TYPES
        from curator.mapping import document_schema

        try:
            entry = self.plugins.get("source", name)
        except CuratorError as error:
            raise self.error(str(error), (*path, name)) from None
        options = self.options(entry, given, path)
        options["name"] = given.get("name", entry.name)
        for column, kind in (options.get("columns") or {}).items():
            if kind not in COLUMN_TYPES:
                raise self.error(
                    f"{column}: {kind!r} is no type{suggest(str(kind), COLUMN_TYPES)}",
                    (*path, name, "columns", column),
                )
        try:
            document_schema(cast(Source, built(entry, options, self.plugins)))
        except UsageError as error:
            raise self.error(str(error), (*path, name)) from None
        version = version_of(entry, options, self.plugins)
        return Used(
            options["name"], "source", entry.name, entry.ref, version, options, self.line((*path, name))
        )

    def line(self, path: yamlfile.Path) -> int:
        return yamlfile.line_of(self.lines, path) or 0

    def step(self, raw: Any, path: yamlfile.Path, before: list[StepSpec]) -> StepSpec:
        name, given = self.only(raw, path)
        label = str(given.pop("as", name))
        chosen = given.pop("rules", None)
        expect = given.pop("expect", None)
        if name == GATE:
            gates = sum(s.kind == GATE for s in before)
            label = label if label != GATE or not gates else f"{GATE}_{gates + 1}"
            if given or chosen or expect:
                raise self.error("gate takes no options", (*path, name))
            return StepSpec(label, GATE, GATE, "", "", {}, self.line((*path, name)))
        if not re.fullmatch(r"[A-Za-z_]\w*", label):
            raise self.error(f"{label!r} cannot be a step's name: letters, digits and _", (*path, name, "as"))
        try:
            entry = self.plugins.step(name)
            options = self.options(entry, given, path)
            step = cast(Step, entry.plugin(**{k: v for k, v in options.items() if not is_table(v)}))
            rules = step.declared_rules()
            rule_options = (*step.rule_options(), *(o for o in options if o not in entry.plugin.options()))
            rule_options = tuple(dict.fromkeys(rule_options))
            in_rules = Step.rule_options(step)
            for option, value in options.items():
                if is_table(value) and option in entry.plugin.options() and option not in in_rules:
                    why = "is in no rule" if option in rule_options else "decides what is measured"
                    what = f"{option} {why}, so it cannot be a table over a column"
                    raise self.error(what, (*path, name, option))
            signals = signal_types(step, label)
            versions = dict(step.versions())
        except RecipeError:
            raise
        except CuratorError as error:
            raise self.error(str(error), (*path, name)) from None
        rules = self.chosen(rules, chosen, (*path, name, "rules"))
        cleaners = [s.fingerprint for s in before if s.kind == "cleaner"]
        reads = tuple(found for r in step.reads if (found := resolved(r, before)))
        read = [s.fingerprint for r in reads for s in before if s.name == r.partition(".")[0]]
        for needed in reads:
            if not any(s.name == needed.partition(".")[0] for s in before):
                raise self.error(f"{name} reads {needed}, so that step must stand before it", (*path, name))
        known = entry.plugin.options()  # a file counts by its content, which versions() tells
        measured = {
            k: v
            for k, v in options.items()
            if k not in rule_options and not (k in known and (known[k].is_file or known[k].is_folder))
        }
        dedup = step if isinstance(step, Dedup) else None
        wide = tuple(signals) if dedup and dedup.wide else getattr(entry.plugin, "wide", ()) or ()
        awaits = bool(getattr(entry.plugin, "looks", ()))
        if awaits and not self.model.keep_original:
            what = f"{name} reads the texts a second time, so keep_original must not be false"
            raise self.error(what, (*path, name))
        return StepSpec(
            name=label,
            kind=entry.kind,
            plugin=entry.name,
            ref=entry.ref,
            version=entry.version,
            options=options,
            line=self.line((*path, name)),
            fingerprint=fingerprint(
                entry.kind,
                entry.name,
                entry.version,
                measured,
                versions,
                cleaners,
                read,
                sorted(signals.items()),
                *([self.population(before)] if awaits else []),
            ),
            rules=rules,
            signals=signals,
            fills=dict(step.documents),
            notes=dict(step.notes),
            contamination=step.contamination,
            versions=versions,
            reads=reads,
            rule_options=rule_options,
            group=dedup.group if dedup else None,
            bands=dedup.band_keys if dedup else None,
            signature=dedup.signature if dedup else None,
            vectors=dedup.vectors if dedup else None,
            sets=dedup.sets if dedup and dedup.sets in signals else None,
            wide_signals=wide,
            awaits=awaits,
            behind=tuple(s.table for s in before if s.is_corpus_cleaner),
            expect=self.range(expect, (*path, name, "expect")),
        )

    def looks(self, step: StepSpec, before: list[StepSpec], path: yamlfile.Path) -> list[StepSpec]:
        """The looks of a corpus cleaner, as steps before it."""
        if not step.awaits:
            return []
        plugin = step.build(self.plugins)
        versions = dict(plugin.versions())
        found = []
        for i, look in enumerate(plugin.looks):
            built = Look(plugin, look)
            population = [self.population(before)] if i else []
            cleaners = [s.fingerprint for s in before if s.kind == "cleaner"]
            measured = {k: v for k, v in step.options.items() if k not in step.rule_options}
            found.append(
                replace(
                    step,
                    name=f"{step.name}.{look}",
                    kind=LOOK,
                    fingerprint=fingerprint(
                        LOOK, look, step.plugin, step.version, measured, versions, cleaners, population
                    ),
                    rules={},
                    notes={},
                    signals=signal_types(built, step.name),
                    wide_signals=tuple(built.declared_signals()),
                    awaits=i > 0,
                    expect=None,
                )
            )
        return found

    def population(self, before: list[StepSpec]) -> list[Any]:
        """What decides which documents no step before drops: a corpus cleaner's texts depend on it."""
        return [self.source_names] + [
            [s.fingerprint, sorted(s.rules.items()), {o: s.options.get(o) for o in s.rule_options}]
            for s in before
        ]

    def chosen(self, rules: dict[str, str], names: Any, path: yamlfile.Path) -> dict[str, str]:
        if names is None:
            return rules
        for name in names if isinstance(names, list) else [names]:
            if name not in rules:
                raise self.error(f"there is no rule {name!r}{suggest(str(name), rules)}", path)
        return {k: v for k, v in rules.items() if k in names}

    def range(self, expect: Any, path: yamlfile.Path) -> tuple[float, float] | None:
        if expect is None:
            return None
        match = re.fullmatch(
            r"(\d*\.?\d+)\.\.(\d*\.?\d+)", str(expect.get("drop", "")) if isinstance(expect, dict) else ""
        )
        if match is None or not 0 <= float(match[1]) <= float(match[2]) <= 1:
            raise self.error(f"{expect!r}: write the share dropped as `expect: {{drop: 0.02..0.4}}`", path)
        return float(match[1]), float(match[2])
