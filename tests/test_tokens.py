"""Tokens of an export: payloads, rows and plan from real text, and what is refused."""

from __future__ import annotations

import builtins
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import curator
from curator.errors import CuratorError, UsageError
from curator.tokens import build_tokens, load_tokenizer, open_tokens, train_tokenizer
from tests.trainer.exports import Part, prose, two_languages, write_export

VOCABULARY = 400


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer, trained once."""
    export = write_export(tmp_path_factory.mktemp("tokenizer") / "export", two_languages(40))
    return train_tokenizer(export, VOCABULARY)


def payload(rows: Path, name: str) -> np.ndarray[Any, Any]:
    tokens = json.loads((rows.parent / "tokens.json").read_text())
    return np.fromfile(rows.parent / f"{name}.bin", dtype=tokens["dtype"])


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_payloads_hold_the_texts_in_order(tmp_path: Path, tokenizer_file: Path, format: str) -> None:
    """Each document, decoded, is its text, and is followed by the end token; held-out ones are apart."""
    parts = two_languages(30)
    export = write_export(tmp_path / "export", parts, format=format)
    rows = build_tokens(export, tokenizer_file)
    tokenizer = load_tokenizer(tokenizer_file)
    digest = hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
    assert rows == export / "tokens" / digest[:12] / "rows-64"
    for name, part in parts.items():
        for split, texts in (("train", part.train), ("heldout", part.heldout)):
            ids = payload(rows, f"{split}.{name}")
            ends = np.fromfile(rows.parent / f"{split}.{name}.ends", dtype="<u8").astype(int)
            assert ids.dtype == np.uint16
            documents = np.split(ids, ends[:-1])
            assert [tokenizer.decode(d[:-1].tolist(), skip_special_tokens=False) for d in documents] == texts
            assert {int(d[-1]) for d in documents} == {tokenizer.token_to_id("<|endoftext|>")}
            counts = json.loads((rows.parent / "tokens.json").read_text())["components"][name][split]
            assert counts == {
                "documents": len(texts),
                "tokens": len(ids),
                "bytes": sum(len(t.encode()) for t in texts),
            }


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    """Tokenizer, payloads, rows and plan, down to the fingerprint."""
    one, two = (
        open_tokens(write_export(tmp_path / name, two_languages(30)), vocab_size=VOCABULARY) for name in "ab"
    )
    assert one.fingerprint == two.fingerprint
    assert one.tokenizer_file.read_bytes() == two.tokenizer_file.read_bytes()


def test_special_tokens_in_a_text_are_text(tmp_path: Path, tokenizer_file: Path) -> None:
    """A document that speaks of <|endoftext|> does not end there."""
    text = "it ends with <|endoftext|> and [MASK] then"
    export = write_export(tmp_path / "export", {"a": Part([text, *prose(1, 50)])}, tokens=500)
    rows = build_tokens(export, tokenizer_file)
    ids = payload(rows, "train.a")
    end = load_tokenizer(tokenizer_file).token_to_id("<|endoftext|>")
    assert (ids == end).sum() == 51


def test_truncation_in_a_tokenizer_file_is_not_followed(tmp_path: Path, tokenizer_file: Path) -> None:
    """Files saved by fine-tuning scripts often carry one; it would cut every document."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "cutting.json"))
    export = write_export(tmp_path / "export", {"a": Part(prose(1, 30, least=40))}, tokens=500)
    whole = payload(build_tokens(export, tokenizer_file), "train.a")
    assert (payload(build_tokens(export, tmp_path / "cutting.json"), "train.a") == whole).all()


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path, tokenizer_file: Path) -> None:
    """Ids beyond 65,500 are kept whole, also where they are not consecutive."""
    vocabulary = {f"w{n}": n for n in range(65_600)} | {"the": 70_000, "<|endoftext|>": 65_600}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "large.json"))
    export = write_export(tmp_path / "export", {"a": Part(["the w65599 the"] * 40)}, tokens=128, seq_len=8)
    rows = build_tokens(export, tmp_path / "large.json")
    assert payload(rows, "train.a").dtype == np.uint32
    assert payload(rows, "train.a")[:4].tolist() == [70_000, 65_599, 70_000, 65_600]


