"""Pages -> text, in a process of its own that a page may hang, crash or fill without harm to the worker.

Each worker keeps one such process, gives it page after page, and starts another when one has died. A page over
`max_page_bytes` is refused unseen; one that takes more than `max_page_seconds` of the processor, more than
`max_page_memory`, or the whole process with it, becomes a quarantine row that says so. A page that found the
process used may pay for an earlier one's memory: it is tried once more, alone, so that what is refused hangs on
the page and not on its neighbours.

**Which extractor.** On 58 pages with known article bodies (F1 of shingles of four words) and 273 with strings that
must and must not be in the text (F1), `benchmarks/extraction.py`: resiliparse 0.890 and 0.845 at 526 pages per CPU
second, trafilatura 0.967 and 0.934 at 60, all text of the body 0.399 and 0.694. Recall is the same (0.98 and 0.97
against 0.99 and 0.94): resiliparse leaves more of what stands round the text in, which filters and deduplication of
lines take out later, at a ninth of the cost of a crawl. So resiliparse is the default, and trafilatura, in its fast
mode (which is better here than its slow one, 0.952 and 0.935 at 47), is for those who can pay.

**Cost** (`benchmarks/warc.py`): the source `warc` as a whole takes 10-17 % more CPU than fastwarc and resiliparse
alone on a busy machine, 4 % of it for title, date and language; the process starts in 0.06 s. Pages are in memory
that both see: through a pipe each costs 380 µs more, a fifth of what resiliparse takes; 16 are asked for at a time,
as a message for each costs 80 µs. Rejected: resiliparse in the worker (a page of 100,000 nested tags holds it for
20 s, and nothing but a signal to the process stops that; running out of memory aborts it), `multiprocessing`
(workers are daemons, which may have no children), a timer in the parent (system timers in the process stop native
code too, go on when the parent is killed, and count its own work, so that a page's fate does not hang on what else
the machine does).

Where the system has no timers for processes (Windows) the clock counts instead, and outside Linux memory has no limit
but what `max_page_bytes` makes of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, BinaryIO, ClassVar, Literal, cast

from curator import CuratorError, Rejected, Source, UsageError
from curator.files import MIB
from curator.moments import moment
from curator_plugins.sources import page as protocol

PAGES = 20_000  #: pages of one process: libraries keep caches that grow
BATCH = 16  #: pages that are given to it at a time
OTHERS = "extraction_interrupted"  #: a page whose process died, perhaps of another page
AGAIN = (OTHERS, "extraction_memory", "extraction_crash")  #: what a page answers for alone
NO_MEMORY = ("memory allocation", "MemoryError", "Cannot allocate memory", "bad_alloc")  #: how Rust, Python and C say it
LEAST_MEMORY = 8 * MIB  #: bytes that did for each of 60 pages of up to 146 kB; 1 MiB did for 9 of them
DETAIL = 300  #: bytes of what a process said at its end
#: the C library keeps freed memory, where it would give pages back and take them again; no traces of Rust's stack
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
    "RUST_BACKTRACE": "0",
}
NEEDS = {"trafilatura": ("trafilatura", "lxml_html_clean")}  #: packages of the extra `web`


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came; `charset` is what the server said, `position` its place in the part."""

    html: bytes
    url: str | None = None
    charset: str | None = None
    position: str = "0"


