"""Writes what dolma's taggers gopher_v2 and c4_v2 answer, as the tests' expected values.

dolma 1.2.1 needs numpy 1 and pins that clash with ours, so it runs in an environment of its own:

    python3 -m venv /tmp/dolma
    /tmp/dolma/bin/pip install --no-deps dolma==1.2.1
    /tmp/dolma/bin/pip install "numpy<2" nltk msgspec smart_open omegaconf necessary uniseg anyascii pyyaml boto3 \
        fsspec requests tqdm charset_normalizer zstandard rich cached-path
    /tmp/dolma/bin/python tests/plugins/dolma_expected.py tests/plugins/dolma_expected.jsonl.gz [TEXTS.jsonl.gz]

Without TEXTS (lines of JSON with a field `text`) the texts are some of the sample corpus and random ones.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
PIECES = ["the", "The", "of", "and", "to", "a", "word", "Wörter", "日本", "#", "…", "...", "*", "- ", "• ", " ", " ", " ", "\n",
          "\n\n", "\r\n", "\t", "\x1c", "\x85", "\u2028", "\u200b", "\x00", ".", "?", "!", '"', "“x”", "{", "}", "JavaScript",
          "lorem ipsum", "Lorem Ipsum", "sex", "12", "٣", "👍🏽", "שלום", "x" * 1001, "K", "İ", "ß"]  # fmt: skip


def texts() -> Iterator[str]:
    for path in sorted((EXAMPLES / "docs").glob("*.md"))[::4]:
        yield path.read_text(encoding="utf-8")[:6000]
    for path, field in (("medicine/abstracts.jsonl.gz", "abstract"), ("finance/economy.jsonl.gz", "text")):
        with gzip.open(EXAMPLES / path, "rt", encoding="utf-8") as file:
            yield from (json.loads(line)[field] for line in list(file)[::12])
    draw = random.Random(0)
    for size in range(300):
        text = "".join(draw.choice(PIECES) for _ in range(size % 60))
        yield text * draw.choice([1, 1, 2, 9])


def measures(text: str) -> dict[str, Any]:
    from dolma.core.data_types import Document
    from dolma.taggers.c4 import FasterC4Tagger
    from dolma.taggers.gopher import GopherTaggerV2

    document = Document(source="", id="", text=text)
    gopher = {span.type: span.score for span in GopherTaggerV2().predict(document).spans}
    c4: dict[str, Any] = {}
    for span in FasterC4Tagger().predict(document).spans:
        c4[span.type] = span.score if span.type == "line_count" else c4.get(span.type, 0) + 1
    return {"gopher": gopher, "c4": c4}


def main(target: str, source: str | None = None) -> None:
    import nltk

    nltk.download = lambda *_, **__: None  # importing dolma would fetch a model that these taggers do not use
    if source:
        with gzip.open(source, "rt", encoding="utf-8") as file:
            found = [json.loads(line)["text"] for line in file]
    else:
        found = list(texts())
    with gzip.GzipFile(target, "wb", mtime=0) as out:
        for text in found:
            out.write((json.dumps({"text": text, **measures(text)}) + "\n").encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
