"""Training a fastText classifier from any query over the corpus, and scoring it on texts that it never saw.

**Held out** is every text whose hash, of the prepared text (`model.prepare`: the first characters, lower case,
letters only), is a multiple of 5: about a fifth, the same texts in every training, whatever else the query
gives. So copies that differ in case, digits, punctuation or beyond the characters read never stand on both
sides; they are one text, counted once. Other near copies are the query's to leave out: `WHERE kept` behind a
`minhash` step. A text that the query gives with two labels is left out.

**Deterministic**: texts go to fastText in the order of their hashes, in one thread, with a seed; two trainings
give the same bytes (tested), however the catalog orders its rows.

Settings were chosen on sources that training did not see, left out as benchmarks/domain.py does (macro-F1 of
encyclopedia, finance, legal, medical and news, mean of three ways to leave out). By pairs of words, punctuation
as words of its own: 0.45; punctuation on its words: 0.62; without it, digits as 0: 0.63; letters only: 0.71. By
single words, letters only: 0.74. The more of a source's layout a model reads, the more it learns the source
instead of the domain. Rejected, by the same measure: loss one-vs-all (0.71), each word once a text (0.68), half
the epochs at a lower rate (pairs of words, 0.64 against 0.71), rare labels repeated (no difference); 10,000
words kept instead of 20,000 halve the file and cost 0.01. On held-out texts of its own sources the chosen one
reaches 0.98: that figure, which `curator domain train` prints, says little about texts from elsewhere.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from curator import CuratorError, UsageError
from curator_plugins.classifiers.model import (
    PREPARATION,
    Sidecar,
    TextModel,
    encoded,
    fasttext_version,
    file_hash,
    prepare,
)

if TYPE_CHECKING:
    from curator.corpus import Corpus

HELD_OUT = 5
MIN_DOCUMENTS = 10
SETTINGS: dict[str, Any] = {
    "lr": 0.5,
    "dim": 32,
    "wordNgrams": 1,
    "bucket": 0,
    "minCount": 2,
    "loss": "softmax",
}
#: words that the quantised model keeps: 36 bytes each
WORDS = 20_000
#: fastText cannot quantise fewer rows than a codebook has entries; such a model is small as it is
FEWEST_TO_QUANTISE = 256
#: texts that fastText shall see in all, and the bounds of how often it sees each
TEXTS_SEEN, EPOCHS = 100_000, (5, 50)


@dataclass(frozen=True)
class LabelScore:
    """How the model does on the held-out texts of one label; None where nothing is held out or answered."""

    label: str
    documents: int
    held_out: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Trained:
    """What a training made: the model's file, its size in bytes, and scores. `left_out`: label -> documents."""

    model: str
    path: str
    bytes: int
    hash: str
    scores: list[LabelScore]
    macro_f1: float | None
    left_out: dict[str, int]
    copies: int
    contradictions: int


def train(
    corpus: Corpus,
    query: str,
    output: Path,
    *,
    name: str,
    kind: str = "domain",
    max_chars: int = 2000,
    seed: int = 0,
    force: bool = False,
) -> Trained:
    """Train on the query's two columns, text and label, and write `output`, its sidecar and a row of `models`.

    Raises UsageError for a query with other columns or too few labels, and where `output` exists without
    `force`; then nothing is written.
    """
    if output.exists() and not force:
        raise UsageError(f"{output} exists; --force writes over it, -o names another")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} to write {output.name} to")
    texts = labelled_texts(corpus, query, max_chars)
    labels, left_out = enough(texts.frame)
    chosen = texts.frame.filter(pl.col("label").is_in(labels))
    held_out = pl.col("hash") % HELD_OUT == 0
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".training-") as folder:
        file = Path(folder) / output.name
        settings = fit(chosen.filter(~held_out), file, seed)
        scores, macro_f1 = score(TextModel(file, max_chars), chosen, chosen.filter(held_out))
        sidecar = Sidecar(
            model=name,
            kind=kind,
            hash=file_hash(file),
            preparation=PREPARATION,
            max_chars=max_chars,
            labels=labels,
            query=query,
            scores={"labels": [asdict(s) for s in scores], "macro_f1": macro_f1},
            seed=seed,
            settings=settings,
            versions={"fasttext": fasttext_version()},
        )
        description = Sidecar.path(file)
        sidecar.write(description)
        size = file.stat().st_size
        with corpus.catalog.write(wait=60) as con:
            con.execute(
                "INSERT INTO models (model, kind, path, hash, query, labels, scores, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, current_timestamp::TIMESTAMP)",
                [name, kind, str(output.resolve()), sidecar.hash, query, labels, json.dumps(sidecar.scores)],
            )
            file.replace(output)
            description.replace(Sidecar.path(output))
    return Trained(
        name, str(output), size, sidecar.hash, scores, macro_f1, left_out, texts.copies, texts.contradictions
    )


