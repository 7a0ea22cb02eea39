"""Checks a corpus against what the catalog registered, and sums it up in one digest.

The digest is xxh3-128 over texts, signals, decisions, edges and clusters in doc_key order; not over files,
numbers of shards or times. The same recipe over the same sources gives the same digest, whatever the number
of workers and however often it was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import xxhash

from curator.corpus import Corpus
from curator.errors import CuratorError
from curator.hashing import file_hash
from curator_catalog import CatalogError
from curator_catalog.commits import remove_documents
from curator_catalog.views import quoted


@dataclass
class Findings:
    """What is wrong: (shard, measure, path, what) for damaged files, and files nobody registered."""

    damaged: list[tuple[int, str, str, str]] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    files: int = 0

    @property
    def ok(self) -> bool:
        return not self.damaged


def check(corpus: Corpus, advance: Callable[[int], None] = lambda size: None) -> Findings:
    """Compare every registered file's size and hash, and every stored text's hash, with the catalog."""
    found = Findings()
    with corpus.catalog.read() as con:
        shards = con.execute(
            "SELECT shard_id, measure, path, rows, bytes, hash FROM shards ORDER BY path"
        ).fetchall()
        original = not con.execute("SELECT 1 FROM store.settings WHERE name = 'keep_original'").fetchall()
    for shard_id, measure, path, rows, size, digest in shards:
        found.files += 1
        problem = _problem(corpus.folder / path, rows, size, digest, texts=measure == "text" and original)
        advance(size)
        if problem:
            found.damaged.append((shard_id, measure, path, problem))
    registered = {path for _, _, path, *_ in shards}
    found.orphans = sorted(
        str(p.relative_to(corpus.folder))
        for p in (corpus.folder / "shards").rglob("*")
        if p.is_file() and str(p.relative_to(corpus.folder)) not in registered
    )
    return found


def _problem(path: Path, rows: int, size: int, digest: str, *, texts: bool) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != size:
        return f"has {path.stat().st_size} bytes, {size} were registered"
    if file_hash(path) != digest:
        return "has other content than was registered"
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != rows:
            return f"has {file.metadata.num_rows} rows, {rows} were registered"
        for group in range(file.num_row_groups if texts else 0):
            frame = pl.DataFrame(
                pl.from_arrow(file.read_row_group(group, columns=["doc_id", "text", "content_hash"]))
            )
            for doc_id, text, stored in frame.iter_rows():
                if xxhash.xxh3_128_hexdigest(text.encode()) != stored:
                    return f"document {doc_id} has another text than its content_hash says"
    return None


def repair(corpus: Corpus, found: Findings) -> list[str]:
    """Take out what is damaged, so that the next run reads or measures it again, and delete orphans."""
    try:
        with corpus.catalog.alone():
            return _repair(corpus, found)
    except CatalogError as error:
        raise CuratorError(str(error)) from None


def _repair(corpus: Corpus, found: Findings) -> list[str]:
    done = []
    with corpus.catalog.write(wait=600.0) as con:
        for shard_id, measure, path, _ in found.damaged:
            if measure == "text":
                remove_documents(
                    con, f"SELECT doc_id FROM store.documents WHERE doc_id >> 32 = {int(shard_id)}"
                )
                con.execute("UPDATE splits SET state = 'planned' WHERE split_id = ?", [shard_id])
                con.execute("DELETE FROM shards WHERE shard_id = ?", [shard_id])
                done.append(f"split {shard_id} will be read again ({path})")
            else:
                con.execute(f"DELETE FROM measures.{quoted(measure)} WHERE doc_id >> 32 = ?", [shard_id])
                con.execute("DELETE FROM shards WHERE shard_id = ? AND measure = ?", [shard_id, measure])
                con.execute("DELETE FROM store.edge_sets WHERE table_name = ?", [measure])
                done.append(f"{measure} will be measured again for shard {shard_id} ({path})")
    for orphan in found.orphans:
        (corpus.folder / orphan).unlink(missing_ok=True)
        done.append(f"deleted {orphan}, which nothing registers")
    return done


def digest(corpus: Corpus) -> str:
    """The digest of the decision set in force. Raises CuratorError where nothing is decided yet."""
    hasher = xxhash.xxh3_128()
    try:
        with corpus.catalog.users() as con:
            steps = [
                name
                for (name,) in con.execute(
                    "SELECT view_name FROM duckdb_views() WHERE schema_name = 'signals' ORDER BY view_name"
                ).fetchall()
            ]
            if (
                not con.execute("SELECT 1 FROM decisions LIMIT 1").fetchall()
                and con.execute("SELECT 1 FROM documents LIMIT 1").fetchall()
            ):
                raise CuratorError("nothing is decided yet; `curator run` does")
            for query in _digest_queries(steps):
                for values in _rows(con, query):
                    hasher.update(values)
            for (path,) in con.execute("SELECT path FROM shards WHERE measure = 'text'").fetchall():
                if not (corpus.folder / path).is_file():
                    raise CuratorError(f"{path} is missing; `curator check --repair` takes it out")
            texts = pl.concat(
                [
                    pl.DataFrame(schema={"doc_key": pl.String, "read": pl.String, "final": pl.String}),
                    *_text_hashes(con),
                ]
            )
    except CatalogError as error:
        raise CuratorError(str(error)) from None
    for row in texts.sort("doc_key").iter_rows():
        hasher.update("\x1f".join(row).encode())
    return hasher.hexdigest()


def _digest_queries(steps: list[str]) -> Iterator[str]:
    yield (
        "SELECT to_json(d)::VARCHAR FROM (SELECT doc_key, source, source_key, url, title, published, license, "
        "declared_domain, metadata, content_hash, text_hash, language, n_chars, n_words, decision, reasons FROM documents) d "
        "ORDER BY d.doc_key"
    )
    for step in steps:
        yield (
            f"SELECT to_json(m)::VARCHAR FROM (SELECT d.doc_key, s.* EXCLUDE (doc_id) FROM signals.{quoted(step)} s "
            "JOIN documents d USING (doc_id)) m ORDER BY m.doc_key"
        )
    yield (
        "SELECT concat_ws(chr(31), step, x.doc_key, y.doc_key, similarity) FROM duplicate_edges "
        "JOIN documents x ON x.doc_id = a JOIN documents y ON y.doc_id = b ORDER BY step, x.doc_key, y.doc_key"
    )
    yield (
        "SELECT concat_ws(chr(31), step, x.doc_key, cluster_id, cluster_size, y.doc_key) FROM duplicates c "
        "JOIN documents x ON x.doc_id = c.doc_id LEFT JOIN documents y ON y.doc_id = kept_copy "
        "WHERE decision_set = (SELECT value FROM store.settings WHERE name = 'decision_set') ORDER BY step, x.doc_key"
    )


def _rows(con: Any, query: str) -> Iterator[bytes]:
    for batch in con.sql(query).to_arrow_reader(10_000):
        yield "\x1e".join(v or "" for v in batch.column(0).to_pylist()).encode() + b"\x1e"


def _text_hashes(con: Any) -> Iterator[pl.DataFrame]:
    query = "SELECT doc_key::VARCHAR AS doc_key, text_read, text FROM texts JOIN documents USING (doc_id)"
    for batch in con.sql(query).to_arrow_reader(2_000):
        read, final = batch.column(1).to_pylist(), batch.column(2).to_pylist()
        yield pl.DataFrame(
            {
                "doc_key": batch.column(0).to_pylist(),
                "read": [xxhash.xxh3_128_hexdigest(t.encode()) for t in read],
                "final": [xxhash.xxh3_128_hexdigest(t.encode()) for t in final],
            },
            schema={"doc_key": pl.String, "read": pl.String, "final": pl.String},
        )
