"""Sources -> splits: what is new, what has changed, what is gone.

A source tells its parts; parts already read with the same signature are left alone. New and changed ones
are packed, in order, into splits of about 64 MiB, so that a folder of small files becomes a few shards. The
stored plan is authoritative: a split keeps its number, and numbers are never used again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import duckdb
import xxhash

from curator.errors import RecipeError, UsageError
from curator.loading import Plugins
from curator.pipeline import ReadTask
from curator.plugin import Part
from curator.recipe import Recipe, Used
from curator_catalog.commits import supersede

SPLIT_BYTES = 64 << 20
SPLIT_PARTS = 4096
_WITHOUT_EFFECT = ("name", "path")


@dataclass
class Changes:
    """What planning found, by source."""

    new: dict[str, int] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    vanished: dict[str, list[str]] = field(default_factory=dict)


def current_parts(recipe: Recipe, known: Collection[str] = ()) -> dict[str, list[Part]]:
    """What each source has now.

    Raises RecipeError for a source with nothing, naming its line; of a source that was read before (`known`)
    all files may have vanished.
    """
    plugins = Plugins(recipe.plugins)
    found = {}
    for used in recipe.sources:
        source = used.build(plugins)
        source.base = recipe.base
        try:
            parts = list(source.parts())
        except Exception as error:  # a source's plugin may raise anything
            if isinstance(error, UsageError | FileNotFoundError) and used.name in known:
                parts = []
                found[used.name] = parts
                continue
            raise RecipeError(
                str(error), file=recipe.file, line=used.line, key=f"source {used.name}"
            ) from error
        reading = _reading(used)
        found[used.name] = [replace(p, signature=f"{p.signature}:{reading}") for p in parts]
    return found


def _reading(used: Used) -> str:
    """Hash of the options that decide what a source's documents are."""
    options = {k: v for k, v in used.options.items() if k not in _WITHOUT_EFFECT}
    return xxhash.xxh3_64_hexdigest(
        json.dumps([used.plugin, used.version, options], sort_keys=True, default=str).encode()
    )


def plan_splits(
    con: duckdb.DuckDBPyConnection, recipe: Recipe, parts: dict[str, list[Part]], *, prune: bool = False
) -> Changes:
    """Bring the stored plan up to what the sources have now, in the caller's transaction."""
    changes = Changes()
    for used in recipe.sources:
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
    for used in recipe.sources:
        _bring_back(con, used, parts[used.name])
    return changes


def _bring_back(con: duckdb.DuckDBPyConnection, used: Used, now: list[Part]) -> None:
    """Read again the files with documents that gave way to newer ones of their key, which are gone since."""
    lost = con.execute(
        "SELECT DISTINCT uri FROM quarantine q WHERE source = ? AND reason = 'superseded_key' AND NOT EXISTS "
        "(SELECT 1 FROM store.documents d WHERE d.source = q.source AND d.source_key = q.position)",
        [used.name],
    ).fetchall()
    for (uri,) in lost:
        read = con.execute(
            "SELECT p.split_id, p.ordinal, s.state FROM parts p JOIN splits s USING (split_id) "
            "WHERE p.source = ? AND p.uri = ? AND p.state = 'present' AND s.state = 'done'",
            [used.name, uri],
        ).fetchall()
        if read:
            _retire(con, read)
            _store(con, used, [p for p in now if p.uri == uri])
        con.execute(
            "DELETE FROM quarantine WHERE source = ? AND uri = ? AND reason = 'superseded_key'",
            [used.name, uri],
        )


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
    for group in _packed(parts):
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


def _packed(parts: list[Part]) -> Iterable[list[Part]]:
    group: list[Part] = []
    size = 0
    for part in parts:
        if group and (size + part.size > SPLIT_BYTES or len(group) >= SPLIT_PARTS):
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
