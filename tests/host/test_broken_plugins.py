"""Plugins that break their contract stop the run by name; documents that a plugin fails on are set aside."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from curator import CuratorError, RecipeError
from curator.run import Report
from tests.host.conftest import LONG, Shop

HEAD = """
import numpy as np
import polars as pl
from curator import Classifier, Cleaner, Filter, hookimpl

"""
TAIL = """

@hookimpl
def register_filters(register):
    register(Broken)
"""
KEPT, PENDING = ("kept",), ("pending",)


def run_broken(shop: Shop, body: str, tail: str = TAIL) -> Report:
    """Run the class Broken(Filter), whose body is given, as the only step."""
    content = HEAD + "class Broken(Filter):\n" + indent(dedent(body), "    ") + tail
    (shop.folder / "broken.py").write_text(content)
    return shop.run("broken", plugins=("broken.py",))


BREACHES = {
    "a name too many": (
        'signals = {"a": int}\ndef measure(self, docs): return {"a": [1, 2], "b": [1, 2]}',
        r"step broken: measure\(\) answered \['a', 'b'\], the declared signals are \['a'\]; they differ in \['b'\]",
    ),
    "a name too few": (
        'signals = {"a": int, "b": int}\ndef measure(self, docs): return {"a": [1, 2]}',
        r"step broken: measure\(\) answered \['a'\], .* they differ in \['b'\]",
    ),
    "another type": (
        'signals = {"a": int}\ndef measure(self, docs): return {"a": ["one", "two"]}',
        "step broken: a must be Int64 for every document, got String",
    ),
    "mixed types": (
        'signals = {"a": int}\ndef measure(self, docs): return {"a": [1, "two"]}',
        "step broken: a must be Int64 for every document, got ",
    ),
    "a number too large": (
        'signals = {"a": pl.Int8}\ndef measure(self, docs): return {"a": [1, 1000]}',
        "step broken: a must be Int8 for every document, got ",
    ),
    "too few values": (
        'signals = {"a": int}\ndef measure(self, docs): return {"a": [1]}',
        "step broken: a has 1 values for 2 documents",
    ),
    "no mapping": (
        'signals = {"a": int}\ndef measure(self, docs): return [1, 2]',
        "step broken: measure.* answered",
    ),
    "no measure": (
        'signals = {"a": int}',
        r"Broken declares signals by type, so it needs measure\(\)",
    ),
    "an expression that is not row-wise": (
        'signals = {"a": pl.col("text").str.len_chars().head(1)}',
        "step broken: a has 1 values for 2 documents",
    ),
    "a rule option read in measure": (
        'limit: int = 3\nsignals = {"a": int}\nrules = {"r": "a < $limit"}\n'
        'def measure(self, docs): return {"a": [self.limit] * len(docs)}',
        "option 'limit' is used in a rule, so measuring must not read it",
    ),
    "a rule option read in setup": (
        'limit: int = 3\nsignals = {"a": int}\nrules = {"r": "a < $limit"}\ndef setup(self): self.limit',
        "option 'limit' is used in a rule, so measuring must not read it",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_stops_the_run(inline_shop: Shop, breach: str) -> None:
    """Wrong names, types and lengths are every document's trouble: the run ends with the step's name."""
    body, message = BREACHES[breach]
    with pytest.raises(CuratorError, match=message) as raised:
        run_broken(inline_shop, body)
    assert raised.value.exit_code == 1
    assert inline_shop.sql("SELECT count(*) FROM documents") == [(0,)]
    assert inline_shop.sql("SELECT state FROM runs") == [("running",)]


REFUSED_AT_LOAD = {
    "a type that cannot be stored": (
        'signals = {"a": dict}',
        "signal broken.a is declared as <class 'dict'>; use float, int, bool, str or a Polars type",
    ),
    "a rule option read by signals()": (
        'limit: int = 3\nrules = {"r": "a < $limit"}\ndef signals(self): return {"a": pl.lit(self.limit)}',
        "option 'limit' is used in a rule, so measuring must not read it",
    ),
    "an expression over no column": (
        'signals = {"a": pl.col("body").str.len_chars()}',
        "signal broken.a: .*body",
    ),
    "a rule over no signal": (
        'signals = {"mean": float}\nrules = {"r": "maen < 3"}',
        "rule broken.r: 'maen' is no signal of broken; did you mean 'mean'?",
    ),
    "a rule over no option": (
        'limit: int = 3\nsignals = {"a": int}\nrules = {"r": "a < $limits"}',
        r"rule broken.r: \$limits: broken has no option 'limits'; did you mean 'limit'\?",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED_AT_LOAD)
def test_a_mistake_in_a_plugin_is_found_at_load(inline_shop: Shop, mistake: str) -> None:
    """What can be seen without text is an error of the recipe's line, before any work."""
    body, message = REFUSED_AT_LOAD[mistake]
    with pytest.raises(RecipeError, match=message) as raised:
        run_broken(inline_shop, body)
    assert str(raised.value).startswith(f"{inline_shop.folder}/test.yaml:")
    assert not Path(inline_shop.folder, "corpus").exists()


