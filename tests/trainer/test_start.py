"""Going on from a checkpoint: its head, its tokenizer and its limits, and that what it forgets is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, normalizers
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForSequenceClassification

from curator.errors import UsageError
from curator_trainer.starting import fingerprint
from curator_trainer.train import Trained, train
from tests.trainer.exports import Part, prose, two_languages, write_export

TINY = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2}


def run(export: Path, out: Path, **options: Any) -> Trained:
    """A short training."""
    result = train(export, out, **{"steps": 12, "batch_tokens": 512, "device": "cpu", **options})
    assert result is not None
    return result


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of English and German, and beside it an export of German for its tokenizer."""
    folder = tmp_path_factory.mktemp("start")
    export = write_export(folder / "export", two_languages(100))
    run(export, folder / "model", vocab_size=400, config=TINY, steps=30)
    german = {
        "german": two_languages(200)["german"],
        "english": Part(prose(1, 20), prose(2, 10), share=0.0),
    }
    german["german"].share = 1.0
    write_export(folder / "german", german, tokens=10_000, tokenizer=folder / "model" / "tokenizer.json")
    return folder


def test_it_goes_on_from_its_weights(english: Path, tmp_path: Path) -> None:
    """The first loss is a trained model's, the rate a tenth, and run.json says where it began."""
    result = run(english / "german", tmp_path / "more", start=english / "model")
    earlier = json.loads((english / "model" / "run.json").read_text())
    assert result.loss_start < earlier["result"]["loss_start"] - 0.5
    written = json.loads((tmp_path / "more" / "run.json").read_text())
    assert written["from"] == str(english / "model")
    assert written["export"] == str(english / "german")
    assert written["model"] == "gpt2"
    assert written["arguments"]["learning_rate"] == pytest.approx(3e-4)
    known = earlier["result"]["components"]["german"]["bits_per_byte_end"]  # on other documents of that kind
    start, end = result.components["german"].bits_per_byte_start, result.components["german"].bits_per_byte_end
    assert start == pytest.approx(known, rel=0.1)
    assert end is not None
    assert end < start
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "more")
    assert fingerprint(tokenizer.backend_tokenizer) == fingerprint(
        Tokenizer.from_file(str(english / "model" / "tokenizer.json"))
    )
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "more").num_parameters() == result.parameters


class Stop(Exception):
    """A kill."""


def test_resuming_keeps_where_it_began(english: Path, tmp_path: Path) -> None:
    """Figures of the start come from the run, not from the resumed weights; another beginning is refused."""

    def kill(progress: Any) -> None:
        if progress.step == 7:
            raise Stop

    out, german = tmp_path / "more", english / "german"
    with pytest.raises(Stop):
        run(german, out, start=english / "model", tell=kill)
    before = json.loads((out / "run.json").read_text())["bits_per_byte_start"]
    other = shutil.copytree(english / "model", tmp_path / "other")
    model = AutoModelForCausalLM.from_pretrained(other)
    torch.nn.init.zeros_(model.transformer.ln_f.bias.data)
    model.save_pretrained(other)
    for start in (other, None):
        with pytest.raises(UsageError, match=r"holds a run with (began_from '|model 'gpt2', not 'gpt')"):
            run(german, out, start=start)
    moved = shutil.copytree(english / "model", tmp_path / "moved")
    result = run(german, out, start=moved)
    assert {n: c.bits_per_byte_start for n, c in result.components.items()} == before
    assert result.steps == 12


def test_tokenizers_are_compared_by_what_decides_ids(english: Path, tmp_path: Path) -> None:
    """A file that was written anew is the same; a normalizer more is another, and the fix is named."""
    file = english / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    assert fingerprint(tokenizer) == fingerprint(Tokenizer.from_str(tokenizer.to_str(pretty=True)))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "lower.json"))
    export = write_export(tmp_path / "export", two_languages(30), tokens=3000, tokenizer=tmp_path / "lower.json")
    with pytest.raises(UsageError, match=r"has fingerprint \w{12}, and that of the export, .* \w{12}: .*tokenizer: ") as e:
        run(export, tmp_path / "out", start=english / "model", steps=2)
    assert str(file) in str(e.value)
    assert not (tmp_path / "out").exists()


def test_mistakes(english: Path, tmp_path: Path) -> None:
    """Each is found before any work, and says what to do."""
    classifier = BertForSequenceClassification(
        BertConfig(num_hidden_layers=1, hidden_size=32, num_attention_heads=2, intermediate_size=32, vocab_size=9)
    )
    classifier.save_pretrained(tmp_path / "classifier")
    (tmp_path / "empty").mkdir()
    small = shutil.copytree(english / "model", tmp_path / "small")
    model = AutoModelForCausalLM.from_pretrained(small)
    model.resize_token_embeddings(300)
    model.save_pretrained(small)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"start": tmp_path / "empty"}, r"empty: no checkpoint of transformers, which has config.json"),
        ({"start": tmp_path / "classifier"}, "its head is BertForSequenceClassification; one for causal or masked"),
        ({"start": english / "model", "objective": "masked"}, "its head is GPT2LMHeadModel, which is causal"),
        ({"start": english / "model", "model": "gpt"}, "model 'gpt' and --from .* exclude each other"),
        ({"start": english / "model", "seq_len": 128}, "rows are of 128 tokens and --from .* has 64 positions"),
        ({"start": small}, "ids go up to 399 and --from .* has a vocabulary of 300"),
    ]
    for options, message in cases:
        with pytest.raises(UsageError, match=message):
            run(english / "german", tmp_path / "out", steps=2, **options)
    assert not (tmp_path / "out").exists()
