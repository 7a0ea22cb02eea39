"""Language identification: fastText's lid.176, or langdetect.

Algorithm: lid.176 as `curator.text.fasttext` computes it, over whole texts, in one pass over their bytes and
with the answers of fastText itself: on 63,019 English web texts (251 MB) and 10,991 texts in 400 languages
(24 MB), the same label and the same decision at a score of 0.65 for every one, scores within 3e-5. One core:
60-70 MB/s, short texts and rare scripts 30-40; the fasttext package 10-14, datatrove's LanguageFilter 8-11.

Rejected: reading a head. The first 2000 characters through the fasttext package, 25-33 MB/s, give another
decision for 0.40 % of the English texts, and another label for 1.1 % of the others (22 % of the declarations
of human rights, most of them in languages that the model does not know). Reading on where a head's score is
under 0.8 would mend all but 24 of the 253 decisions, and be slower still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl

from curator import Filter, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents
    from curator.text.fasttext import FastText

UNKNOWN = ("und", 0.0)


class Language(Filter):
    """Label each document's language, and keep those wanted.

    `lid176` is fastText's compressed lid.176 model (176 languages; the model is CC BY-SA 3.0 and comes with
    this package); `langdetect` knows 55 and is slower by two orders of magnitude, seeded so that it repeats.
    Both read the whole text (langdetect by itself no more than 10,000 characters) or its first `max_chars`
    characters, newlines as spaces. Labels are ISO 639 codes; a text without letters is `und` with score 0.
    Drops a language that is not in `keep` (an empty `keep` keeps all), and a score under `min_score`.
    """

    version = 2
    signals: ClassVar[Any] = {"language": str, "score": float}
    rules: ClassVar[Any] = {
        "language": "len($keep) > 0 AND NOT list_contains($keep, language)",
        "low_score": "score < $min_score",
    }
    documents: ClassVar[Mapping[str, str]] = {"language": "language"}

    backend: Literal["lid176", "langdetect"] = "lid176"
    max_chars: Annotated[int | None, "characters that are read; null reads all"] = None
    keep: list[str] = []  # an option's default, never changed
    min_score: float | None = None

    def versions(self) -> Mapping[str, str]:
        from importlib.metadata import version

        if self.backend == "langdetect":
            return {"langdetect": version("langdetect")}
        return {"model": "lid.176.ftz 2017"}

    def setup(self) -> None:
        self._label: Callable[[Documents], list[tuple[str, float]]]
        if self.backend == "lid176":
            from curator.text.fasttext import FastText

            with as_file(files("curator_plugins") / "models" / "lid.176.ftz") as path:
                model = FastText(path)
            self._label = lambda docs: _lid(model, docs)
        else:
            from langdetect import DetectorFactory

            DetectorFactory.seed = 0
            self._label = lambda docs: [
                _langdetect(text) for text in docs.text.str.replace_all(r"[\r\n]+", " ")
            ]

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        read = docs if self.max_chars is None else docs.with_text(docs.text.str.head(self.max_chars))
        known = docs.text.str.contains(r"\p{L}").to_list()
        found = [answer if some else UNKNOWN for answer, some in zip(self._label(read), known, strict=True)]
        return {
            "language": pl.Series([label for label, _ in found], dtype=pl.String),
            "score": pl.Series([round(score, 6) for _, score in found], dtype=pl.Float64),
        }


def _lid(model: FastText, docs: Documents) -> list[tuple[str, float]]:
    labels, scores = model.best(docs.arrow_text)
    return [
        (model.labels[label].removeprefix("__label__"), min(score, 1.0)) if label >= 0 else UNKNOWN
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
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
