"""The mixture file: what it may say, and that each mistake names its place and the fix."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer, models

from curator.errors import RecipeError
from curator.mixture_file import load, share_of

ONE = {"a": {"where": "true", "weight": 1}}
TOKENIZER = Tokenizer(models.WordLevel({"a": 0, "<|endoftext|>": 1}, unk_token="a")).to_str()
SHA = hashlib.sha256(TOKENIZER.encode()).hexdigest()


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """write(key=value, …) -> the path of a mixture file with these keys beside a budget and one component."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "tokenizer.json").write_text(TOKENIZER)
    (tmp_path / "empty").mkdir()
    (tmp_path / "vocab.txt").write_text("[UNK]\n[SEP]\n[CLS]\n[PAD]\n[MASK]\na")

    def write(**top: Any) -> Path:
        content = {"mixture": "m", "tokens": "10M", "components": ONE, **top}
        path = tmp_path / "mix.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
        return path

    return write


def test_everything_a_file_can_say(written: Any) -> None:
    """All keys together, and the JSON that goes into exports has them as they are written."""
    path = written(
        tokens=None, steps=1000, batch_tokens="512k", seq_len=2048, seed=3, tokenizer={"path": "checkpoint", "sha256": SHA},
        packing={"mode": "concat", "long_docs": "split", "document_mask": False}, weighting="explicit", temperature=0.3,
        max_epochs=5, on_short="shrink", overlap="first_wins",
        components={"web_hq": {"sql": "SELECT 1", "weight": 0}, "b-2": {"where": "true", "tokens": "1.5M"},
                    "c": {"where": "false", "epochs": 3, "max_epochs": 3}},
        stages=[{"from": 0}, {"from": "90%", "weights": {"web_hq": 0.8, "c": 0.2}}, {"from": "500M"}],
        holdout={"per_component": "0.5%", "sql": "SELECT 2"}, proxy={"simulate_target_tokens": "10B"},
    )  # fmt: skip
    mixture = load(path)
    model = mixture.model
    assert model.budget == 512e6
    assert mixture.tokenizer == path.parent / "checkpoint"
    assert [share_of(s.start, model.budget) for s in model.stages or ()] == [0, 0.9, 500 / 512]
    assert model.holdout.per_component == 0.005
    definition = mixture.definition
    assert definition["stages"][1] == {"from": "90%", "weights": {"web_hq": 0.8, "c": 0.2}}
    assert definition["packing"] == {"mode": "concat", "long_docs": "split", "document_mask": False}
    assert type(model).model_validate(definition) == model


@pytest.mark.parametrize("named", ["checkpoint", "checkpoint/tokenizer.json", "vocab.txt"])
def test_a_tokenizer_is_a_file_or_a_checkpoint(written: Any, named: str) -> None:
    """Resolved against the mixture's folder, as a string or with its hash; another may be put in its place."""
    path = written(tokenizer=named)
    assert load(path).tokenizer == path.parent / named
    assert load(written(tokenizer={"path": named})).tokenizer == path.parent / named
    assert load(path).with_tokenizer(Path("other.json")).tokenizer == Path.cwd() / "other.json"
    assert load(path, without_tokenizer=True).tokenizer is None


TWO_STAGES = [{"from": 0}, {"from": "90%", "weights": {"a": 1}}]


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"token": 5}, r"mix.yaml:\d+: token: there is no such key; did you mean 'tokens'"),
        ({"components": {"a": {"where": "true", "wieght": 1}}}, "components.a.wieght: .* did you mean 'weight'"),
        ({"holdout": {"per_componant": 0.1}}, "holdout.per_componant: .* did you mean 'per_component'"),
        ({"packing": {"mod": "concat"}}, "packing.mod: .* did you mean 'mode'"),
        ({"packing": {"mode": "greedy"}}, "packing.mode: input should be 'best_fit' or 'concat'"),
        ({"packing": {"long_docs": "truncate"}}, "packing.long_docs: input should be 'split'"),
        ({"stages": [{"form": 0}]}, r"stages.0.f(ro|or)m: "),
        ({"stages": [{"from": "10%"}]}, "the first stage begins with the run; put {from: 0} before it"),
        ({"stages": [*TWO_STAGES, {"from": "50%"}]}, "stages.2: from: 50% is not later than the stage before"),
        ({"stages": [{"from": 0}, {"from": "20M"}]}, "from: 20000000.0 is not in the budget of 10,000,000"),
        ({"stages": [{"from": 0}, {"from": 0.9}]}, "stages.1.from: 0.9 is less than one token; write 90%"),
        ({"stages": [{"from": 0}, {"from": "half"}]}, "stages.1.from: 'half' is no number; write 90%, or tokens as 9B"),
        ({"stages": [{"from": 0}, {"from": [1]}]}, r"stages.1.from: \[1\] is no number"),
        ({"stages": [{"from": 0}, {"from": -3}]}, "stages.1.from: -3 is before the run begins"),
        ({"tokens": "manyM"}, "tokens: 'manyM' is no number; write 10B, 1.5M or 200k"),
        ({"tokens": float("inf")}, "tokens: input should be a finite number"),
        ({"holdout": {"per_component": "some%"}}, "holdout.per_component: 'some%' is no number; write 0.5%"),
        ({"stages": [{"from": 0}, {"from": "100%"}]}, "stages.1.from: 100% is not in the run"),
        ({"stages": [{"from": 0, "weights": {"A": 1}}]}, "stages.0.weights: there is no component 'A'"),
        ({"stages": [{"from": 0, "weights": {"a": 0}}]}, "the weights are all 0"),
        ({"steps": 10, "batch_tokens": 8}, "steps: give the budget once"),
        ({"tokens": None, "steps": 10}, "as batch_tokens: 512k"),
        ({"tokens": None}, "tokens: give the budget, as tokens: 10M"),
        ({"tokens": None, "components": {"a": {"where": "true", "epochs": 1}}, "stages": TWO_STAGES}, "stages need a budget"),
        ({"proxy": {"simulate_target_tokens": "1M"}}, "of 1,000,000 tokens, is smaller than this one, of 10,000,000"),
        ({"components": {"a:b": {"where": "true", "weight": 1}}}, "'a:b' cannot name a component, which names files"),
        ({"components": {**ONE, "A": {"where": "true", "weight": 1}}}, "components.A: differs from 'a' in case alone"),
        ({"weighting": "unimax"}, "weight: has no effect with weighting: unimax"),
        ({"tokenizer": {"path": "checkpoint", "sha256": "0" * 64}}, f"has sha256 {SHA}, the mixture asks for {'0' * 64}"),
        ({"tokenizer": {"path": "checkpoint", "sha256": "12"}}, "'12' is no sha256"),
        ({"tokenizer": "empty"}, r"the folder .*empty has no tokenizer: neither tokenizer.json nor"),
        ({"tokenizer": "none.json"}, "there is no tokenizer '.*none.json'"),
        ({"tokenizer": {"file": "x"}}, "tokenizer.path: field required|tokenizer.file: there is no such key"),
    ],
)  # fmt: skip
def test_mistakes(written: Any, top: dict[str, Any], message: str) -> None:
    """Each is one error at its place."""
    with pytest.raises(RecipeError, match=message):
        load(written(**top))
