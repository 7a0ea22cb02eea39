"""Kit for authors of step plugins: batches from texts, measures, rules, and the contract.

    from curator.testing import check_contract, check_filter
    from my_plugin import ShortLines

    def test_short_lines():
        check_filter(ShortLines, keep=["a line of more than twenty characters"], drop={"a\\nb": "short_lines"})
        check_contract(ShortLines)

A plugin is given as its class or function (or as an instance), options by name. It runs as in a run: the same
checks of names, types and lengths, and rules in DuckDB. Failed checks raise AssertionError, a broken contract
PluginError; no test framework is needed.
"""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import duckdb
import polars as pl

from curator.checking import DOCUMENT_TYPES, FINAL_TYPES, check_rules, duckdb_types, empty_frame, qualified
from curator.documents import Documents
from curator.engines import Outcome
from curator.engines.local import LocalEngine
from curator.errors import PluginError, UsageError
from curator.loading import Plugins
from curator.measuring import StepRunner
from curator.plugin import Step
from curator.recipe import Recipe, StepSpec, is_table
from curator.registry import BASES, STEP_KINDS, as_plugin, plugin_name
from curator.rules import quoted

_WHITESPACE = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace())

#: texts that have broken filters: nothing, no words, NUL, emoji, right to left, long, every white space
HARD_TEXTS: tuple[str, ...] = (
    "",
    " \n\t ",
    "a",
    "A plain sentence, of some words.\nAnd another line.",
    "NUL \x00 in the middle \x00",
    "\U0001f469\u200d\U0001f680 \U0001f1eb\U0001f1f7 \U0001f600" * 3,
    "\u05e9\u05dc\u05d5\u05dd \u202b\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u202c.",
    "e\u0301 \ufb01 \u017f \u0130 \uff21 \u00df \ufeff\u200b",
    f"x{'x'.join(_WHITESPACE)}x",
    _WHITESPACE,
    "... !!! ??? \u2026",
    "&amp; &lt;b&gt; \u00c3\u00a9 \u00e2\u20ac\u201c",
    "\r\n".join(["- one", "* two", "# three", "", "four..."]),
    "long " * 40_000,
    "x" * 200_000,
)


def documents(*texts: str, **columns: Sequence[Any]) -> Documents:
    """A batch with these texts; `columns` fill its other columns, as `url=["https://a", None]`."""
    rows = len(texts)
    given = {"doc_id": range(rows), "source": ["test"] * rows, "source_key": [str(i) for i in range(rows)]}
    frame = pl.DataFrame({**given, **columns, "text": texts}, schema_overrides=_known(("text", *columns)))
    return Documents(pl.concat([empty_frame(), frame], how="diagonal"), chunks=_chunks())


def measure(plugin: Any, *texts: str, **options: Any) -> pl.DataFrame:
    """What a step measures of these texts: a column a signal, and the new `text` of a cleaner.

    Raises PluginError where the plugin raises on a text or does not answer what it declares.
    """
    return _measured(_step(plugin, options), documents(*texts))


def check_filter(
    plugin: Any,
    *,
    keep: Iterable[str] = (),
    drop: Mapping[str, str] | None = None,
    rule: str | None = None,
    **options: Any,
) -> None:
    """Check which texts a step keeps, and by which rule, the first that fails, it drops the others.

    `rule` is that of a function, as given to `register`; an option may be a table over a column.
    """
    expected: dict[str, str | None] = {**dict.fromkeys(keep), **(drop or {})}
    docs = documents(*expected)
    step = _step(plugin, {k: v for k, v in options.items() if not is_table(v)}, rule)
    answers = _failing(step, docs, options)
    for (text, wanted), failing in zip(expected.items(), answers, strict=True):
        first = failing[0] if failing else None
        _require(first == wanted, f"{_shown(text)} is {_fate(first)}, expected was: {_fate(wanted)}")


