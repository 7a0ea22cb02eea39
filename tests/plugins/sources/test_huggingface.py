"""Hugging Face datasets in a folder: the documents that `datasets` itself reads, splits, licences, links and damage."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curator_plugins.sources.huggingface
from curator import Part, UsageError
from curator_plugins.sources.huggingface import Huggingface


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def made(rows: int, first: int = 0) -> datasets.Dataset:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["a", "b"]),
            "when": datasets.Value("timestamp[ms]"),
            "tags": datasets.List({"name": datasets.Value("string"), "score": datasets.Value("float32")}),
        }
    )
    numbers = range(first, first + rows)
    return datasets.Dataset.from_dict(
        {
            "text": [f"text {n} é " * (n % 7 + 1) for n in numbers],
            "label": [n % 2 for n in numbers],
            "when": [n * 1000 for n in numbers],
            "tags": [[{"name": "t", "score": 0.5}] * (n % 3) for n in numbers],
        },
        features=features,
    )


def as_read(document: dict[str, Any]) -> dict[str, Any]:
    """A document as the row of the dataset that it was."""
    metadata = orjson.loads(document["metadata"])
    metadata.pop("split", None)
    return {"text": document["text"], **metadata}


def as_stored(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"when": row["when"].isoformat()}


@pytest.mark.parametrize("shards", [1, 3])
def test_the_documents_of_load_from_disk(tmp_path: Path, read: Any, shards: int) -> None:
    """Row for row, from any number of shards, also after rows were chosen and shuffled."""
    made(2500).shuffle(1).select(range(2100)).save_to_disk(tmp_path / "d", num_shards=shards)
    documents, bad = read(Huggingface(path=str(tmp_path / "d")))
    assert bad == []
    expected = datasets.load_from_disk(str(tmp_path / "d"))
    assert [as_read(d) for d in documents] == [as_stored(row) for row in expected]
    assert documents[0]["source_key"] == f"data-00000-of-{shards:05}.arrow#0"


def test_the_splits_of_a_dict(tmp_path: Path, read: Any) -> None:
    """Each document says which it is from, and `split` chooses."""
    datasets.DatasetDict({"train": made(30), "test": made(7, 30)}).save_to_disk(tmp_path / "d")
    source = Huggingface(path=str(tmp_path / "d"))
    documents, _ = read(source)
    splits = [orjson.loads(d["metadata"])["split"] for d in documents]
    assert (splits.count("train"), splits.count("test"), len(splits)) == (30, 7, 37)
    documents, _ = read(Huggingface(path=str(tmp_path / "d"), split="test"))
    expected = datasets.load_from_disk(str(tmp_path / "d"))["test"]
    assert [as_read(d) for d in documents] == [as_stored(row) for row in expected]
    with pytest.raises(UsageError, match=r"no split 'dev' in .*; there are: test, train"):
        list(Huggingface(path=str(tmp_path / "d"), split=["dev"]).parts())


def test_a_field_called_split_is_the_records_own(tmp_path: Path, read: Any) -> None:
    """The dataset's stands beside it."""
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["x"], "split": ["mine"]}), tmp_path / "data/test-00000-of-00001.parquet")
    ((document,), _) = read(Huggingface(path=str(tmp_path)))
    assert orjson.loads(document["metadata"]) == {"split": "mine", "dataset_split": "test"}


def hub(folder: Path, card: str, *names: str) -> Path:
    """A folder as on the hub: a card, and files of one row that says the file's name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [name]}), folder / name)
    (folder / "README.md").write_text(f"---\n{card}\n---\n# A dataset\n")
    return folder


def told(documents: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return sorted((d["text"], orjson.loads(d["metadata"] or "{}").get("split")) for d in documents)


def test_a_folder_as_on_the_hub(tmp_path: Path, read: Any) -> None:
    """Splits by the files' names; the licence that the card states, unless the recipe does."""
    names = [f"data/train-0000{n}-of-00002.parquet" for n in range(2)] + ["data/validation-00000-of-00001.parquet"]
    hub(tmp_path, "license: cc-by-sa-4.0", *names)
    documents, bad = read(Huggingface(path=str(tmp_path)))
    assert told(documents) == [(names[0], "train"), (names[1], "train"), (names[2], "validation")]
    assert ({d["license"] for d in documents}, bad) == ({"cc-by-sa-4.0"}, [])
    documents, _ = read(Huggingface(path=str(tmp_path), license="CC0-1.0"))
    assert {d["license"] for d in documents} == {"CC0-1.0"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.parquet", "train"),
        ("my-dev-set.parquet", "validation"),
        ("test/0000.parquet", "test"),
        ("rows.parquet", "train"),
        ("latest.parquet", "train"),
        ("data/eval_01.parquet", "test"),
        ("data/extra-00000-of-00001.parquet", "extra"),
    ],
)
def test_splits_are_named_as_datasets_names_them(tmp_path: Path, name: str, split: str) -> None:
    """The same split as `datasets` finds for a folder without a card."""
    hub(tmp_path / "d", "pretty_name: x", name)
    cache = str(tmp_path / "cache")
    expected = datasets.load_dataset(str(tmp_path / "d"), cache_dir=cache)
    assert list(expected) == [split]
    source = Huggingface(path=str(tmp_path / "d"))
    (part,) = source.parts()
    assert [r["split"] for r in source.read(part)] == [split]  # type: ignore[index]


