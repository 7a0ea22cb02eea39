"""Readers on damaged files: real ones, mutated; no exception, no crash, no hang, no memory beyond the limit.

    python benchmarks/fuzz.py [--inputs 200000] [--seed 1] [--formats csv,mbox] [--data ../shared/data/dev]
                              [--keep FOLDER]

An input is a piece of a real file (where --data has some; else of small ones made here) with 1 to 8 mutations: bits,
bytes and runs overwritten, cut out, doubled, swapped with another file's, numbers changed, tokens of the format put
in; plain, or compressed before or after the damage. Input n of a format depends on the seed and n alone. A child
process reads them (`read_documents` over the source's own parts): it is watched from outside, so that a crash or an
endless loop of native code is seen. An input fails that raises anything but UsageError, takes over a second of the
processor, lifts the child beyond 300 MB, or, read again (every 20th), gives other documents. Exit code 1 if any
failed. atheris has no coverage of native code in wheels, which is where these readers parse.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import multiprocessing
import os
import random
import re
import resource
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

SECONDS = 1.0  #: of the processor, an input
WALL = 60.0  #: without a sign of life
MEMORY = 300 << 20  #: bytes resident
ENOUGH = 200  #: pieces of a format
NUMBERS = [b"0", b"-1", b"1", b"255", b"65536", b"2147483647", b"4294967296", b"9" * 19, b"9" * 400, b"1e999", b"NaN"]
TOKENS = {
    "jsonl": [b'{"text":', b'"', b"\\ud800", b"\\u0000", b"[" * 40, b"null", b"}", b",", b"\n", b'\\"', b"\xff"],
    "csv": [b'"', b'""', b",", b"\t", b"\r", b"\n", b"\0", b'"\n', b"\xef\xbb\xbf", b"," * 50],
    "text": [b"---\n", b"&a [*a]", b"## ", b"\0", b"\xff\xfe", b"title: [", b"!!python/object:os.system", b"\n...\n"],
    "parquet": [b"PAR1", b"\x15\xfe\xff\xff\xff\x0f", b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x19\xfc"],
    "warc": [b"WARC/1.0\r\n", b"Content-Length: ", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n"],
    "mbox": [b"\nFrom x ", b"Content-Type: multipart/mixed; boundary=a\n", b"--a\n", b"=?utf-8?b?//8=?=", b"\n\n", b"="],
    "xml": [b"<", b"</", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<![CDATA[", b"]]>", b"&#0;", b"<a>" * 40, b"<!--"],
}
TOKENS["warc"] += [b"Content-Encoding: gzip\r\n", b"charset=utf-7", b"<script>", b"<table>" * 30, b"WARC-Type: revisit\r\n"]


def formats() -> dict[str, tuple[str, int, Callable[[str], Any]]]:
    """Name -> (tokens, share of the inputs, source of a file)."""
    from curator_plugins.sources.csv import Csv
    from curator_plugins.sources.jsonl import Jsonl
    from curator_plugins.sources.mbox import Mbox
    from curator_plugins.sources.parquet import Parquet
    from curator_plugins.sources.stackexchange import Stackexchange
    from curator_plugins.sources.text import Text
    from curator_plugins.sources.tsv import Tsv
    from curator_plugins.sources.warc import Warc
    from curator_plugins.sources.wikipedia import Wikipedia
    from curator_plugins.sources.xml import Xml

    return {
        "jsonl": ("jsonl", 40, lambda path: Jsonl(path=path)),
        "csv": ("csv", 30, lambda path: Csv(path=path)),
        "tsv": ("csv", 10, lambda path: Tsv(path=path, text="note")),
        "text": ("text", 15, lambda path: Text(path=path, split="^#+ ")),
        "parquet": ("parquet", 25, lambda path: Parquet(path=path)),
        "warc": ("warc", 30, lambda path: Warc(path=path, extract="none")),
        "html": ("warc", 5, lambda path: Warc(path=path)),
        "mbox": ("mbox", 25, lambda path: Mbox(path=path)),
        "xml": ("xml", 10, lambda path: Xml(path=path)),
        "sgml": ("xml", 10, lambda path: Xml(path=path, record="REUTERS", format="sgml", fields={"text": ".//BODY"})),
        "wikipedia": ("xml", 10, lambda path: Wikipedia(path=path)),
        "stackexchange": ("xml", 5, lambda path: Stackexchange(path=path)),
    }


# -- pieces of files


def pieces(name: str, data: Path) -> list[bytes]:
    """Small files of a format: real ones cut at their records, or made ones."""
    return list(_cut(name, data))[:ENOUGH] or list(_made(name))


def _cut(name: str, data: Path) -> Iterator[bytes]:
    where = {
        "jsonl": ("**/*.jsonl.*", rb"^", 3000),
        "csv": ("news/*.csv", rb"\n(?=\d)", 6000),
        "tsv": ("medical/*.tsv", rb"\n(?=\d+\t)", 6000),
        "text": ("legal-de/*", None, 6000),
        "warc": ("*/*.[wa]*rc*", rb"(?<=\r\n\r\n)(?=WARC/1)|\n(?=https?://\S+ [\d.]+ \d{14})", 12_000),
        "html": ("web/*.warc.gz", rb"(?<=\r\n\r\n)(?=WARC/1)", 60_000),
        "mbox": ("forum*/*", rb"\n\n(?=From )", 6000),
        "sgml": ("news/*.sgm.gz", rb"(?=<REUTERS)", 5000),
        "wikipedia": ("encyclopedia/*.xml.bz2", rb"(?=<page>)", 8000),
        "xml": ("legal/*.tar.gz", None, 10_000),
    }.get(name)
    paths = sorted(data.glob(where[0])) if where else []
    share = ENOUGH // max(min(len(paths), ENOUGH), 1)
    for path in paths[:ENOUGH]:
        content = _content(path)
        if name == "xml":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                members = [member for member in archive.getmembers() if member.isfile()][: 4 * ENOUGH]
                files = [archive.extractfile(member) for member in members]
                yield from (file.read() for file, m in zip(files, members, strict=True) if file and m.size < 10_000)
            continue
        pattern, size = where[1], where[2]  # type: ignore[index]  # a format without files never gets here
        head = content[: content.find(b"\n") + 1] if name in ("csv", "tsv") else b""
        head = content[: content.find(b"<page>")] if name == "wikipedia" else head
        if pattern is None:
            yield content[:size]
            continue
        starts = [match.end() for match in re.finditer(pattern, content[: 1 << 22], re.MULTILINE)]
        for start in starts[:: max(1, len(starts) // share)][:share]:
            stops = [stop for stop in starts if start < stop <= start + size]  # whole records, where they are that small
            yield head + content[start : stops[-1] if stops else start + size]


def _content(path: Path) -> bytes:
    from curator.lines import decompressed

    return b"".join(decompressed(str(path)))


def _made(name: str) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    body = "Some words of a text, “quoted”, with an accent: é.\nA second line.\n"
    page = f"<html><head><title>T</title></head><body><h1>H</h1><p>{body * 4}</p></body></html>".encode()
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/\r\nContent-Length: {len(http)}\r\n"
    crawl = (head + "Content-Type: application/http;msgtype=response\r\n\r\n").encode() + http + b"\r\n\r\n"
    mail = f"From a@b Thu Jan  1 00:00:00 1970\nFrom: a@b\nSubject: =?utf-8?q?=C3=A9?=\nMessage-ID: <1@b>\n\n{body}\n"
    quoted = body.replace("\n", " ")
    made = {
        "jsonl": [json.dumps({"id": n, "text": body, "url": "http://a.org", "n": [1.5, None]}) + "\n" for n in range(5)],
        "csv": [f'id,text,title\n1,"{body}",t\n2,"{body}",\n'],
        "tsv": [f'row\tnote\n1\t"{body}"\n2\tx\n'],
        "text": [f"---\ntitle: T\ndate: 2024-05-01\n---\n# One\n{body}\n## Two\n{body}"],
        "mbox": [mail * 3],
        "xml": [f"<law><section n='1'>{body}</section></law>"],
        "sgml": [f'<REUTERS NEWID="{n}"><TITLE>T</TITLE><BODY>{body}&lt;&#3;</BODY></REUTERS>\n' for n in range(3)],
        "wikipedia": [
            f"<mediawiki><page><title>T</title><ns>0</ns><id>1</id><revision><id>2</id><text>'''T''' {{{{a|b}}}} "
            f"[[c|d]] {body}</text></revision></page></mediawiki>"
        ],
        "stackexchange": [
            f'<posts>\n<row Id="1" PostTypeId="1" AcceptedAnswerId="2" Title="T" Body="&lt;p&gt;{quoted}&lt;/p&gt;" />\n'
            f'<row Id="2" PostTypeId="2" ParentId="1" Body="&lt;p&gt;{quoted}&lt;/p&gt;" />\n</posts>'
        ],
    }
    if name in ("warc", "html"):
        yield from (crawl, crawl * 3)
    elif name == "parquet":
        table = pa.table({"id": range(40), "text": [body * (n % 5 + 1) for n in range(40)], "tags": [["a"]] * 40})
        for codec in ("snappy", "zstd", "none", "gzip"):
            for version in ("1.0", "2.0"):
                sink = io.BytesIO()
                pq.write_table(table, sink, compression=codec, data_page_version=version, row_group_size=15)
                yield sink.getvalue()
    else:
        yield from (text.encode() for text in made[name])


# -- mutations


def mutated(drawn: random.Random, found: list[bytes], tokens: list[bytes]) -> bytes:
    """A damaged file: the damage comes before compression, after it, or there is none."""
    data = drawn.choice(found)
    pack = drawn.choice([bytes] * 6 + [gzip.compress, bz2.compress, lzma.compress])
    if drawn.random() < 0.3:
        return _damaged(drawn, pack(data), found, tokens)
    return pack(_damaged(drawn, data, found, tokens))


def _damaged(drawn: random.Random, data: bytes, found: list[bytes], tokens: list[bytes]) -> bytes:
    for _ in range(drawn.choice((1, 1, 2, 4, 8))):
        start = drawn.randrange(len(data) + 1)
        stop = min(len(data), start + int(2 ** drawn.uniform(0, 12)))
        match drawn.randrange(9):
            case 0:
                data = data[:start] + bytes(b ^ 1 << drawn.randrange(8) for b in data[start : start + 1]) + data[start + 1 :]
            case 1:
                data = data[:start] + drawn.randbytes(min(stop - start, 16)) + data[stop:]
            case 2:
                data = data[:start] + data[stop:]
            case 3:
                data = data[:stop] + data[start:stop] * drawn.choice((1, 1, 3, 20)) + data[stop:]
            case 4:
                other = drawn.choice(found)
                at = drawn.randrange(len(other) + 1)
                data = data[:start] + other[at : at + stop - start] + data[stop:]
            case 5:
                data = data[:start]
            case 6 if numbers := list(re.finditer(rb"\d+", data[start : start + 2000])):
                number = drawn.choice(numbers)
                data = data[: start + number.start()] + drawn.choice(NUMBERS) + data[start + number.end() :]
            case 7:
                data = data[:start] + drawn.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * (stop - start) + data[stop:]
            case _:
                data = data[:start] + drawn.choice(tokens) + data[start:]
        data = data[: 1 << 18]
    return data


def input_of(name: str, seed: int, number: int, found: list[bytes], tokens: list[bytes]) -> bytes:
    return mutated(random.Random(f"{seed} {name} {number}"), found, tokens)


# -- reading


def read(source: Any) -> tuple[list[Any], list[tuple[str, str]]]:
    """The documents' rows, and (position, reason) of what was quarantined; a refusal to plan is a reason too."""
    from curator import UsageError
    from curator.reading import read_documents

    try:
        parts = list(source.parts())
    except UsageError:
        return [], [("", "usage")]
    batches = list(read_documents(source, parts))
    rows = [row for frame, _ in batches for row in frame.rows()]
    return rows, [(q.position, q.reason) for _, bad in batches for q in bad]


