"""Recall of near copies against exact Jaccard similarities, on natural pairs and on planted ones.

    python benchmarks/natural_pairs.py DOCUMENTS.jsonl.gz [TRUTH.jsonl.gz] [--documents 20000] [--least 0.5]

Natural: every pair among the first documents whose sets of normalised word 5-grams are at least that similar,
planted copies aside; planted: the truth's pairs over all documents. Similarities are exact and made without
curator: datatrove's simplify_text, Python's split, and a join of the sets by prefix filtering (two sets of
similarity t share one of their n - t n + 1 rarest shingles) as products of sparse matrices. A pair is found if
curator stores an edge between the two, and shares if any of their band keys is equal; they differ in buckets
that are truncated, whose links are clustered all the same. Theory is the mean of 1 - (1 - s^rows)^bands over
the pairs' own s, with the 95 % interval of that sum were pairs independent. Natural pairs are not (copies of one
template share luck), so the same share is measured with other seeds too: their mean, and the deviation of one.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import duckdb
import numpy as np
import polars as pl
import xxhash
from datatrove.utils.text import TextNormConfig, simplify_text
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from curator.documents import Documents
from curator.text.minhash import Permutations, band_keys, signatures
from curator_catalog.duplicates import cluster_linked
from curator_catalog.edges import DDL, derive_edges
from curator_plugins.dedup.minhash import MinHash

BANDS, ROWS, NGRAM = 14, 8, 5
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def normalized(text: str) -> list[str]:
    return simplify_text(text, TextNormConfig()).split()


def shingle_sets(texts: Iterable[str], words_of: Callable[[str], list[str]] = normalized) -> csr_matrix:
    """Documents × shingles, of ones; columns by how many documents have the shingle, the rarest first."""
    hashes, ends = [], [0]
    for text in texts:
        words = words_of(text)
        later = (words[i:] for i in range(NGRAM))
        found = set(zip(*later, strict=False)) or ({tuple(words)} if words else set())
        hashes.append(np.array([xxhash.xxh3_64_intdigest(" ".join(s).encode()) for s in found], np.uint64))
        ends.append(ends[-1] + len(found))
    _, place, counts = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    sets = csr_matrix((np.ones(len(place), np.int32), rank[place], ends), shape=(len(ends) - 1, len(counts)))
    sets.sort_indices()
    return sets


def similar_pairs(sets: csr_matrix, least: float) -> Pairs:
    """All pairs a < b whose Jaccard similarity is at least `least`, with it."""
    sizes = np.diff(sets.indptr)
    prefix = np.minimum(sizes, sizes - np.ceil(least * sizes - 1e-9).astype(np.int64) + 1)
    place = np.arange(sets.nnz) - np.repeat(sets.indptr[:-1], sizes)
    kept = place < np.repeat(prefix, sizes)
    starts = np.concatenate([[0], np.cumsum(prefix)])
    prefixes = csr_matrix((sets.data[kept], sets.indices[kept], starts), shape=sets.shape)
    columns = prefixes.T.tocsr()
    found = []
    for lo in range(0, sets.shape[0], 500):
        shared = (prefixes[lo : lo + 500] @ columns).tocoo()
        a, b = shared.row.astype(np.int64) + lo, shared.col.astype(np.int64)
        small, large = np.minimum(sizes[a], sizes[b]), np.maximum(sizes[a], sizes[b])
        candidate = (a < b) & (small >= least * large)
        a, b = a[candidate], b[candidate]
        similarity = jaccard(sets, a, b)
        near = similarity >= least
        found.append((a[near], b[near], similarity[near]))
    a, b, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
    return a, b, similarity


def jaccard(sets: csr_matrix, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    sizes = np.diff(sets.indptr)
    shared = np.zeros(len(a), np.int64)
    for lo in range(0, len(a), 5000):
        part = slice(lo, lo + 5000)
        shared[part] = np.asarray(sets[a[part]].multiply(sets[b[part]]).sum(axis=1)).ravel()
    return shared / np.maximum(sizes[a] + sizes[b] - shared, 1)


def s_curve(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability that two signatures share a band."""
    return 1 - (1 - similarity**ROWS) ** BANDS


