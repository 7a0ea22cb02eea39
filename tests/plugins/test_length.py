"""length: what is counted, the limits, and what an absent or wrong tokenizer says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curator import UsageError
from curator.testing import HARD_TEXTS, check_contract, check_filter, check_row_wise, measure
from curator_plugins.filters.length import Length
from tests.conftest import Workshop, reasons


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer that makes words and marks, with a special token at the front."""
    tokenizers = pytest.importorskip("tokenizers", reason="pip install 'corpus-curator[train]'")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "[CLS]": 2}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 2)])
    made.enable_truncation(3)
    path = tmp_path_factory.mktemp("tokenizer") / "words.json"
    made.save(str(path))
    return str(path)


def test_characters_and_words() -> None:
    """Code points, and words of the tokenizer that is named; no tokens unless one is."""
    assert measure(Length, "Größe, 日本 x", "", " \n").rows() == [(11, 3, None), (0, 0, None), (2, 0, None)]
    assert measure(Length, "Größe, 日本 x", words="unicode").rows() == [(11, 4, None)]


def test_tokens(tokenizer: str) -> None:
    """Whole texts, without special tokens, though the file truncates and adds one."""
    texts = ["a b, c d", "", "[CLS] a"]
    assert measure(Length, *texts, tokenizer=tokenizer)["n_tokens"].to_list() == [5, 0, 4]
    assert set(Length(tokenizer=tokenizer).versions()) == {"words", "tokenizer"}
    check_row_wise(Length, *HARD_TEXTS, tokenizer=tokenizer)


def test_limits(tokenizer: str) -> None:
    """All are off until given; the limit itself passes."""
    check_filter(Length, keep=["", "word " * 100_000])
    check_filter(
        Length,
        keep=["abc", "abcd"],
        drop={"ab": "too_few_chars", "abcde": "too_many_chars"},
        min_chars=3,
        max_chars=4,
    )
    check_filter(
        Length, keep=["a b"], drop={"a": "too_few_words", "a b c": "too_many_words"}, min_words=2, max_words=2
    )
    drop = {"a": "too_few_tokens", "a, b": "too_many_tokens"}
    check_filter(Length, keep=["a b"], drop=drop, min_tokens=2, max_tokens=2, tokenizer=tokenizer)
    check_filter(Length, keep=["a"], min_tokens=2)  # not counted, so undefined


def test_the_contract_with_tokens(tokenizer: str) -> None:
    """A worker loads the tokenizer, too."""
    check_contract(Length, tokenizer=tokenizer)


def test_a_tokenizer_beside_the_recipe(workshop: Workshop, tokenizer: str) -> None:
    """Its path is relative to the recipe, its content in the fingerprint."""
    (workshop.folder / "words.json").write_bytes(Path(tokenizer).read_bytes())
    texts = [{"id": "short", "text": "a b"}, {"id": "long", "text": "a b c d"}]
    steps = [{"length": {"tokenizer": "words.json", "max_tokens": 3}}]
    corpus = workshop.curate(steps, texts)
    assert reasons(corpus) == {"short": None, "long": "length.too_many_tokens"}
    assert corpus.sql("SELECT n_tokens FROM signals.length ORDER BY 1").rows() == [(2,), (4,)]
    before = workshop.recipe(steps, [workshop.source("web", texts)]).steps[0].fingerprint
    changed = (
        Path(tokenizer).read_text(encoding="utf-8").replace('"a": 1', '"b": 1').replace('"a":1', '"b":1')
    )
    (workshop.folder / "words.json").write_text(changed, encoding="utf-8")
    assert workshop.recipe(steps, [workshop.source("web", texts)]).steps[0].fingerprint != before


def test_a_wrong_tokenizer(tmp_path: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said when the recipe is loaded: a file of something else, and a missing package."""
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match=r"x\.json is no file of the tokenizers library"):
        Length(tokenizer=str(tmp_path / "x.json")).versions()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        UsageError, match=r"tokenizers is not installed; pip install 'corpus-curator\[train\]'"
    ):
        Length(tokenizer=tokenizer).versions()
