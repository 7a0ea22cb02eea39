"""Sources -> splits: what is new, what has changed, what is gone.

A source tells its parts; parts already read with the same signature are left alone. New and changed ones
are packed, in order, into splits of about 64 MiB, so that a folder of small files becomes a few shards. The
stored plan is authoritative: a split keeps its number, and numbers are never used again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb
import xxhash

from curator.errors import CuratorError, FetchError, NothingToRead, RecipeError, UsageError
from curator.fetching import fetch, parts_of, source_of
from curator.loading import Plugins
from curator.pipeline import ReadTask
from curator.plugin import Part, Source
from curator.recipe import Recipe, Used
from curator_catalog import Catalog, CatalogError
from curator_catalog.commits import supersede

if TYPE_CHECKING:
    from curator.run import Progress

SPLIT_BYTES = 64 << 20
SPLIT_PARTS = 4096


@dataclass
class Changes:
    """What planning found, by source."""

    new: dict[str, int] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    vanished: dict[str, list[str]] = field(default_factory=dict)


def current_parts(
    recipe: Recipe,
    known: Mapping[str, Sequence[Part]],
    progress: Progress,
    *,
    limit: int | None = None,
) -> tuple[dict[str, list[Part]], list[str]]:
    """What each source has now, after it fetched what is missing; and which could not be reached, and why.

    A source that cannot be reached is left out of what is returned, so that its plan stays; of those that were read
    before (`known`: their parts in force) all files may have vanished. With a `limit` no more than about so many
    records are fetched. Raises RecipeError, naming the line, for any other source with nothing, and CuratorError
    where none can be reached or was read before.
    """
    plugins = Plugins(recipe.plugins)
    found, failed = {}, []
    for used in recipe.sources:
        reading = _reading(used, plugins)
        source = source_of(used, plugins, recipe.base, recipe.corpus, _same_reading(known.get(used.name, ()), reading))
        parts: list[Part] | None = []
        away: CuratorError | None = None
        try:
            try:
                fetch(source, progress, limit)
            except FetchError as error:
                away = error
            parts = parts_of(source)
        except Exception as error:  # a source's plugin may raise anything
            if isinstance(error, CuratorError) and not isinstance(error, UsageError):
                parts, away = None, away or error
            elif away and isinstance(error, NothingToRead):
                parts = None
            elif used.name not in known or not isinstance(error, NothingToRead | FileNotFoundError):
                told = _told(error, used.name)
                raise RecipeError(told, file=recipe.file, line=used.line, key=f"source {used.name}") from error
        if away:
            failed.append(f"source {used.name}: {_told(away, used.name)}")
            progress.note(f"{failed[-1]}; what was read or fetched before stays, the next run tries again")
        if parts is not None:
            found[used.name] = [replace(p, signature=f"{p.signature}:{reading}") for p in parts]
    if failed and not any(used.name in found or used.name in known for used in recipe.sources):
        raise CuratorError("; ".join(failed))
    return found, failed


def _told(error: Exception, source: str) -> str:
    """The error, without the source's name in front, which is told already."""
    return str(error).removeprefix(f"source {source!r}").lstrip(":, ") or type(error).__name__


def _same_reading(parts: Sequence[Part], reading: str) -> list[Part]:
    """The parts that were read with these options, as the source gave them."""
    signed = [(p, *p.signature.rpartition(":")[::2]) for p in parts]
    return [replace(p, signature=own) for p, own, options in signed if options == reading]


def parts_known(catalog: Catalog, retry: Collection[str]) -> dict[str, list[Part]]:
    """What earlier runs planned, by source. Raises UsageError for a reason to retry that no record has."""
    known: dict[str, list[Part]] = {}
    reasons: set[str] = set()
    if catalog.exists():
        try:
            with catalog.read() as con:
                known = _parts_in_force(con)
                rows = con.execute("SELECT DISTINCT reason FROM quarantine WHERE doc_id IS NULL").fetchall()
                reasons = {reason for (reason,) in rows}
        except CatalogError as error:
            raise CuratorError(str(error)) from error
        except duckdb.CatalogException:  # an empty file, or one that is to be migrated
            pass
    for reason in retry:
        if reason not in reasons:
            there = ", ".join(sorted(reasons)) or "none"
            raise UsageError(f"--retry {reason}: no record was quarantined for it; the reasons there are: {there}")
    return known


