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
from curator.tokenizer import describe, load_tokenizer, train
from curator.tokens import open_tokens
from tests.trainer.exports import Part, prose, two_languages, write_export

VOCABULARY = 400


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer, trained once."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    texts = [text for part in two_languages(40).values() for text in part.train]
    path.write_text(train(iter(texts), VOCABULARY), encoding="utf-8")
    return path


def payload(rows: Path, name: str) -> np.ndarray[Any, Any]:
    tokens = json.loads((rows.parent / "tokens.json").read_text())
    return np.fromfile(rows.parent / f"{name}.bin", dtype=tokens["dtype"])


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_payloads_hold_the_texts_in_order(tmp_path: Path, tokenizer_file: Path, format: str) -> None:
    """Each document, decoded, is its text, and is followed by the end token; held-out ones are apart."""
    parts = two_languages(30)
    export = write_export(tmp_path / "export", parts, tokens=4000, format=format, tokenizer=tokenizer_file)
    rows = open_tokens(export).folder
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
    parts = {"a": Part([text, *prose(1, 50)])}
    rows = open_tokens(write_export(tmp_path / "export", parts, tokens=500, tokenizer=tokenizer_file)).folder
    ids = payload(rows, "train.a")
    end = load_tokenizer(tokenizer_file).token_to_id("<|endoftext|>")
    assert (ids == end).sum() == 51


def test_truncation_in_a_tokenizer_file_is_not_followed(tmp_path: Path, tokenizer_file: Path) -> None:
    """Files saved by fine-tuning scripts often carry one; it would cut every document."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "cutting.json"))
    parts = {"a": Part(prose(1, 30, least=40))}
    whole, also = (
        payload(open_tokens(write_export(tmp_path / n, parts, tokens=500, tokenizer=file)).folder, "train.a")
        for n, file in (("one", tokenizer_file), ("two", tmp_path / "cutting.json"))
    )
    assert (also == whole).all()


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path, tokenizer_file: Path) -> None:
    """Ids beyond 65,500 are kept whole, also where they are not consecutive."""
    vocabulary = {f"w{n}": n for n in range(65_600)} | {"the": 70_000, "<|endoftext|>": 65_600}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "large.json"))
    parts = {"a": Part(["the w65599 the"] * 40)}
    made = write_export(tmp_path / "export", parts, tokens=128, seq_len=8, tokenizer=tmp_path / "large.json")
    rows = open_tokens(made).folder
    assert payload(rows, "train.a").dtype == np.uint32
    assert payload(rows, "train.a")[:4].tolist() == [70_000, 65_599, 70_000, 65_600]


def test_rows_of_another_length_share_the_payload(tmp_path: Path, tokenizer_file: Path) -> None:
    """They lie beside the export, which is never changed, and take no more disk than their places."""
    export = write_export(tmp_path / "export", two_languages(40), tokenizer=tokenizer_file)
    before = {p: p.read_bytes() for p in export.rglob("*") if p.is_file()}
    first, second = (open_tokens(export, seq_len=n).folder for n in (64, 32))
    assert first.is_relative_to(export)
    assert second.parents[1] == tmp_path / "export.tokens"
    assert (first.name, second.name, first.parent.name) == ("rows-64", "rows-32", second.parent.name)
    assert (second.parent / "train.english.bin").samefile(first.parent / "train.english.bin")
    assert {p: p.read_bytes() for p in export.rglob("*") if p.is_file()} == before


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
    with pytest.raises(
        UsageError,
        match=r"component 'small' needs 10,000 tokens \(50.0 % of 20,000\) and has [\d,]+, which may be seen 2 times: lower "
        r"`tokens:` or its weight, widen its query, or raise its max_epochs to \d+\.\d",
    ):
        write_export(tmp_path / "export", parts, tokens=20_000, tokenizer=tokenizer_file)


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


def test_a_vocabulary_cannot_be_trained_for_a_named_tokenizer(tmp_path: Path, tokenizer_file: Path) -> None:
    """The export has its tokens."""
    export = write_export(tmp_path / "export", two_languages(40), tokenizer=tokenizer_file)
    with pytest.raises(UsageError, match=r"for the tokenizer tokenizer.json, so a vocabulary of 500 cannot be trained"):
        open_tokens(export, vocab_size=500)
    assert open_tokens(export).vocab_size == VOCABULARY


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    """The error names the file and the tokens that would do."""
    Tokenizer(models.WordLevel({"the": 0}, unk_token="the")).save(str(tmp_path / "endless.json"))
    with pytest.raises(UsageError, match=r"endless.json has no token to end a document .* <\|endoftext\|>"):
        describe(tmp_path / "endless.json")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    """Named, with what the library says."""
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match=r"x.json is no file of the tokenizers library"):
        describe(tmp_path / "x.json")
    with pytest.raises(UsageError, match=r"there is no tokenizer .*none.json'"):
        describe(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty has no tokenizer: neither tokenizer.json nor vocab.json nor vocab.txt"):
        describe(tmp_path / "empty")


def test_vocabulary_files_are_tokenizers(tmp_path: Path) -> None:
    """GPT-2's two files and BERT's one, alone or in a checkpoint's folder, give what transformers gives."""
    from transformers import BertTokenizer, GPT2Tokenizer

    models_folder = Path(__file__).parents[2] / "shared" / "models"
    if not models_folder.is_dir():
        pytest.skip("the vocabularies of GPT-2 and BERT are not here")
    text = "Résumé of 2,000 cats'  tails\n\tand <|endoftext|> 汉字 naïve."
    gpt2, bert = models_folder / "gpt2-bpe", models_folder / "bert-base-uncased-vocab.txt"
    expected = GPT2Tokenizer(vocab=str(gpt2 / "vocab.json"), merges=str(gpt2 / "merges.txt"))
    theirs = expected(text.replace("<|endoftext|>", "x"), add_special_tokens=False)["input_ids"]
    for path in (gpt2, gpt2 / "vocab.json"):
        ours = load_tokenizer(path).encode(text.replace("<|endoftext|>", "x"), add_special_tokens=False).ids
        assert ours == theirs
        assert (describe(path).size, describe(path).end_token, describe(path).end_id) == (50257, "<|endoftext|>", 50256)
        assert 50256 not in load_tokenizer(path).encode(text).ids
    wordpieces = BertTokenizer(vocab=str(bert), do_lower_case=True)(text, add_special_tokens=False)["input_ids"]
    assert load_tokenizer(bert).encode(text, add_special_tokens=False).ids == wordpieces
    assert (describe(bert).end_token, describe(bert).end_id) == ("[SEP]", 102)


