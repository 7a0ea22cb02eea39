"""Exports of texts, and of tokens in Parquet, by what reads them: datasets, datatrove, and nanochat's rule."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.exporting import BLENDED
from curator_plugins.exporters.jsonl import METADATA, Jsonl
from curator_plugins.exporters.nanochat import Nanochat
from curator_plugins.exporters.parquet import Parquet
from curator_plugins.exporters.parquet_tokens import ParquetTokens
from tests.exporters.driver import SHARES, TOKENS, World, digests, export, world

os.environ["HF_HUB_OFFLINE"] = "1"
TEXT_FORMATS = [Parquet(), *(Jsonl(compression=c) for c in ("zst", "gz", "none"))]


def named(exporter: Any) -> str:
    """An id for a test."""
    return type(exporter).__name__ + getattr(exporter, "suffix", "")


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """`load_dataset` with a cache of its own."""
    from datasets import load_dataset

    def loaded(folder: Path, component: str, split: str, **options: Any) -> Any:
        return load_dataset(str(folder), component, split=split, cache_dir=str(tmp_path / "cache"), **options)

    return loaded


@pytest.mark.parametrize("exporter", TEXT_FORMATS, ids=named)
@pytest.mark.parametrize("streaming", [False, True], ids=["map", "streaming"])
def test_datasets_loads_a_component_by_name(
    exporter: Any, streaming: bool, made: World, tmp_path: Path, load: Any
) -> None:
    """Each component is a configuration with its splits; texts and all that is known of them come back."""
    export(exporter, made, tmp_path / "out", of=3)
    for (component, split), frame in made.frames.items():
        rows = list(load(tmp_path / "out", component, split, streaming=streaming))
        assert [r["text"] for r in rows] == frame["text"].to_list()
        assert [r["id"] for r in rows] == frame["id"].to_list()
        about = [r.get("metadata", r) for r in rows]
        for key in ("url", "title", "license", "domain", "language"):
            assert [a[key] for a in about] == frame[key].to_list()
        dates = [str(a["published"])[:10] for a in about]
        assert dates == [str(d)[:10] for d in frame["published"].to_list()]


def test_datasets_draws_the_tokens_of_the_mixture(
    made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the card draws documents by blend.json; of their tokens each component has its share."""
    export(Parquet(), made, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    lengths = {
        row["id"]: len(row["tokens"])
        for frame in made.frames.values()
        for row in frame.select("id", "tokens").iter_rows(named=True)
    }
    drawn = list(names["data"])
    assert len(drawn) == names["blend"]["documents"]
    tokens = dict.fromkeys(SHARES, 0)
    for row in drawn:
        tokens[row["id"].split("-")[0]] += lengths[row["id"]]
    whole = sum(tokens.values())
    assert whole == pytest.approx(TOKENS, rel=0.1)
    # by documents German, whose are four times as long, would have 0.63
    assert {n: t / whole for n, t in tokens.items()} == pytest.approx(SHARES, abs=0.06)


def test_probabilities_are_of_documents(made: World, tmp_path: Path) -> None:
    """A share of the tokens over the mean tokens of a document, as parts of 1."""
    export(Jsonl(), made, tmp_path / "out")
    blend = json.loads((tmp_path / "out" / "blend.json").read_text())
    mean = {n: len(made.tokens(n)) / made.frames[n, "train"].height for n in SHARES}
    whole = sum(share / mean[n] for n, share in SHARES.items())
    assert blend["probabilities"] == pytest.approx({n: s / mean[n] / whole for n, s in SHARES.items()})
    assert blend["documents"] == round(TOKENS * whole)


def test_datatrove_reads_json_lines(made: World, tmp_path: Path) -> None:
    """JsonlReader gives text, id, and all else as metadata."""
    from datatrove.pipeline.readers import JsonlReader

    export(Jsonl(), made, tmp_path / "out", of=2)
    frame = made.frames["english", "train"]
    read = list(JsonlReader(str(tmp_path / "out" / "english"), glob_pattern="train-*").run())
    assert [(d.id, d.text) for d in read] == frame.select("id", "text").rows()
    assert [d.metadata["source"] for d in read] == frame["source"].to_list()
    assert [d.metadata["title"] for d in read] == frame["title"].to_list()
    assert {tuple(d.metadata)[: len(METADATA)] for d in read} == {METADATA}


@pytest.mark.parametrize("bytes_a_token", [2, 4])
def test_datasets_reads_tokens(bytes_a_token: int, tmp_path: Path, load: Any) -> None:
    """`input_ids` are a document's tokens with the end token, of as many bytes as the payload's."""
    made = world(tmp_path, bytes_a_token=bytes_a_token)
    export(ParquetTokens(), made, tmp_path / "out", of=2)
    for (component, split), frame in made.frames.items():
        data = load(tmp_path / "out", component, split)
        assert data.features["input_ids"].feature.dtype == f"uint{8 * bytes_a_token}"
        assert list(data["input_ids"]) == made.documents(component, split)
        assert list(data["id"]) == frame["id"].to_list()
    import torch

    row = load(tmp_path / "out", "english", "train").with_format("torch")[5]["input_ids"]
    assert (row.dtype, row.tolist()) == (torch.int64, made.documents("english")[5])


def nanochat_batches(folder: Path, split: str, rank: int, world_size: int) -> list[list[str]]:
    """What nanochat reads, which is no package: nanochat/dataset.py, `list_parquet_files` and `parquets_iter_batched`.

    Names that end in .parquet, sorted; "the last parquet file will be val"; of each file every world_size-th row group.
    """
    paths = sorted(f for f in os.listdir(folder) if f.endswith(".parquet") and not f.endswith(".tmp"))
    paths = paths[:-1] if split == "train" else paths[-1:]
    batches = []
    for path in paths:
        file = pq.ParquetFile(folder / path)
        for number in range(rank, file.num_row_groups, world_size):
            batches.append(file.read_row_group(number).column("text").to_pylist())
    return batches


def test_nanochat_trains_on_all_but_what_is_held_out(made: World, tmp_path: Path) -> None:
    """The last file in the order of names has the held-out documents; ranks share the row groups."""
    written = export(Nanochat(row_group=16), made, tmp_path / "out", of=3)
    for component in SHARES:
        folder = tmp_path / "out" / component
        texts = {s: made.frames[component, s]["text"].to_list() for s in ("train", "heldout")}  # type: ignore[index]
        for split, name in (("train", "train"), ("val", "heldout")):
            ranks = [nanochat_batches(folder, split, rank, 2) for rank in range(2)]
            assert all(ranks)
            assert sorted(t for r in ranks for batch in r for t in batch) == sorted(texts[name])
        assert pq.read_schema(folder / "shard_00000.parquet").names == ["text"]
    batches = nanochat_batches(tmp_path / "out" / "english", "train", 0, 1)
    assert [len(b) for b in batches] == [16, 16, 8] * 3
    assert sorted(written)[:4] == [f"english/shard_{n:05d}.parquet" for n in (0, 1, 2, 99_999)]
    assert "held out:" not in (tmp_path / "out" / "README.md").read_text()


def test_nanochat_is_told_where_nothing_is_held_out(tmp_path: Path) -> None:
    """README.md names the component and the shard that nanochat takes for validation."""
    export(Nanochat(), world(tmp_path, held_out=False), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "`english` has no documents held out: its last shard, shard_00000.parquet" in text
    assert "while it finds nothing to train on" in text
    assert nanochat_batches(tmp_path / "out" / "english", "train", 0, 1) == []


def test_nanochat_validates_a_blended_stream_on_all_components(tmp_path: Path) -> None:
    """`blended` has its own shards, and what every component holds out."""
    made = world(tmp_path, blended=True)
    export(Nanochat(), made, tmp_path / "out")
    val = [t for batch in nanochat_batches(tmp_path / "out" / BLENDED, "val", 0, 1) for t in batch]
    assert val == [t for name in SHARES for t in made.frames[name, "heldout"]["text"].to_list()]
    train = [t for batch in nanochat_batches(tmp_path / "out" / BLENDED, "train", 0, 1) for t in batch]
    assert train == made.frames[BLENDED, "train"]["text"].to_list()


@pytest.mark.parametrize("exporter", [*TEXT_FORMATS, ParquetTokens(), Nanochat()], ids=named)
def test_frames_do_not_change_the_bytes(exporter: Any, made: World, tmp_path_factory: Any) -> None:
    """The same documents give the same files, however they come in frames."""
    root = tmp_path_factory.mktemp("frames")
    expected: list[dict[str, str]] = []

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(1, 130))
    def check(rows: int) -> None:
        out = root / f"{len(expected)}"
        export(exporter, made, out, of=2, frame_rows=rows)
        expected.append(digests(out))
        assert expected[-1] == expected[0]

    check()
