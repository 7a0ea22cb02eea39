"""What the dedup plugins measure."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import xxhash
from datasketch import MinHash as Sketch

from curator import UsageError
from curator.documents import Documents
from curator.text.minhash import shingle_hash
from curator_plugins.dedup.exact import Exact
from curator_plugins.dedup.minhash import MinHash

TEXT = "The quick brown fox jumps over the lazy dog, and 12 other foxes."


def documents(*texts: str) -> Documents:
    columns = {"doc_id": pl.UInt64, "text": pl.String}
    return Documents(pl.DataFrame({"doc_id": range(len(texts)), "text": texts}, schema=columns))


def test_exact_hashes_the_text() -> None:
    """`on: text` is the xxh3-128 of the UTF-8, in 32 hexadecimal digits; the empty text is a text."""
    found = Exact().measure(documents("", "Straße", "straße"))["hash"]
    assert found.to_list() == [xxhash.xxh3_128_hexdigest(t.encode()) for t in ("", "Straße", "straße")]


@pytest.mark.parametrize(
    "same", ["the QUICK  brown\nfox jumps over the lazy dog and 7 other foxes", TEXT + "!"]
)
def test_exact_normalized_looks_past_case_marks_spaces_and_numbers(same: str) -> None:
    one, other = Exact(on="normalized").measure(documents(TEXT, same))["hash"]
    assert one == other


def test_exact_normalized_keeps_order_and_borders_of_words() -> None:
    """Other order, or the same letters as other words, is another text; no word at all is undefined."""
    found = Exact(on="normalized").measure(documents("a bc", "bc a", "ab c", "abc", "", " … !"))["hash"]
    assert found.n_unique() == 5
    assert found.to_list()[4:] == [None, None]


def test_minhash_measures_datasketchs_signature() -> None:
    """The stored bytes are the hash values of a datasketch MinHash over shingles of the shared words."""
    docs = documents(TEXT, "two words", "...", "")
    measured = MinHash(ngram=3, bands=4, rows=5, seed=9).measure(docs)
    words = docs.words("normalized").hashes[: docs.words("normalized").doc_offsets[1]].tolist()
    sketch = Sketch(num_perm=20, seed=9, scheme="affine32", hashfunc=lambda h: h)
    sketch.update_batch([shingle_hash(words[i : i + 3]) for i in range(len(words) - 2)])
    assert np.frombuffer(measured["signature"][0], "<u4").tolist() == sketch.hashvalues.tolist()
    assert measured["bands"].list.len().to_list() == [4, 4, None, None]
    assert measured["signature"].to_list()[2:] == [None, None]


def test_minhash_declares_what_it_measures() -> None:
    """Names, types and lengths are as declared, also for an empty batch and without signatures."""
    for step in (MinHash(), MinHash(signatures=False)):
        for docs in (documents(), documents(TEXT, "")):
            measured = step.for_measuring().measure(docs)
            assert {name: series.dtype for name, series in measured.items()} == step.declared_signals()
            assert {len(series) for series in measured.values()} == {len(docs)}
    assert measured["signature"].null_count() == len(docs)


@pytest.mark.parametrize("step", [MinHash(bands=3, rows=2), Exact(), Exact(on="normalized")])
def test_measures_are_row_wise(step: MinHash | Exact) -> None:
    """A batch, its reversal and one document at a time measure the same."""
    texts = [TEXT, "", "a", TEXT.upper(), "…"]
    together = step.measure(documents(*texts))
    backwards = step.measure(documents(*texts[::-1]))
    alone = [step.measure(documents(text)) for text in texts]
    for name, series in together.items():
        assert (
            series.to_list() == backwards[name].to_list()[::-1] == [one[name].to_list()[0] for one in alone]
        )


@pytest.mark.parametrize(
    "options", [{"bands": 0}, {"rows": -1}, {"ngram": 0}, {"signatures": False, "min_similarity": 0.8}]
)
def test_minhash_refuses_options_without_sense(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"minhash: \w+"):
        MinHash(**options)


def test_deciding_options_stay_out_of_measuring() -> None:
    assert set(MinHash().rule_options()) == {
        *("keep", "prefer", "copies", "against", "within", "reelect", "min_similarity")
    }
    assert "whitespace" in MinHash(words="whitespace").versions()["words"]
    assert Exact().versions() == {}
    assert "normalized" in Exact(on="normalized").versions()["words"]
