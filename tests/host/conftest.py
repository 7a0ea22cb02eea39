"""A workshop: a folder with texts, plugin files and recipes, in which real runs are made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import LocalEngine
from curator.recipe import Recipe
from curator.run import Report, run

LONG = "a long line of text that has more than twenty characters"
TEXTS = {"long": LONG, "short": "short\nlines"}


@dataclass
class Workshop:
    """A folder to run recipes in; `texts.jsonl` holds the texts by their keys."""

    folder: Path

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(content), encoding="utf-8")
        return path

    def texts(self, texts: dict[str, str]) -> None:
        lines = [json.dumps({"id": key, "text": text}) for key, text in texts.items()]
        self.write("texts.jsonl", "\n".join(lines) + "\n")

    def recipe(self, *steps: Any, plugins: tuple[str, ...] = (), **more: Any) -> Recipe:
        """The checked recipe with these steps over the texts."""
        source = {"jsonl": {"name": "web", "path": "texts.jsonl"}}
        content = {"name": "small", "plugins": list(plugins), "sources": [source], "steps": list(steps), **more}
        return recipes.load(str(self.write("recipe.yaml", yaml.safe_dump(content, sort_keys=False))))

    def run(self, *steps: Any, plugins: tuple[str, ...] = (), **more: Any) -> Report:
        """Run the recipe with these steps in one worker process."""
        return run(self.recipe(*steps, plugins=plugins, **more), LocalEngine(1))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return Corpus.existing(self.folder / "corpus").sql(query).rows()

    def fates(self) -> dict[str, tuple[str, ...]]:
        """source_key -> (decision, reason) of each document."""
        rows = self.sql("SELECT source_key, decision, coalesce(reason, '') FROM documents ORDER BY source_key")
        return {key: (decision, reason) if reason else (decision,) for key, decision, reason in rows}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path)
    shop.texts(TEXTS)
    return shop
