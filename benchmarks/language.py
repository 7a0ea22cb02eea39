"""Language identification by lid.176.ftz: rates, in MB of text a CPU second on one core, and agreement.

    python benchmarks/language.py [--megabytes 24] [--texts FILE.jsonl.gz] [--batch 4] [--dolma PYTHON]

All read the same documents with the same model file: the fasttext package (whole texts; and their first 2000
characters), datatrove's LanguageFilter, ours, and dolma's tagger `ft_lang_id_en_doc_v2`. Agreement is with the
fasttext package on whole texts: the same label, and the same answer to "is it English, with a score over
0.65". datatrove and dolma score all 176 labels; dolma lowers the text first and knows only "en". Kernels are
compiled and models loaded before anything is timed; ours has an empty table in its first pass.

dolma 1.2.1 needs numpy 1, so it has an environment of its own:

    python -m venv dolma && dolma/bin/pip install --no-deps dolma==1.2.1
    dolma/bin/pip install "numpy<2" fasttext-community anyascii blingfire boto3 cached_path langdetect msgspec \\
        necessary nltk omegaconf platformdirs pycld2 regex requests rich smart_open "tokenizers<0.20" tqdm uniseg \\
        zstandard
    python benchmarks/language.py --dolma dolma/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from importlib.resources import as_file, files
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import fasttext
import polars as pl
from datatrove.data import Document
from datatrove.pipeline.filters import LanguageFilter
from rich.console import Console
from rich.table import Table
from words import batches

from curator.documents import Documents
from curator_plugins.filters.language import Language

LIMIT = 0.65
DOLMA = """
import json, sys, time
from dolma.core.data_types import Document
from dolma.taggers.language import FastTextEnglishLanguageDocumentTagger

FastTextEnglishLanguageDocumentTagger.MODEL_PATH = sys.argv[1]
tagger = FastTextEnglishLanguageDocumentTagger()
documents = [Document(source="", id="", text=text) for text in json.load(sys.stdin)]
started = time.process_time()
spans = [tagger.predict(document).spans for document in documents]
seconds = time.process_time() - started
print(json.dumps([seconds, [max([s.score for s in found if s.type == "en"], default=0) for found in spans]]))
"""

#: the label and the score of each document; None where only English was asked for
Answers = list[tuple[str | None, float]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--megabytes", type=float, default=24)
    options.add_argument("--batch", type=float, default=4, help="MB of text in a batch")
    options.add_argument(
        "--texts", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "bench.jsonl.gz"
    )
    options.add_argument("--dolma", type=Path, help="the Python of an environment that has dolma")
    given = options.parse_args()
    frames, megabytes = batches(given.texts, given.megabytes, given.batch)
    texts = [text for frame in frames for text in frame["text"]]
    table = Table(
        "what",
        "MB/s",
        "times datatrove",
        "label",
        "decision",
        title=f"{megabytes:.0f} MB, {len(texts):,} documents, one core",
    )
    with as_file(files("curator_plugins") / "models" / "lid.176.ftz") as path:
        model = fasttext.load_model(str(path))
        dolma = answers_of_dolma(given.dolma, path, texts) if given.dolma else None

    rows: list[tuple[str, float, Answers]] = []

    def timed(what: str, work: Callable[[], Answers]) -> None:
        started = time.process_time()
        found = work()
        rows.append((what, megabytes / (time.process_time() - started), found))

    LanguageFilter._requires_dependencies = []  # it insists on one of fasttext's distributions by name
    theirs = LanguageFilter(["en"], LIMIT)
    theirs.model._model = model  # what it would download is the same model, not quantised
    ours = Language().for_measuring()
    ours.setup()
    ours.measure(Documents(frames[0].head(1)))
    ours.setup()
    timed("fasttext, whole texts", lambda: by_package(model, texts))
    timed("fasttext, 2000 characters", lambda: by_package(model, (t[:2000] for t in texts)))
    timed("datatrove LanguageFilter", lambda: by_datatrove(theirs, texts))
    if dolma:
        rows.append(("dolma ft_lang_id_en_doc_v2", megabytes / dolma[0], dolma[1]))
    timed("curator, empty table", lambda: by_curator(ours, frames))
    timed("curator, second pass", lambda: by_curator(ours, frames))

    reference = rows[0][2]
    rate = dict(row[:2] for row in rows)["datatrove LanguageFilter"]
    for what, speed, found in rows:
        pairs = list(zip(found, reference, strict=True))
        labels = None if found[0][0] is None else sum(one[0] == two[0] for one, two in pairs)
        decisions = sum(is_english(one) == is_english(two) for one, two in pairs)
        table.add_row(
            what,
            f"{speed:.1f}",
            f"{speed / rate:.1f}",
            "" if labels is None else f"{labels / len(texts):.3%}",
            f"{decisions / len(texts):.3%}",
        )
    Console().print(table)


def is_english(answer: tuple[str | None, float]) -> bool:
    return answer[0] in ("en", None) and answer[1] > LIMIT


def by_package(model: fasttext.FastText._FastText, texts: Iterable[str]) -> Answers:
    found = (model.predict(text.replace("\n", " ")) for text in texts)
    return [(labels[0].removeprefix("__label__"), float(scores[0])) for labels, scores in found]


def by_datatrove(step: LanguageFilter, texts: list[str]) -> Answers:
    documents = [Document(text=text, id="") for text in texts]
    kept = [step.filter(document) for document in documents]
    found = [(d.metadata["language"], d.metadata["language_score"]) for d in documents]
    assert all(is_english(answer) == keep for answer, keep in zip(found, kept, strict=True))
    return found


def by_curator(step: Language, frames: list[pl.DataFrame]) -> Answers:
    return pl.concat(pl.DataFrame(step.measure(Documents(frame))) for frame in frames).rows()


def answers_of_dolma(python: Path, model: Path, texts: list[str]) -> tuple[float, Answers]:
    """Its CPU seconds and English scores."""
    ended = subprocess.run(
        [python, "-c", DOLMA, model], input=json.dumps(texts), stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, scores = json.loads(ended.stdout)
    return seconds, [(None, score) for score in scores]


if __name__ == "__main__":
    main()
