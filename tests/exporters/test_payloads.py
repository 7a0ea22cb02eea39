"""Exports of payloads, by what reads them: Megatron, datatrove, OLMo-core, nanoGPT, and the owners' own writers."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.exporting import BLENDED
from curator_plugins.exporters.megatron import Megatron
from curator_plugins.exporters.nanogpt import Nanogpt
from curator_plugins.exporters.nanotron import Nanotron, metric
from curator_plugins.exporters.olmo import Olmo
from tests.exporters.conftest import Reader
from tests.exporters.driver import LATER, SEQ_LEN, SHARES, TOKENS, World, digests, export, world

PAYLOAD_FORMATS = [Megatron(), Nanotron(), Olmo(), Nanogpt()]
BOTH_WIDTHS = pytest.mark.parametrize("bytes_a_token", [2, 4])


def windows(tokens: Any, length: int) -> list[list[int]]:
    """Consecutive windows, without the rest."""
    return np.asarray(tokens)[: len(tokens) // length * length].reshape(-1, length).tolist()


def test_megatron_reads_and_blends(tmp_path: Path, read: Reader) -> None:
    """Documents come back, files are those of its own builder, and rows are drawn by the shares of the tokens."""
    worlds = {2: world(tmp_path), 4: world(tmp_path / "wide", bytes_a_token=4)}
    calls = []
    for bytes_a_token, made in worlds.items():
        export(Megatron(), made, tmp_path / f"out{bytes_a_token}")
        size = 600 if bytes_a_token == 2 else 70_000
        calls.append([str(tmp_path / f"out{bytes_a_token}"), 1000, made.vocabulary.end_id, size])
    alone = world(tmp_path / "alone", held_out=False)
    export(Megatron(), alone, tmp_path / "out")
    calls.append([str(tmp_path / "out"), 100, alone.vocabulary.end_id, 600])
    *both, unvalidated = read("megatron", tmp_path, calls)

    for found, made in zip(both, worlds.values(), strict=True):
        expected = {f"{c}/{s}": made.documents(c, s) for c, s in made.frames}
        assert found["documents"] == expected
        assert found["own_bytes"] == {prefix: [True, True] for prefix in expected}
        assert found["prefixes"] == ["english/train", "german/train"]
        assert found["drawn"] == found["drawn_per_split"] == [700, 300]
        assert found["valid"] == [["english/heldout", "german/heldout"], 20]
        assert found["test"] is None
        for number, tokens, labels in found["rows"]:
            # a row is of shuffled documents, one after the other: what is between two end tokens is of one
            texts = [" ".join(map(str, d)) for d in expected[found["prefixes"][number]]]
            parts = split_at([*tokens, labels[-1]], made.vocabulary.end_id)
            assert all(any(" ".join(map(str, part)) in text for text in texts) for part in parts)
            assert tokens[1:] == labels[:-1]
    assert (unvalidated["valid"], unvalidated["drawn"]) == (None, [70, 30])


def split_at(tokens: list[int], end: int) -> list[list[int]]:
    """The parts of documents in a row, with their end tokens."""
    parts: list[list[int]] = [[]]
    for token in tokens:
        parts[-1].append(token)
        if token == end:
            parts.append([])
    return [p for p in parts if p]


def test_megatron_trains_on_one_blended_stream(tmp_path: Path) -> None:
    """Of a blended export the stream is all there is to train on; validation weighs components by documents."""
    export(Megatron(), world(tmp_path, blended=True), tmp_path / "out")
    assert (tmp_path / "out" / "data-args.txt").read_text() == f"1.0 {BLENDED}/train\n"
    splits = yaml.safe_load((tmp_path / "out" / "per-split-data-args.json").read_text())
    assert splits["valid"] == ["12.0", "english/heldout", "8.0", "german/heldout"]


@BOTH_WIDTHS
def test_datatrove_reads_what_nanotron_trains_on(bytes_a_token: int, tmp_path: Path) -> None:
    """Windows are the payload's, positions start anew with each document, and files are those of its own writer."""
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile
    from datatrove.utils.dataset import DatatroveFolderDataset

    made = world(tmp_path, bytes_a_token=bytes_a_token)
    export(Nanotron(), made, tmp_path / "out")
    for (component, split), frame in made.frames.items():
        folder = tmp_path / "out" / component / split
        tokens = made.tokens(component, split)
        data = DatatroveFolderDataset(
            str(folder), SEQ_LEN, filename_pattern="*.ds", token_size=bytes_a_token, return_positions=True
        )
        assert [data[i]["input_ids"].tolist() for i in range(len(data))] == windows(tokens, SEQ_LEN + 1)
        positions = np.concatenate([np.arange(len(d)) for d in made.documents(component, split)])
        read = np.array([data[i]["positions"].tolist() for i in range(len(data))])
        inside = read > np.arange(SEQ_LEN + 1)  # its positions count from the window's start, where a document began before
        assert not inside.any()
        starts = np.array(windows(positions, SEQ_LEN + 1)) == 0
        assert (read[:, 1:] == 0).tolist() == starts[:, 1:].tolist()

        own = tmp_path / "own" / component / split
        writer = TokenizedFile(
            str(own),
            f"{split}.ds",
            tokenizer_name_or_path="tokenizer",
            save_final_metadata=True,
            token_size=bytes_a_token,
        )
        for document in frame["tokens"].to_list():
            writer.write(document, None)
        writer.close()
        assert digests(own) == digests(folder)