def test_rows_of_another_length_share_the_payload(tmp_path: Path, tokenizer_file: Path) -> None:
    """Tokenized once; a second length only packs."""
    export = write_export(tmp_path / "export", two_languages(40))
    first = build_tokens(export, tokenizer_file)
    (first.parent / "train.english.bin").touch()
    stamp = (first.parent / "train.english.bin").stat().st_mtime_ns
    second = build_tokens(export, tokenizer_file, 32)
    assert (first.name, second.name, first.parent) == ("rows-64", "rows-32", second.parent)
    assert (second.parent / "train.english.bin").stat().st_mtime_ns == stamp


def test_the_budget_is_of_real_tokens_in_the_asked_shares(tmp_path: Path) -> None:
    """Rows of the plan together hold the budget within a row, and each component its share."""
    rows = open_tokens(write_export(tmp_path / "export", two_languages(200)), vocab_size=VOCABULARY)
    tokens = rows.tokens(np.arange(len(rows)))
    component = rows.places(np.arange(len(rows))).component
    assert abs(tokens.sum() - 20_000) <= 2 * rows.seq_len
    for number, share in enumerate((0.75, 0.25)):
        assert tokens[component == number].sum() / tokens.sum() == pytest.approx(share, abs=0.005)
    assert rows.limited_by is None


def test_a_budget_without_a_tokenizer_gives_way_to_the_caps(tmp_path: Path) -> None:
    """It was an estimate in characters: shares stay, rows are fewer, and no component passes its cap."""
    parts = {"a": Part(prose(1, 40), share=0.5, max_epochs=1.0), "b": Part(prose(2, 400), share=0.5)}
    rows = open_tokens(write_export(tmp_path / "export", parts, tokens=1_000_000), vocab_size=VOCABULARY)
    places = rows.places(np.arange(len(rows)))
    assert rows.limited_by == "a"
    assert (places.component == 0).sum() == rows.plan.components[0].rows
    assert places.epoch[places.component == 0].max() == 0


def test_a_budget_with_a_tokenizer_is_held_to_the_caps(tmp_path: Path, tokenizer_file: Path) -> None:
    """The error names the component, what it needs, has, and the fix; nothing half done is left."""
    parts = {
        "small": Part(prose(1, 10), share=0.5, max_epochs=2.0),
        "large": Part(prose(2, 400), share=0.5),
    }
    export = write_export(tmp_path / "export", parts, tokens=20_000, tokenizer=tokenizer_file)
    with pytest.raises(
        UsageError,
        match=r"component 'small' needs 10,000 tokens \(50.0 % of 20,000\) and has [\d,]+, which may be seen 2 times: lower "
        r"`tokens:` or its weight, widen its query, or raise its max_epochs to \d+\.\d",
    ):
        build_tokens(export, tokenizer_file)
    assert list((export / "tokens").iterdir()) == []


def test_a_component_without_training_documents_is_refused(tmp_path: Path) -> None:
    """Its share cannot be filled, whatever the caps."""
    parts = {"a": Part(prose(1, 40), share=0.5), "b": Part([], prose(2, 5), share=0.5)}
    with pytest.raises(UsageError, match=r"component 'b' needs 10,000 tokens .* and has 0"):
        open_tokens(write_export(tmp_path / "export", parts), vocab_size=VOCABULARY)


def test_a_budget_of_less_than_a_row_is_refused(tmp_path: Path) -> None:
    """It would train on nothing."""
    export = write_export(tmp_path / "export", {"a": Part(prose(1, 40))}, tokens=10)
    with pytest.raises(UsageError, match="10 tokens is less than one row"):
        open_tokens(export, vocab_size=VOCABULARY)