@dataclass(frozen=True)
class Texts:
    """Prepared texts with their labels, each once: `frame` has text, label and hash, in the hash's order."""

    frame: pl.DataFrame
    copies: int
    contradictions: int


def labelled_texts(corpus: Corpus, query: str, max_chars: int) -> Texts:
    """What the query gives; rows without a label or without a letter are left out.

    Only `max_chars` characters of each text are held in memory. Raises UsageError for a query that does not
    have two columns of text.
    """
    corpus.sql(f"EXPLAIN {query}")  # so that what is refused is refused in the words of the query
    inner = query.strip().rstrip(";")
    columns = corpus.sql(f"FROM ({inner}\n) LIMIT 0").arrow().schema
    if [str(field.type) for field in columns] != ["string", "string"]:
        given = ", ".join(f"{f.name} ({f.type})" for f in columns)
        raise UsageError(
            f"--labels gives {given}; it must give two columns of text: the text, then its label"
        )
    rows = corpus.sql(
        f"SELECT left(text, ?) AS text, label FROM ({inner}\n) AS labelled(text, label) "
        "WHERE text IS NOT NULL AND label IS NOT NULL",
        [max_chars],
    ).pl()
    if rows.is_empty():
        raise UsageError(f"--labels gives no text with a label: {query}")
    return distinct(rows, max_chars)


def distinct(rows: pl.DataFrame, max_chars: int) -> Texts:
    """Rows of text and label, prepared: each text once, none with two labels."""
    given = rows.with_columns(text=prepare(rows["text"], max_chars)).filter(pl.col("text") != "")
    pairs = given.unique()
    once = pairs.filter(pl.col("text").is_unique())
    hashes = [xxhash.xxh3_64_intdigest(text.encode()) for text in once["text"]]
    frame = once.with_columns(hash=pl.Series(hashes, dtype=pl.UInt64)).sort("hash", "text")
    return Texts(frame, given.height - pairs.height, pairs.height - once.height)


def enough(texts: pl.DataFrame) -> tuple[list[str], dict[str, int]]:
    """The labels with at least 10 documents, and how many documents the others have.

    Raises UsageError where fewer than two labels are left.
    """
    counts = dict(sorted(Counter(texts["label"]).items()))
    labels = [label for label, count in counts.items() if count >= MIN_DOCUMENTS]
    left_out = {label: count for label, count in counts.items() if count < MIN_DOCUMENTS}
    if len(labels) < 2:
        listed = ", ".join(f"{label!r} ({count})" for label, count in list(counts.items())[:10])
        raise UsageError(
            f"a model needs two labels of at least {MIN_DOCUMENTS} different texts; --labels gives {listed}"
            + (f" and {len(counts) - 10} more" if len(counts) > 10 else "")
        )
    return labels, left_out


def fit(texts: pl.DataFrame, file: Path, seed: int) -> dict[str, Any]:
    """Train on rows of prepared text and label, in their order; write the model and return its settings."""
    import fasttext

    lines = file.with_name("lines.txt")
    with open(lines, "w", encoding="utf-8") as out:
        out.writelines(f"{encoded(label)} {text}\n" for text, label in texts["text", "label"].iter_rows())
    least, most = EPOCHS
    settings = {**SETTINGS, "epoch": max(least, min(most, TEXTS_SEEN // max(1, texts.height)))}
    try:
        model = fasttext.train_supervised(str(lines), **settings, seed=seed, thread=1, verbose=0)
        if len(model.words) >= FEWEST_TO_QUANTISE:
            model.quantize(str(lines), cutoff=WORDS, retrain=True, qnorm=True, thread=1, verbose=0)
        model.save_model(str(file))
    except (ValueError, RuntimeError) as error:
        raise CuratorError(f"fastText cannot train on {texts.height} texts: {error}") from error
    return {**settings, "words": WORDS}


def score(
    model: TextModel, texts: pl.DataFrame, held_out: pl.DataFrame
) -> tuple[list[LabelScore], float | None]:
    """Precision, recall and F1 of every label on the held-out texts, and the mean F1 of those that have one."""
    answers = [label for label, _ in model.label_prepared(held_out["text"].to_list())]
    scores = label_scores(held_out["label"].to_list(), answers, Counter(texts["label"]))
    known = [s.f1 for s in scores if s.f1 is not None]
    return scores, sum(known) / len(known) if known else None


def label_scores(truth: list[str], answers: list[str | None], documents: dict[str, int]) -> list[LabelScore]:
    """Scores of answers against the truth, a label each of `documents` (label -> how many there are in all)."""
    right = Counter(t for t, a in zip(truth, answers, strict=True) if t == a)
    given, answered = Counter(truth), Counter(answers)
    return [
        LabelScore(
            label,
            documents[label],
            given[label],
            right[label] / answered[label] if answered[label] else None,
            right[label] / given[label] if given[label] else None,
            2 * right[label] / (given[label] + answered[label]) if given[label] else None,
        )
        for label in sorted(documents)
    ]
