"""The kit for plugin authors: it finds what breaks the contract, and says where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from curator import Cleaner, Filter, PluginError, UsageError
from curator.testing import check_contract, check_filter, check_row_wise, documents, measure
from tests.host.test_filter_levels import SHORT_LINES

LONG = "a line that has more than twenty characters"


def min_words(doc, *, n: int = 3) -> bool:  # type: ignore[no-untyped-def]  # as a plugin's author writes it
    """Keep documents of n words."""
    return len(doc.text.split()) >= n


def size(doc) -> int:  # type: ignore[no-untyped-def]
    """The number of characters."""
    return len(doc.text)


def lower(text: str) -> str:
    """The text in lower case."""
    return text.lower()


class Sized(Filter):
    """Documents by their size."""

    signals: ClassVar[Any] = {"size": pl.col("text").str.len_chars()}
    rules: ClassVar[Any] = {
        "small": "size < $least",
        "far": "documents.url LIKE '%far%'",
        "wordy": "documents.n_words > 9",
    }
    least: int = 3


def broken(body: str) -> Any:
    """A filter with `signals = {"a": int}` and this measure()."""
    space: dict[str, Any] = {"Filter": Filter, "pl": pl}
    exec(
        f"class Broken(Filter):\n    signals = {{'a': int}}\n    def measure(self, docs):\n        {body}",
        space,
    )
    return space["Broken"]


def test_documents_has_the_columns_of_a_batch() -> None:
    """Texts become rows with ids; other columns are filled by name, null otherwise."""
    docs = documents("a", "b", url=["https://x", None])
    row = docs.frame.row(1, named=True)
    assert docs.frame["url"].to_list() == ["https://x", None]
    assert (row["doc_id"], row["source_key"], row["text"], row["metadata"]) == (1, "1", "b", None)
    assert docs.frame["doc_id"].dtype == pl.UInt64
    assert len(documents()) == 0


def test_measure_gives_a_column_a_signal() -> None:
    """Classes, instances and functions; a cleaner's new text stands beside its signals."""
    assert measure(Sized, "abc").to_dicts() == [{"size": 3}]
    assert measure(Sized(), "abc").to_dicts() == [{"size": 3}]
    assert measure(min_words, "a b", "a b c", n=2).to_dicts() == [{"min_words": True}] * 2
    assert measure(size, "abc").to_dicts() == [{"size": 3}]
    assert measure(lower, "ABC").to_dicts() == [{"text": "abc"}]


def test_measure_raises_what_a_plugin_fails_on() -> None:
    """The document and the error are named; so are options that are not there."""
    with pytest.raises(PluginError, match="broken fails on 'bad': ZeroDivisionError: division by zero"):
        measure(broken("return {'a': [1 / (t != 'bad') for t in docs.text]}"), "good", "bad")
    with pytest.raises(TypeError, match="Sized has no option 'most'"):
        measure(Sized, "a", most=3)
    with pytest.raises(TypeError, match="int is no step: subclass Filter, Cleaner, Dedup or Classifier"):
        measure(int, "a")


def test_check_filter_evaluates_the_rules() -> None:
    """The first failing rule is the expected one; options may be tables over a column."""
    check_filter(Sized, keep=["abc"], drop={"ab": "small", "a b c d e f g h i j": "wordy"})
    check_filter(Sized, keep=["ab"], drop={"a": "small"}, least=2)
    check_filter(Sized, keep=["a"], least={"by": "source", "other": 9})
    check_filter(min_words, keep=["a b"], drop={"a": "min_words"}, n=2)
    check_filter(size, keep=["ab"], drop={"a": "size"}, rule="size < 2")


@pytest.mark.parametrize(
    ("keep", "drop", "message"),
    [
        (["ab"], {}, "'ab' is dropped by small, expected was: kept"),
        ([], {"abc": "small"}, "'abc' is kept, expected was: dropped by small"),
        ([], {"ab": "wordy"}, "'ab' is dropped by small, expected was: dropped by wordy"),
        (["x " * 100], {}, "(200 characters) is dropped by wordy"),
    ],
)
def test_check_filter_says_what_is_otherwise(keep: list[str], drop: dict[str, str], message: str) -> None:
    """The text, its fate and the expected one."""
    with pytest.raises(AssertionError) as raised:
        check_filter(Sized, keep=keep, drop=drop)
    assert message in str(raised.value)


