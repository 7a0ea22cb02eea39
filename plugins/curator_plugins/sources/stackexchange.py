"""Questions and answers of Stack Exchange's data dumps (`Posts.xml`): one document a question.

Text is the title, the question, and its answers, the accepted one first and then by score, with blank lines
between; code stays as it stands. The key is the question's id, with the file's folder below `path`
before it, as sites have the same ids: `path: dump/*/Posts.xml` gives cs.stackexchange.com/12. `license` is what the
posts say, all of them joined by AND where they differ; tags, scores and the number of answers are metadata.

**Memory.** Answers stand anywhere in the file, gigabytes from their question. So a part is the questions whose id
has one remainder, and reads the whole file, looking only at three numbers of each row (370 MB/s); what is its own
goes into up to BUCKETS temporary files by the id of the question, each small enough to be put together in memory.
Every row is parsed once, in one part. A file of 100 GB makes 8 parts, which takes 40 minutes of CPU for the eight
readings and 100 GB of temporary space (the folder is TMPDIR's) if all run at once; memory is that of one bucket, 25 MB
of rows. Files up to 32 MB touch no disk. Rejected: a table in DuckDB or SQLite with a join or an index, which writes,
sorts and reads it all again for what the ids give; parts by bytes, whose questions would each need the rest of the file.

Measured (CPU, one core, of Posts.xml): 10-14 MB/s in one part, of which HTML takes two thirds.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Annotated, Any, Literal
from xml.etree import ElementTree

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, open_raw, refused, signature, size_of, unchanged
from curator.lines import GUESSED_RATIO, MAX_PARTS, compression, lines
from curator_plugins.sources.blocks import html_text

ROW_BYTES = 4 * MIB  #: of a row; the longest body is 30,000 characters
BUCKET = 16 * MIB  #: bytes of rows that are put together in memory
BUCKETS = 512  #: temporary files, at most
LARGE = 2048 * MIB  #: bytes of a part
NUMBER = re.compile(rb' (Id|PostTypeId|ParentId|Score)="(-?\d{1,18})"')
QUESTION, ANSWER = 1, 2
SITE = re.compile(r".*/((?:[\w-]+\.)+(?:com|net|org))/[^/]*")  #: a file in a folder that is called as a site

Row = dict[str, str]


class Stackexchange(FileSource):
    """Questions with their answers from Posts.xml files, plain or compressed."""

    version = 1
    endings = ("posts.xml",)
    answers: Annotated[Literal["accepted", "all", "none"], "answers that follow the question"] = "all"
    min_score: Annotated[int | None, "posts with a lower score are left out"] = None
    site: Annotated[
        str | None,
        "address of the site, for that of each question; else the folder tells, if it is called as one",
    ] = None

    def parts(self) -> Iterator[Part]:
        if self.site and not re.fullmatch(r"https?://[^\s/]+/?", self.site):
            raise UsageError(
                f"source {self.name!r}: site: {self.site!r} is no address, as https://stackoverflow.com"
            )
        for uri in self.files():
            size = _size(uri)
            count = min(MAX_PARTS, max(1, size // LARGE))
            signed = signature(uri)
            for number in range(count):
                yield Part(uri, number, count, signed, size // count)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part), ExitStack() as stack:
            if why := refused(part.uri, "Posts.xml"):
                yield why
                return
            number, count = part.start or 0, part.stop or 1
            buckets = _Buckets(stack, _size(part.uri) // count)
            yield from self._sort(part.uri, number, count, buckets)
            skipped: Counter[str] = Counter()
            for file in buckets.files:
                yield from self._documents(file, part.uri, skipped)
            for reason, left in sorted(skipped.items()):
                yield Rejected("*", reason, records=left)
            if not buckets.rows and not number:
                yield Rejected(
                    "0", "no_record", "no line is a <row …/> with Id and PostTypeId; this is no Posts.xml"
                )

    def _sort(self, uri: str, number: int, count: int, buckets: _Buckets) -> Iterator[Rejected]:
        """Put the part's posts into buckets; gives what is no post."""
        for offset, line in lines(uri, max_bytes=ROW_BYTES, max_ratio=self.max_ratio):
            if isinstance(line, Rejected):
                if (
                    line.reason != "too_large" or not number
                ):  # of a row that nobody can read, the first part tells
                    yield line
                continue
            row = line.strip()
            if not row.startswith(b"<row "):
                continue
            found = dict(NUMBER.findall(row, 0, max(row.find(b' Body="'), 0)))  # where the dumps have them
            kind, question = _belongs(found)
            if not question:
                found = dict(NUMBER.findall(row))
                kind, question = _belongs(found)
            buckets.rows += 1
            if b"Id" not in found or not kind:
                if not number:
                    yield Rejected(str(offset), "bad_row", repr(row[:150]))
            elif (
                question and int(question) % count == number and (kind == QUESTION or self.answers != "none")
            ):
                buckets.put(int(question) // count, row)

    def _documents(
        self, file: IO[bytes], uri: str, skipped: Counter[str]
    ) -> Iterator[dict[str, Any] | Rejected]:
        questions: dict[int, Row] = {}
        answers: dict[int, list[Row]] = {}
        file.seek(0)
        for line in file:
            try:
                row = dict(ElementTree.fromstring(line).attrib)
                number, score = int(row["Id"]), int(row.get("Score") or 0)
                parent = None if row["PostTypeId"] == str(QUESTION) else int(row["ParentId"])
            except (ElementTree.ParseError, KeyError, ValueError) as error:
                place = dict(NUMBER.findall(line)).get(b"Id", b"?").decode()
                yield Rejected(f"post {place}", "bad_row", f"{error}: {line[:120]!r}")
                continue
            if self.min_score is not None and score < self.min_score:
                skipped["low_score"] += 1
            elif parent is None:
                questions[number] = row
            else:
                answers.setdefault(parent, []).append(row)
        for number in sorted(questions):
            try:
                yield self._document(questions[number], answers.pop(number, []), uri)
            except ValueError as error:
                yield Rejected(f"post {number}", "bad_row", str(error))
        if answers:
            skipped["no_question"] += sum(map(len, answers.values()))

    def _document(self, question: Row, answers: list[Row], uri: str) -> dict[str, Any]:
        folder = self.relative(uri).rpartition("/")[0]
        accepted = question.get("AcceptedAnswerId")
        if self.answers == "accepted":
            answers = [row for row in answers if row["Id"] == accepted]
        answers.sort(key=lambda row: (row["Id"] != accepted, -int(row.get("Score") or 0), int(row["Id"])))
        title = question.get("Title", "")
        bodies = [html_text(row.get("Body", "")) for row in (question, *answers)]
        licences = {row["ContentLicense"] for row in (question, *answers) if row.get("ContentLicense")}
        record = {
            "#position": f"post {question['Id']}",
            "id": f"{folder}/{question['Id']}" if folder else question["Id"],
            self.text: "\n\n".join(filter(None, (title, *bodies))),
            self.title: title or None,
            self.published: question.get("CreationDate"),
            self.license_field: " AND ".join(sorted(licences)) or None,
            "tags": [tag for tag in re.split(r"[<>|]+", question.get("Tags", "")) if tag],
            "score": int(question.get("Score") or 0),
            "views": int(question.get("ViewCount") or 0),
            "answers": len(answers),
            "accepted": any(row["Id"] == accepted for row in answers),
            "answer_scores": [int(row.get("Score") or 0) for row in answers],
        }
        site = self.site or SITE.sub(r"https://\1", uri)
        if site != uri:
            record[self.url_field] = f"{site.rstrip('/')}/questions/{question['Id']}"
        return record


def _belongs(found: dict[bytes, bytes]) -> tuple[int, bytes | None]:
    """(type of a post, id of its question) by the numbers of its row."""
    kind = int(found.get(b"PostTypeId", 0))
    return kind, found.get({QUESTION: b"Id", ANSWER: b"ParentId"}.get(kind, b""))


class _Buckets:
    """Rows by their question, in files that are in memory while they are small."""

    def __init__(self, stack: ExitStack, size: int) -> None:
        count = min(BUCKETS, max(1, size // BUCKET))
        held = 2 * BUCKET if count == 1 else 1 << 16
        self.rows = 0  #: that were seen, whoever they belong to
        self.files: list[IO[bytes]] = []
        for _ in range(count):
            self.files.append(stack.enter_context(tempfile.SpooledTemporaryFile(held)))  # noqa: SIM115 (the stack closes it)

    def put(self, question: int, row: bytes) -> None:
        self.files[question % len(self.files)].write(row + b"\n")


def _size(uri: str) -> int:
    with open_raw(uri) as file:
        return size_of(uri) * (2 * GUESSED_RATIO if compression(file.read(6)) else 1)


@hookimpl
def register_sources(register: Any) -> None:
    register(Stackexchange)
