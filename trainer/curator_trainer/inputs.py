"""From rows to what a model takes, so that it keeps documents apart; and the check that it does.

Causal models of transformers read document boundaries from positions, where they get no attention_mask and no cache.
Others take the 4D bool mask; of those, models with windows (ModernBERT) need one for each kind of layer, since a 4D
mask replaces the window, and RoBERTa's family counts positions from padding_idx + 1. An architecture that does
something else would see other documents in silence, so every training begins with a check. Cost: two forward passes
over a row.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import PreTrainedModel

Tensors = dict[str, torch.Tensor]
#: of logits in fp32, in their standard deviations: rounding is 1e-6, a document that is seen 4e-3 in the smallest models
MOST_DIFFERENCE = 1e-3


class Inputs:
    """What `model` takes of rows: called with columns of a batch, without labels."""

    def __init__(self, model: PreTrainedModel) -> None:
        parameters = inspect.signature(model.forward).parameters
        self.positions, self.cache = "position_ids" in parameters, "use_cache" in parameters
        self.offset = position_offset(model)
        layers = getattr(model.config, "layer_types", None) or ()
        self.window = model.config.sliding_window if "sliding_attention" in layers else None

    def __call__(self, columns: Tensors) -> dict[str, Any]:
        """Keyword arguments of the model's forward."""
        given: dict[str, Any] = dict(columns)
        position, mask = given["position_ids"], given.get("attention_mask")
        if not self.positions:
            del given["position_ids"]
        elif self.offset:
            given["position_ids"] = position + self.offset
        if mask is None and self.cache:
            given["use_cache"] = False  # with a cache, boundaries are not read from positions
        if mask is not None and self.window is not None:
            near = (position[:, None, :, None] - position[:, None, None, :]).abs() <= self.window
            given["attention_mask"] = {"full_attention": mask, "sliding_attention": mask & near}
        return given


def position_offset(model: PreTrainedModel) -> int:
    """What a model adds to positions counted from 0 when it counts them itself."""
    for module in model.modules():
        if hasattr(module, "create_position_ids_from_input_ids"):
            return int(module.padding_idx) + 1  # type: ignore[arg-type]  # RobertaEmbeddings and its kin
    return 0


@torch.no_grad()
def check_documents_apart(model: PreTrainedModel, seq_len: int, end_id: int, *, masked: bool) -> float:
    """The largest difference of logits between two documents packed in one row and each alone, over their spread.

    The documents fill the row, so that windows are seen. Raises UsageError where it is above MOST_DIFFERENCE, or the
    model does not take what it is given.
    """
    from curator import UsageError

    name = model.config.model_type
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(int(model.config.vocab_size), (1, seq_len), generator=generator)
    ids[ids == model.config.pad_token_id] = end_id  # some count positions by what is no padding
    cut = max(2, seq_len // 3)
    position = torch.cat([torch.arange(cut), torch.arange(seq_len - cut)])[None]
    columns = {"input_ids": ids, "position_ids": position}
    if masked:
        first = torch.arange(seq_len) < cut
        columns["attention_mask"] = (first[:, None] == first[None, :])[None, None]
    was_training, device = model.training, model.device
    model.train(False)
    try:
        packed = model(**Inputs(model)({k: v.to(device) for k, v in columns.items()})).logits[0]
        alone = [model(input_ids=part.to(device)).logits[0] for part in (ids[:, :cut], ids[:, cut:])]
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UsageError(
            f"model {name!r} does not take the rows of an export ({type(error).__name__}: {error}); "
            f"{'gpt, llama and qwen3' if not masked else 'bert, roberta and modernbert'} do"
        ) from error
    finally:
        model.train(was_training)
    apart = torch.cat(alone)
    difference = float((packed - apart).abs().max() / apart.std())
    if not difference <= MOST_DIFFERENCE:
        raise UsageError(
            f"model {name!r} does not keep the documents of a row apart: logits of a packed document differ by "
            f"{difference:.2g} of their spread from those of the document alone, {MOST_DIFFERENCE} is allowed. Take an architecture that "
            f"reads {'a 4D attention mask (bert, roberta, modernbert)' if masked else 'boundaries from positions (gpt, llama, qwen3)'}"
        )
    return difference