def test_check_filter_checks_the_rules() -> None:
    """A rule that a recipe would refuse is refused."""
    with pytest.raises(
        UsageError, match=r"rule size\.size: 'sise' is no signal of size; did you mean 'size'\?"
    ):
        check_filter(size, keep=["a"], rule="sise < 2")


NOT_ROW_WISE = {
    "on its neighbours": (
        "return {'a': [len(docs)] * len(docs)}",
        "broken depends on the other documents of the batch",
    ),
    "on the order": ("return {'a': list(range(len(docs)))}", "broken depends on the order of the documents"),
    "on the sum": (
        "return {'a': [docs.text.str.len_chars().sum()] * len(docs)}",
        "depends on the other documents",
    ),
    "on chance": (
        "import random; return {'a': [random.random() * 1e9 // 1 for t in docs.text]}",
        "broken does not repeat",
    ),
}


@pytest.mark.parametrize("how", NOT_ROW_WISE)
def test_what_is_not_row_wise_is_found(how: str) -> None:
    """A measure that depends on anything but its own document."""
    body, message = NOT_ROW_WISE[how]
    with pytest.raises(AssertionError, match=message):
        check_row_wise(broken(body), "a", "bb", "ccc")


FAULTS = {
    "nan": ("return {'a': [None] * len(docs)}", "float('nan')", "fails on '': nan: a signal is NaN"),
    "empty": ("return {'a': [len(t) // len(t) for t in docs.text]}", "", "fails on '': ZeroDivisionError"),
    "long": (
        "assert max(map(len, docs.text), default=0) < 99_999; return {'a': [1] * len(docs)}",
        "",
        r"\(\d+ characters\)",
    ),
    "type": ("return {'a': docs.text}", "", "step broken: a must be Int64 for every document, got String"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_contract_finds_faults(fault: str) -> None:
    """Texts that a plugin fails on, NaN, and wrong types."""
    body, value, message = FAULTS[fault]
    plugin = broken(body if not value else f"return {{'a': [{value}] * len(docs)}}")
    if value:
        plugin.signals = {"a": float}
    with pytest.raises(PluginError, match=message):
        check_contract(plugin)


def test_check_contract_finds_changes_of_the_batch() -> None:
    """A plugin that writes into the batch spoils it for the steps behind it."""
    change = "len(docs) and docs.frame.replace_column(0, docs.frame['doc_id'] * 0)"
    with pytest.raises(AssertionError, match="broken changes the batch that it measures"):
        check_contract(broken(f"{change}; return {{'a': [1] * len(docs)}}"))


def test_a_plugin_that_a_worker_cannot_load_is_found() -> None:
    """A class that no hook registers works here, but in no run."""
    with pytest.raises(AssertionError, match="min_words in a spawned worker: filter 'min_words' is not in"):
        check_contract(min_words)


def test_the_kit_needs_no_test_framework(tmp_path: Path) -> None:
    """It imports no pytest, and a plugin file can be checked by a plain script."""
    (tmp_path / "short_lines.py").write_text(SHORT_LINES)
    (tmp_path / "check.py").write_text(
        "import sys\nfrom curator.testing import check_contract, check_filter\nfrom short_lines import ShortLines\n"
        "if __name__ == '__main__':\n"
        f"    check_filter(ShortLines, keep=[{LONG!r}], drop={{'a\\nb': 'short_lines'}})\n"
        "    check_contract(ShortLines)\n"
        "    print('pytest' in sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("False\n", "")


class Upper(Cleaner):
    """A cleaner with a signal and a rule."""

    signals: ClassVar[Any] = {"changed": bool}
    rules: ClassVar[Any] = {"loud": "changed AND documents.n_chars > $most"}
    most: int = 2

    def clean(self, docs: Any) -> Any:
        texts = docs.text.str.to_uppercase()
        return texts, {"changed": texts != docs.text}


def test_a_cleaner_that_measures() -> None:
    """New texts and signals in one frame, its rules checked like a filter's."""
    assert measure(Upper, "a", "B").to_dicts() == [
        {"changed": True, "text": "A"},
        {"changed": False, "text": "B"},
    ]
    check_filter(Upper, keep=["ab", "ABC"], drop={"abc": "loud"})
