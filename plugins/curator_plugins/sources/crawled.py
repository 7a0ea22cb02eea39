"""What a crawl stores: pages as WARC, and a log that says which pages there are.

A page is a gzip member of a WARC file, as archives have them, and then a line of the log: the log is the
truth, and what a killed process wrote behind its last line is cut off. The log alone says what this walk has
done, and what later ones may ask for conditionally, so that no WARC file is read to go on. A page whose bytes
are what they were is not stored again.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

from curator_plugins.sources.online import now
from curator_plugins.sources.pagelog import PageLog, sealed

FULL = 256 << 20  #: bytes of a WARC file, and one page more
#: Scrapy has undone these; the body is as long as it is
UNDONE = {b"content-encoding", b"transfer-encoding", b"content-length"}


class Crawled:
    """The pages in `folder`: `pages` is the last line about each, `done` what this walk has dealt with."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.log = PageLog(folder)
        self.pages: dict[str, dict[str, Any]] = {}
        self.done: set[str] = set()
        self.tries: dict[str, int] = {}
        self.rejected: dict[str, str] = {}  # and why, at the last
        self.waiting: dict[str, str] = {}  # what failed, and may come in a later run
        self.walk = 1
        self.brought = self.bytes = 0
        self._warc: BinaryIO | None = None

    def __enter__(self) -> Crawled:
        self.log.__enter__()
        ends: dict[str, int] = {}
        for line in self.log.lines():
            if line["walk"] > self.walk:
                self.walk, self.done = line["walk"], set()
            if "finished" in line:
                self.walk, self.done, self.tries = self.walk + 1, set(), {}
                continue
            url = line["url"]
            if "warc" in line:
                ends[line["warc"]] = line["end"]
            if "tries" in line:
                self.tries[url] = line["tries"]
            else:
                self.done.add(url)
            if "status" in line:
                self.pages[url] = line
            if "rejected" in line:
                self.rejected[url] = line["rejected"][0]
        self._repair(ends)
        return self

    def __exit__(self, *_: object) -> None:
        self._seal()
        self.log.seal()

    @property
    def count(self) -> int:
        """Pages that this walk has dealt with."""
        return len(self.done)

    def store(self, url: str, response: Any, about: dict[str, Any]) -> None:
        """Store a page that was not there, or is another now."""
        file = self._warc or self._opened()
        file.write(member(response))
        file.flush()
        os.fsync(file.fileno())
        self.bytes += len(response.body)
        self.brought += 1
        self._append({"url": url, **about, "warc": os.path.basename(file.name)[:-5], "end": file.tell()})
        if file.tell() >= FULL:
            self._seal()

    def unchanged(self, url: str, about: dict[str, Any]) -> None:
        """Note that a page is what it was."""
        self._append(
            {"url": url, **{name: about[name] for name in about if name not in ("warc", "end", "walk")}}
        )

    def failed(self, url: str, reason: str, detail: str, tries: int) -> None:
        """Note that a page did not come; the last of so many runs that try it gives it up."""
        self.tries[url] = self.tries.get(url, 0) + 1
        if self.tries[url] < tries:
            self.waiting[url] = detail
            self.log.append({"walk": self.walk, "url": url, "tries": self.tries[url]})
        elif self.rejected.get(url) == reason:
            self._append({"url": url, "still": reason})
        else:
            self.rejected[url] = reason
            self._append({"url": url, "rejected": [reason, detail]})

    def finish(self) -> None:
        """Note that the walk is at its end."""
        self.log.append({"walk": self.walk, "finished": now().isoformat()})

    def _append(self, line: dict[str, Any]) -> None:
        self.log.append({"walk": self.walk, **line})
        self.done.add(line["url"])
        if "status" in line:
            self.pages[line["url"]] = line

    def _opened(self) -> BinaryIO:
        os.makedirs(self.folder, exist_ok=True)
        numbers = [int(name[:6]) for name in os.listdir(self.folder) if name.endswith(".warc.gz")]
        path = os.path.join(self.folder, f"{max(numbers, default=0) + 1:06}.warc.gz.open")
        self._warc = open(path, "xb")  # noqa: SIM115  # until it is full
        self._warc.write(
            _member("warcinfo", None, b"format: WARC file version 1.1\r\n", "application/warc-fields")
        )
        return self._warc

    def _seal(self) -> None:
        if self._warc is not None:
            sealed(self._warc)
            self._warc = None

    def _repair(self, ends: dict[str, int]) -> None:
        """Cut off what a killed process wrote behind the last page that the log knows."""
        for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []:
            if not name.endswith(".warc.gz.open"):
                continue
            path = os.path.join(self.folder, name)
            whole = ends.get(name.removesuffix(".open"), 0)
            if not whole:
                os.remove(path)
                continue
            with open(path, "r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
            os.rename(path, path.removesuffix(".open"))


def member(response: Any) -> bytes:
    """The page as a gzip member with one WARC record of the response."""
    head = [f"HTTP/1.1 {response.status} ".encode()]
    for name, values in response.headers.items():
        head += [name + b": " + _one_line(value) for value in values if name.lower() not in UNDONE]
    block = b"\r\n".join([*head, b"Content-Length: %d" % len(response.body), b"", response.body])
    address = str(response.ip_address) if response.ip_address else None
    return _member("response", response.url, block, "application/http; msgtype=response", address)


def _one_line(value: bytes) -> bytes:
    return b" ".join(value.split())


def _member(kind: str, url: str | None, block: bytes, content_type: str, address: str | None = None) -> bytes:
    from fastwarc.warc import WarcRecord, WarcRecordType
    from isal import igzip

    record = WarcRecord()
    record.init_headers(record_type=getattr(WarcRecordType, kind))
    named = {
        "WARC-Date": f"{now().isoformat()}Z",
        "WARC-Target-URI": url,
        "WARC-IP-Address": address,
        "Content-Type": content_type,
    }
    for name, value in named.items():
        if value:
            record.headers[name] = value
    record.set_bytes_content(block)
    written = io.BytesIO()
    record.write(written, checksum_data=True)
    return bytes(igzip.compress(written.getvalue()))
