"""Domain of a document, by a fastText model that `curator domain train` made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Classifier, UsageError, hookimpl
from curator.options import FILE
from curator_plugins.classifiers.model import Sidecar, TextModel, fasttext_version

if TYPE_CHECKING:
    from curator.documents import Documents

NO_MODEL = (
    "domain needs a model; train one from labels that the corpus has, as what its sources declare:\n"
    '  curator domain train --labels "SELECT text, declared_domain FROM texts JOIN documents USING (doc_id)" '
    "-o model.ftz\n"
    "and name it: `- domain: {model: model.ftz}`, relative to the recipe"
)


class Domain(Classifier):
    """Label each document's domain, as a model of yours knows them.

    `label` is the best of the model's labels, `score` its probability from 0 to 1; a text without a letter has
    neither. The model's sidecar says how many characters are read. Drops nothing unless told to: a domain that
    is not in `keep` (an empty `keep` keeps all), and a score under `min_score`.
    """

    version = 1
    rules: ClassVar[Any] = {
        "domain": "len($keep) > 0 AND NOT list_contains($keep, label)",
        "low_score": "score < $min_score",
    }
    documents: ClassVar[Mapping[str, str]] = {"domain": "label"}

    model: Annotated[str | None, FILE, "made by `curator domain train`; its .json must lie beside it"] = None
    keep: list[str] = []  # an option's default, never changed
    min_score: float | None = None

    def versions(self) -> Mapping[str, str]:
        sidecar = Sidecar.of(self._path)
        reads = f"{sidecar.max_chars} characters, prepared in manner {sidecar.preparation}"
        return {"model": sidecar.hash, "reads": reads, "fasttext": fasttext_version()}

    def setup(self) -> None:
        self._labels = TextModel.load(self._path)

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        labels, scores = zip(*self._labels.label(docs.text), strict=True) if len(docs) else ((), ())
        return {"label": pl.Series(labels, dtype=pl.String), "score": pl.Series(scores, dtype=pl.Float64)}

    @property
    def _path(self) -> Path:
        if self.model is None:
            raise UsageError(NO_MODEL)
        return Path(self.model)


@hookimpl
def register_classifiers(register: Any) -> None:
    register(Domain)
