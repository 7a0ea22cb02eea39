"""Go on from a checkpoint of transformers: its weights, its head, and that its tokenizer gives the export's ids.

Tokenizer files are compared by what decides ids: normalizer, pre-tokenizer, model, and added tokens that are not
special, as the tokenizers library writes them; saving a tokenizer rewrites its file, so bytes would differ. The special
tokens that an export uses, its end and its mask, are compared one by one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from curator_trainer.inputs import position_offset
from curator_trainer.models import attention

if TYPE_CHECKING:
    from curator.rows import TokenRows
    from curator_trainer.data import Objective

_DECIDES_IDS = ("normalizer", "pre_tokenizer", "model")


class Start:
    """A checkpoint folder to go on from. Raises UsageError for what transformers does not load as one."""

    def __init__(self, folder: str | Path) -> None:
        from curator import UsageError

        self.folder = Path(folder).absolute()
        weights = [p for kind in ("*.safetensors", "pytorch_model*.bin") for p in self.folder.glob(kind)]
        if not (self.folder / "config.json").is_file() or not weights:
            raise UsageError(
                f"--from {folder}: no checkpoint of transformers, which has config.json and model.safetensors; "
                "name the folder that save_pretrained wrote"
            )
        try:
            self.config: PretrainedConfig = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (ValueError, OSError, KeyError) as error:
            raise UsageError(
                f"--from {folder}: config.json is of no model of transformers: {error}"
            ) from error
        self._weights = sorted(weights)

    @property
    def digest(self) -> str:
        """sha256 of configuration and weights."""
        digest = hashlib.sha256()
        for path in (self.folder / "config.json", *self._weights):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def objective(self, asked: str | None) -> Objective:
        """That of the checkpoint's head. Raises UsageError where `asked` is the other, or it has neither."""
        from curator import UsageError

        heads = set(self.config.architectures or ())
        found: list[Objective] = []
        if heads & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
            found.append("causal")
        if heads & set(MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()):
            found.append("masked")
        if not found:
            raise UsageError(
                f"--from {self.folder}: its head is {', '.join(sorted(heads)) or 'not named in config.json'}; "
                "one for causal or masked language modelling is needed"
            )
        if asked is not None and asked not in found:
            raise UsageError(
                f"--from {self.folder}: its head is {', '.join(sorted(heads))}, which is {found[0]}; "
                f"leave objective {asked!r} out"
            )
        return found[0]

    def tokenizer(self, rows: TokenRows) -> PreTrainedTokenizerFast:
        """The checkpoint's tokenizer. Raises UsageError where it gives other ids than the export's."""
        from curator import UsageError

        own = self.folder / "tokenizer.json"
        try:
            loaded: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            theirs = loaded.backend_tokenizer
        except Exception as error:  # it raises whatever the files of the folder make it
            raise UsageError(f"--from {self.folder}: its tokenizer does not load: {error}") from error
        ours = _load(rows.tokenizer_file)
        one, two = fingerprint(theirs), fingerprint(ours)
        fix = f"set `tokenizer: {own}` in the mixture and export again"
        if one != two:
            raise UsageError(
                f"the tokenizer of --from, {own}, has fingerprint {one[:12]}, and that of the export, "
                f"{rows.tokenizer_file}, {two[:12]}: their ids mean other tokens; {fix}"
            )
        for token in (rows.end, "[MASK]", "<mask>"):
            expected = ours.token_to_id(token)
            if expected is not None and theirs.token_to_id(token) not in (
                (expected,) if token == rows.end else (expected, None)
            ):
                raise UsageError(
                    f"{token} is {theirs.token_to_id(token)} in the tokenizer of --from, {own}, and {expected} in the "
                    f"export's, {rows.tokenizer_file}; {fix}"
                )
        return loaded  # type: ignore[no-any-return]

    def model(self, objective: Objective, rows: TokenRows) -> PreTrainedModel:
        """The model, in fp32. Raises UsageError where rows are longer than its positions, or have more ids than it."""
        from curator import UsageError

        if rows.vocab_size > self.config.vocab_size:
            raise UsageError(
                f"the export's ids go up to {rows.vocab_size - 1:,} and --from {self.folder} has a vocabulary of "
                f"{self.config.vocab_size:,}; export with the model's tokenizer"
            )
        auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
        model: PreTrainedModel = auto.from_pretrained(
            self.folder,
            dtype=torch.float32,
            attn_implementation=attention(self.config, objective),
            local_files_only=True,
        )
        positions = getattr(self.config, "max_position_embeddings", None)
        if positions is not None and rows.seq_len > positions - position_offset(model):
            raise UsageError(
                f"rows are of {rows.seq_len:,} tokens and --from {self.folder} has "
                f"{positions - position_offset(model):,} positions; give --seq-len of at most that"
            )
        return model


def fingerprint(tokenizer: Any) -> str:
    """sha256 of what decides the ids of a text without special tokens; `tokenizer` is of the tokenizers library."""
    described = json.loads(tokenizer.to_str())
    added = [
        [t["id"], t["content"], t["lstrip"], t["rstrip"], t["single_word"], t["normalized"]]
        for t in described["added_tokens"]
        if not t["special"]
    ]
    decides = [described[name] for name in _DECIDES_IDS]
    return hashlib.sha256(json.dumps([decides, added], sort_keys=True).encode()).hexdigest()


def _load(path: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
