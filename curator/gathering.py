"""Texts and tokens of chosen documents, in the order of an export: one pass over the corpus, sorted out of core.

The order is that of a keyed hash, so neighbours come from anywhere. Rejected: a query for each file that is written,
which reads the whole corpus as often as there are files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from curator.corpus import Corpus
from curator.errors import CuratorError
from curator.tokenizer import TRAINING_BYTES

if TYPE_CHECKING:
    import duckdb

    from curator.run import Progress
    from curator.token_counts import TokenMeasure

BATCH = 2_000
_COLUMNS = "d.doc_key::VARCHAR AS id, text, source, url, title, published, license, coalesce(domain, declared_domain) AS domain, language"


def texts(corpus: Corpus, doc_keys: pl.Series, measure: TokenMeasure | None = None) -> Iterator[pl.DataFrame]:
    """Documents as exporters take them, with `tokens` where a measure is given; a document may come several times."""
    with corpus.catalog.users() as con:
        con.register("chosen_documents", _order(doc_keys))
        tokens, joined = "", ""
        if measure is not None:
            tokens, joined = ", tokens", f" JOIN {_token_files(con, corpus, measure)} USING (doc_id)"
        query = (
            f"SELECT {_COLUMNS}{tokens} FROM chosen_documents c JOIN documents d ON d.doc_key = c.doc_key::UUID JOIN texts USING (doc_id){joined} "
            "ORDER BY place"
        )
        yield from _frames(con, query)


def tokens(corpus: Corpus, doc_keys: pl.Series, measure: TokenMeasure) -> Iterator[pl.DataFrame]:
    """The `tokens` of documents, a list each. Raises CuratorError for an id outside the vocabulary."""
    with corpus.catalog.users() as con:
        con.register("chosen_documents", _order(doc_keys))
        query = (
            "SELECT tokens FROM chosen_documents c JOIN store.documents d ON d.doc_key = c.doc_key::UUID "
            f"JOIN {_token_files(con, corpus, measure)} USING (doc_id) ORDER BY place"
        )
        for frame in _frames(con, query):
            largest: Any = frame["tokens"].list.max().max()
            if largest >= measure.tokenizer.size:
                raise CuratorError(
                    f"{measure.table} has a token {largest}, the vocabulary of {measure.tokenizer.name} ends at "
                    f"{measure.tokenizer.size - 1}; `curator check --repair` takes damaged files out"
                )
            yield frame


def training_texts(
    corpus: Corpus, documents: pl.DataFrame, shares: Mapping[str, float], progress: Progress, most: int = TRAINING_BYTES
) -> Iterator[str]:
    """Texts to train a tokenizer on: of the documents of a plan to train on, each component's share of `most` characters."""
    chosen = [documents["doc_key"].head(0)]
    total = 0
    for name, share in shares.items():
        of = documents.filter((pl.col("component") == name) & ~pl.col("held_out"))
        before = of["n_chars"].cast(pl.UInt64).cum_sum() - of["n_chars"]
        of = of.filter(before < share * most)
        chosen.append(of["doc_key"])
        total += int(of["n_chars"].sum())
    progress.stage("reading texts (characters)", total)
    for frame in texts(corpus, pl.concat(chosen)):
        yield from frame["text"]
        progress.advance(int(frame["text"].str.len_chars().sum()), frame.height)


def cut(frames: Iterator[pl.DataFrame], sizes: list[int]) -> Iterator[Iterator[pl.DataFrame]]:
    """A stream of rows as consecutive streams of `sizes` rows; one has to be read to its end before the next."""
    rest: list[pl.DataFrame] = []

    def piece(size: int) -> Iterator[pl.DataFrame]:
        while size:
            frame = rest.pop() if rest else next(frames, None)
            if frame is None:
                raise CuratorError(
                    f"{size} documents of the export have no text; `curator check` says which files are missing"
                )
            if frame.height > size:
                rest.append(frame[size:])
                frame = frame[:size]
            size -= frame.height
            yield frame

    for size in sizes:
        yield piece(size)


def _frames(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[pl.DataFrame]:
    for batch in con.sql(query).to_arrow_reader(BATCH):
        frame = pl.DataFrame(pl.from_arrow(batch))
        if frame.height:
            yield frame


def _order(doc_keys: pl.Series) -> Any:
    return pl.DataFrame({"doc_key": doc_keys}).with_row_index("place").to_arrow()


def _token_files(con: duckdb.DuckDBPyConnection, corpus: Corpus, measure: TokenMeasure) -> str:
    paths = con.execute("SELECT path FROM main.shards WHERE measure = ? ORDER BY path", [measure.table]).fetchall()
    listed = ", ".join("'" + str(corpus.folder / p).replace("'", "''") + "'" for (p,) in paths)
    return f"(SELECT doc_id, tokens FROM read_parquet([{listed}]))"
