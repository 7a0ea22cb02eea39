"""Architectures: which there are, their sizes, and that documents packed in a row are as if alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from curator.errors import UsageError
from curator_trainer.data import MixtureDataset, stack
from curator_trainer.inputs import Inputs, check_documents_apart
from curator_trainer.models import build, configure, objective_of, saved_tokenizer
from tests.trainer.exports import two_languages, write_export

VOCABULARY = 400
SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2}
SMALLER = {**SMALL, "intermediate_size": 64}
TINY: dict[str, dict[str, Any]] = {
    "gpt": SMALL,
    "llama": {**SMALLER, "num_key_value_heads": 1, "head_dim": 16},
    "bert": SMALLER,
    # the second layer has a window of 8 tokens either side, less than a document
    "modernbert": {**SMALLER, "local_attention": 16},
    "roberta": SMALLER,
}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64."""
    return write_export(tmp_path_factory.mktemp("models") / "export", two_languages(60), tokens=8000)


def made(dataset: MixtureDataset, kind: str, changes: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    tokenizer = saved_tokenizer(dataset.rows)
    config = configure(kind, dataset.objective, dataset.rows, tokenizer, cpu=True, changes=changes)
    return build(config, dataset.objective).train(False)


@pytest.mark.parametrize("kind", TINY)
def test_packed_documents_do_not_see_each_other(export: Path, kind: str) -> None:
    """Logits of a row's documents equal those of each alone to 1e-5, given to the model as transformers' users do."""
    dataset = MixtureDataset(export, objective=objective_of(kind, None), vocab_size=VOCABULARY)
    model = made(dataset, kind, TINY[kind])
    batch = stack(dataset.__getitems__(range(24)))
    labels = batch.pop("labels")
    assert ("attention_mask" in batch) == (kind not in ("gpt", "llama"))
    # end tokens are no document of their own, and RoBERTa takes none of them for padding
    assert model.config.pad_token_id != dataset.rows.end_id
    compared = 0
    with torch.no_grad():
        packed = model(**Inputs(model)(batch)).logits
        for row, starts in enumerate((batch["position_ids"] == 0).int()):
            edges = [*starts.nonzero().flatten().tolist(), labels.shape[1]]
            for start, stop in pairwise(edges):
                alone = model(batch["input_ids"][row : row + 1, start:stop]).logits[0]
                assert torch.allclose(packed[row, start:stop], alone, atol=1e-5)
                compared += 1
    assert compared > 30
    masked = dataset.objective == "masked"
    assert check_documents_apart(model, 64, dataset.rows.end_id, masked=masked) < 1e-5
    assert not model.training


def test_an_architecture_that_does_not_is_refused(export: Path) -> None:
    """OPT counts positions by its attention mask, so documents of a row are one to it; a wrong mask is seen too."""
    dataset = MixtureDataset(export, vocab_size=VOCABULARY)
    changes = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "word_embed_proj_dim": 32}
    model = made(dataset, "opt", {**changes, "ffn_dim": 64})
    with pytest.raises(UsageError, match=r"'opt' does not keep the documents of a row apart: .* differ by \d"):
        check_documents_apart(model, 64, dataset.rows.end_id, masked=False)
    masked = MixtureDataset(export, objective="masked", vocab_size=VOCABULARY)
    bert = made(masked, "bert", TINY["bert"])
    bert.config._attn_implementation = "eager"  # which adds a bool mask to the scores
    with pytest.raises(UsageError, match="'bert' does not keep"):
        check_documents_apart(bert, 64, dataset.rows.end_id, masked=True)


def test_objectives_come_from_the_heads() -> None:
    """Masked for encoders, causal for decoders; where there are both one may choose."""
    kinds = ("gpt", "llama", "qwen3", "bert", "roberta", "modernbert")
    assert [objective_of(kind, None) for kind in kinds] == ["causal"] * 3 + ["masked"] * 3
    assert objective_of("roberta", "causal") == "causal"
    for kind, asked, message in (
        ("lama", None, "model 'lama': there are gpt and bert, .* did you mean llama"),
        ("llama", "masked", "'llama' is not trained with objective 'masked'; transformers has it causal"),
        ("bert", "mlm", "objective 'mlm': there are causal and masked"),
    ):
        with pytest.raises(UsageError, match=message):
            objective_of(kind, asked)


def test_sizes_come_from_the_ladder(export: Path) -> None:
    """The lowest rung on a CPU, in the proportions of the type, without dropout; positions are the row's."""
    rows = MixtureDataset(export, vocab_size=VOCABULARY).rows
    tokenizer = saved_tokenizer(rows)

    def config(kind: str, **changes: Any) -> Any:
        return configure(kind, objective_of(kind, None), rows, tokenizer, cpu=True, changes=changes)

    gpt, llama, mistral, roberta = (config(kind) for kind in ("gpt", "llama", "mistral", "roberta"))
    for one in (gpt, llama, mistral, roberta):
        assert (one.num_hidden_layers, one.hidden_size, one.num_attention_heads) == (4, 256, 4)
        assert one.vocab_size == rows.vocab_size
    assert (gpt.resid_pdrop, gpt.attn_pdrop, roberta.hidden_dropout_prob) == (0, 0, 0)
    assert (llama.intermediate_size, llama.head_dim, mistral.num_key_value_heads) == (688, 64, 1)
    assert (gpt.n_positions, llama.max_position_embeddings) == (64, 64)
    assert roberta.max_position_embeddings == 64 + roberta.pad_token_id + 1
    assert config("gpt", hidden_size=64).n_embd == config("gpt", n_embd=64).n_embd == 64
    with pytest.raises(UsageError, match=r"config 'num_layers': llama has no such .* did you mean num_hidden_layers"):
        config("llama", num_layers=2)
    with pytest.raises(UsageError, match="'deberta-v2' has no sdpa attention"):
        config("deberta-v2")
    with pytest.raises(UsageError, match="'bart' is an encoder and a decoder"):
        config("bart")
