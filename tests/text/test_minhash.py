"""Signatures agree with datasketch, bit for bit, and datasketch's indexes take them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.text import minhash

HASHES = st.integers(0, 2**64 - 1)
# few distinct words, so that shingles repeat
DOCUMENTS = st.lists(st.lists(st.one_of(st.sampled_from([0, 1, 2**64 - 1]), HASHES), max_size=40), max_size=6)


def packed(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    return offsets, np.array([*itertools.chain(*documents)], np.uint64)


def sketch(words: list[int], ngram: int, count: int, seed: int) -> MinHash:
    size = min(ngram, len(words))
    starts = range(len(words) - size + 1) if words else ()
    shingles = [minhash.shingle_hash(words[i : i + size]) for i in starts]
    found = MinHash(num_perm=count, seed=seed, scheme="affine32", hashfunc=lambda h: h)
    found.update_batch(shingles)
    return found


@settings(deadline=None)  # the first call compiles
@given(DOCUMENTS, st.integers(1, 7), st.integers(1, 20), st.integers(0, 2**31))
def test_signatures_are_datasketchs(documents: list[list[int]], ngram: int, count: int, seed: int) -> None:
    """Every document's row is what datasketch makes of the same shingle hashes."""
    found = minhash.signatures(*packed(documents), ngram, minhash.Permutations.of(count, seed))
    assert found.shape == (len(documents), count)
    for words, row in zip(documents, found, strict=True):
        assert row.tolist() == sketch(words, ngram, count, seed).hashvalues.tolist()


@pytest.mark.parametrize(
    "n_words", [minhash.BLOCK + 3, minhash.BLOCK + 4, minhash.BLOCK + 5, 3 * minhash.BLOCK]
)
def test_signatures_across_blocks(n_words: int) -> None:
    """A document of one block of shingles, of one less and of more has the same signature as datasketch's."""
    words = np.random.default_rng(n_words).integers(0, 2**64, n_words, np.uint64)
    found = minhash.signatures(np.array([0, n_words]), words, 5, minhash.Permutations.of(112, 1))
    assert found[0].tolist() == sketch(words.tolist(), 5, 112, 1).hashvalues.tolist()


@settings(deadline=None)  # the first call compiles
@given(DOCUMENTS)
def test_rows_do_not_depend_on_neighbours(documents: list[list[int]]) -> None:
    """A document alone has the signature that it has in a batch, whatever the order."""
    permutations = minhash.Permutations.of(8, 1)
    together = minhash.signatures(*packed(documents), 3, permutations)
    reversed_ = minhash.signatures(*packed(documents[::-1]), 3, permutations)
    alone = [minhash.signatures(*packed([d]), 3, permutations)[0].tolist() for d in documents]
    assert together.tolist() == alone == reversed_[::-1].tolist()


def test_a_short_document_is_one_shingle_of_its_own_length() -> None:
    """Two words are another shingle than three of which they are the first two."""
    found = minhash.signatures(
        *packed([[7, 8], [7, 8], [7, 8, 0], [8, 7]]), 5, minhash.Permutations.of(16, 1)
    )
    assert found[0].tolist() == found[1].tolist()
    assert not (found[0] == found[2]).any()
    assert not (found[0] == found[3]).any()


def test_datasketchs_index_takes_stored_signatures() -> None:
    """A signature read back from bytes is found by MinHashLSH, and estimates the similarity."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**64, 400, np.uint64)
    near, far = words.copy(), rng.integers(0, 2**64, 400, np.uint64)
    near[200] = 1
    permutations = minhash.Permutations.of(112, 1)
    rows = minhash.signatures(np.arange(0, 1201, 400), np.concatenate([words, near, far]), 5, permutations)
    stored = [np.frombuffer(row.tobytes(), np.uint32) for row in rows]
    sketches = [MinHash(hashvalues=row, seed=1, scheme="affine32") for row in stored]
    index = MinHashLSH(num_perm=112, params=(14, 8))
    for name, found in zip("abc", sketches, strict=True):
        index.insert(name, found)
    assert sorted(index.query(sketches[0])) == ["a", "b"]
    assert sketches[0].jaccard(sketches[1]) == pytest.approx(391 / 401, abs=0.05)


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_band_keys_are_equal_where_rows_are(bands: int, rows: int, data: st.DataObject) -> None:
    """Keys of two documents agree in a band exactly where all its rows do, and differ between bands."""
    row = st.lists(st.integers(0, 2), min_size=bands * rows, max_size=bands * rows)
    signatures = np.array([data.draw(row), data.draw(row)], np.uint32)
    keys = minhash.band_keys(signatures, bands, rows)
    assert keys.dtype == np.int64
    same = (signatures[0] == signatures[1]).reshape(bands, rows).all(axis=1)
    assert (keys[0] == keys[1]).tolist() == same.tolist()
    assert len(set(minhash.band_keys(np.zeros_like(signatures), bands, rows)[0].tolist())) == bands