CARD = """\
license: [mit, apache-2.0]
configs:
- config_name: en
  data_files:
  - {split: train, path: "en/part-*.parquet"}
  - {split: gold, path: ["en/gold.parquet"]}
- config_name: de
  data_files: "de/*.parquet"
"""


def test_configurations(tmp_path: Path, read: Any) -> None:
    """The card's files; of several one must be chosen, unless one is the default."""
    names = ["en/part-1.parquet", "en/part-2.parquet", "en/gold.parquet", "de/x.parquet"]
    folder = hub(tmp_path / "d", CARD, *names)
    documents, _ = read(Huggingface(path=str(folder), config="en"))
    assert told(documents) == [(names[2], "gold"), (names[0], "train"), (names[1], "train")]
    assert {d["license"] for d in documents} == {"mit, apache-2.0"}
    with pytest.raises(UsageError, match="has configurations de, en; choose one with `config:`"):
        list(Huggingface(path=str(folder)).parts())
    with pytest.raises(UsageError, match=r"no configuration 'fr' in .*; there are: de, en"):
        list(Huggingface(path=str(folder), config="fr").parts())
    hub(folder, CARD + "  default: true\n")
    documents, _ = read(Huggingface(path=str(folder)))
    assert told(documents) == [("de/x.parquet", "train")]
    expected = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: rows["text"][:] for split, rows in expected.items()} == {"train": ["de/x.parquet"]}


