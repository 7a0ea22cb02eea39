"""The dataset: rows as a naive reference reads them, labels, positions and masks, in any loader."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import curator
from curator.errors import UsageError
from curator_trainer import MixtureDataset
from curator_trainer.data import stack
from tests.texts import GERMAN
from tests.trainer.exports import Part, prose, write_export

VOCABULARY = 400


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two components, with a document longer than a row."""
    parts = {
        "english": Part([*prose(1, 90, most=50), *prose(9, 1, least=300, most=300)], share=0.6),
        "german": Part(prose(3, 40, words=GERMAN, most=50), share=0.4),
    }
    return write_export(tmp_path_factory.mktemp("data") / "export", parts, tokens=9000)


@pytest.fixture(scope="module")
def causal(export: Path) -> MixtureDataset:
    """For a GPT."""
    return MixtureDataset(export, vocab_size=VOCABULARY)


@pytest.fixture(scope="module")
def masked(export: Path) -> MixtureDataset:
    """For a BERT."""
    return MixtureDataset(export, objective="masked", vocab_size=VOCABULARY)


def naive(dataset: MixtureDataset, number: int) -> dict[str, list[int]]:
    """A row, token by token, from the files."""
    rows = dataset.rows
    described = json.loads((rows.folder / "plan.json").read_text())
    component, _, row = (int(v[0]) for v in rows.plan.lookup(number))
    name = f"train.{described['components'][component]['name']}"
    payload = np.fromfile(rows.folder.parent / f"{name}.bin", dtype="<u2").tolist()
    starts = np.load(rows.folder / f"{name}.rows.npy").tolist()
    pieces = np.load(rows.folder / f"{name}.pieces.npy").tolist()
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    for start, stop in pieces[starts[row] : starts[row + 1]]:
        ids += payload[start:stop]
        labels += [-100, *payload[start + 1 : stop]]
        positions += range(stop - start)
    padding = rows.seq_len - len(ids)
    return {
        "input_ids": ids + [rows.end_id] * padding,
        "labels": labels + [-100] * padding,
        "position_ids": positions + list(range(padding)),
    }


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_rows_equal_a_naive_reference(causal: MixtureDataset) -> None:
    """Every row of the run, read one by one."""
    assert len(causal) > 100
    for number in range(len(causal)):
        assert {k: v.tolist() for k, v in causal[number].items()} == naive(causal, number)


def test_one_epoch_holds_every_token_once(causal: MixtureDataset) -> None:
    """The rows of a component's first epoch, unpacked, are its payload."""
    rows = causal.rows
    places = rows.places(np.arange(len(rows)))
    first = np.flatnonzero((places.component == 1) & (places.epoch == 0))
    batch = rows.read(first)
    payload = np.fromfile(rows.folder.parent / "train.german.bin", dtype="<u2")
    assert sorted(batch.ids[batch.document >= 0].tolist()) == sorted(payload.tolist())


def test_a_plain_loop_sees_the_plan_in_order(causal: MixtureDataset) -> None:
    """With and without workers, by any batch size, iterated directly, and pickled."""
    whole = stack(causal.__getitems__(range(len(causal))))
    for size, workers in ((7, 0), (16, 2), (1, 0)):
        loader: Any = DataLoader(causal, batch_size=size, num_workers=workers)
        batches = list(loader)
        assert equal({k: torch.cat([b[k] for b in batches]) for k in whole}, whole)
    assert equal(pickle.loads(pickle.dumps(causal))[5], causal[5])
    iterated = [causal[i]["input_ids"] for i in range(10)]
    assert torch.equal(torch.stack(iterated), whole["input_ids"][:10])
    assert sum(1 for _ in causal) == len(causal)  # type: ignore[attr-defined]  # the sequence protocol


def test_a_row_outside_the_plan(causal: MixtureDataset) -> None:
    """An IndexError."""
    with pytest.raises(IndexError):
        causal[len(causal)]