def _parts_in_force(con: duckdb.DuckDBPyConnection) -> dict[str, list[Part]]:
    """By source, in the order of their planning, the parts that are planned or read; of a source none may be left."""
    known: dict[str, list[Part]] = {}
    rows = con.execute(
        "SELECT source, state, uri, start, stop, signature, size FROM parts WHERE state <> 'superseded' "
        "ORDER BY split_id, ordinal"
    ).fetchall()
    for source, state, *part in rows:
        known.setdefault(source, [])
        if state in ("present", "vanished"):
            known[source].append(Part(*part))
    return known


def _reading(used: Used, plugins: Plugins) -> str:
    """Hash of the options that decide what a source's documents are."""
    plugin = plugins.by_ref(used.ref, used.plugin_kind, used.plugin).plugin
    without_effect = plugin.without_effect if issubclass(plugin, Source) else ()
    options = {k: v for k, v in used.options.items() if k not in without_effect}
    return xxhash.xxh3_64_hexdigest(
        json.dumps([used.plugin, used.version, options], sort_keys=True, default=str).encode()
    )


def plan_splits(
    con: duckdb.DuckDBPyConnection,
    recipe: Recipe,
    parts: dict[str, list[Part]],
    *,
    prune: bool = False,
    retry: Collection[str] = (),
) -> Changes:
    """Bring the stored plan up to what the sources have now, in the caller's transaction.

    Files with records that are quarantined for one of the reasons `retry` are read again.
    """
    changes = Changes()
    sources = [used for used in recipe.sources if used.name in parts]
    for used in sources:
        stored = con.execute(
            "SELECT p.split_id, p.ordinal, p.uri, p.start, p.stop, p.signature, p.state, s.state FROM parts p "
            "JOIN splits s USING (split_id) WHERE p.source = ? AND p.state IN ('present', 'vanished')",
            [used.name],
        ).fetchall()
        by_uri = defaultdict(list)
        for row in stored:
            by_uri[row[2]].append(row)
        now = defaultdict(list)
        for part in parts[used.name]:
            now[part.uri].append(part)
        fresh: list[Part] = []
        for uri, found in now.items():
            known = by_uri.pop(uri, [])
            if {(r[3], r[4], r[5]) for r in known} == {(p.start, p.stop, p.signature) for p in found}:
                con.execute(
                    "UPDATE parts SET state = 'present' WHERE source = ? AND uri = ? AND state = 'vanished'",
                    [used.name, uri],
                )
                continue
            if known:
                changes.changed.setdefault(used.name, []).append(uri)
                _retire(con, known)
            fresh += found
        if by_uri:
            gone = [r for rows in by_uri.values() for r in rows]
            unread = [r for r in gone if r[7] != "done"]
            _retire(con, unread)
            kept = [r for r in gone if r[7] == "done"]
            state = "outdated" if prune else "vanished"
            for row in kept:
                con.execute(
                    "UPDATE parts SET state = ? WHERE split_id = ? AND ordinal = ?", [state, row[0], row[1]]
                )
            newly = sorted({r[2] for r in kept if prune or r[6] == "present"} | {r[2] for r in unread})
            if newly:
                changes.vanished[used.name] = newly
            if prune:
                supersede(con, used.name)
        changes.new[used.name] = _store(con, used, fresh)
        _drop_empty(con, used.name)
    con.execute("UPDATE splits SET state = 'planned' WHERE state = 'failed'")
    for used in sources:
        _bring_back(con, used, parts[used.name])
        _retry(con, used, parts[used.name], retry)
    return changes


def _bring_back(con: duckdb.DuckDBPyConnection, used: Used, now: list[Part]) -> None:
    """Read again the files with documents that gave way to newer ones of their key, which are gone since."""
    lost = con.execute(
        "SELECT DISTINCT uri FROM quarantine q WHERE source = ? AND reason = 'superseded_key' AND NOT EXISTS "
        "(SELECT 1 FROM store.documents d WHERE d.source = q.source AND d.source_key = q.position)",
        [used.name],
    ).fetchall()
    for (uri,) in lost:
        _read_again(con, used, uri, now)
        con.execute(
            "DELETE FROM quarantine WHERE source = ? AND uri = ? AND reason = 'superseded_key'",
            [used.name, uri],
        )


