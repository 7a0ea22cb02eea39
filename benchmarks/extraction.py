"""How well and how fast each extractor takes the text out of real pages with known texts.

    python benchmarks/extraction.py [FOLDER]

FOLDER (../shared/data/dev unless given) holds `gold/extraction.jsonl.gz` and the pages that its lines name. A line
has `url`, `where` (a page saved as HTML, or a WARC file that holds the URL) and either `articleBody` (the set of
scrapinghub's article-extraction-benchmark) or `must_contain` and `must_not_contain` (trafilatura's set).

- article: precision, recall and F1 of shingles of 4 words, as in scrapinghub's evaluate.py: means over the pages,
  and F1 of the means.
- strings: each string that must be there and is, is a true positive; one that must not be there and is not, a true
  negative; accuracy, precision, recall and F1 over all of them, as in trafilatura's evaluate.py (whitespace is one).

Rates are pages and MB of HTML per CPU second, the page decoded and parsed in the same time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator_plugins.sources.bodies import decoded
from curator_plugins.sources.crawl_records import Record, records
from curator_plugins.sources.page import decode, extract

DEV = Path(__file__).parents[1].parent / "shared" / "data" / "dev"
Extract = Callable[[bytes], str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=DEV)
    folder = parser.parse_args().folder
    gold_file = folder / "gold" / "extraction.jsonl.gz"
    if not gold_file.is_file():
        parser.error(
            f"{gold_file} is not there: name the folder that holds gold/extraction.jsonl.gz and its pages"
        )
    with gzip.open(gold_file, "rt") as lines:
        gold = [json.loads(line) for line in lines]
    pages = _pages(folder, gold)
    bodies = [(page, g["articleBody"]) for page, g in pages if "articleBody" in g]
    strings = [(page, g["must_contain"], g["must_not_contain"]) for page, g in pages if "must_contain" in g]
    megabytes = sum(len(page) for page, _ in pages) / 1e6
    print(f"{len(bodies)} articles, {len(strings)} pages with strings, {megabytes:.1f} MB of HTML\n")
    print(
        "| extractor | article: precision | recall | F1 | strings: accuracy | precision | recall | F1 | empty | pages/s | MB/s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, extractor in EXTRACTORS.items():
        extractor(pages[0][0])  # imports
        start = time.process_time()
        found = [extractor(page) for page, _ in pages]
        seconds = time.process_time() - start
        texts = dict(zip([page for page, _ in pages], found, strict=True))
        article = _article([(texts[page], body) for page, body in bodies])
        string = _strings([(texts[page], there, absent) for page, there, absent in strings])
        empty = sum(not text.strip() for text in found)
        figures = " | ".join(f"{figure:.3f}" for figure in (*article, *string))
        print(f"| {name} | {figures} | {empty} | {len(pages) / seconds:.0f} | {megabytes / seconds:.1f} |")


def _pages(folder: Path, gold: list[dict[str, Any]]) -> list[tuple[bytes, dict[str, Any]]]:
    archives: dict[str, dict[str, bytes]] = {}
    pages = []
    for line in gold:
        where = line["where"]
        if ".warc" in where:
            if where not in archives:
                archives[where] = {
                    record.url.strip(): decoded(record.body, record.http, 1 << 30)
                    for _, record in records(str(folder / where), 1 << 30)
                    if isinstance(record, Record) and record.http is not None
                }
            page = archives[where].get(line["url"].strip())
        else:
            opener = gzip.open if where.endswith(".gz") else open
            with opener(folder / where, "rb") as file:
                page = file.read()
        if page is None:
            print(f"no page of {line['url']} in {where}")
        else:
            pages.append((page, line))
    return pages


def _ours(name: str) -> Extract:
    return lambda page: str(extract(page, name)["text"])


def _resiliparse_whole(page: bytes) -> str:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    return str(extract_plain_text(HTMLTree.parse(decode(page, None)[0]), main_content=False))


def _trafilatura(**options: Any) -> Extract:
    def run(page: bytes) -> str:
        import trafilatura

        return trafilatura.extract(decode(page, None)[0], include_comments=False, **options) or ""

    return run


def _get_text(page: bytes) -> str:
    from resiliparse.parse.html import HTMLTree

    body = HTMLTree.parse(decode(page, None)[0]).body
    return body.text if body else ""


EXTRACTORS: dict[str, Extract] = {
    "resiliparse, as the source has it": _ours("resiliparse"),
    "resiliparse, whole page": _resiliparse_whole,
    "trafilatura, as the source has it": _ours("trafilatura"),
    "trafilatura, favor_precision": _trafilatura(favor_precision=True),
    "trafilatura, favor_recall": _trafilatura(favor_recall=True),
    "trafilatura, not fast": _trafilatura(),
    "all text of the body": _get_text,
}


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(s for i in range(max(1, len(words) - 3)) if (s := tuple(words[i : i + 4])))


def _article(pairs: list[tuple[str, str]]) -> tuple[float, float, float]:
    precisions, recalls = [], []
    for found, gold in pairs:
        ours, true = _shingles(found), _shingles(gold)
        common = (ours & true).total()
        if ours:
            precisions.append(common / ours.total())
        if true:
            recalls.append(common / true.total())
    precision, recall = statistics.mean(precisions), statistics.mean(recalls)
    return precision, recall, 2 * precision * recall / (precision + recall)


def _strings(pages: list[tuple[str, list[str], list[str]]]) -> tuple[float, float, float, float]:
    tp = fn = fp = tn = 0
    for text, there, absent in pages:
        tidy = _tidy(text)
        hits, misses = sum(_tidy(s) in tidy for s in there), sum(_tidy(s) in tidy for s in absent)
        tp, fn = tp + hits, fn + len(there) - hits
        fp, tn = fp + misses, tn + len(absent) - misses
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return (tp + tn) / (tp + tn + fp + fn), precision, recall, 2 * precision * recall / (precision + recall)


def _tidy(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
