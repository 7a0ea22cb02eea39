"""Precision and recall of the domain model on sources that its training never saw, and its rate.

    CURATOR_DEV_DATA=… CURATOR_DEV_CORPUS=/tmp/domain-dev curator run benchmarks/recipes/dev.yaml
    python benchmarks/domain.py /tmp/domain-dev $CURATOR_DEV_DATA

Trains on `declared_domain` of what the corpus keeps, three times, each time without some sources; the domains
asked about have another source left. Two sets that the recipe does not read are never trained on: D.C. laws and
Reuters news. `on held-out texts of the same sources` is what `curator domain train` prints: the difference is
what a model learns of its sources instead of their domain.
"""

from __future__ import annotations

import gzip
import re
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import polars as pl

import curator
from curator.testing import documents
from curator_plugins.classifiers import training
from curator_plugins.classifiers.model import TextModel, prepare

LEFT_OUT = (
    ("medquad", "openstax-finance", "foldoc"),
    ("pubmed", "fed-speeches", "wiki-summaries"),
    ("mtsamples", "openstax-health", "openstax-finance", "jargon", "wikitext2"),
)
NEVER_TRAINED = ("dc-laws", "reuters")
#: documents of a left-out source that are asked about at most, so that none outweighs the others
ASKED = 500
MAX_CHARS = 2000
QUERY = (
    "SELECT left(text, 2000) AS text, declared_domain AS label, source FROM texts JOIN documents USING (doc_id) "
    "WHERE kept AND declared_domain <> 'multilingual'"
)


def unread_sources(data: Path) -> pl.DataFrame:
    """D.C. laws and Reuters news, which the recipe does not read: text, label, source."""
    rows = []
    with tarfile.open(data / "legal" / "dc-law-xml.tar.gz") as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                law = " ".join(ElementTree.fromstring(file.read()).itertext())
                rows.append((" ".join(law.split())[:MAX_CHARS], "legal", "dc-laws"))
    reuters = gzip.decompress((data / "news" / "reuters.sgm.gz").read_bytes()).decode("latin-1")
    for body in re.findall(r"<BODY>(.*?)</BODY>", reuters, re.DOTALL):
        rows.append((body[:MAX_CHARS], "news", "reuters"))
    return pl.DataFrame(rows, schema=["text", "label", "source"], orient="row")


def trained(texts: pl.DataFrame) -> TextModel:
    """A model of rows of text and label."""
    once = training.distinct(texts.select("text", "label"), MAX_CHARS).frame
    labels, _ = training.enough(once)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ftz"
        training.fit(once.filter(pl.col("label").is_in(labels)), file, seed=0)
        return TextModel(file, MAX_CHARS)


def report(title: str, asked: pl.DataFrame, answers: list[str | None]) -> None:
    """Print precision and recall a domain, and recall a source with what the others were taken for."""
    asked = asked.with_columns(answer=pl.Series(answers, dtype=pl.String))
    print(f"\n{title}\n{'domain':<16}{'documents':>10}{'precision':>11}{'recall':>8}{'F1':>7}")
    scores = training.label_scores(asked["label"].to_list(), answers, Counter(asked["label"]))
    for s in scores:
        print(
            f"{s.label:<16}{s.documents:>10,}{s.precision or 0:>11.3f}{s.recall or 0:>8.3f}{s.f1 or 0:>7.3f}"
        )
    print(f"{'macro-F1':<45}{sum(s.f1 or 0 for s in scores) / len(scores):>7.3f}")
    for (label, source), rows in sorted(asked.group_by("label", "source")):
        taken = Counter(rows["answer"])
        wrong = ", ".join(f"{other} {n:,}" for other, n in taken.most_common(4) if other != label)
        print(
            f"  {source:<18}{label:<14}{rows.height:>6,} recall {taken[label] / rows.height:.3f}; also {wrong}"
        )


def main(corpus: str, data: str) -> None:
    """Print the tables."""
    texts = pl.concat([curator.open(corpus).sql(QUERY).pl(), unread_sources(Path(data))])
    texts = texts.sort(texts["text"].hash(seed=0))
    pooled: list[tuple[pl.DataFrame, list[str | None]]] = []
    for sources in LEFT_OUT:
        unseen = pl.col("source").is_in([*sources, *NEVER_TRAINED])
        model = trained(texts.filter(~unseen))
        asked = texts.filter(unseen, pl.int_range(pl.len()).over("source") < ASKED)
        pooled.append((asked, [label for label, _ in model.label(asked["text"])]))
        report(f"left out: {', '.join((*sources, *NEVER_TRAINED))}", *pooled[-1])
    report(
        "all three together",
        pl.concat([asked for asked, _ in pooled]),
        [label for _, answers in pooled for label in answers],
    )
    own = training.distinct(
        texts.filter(~pl.col("source").is_in(NEVER_TRAINED)).select("text", "label"), MAX_CHARS
    ).frame
    held_out = pl.col("hash") % training.HELD_OUT == 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ftz"
        training.fit(own.filter(~held_out), file, seed=0)
        model = TextModel(file, MAX_CHARS)
        print(f"\nmodel of all: {file.stat().st_size / 1000:.0f} kB; ", end="")
    scores, macro_f1 = training.score(model, own, own.filter(held_out))
    print(f"macro-F1 on held-out texts of the same sources: {macro_f1:.3f} over {len(scores)} labels")
    batch = documents(*texts["text"]).text
    read = batch.str.len_bytes().sum() / 1e6
    start = time.process_time()
    prepare(batch, MAX_CHARS)
    prepared = time.process_time() - start
    start = time.process_time()
    model.label(batch)
    seconds = time.process_time() - start
    print(
        f"{len(batch) / seconds:,.0f} documents/s of CPU time ({read / seconds:.1f} MB/s of what is read, at most "
        f"{MAX_CHARS} characters each); {prepared / seconds:.0%} of it preparing text"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