def test_a_tokenizer_is_trained() -> None:
    """Of the size that was asked for, with the special tokens first, and the same bytes each time."""
    texts = [text for part in two_languages(40).values() for text in part.train]
    one, two = (train(iter(texts), VOCABULARY) for _ in range(2))
    assert one == two
    made = Tokenizer.from_str(one)
    assert made.get_vocab_size() == VOCABULARY
    assert [made.id_to_token(n) for n in (0, 1, 2)] == ["<|endoftext|>", "[PAD]", "[MASK]"]
    assert made.decode(made.encode("the time of man").ids) == "the time of man"


def test_a_vocabulary_too_small_for_bytes_is_refused(tmp_path: Path) -> None:
    """256 bytes and the special tokens."""
    with pytest.raises(UsageError, match=r"vocabulary of 100 is too small; .* are 262"):
        open_tokens(write_export(tmp_path / "export", two_languages(10)), vocab_size=100)
    assert not (tmp_path / "export.tokens").exists()


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    """An export is never changed: its hashes are checked as its texts are read."""
    export = write_export(tmp_path / "export", two_languages(20), format="jsonl")
    path = export / "jsonl" / "german" / "train-00000.jsonl"
    path.write_text(path.read_text().replace("und", "oder"))
    with pytest.raises(CuratorError, match=r"german/train-00000.jsonl is not what was exported"):
        open_tokens(export, vocab_size=VOCABULARY)
    assert [p.name for p in (tmp_path / "export.tokens").iterdir()] == [f"trained-{VOCABULARY}.json"]


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
    """Rows are written under a temporary name; the error says so."""
    export = write_export(tmp_path / "export", two_languages(20), tokens=4000, tokenizer=tokenizer_file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("curator.tokens.write_rows", full)
    with pytest.raises(CuratorError, match=r"export.tokens cannot be written: .*No space left on device; nothing was left half"):
        open_tokens(export, seq_len=32)
    assert [p for p in (tmp_path / "export.tokens").rglob("*") if "rows" in p.name or "tmp" in p.name] == []


def test_what_a_killed_build_left_is_swept(tmp_path: Path, tokenizer_file: Path) -> None:
    """The next build removes it."""
    export = write_export(tmp_path / "export", two_languages(20), tokens=4000, tokenizer=tokenizer_file)
    (tmp_path / "export.tokens" / ".tmp-dead").mkdir(parents=True)
    open_tokens(export, seq_len=32)
    assert not (tmp_path / "export.tokens" / ".tmp-dead").exists()


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
    for act in (lambda: open_tokens(export), lambda: load_tokenizer(tokenizer_file)):
        with pytest.raises(UsageError, match=r"pip install 'corpus-curator\[train\]'"):
            act()
