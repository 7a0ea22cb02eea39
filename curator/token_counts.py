"""The texts of a corpus -> tokens, once for each tokenizer.

Tokens are a measure of the final text: counts lie in the catalog (`documents.n_tokens`, `token_counts`), the tokens in
shard files beside the texts, a list of 2 or 4 bytes a token with its end token for each document. So they are counted in
parallel, registered shard by shard, checked, superseded and forgotten as every measure is, and a mixture's preview is
exact for what was counted. A stopped count goes on where it was. Cost: 0.3 Mtok/s a core, all of it the tokenizer's.
Rejected: raw payloads beside a table of places, which every one of those would have to learn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from curator.corpus import Corpus
from curator.deciding import final_table
from curator.engines import Engine
from curator.errors import CuratorError, UsageError
from curator.registering import register_ready
from curator.shards import Attempt, sweep
from curator.tokenizer import Described, describe
from curator.tombstones import Tombstones, write_tombstones
from curator_catalog import CatalogBusy, CatalogError
from curator_catalog.durable import publish
from curator_catalog.token_counts import counted, register_tokenizer, uncounted
from curator_catalog.views import quoted

if TYPE_CHECKING:
    import polars as pl

    from curator.run import Progress

VERSION = 1  # raised when the same tokenizer would give other tokens
BATCH_CHARS = 1 << 20
BATCH = 2_000


@dataclass(frozen=True)
class TokenTask:
    """Tokenize documents of a shard: its file of texts as read, files of cleaned ones, and characters, for progress."""

    shard_id: int
    text: str
    cleaned: tuple[str, ...]
    size: int
    doc_ids: tuple[int, ...]


@dataclass(frozen=True)
class TokenMeasure:
    """Where a tokenizer's tokens of the decision set's final texts are stored."""

    tokenizer: Described
    table: str
    final: str
    behind: tuple[str, ...]

    @staticmethod
    def of(corpus: Corpus, tokenizer: Path | Described) -> TokenMeasure:
        """Raises UsageError for what is no tokenizer, and where nothing is decided yet."""
        recipe = corpus.recipe()
        if recipe is None:
            raise UsageError(f"nothing is decided in {corpus.folder} yet; `curator run RECIPE` does")
        described = tokenizer if isinstance(tokenizer, Described) else describe(tokenizer)
        final = final_table(recipe)
        digest = xxhash.xxh3_64_hexdigest(f"{VERSION}/{described.sha256}/{final}".encode())
        return TokenMeasure(described, f"tokens_{digest}", final, tuple(recipe.behind))

    @property
    def signals(self) -> dict[str, str]:
        """As DuckDB types."""
        tokens = "USMALLINT[]" if self.tokenizer.dtype.itemsize == 2 else "UINTEGER[]"
        return {"n_tokens": "UINTEGER", "n_bytes": "UINTEGER", "tokens": tokens}

    def described(self) -> dict[str, Any]:
        """As `commits.ensure_measure` takes it."""
        return {
            "signals": self.signals,
            "wide_signals": ["tokens"],
            "plugin": "tokens",
            "version": str(VERSION),
            "fingerprint": self.table.removeprefix("tokens_"),
            "options": {"tokenizer": self.tokenizer.name, "sha256": self.tokenizer.sha256},
            "behind": list(self.behind),
        }

    def file(self, folder: Path) -> Path:
        """The corpus's copy of its tokenizer.json."""
        return folder / "models" / "tokenizers" / f"{self.tokenizer.sha256[:12]}.json"


def exact_counts(corpus: Corpus, tokenizer: Path | TokenMeasure) -> pl.DataFrame:
    """doc_id UInt64, n_tokens UInt32 (end token included), n_bytes UInt32 of the documents that were counted."""
    import polars as pl

    measure = tokenizer if isinstance(tokenizer, TokenMeasure) else TokenMeasure.of(corpus, tokenizer)
    with corpus.catalog.read() as con:
        if not counted(con, measure.table):
            return pl.DataFrame(schema={"doc_id": pl.UInt64, "n_tokens": pl.UInt32, "n_bytes": pl.UInt32})
        table = con.sql(f"SELECT doc_id, n_tokens, n_bytes FROM measures.{quoted(measure.table)}").to_arrow_table()
    return pl.DataFrame(pl.from_arrow(table))


