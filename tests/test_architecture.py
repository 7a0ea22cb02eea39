"""The house: who imports whom, how long files are, what stays light, and that hooks are documented."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import curator
from curator import hookspecs

ROOT = Path(__file__).parents[1]
SOURCES = {
    "curator": ROOT / "curator",
    "curator_catalog": ROOT / "catalog" / "curator_catalog",
    "curator_plugins": ROOT / "plugins" / "curator_plugins",
    "curator_trainer": ROOT / "trainer" / "curator_trainer",
}
OURS = set(SOURCES)
CLI = SOURCES["curator"] / "cli"
#: package -> the packages of ours that it may import
ARROWS = {
    "curator": {"curator", "curator_catalog"},
    "curator_catalog": {"curator_catalog"},
    "curator_plugins": {"curator_plugins", "curator"},
    "curator_trainer": {"curator_trainer", "curator"},
}


def files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted(SOURCES[package].rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, bool, bool]]:
    """(module, at module level, for type checkers only) of every import, relative ones resolved."""
    package = next(name for name, folder in SOURCES.items() if path.is_relative_to(folder))
    inside = path.relative_to(SOURCES[package].parent).with_suffix("").parts

    def walk(node: ast.AST, top: bool, typing_only: bool) -> Iterator[tuple[str, bool, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, top, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from ((f"{module}.{alias.name}", top, typing_only) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, top and not function, typing_only or guarded)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True, False)


@pytest.mark.parametrize("package", SOURCES)
def test_arrows(package: str) -> None:
    """plugins and trainer -> curator -> catalog -> nothing of ours; only the command line knows the trainer."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(package)
        for module, top, typing_only in imports(path)
        if (owner := module.partition(".")[0]) in OURS - ARROWS[package]
        and not (owner == "curator_trainer" and path.is_relative_to(CLI) and (typing_only or not top))
    ]
    assert wrong == []


def test_the_trainer_imports_public_names_lazily() -> None:
    """`from curator import …` of public names, inside functions; others for type checkers only."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("curator_trainer")
        for module, top, typing_only in imports(path)
        if module.partition(".")[0] == "curator"
        and not typing_only
        and (top or module.removeprefix("curator.") not in {"curator", *curator.__all__})
    ]
    assert wrong == []


def test_plugins_do_not_import_each_others_private_names() -> None:
    """What first-party plugins take from the host has no underscore: there is no private door."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("curator_plugins")
        for module, *_ in imports(path)
        if module.partition(".")[0] in OURS and any(p.startswith("_") for p in module.split("."))
    ]
    assert wrong == []


#: they subclass what they import, and are themselves imported inside functions
LAZY = {"duckdb_dialect.py"}
HEAVY = {"torch", "transformers", "spacy", "fasttext", "langdetect", "ftfy", "sqlalchemy", "datasketch"}


def test_heavy_modules_are_imported_inside_functions() -> None:
    """A module that most users of a recipe do not need is loaded by the function that does."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("curator", "curator_catalog", "curator_plugins")
        for module, top, typing_only in imports(path)
        if top and not typing_only and module.partition(".")[0] in HEAVY and path.name not in LAZY
    ]
    assert wrong == []


def test_the_kit_imports_no_test_framework() -> None:
    """curator.testing works in any framework, and in none."""
    modules = {m.partition(".")[0] for m, *_ in imports(SOURCES["curator"] / "testing.py")}
    assert modules & {"pytest", "unittest", "hypothesis"} == set()


def test_files_are_short() -> None:
    """At most 400 lines each, tests too: one noun a file."""
    paths = [*files(*SOURCES), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in paths}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("kind", hookspecs.KINDS)
def test_a_register_hook_says_what_register_takes(kind: str) -> None:
    """The docstring names the base class, and the function forms where there are any."""
    doc = inspect.getdoc(getattr(hookspecs, hookspecs.KINDS[kind])) or ""
    assert doc.startswith(f"Register {kind}s: ")
    assert f"curator.{kind.capitalize()}" in doc
    assert getattr(curator, kind.capitalize()).__name__ in curator.__all__
    if kind in ("filter", "cleaner"):
        assert re.search(r"a function( `f\(|\.)", doc)


def test_event_hooks_say_what_they_give() -> None:
    """Each names its keys; tests/host/test_loading.py holds them to it."""
    events = {"run_started": "run", "shard_committed": "shard", "run_finished": "run"}
    for name, argument in events.items():
        hook = getattr(hookspecs, name)
        assert list(inspect.signature(hook).parameters) == [argument]
        assert f"`{argument}` has " in hook.__doc__
    specified = {n for n, f in vars(hookspecs).items() if hasattr(f, "curator_spec")}
    assert specified == {*events, *hookspecs.KINDS.values()}


def test_every_module_and_public_name_has_a_docstring() -> None:
    """Modules say what they are; what plugin authors import says what it does."""
    missing = [
        str(p.relative_to(ROOT)) for p in files(*SOURCES) if not ast.get_docstring(ast.parse(p.read_text()))
    ]
    missing = [p for p in missing if (ROOT / p).read_text().strip()]
    undocumented = [n for n in curator.__all__ if n != "hookimpl" and not inspect.getdoc(getattr(curator, n))]
    assert (missing, undocumented) == ([], [])
    assert sys.modules["curator"].__doc__
