"""Near copies by MinHash: documents that share a band of their signatures are linked.

With `bands` of `rows` each, two documents whose sets of shingles have the Jaccard similarity s are linked
with probability 1 - (1 - s**rows)**bands: for 14 x 8, 92 % at 0.8 and 1 % at 0.4, half at 0.69. Signatures
are datasketch's (`curator.text.minhash`), so its LSH and Forest work on what is stored. Rejected: comparing
texts of linked documents exactly, which reads the text again; the signatures estimate the similarity with a
standard error of at most 0.05 for 112 permutations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl

from curator import Dedup, UsageError, hookimpl

if TYPE_CHECKING:
    from curator.documents import Documents


class MinHash(Dedup):
    """Find near copies: documents whose sets of word shingles are alike, by MinHash."""

    name = "minhash"
    version = 1
    signals: ClassVar[Any] = {"bands": pl.List(pl.Int64), "signature": pl.Binary}
    band_keys = "bands"
    signature = "signature"
    wide = True

    ngram: Annotated[int, "words in a shingle; a shorter document is one shingle"] = 5
    bands: Annotated[int, "bands of a signature: more find less similar copies"] = 14
    rows: Annotated[int, "rows of a band: more find fewer false copies"] = 8
    seed: Annotated[int, "of the permutations"] = 1
    words: Annotated[str, "word tokenizer"] = "normalized"
    signatures: Annotated[bool, "store signatures, for similarities: 4 bytes for each of bands x rows"] = True
    min_similarity: Annotated[float | None, "link only copies estimated to be at least this similar"] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for option in ("ngram", "bands", "rows"):
            if getattr(self, option) < 1:
                raise UsageError(f"minhash: {option} is {getattr(self, option)}; it must be at least 1")
        if self.min_similarity is not None and not self.signatures:
            raise UsageError("minhash: min_similarity needs signatures; leave signatures: false away")

    def measure(self, docs: Documents) -> Mapping[str, pl.Series]:
        from curator.text.minhash import Permutations, band_keys, signatures

        words = docs.words(self.words)
        permutations = Permutations.of(self.bands * self.rows, self.seed)
        found = signatures(words.doc_offsets, words.hashes, self.ngram, permutations)
        measured = words.doc_offsets[1:] > words.doc_offsets[:-1]
        keys = pl.DataFrame(
            {
                "bands": pl.Series(band_keys(found, self.bands, self.rows)).cast(pl.List(pl.Int64)),
                "measured": measured,
            },
        ).select(pl.when("measured").then("bands"))["bands"]
        stored = (
            [row.tobytes() if some else None for row, some in zip(found.astype("<u4"), measured, strict=True)]
            if self.signatures
            else [None] * len(docs)
        )
        return {"bands": keys, "signature": pl.Series("signature", stored, pl.Binary)}


@hookimpl
def register_dedups(register: Any) -> None:
    register(MinHash)