def _retry(con: duckdb.DuckDBPyConnection, used: Used, now: list[Part], reasons: Collection[str]) -> None:
    """Read again the files with records that could not be read for one of the reasons."""
    where = "source = ? AND reason IN (SELECT unnest(?)) AND doc_id IS NULL"
    failed = con.execute(
        f"SELECT DISTINCT uri FROM quarantine WHERE {where} ORDER BY uri", [used.name, list(reasons)]
    ).fetchall()
    for (uri,) in failed:
        _read_again(con, used, uri, now)


def _read_again(con: duckdb.DuckDBPyConnection, used: Used, uri: str, now: list[Part]) -> None:
    read = con.execute(
        "SELECT p.split_id, p.ordinal, s.state FROM parts p JOIN splits s USING (split_id) "
        "WHERE p.source = ? AND p.uri = ? AND p.state = 'present' AND s.state = 'done'",
        [used.name, uri],
    ).fetchall()
    again = [p for p in now if p.uri == uri]
    if read and again:
        _retire(con, read)
        _store(con, used, again)


def _retire(con: duckdb.DuckDBPyConnection, rows: Iterable[tuple[object, ...]]) -> None:
    for split_id, ordinal, *_, split_state in rows:
        state = "outdated" if split_state == "done" else "superseded"
        con.execute(
            "UPDATE parts SET state = ? WHERE split_id = ? AND ordinal = ?", [state, split_id, ordinal]
        )


def _drop_empty(con: duckdb.DuckDBPyConnection, source: str) -> None:
    con.execute(
        "UPDATE splits SET state = 'superseded' WHERE source = ? AND state IN ('planned', 'failed') AND NOT EXISTS "
        "(SELECT 1 FROM parts WHERE parts.split_id = splits.split_id AND parts.state = 'present')",
        [source],
    )


def _store(con: duckdb.DuckDBPyConnection, used: Used, parts: list[Part]) -> int:
    options = {k: v for k, v in used.options.items() if k != "url" or "@" not in str(v)}
    con.execute(
        "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?)",
        [
            used.name,
            used.plugin,
            json.dumps(options, default=str),
            options.get("license"),
            options.get("declared_domain"),
        ],
    )
    row = con.execute("SELECT coalesce(max(split_id) + 1, 0) FROM splits").fetchall()
    next_id, count = int(row[0][0]), 0
    for group in packed(parts):
        con.execute(
            "INSERT INTO splits VALUES (?, ?, 'planned', ?, NULL, current_timestamp::TIMESTAMP)",
            [next_id, used.name, sum(p.size for p in group)],
        )
        con.executemany(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'present')",
            [
                (next_id, i, used.name, p.uri, p.start, p.stop, p.signature, p.size)
                for i, p in enumerate(group)
            ],
        )
        next_id, count = next_id + 1, count + 1
    return count


def packed(parts: Sequence[Part]) -> Iterable[list[Part]]:
    """The parts in order, in groups that are a split each."""
    group: list[Part] = []
    size = 0
    for part in parts:
        if group and (part.newer or size + part.size > SPLIT_BYTES or len(group) >= SPLIT_PARTS):
            yield group
            group, size = [], 0
        group.append(part)
        size += part.size
    if group:
        yield group


def read_tasks(con: duckdb.DuckDBPyConnection, recipe: Recipe) -> list[ReadTask]:
    """The splits that are planned and not read, in order, of the recipe's sources."""
    names = [s.name for s in recipe.sources]
    rows = con.execute(
        "SELECT s.split_id, s.source, s.size, p.ordinal, p.uri, p.start, p.stop, p.signature, p.size FROM splits s "
        "JOIN parts p USING (split_id) WHERE s.state = 'planned' AND p.state = 'present' AND s.source IN (SELECT unnest(?)) "
        "ORDER BY s.split_id, p.ordinal",
        [names],
    ).fetchall()
    tasks: dict[int, ReadTask] = {}
    for split_id, source, size, ordinal, uri, start, stop, signature, part_size in rows:
        part = Part(uri, start, stop, signature.rpartition(":")[0], part_size)
        known = tasks.get(split_id, ReadTask(split_id, source, (), size))
        tasks[split_id] = replace(known, parts=(*known.parts, part), ordinals=(*known.ordinals, ordinal))
    return list(tasks.values())