def test_a_document_that_a_plugin_fails_on_waits_alone(shop: Shop) -> None:
    """It is pending with one quarantine row, all others are measured; the next run tries it again."""
    shop.texts({f"{n:02}": "bad" if n == 7 else f"{LONG} {n}" for n in range(20)})
    mended = shop.folder / "mended"
    body = f"""
    from pathlib import Path
    version = 1
    signals = {{"a": int}}
    def measure(self, docs):
        if "bad" in docs.text and not self.Path({str(mended)!r}).exists():
            raise ValueError("no good")
        return {{"a": docs.text.str.len_chars()}}
    """
    quarantined = [("broken", "ValueError", "no good", 7)]
    report = run_broken(shop, body)
    for again in (report, shop.run("broken", plugins=("broken.py",))):
        assert (again.counts["failed"], again.funnel.kept, again.funnel.pending) == (1, 19, 1)
        assert shop.fates()["07"] == PENDING
        assert shop.sql("SELECT step, reason, detail, doc_id FROM quarantine") == quarantined
        assert shop.sql("SELECT count(*) FROM signals.broken") == [(19,)]
    mended.touch()
    last = shop.run("broken", plugins=("broken.py",))
    assert (last.counts["failed"], last.funnel.kept, last.funnel.pending) == (0, 20, 0)
    assert shop.sql("SELECT count(*) FROM quarantine") == [(0,)]


def test_nan_is_set_aside(inline_shop: Shop) -> None:
    """A NaN, by measure() or by an expression, leaves its document pending with a quarantine row."""
    body = """
    signals = {"a": float, "b": pl.when(pl.col("text") == "zero").then(float("nan")).otherwise(1.0)}
    rules = {"r": "a > 1e9"}
    def measure(self, docs):
        return {"a": [float("nan") if t == "nan" else 1.0 for t in docs.text]}
    """
    inline_shop.texts({"a": "nan", "b": "one", "c": "zero"})
    run_broken(inline_shop, body)
    assert inline_shop.fates() == {"a": PENDING, "b": KEPT, "c": PENDING}
    assert inline_shop.sql("SELECT doc_id, step, reason FROM quarantine ORDER BY doc_id") == [
        (0, "broken", "nan"),
        (2, "broken", "nan"),
    ]
    assert inline_shop.sql("SELECT * FROM signals.broken") == [(1, 1.0, 1.0)]


def test_infinity_and_none_are_values(inline_shop: Shop) -> None:
    """Infinity is stored and compared; None is undefined and drops nothing."""
    body = """
    signals = {"a": float}
    rules = {"large": "a > 1e300", "small": "NOT a > 0"}
    def measure(self, docs):
        return {"a": [float("inf"), None]}
    """
    run_broken(inline_shop, body)
    assert inline_shop.fates() == {"long": ("dropped", "broken.large"), "short": KEPT}


CLEANER = """
class Broken(Cleaner):
    version = 1
    def clean(self, docs):
        if "short\\nlines" in docs.text:
            raise RuntimeError("cannot")
        return docs.text.str.to_uppercase()

@hookimpl
def register_cleaners(register):
    register(Broken)
"""


def test_a_cleaner_that_fails_on_a_document(inline_shop: Shop) -> None:
    """The document is pending, with its text as read, and no later step sees it."""
    inline_shop.write("broken.py", HEAD + CLEANER)
    report = inline_shop.run("broken", "gopher_quality", plugins=("broken.py",))
    assert report.counts["failed"] == 1
    assert inline_shop.fates()["short"] == PENDING
    assert inline_shop.sql("SELECT reason, detail FROM quarantine") == [("RuntimeError", "cannot")]
    assert inline_shop.sql("SELECT text FROM texts ORDER BY doc_id")[0] == (LONG.upper(),)
    assert inline_shop.sql("SELECT doc_id FROM signals.gopher_quality") == [(0,)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [("[1] * len(docs)", r"clean\(\) must be String"), ("['a']", r"clean\(\) has 1 values for 2 documents")],
)
def test_a_cleaner_answers_a_text_for_each_document(inline_shop: Shop, answer: str, message: str) -> None:
    """Numbers instead of texts, or too few texts, stop the run by the step's name."""
    start, end = CLEANER.index("        if"), CLEANER.index("\n\n@hookimpl")
    inline_shop.write("broken.py", HEAD + CLEANER[:start] + f"        return {answer}" + CLEANER[end:])
    with pytest.raises(CuratorError, match=f"step broken: {message}"):
        inline_shop.run("broken", plugins=("broken.py",))


def test_a_failed_document_does_not_block_a_corpus_without_originals(inline_shop: Shop) -> None:
    """Its text is gone, so it stays pending; the next run still does everything else."""
    inline_shop.write(
        "broken.py",
        """
        from curator import hookimpl

        def lower(text: str) -> str:
            return text.lower()

        def picky(doc) -> bool:
            return 1 / (doc.source_key != "short") > 0

        @hookimpl
        def register_cleaners(register):
            register(lower)

        @hookimpl
        def register_filters(register):
            register(picky)
        """,
    )
    for _ in range(2):
        inline_shop.run("lower", "picky", plugins=("broken.py",), keep_original=False)
        assert inline_shop.fates() == {"long": KEPT, "short": PENDING}