def test_masks_are_a_function_of_the_row(masked: MixtureDataset) -> None:
    """Any batch, any order, any process: the same masks; other epochs of the same row have others."""
    whole = stack(masked.__getitems__(range(40)))
    assert equal(stack([masked[i] for i in range(40)]), whole)
    assert equal(stack(masked.__getitems__([30, 3])), {k: v[[30, 3]] for k, v in whole.items()})
    places = masked.rows.places(np.arange(len(masked)))
    same = np.flatnonzero((places.component == 1) & (places.row == 0))
    assert len(same) > 1
    assert not torch.equal(masked[int(same[0])]["labels"], masked[int(same[1])]["labels"])


GOLDEN_LABELS = [4, 5, 12, 13, 14, 16, 18, 20, 22, 25, 28, 32, 34, 35, 39, 44, 46, 58]


def test_golden_masks(masked: MixtureDataset) -> None:
    """Frozen, as the order of rows is: which tokens are asked for, of row 5, and what 8 draws are."""
    chosen = (masked.rows.draws(0, 5)[0] >> np.uint64(32)) < np.uint64(0.3 * 2**32)
    assert np.flatnonzero(chosen).tolist() == GOLDEN_LABELS
    asked = (masked[5]["labels"] != -100).numpy()
    assert not (asked & ~chosen).any()


def test_shares_of_masks(export: Path, causal: MixtureDataset) -> None:
    """30 % of tokens are asked for, of which 80 % are masked, 10 % random; never an end token or padding."""
    masked = MixtureDataset(export, objective="masked", vocab_size=VOCABULARY)
    plain = stack(causal.__getitems__(range(len(causal))))
    rows = stack(masked.__getitems__(range(len(causal))))
    asked = rows["labels"] != -100
    text = plain["input_ids"] != masked.rows.end_id
    assert torch.equal(rows["labels"][asked], plain["input_ids"][asked])
    assert not (asked & ~text).any()
    assert asked.sum() / text.sum() == pytest.approx(0.30, abs=0.02)
    assert masked.masking is not None
    shown = rows["input_ids"][asked]
    assert (shown == masked.masking.mask_id).float().mean() == pytest.approx(0.8, abs=0.03)
    assert (shown == rows["labels"][asked]).float().mean() == pytest.approx(0.1, abs=0.03)
    assert torch.equal(rows["input_ids"][~asked], plain["input_ids"][~asked])


def test_the_document_mask(masked: MixtureDataset) -> None:
    """bool[1, T, T]: blocks on the diagonal, one a document, and no row of it is empty."""
    row = next(r for r in map(masked.__getitem__, range(100)) if (r["position_ids"] == 0).sum() > 2)
    mask = row["attention_mask"]
    document = (row["position_ids"] == 0).cumsum(0)
    assert mask.dtype == torch.bool
    assert torch.equal(mask[0], document[:, None] == document[None, :])


def test_from_corpus_exports_into_the_cache(
    export: Path, causal: MixtureDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the host for the export, and is then the same dataset."""
    asked = []

    def cached_export(corpus: Any, mixture: Any) -> Path:
        asked.append((corpus, mixture))
        return export

    monkeypatch.setattr(curator, "cached_export", cached_export)
    dataset = MixtureDataset.from_corpus("corpus", "mix.yaml", vocab_size=VOCABULARY)
    assert asked == [("corpus", "mix.yaml")]
    assert equal(dataset[3], causal[3])


def test_mistakes(tmp_path: Path, export: Path) -> None:
    """Each names what there is."""
    with pytest.raises(UsageError, match="objective 'mlm': there are causal and masked"):
        MixtureDataset(export, objective="mlm", vocab_size=VOCABULARY)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mask_rate 30: give a share"):
        MixtureDataset(export, objective="masked", mask_rate=30, vocab_size=VOCABULARY)
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"x": 0, "</s>": 1}, unk_token="x")).save(str(tmp_path / "maskless.json"))
    other = write_export(
        tmp_path / "export", {"a": Part(["x"] * 400)}, tokens=64, tokenizer=tmp_path / "maskless.json"
    )
    assert len(MixtureDataset(other))
    with pytest.raises(UsageError, match=r"no mask token.*\[MASK\] or <mask>.*train a gpt"):
        MixtureDataset(other, objective="masked")
