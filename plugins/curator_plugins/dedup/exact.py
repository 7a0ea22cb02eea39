"""Exact copies: documents whose texts, normalised texts or addresses have the same xxh3-128 hash.

The normalised text is compared by its words (curator.text.normal: lower case, numbers as 0, no punctuation,
no accents, any white space): the hash is over the words' hashes, made once and shared with minhash. About
1 µs a document besides. Rejected: joining normalised words into strings to hash them, a copy of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
import xxhash

from curator import Dedup, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents


_OWN_PORT = re.compile(r"^(http://[^/?#]*):80(?=[/?#]|$)|^(https://[^/?#]*):443(?=[/?#]|$)")


class Exact(Dedup):
    """Find exact copies: documents with equal texts, as they stand or normalised, or of one address.

    Addresses are compared as w3lib's `canonicalize_url` writes them (parameters sorted, escapes evened out, no
    fragment), without the scheme's own port; a document without one, or with what has no `://`, is equal to none.
    """

    version = 1
    signals: ClassVar[Any] = {"hash": pl.String}
    group = "hash"

    on: Annotated[
        Literal["text", "normalized", "url"], "what is compared; without a word, or an address, nothing is"
    ] = "text"

    def versions(self) -> Mapping[str, str]:
        if self.on == "text":
            return {}
        if self.on == "url":
            return {"w3lib": version("w3lib")}
        from curator.text import tokenizer_version

        return {"words": tokenizer_version("normalized")}

    def measure(self, docs: Documents) -> Mapping[str, pl.Series]:
        from curator.text.words import buffers

        if self.on == "url":
            found = docs.frame["url"].map_elements(_address_hash, return_dtype=pl.String)
            return {"hash": found.alias("hash")}
        if self.on == "text":
            data, offsets = buffers(docs.arrow_text)
        else:
            words = docs.words("normalized")
            data, offsets = words.hashes.astype("<u8", copy=False).view("u1"), words.doc_offsets * 8
        whole, bounds = data.data, offsets.tolist()
        hashes = [
            xxhash.xxh3_128_hexdigest(whole[start:stop]) if stop > start or self.on == "text" else None
            for start, stop in pairwise(bounds)
        ]
        return {"hash": pl.Series("hash", hashes, pl.String)}


def _address_hash(url: str) -> str | None:
    from w3lib.url import canonicalize_url

    if "://" not in url:
        return None
    try:
        even = str(canonicalize_url(url.strip()))
    except ValueError:  # brackets that hold no IPv6 address
        even = url.strip()
    return xxhash.xxh3_128_hexdigest(_OWN_PORT.sub(r"\1\2", even).encode())


@hookimpl
def register_dedups(register: Any) -> None:
    register(Exact)
