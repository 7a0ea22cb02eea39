"""Items of benchmarks in documents, by the n-grams of words that they share.

Algorithm: `curator.text.ngrams` over the normalised words that near-duplicate search uses too: lower case, without
punctuation and accents, every number 0. Only documents with an n-gram go on: overlaps, and where the words stand
in the text. Rejected: dropping at the first n-gram (GPT-3, datatrove): of 63,019 web documents 3 have one, and none
is a leaked item; and paragraphs against a Bloom filter (dolma, marin), which cannot name the item.

n-grams have 13 words, or all of a field of 8 to 12: GPT-3 (Brown et al. 2020, appendix C) takes between 8 and 13, one
length for a benchmark. The share of an item that must be found, 0.2, was chosen on 600 forum posts, a third of them with an
item of five benchmarks put in: whole items, half items and changed case are all found, of items with words
changed 24 of 38; 8-grams find 33 of them, and false ones. A benchmark may be made of public texts: marin's audit
(marin-community/marin#6852) found 88 of 114 sources flagged only for such, for formulas and instructions that items
share, and 3 rightly. Hence `fields`, `max_items`, and verdicts that need no measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Required

import numpy as np
import polars as pl
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from curator import Filter, UsageError, hookimpl
from curator.options import FILE
from curator.registry import suggest
from curator_plugins.filters.benchmarks import APART, Benchmark, read_benchmark, read_reviews

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curator.documents import Documents
    from curator.text.ngrams import Found

Verdict = Literal["drop", "keep"]
WORDS = "normalized"
SHOWN = 200  # characters of the matched text that are stored

_SPAN = pl.Struct({"start": pl.Int64, "stop": pl.Int64})
_MATCHES = pl.List(
    pl.Struct(
        {
            "benchmark": pl.String,
            "item": pl.String,
            "field": pl.String,
            "overlap": pl.Float64,
            "words": pl.Int64,
            "text": pl.String,
            "spans": pl.List(_SPAN),
        }
    )
)

_NAMES = ("documents.source_key", "documents.url", "CAST(documents.doc_key AS VARCHAR)")
_KEYS = [
    *(f"{name} || chr(9) || m.benchmark || chr(9) || m.item" for name in _NAMES),
    *(f"{name} || chr(9) || m.benchmark" for name in _NAMES),
    *_NAMES,
    "chr(9) || m.benchmark || chr(9) || m.item",
]
assert APART == "\t"
#: the narrowest review holds: of document and item, of document and benchmark, of document, of item
_REVIEWED = (
    f"list_filter(list_transform([{', '.join(_KEYS)}], lambda k: CAST($reviewed AS MAP(VARCHAR, VARCHAR))[k]), "
    "lambda v: v IS NOT NULL)[1]"
)
_JUDGED = (
    f"list_transform(list_transform(matches, lambda m: struct_insert(m, reviewed := {_REVIEWED})), "
    "lambda m: struct_insert(m, verdict := coalesce(m.reviewed, CASE WHEN m.overlap >= $min_overlap "
    "THEN coalesce(CAST($verdict AS MAP(VARCHAR, VARCHAR))[m.benchmark], 'drop') END)))"
)


@with_config(ConfigDict(extra="forbid"))
class BenchmarkFile(TypedDict, total=False):
    """A benchmark in a recipe: `{file: f.jsonl, id: task_id, fields: {question: match, context: ignore}}`."""

    file: Required[str]
    id: str
    fields: dict[str, Literal["match", "ignore"]]


class Decontaminate(Filter):
    """Drop documents that hold items of the benchmarks that models will be evaluated on.

    `benchmarks` names files of JSON lines, one item each: `{gsm8k: gsm8k.jsonl, squad: {file: squad.jsonl.gz,
    fields: {question: match, context: ignore}}}`. With fields to `match` only those are looked for, each by
    itself; else all that hold text or a list of texts, but the id and those to `ignore`. A field of fewer than
    `min_words` words cannot be found.

    `matches` has, for each field that shares n-grams with a document: `overlap`, the share of the field's
    distinct n-grams that stand in the document; `words`, how many of the document's words lie in them; `text`, the
    longest piece, and `spans`, where all pieces stand: characters [start, stop) of the text at the step's place, so
    substring(text, start + 1, stop - start) in SQL. Where items of a benchmark share an n-gram only
    those are listed that overlap most, by number or share of n-grams. Words are normalised: case, punctuation, accents and the value of numbers play no
    part. In scripts without spaces between words little is found. `overlap` is the largest.

    A match of at least `min_overlap` has the `verdict` of its benchmark, drop unless told otherwise; `reviewed`
    overrules it, a mapping of documents (source_key, URL or doc_key) or a CSV file of the columns document,
    benchmark, item and verdict. All three are changed by `curator decide`.
    """

    version = 1
    signals: ClassVar[Any] = {"overlap": float, "matches": _MATCHES}
    contamination = _JUDGED
    rules: ClassVar[Any] = {"contaminated": f"len(list_filter({_JUDGED}, lambda m: m.verdict = 'drop')) > 0"}

    benchmarks: Annotated[dict[str, str | BenchmarkFile], FILE, "name -> file, or {file, id, fields}"]
    ngram: Annotated[int, "words of an n-gram"] = 13
    min_words: Annotated[int, "words of the shortest field that is found, as a whole"] = 8
    max_items: Annotated[
        int | None, "n-grams of more fields than this do not count, such as instructions"
    ] = None
    min_overlap: Annotated[float | None, "share of a field that must be found"] = 0.2
    verdict: Annotated[dict[str, Verdict], "benchmark -> drop or keep"] = {}
    reviewed: Annotated[str | dict[str, Verdict], FILE, "document -> drop or keep, or a CSV file"] = {}

    @classmethod
    def resolve(cls, options: dict[str, Any], file: Callable[[str], str]) -> dict[str, Any]:
        if not 1 <= options["min_words"] <= options["ngram"]:
            raise UsageError(
                f"min_words = {options['min_words']} must be between 1 and ngram = {options['ngram']}"
            )
        if not options["benchmarks"]:
            raise UsageError(
                "benchmarks is empty; name a file of items, as `benchmarks: {gsm8k: gsm8k.jsonl}`"
            )
        for name in options["verdict"]:
            if name not in options["benchmarks"]:
                raise UsageError(
                    f"verdict: no benchmark is called {name!r}{suggest(name, options['benchmarks'])}"
                )
        benchmarks = {
            name: {**given, "file": file(given["file"])} if isinstance(given, dict) else file(given)
            for name, given in options["benchmarks"].items()
        }
        reviewed = options["reviewed"]
        return {
            **options,
            "benchmarks": benchmarks,
            "reviewed": read_reviews(reviewed) if isinstance(reviewed, str) else reviewed,
        }

    def versions(self) -> Mapping[str, str]:
        """What each benchmark's file holds and how it is read; items are read, so that a mistake is found now."""
        from curator.hashing import file_hash
        from curator.text import tokenizer_version

        found = {"words": tokenizer_version(WORDS)}
        for name, path, given in self._files():
            read_benchmark(name, path, **given)
            fields = ", ".join(f"{field} {use}" for field, use in sorted(given["fields"].items()))
            found[f"benchmark {name}"] = f"{file_hash(Path(path))} id {given['id']} {fields}".strip()
        return found

    def _files(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for name, given in self.benchmarks.items():
            named: BenchmarkFile = {"file": given} if isinstance(given, str) else given
            yield name, named["file"], {"fields": named.get("fields", {}), "id": named.get("id", "id")}

    def setup(self) -> None:
        import pyarrow as pa

        from curator.text import Chunks
        from curator.text.ngrams import Ngrams

        self.read: dict[str, Benchmark] = {
            name: read_benchmark(name, path, **given) for name, path, given in self._files()
        }
        self._fields = [field for benchmark in self.read.values() for field in benchmark.fields]
        texts = pa.array([field.text for field in self._fields], pa.large_string())
        names = {name: i for i, name in enumerate(self.read)}
        self._benchmark_of = np.array([names[field.benchmark] for field in self._fields])
        words = Chunks().words(texts, WORDS)
        self._ngrams = Ngrams.of(words, self.ngram, self.min_words, self.max_items)

    def findable(self) -> dict[str, set[str]]:
        """Of each benchmark the items with an n-gram, after `setup`."""
        found: dict[str, set[str]] = {name: set() for name in self.read}
        for field, n_grams in zip(self._fields, self._ngrams.totals.tolist(), strict=True):
            if n_grams:
                found[field.benchmark].add(field.item)
        return found

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        overlap = np.zeros(len(docs))
        matches: list[list[dict[str, Any]]] = [[] for _ in range(len(docs))]
        texts: dict[int, tuple[str, NDArray[np.int64]]] = {}
        for d, field, share, places, sizes in self._matches(self._ngrams.find(docs.words(WORDS))):
            if d not in texts:
                from curator.text.normal import word_places

                texts[d] = docs.text[d], word_places(docs.text[d])
            overlap[d] = max(overlap[d], share)
            matches[d].append(self._match(field, share, _merged(places, sizes), *texts[d]))
        return {"overlap": overlap, "matches": _series(matches)}

    def _matches(self, found: Found) -> Iterator[tuple[int, int, float, list[int], list[int]]]:
        """(document, field, overlap, the places of its n-grams, their sizes), the largest overlap first."""
        if not found.at.size:
            return
        index = self._ngrams
        text = index.text[found.gram]
        one = ("document", "text")
        hits = pl.DataFrame(
            {
                **found._asdict(),
                "text": text,
                "benchmark": self._benchmark_of[text],
                "size": index.size[found.gram],
            }
        )
        place = ("document", "benchmark", "at")
        largest = [pl.col(name) == pl.col(name).max().over(place) for name in ("n", "share")]
        yield from (
            hits.with_columns(n=pl.col("gram").n_unique().over(one))
            .with_columns(share=pl.col("n") / pl.Series(index.totals[text]))
            .with_columns(listed=pl.any_horizontal(largest))
            .filter(pl.col("listed").any().over(one))
            .group_by(one)
            .agg(pl.col("share").first(), pl.col("at", "size").sort_by("at"))
            .sort(["document", "share", "text"], descending=[False, True, False])
            .select("document", "text", "share", "at", "size")
            .iter_rows()
        )

    def _match(
        self, at: int, share: float, runs: list[tuple[int, int]], text: str, places: NDArray[np.int64]
    ) -> dict[str, Any]:
        field = self._fields[at]
        spans = [(int(places[start, 0]), int(places[stop - 1, 1])) for start, stop in runs]
        start, stop = max(spans, key=lambda span: span[1] - span[0])
        return {
            "benchmark": field.benchmark,
            "item": field.item,
            "field": field.name,
            "overlap": share,
            "words": sum(stop - start for start, stop in runs),
            "text": " ".join(text[start:stop].split())[:SHOWN],
            "spans": [{"start": start, "stop": stop} for start, stop in spans],
        }


def _series(matches: list[list[dict[str, Any]]]) -> pl.Series:
    """By way of Arrow: Polars takes 100 microseconds a document to make a nested column of dicts."""
    import pyarrow as pa

    kind = pl.Series(dtype=_MATCHES).to_arrow(compat_level=pl.CompatLevel.oldest()).type
    return pl.Series(pa.array(matches, kind))


def _merged(places: list[int], sizes: list[int]) -> list[tuple[int, int]]:
    """Runs of words [start, stop) that n-grams at ascending `places` cover; those that touch are one."""
    runs: list[tuple[int, int]] = []
    for start, size in zip(places, sizes, strict=True):
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], start + size)
        else:
            runs.append((start, start + size))
    return runs


@hookimpl
def register_filters(register: Any) -> None:
    register(Decontaminate)