def child(pipe: Any, name: str, seed: int, data: Path, first: int, last: int) -> None:
    """Sends (number, outcome) of each input: a Counter, or what is wrong with it."""
    tokens, _, make = formats()[name]
    found = pieces(name, data)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = os.path.join(folder, "input")
        source = make(path)
        for number in range(first, last):
            Path(path).write_bytes(input_of(name, seed, number, found, TOKENS[tokens]))
            source = source if name in ("html", "warc") else make(path)  # whose extractor is a process
            start = time.process_time()
            try:
                rows, bad = read(source)
                seconds = time.process_time() - start
                wrong = f"{seconds:.2f} seconds" if seconds > SECONDS else ""
                if not wrong and number % 20 == 0 and (rows, bad) != read(make(path)):
                    wrong = "read twice, it differs"
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
                if not wrong and peak > MEMORY:
                    wrong = "memory"
                outcome = Counter({"documents": len(rows)}) + Counter(reason for _, reason in bad)
                pipe.send((number, seconds, peak, wrong or outcome))
                if wrong == "memory":
                    return
            except Exception:
                pipe.send((number, 0.0, 0, traceback.format_exc(limit=-6)))


def fuzz(name: str, seed: int, count: int, data: Path, keep: Path | None) -> tuple[Counter[str], list[str]]:
    """What the inputs of a format came to, and what is wrong with which."""
    context = multiprocessing.get_context("fork")
    total: Counter[str] = Counter()
    wrong: list[str] = []
    number = 0
    slowest, highest = 0.0, 0
    while number < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(theirs, name, seed, data, number, count))
        process.start()
        theirs.close()
        said = ""
        try:
            while not said and ours.poll(WALL):
                number, seconds, peak, outcome = ours.recv()
                slowest, highest = max(slowest, seconds), max(highest, peak)
                if isinstance(outcome, str):
                    wrong.append(f"{name} {number}: {outcome}")
                else:
                    total.update(outcome)
                total["inputs"] += 1
                number += 1
            if number < count and process.is_alive():
                wrong.append(f"{name} {number}: no sign of life for {WALL} s")
                number += 1
        except EOFError:
            process.join()
            if number < count and not (wrong and wrong[-1].endswith("memory")):
                wrong.append(f"{name} {number}: the child died ({process.exitcode})")
                number += 1
        process.kill()
        process.join()
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        found = pieces(name, data) if wrong else []
        for what in wrong:
            at = int(what.split()[1].rstrip(":"))
            tokens = TOKENS[formats()[name][0]]
            (keep / f"{name}-{seed}-{at}").write_bytes(input_of(name, seed, at, found, tokens))
    total["slowest_ms"], total["peak_mb"] = int(1000 * slowest), highest >> 20
    return total, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", default=None)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "dev")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the inputs that fail")
    given = parser.parse_args()
    known = formats()
    names = given.formats.split(",") if given.formats else list(known)
    shares = sum(known[name][1] for name in names)
    failed: list[str] = []
    for name in names:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        count = -(-given.inputs * known[name][1] // shares)
        total, wrong = fuzz(name, given.seed, count, given.data, given.keep)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name}: {dict(total)}; {count / seconds:.0f} inputs a CPU second, {len(wrong)} failed", flush=True)
        print(*wrong[:20], sep="\n", end="\n" if wrong else "", flush=True)
        failed += wrong
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
