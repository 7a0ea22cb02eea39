"""New models from transformers' own configurations, and the tokenizer that is saved with them.

`gpt` and `bert` are GPT-2 and BERT; any other kind is a `model_type` of transformers. Sizes climb a ladder: the largest
with twenty tokens of budget a parameter (Hoffmann et al. 2022), and on a CPU the lowest rung, since two minutes there
are a million tokens. The rest keeps the proportions of the type's default configuration. Without dropout: data is seen
a few times at most, and the losses of one process and of several are then equal.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from curator_trainer.inputs import position_offset

if TYPE_CHECKING:
    from curator.rows import TokenRows
    from curator_trainer.data import Objective

TYPES = {"gpt": "gpt2"}
#: layers, width; heads are of 64
LADDER = ((4, 256), (6, 384), (8, 512), (12, 768), (24, 1024))
HEAD = 64
TOKENS_A_PARAMETER = 20
_FEED_FORWARD = ("intermediate_size", "ffn_dim", "hidden_dim")
_DROPOUT = re.compile(r"drop(?!.*(class|summary))|pdrop")


def objective_of(kind: str, asked: str | None) -> Objective:
    """What a kind of model is trained for: `asked`, or the one head that it has; masked where it has both.

    Those with both are encoders (bert, roberta, electra). Raises UsageError for a kind that transformers does not have,
    or that has no such head.
    """
    from curator import UsageError

    heads: dict[Objective, Mapping[str, Any]] = {
        "masked": MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "causal": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    name = TYPES.get(kind, kind)
    there = [objective for objective, names in heads.items() if name in names]
    if not there:
        known = ["gpt", *MODEL_FOR_MASKED_LM_MAPPING_NAMES, *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]
        raise UsageError(
            f"model {kind!r}: there are gpt and bert, and the model types of transformers{_nearest(kind, known)}"
        )
    if asked is None:
        return there[0]
    for objective in there:
        if asked == objective:
            return objective
    if asked not in heads:
        raise UsageError(f"objective {asked!r}: there are causal and masked")
    raise UsageError(f"model {kind!r} is not trained with objective {asked!r}; transformers has it {there[0]}")


def configure(
    kind: str,
    objective: Objective,
    rows: TokenRows,
    tokenizer: PreTrainedTokenizerFast,
    *,
    cpu: bool,
    changes: Mapping[str, Any],
) -> PretrainedConfig:
    """The configuration of a new model for these rows, with `changes`. Raises UsageError for a name it does not have."""
    from curator import UsageError

    budget = len(rows) * rows.seq_len
    fitting = [r for r in LADDER if 12 * r[0] * r[1] ** 2 * TOKENS_A_PARAMETER <= budget and not cpu]
    name = TYPES.get(kind, kind)
    default = AutoConfig.for_model(name)
    if default.is_encoder_decoder:
        raise UsageError(f"model {kind!r} is an encoder and a decoder, which rows of one text do not train")
    values = _sizes(default, *max(fitting, default=LADDER[0]), rows)
    if objective == "causal" and name in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        values["is_decoder"] = True  # an encoder would see what it is to predict
    known, names = default.to_dict(), default.attribute_map
    values |= {f"{k}_token_id": getattr(tokenizer, f"{k}_token_id") for k in ("bos", "eos", "pad")}
    values |= {k: getattr(tokenizer, k) for k in ("cls_token_id", "sep_token_id", "mask_token_id") if k in known}
    for key in changes:
        if names.get(key, key) not in known:
            raise UsageError(
                f"config {key!r}: {name} has no such setting{_nearest(key, known)}; it has {', '.join(sorted(known))}"
            )
    changed = {names.get(key, key): value for key, value in changes.items()}
    try:
        config = AutoConfig.for_model(name, **{**values, **changed})
        if "max_position_embeddings" not in changes:
            with torch.device("meta"):
                offset = position_offset(_new(config, objective))
            if offset:
                config.max_position_embeddings = rows.seq_len + offset
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"config {dict(changes)} does not make a {name}: {error}") from error
    return config


def attention(config: PretrainedConfig, objective: Objective) -> str:
    """The implementation of attention. Raises UsageError for a masked model without sdpa.

    sdpa alone takes a bool mask as it is meant; eager adds it to the scores, silently.
    """
    from curator import UsageError

    mapping: Any = MODEL_FOR_CAUSAL_LM_MAPPING if objective == "causal" else MODEL_FOR_MASKED_LM_MAPPING
    if mapping[type(config)]._supports_sdpa:
        return "sdpa"
    if objective == "masked":
        raise UsageError(
            f"model {config.model_type!r} has no sdpa attention in transformers, so it cannot be given the mask that keeps "
            "documents apart; bert, roberta and modernbert have"
        )
    return "eager"


def build(config: PretrainedConfig, objective: Objective) -> PreTrainedModel:
    """A new model; its weights come from torch's seed."""
    return _new(config, objective)


def saved_tokenizer(rows: TokenRows) -> PreTrainedTokenizerFast:
    """The export's tokenizer as transformers saves and loads it."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # it has no types
        tokenizer_file=str(rows.tokenizer_file), model_max_length=rows.seq_len, **_special(rows)
    )


def micro_rows(rows_a_step: int, seq_len: int, vocab_size: int, *, cpu: bool) -> int:
    """How many of a step's rows go through the model at once, so that logits stay within memory; a divisor."""
    most = max(1, (1 << (27 if cpu else 30)) // (seq_len * vocab_size))  # 0.5 GiB of logits, or 4
    return next(n for n in range(min(rows_a_step, most), 0, -1) if rows_a_step % n == 0)


def plan_file(rows: TokenRows) -> Path:
    """The file that a checkpoint takes with it: which rows it has seen, and will see."""
    return rows.folder / "plan.json"


def _new(config: PretrainedConfig, objective: Objective) -> PreTrainedModel:
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    model: PreTrainedModel = auto.from_config(config, attn_implementation=attention(config, objective))  # type: ignore[no-untyped-call]  # it has no types
    return model


def _sizes(default: PretrainedConfig, layers: int, width: int, rows: TokenRows) -> dict[str, Any]:
    """The settings of a model of this size, under the names that its type has for them."""
    known, names = default.to_dict(), default.attribute_map
    was, heads = default.hidden_size, max(1, width // HEAD)
    values: dict[str, Any] = {
        "vocab_size": rows.vocab_size, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "max_position_embeddings": rows.seq_len,
    }  # fmt: skip
    values = {names.get(k, k): v for k, v in values.items()}
    values = {k: v for k, v in values.items() if k in known}  # rotary ones may have no positions, ALiBi has none
    for key, value in known.items():
        if key in values or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if _DROPOUT.search(key) and value > 0:
            values[key] = 0.0
        elif key in _FEED_FORWARD:
            values[key] = round(width * value / was / 16) * 16
        elif key == "num_key_value_heads":
            most = max(1, heads * value // default.num_attention_heads)
            values[key] = next(n for n in range(most, 0, -1) if heads % n == 0)
        elif key == "head_dim":
            values[key] = HEAD
        elif value == was and key.endswith(("_dim", "_size")):
            values[key] = width
    return values


def _nearest(word: str, known: Any) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


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