def check_row_wise(plugin: Any, *texts: str, **options: Any) -> None:
    """Check that a batch, its reversal and one document at a time give the same, and that it repeats."""
    step = _step(plugin, options)
    name = plugin_name(type(step))
    together = _measured(step, documents(*texts))
    _require(_measured(_step(plugin, options), documents(*texts)).equals(together), f"{name} does not repeat")
    backwards = _measured(step, documents(*reversed(texts))).reverse()
    _require_equal(together, backwards, texts, f"{name} depends on the order of the documents")
    alone = [_measured(step, documents(text)) for text in texts]
    if alone:
        _require_equal(
            together, pl.concat(alone), texts, f"{name} depends on the other documents of the batch"
        )


def check_contract(plugin: Any, **options: Any) -> None:
    """Check what the host relies on, over texts that have broken filters.

    The step is row-wise and repeats, answers what it declares, raises on no text, has no NaN, leaves the
    batch as it was, and a worker that is spawned and loads it by name measures the same.
    """
    together = _checked_here(plugin, options)
    _require_as_in_worker(together, *measured_by_a_worker([(plugin, options)]))


def measured_by_a_worker(cases: Iterable[tuple[Any, Mapping[str, Any]]]) -> list[Outcome]:
    """What one spawned worker, which loads steps by name, measures of HARD_TEXTS: an outcome a (plugin, options)."""
    tasks = [(i, *_address(type(_step(plugin, options))), options) for i, (plugin, options) in enumerate(cases)]
    outcomes = [o for o in LocalEngine(1).map(_by_name, None, tasks) if o is not None]
    return sorted(outcomes, key=lambda outcome: int(outcome.task[0]))


def check_against_worker(plugin: Any, outcome: Outcome, **options: Any) -> None:
    """`check_contract` of one of many plugins; `outcome` is of `measured_by_a_worker`, which takes a second to start."""
    _require_as_in_worker(_checked_here(plugin, options), outcome)


def _checked_here(plugin: Any, options: Mapping[str, Any]) -> pl.DataFrame:
    """What it measures of HARD_TEXTS, all of the contract checked but the worker."""
    step = _step(plugin, options)
    name = plugin_name(type(step))
    check_row_wise(plugin, *HARD_TEXTS, **options)
    docs = documents(*HARD_TEXTS)
    rows = docs.frame.rows()
    together = _measured(step, docs)
    _require(docs.frame.rows() == rows, f"{name} changes the batch that it measures")
    return together


def _require_as_in_worker(together: pl.DataFrame, outcome: Outcome) -> None:
    name = outcome.task[3]
    _require(outcome.error is None, f"{name} in a spawned worker: {outcome.error}")
    _require_equal(together, outcome.result, HARD_TEXTS, f"{name} measures otherwise in a spawned worker")


@functools.cache
def _chunks() -> Any:
    """The word tables of this process, as a worker has them: learning words anew for each batch takes long."""
    from curator.text import Chunks

    return Chunks()


def _known(columns: Iterable[str]) -> dict[str, Any]:
    schema = empty_frame().schema
    return {name: schema[name] for name in ("doc_id", *columns) if name in schema}


def _step(plugin: Any, options: Mapping[str, Any], rule: str | None = None) -> Step:
    if isinstance(plugin, Step):
        if options:
            raise TypeError("an instance has its options already; give the class")
        return plugin
    answer = None if isinstance(plugin, type) else typing.get_type_hints(plugin).get("return", bool)
    kind = _kind(plugin) if answer is None else "cleaner" if answer is str and rule is None else "filter"
    if kind == "filter" and rule is None and answer not in (None, bool):
        rule = "false"  # what it measures is asked for, not what it drops
    return cast(Step, as_plugin(kind, plugin, origin=str(plugin.__module__), rule=rule)(**options))


def _kind(plugin: type) -> str:
    kinds = [kind for kind in STEP_KINDS if issubclass(plugin, BASES[kind])]
    if not kinds:
        raise TypeError(f"{plugin.__name__} is no step: subclass Filter, Cleaner, Dedup or Classifier")
    return kinds[0]


