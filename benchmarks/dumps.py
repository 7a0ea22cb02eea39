"""Rates and memory of the sources of dumps: xml, wikipedia, stackexchange, mbox.

    python benchmarks/dumps.py ../shared/data/dev [--megabytes 60]

CPU seconds of this process and its children, one after the other, of what the file holds when decompressed; reading
only, without the host's mapping. Posts.xml and the large XML file are made of the corpus's own statutes. Memory is
the peak of a process of its own that reads the made file, and one four times as large.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from curator import Rejected, Source
from curator.lines import decompressed
from curator_plugins.sources.mbox import Mbox
from curator_plugins.sources.stackexchange import Stackexchange
from curator_plugins.sources.wikipedia import Wikipedia
from curator_plugins.sources.xml import Xml

STORY = {"id": "@NEWID", "text": "TEXT/BODY", "title": "TEXT/TITLE", "published": "DATE"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("dev", type=Path)
    arguments.add_argument("--megabytes", type=int, default=60)
    arguments.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.memory_of:
        kind, path = given.memory_of
        read(Xml(path=path, record="document") if kind == "xml" else Stackexchange(path=path))
        status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's, if that has more
        print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
        return
    with tempfile.TemporaryDirectory() as folder:
        acts = list(statutes(given.dev / "legal/dc-law-xml.tar.gz"))
        made = {}
        for times in (1, 4):
            made["xml", times] = Path(folder, f"acts{times}.xml")
            made["stackexchange", times] = Path(folder, f"Posts{times}.xml")
            write_acts(made["xml", times], acts, times * given.megabytes)
            write_posts(made["stackexchange", times], acts, times * given.megabytes)
        report("xml, statutes", Xml(path=str(made["xml", 1]), record="document"))
        sgml = {"format": "sgml", "record": "REUTERS", "encoding": "latin-1", "fields": STORY}
        report("xml, Reuters' SGML", Xml(path=str(given.dev / "news/reuters.sgm.gz"), **sgml))
        for wiki in ("enwiki", "ltgwiki"):
            report(wiki, Wikipedia(path=str(given.dev / f"encyclopedia/{wiki}-pages-articles.xml.bz2")))
        report("stackexchange, made", Stackexchange(path=str(made["stackexchange", 1])))
        report("mbox, Usenet", Mbox(path=str(given.dev / "forum")))
        for kind in ("xml", "stackexchange"):
            peaks = [memory(given.dev, kind, made[kind, times]) for times in (1, 4)]
            print(f"{kind}: peak memory {peaks[0]} MB, of four times the file {peaks[1]} MB")


def report(name: str, source: Source) -> None:
    before = cpu()
    count, text, rejected = read(source)
    seconds = cpu() - before
    files = {part.uri for part in source.parts()}
    megabytes = sum(len(piece) for uri in files for piece in decompressed(uri)) / 1e6
    print(
        f"{name}: {megabytes:.1f} MB, {count} documents, {rejected} rejections, {text / 1e6:.1f} M characters of text, "
        f"{seconds:.2f} s, {megabytes / seconds:.1f} MB/s, {count / seconds:.0f} documents/s"
    )


def read(source: Source) -> tuple[int, int, int]:
    count = text = rejected = 0
    for part in source.parts():
        for record in source.read(part):
            if isinstance(record, Rejected):
                rejected += 1
            else:
                count += 1
                text += len(record["text"])
    return count, text, rejected


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def memory(dev: Path, kind: str, path: Path) -> int:
    command = [sys.executable, __file__, str(dev), "--memory-of", kind, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def statutes(path: Path) -> Iterator[str]:
    with tarfile.open(path) as archive:
        for member in archive:
            if file := archive.extractfile(member):
                yield file.read().decode().partition("?>")[2]


def write_acts(path: Path, acts: list[str], megabytes: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("<library>")
        size = 0
        while size < megabytes * 1_000_000:
            for act in acts:
                size += file.write(act)
        file.write("</library>")


def write_posts(path: Path, acts: list[str], megabytes: int) -> None:
    """Two questions for each three answers, which are to any question before, as in the official schema."""
    chance = random.Random(1)
    words = [word for act in acts[:50] for word in act.split() if "<" not in word and ">" not in word]
    number = size = 0
    asked: list[int] = []
    with path.open("w", encoding="utf-8-sig") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        while size < megabytes * 1_000_000:
            number += 1
            if not asked or chance.random() < 0.4:
                asked.append(number)
                row: dict[str, Any] = {"PostTypeId": 1, "Title": sentence(chance, words, 8), "Tags": "<a><b>"}
            else:
                row = {"PostTypeId": 2, "ParentId": chance.choice(asked)}
            row |= {
                "Score": chance.randint(-3, 50),
                "Body": body(chance, words),
                "ContentLicense": "CC BY-SA 4.0",
            }
            row = {"Id": number, "CreationDate": "2012-01-02T03:04:05.677"} | row
            attributes = " ".join(
                f"{k}={quoteattr(str(v), {chr(10): '&#xA;', chr(34): '&quot;'})}" for k, v in row.items()
            )
            size += file.write(f"  <row {attributes} />\n")
        file.write("</posts>")


def sentence(chance: random.Random, words: list[str], length: int) -> str:
    return " ".join(chance.choice(words) for _ in range(length))


def body(chance: random.Random, words: list[str]) -> str:
    blocks = []
    for _ in range(4):
        text = sentence(chance, words, chance.randint(10, 60)).replace("&", "&amp;")
        code = f"<pre><code>def f(x):\n    return x &lt; {number(chance)}\n</code></pre>"
        blocks.append(
            chance.choice([f"<p>{text} <code>a</code></p>"] * 6 + [code, f"<ul>\n<li>{text}</li>\n</ul>"])
        )
    return "\n".join(blocks)


def number(chance: random.Random) -> int:
    return chance.randint(1, 99)


if __name__ == "__main__":
    main()
