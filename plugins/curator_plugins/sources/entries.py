"""The entries of an RSS or Atom feed. Run as a module, it is a process: a feed in, JSON out.

feedparser reads what feeds are in fact, broken markup included, and pays for it: 0.7 ms an entry, and a
hostile feed of 900 kB (300,000 open tags) takes 16 s, one of entities 2 s until expat stops them. So each
feed is parsed, and the markup of its entries turned into text, by a process with limits, 0.1 s for its start.
Rejected: fastfeedparser (0.5 ms an entry, but it makes up a date where a feed has none and drops an ampersand
that stands by itself) and atoma (no release since 2019).
"""

from __future__ import annotations

import calendar
import contextlib
import html
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import xxhash

from curator import Rejected

MEMORY = 1 << 30  #: bytes that the process may have (on Linux)


def parsed(feed: bytes, url: str, content_type: str, seconds: float) -> list[dict[str, Any]] | Rejected:
    """The entries of a feed: {key, digest, url, title, published, updated, author, license, tags, content, text}.

    Rejected: bad_feed, feed_timeout.
    """
    command = [sys.executable, "-P", "-m", __name__, url, content_type]
    path = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            command,
            input=feed,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Rejected(url, "feed_timeout", f"{len(feed)} bytes take longer than {seconds:g} s to parse")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        return Rejected(url, "bad_feed", f"exit code {done.returncode}: {said}")
    found = orjson.loads(done.stdout)
    return Rejected(url, "bad_feed", found) if isinstance(found, str) else list(found)


def entries(feed: bytes, url: str, content_type: str) -> list[dict[str, Any]] | str:
    """The same, or why it is no feed."""
    import feedparser

    headers = {"content-location": url, "content-type": content_type or "application/xml"}
    found = feedparser.parse(feed or b" ", response_headers=headers)
    if not found.version and not found.entries:
        return f"neither RSS nor Atom: {feed[:100].decode(errors='replace')!r}"
    rights = _license(found.feed)
    atom = (found.version or "").startswith("atom")
    return [_entry(entry, url, rights, atom) for entry in found.entries]


def _entry(entry: Any, feed: str, rights: str | None, atom: bool) -> dict[str, Any]:
    contents = sorted(entry.get("content", []), key=lambda content: len(content.get("value") or ""))
    content = contents[-1] if contents else entry.get("summary_detail") or {}
    url = link if (link := entry.get("link") or "").startswith(("http://", "https://")) else None
    title = entry.get("title")
    if title and "html" in entry.title_detail.get("type", ""):
        from w3lib.html import remove_tags

        title = html.unescape(remove_tags(title))
    said = {
        "url": url,
        "title": title,
        "published": _moment(entry.get("published_parsed") or entry.get("updated_parsed")),
        "updated": _moment(entry.get("updated_parsed")),
        "author": entry.get("author"),
        "license": _license(entry) or rights,
        "tags": [tag.term for tag in entry.get("tags", []) if tag.get("term")],
        "content": content.get("value"),
        "text": _text(content.get("value") or "", atom and content.get("type") == "text/plain"),
    }
    known = {name: value for name, value in said.items() if value}
    digest = xxhash.xxh3_64_hexdigest(orjson.dumps(known))
    name = entry.get("id") or url or digest
    # a guid is unique among the entries of one feed, unless it is an address or a URN
    return {"key": name if ":" in name else f"{feed}#{name}", "digest": digest, **known}


def _text(content: str, plain: bool) -> str:
    if plain:
        return content
    markup = re.compile(r"<[a-zA-Z/]")
    if not markup.search(content):  # RSS does not say what it is, and broken feeds keep what was escaped
        content = html.unescape(content)
        if not markup.search(content):
            return content  # with the line breaks of plain text
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(content, main_content=False)).strip()


def _license(about: Any) -> str | None:
    links = [link.get("href") for link in about.get("links", []) if link.get("rel") == "license"]
    found = about.get("license") or (links[0] if links else None) or about.get("rights")
    return str(found) if found else None


def _moment(parsed: Any) -> str | None:
    try:
        return (
            datetime.fromtimestamp(calendar.timegm(parsed), UTC).replace(tzinfo=None).isoformat()
            if parsed
            else None
        )
    except (ValueError, OverflowError, OSError):
        return None


if __name__ == "__main__":
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(orjson.dumps(entries(sys.stdin.buffer.read(), *sys.argv[1:3])))
    answers.close()
