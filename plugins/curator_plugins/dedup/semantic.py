"""Near copies by meaning: documents whose embeddings have a large cosine are linked (SemDeDup).

Abbas et al. 2023, arXiv 2303.09540. Measured is one vector a document; which pairs are compared, stored and
linked is decided afterwards (`curator_catalog.vectors`), so `curator decide --set` moves all of it without
embedding again.

A vector is stored as whole numbers of one byte: the largest component becomes 127, the others are rounded in
proportion. That is a quarter of float32, moves a cosine by less than 0.002, and makes the cosines of stored
vectors exact (float16: half of float32, and sums that depend on their order). Rejected: product quantisation,
which has to be trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl

from curator import Dedup, UsageError, hookimpl
from curator.options import FOLDER

if TYPE_CHECKING:
    from curator.documents import Documents
    from curator_plugins.dedup.embedding import Embed, Vector


class Semantic(Dedup):
    """Find near copies by meaning: embeddings of any sentence model, k-means, cosine (SemDeDup).

    `model` is a folder, or an installed package that ships one: a transformer of sentence-transformers, or a
    static model (model2vec), which is far faster and sees words, not their order. Only the first `max_tokens`
    tokens are read, so documents that differ behind them are copies: let `exact` and `minhash` come first, and
    mind it with long documents. A text without tokens has no vector and no copies.

    `eps` as in the paper: documents are linked whose cosine is at least 1 - `eps`. The paper tunes it to the
    share of data that shall go, and what is much depends on the model; at 0.05, 95 % of the pairs of MSRP that
    all-MiniLM-L6-v2 links are labelled paraphrases, at 0.1 88 % (benchmarks/RESULTS.md). Look at the pairs in
    `duplicate_edges` first. Vectors are alike to rounding, not to the bit, on other machines and with other versions of torch; on one, they do not depend on
    what else is in a batch. Needs `pip install 'corpus-curator[semantic]'`.
    """

    name = "semantic"
    version = 1
    signals: ClassVar[Any] = {"vector": pl.List(pl.Int8)}
    vectors = "vector"
    wide = True

    model: Annotated[str, FOLDER, "folder of a sentence-embedding model, or a package that ships one"]
    max_tokens: Annotated[int, "tokens of a text that are read"] = 256
    eps: Annotated[float, "link documents whose cosine is at least 1 - eps"] = 0.05
    store_above: Annotated[float, "smallest cosine that is stored, and so the reach of eps"] = 0.8
    clusters: Annotated[int | None, "k of k-means; one for 10,000 documents unless given"] = None
    seed: Annotated[int, "of k-means"] = 1

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for option in ("max_tokens", "clusters"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UsageError(f"semantic: {option} is {value}; it must be at least 1")
        if not 0 < self.store_above <= 1:
            raise UsageError(
                f"semantic: store_above is {self.store_above}; it is a cosine above 0, at most 1"
            )
        reach = round(1 - self.store_above, 6)
        if not 0 <= self.eps <= reach:
            raise UsageError(
                f"semantic: eps is {self.eps}, but with store_above {self.store_above} only 0 to {reach} can be "
                "decided; to link more, lower store_above first"
            )

    def versions(self) -> Mapping[str, str]:
        from curator_plugins.dedup.embedding import model_folder, model_hash, model_modules

        try:
            folder = model_folder(self.model)
            model_modules(folder)  # fails here rather than in a worker
            return {"model": model_hash(folder)}
        except UsageError as error:
            raise UsageError(f"semantic: model = {self.model!r}: {error}") from None

    def setup(self) -> None:
        from curator_plugins.dedup.embedding import load_model, model_folder

        try:
            self._embed: Embed = load_model(model_folder(self.model), self.max_tokens)
        except UsageError as error:
            raise UsageError(f"semantic: model = {self.model!r}: {error}") from None

    def measure(self, docs: Documents) -> Mapping[str, pl.Series]:
        found = [self._embed(text) for text in docs.text]
        stored = [None if vector is None else whole(vector) for vector in found]
        return {"vector": pl.Series("vector", stored, pl.List(pl.Int8))}


def whole(vector: Vector) -> list[int] | None:
    """The vector as whole numbers of -127 to 127; None for one without direction."""
    largest = np.abs(vector).max()
    if not largest > 0:
        return None
    numbers: list[int] = np.rint(vector * (127 / largest)).astype(np.int8).tolist()
    return numbers


@hookimpl
def register_dedups(register: Any) -> None:
    register(Semantic)
