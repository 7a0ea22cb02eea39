"""Takes documents out of a corpus for good, and leaves tombstones against which later runs check what they read.

In this order: the touched shards are written anew without the documents; one transaction registers the new
files, removes the rows of every table and adds the tombstones; what nothing registers any more is deleted, the
decision sets are decided again, caches are dropped, the catalog file is written anew. Killed before the
transaction, nothing has happened; killed after it, the next `curator forget` or `curator run` does the rest.

Identical copies (by the hash of the text as read) go too, unless they are to stay. Near copies do not: whether
they hold what is to be forgotten is for a person to see. Exports and models are out of reach: they are named
and marked. Files that sources fetched are named too: they are as they came, and only their source can read them.

Cost: the touched shards at 150 MB of text a second and core, deciding again, and the catalog file. Of 48,000
documents (221 MB in 4 shards, 2 busy cores) one took 7 s, 4,800 took 9 s, within 380 MB of memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.fetching import folder_of
from curator.redeciding import decide_stored
from curator.shards import Attempt, sweep
from curator.tombstones import write_tombstones
from curator_catalog import Catalog, CatalogError, QueryRefused, rewriting, tombstones

Advance = Callable[[int, int], None]
_REPAIR = "`curator check --repair` and `curator run` make damaged files again; nothing was forgotten"
_RESUMED = "an interrupted curator forget was finished"
_ABOUT = ("doc_id", "source", "source_key", "url", "title")
NAMED = 10  #: unknown ids that an error names


@dataclass(frozen=True)
class Chosen:
    """What would be forgotten. `near_copies` are doc_ids that stay; `already` are ids forgotten before."""

    documents: pl.DataFrame
    copies: bool
    near_copies: list[int] = field(default_factory=list)
    already: list[str] = field(default_factory=list)

    @property
    def by_source(self) -> dict[str, dict[str, int]]:
        """source -> how many were named, and how many are copies of those."""
        counts = self.documents.group_by("source").agg(
            named=pl.col("named").sum(), copies=(~pl.col("named")).sum()
        )
        return {s: {"named": n, "copies": c} for s, n, c in counts.sort("source").iter_rows()}

    @property
    def named(self) -> list[dict[str, Any]]:
        """The documents that the expression or the ids name."""
        return self.documents.filter("named").select(_ABOUT).to_dicts()

    @property
    def identical_copies(self) -> list[dict[str, Any]]:
        """The documents that only have the same text."""
        return self.documents.filter(~pl.col("named")).select(_ABOUT).to_dicts()


@dataclass(frozen=True)
class Held:
    """An export with forgotten documents; `dropped` with the corpus's cache, or still where it is."""

    export_id: int
    path: str
    documents: int
    dropped: bool


@dataclass
class Report:
    """What was done, and what is out of reach. Sizes are in bytes."""

    documents: int = 0
    by_source: dict[str, dict[str, int]] = field(default_factory=dict)
    identical_copies: list[dict[str, Any]] = field(default_factory=list)
    near_copies: list[int] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    reelected: int = 0
    files_rewritten: int = 0
    files_removed: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    catalog_before: int = 0
    catalog_after: int = 0
    fetched: list[str] = field(default_factory=list)
    exports: list[Held] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def choose(
    corpus: Corpus,
    *,
    where: str | None = None,
    ids: Iterable[str] | None = None,
    copies: bool = True,
    skip_unknown: bool = False,
) -> Chosen:
    """The documents that an expression over `documents` or ids name, and with `copies` those of the same texts.

    Raises UsageError for an expression that the gate refuses, and for ids that name no document or several,
    with the place of each in `ids`, from 1; with `skip_unknown` those that name none are left out.
    """
    try:
        with corpus.catalog.users() as con:
            already: list[str] = []
            if where is not None:
                named = tombstones.named_by(con, where)
            else:
                named, already = _named(con, list(ids or ()), skip_unknown)
            chosen = tombstones.with_copies(con, named, copies=copies)
            near = tombstones.near_copies(con, chosen)
    except QueryRefused as error:
        raise UsageError(str(error)) from None
    except CatalogError as error:
        raise CuratorError(str(error)) from None
    return Chosen(_frame(chosen), copies, near, already)