@given(st.integers(0, 10**15))
def test_counts_for_people_are_humanize_s(tokens: int) -> None:
    """The last line of .ds.metadata, for any count."""
    import humanize

    assert metric(tokens) == humanize.metric(tokens, unit="T")


def test_nanotron_has_stages_and_a_tokenizer(made: World, tmp_path: Path, monkeypatch: Any) -> None:
    """Stages start at steps; the tokenizer that the metadata names loads, where nanotron looks for it."""
    from transformers import AutoTokenizer

    export(Nanotron(batch_rows=10), made, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    first, second = yaml.safe_load(Path("data_stages.yaml").read_text())["data_stages"]
    steps_before = round(TOKENS / 2 / (10 * SEQ_LEN))
    assert (first["start_training_step"], second["start_training_step"]) == (1, steps_before + 1)
    for stage, shares in ((first, SHARES), (second, LATER)):
        data = stage["data"]["dataset"]
        assert data["dataset_folder"] == [f"{name}/train" for name in shares]
        assert data["dataset_weights"] == list(shares.values())
        for folder in data["dataset_folder"]:
            name, size = (Path(folder) / "train.ds.metadata").read_text().splitlines()[0].split("|")
            assert (name, int(size)) == (data["tokenizer_name"], data["token_size_in_bytes"])
    tokenizer = AutoTokenizer.from_pretrained(first["data"]["dataset"]["tokenizer_name"])
    assert len(tokenizer.get_vocab()) == first["data"]["dataset"]["vocab_size"] == made.vocabulary.size
    assert tokenizer.eos_token_id == made.vocabulary.end_id
    text = made.frames["english", "train"]["text"][0]
    assert tokenizer(text)["input_ids"] == made.documents("english")[0][:-1]


@BOTH_WIDTHS
def test_olmo_reads_and_mixes(bytes_a_token: int, tmp_path: Path, read: Reader) -> None:
    """The code of README.md builds the mixture; rows are windows of the payloads, packed ones lose nothing."""
    made = world(tmp_path, bytes_a_token=bytes_a_token)
    export(Olmo(batch_rows=4), made, tmp_path / "out")
    found = read("olmo", tmp_path / "out", str(tmp_path / "work"), SEQ_LEN, bytes_a_token)
    for component, split in made.frames:
        path, tokens = f"{component}/{split}.npy", made.tokens(component, split)
        assert found["plain"][path] == windows(tokens, SEQ_LEN)
        assert found["ends"][path] == made.payloads[component, split].ends.tolist()
        packed = [t for row in found["packed"][path] for t in row]
        assert sorted(packed) == sorted(tokens.tolist())
    rows = -(-TOKENS // (4 * SEQ_LEN)) * 4
    assert len(found["mixed"]) == rows == sum(found["selected"].values()) // SEQ_LEN
    of = {n: {tuple(w) for w in windows(made.tokens(n), SEQ_LEN)} for n in SHARES}
    drawn = {n: sum(tuple(row) in of[n] for row in found["mixed"]) for n in SHARES}
    assert sum(drawn.values()) == rows
    assert {n: d / rows for n, d in drawn.items()} == pytest.approx(SHARES, abs=0.02)


def test_nanogpt_maps_the_payload(made: World, tmp_path: Path) -> None:
    """train.py's get_batch on seeded places: windows of the payload, and the vocabulary of meta.pkl."""
    export(Nanogpt(), made, tmp_path / "out")
    draw = np.random.default_rng(7)
    for (component, split), name in zip(made.frames, ["train", "val"] * 2, strict=True):
        folder = tmp_path / "out" / component
        data = np.memmap(folder / f"{name}.bin", dtype=np.uint16, mode="r")
        tokens = made.tokens(component, split)
        for i in draw.integers(len(data) - SEQ_LEN, size=8):
            assert data[i : i + SEQ_LEN].tolist() == tokens[i : i + SEQ_LEN].tolist()
            assert data[i + 1 : i + 1 + SEQ_LEN].tolist() == tokens[i + 1 : i + 1 + SEQ_LEN].tolist()
        assert len(data) == len(tokens)
        assert pickle.loads((folder / "meta.pkl").read_bytes()) == {"vocab_size": made.vocabulary.size}


def test_nanogpt_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    """Tokens of 4 bytes; and it says where there is no val.bin."""
    with pytest.raises(UsageError, match=r"train.py reads tokens of 2 bytes, and those of .*tokenizer.json have 4"):
        export(Nanogpt(), world(tmp_path, bytes_a_token=4), tmp_path / "wide")
    made = world(tmp_path, held_out=False)
    export(Nanogpt(), made, tmp_path / "out")
    assert "`german` has no documents held out" in (tmp_path / "out" / "README.md").read_text()


def test_nanogpt_validates_a_blended_stream_on_all_components(tmp_path: Path) -> None:
    """`blended` has the training stream, and what every component holds out."""
    made = world(tmp_path, blended=True)
    export(Nanogpt(), made, tmp_path / "out")
    val = np.fromfile(tmp_path / "out" / BLENDED / "val.bin", np.uint16)
    assert val.tolist() == [t for name in SHARES for t in made.tokens(name, "heldout").tolist()]
    assert (tmp_path / "out" / BLENDED / "train.bin").samefile(made.payloads[BLENDED, "train"].path)


@pytest.mark.parametrize("exporter", PAYLOAD_FORMATS, ids=lambda e: type(e).__name__)
def test_payload_formats_repeat(exporter: Any, made: World, tmp_path: Path) -> None:
    """Two exports have the same bytes, and no file holds the time."""
    for name in ("one", "two"):
        export(exporter, made, tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.gz"):
        magic, flags, time = struct.unpack("<HxBI", path.read_bytes()[:8])
        assert (magic, flags, time) == (0x8B1F, 0, 0)


def test_formats_share_the_tokens(tmp_path: Path) -> None:
    """Four formats of ten million tokens take 1.03 times the disk of one at most."""
    made = long_documents(world(tmp_path))
    used = []
    for count in (1, 4):
        for exporter in PAYLOAD_FORMATS[:count]:
            export(exporter, made, tmp_path / str(count) / type(exporter).__name__)
        blocks = {s.st_ino: s.st_blocks for p in (tmp_path / str(count)).rglob("*") if (s := p.stat())}
        used.append(512 * sum(blocks.values()))
    payloads = sum(p.path.stat().st_size for p in made.payloads.values())
    assert payloads <= used[0] <= used[1] <= 1.03 * used[0]


def long_documents(made: World) -> World:
    """The same mixture with documents of 50,000 tokens."""
    for payload in made.payloads.values():
        ends = np.arange(1, payload.documents.height + 1, dtype=np.uint64) * 50_000
        object.__setattr__(payload, "ends", ends)
        np.zeros(int(ends[-1]), payload.dtype).tofile(payload.path)
    return made


def test_a_file_system_without_hard_links_gets_copies(made: World, tmp_path: Path, monkeypatch: Any) -> None:
    """The formats are the same there."""
    export(Olmo(), made, tmp_path / "linked")

    def refuse(source: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    export(Olmo(), made, tmp_path / "copied")
    assert digests(tmp_path / "linked") == digests(tmp_path / "copied")