class Extractor:
    """Takes the text out of pages, under limits."""

    def __init__(self, name: str, *, max_bytes: int, seconds: float, memory: int) -> None:
        """`name` is resiliparse, trafilatura or none, or pdf. Raises UsageError where its packages are missing."""
        need_web(f"extract: {name}", *NEEDS.get(name, ()))
        self.name, self.max_bytes, self.seconds, self.memory = name, max_bytes, seconds, memory
        self._process: _Process | None = None

    def __call__(
        self, html: bytes, *, url: str | None = None, charset: str | None = None, position: str = "0"
    ) -> dict[str, Any] | Rejected:
        """{text, charset}, and title, language, published, canonical (its own address) where the page has them.

        Rejected: page_too_large, extraction_timeout, extraction_memory, extraction_crash, extraction_failed (the
        library's own error), no_text.
        """
        return self.many([Page(html, url, charset, position)])[0]

    def many(self, pages: Sequence[Page]) -> list[dict[str, Any] | Rejected]:
        """The same of each of the pages, cheaper by a twentieth."""
        found: list[dict[str, Any] | Rejected] = []
        batch: list[Page] = []
        held = 0
        for page in pages:
            size = len(page.html)
            if size > self.max_bytes or len(batch) == BATCH or held + size > self.max_bytes:
                found += self._batch(batch)
                batch, held = [], 0
            if size > self.max_bytes:
                detail = f"{size} bytes, more than max_page_bytes: {self.max_bytes}"
                found.append(Rejected(page.position, "page_too_large", detail))
            else:
                batch.append(page)
                held += size
        return found + self._batch(batch)

    def close(self) -> None:
        """End the process; the next page starts another."""
        if self._process:
            self._process.close()
        self._process = None

    def _batch(self, pages: list[Page]) -> list[dict[str, Any] | Rejected]:
        said, _ = self._ask(pages) if pages else ([], None)
        said += [{"reason": OTHERS}] * (len(pages) - len(said))
        return [self._found(page, about) for page, about in zip(pages, said, strict=True)]

    def _found(self, page: Page, about: dict[str, Any]) -> dict[str, Any] | Rejected:
        if about.get("reason") in AGAIN:
            about = self._alone(page)
        size = len(page.html)
        if "reason" in about:
            limit = f"more than max_page_memory: {self.memory}: " if about["reason"] == "extraction_memory" else ""
            detail = f"{self.name}, {size} bytes: {limit}{about['detail']}"
            return Rejected(page.position, about["reason"], detail)
        if not about["text"].strip():
            return Rejected(page.position, "no_text", f"{self.name} found no text in {size} bytes")
        return about

    def _alone(self, page: Page) -> dict[str, Any]:
        while True:
            used = self._process is not None
            said, death = self._ask([page])
            about = said[0] if said else death or {}
            if about.get("reason") not in AGAIN or not used:
                return about
            self.close()

    def _ask(self, pages: list[Page]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """What the process said of the pages, and of what it died where it did not get to the last of them."""
        if self._process is None or self._process.pages >= PAGES:
            self.close()
            self._process = _Process(self.name, self.seconds, self.memory, self.max_bytes)
        said = list(self._process.ask(pages))
        if len(said) == len(pages):
            return said, None
        death = self._process.death()
        self.close()
        return said, death


class _Process:
    def __init__(self, name: str, seconds: float, memory: int, max_bytes: int) -> None:
        self.pages = 0
        self._seconds = seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        shared, name_of_it = _shared(max_bytes)
        self._memory = mmap.mmap(shared.fileno(), max_bytes)
        self._popen = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                protocol.__name__,
                name,
                str(seconds),
                str(memory),
                name_of_it,
                str(max_bytes),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._to, self._from = cast(BinaryIO, self._popen.stdin), cast(BinaryIO, self._popen.stdout)
        self.close = weakref.finalize(self, _end, self._popen, name_of_it, self._errors, self._memory, shared)
        if protocol.receive(self._from) is None:
            death = self.death()
            self.close()
            raise CuratorError(f"the process that extracts text ({name}) does not start: {death['detail']}")
        _forget(name_of_it)

    def ask(self, pages: list[Page]) -> Iterator[dict[str, Any]]:
        """What it says of each, until it dies."""
        self.pages += len(pages)
        at = 0
        for page in pages:
            self._memory[at : at + len(page.html)] = page.html
            at += len(page.html)
        with contextlib.suppress(ConnectionError):
            protocol.send(self._to, {"pages": [(len(page.html), page.url, page.charset) for page in pages]})
            self._to.flush()
            for _ in pages:
                if (said := protocol.receive(self._from)) is None:
                    return
                yield said

    def death(self) -> dict[str, Any]:
        """Why the process died."""
        peak = 0
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(self._popen.pid, 0)
            self._popen.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        code = self._popen.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        if code in (-getattr(signal, "SIGPROF", 0), -getattr(signal, "SIGALRM", 0)) or "Timeout (" in said:
            return {"reason": "extraction_timeout", "detail": f"more than max_page_seconds: {self._seconds:g}"}
        if any(sign in said for sign in NO_MEMORY) or code == -getattr(signal, "SIGKILL", 0):
            return {"reason": "extraction_memory", "detail": f"the process had {peak // MIB} MiB at its peak"}
        return {"reason": "extraction_crash", "detail": f"exit code {code}: {said.strip()[-DETAIL:]}"}


def _shared(size: int) -> tuple[BinaryIO, str]:
    """A file, in memory where the system has such, that another process can open by name."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("page")
        name = f"/proc/{os.getpid()}/fd/{number}"
    else:
        number, name = tempfile.mkstemp(prefix="curator-page-")
    file = cast(BinaryIO, os.fdopen(number, "w+b"))
    file.truncate(size)
    return file, name


def _end(process: subprocess.Popen[bytes], name: str, *files: Any) -> None:
    for file in (process.stdin, process.stdout, *files):
        with contextlib.suppress(OSError):
            file.close()
    process.kill()
    process.wait()
    _forget(name)


def _forget(name: str) -> None:
    with contextlib.suppress(OSError):  # there is none in memory, and Windows keeps what is in use
        os.unlink(name)


class PageSource(Source):
    """Base of the sources whose documents are pages: the options of extraction, and the extractor."""

    extract: Annotated[
        Literal["resiliparse", "trafilatura", "none"],
        "what takes the text out of a page; none leaves the markup in, for a cleaner of your own",
    ] = "resiliparse"
    max_page_bytes: Annotated[int, "a larger page is quarantined"] = 10 * MIB
    max_page_seconds: Annotated[
        float, "a page that takes longer, in seconds of the processor, is quarantined"
    ] = 5.0
    max_page_memory: Annotated[int, "a page that takes more bytes of memory is quarantined (on Linux)"] = (
        1024 * MIB
    )

    #: what failed of a higher limit is read again by `curator run --retry`, all else stays as it is
    without_effect: ClassVar[Sequence[str]] = ("name", "path", "max_page_seconds", "max_page_memory")

    def check(self) -> None:
        """Raises UsageError where what extracts is not installed, or has too little memory: before any work."""
        if self.max_page_memory < LEAST_MEMORY:
            raise UsageError(
                f"source {self.name!r}: max_page_memory: {self.max_page_memory} bytes are fewer than usual pages "
                f"need; set it to {LEAST_MEMORY} or more"
            )
        need_web(f"source {self.name!r}, extract: {self.extract}", *NEEDS.get(self.extract, ()))

    @cached_property
    def extractor(self) -> Extractor:
        return Extractor(
            self.extract,
            max_bytes=self.max_page_bytes,
            seconds=self.max_page_seconds,
            memory=self.max_page_memory,
        )

    def as_record(self, found: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """The record of a page from what the extractor found and what was known before, which counts more."""
        text, said = found.pop("text"), found.get("published")
        fields = {
            self.title: found.pop("title", None),
            self.published: found.pop("published", None) if said and moment(said) else None,
            **found,
        }
        return {**{name: value for name, value in fields.items() if value}, **known, self.text: text}


def need_web(what: str, *packages: str) -> None:
    """Raises UsageError where one of the packages is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"{what} needs the package {package}: pip install 'corpus-curator[web]'")