def _named(con: Any, ids: list[str], skip_unknown: bool) -> tuple[pa.Table, list[str]]:
    places = {name.strip(): place for place, name in reversed(list(enumerate(ids, 1))) if name.strip()}
    found: dict[str, list[tuple[str, int]]] = {}
    for name, doc_key, doc_id in tombstones.named_in(con, places):
        found.setdefault(name, []).append((doc_key, doc_id))
    several = {name: keys for name, keys in found.items() if len(keys) > 1}
    if several:
        name, keys = min(several.items(), key=lambda item: places[item[0]])
        listed = ", ".join(str(doc_id) for _, doc_id in keys[:NAMED])
        raise UsageError(
            f"line {places[name]}: {name!r} is {len(keys)} documents: {listed}; give the doc_id; nothing was forgotten"
        )
    missing = [name for name in places if name not in found]
    already = forgotten_among(con, missing)
    unknown = sorted((places[name], name) for name in missing if name not in already)
    if unknown and not skip_unknown:
        listed = ", ".join(f"line {place}: {name!r}" for place, name in unknown[:NAMED])
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise UsageError(
            f"these name no document, by doc_id, doc_key, source_key or URL: {listed}{more}; nothing was forgotten "
            "(--skip-unknown leaves them out)"
        )
    keys_found = [keys[0][0] for keys in found.values()]
    return pa.table({"doc_key": pa.array(keys_found, pa.string())}), sorted(already, key=places.__getitem__)


def forgotten_among(con: Any, names: Collection[str]) -> set[str]:
    """Those of the ids that were forgotten before; a source_key is known by the doc_key that it makes."""
    if not names:
        return set()
    sources = [s for (s,) in con.execute("SELECT DISTINCT source FROM tombstones").fetchall()]
    keys = {xxhash.xxh3_128_hexdigest(f"{source}\0{name}".encode()): name for source in sources for name in names}  # fmt: skip
    found = tombstones.forgotten_among(con, {*keys, *names})
    return (found & set(names)) | {keys[key] for key in found & keys.keys()}


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def forget(
    corpus: Corpus,
    chosen: Chosen,
    reason: str,
    *,
    stage: Callable[[str, int], None] = lambda title, size: None,
    advance: Advance = lambda size, documents: None,
) -> Report:
    """Forget the chosen documents, as they stand now, for good.

    Raises CuratorError where a run is at work on the corpus, and where files are damaged; nothing has
    changed then.
    """
    catalog = corpus.catalog
    report = Report(near_copies=chosen.near_copies, already=chosen.already)
    try:
        with catalog.alone():
            catalog.create()
            resumed = finish_interrupted(catalog)
            if chosen.documents.height:
                _drop_trial(catalog.folder)
                sweep(catalog)
                _remove(catalog, chosen, reason, report, stage, advance)
                _finish(catalog, report)
            if resumed:
                report.messages.append(_RESUMED)
    except CatalogError as error:
        raise CuratorError(str(error)) from error
    return report


def prepare(catalog: Catalog, note: Callable[[str], None]) -> None:
    """Before a run reads: do the rest of an interrupted `forget`, and write what workers check against."""
    if finish_interrupted(catalog):
        note(_RESUMED)
    write_tombstones(catalog)


def finish_interrupted(catalog: Catalog) -> bool:
    """Do the rest where a kill came behind the transaction that removed documents; whether there was any."""
    with catalog.read(wait=600.0) as con:
        unfinished = tombstones.unfinished(con)
    if unfinished:
        _finish(catalog, Report())
    return unfinished


