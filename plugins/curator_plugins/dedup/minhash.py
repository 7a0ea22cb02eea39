"""Near copies by MinHash: documents that share a band of their signatures are linked.

With `bands` of `rows` each, two documents whose sets of shingles have the Jaccard similarity s are linked
with probability 1 - (1 - s**rows)**bands: for 14 x 8, 92 % at 0.8 and 1 % at 0.4, half at 0.69. Signatures
are datasketch's (`curator.text.minhash`), so its LSH, Forest and Ensemble work on what is stored.

The signatures estimate the similarity of linked documents with a standard error of at most 0.05 for 112
permutations. `verify: exact` stores the shingles too, 8 bytes each (about four times what the text takes,
compressed), so that edges have the true similarity. Rejected: reading the texts of linked documents again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import xxhash

from curator import Dedup, UsageError, hookimpl
from curator.patterns import SPACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents


class MinHash(Dedup):
    """Find near copies: documents whose sets of word shingles are alike, by MinHash."""

    name = "minhash"
    version = 1
    band_keys = "bands"
    signature = "signature"
    sets = "shingles"
    wide = True

    ngram: Annotated[int, "units in a shingle; a shorter document is one shingle"] = 5
    unit: Annotated[
        Literal["words", "characters"],
        "of a shingle; characters are those in lower case, white space as one space",
    ] = "words"
    bands: Annotated[int, "bands of a signature: more find less similar copies"] = 14
    rows: Annotated[int, "rows of a band: more find fewer false copies"] = 8
    threshold: Annotated[
        float | None, "similarity to find: bands and rows are then datasketch's best for so many permutations"
    ] = None
    permutations: Annotated[int, "of a signature, where threshold is given"] = 112
    seed: Annotated[int, "of the permutations"] = 1
    words: Annotated[str, "word tokenizer"] = "normalized"
    signatures: Annotated[bool, "store signatures, for similarities: 4 bytes for each of bands x rows"] = True
    verify: Annotated[
        Literal["estimate", "exact"], "similarity of edges: from signatures, or of the shingles themselves"
    ] = "estimate"
    min_similarity: Annotated[float | None, "link only copies at least this similar"] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for option in ("ngram", "bands", "rows", "permutations"):
            if getattr(self, option) < 1:
                raise UsageError(f"minhash: {option} is {getattr(self, option)}; it must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"minhash: seed is {self.seed}; it must lie between 0 and 2**32 - 1")
        if self.min_similarity is not None and not 0 <= self.min_similarity <= 1:
            raise UsageError(f"minhash: min_similarity is {self.min_similarity}; it must lie between 0 and 1")
        if self.min_similarity is not None and not (self.signatures or self.verify == "exact"):
            raise UsageError("minhash: min_similarity needs signatures; leave signatures: false away")
        if self.threshold is not None:
            if not 0 < self.threshold < 1:
                raise UsageError(f"minhash: threshold is {self.threshold}; it must lie between 0 and 1")
            if (self.bands, self.rows) != (MinHash.bands, MinHash.rows):
                raise UsageError("minhash: threshold decides on bands and rows; give one or the other")
            from datasketch.lsh import _optimal_param

            self.bands, self.rows = _optimal_param(self.threshold, self.permutations, 0.5, 0.5)

    def signals(self) -> dict[str, Any]:
        found: dict[str, Any] = {"bands": pl.List(pl.Int64), "signature": pl.Binary}
        return found | ({"shingles": pl.Binary} if self.verify == "exact" else {})

    def measure(self, docs: Documents) -> Mapping[str, pl.Series]:
        from curator.text.minhash import Permutations, band_keys, shingle_sets, signatures

        offsets, units = self._units(docs)
        permutations = Permutations.of(self.bands * self.rows, self.seed)
        found = signatures(offsets, units, self.ngram, permutations)
        measured = offsets[1:] > offsets[:-1]
        buckets = band_keys(found, self.bands, self.rows)
        shingles: dict[str, pl.Series] = {}
        if self.verify == "exact":
            sets = _blobs(*shingle_sets(offsets, units, self.ngram))
            shingles["shingles"] = sets.set(~pl.Series(measured), None)
            # one band more, of the whole set: documents of equal signatures and other shingles are no group
            whole = [xxhash.xxh3_64_intdigest(blob) for blob in sets]
            buckets = np.column_stack([buckets, np.array(whole, np.uint64).view(np.int64)])
        keys = pl.DataFrame(
            {
                "bands": pl.Series(buckets).cast(pl.List(pl.Int64)),
                "measured": measured,
            },
        ).select(pl.when("measured").then("bands"))["bands"]
        stored = (
            [row.tobytes() if some else None for row, some in zip(found.astype("<u4"), measured, strict=True)]
            if self.signatures
            else [None] * len(docs)
        )
        return {"bands": keys, "signature": pl.Series("signature", stored, pl.Binary), **shingles}

    def _units(self, docs: Documents) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """int64[n_docs + 1] offsets into the hashes of words or characters, uint64[n]."""
        if self.unit == "words":
            words = docs.words(self.words)
            return words.doc_offsets, words.hashes
        from curator.documents import contiguous
        from curator.text.passages import units
        from curator.text.words import buffers

        even = docs.text.str.to_lowercase().str.replace_all(rf"[{SPACE}]+", " ").str.strip_chars(" ")
        found = units(*buffers(contiguous(even)), "characters")
        return found.doc_offsets, found.values


def _blobs(offsets: NDArray[np.int64], values: NDArray[np.uint64]) -> pl.Series:
    whole, bounds = values.astype("<u8").data.cast("B"), (offsets * 8).tolist()
    return pl.Series([bytes(whole[a:b]) for a, b in pairwise(bounds)], dtype=pl.Binary)


@hookimpl
def register_dedups(register: Any) -> None:
    register(MinHash)
