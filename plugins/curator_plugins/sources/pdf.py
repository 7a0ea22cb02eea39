"""PDF files: the text layer, one document a file.

PDFium (the browser's) reads them, in a process that a file may hang, crash or fill without harm to the worker
(`curator_plugins.sources.extraction`). Pages are joined by an empty line; where each begins stands in the metadata
as `page_starts`. Words hyphenated at a line's end are joined. Title, author, and the creation date as `published`,
are what the file says of itself. A scan has no text layer, and is quarantined as such: nothing is recognized here.

Rejected, on manuals of 36 and 17 pages: pypdf 7.1 (the same words; 5 to 7 times the time, 0.02 s a page), pdfminer.six
(8 to 11 times, and its lines out of order), PyMuPDF (AGPL). pypdfium2 is one wheel of 4 MB for each system,
without dependencies, BSD and Apache.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import MIB, FileSource, signature, size_of, unchanged
from curator.lines import whole
from curator_plugins.sources.extraction import Extractor

HEAD = 1024  #: bytes that the mark of a PDF is looked for in
TEXT_SHARE = 20  #: bytes of a PDF for one of text, about


class Pdf(FileSource):
    """PDF files, the text layer of each as one document; plain or compressed."""

    version = 1
    endings = (".pdf",)

    max_file_bytes: Annotated[int, "a larger file is quarantined"] = 256 * MIB
    max_seconds: Annotated[float, "a file that takes longer, in seconds of the processor, is quarantined"] = 60.0
    max_memory: Annotated[int, "a file that takes more bytes of memory is quarantined (on Linux)"] = 1024 * MIB

    def parts(self) -> Iterator[Part]:
        self._extractor  # noqa: B018  # a missing package is told before any work
        for uri in self.files():
            yield Part(uri, signature=signature(uri), size=size_of(uri) // TEXT_SHARE)

    def key_of(self, part: Part, position: str) -> str:
        return self.relative(part.uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            content = self._content(part.uri)
            found = content if isinstance(content, Rejected) else self._extractor(content)
        if isinstance(found, Rejected):
            yield Rejected("0", found.reason, found.detail.replace("max_page_", "max_"))
            return
        found.pop("charset", None)
        renamed = {"text": self.text, "title": self.title, "published": self.published}
        yield {renamed.get(name, name): value for name, value in found.items()}

    def _content(self, uri: str) -> bytes | Rejected:
        content = whole(uri, self.max_file_bytes, self.max_ratio, option="max_file_bytes")
        if isinstance(content, Rejected) or b"%PDF-" in content[:HEAD]:
            return content
        return Rejected("0", "wrong_format", "this is no PDF")

    @cached_property
    def _extractor(self) -> Extractor:
        if importlib.util.find_spec("pypdfium2") is None:
            raise UsageError(
                f"source {self.name!r} needs the package pypdfium2: pip install 'corpus-curator[pdf]'"
            )
        limits = {"seconds": self.max_seconds, "memory": self.max_memory, "max_bytes": self.max_file_bytes}
        return Extractor("pdf", **limits)  # type: ignore[arg-type]


@hookimpl
def register_sources(register: Any) -> None:
    register(Pdf)
