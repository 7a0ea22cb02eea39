"""Perplexity under an n-gram model of KenLM, as cc_net defines it.

Algorithm: KenLM's own scorer, a line at a time; 40 MB/s a core with a small model, 20 with the normalisation,
which is one table for a whole text (cc_net's, step by step and line by line: 5). Rejected: an ARPA reader of our
own, a second truth beside KenLM's.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Filter, UsageError, hookimpl
from curator.options import FILE

if TYPE_CHECKING:
    from curator.documents import Documents

NO_MODEL = (
    "perplexity needs a model: name a file of KenLM's (ARPA, or what its build_binary made), relative to the "
    "recipe: `- perplexity: {model: en.arpa.bin}`"
)
#: of cc_net's text_normalizer: punctuation of other scripts -> what stands for it
_PUNCTUATION = dict(
    zip("，。、„”“«»」「《》´∶：？！（）；–～’━〈〉【】％►", ',.,"""""""""\'::?!();-~\'-<>[]%-', strict=True)
) | {"—": " - ", "．": ". ", "…": "..."}


class Perplexity(Filter):
    """Drop documents that an n-gram language model finds unlikely (KenLM, cc_net).

    Perplexity as in cc_net (Wenzek et al. 2020): 10 to the power of minus the log10 score of all lines over
    their length, which is the words of a line and one for its end; lines stand between "\\n", and blank ones
    count, too. Words stand between white space, or are the pieces of a `sentencepiece` model, as the published
    models of cc_net and edugp/kenlm need them. `normalize` is cc_net's: lower case, no accents, digits as 0,
    plain punctuation, no control characters; each line by itself, while cc_net removes line ends where pieces
    are made, and so joins words across lines. Rounded to one digit, as there.

    A text without words is NULL and kept. `max_perplexity` is data-juicer's 1500; what is much depends on the
    model, so look at `signals.perplexity` first. Needs `pip install 'corpus-curator[perplexity]'` (ufal.kenlm:
    wheels of KenLM, LGPL, for Linux, macOS and Windows).
    """

    version = 1
    signals: ClassVar[Any] = {"perplexity": float}
    rules: ClassVar[Any] = {
        "too_high_perplexity": "perplexity > $max_perplexity",
        "too_low_perplexity": "perplexity < $min_perplexity",
    }

    model: Annotated[str | None, FILE, "a model of KenLM's"] = None
    sentencepiece: Annotated[
        str | None, FILE, "model that makes the words; else they stand between spaces"
    ] = None
    normalize: Annotated[bool, "as cc_net does before scoring"] = True
    max_perplexity: float | None = 1500.0
    min_perplexity: float | None = None

    def versions(self) -> Mapping[str, str]:
        from curator.hashing import file_hash

        if self.model is None:
            raise UsageError(NO_MODEL)
        _module("kenlm")
        found = {"model": file_hash(Path(self.model))}
        if self.sentencepiece is not None:
            _pieces(self.sentencepiece)
            found["sentencepiece"] = file_hash(Path(self.sentencepiece))
        return found

    def setup(self) -> None:
        kenlm = _module("kenlm")
        config = kenlm.Config()
        config.show_progress = False
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            self._score: Callable[[str], float] = kenlm.Model(self.model, config).score
        except OSError as error:
            raise UsageError(f"model = {self.model!r} is no model of KenLM's: {error}") from None
        self._words = _pieces(self.sentencepiece) if self.sentencepiece is not None else None

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        return {"perplexity": pl.Series([self._perplexity(text) for text in docs.text], dtype=pl.Float64)}

    def _perplexity(self, text: str) -> float | None:
        if self.normalize:
            text = normalized(text)
        score, length = 0.0, 0
        lines = text.split("\n")
        for line in lines:
            if self._words is not None:
                line = " ".join(self._words(line))
            score += self._score(line)
            length += len(line.split()) + 1
        return round(10.0 ** (-score / length), 1) if length > len(lines) else None


def normalized(text: str) -> str:
    """cc_net's normalisation of every line."""
    text = "\n".join(map(str.strip, text.lower().split("\n")))  # KenLM keeps a no-break space
    return unicodedata.normalize("NFD", text).translate(_normal())


@cache
def _normal() -> dict[int, str]:
    """What becomes of a decomposed character: no accents and control characters, plain digits and marks."""
    by_category = {"Mn": "", "Nd": "0"}
    categories = ((c, unicodedata.category(chr(c))) for c in range(sys.maxunicode + 1))
    table = {c: by_category[category] for c, category in categories if category in by_category}
    control = {c: "" for c in (*range(32), *range(127, 160)) if c != ord("\n")}
    return table | str.maketrans(_PUNCTUATION) | control


def _pieces(model: str) -> Callable[[str], list[str]]:
    try:
        processor = _module("sentencepiece").SentencePieceProcessor(model_file=model)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"sentencepiece = {model!r} is no model of sentencepiece: {error}") from None
    encode: Callable[[str], list[str]] = processor.encode_as_pieces
    return encode


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{name} is not installed: pip install 'corpus-curator[perplexity]'") from None


@hookimpl
def register_filters(register: Any) -> None:
    register(Perplexity)
