"""Small real corpora: `curate(steps, documents)` writes JSON lines and a recipe, runs it, and opens the corpus."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.run import Report, run

Curate = Callable[..., Corpus]

# pytest-xdist sets it in its workers; what commands print is compared at the width of no terminal
os.environ.pop("COLUMNS", None)
# tests run one a core: a second thread of torch only spins, and takes twice the time of a tiny training
os.environ.setdefault("OMP_NUM_THREADS", "1")
# a busy machine fails no test
hypothesis.settings.register_profile("curator", deadline=None)
hypothesis.settings.load_profile("curator")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests come first, so that at the end no core has long to wait for the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


class Workshop:
    """A folder with sources, recipes and one corpus."""

    def __init__(self, folder: Path) -> None:
        self.report: Report | None = None
        self.move(folder)

    def move(self, folder: Path) -> None:
        """Go on in another folder."""
        self.folder = folder
        self.corpus_folder = folder / "corpus"

    def restore(self, folder: Path) -> Corpus:
        """Go on in a folder that several tests start from, put back at its place as it was for the first of them."""
        kept = folder.with_name(f"{folder.name}-kept")
        if kept.exists():
            shutil.rmtree(folder)
        else:
            folder.rename(kept)
        shutil.copytree(kept, folder)
        self.move(folder)
        return Corpus.existing(self.corpus_folder)

    def source(self, name: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
        """Write a JSON lines file and return its entry for a recipe."""
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(d) + "\n" for d in documents), encoding="utf-8")
        return {"jsonl": {"name": name, "path": path.name}}

    def recipe(
        self, steps: list[Any], sources: list[dict[str, Any]], *, name: str = "test", **top: Any
    ) -> recipes.Recipe:
        """Write and load a recipe."""
        content = {"name": name, "corpus": "./corpus", "sources": sources, "steps": steps, **top}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return recipes.load(str(path))

    def curate(
        self,
        steps: list[Any],
        documents: list[dict[str, Any]] | None = None,
        *,
        name: str = "test",
        **top: Any,
    ) -> Corpus:
        """Run a recipe over one source `web` (written when `documents` are given) and open the corpus."""
        entry = {"jsonl": {"name": "web", "path": "web.jsonl"}}
        if documents is not None:
            entry = self.source("web", documents)
        loaded = self.recipe(steps, top.pop("sources", [entry]), name=name, **top)
        self.report = run(loaded, InlineEngine())
        return Corpus.existing(self.corpus_folder)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A folder for one test's corpus."""
    return Workshop(tmp_path)


def reasons(corpus: Corpus) -> dict[str, str | None]:
    """source_key -> reason (None: kept, or "pending")."""
    rows = corpus.sql(
        "SELECT source_key, CASE decision WHEN 'pending' THEN 'pending' ELSE reason END FROM documents"
    ).rows()
    return dict(rows)
