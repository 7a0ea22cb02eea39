"""Rust's documentation as raw pages, for the ablation: Debian's package rust-doc (MIT or Apache-2.0), tags stripped.

    python benchmarks/rust_docs.py FOLDER

Fetches the package with apt-get, unpacks it, and writes FOLDER/pages.jsonl.gz: id (the page's path), license, text.
Nothing is chosen or mended: what navigation, menus and generated lists leave behind is in the text, as it is on the
web. Left out are source listings, the vendors' intrinsics (core::arch: 26,256 pages of one pattern) and every
print.html, a whole book on one page beside its chapters.
The work of a minute; nothing is done where the file is there. On a system without apt-get, put rust-doc*.deb into FOLDER.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = ("src/", "core/arch/", "core/core_arch/")
WHOLE_BOOK = "print.html"
UNSEEN = re.compile(r"<(head|script|style|template)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
BLOCK = re.compile(
    r"</?(?:p|div|section|nav|main|header|footer|h[1-6]|ul|ol|li|dl|dt|dd|pre|table|tr|td|th|blockquote|summary|details|br|hr|option|button)\b[^>]*>",
    re.IGNORECASE,
)
TAG = re.compile(r"<[^>]*>")
BLANK = re.compile(r"\s*\n\s*")


def stripped(page: str) -> str:
    """The text between the tags, a line for each block; line breaks inside a block stand as they are."""
    text = TAG.sub("", BLOCK.sub("\n", UNSEEN.sub("", page)))
    return BLANK.sub("\n", html.unescape(text)).strip()


def package(folder: Path) -> Path:
    """The package's HTML, fetched and unpacked where it is not yet."""
    found = sorted(folder.glob("rust-doc*.deb"))
    if not found:
        if subprocess.run(["apt-get", "download", "-q", "rust-doc"], cwd=folder).returncode:
            raise SystemExit(
                f"apt-get could not fetch rust-doc: apt-get update first, or put rust-doc*.deb into {folder}"
            )
        found = sorted(folder.glob("rust-doc*.deb"))
    root = folder / "unpacked"
    if not root.exists():
        subprocess.run(["dpkg-deb", "-x", found[-1], root.with_suffix(".tmp")], check=True)
        root.with_suffix(".tmp").rename(root)
    return root / "usr/share/doc/rust-doc/html"


def pages(root: Path) -> Iterator[dict[str, str]]:
    """Every page that has a text, in the order of paths."""
    paths = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.html"))
    for name, path in paths:
        if path.is_file() and not name.startswith(LEFT_OUT) and path.name != WHOLE_BOOK:
            text = stripped(path.read_text(encoding="utf-8", errors="replace"))
            if text:
                yield {"id": name, "license": "MIT OR Apache-2.0", "text": text}


def main(folder: Path) -> None:
    """Write the file of pages."""
    out = folder / "pages.jsonl.gz"
    if out.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    documents = size = 0
    temporary = out.with_name(f".tmp-{out.name}")
    with gzip.open(temporary, "wt", encoding="utf-8", compresslevel=6) as file:
        for page in pages(package(folder)):
            documents, size = documents + 1, size + len(page["text"].encode())
            file.write(json.dumps(page, ensure_ascii=False) + "\n")
    temporary.rename(out)
    print(f"{out}: {documents:,} pages, {size / 1e6:.1f} MB of text")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
