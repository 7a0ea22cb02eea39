"""A format of an export: its exporter, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from curator.errors import PluginError
from curator.exporting import BLENDED, Blend, Blended, BlendStage, Shard
from curator.gathering import cut, texts
from curator.index import rows_of, stages
from curator.loading import Plugins
from curator.manifest import datasets
from curator.payloads import payloads, vocabulary_of

if TYPE_CHECKING:
    from pathlib import Path

    from curator.building import Build, Written
    from curator.corpus import Corpus
    from curator.plugin import Exporter
    from curator.reusing import Reuse
    from curator.run import Progress
    from curator.token_counts import TokenMeasure


def write_format(
    build: Build,
    corpus: Corpus,
    index: pl.DataFrame,
    manifest: dict[str, Any],
    measure: TokenMeasure | None,
    format: str,
    options: Mapping[str, Any],
    plugins: Sequence[str],
    reuse: Reuse | None,
    progress: Progress,
) -> None:
    """Write the folder of a format; its exporter may be in a file of `plugins`.

    Raises PluginError for an exporter that does not do what it says.
    """
    exporter = exporter_of(format, plugins)(**options)
    folder = build.folder / format
    folder.mkdir(exist_ok=True)

    def new_files(**about: Any) -> Written:
        return {path: {"format": format, **about} for path in build.new_files(format)}

    if exporter.reads == "payload":
        for payload in payloads(build.folder, index, manifest):
            unit = f"{format}/{payload.split}.{payload.component}"

            def share(payload: Any = payload) -> Written:
                exporter.share(payload, folder)
                return new_files(dataset=payload.component, split=payload.split)

            build.unit(unit, share)
    else:
        shards = list(_shards(exporter, index, manifest))
        for dataset, split in datasets(manifest) if reuse else ():
            of = [s for s, *_ in shards if (s.component, s.split) == (dataset, split)]
            names = [f"{format}/{shard.component}/{shard.name}" for shard in of]
            if reuse and names and not any(map(build.done, names)):
                linked = reuse.link(build.folder, dataset, split, format)
                for name in names if linked else ():
                    build.unit(name, partial(dict, linked or {}))
                    linked = {}
        left = [
            (shard, start, rows)
            for shard, start, rows in shards
            if not build.done(f"{format}/{shard.component}/{shard.name}")
        ]
        progress.stage(f"writing {format} (characters)", sum(int(rows["n_chars"].sum()) for *_, rows in left))
        doc_keys = pl.concat([index["doc_key"].head(0), *(rows["doc_key"] for *_, rows in left)])
        stream = texts(corpus, doc_keys, measure if exporter.reads == "tokens" else None)
        pieces = cut(stream if left else iter(()), [rows.height for *_, rows in left])
        for (shard, start, rows), piece in zip(left, pieces, strict=True):

            def make(
                shard: Shard = shard,
                start: int = start,
                rows: pl.DataFrame = rows,
                piece: Iterator[pl.DataFrame] = piece,
            ) -> Written:
                told = _told(piece, progress)
                files = exporter.write(told, folder, shard)
                if sum(count for _, count in files) != rows.height or next(told, None) is not None:
                    raise PluginError(
                        f"exporter {format} was given {rows.height} documents and says that it wrote {files}"
                    )
                return _about(files, format, shard, start)

            build.unit(f"{format}/{shard.component}/{shard.name}", make)

    def finish() -> Written:
        exporter.finish(folder, _blend(build.folder, index, manifest))
        return new_files()

    build.unit(f"{format}/finish", finish)


def exporter_of(format: str, plugins: Sequence[str] = ()) -> type[Exporter]:
    """The class of a format's exporter. Raises UsageError for one that is not there."""
    plugin: Any = Plugins(tuple(plugins)).get("exporter", format).plugin
    return plugin  # type: ignore[no-any-return]  # the registry holds it to its kind


def _about(files: list[tuple[str, int]], format: str, shard: Shard, start: int) -> Written:
    found: Written = {}
    for path, count in files:
        about = {"format": format, "dataset": shard.component, "split": shard.split, "start": start, "documents": count}
        found[f"{format}/{path}"] = about
        start += count
    return found


def _told(piece: Iterator[pl.DataFrame], progress: Progress) -> Iterator[pl.DataFrame]:
    for frame in piece:
        yield frame
        progress.advance(int(frame["text"].str.len_chars().sum()), frame.height)


def _shards(
    exporter: Exporter, index: pl.DataFrame, manifest: dict[str, Any]
) -> Iterator[tuple[Shard, int, pl.DataFrame]]:
    """(shard, its first document's place, its documents) of everything, in the order of documents.parquet."""
    for dataset, split in datasets(manifest):
        rows = rows_of(index, manifest, dataset, split)
        if not rows.height:
            continue
        before = rows["n_chars"].cast(pl.UInt64).cum_sum() - rows["n_chars"]
        numbers = (before // exporter.shard_chars).rle_id() if split in exporter.cut else before.rle_id() * 0
        pieces = rows.with_columns(_shard=numbers).partition_by("_shard", maintain_order=True, include_key=False)
        start = 0
        for number, piece in enumerate(pieces):
            yield Shard(dataset, split, number, len(pieces)), start, piece
            start += piece.height


def _blend(folder: Path, index: pl.DataFrame, manifest: dict[str, Any]) -> Blend:
    vocabulary = vocabulary_of(folder, manifest) if manifest["tokenizer"] else None
    total, shares = manifest["tokens"], stages(manifest)
    components = []
    for component in manifest["components"]:
        of = index.filter(pl.col("component") == component["name"])
        target, there = component["target_tokens"], component["tokens"]
        components.append(_blended(of, component["name"], target / total, target / there if there else 0.0, manifest))
    if manifest["blended"]:  # the components have held-out documents alone
        apart = [replace(c, share=0.0, epochs=0.0, documents=0, tokens=0 if vocabulary else None) for c in components]
        stream = _blended(index, BLENDED, 1.0, 1.0, manifest)
        components, shares = [replace(stream, heldout_documents=0), *apart], [(0.0, {BLENDED: 1.0})]
    return Blend(
        mixture=manifest["mixture"],
        tokens=total,
        seq_len=manifest["seq_len"],
        seed=manifest["seed"],
        components=tuple(components),
        stages=tuple(BlendStage(round(start * total), of) for start, of in shares),
        vocabulary=vocabulary,
    )


def _blended(index: pl.DataFrame, name: str, share: float, epochs: float, manifest: dict[str, Any]) -> Blended:
    train, heldout = index.filter(~pl.col("held_out")), index.filter("held_out")
    tokens = int((train["token_stop"] - train["token_start"]).sum()) if manifest["tokenizer"] else None
    return Blended(name, share, epochs, train.height, heldout.height, tokens)
