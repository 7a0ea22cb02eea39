"""Which documents curator, text-dedup and datatrove remove, and whether luck at the S-curve explains each difference.

    python benchmarks/dedup_peers.py DOCUMENTS.jsonl.gz -o FOLDER …
    python benchmarks/dedup_agreement.py FOLDER [--least 0.3] [--draws 300]

A document is removed if its cluster has an earlier one (the tools keep others; clusters are what differs).
Each tool's own words give the sets of 5-grams that it means to compare; over those of documents with a true
similarity of at least `least` to another (see natural_pairs.py; datatrove's words, which are slow, of the documents
that the others' bring together or that a tool clustered), MinHash is drawn again with `draws` other seeds, for
each tool by itself. So the hashes' luck is played as it falls, with the luck that near copies of one text share:
pairs drawn independently at the S-curve would have a document with a hundred copies of 0.55 always removed.
This gives how many differences between two tools are to be expected, and how often each document is removed.
Those removed or kept against the odds are listed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from natural_pairs import BANDS, ROWS, Pairs, shingle_sets, similar_pairs
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from curator.text.minhash import MIX, Permutations, band_keys, signatures

Removed = NDArray[np.bool_]


def words_of_textdedup(text: str) -> list[str]:
    return [word for word in re.split(r"\W", text.lower()) if word]


def words_of_datatrove() -> Callable[[str], list[str]]:
    from datatrove.utils.text import TextNormConfig, simplify_text
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    tokenizer = load_word_tokenizer("en")
    return lambda text: tokenizer.word_tokenize(simplify_text(text, TextNormConfig()))


def removed_by(clusters: list[list[int]], n: int) -> Removed:
    found = np.zeros(n, bool)
    for cluster in clusters:
        found[sorted(cluster)[1:]] = True
    return found


def played(sets: csr_matrix, docs: NDArray[np.int64], draws: int, first_seed: int) -> NDArray[np.bool_]:
    """bool[draws, n]: which of the documents `docs` are removed with other hashes."""
    some = sets[docs]
    offsets, hashes = some.indptr.astype(np.int64), (some.indices.astype(np.uint64) + np.uint64(1)) * MIX
    has = np.flatnonzero(np.diff(offsets))
    found = np.zeros((draws, sets.shape[0]), bool)
    for draw in range(draws):
        permutations = Permutations.of(BANDS * ROWS, first_seed + draw)
        keys = band_keys(signatures(offsets, hashes, 1, permutations), BANDS, ROWS)[has]
        firsts = []
        for band in keys.T:
            _, first, bucket = np.unique(band, return_index=True, return_inverse=True)
            firsts.append(first[bucket])
        links = np.concatenate(firsts), np.tile(np.arange(len(has)), BANDS)
        graph = coo_matrix((np.ones(len(links[0]), np.int8), links), shape=(len(has), len(has)))
        _, labels = connected_components(graph, directed=False)
        others = np.ones(len(has), bool)
        others[np.unique(labels, return_index=True)[1]] = False
        found[draw, docs[has[others]]] = True
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--least", type=float, default=0.3)
    parser.add_argument("--draws", type=int, default=300)
    given = parser.parse_args()
    texts = [json.loads(line)["text"] for line in given.folder.joinpath("documents.jsonl").open()]
    tools = [t for t in ("curator", "text-dedup", "datatrove") if given.folder.joinpath(f"{t}.json").exists()]
    clusters = {t: json.loads(given.folder.joinpath(f"{t}.json").read_text())["clusters"] for t in tools}
    removed = {t: removed_by(clusters[t], len(texts)) for t in tools}
    sets = {"curator": shingle_sets(texts)}
    pairs = {"curator": similar_pairs(sets["curator"], given.least)}
    if "text-dedup" in tools:
        sets["text-dedup"] = shingle_sets(texts, words_of_textdedup)
        pairs["text-dedup"] = similar_pairs(sets["text-dedup"], given.least)
    if "datatrove" in tools:
        words = words_of_datatrove()
        wanted = {int(doc) for a, b, _ in pairs.values() for doc in (*a, *b)}
        wanted |= {doc for of_tool in clusters.values() for cluster in of_tool for doc in cluster}
        sets["datatrove"] = shingle_sets(
            (text if at in wanted else "" for at, text in enumerate(texts)),
            # a document shorter than a shingle has no signature there
            lambda text: found if text and len(found := words(text)) >= 5 else [],
        )
        pairs["datatrove"] = similar_pairs(sets["datatrove"], given.least)
    chance = {
        t: played(sets[t], np.unique(np.concatenate(pairs[t][:2])), given.draws, 1000 + at * given.draws)
        for at, t in enumerate(tools)
    }
    for t in tools:
        counts = chance[t].sum(axis=1)
        low, high = np.percentile(counts, [2.5, 97.5])
        print(
            f"{t}: {removed[t].sum()} removed; by chance at the curve {counts.mean():.0f} ({low:.0f} to {high:.0f})"
        )
    for x, y in combinations(tools, 2):
        for one, other in ((x, y), (y, x)):
            seen = (removed[one] & ~removed[other]).sum()
            expected = (chance[one] & ~chance[other]).sum(axis=1)
            low, high = np.percentile(expected, [2.5, 97.5])
            print(
                f"{one} only, against {other}: {seen}; expected {expected.mean():.0f} ({low:.0f} to {high:.0f})"
            )
    for t in tools:
        odds = chance[t].mean(axis=0)
        against = np.flatnonzero(np.where(removed[t], odds, 1 - odds) < 1 / given.draws)
        differ = np.any([removed[t] != removed[other] for other in tools], axis=0)
        print(
            f"{t}: {len(against)} documents as in none of {given.draws} draws, of which {differ[against].sum()} differ"
        )
        best = strongest(pairs[t], len(texts))
        for doc in against[:40]:
            cluster = next((c for c in clusters[t] if doc in c), [doc])
            print(
                f"  {doc} {'removed' if removed[t][doc] else 'kept'} odds {odds[doc]:.4f}, most similar {best[doc]:.3f},"
                f" cluster of {len(cluster)}"
            )


def strongest(pairs: Pairs, n: int) -> NDArray[np.float64]:
    a, b, s = pairs
    best = np.zeros(n)
    np.maximum.at(best, a, s)
    np.maximum.at(best, b, s)
    return best


if __name__ == "__main__":
    main()