def test_another_tokenizer_than_the_exports_is_refused(tmp_path: Path, tokenizer_file: Path) -> None:
    """Both hashes are named."""
    export = write_export(tmp_path / "export", two_languages(40), tokenizer=tokenizer_file)
    other = train_tokenizer(write_export(tmp_path / "other", two_languages(30)), 300)
    names = [hashlib.sha256(f.read_bytes()).hexdigest()[:12] for f in (tokenizer_file, other)]
    with pytest.raises(UsageError, match=rf"tokenizer.json with sha256 {names[0]}, and .* has {names[1]}"):
        build_tokens(export, other)
    with pytest.raises(UsageError, match="a vocabulary of 500 cannot be trained"):
        open_tokens(export, vocab_size=500)
    assert open_tokens(export).vocab_size == VOCABULARY


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    """The error names the file and the tokens that would do."""
    Tokenizer(models.WordLevel({"the": 0}, unk_token="the")).save(str(tmp_path / "endless.json"))
    export = write_export(tmp_path / "export", two_languages(10))
    with pytest.raises(UsageError, match=r"endless.json has no token to end a document .* <\|endoftext\|>"):
        build_tokens(export, tmp_path / "endless.json")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    """Named, with what the library says."""
    (tmp_path / "x.json").write_text("{}")
    export = write_export(tmp_path / "export", two_languages(10))
    with pytest.raises(UsageError, match=r"x.json is no file of the tokenizers library"):
        build_tokens(export, tmp_path / "x.json")


def test_a_vocabulary_too_small_for_bytes_is_refused(tmp_path: Path) -> None:
    """256 bytes and the special tokens."""
    with pytest.raises(UsageError, match=r"vocabulary of 100 is too small; .* are 262"):
        train_tokenizer(write_export(tmp_path / "export", two_languages(10)), 100)


def test_a_changed_file_is_noticed(tmp_path: Path, tokenizer_file: Path) -> None:
    """An export is never changed: its hashes are checked as its texts are read."""
    export = write_export(tmp_path / "export", two_languages(20), format="jsonl")
    path = export / "data" / "german" / "train-00000.jsonl"
    path.write_text(path.read_text().replace("und", "oder"))
    with pytest.raises(CuratorError, match=r"german/train-00000.jsonl is not what was exported"):
        build_tokens(export, tokenizer_file)
    assert list((export / "tokens").iterdir()) == []


def test_a_cut_payload_is_noticed(tmp_path: Path) -> None:
    """Opening compares sizes; a mapped file that is short would fail in the middle of a run."""
    rows = open_tokens(write_export(tmp_path / "export", two_languages(20)), vocab_size=VOCABULARY)
    path = rows.folder.parent / "train.german.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(CuratorError, match=r"train.german.bin has [\d,]+ bytes, not the [\d,]+"):
        curator.open_tokens(tmp_path / "export", vocab_size=VOCABULARY)


def test_a_folder_that_is_no_export(tmp_path: Path) -> None:
    """Says what makes one."""
    with pytest.raises(
        UsageError, match=r"is no export: it has no manifest.json; `curator export` writes one"
    ):
        curator.open_tokens(tmp_path)


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payloads are written under a temporary name; the error says so."""
    export = write_export(tmp_path / "export", two_languages(20))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("curator.tokens.write_rows", full)
    with pytest.raises(CuratorError, match="No space left on device; nothing was left half done"):
        build_tokens(export, tokenizer_file)
    assert list((export / "tokens").iterdir()) == []


def test_what_a_killed_build_left_is_swept(tmp_path: Path, tokenizer_file: Path) -> None:
    """The next build removes it."""
    export = write_export(tmp_path / "export", two_languages(20))
    (export / "tokens" / ".tmp-dead").mkdir(parents=True)
    build_tokens(export, tokenizer_file)
    assert not (export / "tokens" / ".tmp-dead").exists()


def test_without_the_tokenizers_package(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named."""
    export = write_export(tmp_path / "export", two_languages(10))
    imported = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    for act in (lambda: train_tokenizer(export), lambda: load_tokenizer(tokenizer_file)):
        with pytest.raises(UsageError, match=r"pip install 'corpus-curator\[train\]'"):
            act()
