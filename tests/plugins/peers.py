"""Texts to compare plugins with other implementations on, and those implementations."""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st

from curator.testing import HARD_TEXTS, _failing, documents

DATA = Path(os.environ.get("CURATOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@functools.cache
def real_texts(of_bench: int = 400, of_each: int = 15) -> list[str]:
    """Texts of the benchmark corpus and of each file of the development corpus, about 400 languages; skips where they
    are not.
    """
    found = []
    for path, n in [
        (DATA / "bench.jsonl.gz", of_bench),
        *((p, of_each) for p in sorted(DATA.glob("dev/*/*.jsonl.gz"))),
    ]:
        if path.exists():
            with gzip.open(path) as file:
                found += [json.loads(line).get("text") for line in islice(file, n)]
    found += [path.read_text(encoding="utf-8")[:800] for path in sorted(DATA.glob("dev/multilingual-udhr/*.txt"))]
    for path in DATA.glob("dev/multilingual-man/*.parquet"):
        pages = pl.read_parquet(path)
        column = next(name for name in ("text", "content", "page") if name in pages.columns)
        found += pages[column].str.head(2000).to_list()[::20]
    texts = [text for text in found if isinstance(text, str)]
    if not texts:
        pytest.skip(f"no texts under {DATA}; set CURATOR_TEST_DATA to a folder with bench.jsonl.gz or dev/")
    return texts


def some_text(*pieces: str) -> st.SearchStrategy[str]:
    """Any text without lone surrogates and unassigned characters, or one strung together from `pieces`."""
    anything = st.characters(exclude_categories=["Cs", "Cn"])
    common = [
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1f",
        "\x85",
        "\u2028",
        " ",
        "  ",
        "\t",
        "\u00a0",
        "\u3000",
    ]
    common += [
        "\x00",
        "\u200b",
        "\u200d",
        "\u0301",
        "word",
        "Émile",
        "ПРИВЕТ",
        "שלום",
        "مرحبا",
        "日本語",
        "शब्द",
        "👩‍🚀",
        "١٢",
        "²",
        "_",
    ]
    strung = st.lists(st.sampled_from([*common, *pieces, *pieces]) | anything, max_size=30).map("".join)
    return st.text(anything) | strung | st.sampled_from([text for text in HARD_TEXTS if len(text) < 1000])


def datatrove(module: str, name: str, *args: Any, **options: Any) -> Any:
    """A pipeline step of datatrove's; skips where datatrove is not installed."""
    pytest.importorskip("regex", reason="datatrove imports regex without requiring it: pip install regex")
    found = pytest.importorskip(f"datatrove.pipeline.{module}", reason="datatrove is not installed")
    return getattr(found, name)(*args, **options)


def reasons(step: Any, texts: Iterable[str], **metadata: Any) -> list[str | None]:
    """What one of datatrove's filters says to each text: None where it keeps it."""
    from datatrove.data import Document

    answers = [step.filter(Document(text=text, id="0", metadata=dict(metadata))) for text in texts]
    return [
        None if answer is True else answer[1] if isinstance(answer, tuple) else step.name
        for answer in answers
    ]


def by_line(keep: Callable[[str], bool], text: str) -> str:
    """The text without the lines, between "\\n", that `keep` is false of."""
    return "\n".join(line for line in text.split("\n") if keep(line))


def first_reasons(plugin: Any, texts: Sequence[str], **options: Any) -> list[str | None]:
    """The first rule that drops each text, answered as the catalog does."""
    step = plugin(**options)
    step.setup()
    return [failing[0] if failing else None for failing in _failing(step, documents(*texts), options)]
