"""Language identification: fastText's lid.176, or langdetect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl

from curator import Filter, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents

UNKNOWN = ("und", 0.0)


class Language(Filter):
    """Label each document's language, and keep those wanted.

    `lid176` is fastText's compressed lid.176 model (176 languages; the model is CC BY-SA 3.0 and comes with
    this package); `langdetect` knows 55 and is slower by two orders of magnitude, seeded so that it repeats.
    Both read the first `max_chars` characters, newlines as spaces. Labels are ISO 639 codes; a text without
    letters is `und` with score 0. Drops a language that is not in `keep` (an empty `keep` keeps all), and a
    score under `min_score`.
    """

    version = 1
    signals: ClassVar[Any] = {"language": str, "score": float}
    rules: ClassVar[Any] = {
        "language": "len($keep) > 0 AND NOT list_contains($keep, language)",
        "low_score": "score < $min_score",
    }
    documents: ClassVar[Mapping[str, str]] = {"language": "language"}

    backend: Literal["lid176", "langdetect"] = "lid176"
    max_chars: Annotated[int | None, "characters that are read; null reads all"] = 2000
    keep: list[str] = []  # an option's default, never changed
    min_score: float | None = None

    def versions(self) -> Mapping[str, str]:
        from importlib.metadata import version

        if self.backend == "langdetect":
            return {"langdetect": version("langdetect")}
        return {"model": "lid.176.ftz 2017", "fasttext": version("fasttext-community")}

    def setup(self) -> None:
        self._label: Callable[[list[str]], list[tuple[str, float]]]
        if self.backend == "lid176":
            import fasttext

            with as_file(files("curator_plugins") / "models" / "lid.176.ftz") as path:
                model = fasttext.load_model(str(path))
            self._label = lambda texts: _lid(model, texts)
        else:
            from langdetect import DetectorFactory

            DetectorFactory.seed = 0
            self._label = lambda texts: [_langdetect(text) for text in texts]

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        heads = docs.text if self.max_chars is None else docs.text.str.head(self.max_chars)
        lines = heads.str.replace_all(r"[\r\n]+", " ").to_list()
        known = docs.text.str.contains(r"\p{L}").to_list()
        found = self._label([line if some else "" for line, some in zip(lines, known, strict=True)])
        found = [answer if some else UNKNOWN for answer, some in zip(found, known, strict=True)]
        return {
            "language": pl.Series([label for label, _ in found], dtype=pl.String),
            "score": pl.Series([round(float(score), 6) for _, score in found], dtype=pl.Float64),
        }


def _lid(model: Any, texts: list[str]) -> list[tuple[str, float]]:
    labels, scores = model.predict(texts, k=1)
    return [
        (label[0].removeprefix("__label__"), min(float(score[0]), 1.0)) if len(label) else UNKNOWN
        for label, score in zip(labels, scores, strict=True)
    ]


def _langdetect(text: str) -> tuple[str, float]:
    from langdetect import LangDetectException, detect_langs

    try:
        best = detect_langs(text)[0]
    except LangDetectException:
        return UNKNOWN
    return best.lang.partition("-")[0], best.prob


@hookimpl
def register_filters(register: Any) -> None:
    register(Language)