def cached(folder: Path, *revisions: str) -> Path:
    """The hub's cache: blobs, and snapshots of links to them."""
    dataset = folder / "hub" / "datasets--org--name"
    for revision in revisions:
        blob = dataset / "blobs" / f"hash-{revision}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [f"of {revision}"]}), blob)
        link = dataset / "snapshots" / revision / "data" / "train-00000-of-00001.parquet"
        link.parent.mkdir(parents=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return dataset


def test_the_hubs_cache(tmp_path: Path, read: Any) -> None:
    """Links into the dataset's blobs are followed; the snapshot is refs/main's or asked for, and in no key."""
    dataset = cached(tmp_path, "aaa", "bbb")
    with pytest.raises(UsageError, match="has no snapshot None; name one with `revision:`: aaa, bbb"):
        read(Huggingface(path=str(dataset)))
    (dataset / "refs").mkdir()
    (dataset / "refs" / "main").write_text("bbb")
    for source, text in (
        (Huggingface(path=str(dataset)), "of bbb"),
        (Huggingface(path=str(dataset), revision="aaa"), "of aaa"),
        (Huggingface(path=str(dataset / "snapshots" / "aaa")), "of aaa"),
    ):
        ((document,), bad) = read(source)
        assert (document["text"], bad) == (text, [])
        assert document["source_key"] == "data/train-00000-of-00001.parquet#0"


def test_links_out_of_the_dataset_are_refused(tmp_path: Path, read: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Another dataset's blobs, and any file elsewhere."""
    dataset = cached(tmp_path, "aaa")
    pq.write_table(pa.table({"text": ["secret"]}), tmp_path / "secret.parquet")
    (dataset / "snapshots/aaa/data/test-00000-of-00001.parquet").symlink_to(tmp_path / "secret.parquet")
    documents, _ = read(Huggingface(path=str(dataset)))
    assert [d["text"] for d in documents] == ["of aaa"]
    assert "a link out of" in caplog.text


def test_the_cache_of_datasets(tmp_path: Path, read: Any) -> None:
    """What `load_dataset` prepared; its own caches of results beside are left out."""
    folder = hub(tmp_path / "d", "license: mit", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    loaded["train"].map(lambda row: {"text": "changed"}, load_from_cache_file=False)
    prepared = Path(loaded["train"].cache_files[0]["filename"]).parent
    documents, bad = read(Huggingface(path=str(prepared)))
    assert told(documents) == [(f"data/{s}-00000-of-00001.parquet", s) for s in ("test", "train")]
    assert bad == []


def test_any_cutting_reads_the_same(tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part owns the batches that begin in it; a position is the row in the shard."""
    made(9000).save_to_disk(tmp_path / "d")
    source = Huggingface(path=str(tmp_path / "d"))
    whole, _ = read(source)
    monkeypatch.setattr(curator_plugins.sources.huggingface, "PART", 100_000)
    parts = list(source.parts())
    assert len(parts) > 3
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
    found, bad = read(source)
    assert ([d | {"part": 0} for d in found], bad) == (whole, [])


# -- damage


def stream(folder: Path, table: pa.Table, rows: int) -> Path:
    path = folder / "x-train.arrow"
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def test_a_damaged_shard_costs_itself(tmp_path: Path, read: Any) -> None:
    """Cut, without its end mark, no shard at all: one reason each, and the others are read."""
    made(3000).save_to_disk(tmp_path / "d", num_shards=4)
    shards = sorted((tmp_path / "d").glob("*.arrow"))
    content = [shard.read_bytes() for shard in shards]
    shards[0].write_bytes(content[0][: len(content[0]) // 2])
    shards[1].write_bytes(content[1][:-8])
    shards[2].write_bytes(b'{"text": "x"}')
    documents, bad = read(Huggingface(path=str(tmp_path / "d")))
    assert len(documents) == 1500
    assert bad == [("0", "damaged_file"), ("750", "damaged_file"), ("0", "damaged_file")]
    shards[3].unlink()
    with pytest.raises(UsageError, match=r"names data-00003-of-00004\.arrow, which is missing"):
        read(Huggingface(path=str(tmp_path / "d")))


def test_offsets_that_lead_elsewhere_are_not_followed(tmp_path: Path, read: Any) -> None:
    """A batch is checked before its rows are made; the next batch is read."""
    path = stream(tmp_path, pa.table({"text": [f"{n:010}" for n in range(20)]}), 10)
    content = bytearray(path.read_bytes())
    offsets = pa.array(range(0, 110, 10), pa.int32()).buffers()[1].to_pybytes()[:44]
    at = content.index(offsets)
    content[at + 20 : at + 24] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    documents, bad = read(Huggingface(path=str(tmp_path)))
    assert [d["text"] for d in documents] == [f"{n:010}" for n in range(10, 20)]
    assert bad == [("0", "damaged_file")]


def test_text_that_is_not_utf8_costs_its_record(tmp_path: Path, read: Any) -> None:
    """The rest of the batch is read."""
    path = stream(tmp_path, pa.table({"text": ["aaaa", "bbbb", "cccc"]}), 10)
    path.write_bytes(path.read_bytes().replace(b"bbbb", b"b\xffbb"))
    documents, bad = read(Huggingface(path=str(tmp_path)))
    assert ([d["text"] for d in documents], bad) == (["aaaa", "cccc"], [("1", "invalid_utf8")])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutations_never_crash(tmp_path: Path, read: Any, data: Any) -> None:
    """Any bytes changed: documents and reasons, and no exception."""
    path = stream(tmp_path, pa.table({"text": [f"text {n}" for n in range(9)], "n": range(9)}), 3)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    documents: list[Any] = []
    with contextlib.suppress(UsageError):  # a column called texu
        documents, _ = read(Huggingface(path=str(tmp_path)))
    assert len(documents) <= 9


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    """The error says what there is, and which source reads it."""
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(UsageError, match=r"holds no Parquet .*; it has train\.jsonl\. JSON lines, .* `jsonl`"):
        list(Huggingface(path=str(tmp_path)).parts())


def test_a_vanished_shard_is_noticed(tmp_path: Path) -> None:
    """Reading a part whose file is gone says so."""
    from curator.files import SourceChanged

    made(5).save_to_disk(tmp_path / "d")
    source = Huggingface(path=str(tmp_path / "d"))
    (part,) = source.parts()
    assert isinstance(part, Part)
    os.unlink(part.uri)
    with pytest.raises(SourceChanged, match="vanished"):
        list(source.read(part))
