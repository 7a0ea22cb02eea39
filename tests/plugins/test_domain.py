"""How a model reads texts, what the step answers and drops, and which models are refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curator.errors import RecipeError, UsageError
from curator.testing import check_contract, check_filter, measure
from curator_plugins.classifiers.domain import Domain
from curator_plugins.classifiers.model import TextModel, decoded, encoded, prepare
from curator_plugins.classifiers.training import train
from tests.conftest import Workshop

SYLLABLES = ("ba", "de", "fi", "go", "lu", "mo", "ne", "pa", "ri", "so", "tu", "ve")
BEGINS = {"medical": "med", "real estate": "house", "Kochen & Würze": "würz", None: "any"}
LABELS = "SELECT text, declared_domain FROM texts JOIN documents USING (doc_id)"


def words(label: str | None) -> list[str]:
    """144 words of one label's vocabulary; None: the words that all share."""
    return [BEGINS[label] + one + other for one in SYLLABLES for other in SYLLABLES]


def made_documents(each: int = 60, wrong: int = 7) -> list[dict[str, Any]]:
    """Documents of three vocabularies, half of the words shared; one in `wrong` (0: none) declares another's label."""
    chance = random.Random(7)
    labels = [label for label in BEGINS if label]
    found = []
    for i in range(each * len(labels)):
        label = labels[i % len(labels)]
        chosen = chance.choices(words(label), k=15) + chance.choices(words(None), k=15)
        chance.shuffle(chosen)
        declared = labels[(i + 1) % len(labels)] if wrong and i % wrong == 0 else label
        found.append({"id": f"d{i}", "text": f"{i}. {' '.join(chosen)}!", "topic": declared})
    return found


def corpus_of(workshop: Workshop, found: list[dict[str, Any]]) -> Any:
    """A corpus in which a document's topic is its declared_domain."""
    entry = workshop.source("web", found)
    entry["jsonl"]["domain_field"] = "topic"
    return workshop.curate([], sources=[entry])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three labels."""
    folder = tmp_path_factory.mktemp("model")
    train(corpus_of(Workshop(folder), made_documents(wrong=0)), LABELS, folder / "model.ftz", name="made")
    return folder / "model.ftz"


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    """The model and its sidecar, to damage."""
    for file in (model, model.with_name("model.ftz.json")):
        shutil.copy(file, tmp_path)
    return tmp_path / "model.ftz"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("The Patient's dose:\n\t12.5 mg/day", "the patient s dose mg day"),
        ("__label__legal </s> \x00 x", "label legal s x"),
        ("Würze\u2028ÉTÉ हिन्दी 医学", "würze été हिन्दी 医学"),
        ("12 + 30 = 42 \U0001f600", ""),
        ("", ""),
    ],
)
def test_only_letters_are_read(text: str, line: str) -> None:
    """Lower case, one space for all else; nothing in a text is a label or an end of line to fastText."""
    assert prepare(pl.Series([text]), 2000).to_list() == [line]


def test_only_the_first_characters_are_read() -> None:
    """max_chars counts characters of the text as it stands."""
    assert prepare(pl.Series(["1234 words and more"]), 10).to_list() == ["words"]


@pytest.mark.parametrize("label", ["legal", "real estate", "Kochen & Würze", "a%20b", "__label__x", "\n"])
def test_labels_may_be_any_text(label: str) -> None:
    """One word to fastText, and back."""
    assert len(encoded(label).split()) == 1
    assert decoded(encoded(label)) == label


def test_contract(model: Path) -> None:
    """Row-wise, repeatable, as declared, on hard texts, by name in a worker."""
    check_contract(Domain, model=str(model))


def test_texts_get_label_and_score(model: Path) -> None:
    """The label of the vocabulary, whatever its case and digits; neither label nor score without a letter."""
    labels = [label for label in BEGINS if label]
    texts = [" 1 ".join(words(label)[:20]).upper() for label in labels]
    found = measure(Domain, *texts, "123 ...", "", model=str(model))
    assert found["label"].to_list() == [*labels, None, None]
    assert found["score"].is_between(0.5, 1.0).to_list() == [True, True, True, None, None]
    assert found["score"].to_list() == [s if s is None else round(s, 6) for s in found["score"]]


def test_what_is_dropped(model: Path) -> None:
    """Nothing by default; a domain that is not in keep; a low score; never what has no domain."""
    sure, other = (" ".join(words(label)[:20]) for label in ("medical", "real estate"))
    unsure = f"{sure} {other}"
    check_filter(Domain, keep=[sure, other, unsure, "123"], model=str(model))
    check_filter(Domain(keep=["medical"], model=str(model)), keep=[sure, "123"], drop={other: "domain"})
    scores = measure(Domain, sure, other, unsure, model=str(model))["score"].to_list()
    assert scores[2] < min(scores[:2])
    least = (scores[2] + min(scores[:2])) / 2
    check_filter(Domain(min_score=least, model=str(model)), keep=[sure, other], drop={unsure: "low_score"})


def test_without_a_model_it_says_how_to_get_one(workshop: Workshop) -> None:
    """At recipe load, with file, line and the command to type."""
    entry = workshop.source("web", [])
    with pytest.raises(RecipeError, match=r"test\.yaml:\d+: .*domain: domain needs a model") as raised:
        workshop.recipe(["domain"], [entry])
    assert 'curator domain train --labels "SELECT text, declared_domain FROM texts' in str(raised.value)
    with pytest.raises(RecipeError, match=r"test\.yaml:\d+: .*domain\.model: there is no file 'gone\.ftz'"):
        workshop.recipe([{"domain": {"model": "gone.ftz"}}], [entry])


def test_a_model_without_its_sidecar_is_refused(copied: Path) -> None:
    """How it reads texts is not in the model."""
    copied.with_name("model.ftz.json").unlink()
    with pytest.raises(UsageError, match=r"model\.ftz\.json is missing: it says how model\.ftz reads texts"):
        Domain(model=str(copied)).versions()


def test_a_sidecar_of_another_model_is_refused(copied: Path) -> None:
    """A model copied without its sidecar would read texts as another did."""
    copied.write_bytes(copied.read_bytes() + b"x")
    with pytest.raises(UsageError, match=r"is not the file that model\.ftz\.json describes"):
        TextModel.load(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "is no description of a model"),
        ("{}", "is no description of a model"),
        ({"preparation": 99}, "prepared in manner 99, this version knows manner 1"),
    ],
)
def test_a_sidecar_that_is_not_understood_is_refused(copied: Path, change: Any, message: str) -> None:
    """Damaged, or of a later version."""
    path = copied.with_name("model.ftz.json")
    text = change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change)
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        TextModel.load(copied)
