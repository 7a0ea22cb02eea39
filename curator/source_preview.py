"""What a source would read: its parts, about how many documents, and the first of them. Nothing is written."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from curator import files
from curator.errors import CuratorError, FetchError, NothingToRead, RecipeError, UsageError
from curator.fetching import fetch, fetches, folder_of, parts_of, source_of
from curator.loading import Plugins
from curator.planning import packed
from curator.plugin import Part, Rejected, Source
from curator.reading import Quarantined, read_documents
from curator.recipe import Recipe, Used
from curator.recipe_file import RecipeFile

if TYPE_CHECKING:
    from curator.run import Progress

RECORDS = 5_000  #: read of each source, for the estimate
SECONDS = 2.0  #: that reading them may take
COMPRESSIONS = re.compile(r"\.(gz|zst|bz2|xz|lz4)$")


@dataclass
class SourcePreview:
    """What is seen of one source. `documents` is an estimate unless `exact`; `size` is in bytes of text."""

    name: str
    plugin: str
    uris: int = 0
    parts: int = 0
    splits: int = 0
    size: int = 0
    documents: int = 0
    exact: bool = False
    note: str = ""
    first: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How many of the records that were looked at cannot be read, by reason."""
        found: Counter[str] = Counter()
        for q in self.quarantined:
            found[q.reason] += q.records
        return found


def preview_source(used: Used, recipe: Recipe, documents: int, progress: Progress) -> SourcePreview:
    """Look at one source of a recipe and read about `documents` of it.

    What it would fetch is fetched into a folder that is deleted then, no more than is shown, unless the corpus has
    some. Raises UsageError as the source does where there is nothing.
    """
    plugins = Plugins(recipe.plugins)
    found = SourcePreview(used.name, used.plugin)
    with tempfile.TemporaryDirectory(prefix="curator-preview-") as scratch:
        has_some = folder_of(recipe.corpus, used.name).is_dir()
        source = source_of(used, plugins, recipe.base, recipe.corpus if has_some else scratch)
        stopped: FetchError | None = None
        if fetches(source):
            found.note = "of what the corpus has fetched" if has_some else "of what was fetched for this preview"
            try:
                if not has_some:
                    fetch(source, progress, documents)
            except FetchError as error:
                stopped = error
                found.note += f"; fetching stopped: {error}"
        try:
            parts = parts_of(source)
        except NothingToRead:
            if stopped:
                raise stopped from None
            raise
        found.uris, found.parts = len({p.uri for p in parts}), len(parts)
        found.splits, found.size = len(list(packed(parts))), sum(p.size for p in parts)
        source.setup()
        try:
            _read(source, parts, documents, found)
        except CuratorError:
            raise
        except Exception as error:  # a source's plugin may raise anything
            raise CuratorError(f"source {used.name}: {type(error).__name__}: {error}") from error
    return found


def _read(source: Source, parts: Sequence[Part], documents: int, found: SourcePreview) -> None:
    glance = _Glance(source, max(documents, RECORDS))
    text = seen = 0
    for frame, bad in read_documents(glance, parts):  # type: ignore[arg-type]  # a source but for `read`
        found.quarantined += bad
        found.first += frame.drop("doc_key", "content_hash", "part").head(documents - len(found.first)).to_dicts()
        seen += frame.height
        text += int(frame["text"].str.len_bytes().sum())
    whole = sum(p.size for p in parts[: glance.whole])
    found.exact = glance.whole == len(parts)
    if found.exact:
        found.documents, found.size = seen, text
    elif glance.whole and whole:  # sizes are of files: the documents of those that were read whole say more
        found.documents = seen * found.size // max(whole, 1)
    elif text:
        found.documents = max(seen, seen * found.size // text)


class _Glance:
    """The source, of which only the first records are read, for a while; `whole` parts were read to their end."""

    def __init__(self, source: Source, records: int) -> None:
        self._source = source
        self._left = records
        self._until = time.monotonic() + SECONDS
        self.whole = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        records = self._source.read(part)
        if self._left <= 0:
            return
        for record in islice(records, self._left):
            self._left -= 1
            yield record
            if time.monotonic() > self._until:
                self._left = 0
                return
        if self._left or next(iter(records), None) is None:
            self.whole += 1


def recipe_of(path: str, plugin: str | None, options: dict[str, str], plugin_files: Sequence[str]) -> Recipe:
    """A recipe with one source over a path; which plugin reads it, the files' names say unless it is given.

    `options` are given as text and read as YAML. Raises UsageError where no plugin knows such files.
    """
    given = {}
    for name, value in options.items():
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise UsageError(f"--set {name}={value}: this is no YAML ({told}); quote what begins with @") from None
    plugins = Plugins(tuple(plugin_files))
    chosen = plugin or _plugin_for(path, plugins)
    source = {chosen: {**_place(path, chosen, plugins), **given}}
    text = yaml.safe_dump({"name": "preview", "plugins": list(plugin_files), "sources": [source]}, sort_keys=False)
    try:
        return RecipeFile(os.path.join(os.getcwd(), "preview"), text, ()).recipe()
    except RecipeError as error:
        raise UsageError(str(error).rpartition("sources.0.")[2]) from None


def _place(path: str, plugin: str, plugins: Plugins) -> dict[str, Any]:
    """The option that says where to read: an address is the url of those that fetch."""
    options = plugins.get("source", plugin).plugin.options()
    if "urls" in options and ("path" not in options or "://" in path):
        return {"urls": [path]}
    return {"path" if "path" in options or "url" not in options else "url": path}


def _plugin_for(path: str, plugins: Plugins) -> str:
    """The source whose `endings` fit most of the files; of two endings that fit one file, the longer."""
    sources = [e for e in plugins.all() if e.kind == "source"]
    endings = {ending: e.name for e in sources for ending in getattr(e.plugin, "endings", ())}
    names = files.expand(path, os.getcwd())
    votes: Counter[str] = Counter()
    for name in names:
        plain = COMPRESSIONS.sub("", name.lower())
        fitting = [ending for ending in endings if plain.endswith(ending) or name.lower().endswith(ending)]
        if fitting:
            votes[endings[max(fitting, key=len)]] += 1
    if not votes:
        known = ", ".join(e.name for e in sources)
        raise UsageError(f"{names[0]}: no source knows such files by their names; say which with --as: {known}")
    return votes.most_common(1)[0][0]
