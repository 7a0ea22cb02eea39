"""Blocklists of domains, URLs and words in URLs, in datatrove's order.

Algorithm: a list is kept as sorted 64-bit hashes, 8 bytes an entry, so that the millions of UT1 fit into every
worker; what a URL may be listed as (its host and the domains above, its path and the folders above) is hashed
and looked up for the whole batch; 15 microseconds a URL. Rejected: a set of strings (100 bytes an entry), and
the public suffix list, which only says whether a listed name is a registered domain or a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl

from curator import Filter, UsageError, hookimpl
from curator.options import FILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents

NO_LIST = "url needs a list: name a file as domains, urls, hard_words, soft_words or subwords, relative to the recipe"
_NO_LETTERS = re.compile(r"[^a-zA-Z0-9]+")
_SCHEME = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")


class Url(Filter):
    """Drop documents whose URL is on a blocklist, or has listed words in it.

    Rules and their order are those of datatrove's URLFilter; lists are files of one entry a line, `#` begins a
    comment, as in the UT1 lists (`adult/domains`, `adult/urls`). `domain`: a domain above the host is listed,
    or the host itself where it has one dot; `subdomain`: the host itself is; `url`: the URL is, or, without
    scheme and "www.", it or a folder above it; `hard_blacklisted`: a run of letters and digits in the URL is a
    hard word; `soft_blacklisted`: `soft_word_threshold` or more different soft words are; `blacklisted_subword`:
    the URL's letters and digits, in lower case and without all else, contain a listed string. Hard and soft
    words are looked up as written unless `lower_case`, so `/BadWord/` passes, as in datatrove.

    Without a URL everything is NULL and nothing is dropped (datatrove fails). Whatever datatrove drops by the
    same lists is dropped here; besides, all that stands under a listed subdomain or folder, hosts in upper
    case, and listed IP addresses. A bare host under a suffix of two parts, as example.co.uk, is `subdomain`
    here and `domain` there. For one reason a category, use the step once for each, with `as:`.
    """

    version = 1
    signals: ClassVar[Any] = {
        "blocked_domain": str,
        "blocked_subdomain": str,
        "blocked_url": str,
        "hard_words": int,
        "soft_words": int,
        "subwords": int,
    }
    rules: ClassVar[Any] = {
        "domain": "blocked_domain IS NOT NULL",
        "subdomain": "blocked_subdomain IS NOT NULL",
        "url": "blocked_url IS NOT NULL",
        "hard_blacklisted": "hard_words > 0",
        "soft_blacklisted": "soft_words >= $soft_word_threshold",
        "blacklisted_subword": "subwords > 0",
    }

    domains: Annotated[str | list[str] | None, FILE, "files of domains, as UT1's domains"] = None
    urls: Annotated[str | list[str] | None, FILE, "files of URLs, as UT1's urls"] = None
    hard_words: Annotated[str | None, FILE, "file of words of which one drops"] = None
    soft_words: Annotated[str | None, FILE, "file of words of which several drop"] = None
    subwords: Annotated[str | None, FILE, "file of strings, looked for across borders of words"] = None
    soft_word_threshold: int | None = 2
    lower_case: Annotated[bool, "look hard and soft words up in lower case"] = False

    def versions(self) -> Mapping[str, str]:
        from curator.hashing import file_hash

        named = ("domains", "urls", "hard_words", "soft_words", "subwords")
        found = {
            f"{n} {i}": file_hash(Path(p)) for n in named for i, p in enumerate(_paths(getattr(self, n)))
        }
        if not found:
            raise UsageError(NO_LIST)
        return found

    def setup(self) -> None:
        self._domains, self._urls = _Hashes(_paths(self.domains)), _Hashes(_paths(self.urls))
        self._hard, self._soft, self._subwords = (
            {_letters(entry) for path in _paths(named) for entry in _entries(path)} - {""}
            for named in (self.hard_words, self.soft_words, self.subwords)
        )

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        urls = docs.frame["url"].to_list()
        known = [url for url in urls if url]
        hosts = [_host(url) for url in known]
        words = [set(_NO_LETTERS.split(url.lower() if self.lower_case else url)) for url in known]
        letters = [_letters(url) for url in known]
        found = (
            self._domains.first([_above(host) for host in hosts]),
            self._domains.first([[host] for host in hosts]),
            self._urls.first([_folders(url, host) for url, host in zip(known, hosts, strict=True)]),
            [len(found & self._hard) for found in words],
            [len(found & self._soft) for found in words],
            [sum(subword in text for subword in self._subwords) for text in letters],
        )
        measured = zip(*found, strict=True)
        rows = [next(measured) if url else (None,) * len(found) for url in urls]
        schema = {name: pl.String if kind is str else pl.Int64 for name, kind in self.signals.items()}
        return pl.DataFrame(rows, schema=schema, orient="row").to_dict()


class _Hashes:
    """The entries of files, as sorted hashes: of 64 bits, so one look-up in 10^13 errs among a million entries."""

    def __init__(self, paths: list[str]) -> None:
        found = [_hashes(_entries(path).str.strip_chars_end("/")) for path in paths]
        self._sorted = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def first(self, candidates: list[list[str]]) -> list[str | None]:
        """Of each list the first that is an entry."""
        if not len(self._sorted):
            return [None] * len(candidates)
        asked = _hashes(pl.Series(list(chain.from_iterable(candidates)), dtype=pl.String))
        places = np.searchsorted(self._sorted, asked)
        hits = iter((np.take(self._sorted, places, mode="clip") == asked).tolist())
        listed = [[name for name in names if next(hits)] for names in candidates]
        return [names[0] if names else None for names in listed]


def _hashes(strings: pl.Series) -> NDArray[np.uint64]:
    """Polars' own hash: it is compared only with others of this process."""
    return strings.hash(seed=0).to_numpy()


def _paths(named: str | list[str] | None) -> list[str]:
    return [named] if isinstance(named, str) else named or []


def _entries(path: str) -> pl.Series:
    """The lines of a list, without blank ones and comments."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    lines = pl.Series([text]).str.split("\n").explode().str.strip_chars()
    return lines.filter((lines != "") & ~lines.str.starts_with("#"))


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text).lower()


def _host(url: str) -> str:
    """The host in lower case, without user, port and final dot."""
    authority = re.split(r"[/?#]", _SCHEME.sub("", url), maxsplit=1)[0].rpartition("@")[2]
    return re.sub(r":\d*$", "", authority).strip().rstrip(".").lower()


def _above(host: str) -> list[str]:
    """The domains that the host belongs to, the widest first; itself only where it has at most one dot."""
    parts = host.split(".")
    return [".".join(parts[-n:]) for n in range(1, len(parts) + (len(parts) <= 2))]


def _folders(url: str, host: str) -> list[str]:
    """What a list may hold of a URL: as it is, and without scheme and "www." it and the folders above it."""
    path = re.sub(r"^[^/?#]*|#.*", "", _SCHEME.sub("", url))
    ends = [len(path), *(i for i in range(len(path) - 1, 0, -1) if path[i] in "/?")]
    names = (host, host.removeprefix("www."))
    return [url.rstrip("/"), *(name + path[:end].rstrip("/") for end in ends for name in names)]


@hookimpl
def register_filters(register: Any) -> None:
    register(Url)
