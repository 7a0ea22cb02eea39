"""A shop: the tests' workshop with plugin files and a worker process of its own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines import Engine
from curator.engines.local import InlineEngine, LocalEngine
from curator.run import Report, run
from tests.conftest import Workshop

LONG = "a long line of text that has more than twenty characters"
TEXTS = {"long": LONG, "short": "short\nlines"}


class Shop(Workshop):
    """A workshop over the source `web`, whose texts are given by their keys."""

    engine: Engine = LocalEngine(1)

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(content), encoding="utf-8")
        return path

    def texts(self, texts: dict[str, str]) -> None:
        self.web = self.source("web", [{"id": key, "text": text} for key, text in texts.items()])

    def load(self, *steps: Any, plugins: tuple[str, ...] = (), **top: Any) -> recipes.Recipe:
        return self.recipe(list(steps), [self.web], plugins=list(plugins), **top)

    def run(self, *steps: Any, plugins: tuple[str, ...] = (), **top: Any) -> Report:
        return run(self.load(*steps, plugins=plugins, **top), self.engine)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return Corpus.existing(self.corpus_folder).sql(query).rows()

    def fates(self) -> dict[str, tuple[str, ...]]:
        """source_key -> (decision, reason) of each document."""
        rows = self.sql("SELECT source_key, decision, reason FROM documents ORDER BY source_key")
        return {key: (decision, reason) if reason else (decision,) for key, decision, reason in rows}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop whose runs go through a spawned worker."""
    made = Shop(tmp_path)
    made.texts(TEXTS)
    return made


@pytest.fixture
def inline_shop(shop: Shop) -> Shop:
    """A shop whose runs stay in this process."""
    shop.engine = InlineEngine()
    return shop
