"""What the source `warc` costs beside fastwarc and resiliparse alone, on the same pages in the same run.

    python benchmarks/warc.py [FILE.warc.gz] [--copies 12] [--rounds 3] [--trafilatura] [--datatrove 1]

FILE is ../shared/data/dev/web/trafilatura-pages.warc.gz unless given. Its response records are written `--copies`
times into one file, since a crawl's files are long and starting is not. CPU seconds, those of child processes
included; the best of the rounds of each, which take turns. Peak memory is this process's and its largest child's.

- alone: fastwarc's iterator, charset by resiliparse, its parser and its main content; the texts are dropped.
- extractor: the same pages from memory through our process, by which its own cost is seen.
- source: `read_documents` over the source, so records, quarantine, hashes and frames.
- datatrove: its WarcReader and Trafilatura over `--datatrove` copies.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from curator.reading import read_documents
from curator_plugins.sources.extraction import Extractor, Page
from curator_plugins.sources.warc import Warc

DEV = Path(__file__).parents[1].parent / "shared" / "data" / "dev"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=DEV / "web" / "trafilatura-pages.warc.gz")
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trafilatura", action="store_true", help="the source with extract: trafilatura too")
    parser.add_argument("--datatrove", type=int, default=0, metavar="COPIES")
    given = parser.parse_args()
    if not given.file.is_file():
        parser.error(f"{given.file} is not there: name a WARC file of pages")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/pages.warc.gz"
        pages, megabytes = _copied(given.file, path, given.copies)
        print(f"{pages} pages, {megabytes:.0f} MB of HTML, {os.path.getsize(path) / 1e6:.0f} MB as stored")
        ways: dict[str, Callable[[], int]] = {
            "fastwarc and resiliparse alone": lambda: _alone(path),
            "the extractor, pages from memory": lambda: _extractor(path),
            "the source": lambda: _source(path, "resiliparse"),
        }
        best: dict[str, float] = {}
        for _ in range(given.rounds):
            for name, way in ways.items():
                seconds, count = _timed(way)
                assert count == pages, f"{name}: {count} texts of {pages} pages"
                best[name] = min(best.get(name, seconds), seconds)
        for name, seconds in best.items():
            _show(name, pages, megabytes, seconds)
        over = best["the source"] / best["fastwarc and resiliparse alone"] - 1
        print(f"the source takes {over:+.1%} of the CPU of the two alone")
        _memory("so far")
        if given.trafilatura:
            _show(
                "the source, trafilatura", pages, megabytes, _timed(lambda: _source(path, "trafilatura"))[0]
            )
        if given.datatrove:
            pages, megabytes = _copied(given.file, path, given.datatrove)
            seconds, count = _timed(lambda: _datatrove(folder))
            _show(f"datatrove ({count} texts)", pages, megabytes, seconds)
            _memory("with datatrove")


def _copied(source: Path, to: str, copies: int) -> tuple[int, float]:
    """Response records `copies` times, each with an id of its own; (pages, MB of HTML)."""
    from fastwarc.stream_io import GzipWriter
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    pages = size = 0
    with open(to, "wb") as file:
        for copy in range(copies):
            for record in ArchiveIterator(
                str(source), record_types=WarcRecordType.response, parse_http=False
            ):
                record.freeze()
                record.record_id = f"<urn:page:{copy}:{pages}>"
                writer = GzipWriter(file, compression_level=6)
                record.write(writer)
                writer.finish()
                pages += 1
                size += record.content_length
    return pages, size / 1e6


def _timed(way: Callable[[], int]) -> tuple[float, int]:
    before = os.times()
    count = way()
    after = os.times()
    return sum(after[:4]) - sum(before[:4]), count


def _show(name: str, pages: int, megabytes: float, seconds: float) -> None:
    print(
        f"{name:36} {seconds:7.2f} CPU s {pages / seconds:7.0f} pages/s {megabytes / seconds:7.1f} MB/s of HTML"
    )


def _memory(when: str) -> None:
    ours, child = (
        resource.getrusage(w).ru_maxrss >> 10 for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory {when}: {ours} MiB, its largest child {child} MiB")


def _alone(path: str) -> int:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    count = 0
    for body in _bodies(path):
        tree = HTMLTree.parse_from_bytes(body, detect_encoding(body, from_html_meta=True))
        count += extract_plain_text(tree, main_content=True) is not None
    return count


def _bodies(path: str) -> Iterator[bytes]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for record in ArchiveIterator(path, record_types=WarcRecordType.response, auto_decode="all"):
        yield record.reader.read()


def _extractor(path: str) -> int:
    pages = [Page(body) for body in _bodies(path)]
    extractor = Extractor("resiliparse", max_bytes=10 << 20, seconds=10, memory=1 << 30)
    found = extractor.many(pages)
    extractor.close()
    return sum(isinstance(text, dict) for text in found)


def _source(path: str, extract: str) -> int:
    source = Warc(name="pages", path=path, extract=extract)
    count = sum(len(frame) for frame, _ in read_documents(source, source.parts()))
    source.extractor.close()
    return count


def _datatrove(folder: str) -> int:
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import WarcReader

    reader: Any = WarcReader(folder, glob_pattern="*.warc.gz")
    return sum(1 for _ in Trafilatura(timeout=10)(reader()))


if __name__ == "__main__":
    main()
