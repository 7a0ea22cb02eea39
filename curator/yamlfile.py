"""YAML with the line of every key, so that an error can point at it."""

from __future__ import annotations

from typing import Any

import yaml

from curator.errors import RecipeError

Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's truths: only true and false are, so that `on:` is a key and `no` is Norwegian."""

    yaml_implicit_resolvers = {
        first: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def value(text: str) -> Any:
    """One value as it would stand in a file. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def load(text: str, file: str) -> tuple[Any, dict[Path, int]]:
    """The data, and the 1-based line of every node by its path. Raises RecipeError with the line."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Path, int] = {}
            data = None if node is None else _data(loader, node, (), lines, file)
            return data, lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        began = error.context_mark.line + 1 if error.context_mark else None
        since = (
            f", {error.context} that began in line {began}" if began and mark and began <= mark.line else ""
        )
        raise RecipeError(
            f"not valid YAML: {error.problem or error.context}{since}",
            file=file,
            line=mark.line + 1 if mark else None,
        ) from None


def _data(loader: _Loader, node: yaml.Node, path: Path, lines: dict[Path, int], file: str) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool):
                raise RecipeError("a key must be a plain word", file=file, line=line)
            if key in found:
                raise RecipeError("stands here twice", file=file, line=line, key=str(key))
            found[key] = _data(loader, value_node, (*path, str(key)), lines, file)
            lines[(*path, str(key))] = line
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_data(loader, item, (*path, i), lines, file) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of the nearest key that exists."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)
