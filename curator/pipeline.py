"""One split -> one shard: the map side, a pure function of the recipe and the task.

A *read* task reads a split from its source and runs every step, gate included. A *measure* task goes over a
stored shard and measures what is missing of it: it starts from the text as read and replays the cleaners,
so each step sees the text at its own place, as in a fresh run.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import xxhash

from curator.deciding import final_table
from curator.documents import Documents
from curator.fetching import source_of
from curator.gate import Gates
from curator.loading import Plugins
from curator.measuring import Measured, StepRunner
from curator.plugin import Part
from curator.reading import read_documents
from curator.recipe import GATE, Recipe, StepSpec
from curator.shards import Attempt
from curator.tally import Tally
from curator.tombstones import Tombstones

FINAL_SIGNALS = {"n_chars": "UINTEGER", "n_words": "UINTEGER", "text_hash": "UUID"}


@dataclass(frozen=True)
class ReadTask:
    """Read a split. `sample` keeps that share of the documents (by doc_key), `limit` so many of them."""

    shard_id: int
    source: str
    parts: tuple[Part, ...]
    size: int
    ordinals: tuple[int, ...] = ()
    sample: float | None = None
    limit: int | None = None


@dataclass(frozen=True)
class MeasureTask:
    """Measure steps over a stored shard: for each step's index the rows to measure, None for all.

    `found`: for each step that awaits, the file (doc_id, starts, …) of what the catalog found for it.
    """

    shard_id: int
    source: str
    path: str
    size: int
    steps: Mapping[int, tuple[int, ...] | None]
    final: tuple[int, ...] | bool = False
    found: Mapping[int, str] = field(default_factory=dict)


def make_worker(argument: tuple[str, str, int]) -> Worker:
    """What an engine calls once in each worker: (recipe as JSON, corpus folder, bytes) -> the task function."""
    return Worker(Recipe.from_json(argument[0]), *argument[1:])


class Worker:
    """The recipe's plugins, built once in this process; its word tables take `word_memory` bytes at most."""

    def __init__(self, recipe: Recipe, corpus: str, word_memory: int) -> None:
        from curator.text import Chunks

        self.recipe = recipe
        self.corpus = corpus
        self.plugins = Plugins(recipe.plugins)
        self.chunks = Chunks(words_folder(corpus), word_memory)
        self.final = final_table(recipe)
        self.tombstones = Tombstones(corpus)
        self._runners: dict[int, StepRunner] = {}
        self.gates = Gates(recipe)
        gates = [i for i, s in enumerate(recipe.steps) if s.kind == GATE]
        self._last_gate = max(gates, default=-1)

    def __call__(self, task: ReadTask | MeasureTask) -> dict[str, int]:
        """Do one task and return its counts; its sidecar, which may be committed before, says the rest."""
        tally = Tally()
        attempt = Attempt(self.corpus, task.shard_id)
        if isinstance(task, ReadTask):
            self._read(task, attempt, tally)
        else:
            self._measure(task, attempt, tally)
        if tally.quarantine:
            attempt.write("pending/quarantine", tally.quarantine_frame())
        with tally.time("write"):
            files = attempt.close()
        if isinstance(task, ReadTask):
            columns = self._promoted(task.source)
            steps = self.recipe.steps[: self.recipe.first_awaiting]
            wanted: dict[str, StepSpec | None] = {s.table: s for s in steps if s.measures}
            wanted |= {self.final: None} if len(steps) == len(self.recipe.steps) else {}
        else:
            columns = {}
            wanted = {self.recipe.steps[i].table: self.recipe.steps[i] for i in task.steps}
            wanted |= {self.final: None} if task.final is not False else {}
        attempt.finish(
            {
                "task": "read" if isinstance(task, ReadTask) else "measure",
                "shard_id": task.shard_id,
                "source": task.source,
                "size": task.size,
                "tombstones": len(self.tombstones),
                "text": files.get("text"),
                "columns": columns,
                "quarantine": files.get("pending/quarantine", {}).get("path"),
                "measures": {table: self._describe(table, step, files) for table, step in wanted.items()},
                "seconds": dict(tally.seconds),
                "counts": dict(tally.counts),
            }
        )
        return dict(tally.counts)

    def close(self) -> None:
        """Leave behind what the word tables learned, for the coordinator to merge."""
        self.chunks.save_learned(words_folder(self.corpus) / f"learned-{uuid.uuid4().hex}")

    def _describe(self, table: str, step: StepSpec | None, files: Mapping[str, Any]) -> dict[str, Any]:
        found = {"narrow": files.get(f"pending/{table}", {}).get("path"), "wide": files.get(table)}
        if step is None:
            return found | {
                "signals": FINAL_SIGNALS,
                "wide_signals": [],
                "plugin": "final text",
                "version": "1",
                "fingerprint": self.recipe.text_version,
                "options": {},
                "behind": self.recipe.behind,
            }
        measured = {k: v for k, v in step.options.items() if k not in step.rule_options}
        return found | {
            "signals": step.signals,
            "wide_signals": list(step.wide_signals),
            "plugin": step.plugin,
            "version": step.version,
            "fingerprint": step.fingerprint,
            "options": measured,
            "behind": step.behind,
        }

    def _promoted(self, source: str) -> dict[str, str]:
        used = next(s for s in self.recipe.sources if s.name == source)
        return {n: t for n, t in self.recipe.column_types.items() if n in (used.options.get("columns") or {})}

    # -- reading

    def _read(self, task: ReadTask, attempt: Attempt, tally: Tally) -> None:
        used = next(s for s in self.recipe.sources if s.name == task.source)
        # a trial, in a scratch corpus, reads what the corpus itself has fetched
        source = source_of(used, self.plugins, self.recipe.base, self.recipe.corpus)
        source.setup()
        stop = self.recipe.first_awaiting
        wanted = {i: None for i, s in enumerate(self.recipe.steps[:stop]) if s.kind != GATE}
        whole = stop == len(self.recipe.steps)
        row = 0
        for frame in self._documents(source, task, tally):
            frame = frame.with_columns(
                doc_id=pl.int_range(row, row + frame.height, dtype=pl.UInt64) + (task.shard_id << 32)
            )
            row += frame.height
            tally.counts["bytes"] += int(frame["text"].str.len_bytes().sum())
            tally.counts["documents"] += frame.height
            final = self._steps(frame, wanted, attempt, tally, gate=True, write_final=whole)
            if not self.recipe.keep_original:
                frame = frame.join(final, on="doc_id", how="left", maintain_order="left")
                frame = frame.with_columns(text=pl.coalesce("final", "text")).drop("final")
            with tally.time("write"):
                attempt.write("text", frame)

    def _documents(self, source: Any, task: ReadTask, tally: Tally) -> Iterator[pl.DataFrame]:
        """Batches of the split's documents; `part` is the ordinal of the part that each is from."""
        ordinals = pl.Series(task.ordinals, dtype=pl.UInt32)
        batches = read_documents(source, task.parts, forgotten=self.tombstones)
        left = task.limit
        while left is None or left > 0:
            with tally.time("read"):
                batch = next(batches, None)
            if batch is None:
                return
            frame, bad = batch
            tally.quarantine += [{"split_id": task.shard_id, **asdict(q)} for q in bad]
            tally.counts.update(quarantined=len(bad), forgotten=sum(q.reason == "forgotten" for q in bad))
            if task.sample is not None:
                tally.counts["bytes_seen"] += int(frame["text"].str.len_bytes().sum())
                bound = f"{int(task.sample * 0xFFFFFFFF):08x}"
                frame = frame.filter(pl.col("doc_key").str.tail(8) <= bound)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            if frame.height:
                yield frame.with_columns(ordinals.gather(frame["part"]).alias("part"))

    # -- measuring what is stored

    def _measure(self, task: MeasureTask, attempt: Attempt, tally: Tally) -> None:
        wanted = {i: None if rows is None else frozenset(rows) for i, rows in task.steps.items()}
        final = None if task.final is True else frozenset(task.final or ())
        asked = [final, *wanted.values()]
        rows = None if None in asked else frozenset[int]().union(*(r for r in asked if r is not None))
        found = {i: self._found(path, task.shard_id) for i, path in task.found.items()}
        with pq.ParquetFile(Path(self.corpus) / task.path) as file:
            for group in range(file.num_row_groups):
                with tally.time("read"):
                    frame = pl.DataFrame(pl.from_arrow(file.read_row_group(group)))
                    if rows is not None:
                        frame = frame.filter(_row_of("doc_id").is_in(list(rows)))
                if frame.height:
                    tally.counts["bytes"] += int(frame["text"].str.len_bytes().sum())
                    self._steps(
                        frame,
                        wanted,
                        attempt,
                        tally,
                        gate=False,
                        write_final=task.final is not False,
                        final_rows=final,
                        found=found,
                    )

    def _found(self, path: str, shard_id: int) -> pl.DataFrame:
        """What the catalog found in the documents of a shard."""
        mine = pl.col("doc_id").is_between(shard_id << 32, (shard_id << 32) + 0xFFFFFFFF)
        return pl.scan_parquet(Path(self.corpus) / path).filter(mine).collect()

    # -- steps

    def _runner(self, at: int) -> StepRunner:
        if at not in self._runners:
            spec = self.recipe.steps[at]
            self._runners[at] = StepRunner(spec.name, spec.build(self.plugins))
        return self._runners[at]

    def _steps(
        self,
        frame: pl.DataFrame,
        wanted: Mapping[int, frozenset[int] | None],
        attempt: Attempt,
        tally: Tally,
        *,
        gate: bool,
        write_final: bool,
        final_rows: frozenset[int] | None = None,
        found: Mapping[int, pl.DataFrame] | None = None,
    ) -> pl.DataFrame:
        """Run the steps in order over one batch, write what they measure, and return (doc_id, final)."""
        docs = Documents(frame, chunks=self.chunks)
        left: list[pl.DataFrame] = []
        done: dict[str, Measured] = {}  # two steps may measure the same, and differ in their rules
        read_later = {r.partition(".")[0] for i in wanted for r in self.recipe.steps[i].reads}
        stop = len(self.recipe.steps) if write_final else max(wanted) + 1
        for i, spec in enumerate(self.recipe.steps[:stop]):
            if spec.kind == GATE:
                if gate and len(docs):
                    keep = self.gates.passes(i, docs)
                    left += self._leave(docs, ~keep, i)
                    docs = docs.take(keep)
                continue
            if not len(docs) or (i not in wanted and spec.kind != "cleaner" and spec.name not in read_later):
                continue
            subset = docs
            rows = wanted.get(i)
            if rows is not None and spec.kind != "cleaner":
                subset = docs.take(docs.frame.select(_row_of("doc_id").is_in(list(rows))).to_series())
            if found and i in found:
                ids = subset.frame.select("doc_id")
                subset = subset.with_signals(
                    "found", ids.join(found[i], on="doc_id", how="left", maintain_order="left")
                )
            again = done.get(spec.table) if spec.measures else None
            if again is None:
                with tally.time(spec.name):
                    measured = self._runner(i).run(subset)
                self._record_failures(measured.failed, spec.name, frame, tally)
            else:
                measured = again
            if i in wanted and spec.measures and again is None:
                stored = measured.rows
                if rows is not None:
                    stored = stored.filter(_row_of("doc_id").is_in(list(rows)))
                with tally.time("write"):
                    if spec.wide_signals:
                        wide = stored.select("doc_id", *spec.wide_signals)
                        if not spec.wide:  # most of its rows have nothing there
                            wide = wide.filter(~pl.all_horizontal(pl.exclude("doc_id").is_null()))
                        attempt.write(spec.table, wide)
                        stored = stored.drop(spec.wide_signals)
                    attempt.write(f"pending/{spec.table}", stored)
            if spec.measures and spec.kind != "cleaner":
                done[spec.table] = measured
            if measured.failed and spec.kind == "cleaner":
                docs = docs.take(~docs.frame["doc_id"].is_in(list(measured.failed)))
            if measured.texts is not None:
                docs = measured.cleaned or docs.with_text(measured.texts)
            if spec.measures and (i < self._last_gate or spec.name in read_later):
                complete = docs.frame.select("doc_id").join(
                    measured.rows, on="doc_id", how="left", maintain_order="left"
                )
                docs = docs.with_signals(spec.name, complete)
                if spec.fills:
                    docs = docs.with_signals("documents", complete.select(**spec.fills))
        left.append(docs.frame.select("doc_id", "text"))
        final = pl.concat(left).rename({"text": "final"})
        if write_final:
            self._write_final(frame, final, final_rows, attempt, tally)
        return final

    def _leave(self, docs: Documents, gone: pl.Series, at: int) -> list[pl.DataFrame]:
        """Documents that a gate stops: their text is final unless a cleaner stands behind the gate."""
        if any(s.kind == "cleaner" for s in self.recipe.steps[at:]):
            return []
        return [docs.frame.filter(gone).select("doc_id", "text")]

    def _write_final(
        self,
        frame: pl.DataFrame,
        final: pl.DataFrame,
        rows: frozenset[int] | None,
        attempt: Attempt,
        tally: Tally,
    ) -> None:
        with tally.time("final text"):
            if rows is not None:
                final = final.filter(_row_of("doc_id").is_in(list(rows)))
            final = final.sort("doc_id")
            docs = Documents(final.rename({"final": "text"}), chunks=self.chunks)
            words = docs.words("whitespace")
            attempt.write(
                f"pending/{self.final}",
                final.select(
                    "doc_id",
                    n_chars=pl.col("final").str.len_chars().cast(pl.UInt32),
                    n_words=pl.Series(words.doc_offsets[1:] - words.doc_offsets[:-1]).cast(pl.UInt32),
                    text_hash=pl.Series(
                        [xxhash.xxh3_128_hexdigest(t.encode()) for t in final["final"]], dtype=pl.String
                    ),
                ),
            )
            changed = final.join(frame.select("doc_id", "text"), on="doc_id").filter(
                pl.col("final") != pl.col("text")
            )
            if changed.height and self.recipe.keep_original:
                attempt.write(self.final, changed.select("doc_id", text="final"))

    def _record_failures(
        self, failed: Mapping[int, tuple[str, str]], step: str, frame: pl.DataFrame, tally: Tally
    ) -> None:
        for doc_id, (reason, detail) in failed.items():
            tally.quarantine.append(
                {"split_id": doc_id >> 32, "step": step, "doc_id": doc_id, "reason": reason, "detail": detail}
            )
            tally.counts["failed"] += 1


def _row_of(column: str) -> pl.Expr:
    """The row number in a doc_id."""
    return pl.col(column) & 0xFFFFFFFF


def words_folder(corpus: str | Path) -> Path:
    """Where the word tables are kept between runs; a cache, safe to delete."""
    return Path(corpus) / "cache" / "words"
