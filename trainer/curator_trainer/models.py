"""Small GPT-2 and BERT models from transformers' own configurations, and the tokenizer that is saved with them.

Sizes climb a ladder: the largest with twenty tokens of budget a parameter (Hoffmann et al. 2022), and on a CPU the
lowest rung, since two minutes there are a million tokens. Without dropout: data is seen a few times at most, and
the losses of one process and of several are then equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

if TYPE_CHECKING:
    from curator.rows import TokenRows

Kind = Literal["gpt", "bert"]
KINDS = ("gpt", "bert")
#: layers, width; heads are of 64
LADDER = ((4, 256), (6, 384), (8, 512), (12, 768), (24, 1024))
TOKENS_A_PARAMETER = 20


def configure(
    kind: Kind, rows: TokenRows, tokenizer: PreTrainedTokenizerFast, *, cpu: bool, changes: Mapping[str, Any]
) -> PretrainedConfig:
    """The configuration of a model for these rows, with `changes`. Raises UsageError for a name it does not have."""
    budget = len(rows) * rows.seq_len
    fitting = [r for r in LADDER if 12 * r[0] * r[1] ** 2 * TOKENS_A_PARAMETER <= budget and not cpu]
    layers, width = max(fitting, default=LADDER[0])
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    values: dict[str, Any]
    if kind == "gpt":
        values = {
            "vocab_size": rows.vocab_size, "n_positions": rows.seq_len, "n_embd": width, "n_layer": layers,
            "n_head": width // 64, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, **special,
        }  # fmt: skip
    else:
        values = {
            "vocab_size": rows.vocab_size, "max_position_embeddings": rows.seq_len, "hidden_size": width,
            "num_hidden_layers": layers, "num_attention_heads": width // 64, "intermediate_size": 4 * width,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **special,
        }  # fmt: skip
    name = {"gpt": "gpt2", "bert": "bert"}[kind]
    known = AutoConfig.for_model(name).to_dict()
    for key in changes:
        if key not in known:
            from curator import UsageError

            raise UsageError(f"config {key!r}: {name} has no such setting; it has {', '.join(sorted(known))}")
    return AutoConfig.for_model(name, **{**values, **changes})


def build(kind: Kind, config: PretrainedConfig) -> PreTrainedModel:
    """A new model; its weights come from torch's seed."""
    # sdpa alone takes BERT's bool mask as it is meant; eager adds it to the scores, silently
    auto = AutoModelForCausalLM if kind == "gpt" else AutoModelForMaskedLM
    model: PreTrainedModel = auto.from_config(config, attn_implementation="sdpa")  # type: ignore[no-untyped-call]  # it has no types
    if kind == "gpt":
        model.loss_type = "ForCausalLM"  # what it falls back to, with a warning
    return model


def saved_tokenizer(rows: TokenRows) -> PreTrainedTokenizerFast:
    """The export's tokenizer as transformers saves and loads it."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # it has no types
        tokenizer_file=str(rows.tokenizer_file), model_max_length=rows.seq_len, **_special(rows)
    )


def _special(rows: TokenRows) -> dict[str, str]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(rows.tokenizer_file))
    names = {
        "pad_token": ("[PAD]", "<pad>"), "mask_token": ("[MASK]", "<mask>"), "unk_token": ("[UNK]", "<unk>"),
        "cls_token": ("[CLS]", "<s>"), "sep_token": ("[SEP]", "</s>"),
    }  # fmt: skip
    found = {
        name: token
        for name, tokens in names.items()
        for token in reversed(tokens)
        if tokenizer.token_to_id(token) is not None
    }
    return {"pad_token": rows.end, **found, "bos_token": rows.end, "eos_token": rows.end}


def micro_rows(rows_a_step: int, seq_len: int, vocab_size: int, *, cpu: bool) -> int:
    """How many of a step's rows go through the model at once, so that logits stay within memory; a divisor."""
    most = max(1, (1 << (27 if cpu else 30)) // (seq_len * vocab_size))  # 0.5 GiB of logits, or 4
    return next(n for n in range(min(rows_a_step, most), 0, -1) if rows_a_step % n == 0)


def plan_file(rows: TokenRows) -> Path:
    """The file that a checkpoint takes with it: which rows it has seen, and will see."""
    return rows.folder / "plan.json"