class Linked:
    """Which pairs curator links."""

    def __init__(self, texts: list[str]) -> None:
        frame = pl.DataFrame({"text": texts}).with_row_index("doc_id")
        parts = frame.with_columns(part=pl.col("text").str.len_bytes().cum_sum() // 8_000_000)
        step = MinHash(ngram=NGRAM, bands=BANDS, rows=ROWS)
        docs = [Documents(p) for p in parts.partition_by("part", maintain_order=True, include_key=False)]
        measured = pl.concat(d.frame.select("doc_id").with_columns(**step.measure(d)) for d in docs)
        self._docs = docs
        with duckdb.connect() as con:
            con.execute(DDL)
            con.register("found", measured.to_arrow())
            con.execute(
                "CREATE VIEW measures AS SELECT doc_id::UBIGINT AS doc_id, '' AS scope, bands, signature FROM found"
            )
            self.summary = derive_edges(con, "measures", "set")
            groups = con.execute("SELECT doc_id, group_key FROM edge_groups").fetchnumpy()
            edges = con.execute("SELECT a, b FROM edges").fetchnumpy()
            con.execute(
                "CREATE VIEW population AS SELECT *, md5(doc_id::VARCHAR)::UUID AS doc_key FROM measures"
            )
            cluster_linked(con, "population", "set")
            clusters = con.execute(
                "SELECT doc_id, dense_rank() OVER (ORDER BY cluster_id) FROM clusters"
            ).fetchall()
        self.cluster = -1 - np.arange(len(texts))
        for doc, cluster in clusters:
            self.cluster[doc] = cluster
        names, place = np.unique(groups["group_key"], return_inverse=True)
        self.group = -1 - np.arange(len(texts))
        self.group[groups["doc_id"]] = place
        self._n = len(names)
        self._edges = self._code(*(np.searchsorted(names, edges[side]) for side in "ab"))

    def _code(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(a, b) * self._n + np.maximum(a, b)

    def edge(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        x, y = self.group[a], self.group[b]
        return (x == y) | ((x >= 0) & (y >= 0) & np.isin(self._code(x, y), self._edges))

    def share(self, a: NDArray[np.int64], b: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
        permutations = Permutations.of(BANDS * ROWS, seed)
        keys = []
        for words in (docs.words("normalized") for docs in self._docs):
            found = signatures(words.doc_offsets, words.hashes, NGRAM, permutations)
            keys.append(band_keys(found, BANDS, ROWS))
        bands = np.concatenate(keys)
        return (
            np.concatenate(
                [
                    (bands[x] == bands[y]).any(axis=1)
                    for x, y in zip(np.array_split(a, 20), np.array_split(b, 20), strict=True)
                ]
            )
            & (self.group[a] >= 0)
            & (self.group[b] >= 0)
        )


def report(title: str, pairs: Pairs, linked: Linked, seeds: int) -> None:
    a, b, s = pairs
    p = s_curve(s)
    edge, clustered = linked.edge(a, b), linked.cluster[a] == linked.cluster[b]
    share = np.array([linked.share(a, b, seed) for seed in range(1, seeds + 1)])
    print(
        f"\n{title}: {len(a)} pairs\n"
        f"  from  pairs  found  clustered  share  theory (95 %)          points | {seeds} seeds: mean, points, deviation"
    )
    bucket = np.floor(np.minimum(s, 0.9999999) * 20 + 1e-9)
    bucket[s == 1] = 20
    for at in sorted(set(bucket.tolist()), reverse=True):
        here = bucket == at
        n, theory = here.sum(), p[here].mean()
        wide = 1.96 * np.sqrt((p * (1 - p))[here].sum()) / n
        of_seeds = share[:, here].mean(axis=1)
        print(
            f"  {at / 20:.2f} {n:6} {edge[here].mean():6.4f} {clustered[here].mean():6.4f} {of_seeds[0]:6.4f} "
            f"{theory:6.4f} ({max(theory - wide, 0):.4f}-{min(theory + wide, 1):.4f}) {100 * (of_seeds[0] - theory):+6.2f} | "
            f"{of_seeds.mean():6.4f} {100 * (of_seeds.mean() - theory):+6.2f} {100 * of_seeds.std(ddof=1):6.2f}"
        )


def documents(path: str) -> Iterator[tuple[str, str]]:
    with gzip.open(path) as lines:
        for line in lines:
            row = json.loads(line)
            yield row["id"], row["text"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents")
    parser.add_argument("truth", nargs="?")
    parser.add_argument("--documents", dest="n", type=int, default=20_000)
    parser.add_argument("--least", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=24)
    given = parser.parse_args()
    planted = []
    if given.truth:
        with gzip.open(given.truth) as lines:
            planted = [(row["id"], row["orig"]) for row in map(json.loads, lines)]
    copies = {copy for copy, _ in planted}
    natural = [text for name, text in islice(documents(given.documents), given.n) if name not in copies]
    pairs = similar_pairs(shingle_sets(natural), given.least)
    linked = Linked(natural)
    print(linked.summary)
    report("natural", pairs, linked, given.seeds)
    if planted:
        needed = {name for pair in planted for name in pair}
        texts = {name: text for name, text in documents(given.documents) if name in needed}
        place = {name: at for at, name in enumerate(texts)}
        both = [(place[x], place[y]) for x, y in planted if x in place and y in place]
        a, b = np.array(both, np.int64).T
        exact = jaccard(shingle_sets(texts.values()), a, b)
        report("planted", (a, b, exact), Linked(list(texts.values())), given.seeds)


if __name__ == "__main__":
    main()
