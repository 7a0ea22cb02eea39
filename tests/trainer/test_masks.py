"""Whole-word masks: all tokens of a word or none, for each kind of vocabulary, by the row alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from curator.errors import UsageError
from curator_trainer import MixtureDataset
from curator_trainer.data import stack
from curator_trainer.masking import word_starts
from tests.trainer.exports import Part, prose, write_export

VOCABULARY = 300


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte-level tokens, several a word."""
    part = Part(prose(1, 80, most=50))
    return write_export(tmp_path_factory.mktemp("masks") / "export", {"a": part}, tokens=6000)


def test_words_are_masked_whole(export: Path) -> None:
    """Against words found token by token; the share of tokens stays, and each token is replaced by itself."""
    whole = MixtureDataset(export, objective="masked", whole_word=True, vocab_size=VOCABULARY)
    plain = MixtureDataset(export, objective="masked", vocab_size=VOCABULARY)
    tokenizer = Tokenizer.from_file(str(whole.rows.tokenizer_file))
    numbers = np.arange(60)
    batch, rows, singly = (
        whole.rows.read(numbers), stack(whole.__getitems__(range(60))), stack(plain.__getitems__(range(60)))
    )  # fmt: skip
    upper = whole.rows.draws(0, numbers) >> np.uint64(32)
    asked = (rows["labels"] != -100).numpy()
    several = 0
    for row in range(60):
        first = 0
        for column, number in enumerate(batch.ids[row].tolist()):
            token = tokenizer.id_to_token(number)
            end = number == whole.rows.end_id or batch.document[row, column] < 0
            if token.startswith("Ġ") or batch.position[row, column] == 0 or end:
                first = column
            several += first != column
            expected = not end and upper[row, first] < np.uint64(0.3 * 2**32)
            assert asked[row, column] == expected
    assert several > 500
    text = (batch.document >= 0) & (batch.ids != whole.rows.end_id)
    assert asked.sum() / text.sum() == pytest.approx(0.3, abs=0.03)
    both = (singly["labels"] != -100) & (rows["labels"] != -100)
    assert both.sum() > 100
    assert torch.equal(rows["input_ids"][both], singly["input_ids"][both])
    assert torch.equal(stack([whole[7], whole[3]])["input_ids"], rows["input_ids"][[7, 3]])


def test_what_begins_a_word(tmp_path: Path) -> None:
    """Marks of byte-level, WordPiece and sentencepiece vocabularies; without marks every token does."""
    words = ["under", "stand", "##stand", "▁under", "Ġunder", "[MASK]", "</s>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    kinds = {
        "wordpiece": (Tokenizer(models.WordPiece(vocabulary, unk_token="under")), None),
        "unigram": (Tokenizer(models.Unigram([(w, -1.0) for w in words], 0)), pre_tokenizers.Metaspace()),
        "bytes": (Tokenizer(models.WordLevel(vocabulary, "under")), pre_tokenizers.ByteLevel()),
        "words": (Tokenizer(models.WordLevel(vocabulary, "under")), pre_tokenizers.Whitespace()),
    }
    found = {}
    for name, (tokenizer, pre) in kinds.items():
        if pre is not None:
            tokenizer.pre_tokenizer = pre
        tokenizer.add_special_tokens(["[MASK]", "</s>"])
        tokenizer.save(str(tmp_path / f"{name}.json"))
        part = Part(["under stand"] * 200)
        export = write_export(tmp_path / name, {"a": part}, tokens=64, tokenizer=tmp_path / f"{name}.json")
        starts = word_starts(MixtureDataset(export).rows)
        found[name] = {word for word in words if starts[vocabulary[word]]}
    special = {"[MASK]", "</s>"}
    assert found == {
        "wordpiece": set(words) - {"##stand"},
        "unigram": {"▁under"} | special,
        "bytes": {"Ġunder"} | special,
        "words": set(words),
    }


def test_mistakes(export: Path) -> None:
    """A causal model has no masks."""
    with pytest.raises(UsageError, match="whole_word is how tokens are masked, and objective 'causal' masks none"):
        MixtureDataset(export, whole_word=True, vocab_size=VOCABULARY)
