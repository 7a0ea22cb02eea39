"""Verdicts on what decontaminate found: by benchmark, by hand, in a file; the view, the report, and `curator why`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from curator import UsageError, recipe
from curator.corpus import Corpus
from curator.errors import RecipeError
from curator.recipe import Recipe
from curator.redeciding import decide
from curator.verify import digest
from curator_plugins.filters.benchmarks import read_reviews, review_key
from curator_plugins.filters.contamination import report, unmet_reviews
from tests.cli.conftest import call
from tests.conftest import Workshop, reasons
from tests.plugins.test_decontaminate import LONG, SHORT, write

MATHS = [
    {"id": "train", "q": LONG, "a": "near the river"},
    {"id": "prime", "q": SHORT},
    {"id": "tiny", "q": "Why?"},
]
SPEECH = "Four score and seven years ago our fathers brought forth on this continent a new nation, conceived in liberty."
DOCUMENTS = [
    {"id": "all", "text": f"Homework. {LONG} {SHORT}", "url": "https://school.example/all"},
    {"id": "half", "text": f"It {LONG[6:70]}, and so on for ever and a day."},
    {"id": "speech", "text": SPEECH},
    {"id": "clean", "text": "Nothing of the kind stands here, or anywhere near."},
]
DROPPED = "decontaminate.contaminated"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that was run against two benchmarks."""
    workshop = Workshop(tmp_path_factory.mktemp("school"))
    write(workshop.folder / "maths.jsonl", MATHS)
    write(workshop.folder / "speeches.jsonl", [{"id": 1, "text": SPEECH}])
    curate(workshop, DOCUMENTS)
    return workshop.folder


@pytest.fixture
def school(workshop: Workshop, made: Path) -> Workshop:
    workshop.restore(made)
    return workshop


def step(**options: Any) -> dict[str, Any]:
    named = {"maths": "maths.jsonl", "speeches": {"file": "speeches.jsonl"}}
    return {"decontaminate": {"benchmarks": named, "ngram": 10, **options}}


def curate(workshop: Workshop, documents: list[dict[str, Any]] | None = None, **options: Any) -> Corpus:
    return workshop.curate([step(**options)], documents)


def loaded(workshop: Workshop, **options: Any) -> Recipe:
    return workshop.recipe([step(**options)], [{"jsonl": {"name": "web", "path": "web.jsonl"}}])


def dropped(workshop: Workshop) -> list[str]:
    return sorted(key for key, reason in reasons(Corpus.existing(workshop.corpus_folder)).items() if reason)


