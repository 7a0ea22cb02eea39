"""The published recipes in examples/recipes, as `curator init --recipe` writes them, on real runs."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine
from curator.recipe import LOOK
from curator.run import run
from curator.templates import published
from tests.conftest import reasons

EXAMPLES = Path(__file__).parents[1] / "examples"
ORDER = {
    "c4": ["length", "url_copies", "c4", "repeated_lines", "c4_left", "language", "bad_words"],
    "dclm": ["normalize_whitespace", "language", "gopher_quality", "gopher_repetition", "refinedweb_lines", "minhash"],
    "fineweb": ["language", "gopher_repetition", "gopher_quality", "c4", "fineweb_quality", "minhash", "pii"],
    "fineweb2": ["language", "minhash", "gopher_repetition", "fineweb_quality", "gopher_quality", "fix_unicode", "pii", "symbol_lines"],
    "gopher": ["language", "gopher_quality", "gopher_repetition", "exact", "minhash"],
    "refinedweb": ["normalize_whitespace", "language", "gopher_repetition", "gopher_quality", "refinedweb_lines", "minhash", "repeated_passages", "url_copies"],
}  # fmt: skip
GERMAN = (
    "Die Stadt liegt an einem Fluss, der im Sommer nur wenig Wasser führt. Im Winter aber tritt er über die Ufer und "
    "überschwemmt die Wiesen, auf denen sonst die Kühe der Bauern weiden. Das Rathaus wurde vor dreihundert Jahren "
    "gebaut und steht noch immer auf dem Marktplatz, wo die Händler mit ihren Wagen halten. Wer von dort zum Bahnhof "
    "geht, sieht die alte Mühle, das Haus des Arztes und den Garten der Schule. "
)


def documents() -> list[dict[str, Any]]:
    """Abstracts of the sample corpus, and planted ones."""
    with gzip.open(EXAMPLES / "data" / "medicine" / "abstracts.jsonl.gz", "rt", encoding="utf-8") as file:
        abstracts = [json.loads(line)["abstract"] for line in list(file)[:60]]
    good = [text for text in abstracts if len(text) > 1200][:20]
    found = {f"good{i}": text for i, text in enumerate(good)}
    found |= {
        **{f"copy{i}": text for i, text in enumerate(good[:10])},
        **{f"near{i}": f"{text} One more sentence stands here." for i, text in enumerate(good[10:], 10)},
        "german": GERMAN,
        "short": "It is too short. So it goes.",
        "repeats": "The same line stands here again and again.\n" * 30,
    }
    return [
        {"id": key, "text": text, "dump": "CC-MAIN-2023-50", "url": f"https://{key}.example/page"}
        for key, text in found.items()
    ]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    lines = "".join(json.dumps(d) + "\n" for d in documents())
    (tmp_path / "data" / "web.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ORDER)
def test_a_recipe_runs_in_its_published_order(name: str, workplace: Path) -> None:
    """As written, over texts with a known fate; a second run finds nothing to do."""
    pytest.importorskip("spacy", reason="FineWeb's words are spaCy's: pip install 'corpus-curator[spacy]'")
    path = workplace / f"{name}.yaml"
    path.write_text(published(name), encoding="utf-8")
    recipe = recipes.load(str(path))
    assert [step.name for step in recipe.steps if step.kind != LOOK] == ORDER[name]
    report = run(recipe, InlineEngine())
    found = reasons(Corpus(workplace / "corpus"))
    kept = {key for key, reason in found.items() if reason is None}
    pairs = [len({f"good{i}", f"{'copy' if i < 10 else 'near'}{i}"} & kept) for i in range(20)]
    if name == "fineweb2":
        assert kept == {"german"}  # it is for all languages but English
    elif name == "c4":
        assert set(pairs[:10]) <= {0, 1}  # it takes whole copies alone
        assert pairs[10:].count(2) >= 5
    else:
        assert set(pairs) <= {0, 1}
        assert pairs.count(1) >= 8
    assert found["short"] is not None
    assert (found["repeats"] is None) == (name == "c4")  # it looks at no repetition
    assert (found["german"] is None) == (name == "fineweb2")
    assert report.counts["documents"] == len(found) == 43
    again = run(recipe, InlineEngine())
    assert again.counts.get("documents", 0) == 0
    assert again.funnel == report.funnel


@pytest.mark.parametrize("name", ORDER)
def test_every_threshold_says_where_it_is_from(name: str) -> None:
    """A number of a step stands beside a comment, or under one that covers the step."""
    steps = published(name).partition("\nsteps:")[2]
    unsaid = [
        line
        for line in steps.splitlines()
        if re.match(r"\s+(?!#)\w+: (?:[\d.]+|\{by: .*\})", line) and "#" not in line
    ]
    assert unsaid == []
    head = published(name).partition("\nname:")[0]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", head)
    assert "Not here: " in head
