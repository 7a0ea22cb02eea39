"""plan -> map -> commit -> corpus steps -> decide; what was done before is not done again.

The coordinator is the only writer. Workers write files; finished shards queue as files with a sidecar, and
the coordinator registers all that lie ready in one transaction, at most once a second. It never waits for
the catalog while workers could work: a reader that holds the file costs nothing but a named warning.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from curator.deciding import decision_plan, final_table
from curator.edges import derive_edges, scratch_files
from curator.engines import Engine
from curator.errors import CuratorError, GuardError
from curator.loading import Plugins
from curator.missing import measure_tasks
from curator.pipeline import FINAL_SIGNALS, MeasureTask, ReadTask, make_worker, words_folder
from curator.planning import Changes, current_parts, parts_known, plan_splits, read_tasks
from curator.plugin import Part
from curator.recipe import Recipe
from curator.registering import register_ready
from curator.shards import sweep
from curator.stages import delete_found, find_awaited, stretches, write_found
from curator.summary import Funnel, check_guards, funnel
from curator_catalog import Catalog, CatalogBusy, CatalogError, commits, decisions

COMMIT_EVERY = 1.0
WORD_MEMORY = 256 << 20


class Progress(Protocol):
    """What a run tells while it goes on; the command line draws it."""

    def stage(self, title: str, total_bytes: int) -> None: ...
    def advance(self, size: int, documents: int) -> None: ...
    def note(self, message: str) -> None: ...


class Quiet:
    """No progress display."""

    def stage(self, title: str, total_bytes: int) -> None:
        """Nothing to draw."""

    def advance(self, size: int, documents: int) -> None:
        """Nothing to draw."""

    def note(self, message: str) -> None:
        """Nothing to draw."""


@dataclass
class Report:
    """What a run did."""

    run_id: int
    corpus: Path
    changes: Changes
    funnel: Funnel
    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0
    failed: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def run(
    recipe: Recipe,
    engine: Engine,
    progress: Progress | None = None,
    *,
    corpus: str | Path | None = None,
    sample: float | None = None,
    limit: int | None = None,
    prune: bool = False,
    retry: Collection[str] = (),
    word_memory: int = WORD_MEMORY,
    accept: bool = False,
) -> Report:
    """Do everything that is missing of a recipe. Raises CuratorError; GuardError before decisions change.

    `corpus`: instead of the recipe's; with `sample` or `limit` a scratch corpus, for which what the recipe's own has
    fetched is used, and fetched into it. `retry`: read files again that have quarantined records of these reasons. `accept`: go on where a guard would
    stop. `word_memory`: bytes that the word tables of a worker, and the one kept for the next run, may take.
    """
    started = time.monotonic()
    folder = Path(corpus or recipe.corpus)
    if corpus is not None and sample is None and limit is None:
        recipe = replace(recipe, corpus=str(folder.absolute()))
    coordinator = _Coordinator(recipe, engine, progress or Quiet(), folder, word_memory, accept)
    known = parts_known(coordinator.catalog, retry)
    parts, unfetched = current_parts(recipe, known, coordinator.progress, limit=limit)
    coordinator.failed += unfetched
    try:
        with coordinator.catalog.alone():
            report = coordinator.run(parts, sample, limit, prune, retry)
    except CatalogError as error:
        raise CuratorError(str(error)) from error
    if recipe.tokenizer is not None:
        from curator.token_counts import count_kept

        count_kept(folder, recipe.tokenizer, engine, coordinator.progress)
    report.wall = time.monotonic() - started
    return report


class _Coordinator:
    def __init__(
        self,
        recipe: Recipe,
        engine: Engine,
        progress: Progress,
        folder: Path,
        word_memory: int,
        accept: bool,
    ) -> None:
        self.recipe = recipe
        self.accept = accept
        self.word_memory = word_memory
        self.engine = engine
        self.progress = progress
        self.catalog = Catalog(folder)
        self.folder = self.catalog.folder
        self.plan = decision_plan(recipe)
        self.plugins = Plugins(recipe.plugins)
        for used in (*recipe.sources, *recipe.steps):
            if used.ref:
                self.plugins.by_ref(used.ref, used.plugin_kind, used.plugin)
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.failed: list[str] = []
        self.run_id = 0
        self._waiting = False
        self._last_commit = 0.0

    def run(
        self,
        parts: dict[str, list[Part]],
        sample: float | None,
        limit: int | None,
        prune: bool,
        retry: Collection[str],
    ) -> Report:
        from curator.forgetting import prepare

        self.catalog.create()
        prepare(self.catalog, self.progress.note)
        with self.catalog.write(wait=600.0) as con:
            self.run_id = self._start(con)
        self._commit(wait=600.0)
        sweep(self.catalog)
        with self.catalog.write(wait=600.0) as con:
            changes = plan_splits(con, self.recipe, parts, prune=prune, retry=retry)
            self._ensure_measures(con)
            tasks = read_tasks(con, self.recipe)
        for source, uris in changes.vanished.items():
            kept = (
                "their documents are taken out"
                if prune
                else "their documents are kept (--prune takes them out)"
            )
            self.progress.note(f"source {source}: {len(uris)} vanished, as {uris[0]}; {kept}")
        self._tell_other_sources()
        if limit is not None:
            first = {t.source: t for t in reversed(tasks)}
            tasks = [replace(t, limit=limit) for t in tasks if first[t.source] is t]
        if sample is not None:
            tasks = [replace(t, sample=sample) for t in tasks]
        self.plugins.hook.run_started(run={**self._about(), "splits": len(tasks)})
        self._map("reading and measuring", tasks)
        if left_out := self.counts["forgotten"]:
            self.progress.note(f"forgotten documents that the sources still have, left out: {left_out:,}; see quarantine")
        with self.catalog.write(wait=600.0) as con:
            replaced = commits.supersede_keys(con)
        if replaced:
            self.progress.note(f"{replaced} documents were replaced by newer ones of the same source_key")
        self._measure_missing()
        result = self._decide()
        self.plugins.hook.run_finished(run={**self._about(), "counts": result.counts})
        return Report(
            self.run_id, self.folder, changes, result, self.counts, self.seconds, 0.0, self.failed, self._empty()
        )

    # -- map and commit

    def _map(self, title: str, tasks: list[ReadTask] | list[MeasureTask]) -> None:
        if not tasks:
            return
        self.progress.stage(title, sum(t.size for t in tasks))
        argument = (self.recipe.to_json(), str(self.folder), self.word_memory)
        failed: list[tuple[ReadTask | MeasureTask, str]] = []
        for outcome in self.engine.map(make_worker, argument, tasks):
            if outcome is not None and outcome.error is not None:
                if outcome.fatal:
                    self._commit(wait=600.0)
                    raise CuratorError(outcome.error)
                failed.append((outcome.task, outcome.error))
                self._tell(*failed[-1])
            elif outcome is not None:
                self.progress.advance(outcome.task.size, outcome.result.get("documents", 0))
            if time.monotonic() - self._last_commit >= COMMIT_EVERY:
                self._commit(wait=0.0)
        self._commit(wait=3600.0)
        unread = [(error, task.shard_id) for task, error in failed if isinstance(task, ReadTask)]
        if unread:
            with self.catalog.write(wait=600.0) as con:
                # one that wrote its shard and was killed before it could say so is done
                con.executemany(
                    "UPDATE splits SET state = 'failed', error = ? WHERE split_id = ? AND state = 'planned'",
                    unread,
                )
        self._merge_words()

    def _empty(self) -> list[str]:
        """The recipe's sources that have no document."""
        with self.catalog.read(wait=600.0) as con:
            rows = con.execute("SELECT DISTINCT source FROM store.documents").fetchall()
        return [s.name for s in self.recipe.sources if (s.name,) not in rows]

    def _tell_other_sources(self) -> None:
        names = [s.name for s in self.recipe.sources]
        with self.catalog.read(wait=600.0) as con:
            others = con.execute(
                "SELECT source, count(*) FROM store.documents WHERE source NOT IN (SELECT unnest(?)) GROUP BY 1 ORDER BY 1",
                [names],
            ).fetchall()
        for source, count in others:
            self.progress.note(
                f"source {source} is in the corpus ({count:,} documents) and not in this recipe: left alone"
            )

    def _tell(self, task: ReadTask | MeasureTask, error: str) -> None:
        what = f"split {task.shard_id} of {task.source}: {error}"
        self.failed.append(what)
        self.progress.note(f"failed, to be tried again by the next run: {what}")

    def _merge_words(self) -> None:
        """What workers learned about words becomes the next generation of the tables."""
        learned = list(words_folder(self.folder).glob("learned-*"))
        if learned:
            from curator.text import merge

            merge(words_folder(self.folder), learned, self.word_memory)
            for path in learned:
                path.unlink(missing_ok=True)

    def _commit(self, wait: float) -> None:
        """Register what lies ready; with `wait` 0, not now if somebody holds the catalog."""
        self._last_commit = time.monotonic()
        try:
            registered = register_ready(self.catalog, self.run_id, min(wait, 5.0))
        except CatalogBusy as busy:
            if not self._waiting:
                ready = len(commits.pending(self.folder))
                self.progress.note(f"{busy}; {ready} shards wait to be registered, the work goes on")
                self._waiting = True
            if wait > 5.0:
                return self._commit(wait - 5.0)
            if wait:
                raise
            return
        self._waiting = False
        for sidecar in registered:
            content = sidecar.content
            self.counts.update(content["counts"])
            self.seconds.update(content["seconds"])
            self.plugins.hook.shard_committed(
                shard={
                    "shard_id": content["shard_id"],
                    "source": content["source"],
                    "documents": content["counts"].get("documents", 0),
                    "bytes": content["counts"].get("bytes", 0),
                }
            )

    # -- what is missing

    def _ensure_measures(self, con: Any) -> None:
        for step in self.recipe.steps:
            if step.measures:
                commits.ensure_measure(
                    con,
                    step.table,
                    {
                        "signals": step.signals,
                        "wide_signals": step.wide_signals,
                        "plugin": step.plugin,
                        "version": step.version,
                        "fingerprint": step.fingerprint,
                        "options": {k: v for k, v in step.options.items() if k not in step.rule_options},
                        "behind": step.behind,
                    },
                )
        commits.ensure_measure(
            con,
            final_table(self.recipe),
            {
                "signals": FINAL_SIGNALS,
                "wide_signals": (),
                "plugin": "final text",
                "version": "1",
                "fingerprint": self.recipe.text_version,
                "options": {},
                "behind": self.recipe.behind,
            },
        )
        if not self.recipe.keep_original and self.recipe.cleaners:
            con.execute("INSERT OR REPLACE INTO store.settings VALUES ('keep_original', 'false')")

    def _measure_missing(self) -> None:
        """A round for each stretch: a gate needs what stands before it measured, and some steps await the corpus.

        What failed in earlier runs has been tried again then, so its old rows leave the quarantine.
        """
        for steps in stretches(self.recipe):
            title = "measuring what is missing"
            if steps and self.recipe.steps[steps.start].awaits:
                title = f"{self.recipe.steps[steps.start].name} and what follows"
                find_awaited(self.catalog, self.recipe, self.plan, steps.start, self.progress.note)
            last = steps.stop == len(self.recipe.steps)
            with self.catalog.scratch(wait=600.0) as con:
                tasks = measure_tasks(con, self.recipe, self.plan, steps, self.run_id, last=last)
            found = write_found(self.catalog, self.recipe, steps.stop) if tasks else {}
            self._map(title, [replace(t, found=found) for t in tasks])
        delete_found(self.folder)
        with self.catalog.write(wait=600.0) as con:
            con.execute(
                "DELETE FROM quarantine WHERE doc_id IS NOT NULL AND step IN (SELECT unnest(?)) "
                "AND seen < (SELECT started FROM runs WHERE run_id = ?)",
                [[s.name for s in self.recipe.steps], self.run_id],
            )

    # -- decisions

    def _decide(self) -> Funnel:
        derive_edges(self.catalog, self.plan, self.progress.note)
        with self._results() as files:
            with self.catalog.scratch(wait=600.0) as con:
                decisions.decide(con, self.plan, self.folder)
                result = funnel(con, self.plan)
                stopped = None if self.accept else check_guards(con, self.plan, self.folder)
                decisions.export(con, self.plan, files)
            if stopped:
                self._finish("stopped", result)
                raise GuardError(stopped)
            with self.catalog.write(wait=600.0) as con:
                decisions.write(con, self.plan, files, self.folder)
        self._finish("done", result)
        return result

    @contextmanager
    def _results(self) -> Iterator[Path]:
        with scratch_files(self.folder) as files:
            yield files

    def _about(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "recipe": self.recipe.name, "corpus": str(self.folder)}

    def _start(self, con: Any) -> int:
        # alone() holds, so whoever left a run open is gone
        con.execute("UPDATE runs SET state = 'interrupted' WHERE state = 'running'")
        row = con.execute("SELECT coalesce(max(run_id) + 1, 1) FROM runs").fetchall()
        con.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, current_timestamp::TIMESTAMP, NULL, 'running', NULL, NULL)",
            [row[0][0], self.recipe.name, self.recipe.to_json(), json.dumps(versions())],
        )
        return int(row[0][0])

    def _finish(self, state: str, result: Funnel) -> None:
        with self.catalog.write(wait=600.0) as con:
            con.execute(
                "UPDATE runs SET finished = current_timestamp::TIMESTAMP, state = ?, counts = ?, seconds = ? WHERE run_id = ?",
                [state, json.dumps({**self.counts, **result.counts}), json.dumps(self.seconds), self.run_id],
            )


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    from importlib.metadata import version
    from platform import python_version

    names = (
        "corpus-curator",
        "duckdb",
        "polars",
        "pyarrow",
        "numba",
        "datasketch",
        "ftfy",
        "fasttext-community",
    )
    return {"python": python_version(), **{name: version(name) for name in names}}