def _remove(
    catalog: Catalog,
    chosen: Chosen,
    reason: str,
    report: Report,
    stage: Callable[[str, int], None],
    advance: Advance,
) -> None:
    named = chosen.documents.filter("named").select("doc_key").to_arrow()
    with catalog.read(wait=600.0) as con:
        documents = tombstones.with_copies(con, named, copies=chosen.copies)
        try:
            rows = tombstones.stored_rows(con, catalog.folder, documents, copies=chosen.copies)
        except duckdb.Error as error:
            raise CuratorError(f"texts of {catalog.folder} cannot be read ({error}); {_REPAIR}") from error
        report.reelected = tombstones.clusters_without_kept_copy(con, documents)
        files = con.execute("SELECT shard_id, measure, path, bytes FROM shards ORDER BY ALL").fetchall()
        exports = con.execute("SELECT export_id, path FROM exports ORDER BY export_id").fetchall()
        known = tombstones.in_exports(con, documents)
        origins = tombstones.origins(con, rows)
        models = con.execute("SELECT DISTINCT model, kind, path FROM models ORDER BY ALL").fetchall()
    now = Chosen(_frame(documents), chosen.copies)
    report.documents = now.documents.height
    report.by_source, report.identical_copies = now.by_source, now.identical_copies
    report.fetched = sorted(
        str(path)
        for source, uri in origins
        if (path := folder_of(catalog.folder, source) / uri).is_relative_to(folder_of(catalog.folder, source))
    )
    report.exports = [
        Held(export_id, path, count, (catalog.folder / "cache") in Path(path).parents)
        for export_id, path in exports
        if (count := _count_in(Path(path), now, known.get(export_id, 0)))
    ]
    report.models = [{"model": model, "kind": kind, "path": path} for model, kind, path in models]
    gone = _frame(rows)["doc_id"]
    shards = set((gone // (1 << 32)).to_list())
    touched = [file for file in files if file[0] in shards]
    stage("rewriting shards", sum(size for *_, size in touched))
    replaced = []
    for shard_id, measure, path, size in touched:
        new = _rewritten(catalog.folder, shard_id, measure, path, gone)
        if new is not _UNTOUCHED:
            replaced.append(tombstones.Replaced(path, new))
            report.files_rewritten += new is not None
            report.files_removed += new is None
            report.bytes_before += size
            report.bytes_after += new["bytes"] if new else 0
        advance(size, 0)
    with catalog.write(wait=600.0) as con:
        tombstones.remove(
            con,
            catalog.folder,
            documents,
            rows,
            replaced,
            {held.export_id: held.documents for held in report.exports},
            reason=reason,
            copies=chosen.copies,
        )


_UNTOUCHED: dict[str, Any] = {}


def _rewritten(
    folder: Path, shard_id: int, measure: str, path: str, gone: pl.Series
) -> dict[str, Any] | None:
    """Write a file anew without the rows of `gone`: the new file, None for one without rows, or _UNTOUCHED."""
    attempt = Attempt(str(folder), shard_id)
    try:
        with pq.ParquetFile(folder / path) as file:
            if not _frame(file.read(columns=["doc_id"]))["doc_id"].is_in(gone.implode()).any():
                return _UNTOUCHED
            for group in range(file.num_row_groups):
                frame = _frame(file.read_row_group(group))
                left = frame.filter(~pl.col("doc_id").is_in(gone.implode()))
                if left.height:
                    attempt.write(measure, left)
    except (OSError, pa.ArrowException) as error:
        raise CuratorError(f"{folder / path} cannot be read ({error}); {_REPAIR}") from error
    return attempt.close().get(measure)


def _count_in(export: Path, chosen: Chosen, known: int) -> int:
    """How many of the documents an export holds, by its own list: it may hold what the catalog replaced since."""
    listed = export / "documents.parquet"
    if not listed.is_file():
        return known
    keys = pl.col("doc_key").is_in(chosen.documents["doc_key"].implode())
    texts = pl.col("content_hash").is_in(chosen.documents["content_hash"].implode()) & chosen.copies
    return int(pl.scan_parquet(listed).filter(keys | texts).select(pl.len()).collect().item())


def _finish(catalog: Catalog, report: Report) -> None:
    """What is done after the transaction, as often as it takes."""
    sweep(catalog)
    report.messages = decide_stored(catalog)
    _drop_caches(catalog.folder)
    report.catalog_before, report.catalog_after = rewriting.rewrite(catalog)
    with catalog.write(wait=600.0) as con:
        tombstones.finished(con)


def _drop_caches(folder: Path) -> None:
    """Word tables, exports made on the way, spilled rows: whatever is in the cache can be made again."""
    for path in (folder / "cache").glob("*"):
        if path.name == "duckdb":  # its folder stays, for those who query meanwhile
            for file in path.rglob("*"):
                file.unlink(missing_ok=True)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                raise CuratorError(
                    f"{path} cannot be deleted and may hold texts; delete it, and run curator forget again"
                )
        else:
            path.unlink(missing_ok=True)


def _drop_trial(folder: Path) -> None:
    """The scratch corpus of `curator run --limit` and `--sample` beside this one."""
    trial = Catalog(folder.with_name(folder.name + ".sample"))
    if trial.exists():
        with trial.alone():
            shutil.rmtree(trial.folder)
