"""Sentence embeddings: a folder with a model -> a function from a text to a vector.

Two kinds. A *transformer* as sentence-transformers stores it: `modules.json` names the modules, `Pooling` says
how the last hidden states become one vector (without `modules.json`: their mean). A *static* model as model2vec
or sentence-transformers' StaticEmbedding stores it: `tokenizer.json` and one matrix of token vectors, whose
mean is the text's vector: a hundred times as fast. Vectors are not normalised, their cosines are what counts.

Texts are embedded one by one, in one thread: a batch would need padding, and its shape would change last
digits, so that a vector would depend on which documents are read together. That costs nothing where texts
fill 256 tokens, and two thirds of the rate where they are single sentences. Rejected: the package
sentence-transformers, which brings scikit-learn along for what is a mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from curator import UsageError
from curator.hashing import file_hash

Vector = NDArray[np.float32]
#: float32[dimensions], or None for a text without tokens
Embed = Callable[[str], Vector | None]

#: how hidden states [tokens, dimensions] become one vector, by sentence-transformers' names
POOLINGS: dict[str, Callable[[Vector], Vector]] = {
    "cls": lambda states: states[0],
    "max": lambda states: states.max(axis=0),
    "mean": lambda states: states.mean(axis=0),
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(np.float32(len(states))),
    "weightedmean": lambda states: np.average(
        states, axis=0, weights=np.arange(1, len(states) + 1, dtype=np.float32)
    ),
    "lasttoken": lambda states: states[-1],
}
#: the names of older versions, which are true where the pooling is on
_OLDER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_MATRICES = ("embeddings", "embedding.weight")
_STATIC = {*_MATRICES, "weights", "mapping"}


def model_folder(name: str) -> Path:
    """The folder `name`, or that of the model which the installed package `name` ships.

    Raises UsageError where there is neither, or more than one model in the package.
    """
    if Path(name).is_dir():
        return Path(name)
    package = name.replace("-", "_")
    spec = find_spec(package) if package.isidentifier() else None
    roots = list(spec.submodule_search_locations or ()) if spec else []
    found = sorted(path.parent for root in roots for path in Path(root).rglob("tokenizer.json"))
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"the package {name!r} has several models; name the folder of one: {found[0]}, …")
    raise UsageError(
        f"{name!r} is neither a folder nor an installed package with a model; a model is a folder with "
        "tokenizer.json and model.safetensors, relative to the recipe"
    )


def model_hash(folder: Path) -> str:
    """Of the names and contents of the files that make the model."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".txt", ".model", ".safetensors"))
    parts = (f"{path.relative_to(folder).as_posix()} {file_hash(path)}\n" for path in files)
    return xxhash.xxh3_128_hexdigest("".join(parts).encode())


def load_model(folder: Path, max_tokens: int) -> Embed:
    """The model in `folder`, reading the first `max_tokens` tokens of a text, or what it can if that is less.

    Raises UsageError for a folder that holds no such model.
    """
    modules = model_modules(folder)
    if "StaticEmbedding" in modules:
        return _Static(modules["StaticEmbedding"], max_tokens)
    return _Transformer(modules["Transformer"], modules.get("Pooling"), max_tokens)


def model_modules(folder: Path) -> dict[str, Path]:
    """The modules of the model and their folders: a Transformer, perhaps with Pooling, or a StaticEmbedding.

    Raises UsageError for other modules, and where a package is missing that these need.
    """
    found = {m["type"].rpartition(".")[2]: folder / m["path"] for m in _json(folder / "modules.json", [])}
    unknown = set(found) - {"Transformer", "Pooling", "Normalize", "StaticEmbedding"}
    if unknown:
        raise UsageError(f"the model in {folder} has a module {min(unknown)}, which is not supported")
    _require("safetensors", "tokenizers")
    if not found:
        found["StaticEmbedding" if _is_static(folder) else "Transformer"] = folder
    if "StaticEmbedding" not in found:
        _require("torch", "transformers")
    return found


class _Static:
    """The mean of the tokens' vectors, as model2vec and sentence-transformers compute it."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            tensors = load_file(folder / "model.safetensors")
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both raise the bare class
            raise UsageError(f"there is no static model in {folder}: {error}") from None
        matrix = next(name for name in _MATRICES if name in tensors)
        self._vectors = tensors[matrix].astype(np.float32)
        self._weights, self._rows = tensors.get("weights"), tensors.get("mapping")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._tokenizer = tokenizer
        unknown = getattr(tokenizer.model, "unk_token", None)
        # model2vec leaves unknown tokens out, sentence-transformers does not
        self._ignored = tokenizer.token_to_id(unknown) if unknown and matrix == "embeddings" else None

    def __call__(self, text: str) -> Vector | None:
        ids = np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        ids = ids[ids != self._ignored]
        if not len(ids):
            return None
        vectors = self._vectors[ids if self._rows is None else self._rows[ids]]
        if self._weights is not None:
            vectors = vectors * self._weights[ids, None]
        mean: Vector = vectors.mean(axis=0, dtype=np.float32)
        return mean


class _Transformer:
    """The pooled hidden states of transformers' AutoModel, in float32."""

    def __init__(self, folder: Path, pooling: Path | None, max_tokens: int) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading weights
        config = _json(pooling / "config.json", {}) if pooling else {}
        modes = (
            config.get("pooling_mode") or [new for old, new in _OLDER.items() if config.get(old)] or "mean"
        )
        self._modes = [modes] if isinstance(modes, str) else list(modes)
        unknown = set(self._modes) - set(POOLINGS)
        if unknown or config.get("include_prompt") is False:
            raise UsageError(f"the model in {folder} has a pooling that is not supported: {config}")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype="float32"
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UsageError(f"there is no model that transformers loads in {folder}: {error}") from None
        if model.config.is_encoder_decoder:
            raise UsageError(f"the model in {folder} is an encoder and decoder, which is not supported")
        self._model: Any = model.eval()
        settings = _json(folder / "sentence_bert_config.json", {})
        prompts = _json(folder / "config_sentence_transformers.json", {})
        self._prompt = (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name"), "")
        self._lower = bool(settings.get("do_lower_case"))
        limits = (
            settings.get("max_seq_length"),
            self._tokenizer.model_max_length,
            getattr(model.config, "max_position_embeddings", None),
        )
        self._max_tokens = min(max_tokens, *(limit for limit in limits if limit))

    def __call__(self, text: str) -> Vector | None:
        import torch

        text = self._prompt + (text.lower() if self._lower else text)
        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self._max_tokens,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        if encoded.pop("special_tokens_mask").all():
            return None
        with torch.inference_mode(), _one_thread():
            states = self._model(**encoded).last_hidden_state[0].numpy()
        return np.concatenate([POOLINGS[mode](states) for mode in self._modes])


@contextmanager
def _one_thread() -> Iterator[None]:
    """How many threads share a sum changes its last digits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _require(*packages: str) -> None:
    for name in packages:
        if find_spec(name) is None:
            raise UsageError(f"{name} is not installed: pip install 'corpus-curator[semantic]'")


def _is_static(folder: Path) -> bool:
    """Whether the weights are one matrix of token vectors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "model.safetensors", framework="numpy") as tensors:
            names = set(tensors.keys())
    except (OSError, SafetensorError):  # weights in parts, or none; transformers says what is wrong
        return False
    return bool(names & set(_MATRICES)) and names <= _STATIC


def _json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
