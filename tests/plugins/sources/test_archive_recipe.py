"""A source within a source in a recipe: its options are checked at their place, and workers build it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import LocalEngine
from curator.errors import RecipeError
from curator.run import run

UPPER = '''
from curator import hookimpl
from curator.files import FileSource
from curator import Part

class Upper(FileSource):
    """Files in capitals."""
    text: str = "body"
    times: int = 1

    def parts(self):
        return (Part(uri) for uri in self.files())

    def read(self, part):
        yield {self.text: open(part.uri).read().upper() * self.times}

@hookimpl
def register_sources(register):
    register(Upper)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for n in range(5):
            info = tarfile.TarInfo(f"{n}.txt")
            info.size = 6
            archive.addfile(info, io.BytesIO(b"text %d" % n))
    (tmp_path / "upper.py").write_text(UPPER)
    return tmp_path


def loaded(folder: Path, options: dict[str, Any]) -> recipes.Recipe:
    content = {
        "name": "test",
        "plugins": ["upper.py"],
        "sources": [{"archive": {"path": "x.tar.gz", "name": "x", **options}}],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return recipes.load(str(folder / "recipe.yaml"))


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        (None, "recipe.yaml:5: sources.0.archive: archive needs the option 'read'"),
        ({"txet": {}}, "sources.0.archive.read.txet: there is no source 'txet'; did you mean 'text'?"),
        (
            {"text": {"splt": "x"}},
            "recipe.yaml:10: sources.0.archive.read.text.splt: text has no option 'splt'; did you mean 'split'?",
        ),
        (
            {"text": {"front_matter": "perhaps"}},
            "recipe.yaml:10: sources.0.archive.read.text.front_matter: front_matter = 'perhaps': expected bool",
        ),
        ({"text": {"path": "x"}}, "recipe.yaml:10: sources.0.archive.read.text.path: archive gives text what it reads"),
        ({"text": {"license": "x"}}, "sources.0.archive.read.text.license: write it beside read:"),
        ({"sql": {"url": "x", "query": "y"}}, "sources.0.archive.read.sql: sql reads no files"),
        ({"text": {}, "csv": {}}, "sources.0.archive.read: one source: `plugin: {option: value}`"),
        (
            {"archive": {"read": {"csv": {"delimitr": ";"}}}},
            "sources.0.archive.read.archive.read.csv.delimitr: csv has no option 'delimitr'",
        ),
    ],
)
def test_mistakes_are_named_at_their_place(folder: Path, inner: Any, told: str) -> None:
    """File, line and key, as for any other plugin."""
    with pytest.raises(RecipeError) as error:
        loaded(folder, {} if inner is None else {"read": inner})
    assert told in str(error.value)


@pytest.mark.parametrize("inner", ["text", {"text": None}, {"text": {}}])
def test_options_have_their_defaults(folder: Path, inner: Any) -> None:
    """A name alone is a plugin with no options given."""
    (used,) = loaded(folder, {"read": inner, "license": "CC0-1.0"}).sources
    options = used.options["read"]["text"]
    assert (options["front_matter"], options["license"], used.options["license"]) == (True, "CC0-1.0", "CC0-1.0")


def test_workers_build_a_plugin_of_a_file(folder: Path) -> None:
    """Its own defaults of what every source has hold for both, and its version for the source's."""
    recipe = loaded(folder, {"read": {"upper": {"times": 2}}, "columns": {"year": "int"}})
    (used,) = recipe.sources
    assert used.options["text"] == used.options["read"]["upper"]["text"] == "body"
    run(recipe, LocalEngine(2))
    corpus = Corpus.existing(folder / "corpus")
    rows = corpus.sql("SELECT source_key, text FROM documents JOIN texts USING (doc_id) ORDER BY 1").rows()
    assert rows == [(f"x.tar.gz/{n}.txt#0", f"TEXT {n}" * 2) for n in range(5)]
    (folder / "upper.py").write_text(UPPER.replace("upper()", "lower()"))
    assert loaded(folder, {"read": {"upper": {}}}).sources[0].version != used.version
