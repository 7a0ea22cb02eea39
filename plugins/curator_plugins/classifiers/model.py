"""A fastText model that this package trained: how it reads a text, and what it answers.

Beside `model.ftz` lies `model.ftz.json` (`Sidecar`): without it a model cannot be used, since the same words
must reach it as in training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import xxhash

from curator import UsageError

if TYPE_CHECKING:
    import polars as pl

#: raised whenever `prepare` gives another text
PREPARATION = 1
PREFIX = "__label__"
#: without any word fastText would answer with the most frequent label
UNDEFINED = (None, None)


def prepare(texts: pl.Series, max_chars: int) -> pl.Series:
    """The line that fastText reads of each text: its first `max_chars` characters, in lower case, as words.

    Whatever is no letter (digits, punctuation, white space) separates words, so a text cannot hold fastText's
    own marks (`__label__x`, `</s>`, newlines). Marks that combine with letters belong to them.
    """
    return (
        texts.str.head(max_chars)
        .str.to_lowercase()
        .str.replace_all(r"[^\p{L}\p{M}]+", " ")
        .str.strip_chars(" ")
    )


@dataclass(frozen=True)
class Sidecar:
    """What must be known of a model to use it, and to judge it. `hash` is the xxh3-128 of the model's file."""

    model: str
    kind: str
    hash: str
    preparation: int
    max_chars: int
    labels: list[str]
    query: str
    scores: dict[str, Any]
    seed: int
    settings: dict[str, Any]
    versions: dict[str, str]

    @staticmethod
    def path(model: Path) -> Path:
        return model.with_name(model.name + ".json")

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @staticmethod
    def of(model: Path) -> Sidecar:
        """Read it. Raises UsageError where it is missing or speaks of another file."""
        path = Sidecar.path(model)
        try:
            found = Sidecar(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(
                f"{path} is missing: it says how {model.name} reads texts; copy both files, or train anew"
            ) from None
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path} is no description of a model: {error}; train anew") from None
        if found.preparation != PREPARATION:
            raise UsageError(
                f"{model} was trained on texts prepared in manner {found.preparation}, this version knows manner "
                f"{PREPARATION}; train anew with `curator domain train`"
            )
        if file_hash(model) != found.hash:
            raise UsageError(f"{model} is not the file that {path.name} describes; copy both, or train anew")
        return found


class TextModel:
    """A loaded model."""

    def __init__(self, path: Path, max_chars: int) -> None:
        import fasttext

        self._model: Any = fasttext.load_model(str(path))
        self._max_chars = max_chars

    @staticmethod
    def load(path: Path) -> TextModel:
        """The model that its sidecar describes. Raises UsageError where either is missing or damaged."""
        return TextModel(path, Sidecar.of(path).max_chars)

    def label(self, texts: pl.Series) -> list[tuple[str | None, float | None]]:
        """The best label of each text and its score from 0 to 1; (None, None) for a text without a letter.

        Scores are rounded to six digits, so that another processor's last bits change nothing stored.
        """
        return self.label_prepared(prepare(texts, self._max_chars).to_list())

    def label_prepared(self, lines: Sequence[str]) -> list[tuple[str | None, float | None]]:
        """As `label`, for texts that `prepare` made."""
        labels, scores = self._model.predict(list(lines), k=1)
        return [
            (decoded(label[0]), round(min(float(score[0]), 1.0), 6)) if line else UNDEFINED
            for line, label, score in zip(lines, labels, scores, strict=True)
        ]


def encoded(label: str) -> str:
    """The label as fastText writes it: one word."""
    return PREFIX + quote(label, safe="")


def decoded(label: str) -> str:
    return unquote(label.removeprefix(PREFIX))


def file_hash(path: Path) -> str:
    """xxh3-128 of a file that fits into memory."""
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


def fasttext_version() -> str:
    return version("fasttext-community")