def count_tokens(
    corpus: Corpus, tokenizer: Path | Described, doc_ids: pl.Series, engine: Engine, progress: Progress
) -> TokenMeasure:
    """Tokenize what of `doc_ids` is not tokenized yet.

    Raises UsageError as TokenMeasure.of does; CuratorError where another run is at work, or a document cannot be tokenized.
    """
    measure = TokenMeasure.of(corpus, tokenizer)
    try:
        if _tasks(corpus, measure, doc_ids):
            with corpus.catalog.alone():
                _count(corpus, measure, doc_ids, engine, progress)
        else:
            _register(corpus, measure)
    except CatalogError as error:
        raise CuratorError(str(error)) from None
    return measure


def count_kept(folder: Path, tokenizer: str, engine: Engine, progress: Progress) -> None:
    """Count the kept documents, as a recipe with `tokenizer:` asks for."""
    corpus = Corpus(folder)
    count_tokens(corpus, Path(tokenizer), corpus.sql("SELECT doc_id FROM documents WHERE kept").pl()["doc_id"], engine, progress)
    ((tokens,),) = corpus.sql("SELECT coalesce(sum(n_tokens), 0)::BIGINT FROM documents WHERE kept").rows()
    progress.note(f"the kept documents have {tokens:,} tokens, by {Path(tokenizer).name}")


def _register(corpus: Corpus, measure: TokenMeasure) -> None:
    file = measure.file(corpus.folder)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".tmp-{file.name}")
        temporary.write_text(measure.tokenizer.json, encoding="utf-8")
        publish(temporary, file)
    known = measure.tokenizer
    row = {
        "measure": measure.table, "tokenizer": known.name, "sha256": known.sha256, "final": measure.final,
        "vocab_size": known.size, "end_token": known.end_token, "end_id": known.end_id,
    }  # fmt: skip
    with corpus.catalog.write(wait=600.0) as con:
        register_tokenizer(con, corpus.folder, row, measure.described())


def _tasks(corpus: Corpus, measure: TokenMeasure, doc_ids: pl.Series) -> list[TokenTask]:
    import polars as pl

    with corpus.catalog.read() as con:
        known = measure.table if counted(con, measure.table) else None
        con.register("chosen", pl.DataFrame({"doc_id": doc_ids.cast(pl.UInt64)}).to_arrow())
        rows = uncounted(con, known, measure.final)
    return [TokenTask(shard, text, tuple(cleaned or ()), size, tuple(ids)) for shard, text, cleaned, size, ids in rows]


def _count(
    corpus: Corpus, measure: TokenMeasure, doc_ids: pl.Series, engine: Engine, progress: Progress
) -> None:
    write_tombstones(corpus.catalog)
    with corpus.catalog.read() as con:
        run_id = con.execute("SELECT coalesce(max(run_id), 0) FROM runs").fetchall()[0][0]
    _register(corpus, measure)
    register_ready(corpus.catalog, run_id, 600.0)  # what a stopped one left
    sweep(corpus.catalog)
    tasks = _tasks(corpus, measure, doc_ids)
    progress.stage(f"tokenizing with {measure.tokenizer.name} (characters)", sum(t.size for t in tasks))
    last, failed = time.monotonic(), []
    argument = (str(corpus.folder), str(measure.file(corpus.folder)), measure.table, measure.described())
    for outcome in engine.map(make_tokenizing, argument, tasks):
        if outcome is not None and outcome.error is not None:
            failed.append(f"shard {outcome.task.shard_id}: {outcome.error}")
        elif outcome is not None:
            progress.advance(outcome.task.size, len(outcome.task.doc_ids))
        if time.monotonic() - last >= 1.0:
            last = time.monotonic()
            try:
                register_ready(corpus.catalog, run_id, 0.0)
            except CatalogBusy:
                continue  # a reader holds it: later
    register_ready(corpus.catalog, run_id, 3600.0)
    if failed:
        raise CuratorError(f"tokens were not counted: {'; '.join(failed)}")


