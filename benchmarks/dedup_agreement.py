"""Which documents curator, text-dedup and datatrove remove, and whether luck at the S-curve explains each difference.

    python benchmarks/dedup_peers.py DOCUMENTS.jsonl.gz -o FOLDER …
    python benchmarks/dedup_agreement.py FOLDER [--least 0.3] [--draws 1000]

A document is removed if its cluster has an earlier one (the tools keep others; clusters are what differs).
For each tool the true similarities of all pairs of at least `least` are computed from its own words (see
natural_pairs.py; datatrove's, which are slow, of the pairs that one of the others' words bring together or
whose documents a tool clustered). Then chance alone is played: each pair linked with probability
1 - (1 - s^rows)^bands, clusters made, documents removed, `draws` times, for each tool by itself. That gives
how many differences are to be expected between two tools, and for each document how often it is removed. A
document that a tool removed or kept against odds of a thousand to one is listed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
from natural_pairs import Pairs, s_curve, shingle_sets, similar_pairs
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

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


def played(pairs: Pairs, n: int, draws: int, seed: int) -> NDArray[np.bool_]:
    """bool[draws, n]: who is removed when chance links the pairs."""
    a, b, s = pairs
    docs, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    a, b, p = place[: len(a)], place[len(a) :], s_curve(s)
    rng, found = np.random.default_rng(seed), np.zeros((draws, n), bool)
    for draw in range(draws):
        linked = rng.random(len(p)) < p
        graph = coo_matrix((np.ones(linked.sum()), (a[linked], b[linked])), shape=(len(docs), len(docs)))
        _, labels = connected_components(graph, directed=False)
        _, first = np.unique(labels, return_index=True)
        others = np.ones(len(docs), bool)
        others[first] = False
        found[draw, docs[others]] = True
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--least", type=float, default=0.3)
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    texts = [json.loads(line)["text"] for line in given.folder.joinpath("documents.jsonl").open()]
    tools = [t for t in ("curator", "text-dedup", "datatrove") if given.folder.joinpath(f"{t}.json").exists()]
    clusters = {t: json.loads(given.folder.joinpath(f"{t}.json").read_text())["clusters"] for t in tools}
    removed = {t: removed_by(clusters[t], len(texts)) for t in tools}
    pairs = {"curator": similar_pairs(shingle_sets(texts), given.least)}
    if "text-dedup" in tools:
        pairs["text-dedup"] = similar_pairs(shingle_sets(texts, words_of_textdedup), given.least)
    if "datatrove" in tools:
        # documents too short for a shingle have no signature there
        words = words_of_datatrove()
        wanted = {int(doc) for a, b, _ in pairs.values() for doc in (*a, *b)}
        wanted |= {doc for of_tool in clusters.values() for cluster in of_tool for doc in cluster}
        sets = shingle_sets(
            (text if at in wanted else "" for at, text in enumerate(texts)),
            lambda text: found if text and len(found := words(text)) >= 5 else [],
        )
        pairs["datatrove"] = similar_pairs(sets, given.least)
    chance = {t: played(pairs[t], len(texts), given.draws, seed) for seed, t in enumerate(tools)}
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
        against = np.flatnonzero(np.where(removed[t], odds, 1 - odds) < 1e-3)
        differ = np.any([removed[t] != removed[other] for other in tools], axis=0)
        print(f"{t}: {len(against)} documents against odds of 1,000, of which {differ[against].sum()} differ")
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