def rows(workshop: Workshop, columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM contamination JOIN documents USING (doc_id) ORDER BY source_key, benchmark, item, step"
    return Corpus.existing(workshop.corpus_folder).sql(query).rows()


def test_the_view(school: Workshop) -> None:
    """A row for each document, benchmark, item and field; its spans cut the matched text out of the document's."""
    assert reasons(Corpus.existing(school.corpus_folder)) == {
        **dict.fromkeys(["all", "half", "speech"], DROPPED),
        "clean": None,
    }
    assert rows(
        school, "source_key, step, benchmark, item, field, round(overlap, 2), words, reviewed, verdict"
    ) == [
        ("all", "decontaminate", "maths", "prime", "q", 1.0, 8, None, "drop"),
        ("all", "decontaminate", "maths", "train", "q", 1.0, 22, None, "drop"),
        ("half", "decontaminate", "maths", "train", "q", 0.23, 12, None, "drop"),
        ("speech", "decontaminate", "speeches", "1", "text", 1.0, 19, None, "drop"),
    ]
    corpus = Corpus.existing(school.corpus_folder)
    cut = corpus.sql(
        "SELECT c.text, substring(t.text, s.start + 1, s.stop - s.start) FROM (SELECT *, unnest(spans) AS s "
        "FROM contamination) c JOIN texts t USING (doc_id)"
    ).rows()
    assert len(cut) == 4
    assert [text for text, _ in cut] == [piece for _, piece in cut]


def test_deciding_again(school: Workshop) -> None:
    """Overlap, a benchmark's verdict and single documents change decisions; nothing is measured, the digest is back."""
    before = digest(Corpus.existing(school.corpus_folder))
    changes: list[tuple[dict[str, str], list[str]]] = [
        ({"min_overlap": "0.5"}, ["all", "speech"]),
        ({"min_overlap": "null"}, []),
        ({"verdict": "{maths: keep}"}, ["speech"]),
        ({"reviewed": "{half: keep, 'https://school.example/all': keep}"}, ["speech"]),
        ({"verdict": "{maths: keep}", "reviewed": "{half: drop}"}, ["half", "speech"]),
        ({"min_overlap": "0.9", "reviewed": "{half: drop, clean: drop}"}, ["all", "half", "speech"]),
        ({}, ["all", "half", "speech"]),
    ]
    for change, expected in changes:
        decide(loaded(school).with_options({f"decontaminate.{o}": v for o, v in change.items()}))
        assert dropped(school) == expected
    assert digest(Corpus.existing(school.corpus_folder)) == before


def test_the_overlap_may_be_a_table(school: Workshop) -> None:
    """Over a column of documents, also one that a step fills."""
    for by in ({"by": "source", "web": 0.5}, {"by": "language", "xx": 0.1, "default": 0.5}):
        school.curate(["language", step(min_overlap=by)])
        assert rows(school, "source_key, item, verdict") == [
            ("all", "prime", "drop"),
            ("all", "train", "drop"),
            ("half", "train", None),
            ("speech", "1", "drop"),
        ]


def test_two_steps(school: Workshop) -> None:
    """The view has the rows of both, by their names."""
    school.curate([step(), {"decontaminate": {**step(ngram=12)["decontaminate"], "as": "strict"}}])
    assert rows(school, "source_key, item, step") == [
        *(("all", item, name) for item in ("prime", "train") for name in ("decontaminate", "strict")),
        *(("half", "train", name) for name in ("decontaminate", "strict")),
        *(("speech", "1", name) for name in ("decontaminate", "strict")),
    ]


def test_a_file_of_reviews(school: Workshop) -> None:
    """What `curator sql` wrote, with verdicts edited: the narrowest holds, other columns and empty cells do not."""
    out = school.folder / "review.csv"
    query = "SELECT source_key AS document, benchmark, item, verdict, overlap, text FROM contamination JOIN documents USING (doc_id) ORDER BY ALL"
    assert call("sql", query, "-o", out, "-c", "corpus", folder=school.folder).code == 0
    header, *lines = out.read_text().splitlines()
    assert header == "document,benchmark,item,verdict,overlap,text"
    assert [line.split(",")[:4] for line in lines] == [
        ["all", "maths", "prime", "drop"],
        ["all", "maths", "train", "drop"],
        ["half", "maths", "train", "drop"],
        ["speech", "speeches", "1", "drop"],
    ]
    curate(school, reviewed="review.csv")
    assert school.report is not None
    assert dropped(school) == ["all", "half", "speech"]
    assert {reviewed for (reviewed,) in rows(school, "reviewed")} == {"drop"}
    out.write_text(
        "document,benchmark,item,verdict,note\n"
        "all,maths,prime,,not looked at\nall,maths,train,keep,a quotation\nall,,,drop,\n"
        ",maths,train,keep,public\n,speeches,1,keep,Gettysburg\nnobody,,,drop,\n"
    )
    ended = call("decide", "test.yaml", folder=school.folder)
    assert (ended.code, ended.err) == (0, "")
    assert rows(school, "source_key, item, reviewed, verdict") == [
        ("all", "prime", "drop", "drop"),
        ("all", "train", "keep", "keep"),
        ("half", "train", "keep", "keep"),
        ("speech", "1", "keep", "keep"),
    ]
    assert dropped(school) == ["all"]


def test_the_report(school: Workshop) -> None:
    """Items, those too short, found, documents, and what became of them; without the file, what is known."""
    decide(loaded(school, verdict={"speeches": "keep"}, reviewed={"half": "keep"}))
    shown = call("contamination", "-c", "corpus", folder=school.folder)
    assert shown.cells()[:3] == [
        ["benchmark", "items", "too short", "found", "documents", "dropped", "kept", "reviewed"],
        ["maths", "3", "1", "2", "2", "1", "1", "1"],
        ["speeches", "1", "0", "1", "1", "0", "1", "0"],
    ]
    maths, speeches = call("contamination", "-c", "corpus", "--worst", 1, "--json", folder=school.folder).json
    assert maths["worst"] == [{"item": "train", "documents": 2, "overlap": 1.0, "text": LONG[:-1]}]
    assert speeches["worst"][0]["item"] == "1"
    (school.folder / "maths.jsonl").unlink()
    gone, _ = report(Corpus.existing(school.corpus_folder))
    assert (gone.items, gone.unfindable, gone.found, gone.documents) == (None, None, 2, 2)
    assert "measures anew" in call("contamination", "-c", "corpus", folder=school.folder).out


def test_no_benchmarks(workshop: Workshop) -> None:
    """The report says which step is missing, and the view is there and empty."""
    corpus = workshop.curate(["length"], DOCUMENTS)
    with pytest.raises(UsageError, match="looks for no benchmarks; add a step `- decontaminate"):
        report(corpus)
    assert corpus.sql("SELECT count(*) FROM contamination").rows() == [(0,)]
    assert call("why", "clean", "-c", "corpus", folder=workshop.folder).code == 0


def test_why(school: Workshop) -> None:
    """The items with overlap, words, verdict and matched text; the rule in a few words."""
    decide(loaded(school, reviewed={"all": "keep"}))
    said = call("why", "all", "-c", "corpus", folder=school.folder)
    listed = [line for line in said.cells() if line[0] in ("maths", "contaminated")]
    assert listed[0] == ["contaminated", "passes", "overlap = 1", "the verdict on a match is drop"]
    assert listed[1] == ["maths", "prime", "q", "1.00", "8", "keep, reviewed", SHORT[:-1]]
    assert listed[2][:4] == ["maths", "train", "q", "1.00"]
    found = call("why", "all", "-c", "corpus", "--json", folder=school.folder).json["contamination"]
    assert [(c["item"], c["verdict"], c["text"]) for c in found] == [
        ("prime", "keep", SHORT[:-1]),
        ("train", "keep", LONG[:-1]),
    ]


def test_what_makes_measures_stale(school: Workshop) -> None:
    """Another content, field or length does; another path, compression aside, and another verdict do not."""

    def fingerprint(**options: Any) -> str:
        return loaded(school, **options).steps[0].fingerprint

    first = fingerprint()
    assert fingerprint(verdict={"maths": "keep"}, min_overlap=0.9, reviewed={"half": "keep"}) == first
    (school.folder / "elsewhere").mkdir()
    write(school.folder / "elsewhere" / "m.jsonl", MATHS)
    both = {"maths": "elsewhere/m.jsonl", "speeches": "speeches.jsonl"}
    assert fingerprint(benchmarks=both) == first
    others = [
        fingerprint(ngram=12),
        fingerprint(max_items=3),
        fingerprint(benchmarks={"speeches": "speeches.jsonl"}),
        fingerprint(benchmarks={**both, "maths": {"file": "maths.jsonl", "fields": {"a": "ignore"}}}),
        fingerprint(benchmarks={**both, "maths": {"file": "maths.jsonl", "id": "a"}}),
    ]
    write(school.folder / "maths.jsonl", [*MATHS, {"id": "new", "q": SPEECH}])
    others.append(fingerprint())
    assert len({first, *others}) == 7
    curate(school)
    assert ("speech", "new") in rows(school, "source_key, item")


def test_files_are_relative_to_the_recipe(school: Workshop, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Loaded from another folder, also for --set; files may be compressed."""
    (school.folder / "maths.jsonl.gz").write_bytes(
        gzip.compress((school.folder / "maths.jsonl").read_bytes())
    )
    loaded(school, benchmarks={"maths": {"file": "maths.jsonl.gz"}})
    (school.folder / "r.csv").write_text("document,verdict\nhalf,keep\n")
    ended = call(
        "decide", school.folder / "test.yaml", "--dry-run", "--set", "decontaminate.reviewed=r.csv",
        folder=tmp_path_factory.mktemp("elsewhere"),
    )  # fmt: skip
    assert ended.code == 2
    assert "was never measured" in ended.err
    again = recipe.load(str(school.folder / "test.yaml")).with_options({"decontaminate.reviewed": "r.csv"})
    assert again.steps[0].options["reviewed"] == {"half": "keep"}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"benchmarks": {"maths": "no.jsonl"}}, "there is no file 'no.jsonl'"),
    ({"benchmarks": {"maths": {"file": "no.jsonl"}}}, "there is no file 'no.jsonl'"),
    ({"benchmarks": {}}, "benchmarks is empty; name a file of items"),
    ({"benchmarks": {"maths": {"files": "maths.jsonl"}}}, "expected dict[str, str | BenchmarkFile]"),
    ({"benchmarks": {"maths": {"file": "maths.jsonl", "fields": {"Q": "match"}}}}, "no item has a field 'Q'"),
    ({"verdict": {"math": "keep"}}, "verdict: no benchmark is called 'math'; did you mean 'maths'?"),
    ({"verdict": {"maths": "kept"}}, "verdict = {'maths': 'kept'}: expected dict[str, 'drop' | 'keep']"),
    ({"reviewed": "no.csv"}, "there is no file 'no.csv'"),
    ({"reviewed": {"half": "no"}}, "expected str | dict[str, 'drop' | 'keep']"),
    ({"min_words": 14}, "min_words = 14 must be between 1 and ngram = 10"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_in_a_recipe(options: dict[str, Any], message: str, school: Workshop) -> None:
    """Named with the recipe's file and line, before any work."""
    with pytest.raises(RecipeError) as error:
        loaded(school, **options)
    assert message in str(error.value)
    assert f"{school.folder / 'test.yaml'}:" in str(error.value)


REVIEWS = {
    "document;verdict\n": ":1: a review has the columns document, benchmark, item and verdict, separated by commas",
    "document,verdict\na,Keep\n": ":2: verdict 'Keep' must be drop, keep or empty",
    "benchmark,item,verdict\nm,,keep\n": ":2: name a document, or an item; of a whole benchmark the option verdict",
    "document,benchmark,item,verdict\n,,7,keep\n": ":2: item '7' needs its benchmark beside it",
    "document,verdict\na,keep\nb,keep\na,drop\n": ":4: drop contradicts line 2, keep of the same",
}


@pytest.mark.parametrize("content", REVIEWS)
def test_mistakes_in_reviews(content: str, tmp_path: Path) -> None:
    """Named with file and line."""
    path = tmp_path / "r.csv"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        read_reviews(str(path))
    assert str(error.value).startswith(f"{path}{REVIEWS[content]}")


def test_reviews_of_a_spreadsheet(tmp_path: Path) -> None:
    """With a byte order mark, spaces, quotes and empty rows; one verdict may stand twice."""
    path = tmp_path / "r.csv"
    path.write_text('\ufeffdocument,verdict,note\n" a ",keep,"x, y"\n,,\na, keep ,\n', encoding="utf-8")
    assert read_reviews(str(path)) == {"a": "keep"}
    assert [review_key("d"), review_key("d", "b"), review_key("", "b", "i")] == ["d", "d\tb", "\tb\ti"]
    assert json.dumps(review_key("d", "b", "i")) == '"d\\tb\\ti"'


def test_reviews_of_nothing_are_told(school: Workshop) -> None:
    """A verdict on a document, benchmark or item that is no match may be a slip: the report says so."""
    decide(
        loaded(
            school,
            reviewed={"half": "keep", "https://school.example/all": "keep", "clean": "drop", "hlaf": "keep"},
        )
    )
    opened = Corpus.existing(school.corpus_folder)
    assert unmet_reviews(opened) == ["clean", "hlaf"]
    said = call("contamination", "-c", school.corpus_folder, folder=school.folder)
    assert "2 of the reviewed verdicts meet no match, as 'clean'\n" in said.out
    decide(
        loaded(
            school,
            reviewed={review_key("half", "maths", "train"): "keep", review_key("", "speeches", "1"): "keep"},
        )
    )
    assert unmet_reviews(opened) == []