def make_tokenizing(argument: tuple[str, str, str, dict[str, Any]]) -> Tokenizing:
    """What an engine calls once in each worker."""
    return Tokenizing(*argument)


class Tokenizing:
    """Does one task: reads the final texts of its documents and writes their tokens and counts."""

    def __init__(self, corpus: str, tokenizer: str, table: str, described: dict[str, Any]) -> None:
        import multiprocessing
        import os

        if multiprocessing.parent_process() is not None:
            os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker has one core
        from curator.tokenizer import load_tokenizer

        self.corpus, self.table, self.described = Path(corpus), table, described
        known = describe(Path(tokenizer))
        self.tokenizer, self.end, self.dtype = load_tokenizer(Path(tokenizer)), known.end_id, known.dtype
        self.tombstones = len(Tombstones(corpus))

    def __call__(self, task: TokenTask) -> dict[str, int]:
        started = time.monotonic()
        attempt = Attempt(str(self.corpus), task.shard_id)
        tokens = 0
        for frame in self._texts(task):
            for batch in _cut(frame):
                rows = self._tokenized(batch)
                attempt.write(self.table, rows.select("doc_id", "tokens"))
                attempt.write(f"pending/{self.table}", rows.select("doc_id", "n_tokens", "n_bytes"))
                tokens += int(rows["n_tokens"].sum())
        files = attempt.close()
        narrow = files.get(f"pending/{self.table}", {}).get("path")
        found = {"narrow": narrow, "wide": files.get(self.table), **self.described}
        attempt.finish(
            {
                "task": "measure", "shard_id": task.shard_id, "source": "", "size": task.size,
                "tombstones": self.tombstones, "text": None, "columns": {}, "quarantine": None,
                "measures": {self.table: found}, "seconds": {"tokens": time.monotonic() - started},
                "counts": {"tokens": tokens},
            }
        )  # fmt: skip
        return {"tokens": tokens}

    def _texts(self, task: TokenTask) -> Iterator[pl.DataFrame]:
        import duckdb
        import polars as pl

        config: dict[str, Any] = {
            "threads": 1,
            "memory_limit": "512MB",
            "temp_directory": str(self.corpus / "cache" / "duckdb"),
        }
        with duckdb.connect(config=config) as con:
            con.register("wanted", pl.DataFrame({"doc_id": pl.Series(task.doc_ids, dtype=pl.UInt64)}).to_arrow())
            query = "SELECT doc_id, text FROM read_parquet($text) SEMI JOIN wanted USING (doc_id)"
            files: dict[str, Any] = {"text": str(self.corpus / task.text)}
            if task.cleaned:
                query = (
                    f"SELECT doc_id, coalesce(c.text, t.text) AS text FROM ({query}) t "
                    "LEFT JOIN (SELECT doc_id, text FROM read_parquet($cleaned)) c USING (doc_id)"
                )
                files["cleaned"] = [str(self.corpus / p) for p in task.cleaned]
            for batch in con.sql(f"{query} ORDER BY doc_id", params=files).to_arrow_reader(BATCH):
                yield pl.DataFrame(pl.from_arrow(batch))

    def _tokenized(self, batch: pl.DataFrame) -> pl.DataFrame:
        import numpy as np
        import polars as pl
        import pyarrow as pa

        encoded = self.tokenizer.encode_batch_fast(batch["text"].to_list(), add_special_tokens=False)
        ids = [e.ids for e in encoded]
        for document in ids:
            document.append(self.end)
        lengths = np.array([len(i) for i in ids], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = np.concatenate([np.asarray(i, dtype=self.dtype) for i in ids])
        lists = pa.LargeListArray.from_arrays(offsets, flat)
        return batch.select(
            "doc_id",
            pl.Series("n_tokens", lengths, dtype=pl.UInt32),
            pl.col("text").str.len_bytes().alias("n_bytes"),
            pl.Series("tokens", pl.from_arrow(lists)),
        )


def _cut(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame in pieces of a million characters or so."""
    import polars as pl

    piece = (frame["text"].str.len_chars().cum_sum() // BATCH_CHARS).alias("piece")
    for part in frame.with_columns(piece).partition_by("piece", maintain_order=True) if frame.height else ():
        yield part.select(pl.exclude("piece"))