def _measured(step: Step, docs: Documents) -> pl.DataFrame:
    name = plugin_name(type(step))
    runner = StepRunner(name, step)
    if not runner.types and _kind(type(step)) != "cleaner":
        return pl.DataFrame()
    found = runner.run(docs)
    for doc_id, (reason, detail) in found.failed.items():
        text = docs.text.filter(docs.frame["doc_id"] == doc_id)[0]
        raise PluginError(f"{name} fails on {_shown(text)}: {reason}: {detail}")
    signals = found.rows.drop("doc_id")
    return signals if found.texts is None else signals.with_columns(found.texts.alias("text"))


def _failing(step: Step, docs: Documents, options: Mapping[str, Any]) -> list[list[str]]:
    """The rules that drop each document, in order, answered as the catalog does."""
    name, rules = plugin_name(type(step)), step.declared_rules()
    values = {o: getattr(step, o) for o in step.options()} | dict(options)
    signals = duckdb_types(step.declared_signals(), empty_frame(), name)
    spec = StepSpec(
        name,
        _kind(type(step)),
        name,
        "",
        "",
        values,
        rules=rules,
        signals=signals,
        fills=dict(step.documents),
    )
    recipe = Recipe("test", "", "", (), True, (), (spec,))
    for _, mistake in check_rules(recipe):
        raise UsageError(mistake)
    ids, measured = docs.frame.select("doc_id"), _measured(step, docs)
    text = measured["text"] if "text" in measured.columns else docs.text
    final = ids.with_columns(n_chars=text.str.len_chars(), n_words=text.str.count_matches(r"\S+"))
    with duckdb.connect() as con:
        for table, types, rows in (
            ("d", DOCUMENT_TYPES, docs.frame.drop("text")),
            ("f", {"doc_id": "UBIGINT", **FINAL_TYPES}, final),
            ("s0", {"doc_id": "UBIGINT", **signals}, ids.hstack([measured[name] for name in signals])),
        ):
            con.execute(f"CREATE TABLE {table} ({', '.join(f'{quoted(n)} {t}' for n, t in types.items())})")
            con.register("rows", rows.to_arrow())
            con.execute(f"INSERT INTO {table} BY NAME FROM rows")
        answers = (
            ", ".join(f"coalesce({qualified(recipe, 0, sql, {})[0]}, false)" for sql in rules.values())
            or "false"
        )
        found = con.execute(
            f"SELECT {answers} FROM d JOIN f USING (doc_id) JOIN s0 USING (doc_id) ORDER BY doc_id"
        ).fetchall()
    return [[rule for rule, fails in zip(rules, row, strict=False) if fails] for row in found]


def _address(plugin: type[Step]) -> tuple[str, str, str]:
    """What a worker loads the plugin by: (ref, kind, name)."""
    kind, name = _kind(plugin), plugin_name(plugin)
    for entry in Plugins().all():
        if (entry.kind, entry.name, entry.plugin.__module__) == (kind, name, plugin.__module__):
            return entry.ref, kind, name
    return f"file:{sys.modules[plugin.__module__].__file__}", kind, name


def _by_name(_: None) -> Callable[[tuple[int, str, str, str, dict[str, Any]]], pl.DataFrame]:
    def measured(task: tuple[int, str, str, str, dict[str, Any]]) -> pl.DataFrame:
        _, ref, kind, name, options = task
        step = cast(Step, Plugins().by_ref(ref, kind, name).plugin(**options))
        return _measured(step, documents(*HARD_TEXTS))

    return measured


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _require_equal(one: pl.DataFrame, other: pl.DataFrame, texts: Sequence[str], message: str) -> None:
    for name in one.columns:
        for text, left, right in zip(texts, one[name].to_list(), other[name].to_list(), strict=True):
            _require(left == right, f"{message}: {name} of {_shown(text)} is {left!r} and {right!r}")


def _fate(rule: str | None) -> str:
    return "kept" if rule is None else f"dropped by {rule}"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}… ({len(text)} characters)"
