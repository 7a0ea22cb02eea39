"""What a recipe's rules may say, checked against empty tables of the right types before any work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from curator.errors import UsageError
from curator.registry import suggest
from curator.rules import Expression, literal, parse, quoted, scratch

if TYPE_CHECKING:
    from curator.recipe import Recipe, StepSpec

#: column of `documents` -> its type, as rules see it
DOCUMENT_TYPES: dict[str, str] = {
    "doc_id": "UBIGINT",
    "doc_key": "UUID",
    "source": "VARCHAR",
    "source_key": "VARCHAR",
    "url": "VARCHAR",
    "host": "VARCHAR",
    "title": "VARCHAR",
    "published": "TIMESTAMP",
    "retrieved": "TIMESTAMP",
    "license": "VARCHAR",
    "declared_domain": "VARCHAR",
    "metadata": "JSON",
    "content_hash": "UUID",
}
#: known only when all cleaners are done, so not behind a gate
FINAL_TYPES: dict[str, str] = {"n_chars": "UINTEGER", "n_words": "UINTEGER", "text_hash": "UUID"}
FILLED = ("language", "domain")
#: word of a dedup's `keep:` -> the value whose largest is kept
KEEPS: dict[str, str] = {
    "first": "0",
    "none": "0",
    "longest": "f.n_chars",
    "newest": "coalesce(d.published, d.retrieved)",
}
COLUMN_TYPES = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "str": "VARCHAR",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_PYTHON: dict[Any, Any] = {
    float: pl.Float64,
    int: pl.Int64,
    bool: pl.Boolean,
    str: pl.String,
    bytes: pl.Binary,
}


def empty_frame() -> pl.DataFrame:
    """A batch's frame without rows."""
    text = ("source", "source_key", "url", "title", "license", "declared_domain", "metadata", "text")
    return pl.DataFrame(
        schema={
            "doc_id": pl.UInt64,
            **dict.fromkeys(text, pl.String),
            "published": pl.Datetime("us"),
            "retrieved": pl.Datetime("us"),
        }
    )


def polars_types(signals: Mapping[str, Any], frame: pl.DataFrame, label: str) -> dict[str, pl.DataType]:
    """The Polars type of every declared signal: as declared, or what its expression gives."""
    found: dict[str, pl.DataType] = {}
    for name, declared in signals.items():
        if isinstance(declared, pl.Expr):
            try:
                found[name] = frame.head(0).select(declared.alias(name)).schema[name]
            except pl.exceptions.PolarsError as error:
                raise UsageError(f"signal {label}.{name}: {error}") from error
        else:
            kind = _PYTHON.get(declared, declared)
            if not (
                isinstance(kind, pl.DataType) or (isinstance(kind, type) and issubclass(kind, pl.DataType))
            ):
                raise UsageError(
                    f"signal {label}.{name} is declared as {declared!r}; use float, int, bool, str or a Polars type"
                )
            found[name] = kind() if isinstance(kind, type) else kind
    return found


def duckdb_types(signals: Mapping[str, Any], frame: pl.DataFrame, label: str) -> dict[str, str]:
    """The DuckDB type of every declared signal."""
    schema = polars_types(signals, frame, label)
    if not schema:
        return {}
    empty = pl.DataFrame(schema=schema)
    with scratch() as con:
        con.register("empty", empty.to_arrow())
        return {
            str(name): str(kind)
            for name, kind in con.execute("SELECT column_name, column_type FROM (DESCRIBE empty)").fetchall()
        }


def column(recipe: Recipe, at: int, parts: tuple[str, ...], extra: Mapping[str, str]) -> str:
    """What a name in a rule of step `at` stands for: `s<step>."signal"` or `d."column"`."""
    step = recipe.steps[at]
    if len(parts) == 1:
        if parts[0] in step.signals:
            return f"s{at}.{quoted(parts[0])}"
        raise UsageError(
            f"{parts[0]!r} is no signal of {step.name}{suggest(parts[0], step.signals)}"
            f" (elsewhere: step.signal, documents.column)"
        )
    owner, name = parts[0], parts[1]
    if len(parts) > 2:
        raise UsageError(f"{'.'.join(parts)!r}: write step.signal or documents.column")
    if owner == "documents":
        if name in FILLED:
            return filled(recipe, name)
        if name in FINAL_TYPES:
            counts = FINAL_TYPES[name] == "UINTEGER"  # -n_words must not overflow
            return f"CAST(f.{quoted(name)} AS BIGINT)" if counts else f"f.{quoted(name)}"
        if name in DOCUMENT_TYPES or name in extra:
            return f"d.{quoted(name)}"
        raise UsageError(
            f"documents has no column {name!r} for rules{suggest(name, [*DOCUMENT_TYPES, *FINAL_TYPES, *FILLED, *extra])}"
        )
    for i, other in enumerate(recipe.steps):
        if other.name == owner:
            if i > at:
                raise UsageError(f"{owner}.{name}: step {owner!r} stands later; move it before {step.name}")
            if name not in other.signals or (
                other.wide and name in (other.bands, other.signature, other.vectors)
            ):
                raise UsageError(f"step {owner!r} has no signal {name!r}{suggest(name, other.signals)}")
            return f"s{i}.{quoted(name)}"
    raise UsageError(
        f"{owner}.{name}: there is no step {owner!r}{suggest(owner, [s.name for s in recipe.steps])}"
    )


def filled(recipe: Recipe, name: str) -> str:
    """The signal that fills `documents.<name>`: of the last step that declares it."""
    for i, step in reversed(list(enumerate(recipe.steps))):
        if name in step.fills:
            return f"s{i}.{quoted(step.fills[name])}"
    return "CAST(NULL AS VARCHAR)"


def option_sql(recipe: Recipe, at: int, name: str, extra: Mapping[str, str]) -> str:
    """A rule option's value: a literal, or a CASE over the column that its table names."""
    step = recipe.steps[at]
    if name not in step.options:
        raise UsageError(f"${name}: {step.name} has no option {name!r}{suggest(name, step.options)}")
    value = step.options[name]
    if not (isinstance(value, dict) and "by" in value):
        return literal(value)
    over = column(recipe, at, ("documents", str(value["by"])), extra)
    cases = " ".join(
        f"WHEN {literal(str(key))} THEN {literal(cell)}"
        for key, cell in value.items()
        if key not in ("by", "default")
    )
    otherwise = literal(value.get("default"))
    return f"(CASE CAST({over} AS VARCHAR) {cases} ELSE {otherwise} END)" if cases else otherwise


def qualified(recipe: Recipe, at: int, sql: str, extra: Mapping[str, str]) -> tuple[str, Expression]:
    """A rule of step `at` over the joined tables. Raises UsageError for a name that is not there."""
    expression = parse(sql)
    text = expression.qualify(
        lambda parts: column(recipe, at, parts, extra), lambda name: option_sql(recipe, at, name, extra)
    )
    return f"({text}\n)", expression


def check_rules(recipe: Recipe) -> Iterator[tuple[int, str]]:
    """(step index, message) for every mistake in the rules, in step order."""
    import duckdb

    extra = recipe.column_types
    gates = [i for i, s in enumerate(recipe.steps) if s.kind == "gate"]
    waits = recipe.last_corpus_cleaner
    with duckdb.connect() as con:
        documents = {**DOCUMENT_TYPES, **extra}
        con.execute(f"CREATE TABLE d ({', '.join(f'{quoted(n)} {t}' for n, t in documents.items())})")
        con.execute(
            f"CREATE TABLE f (doc_id UBIGINT, {', '.join(f'{n} {t}' for n, t in FINAL_TYPES.items())})"
        )
        joins = "d JOIN f USING (doc_id)"
        for i, step in enumerate(recipe.steps):
            if step.signals:
                columns_sql = ", ".join(f"{quoted(n)} {t}" for n, t in step.signals.items())
                con.execute(f"CREATE TABLE s{i} (doc_id UBIGINT, {columns_sql})")
                joins += f" LEFT JOIN s{i} USING (doc_id)"
        for i, step in enumerate(recipe.steps):
            if step.kind == "dedup":
                yield from ((i, message) for message in dedup_mistakes(recipe, i))
            checks = {**step.rules, **{sql: sql for sql in step.notes.values()}}
            if step.contamination:
                checks["contamination"] = step.contamination
            if step.kind == "dedup":
                checks |= _dedup_expressions(step)
            for name, sql in checks.items():
                where = f"rule {step.name}.{name}"
                try:
                    text, expression = qualified(recipe, i, sql, extra)
                    if expression.has_window and gates:
                        side = "behind" if gates[0] < i else "before"
                        raise UsageError(
                            f"a window stands {side} a gate: it would range over whatever happened to be measured; "
                            "remove the gate, or the window"
                        )
                    if gates and i < gates[-1] and "f." in text:
                        raise UsageError(
                            "n_chars, n_words and text_hash are not known at the gate after this step"
                        )
                    if i < waits and (
                        "f." in text or any(int(n) > i for n in re.findall(r"\bs(\d+)\.", text))
                    ):
                        raise UsageError(
                            f"it asks for what is known only behind {recipe.steps[waits].name}, which removes what the "
                            "documents that this step lets pass repeat"
                        )
                    described = f"DESCRIBE SELECT {text} AS rule, d.doc_id FROM {joins}"
                    kind = con.execute(f"SELECT column_type FROM ({described})").fetchall()[0][0]
                    if name in step.rules and kind not in ("BOOLEAN", '"NULL"'):
                        raise UsageError(f"{sql} answers {kind}; a rule answers true or false")
                except UsageError as error:
                    hint = f"; keep is {', '.join(KEEPS)} or a SQL value" if name == "keep" else ""
                    yield i, f"{where}: {error}{hint}"
                except duckdb.Error as error:
                    first = str(error).splitlines()[0]
                    yield i, f"{where} ({sql}): {first}"


def dedup_mistakes(recipe: Recipe, at: int) -> Iterator[str]:
    """What is wrong with how a dedup elects."""
    step = recipe.steps[at]
    names = [s.name for s in recipe.sources]
    for option in ("prefer", "against"):
        for name in step.options.get(option) or ():
            if names and name not in names:
                yield f"{step.name}.{option}: there is no source {name!r}{suggest(name, names)}"
    if names and set(names) <= set(step.options.get("against") or ()):
        yield f"{step.name}.against: it names every source, so nothing would be dropped; leave out the one to drop from"
    if step.options.get("keep") == "longest" and at < recipe.last_corpus_cleaner:
        yield f"{step.name}.keep: how long texts are is known only behind {recipe.steps[recipe.last_corpus_cleaner].name}"
    copies = str(step.options.get("copies", 1))
    try:
        other = [n for n in parse(copies).names if n.parts != ("cluster_size",)]
        if other or parse(copies).has_window:
            yield f"{step.name}.copies = {copies!r}: a number, or SQL over cluster_size"
    except UsageError as error:
        yield f"{step.name}.copies: {error}"


def _dedup_expressions(step: StepSpec) -> dict[str, str]:
    found = {}
    keep = step.options.get("keep", "first")
    if keep not in KEEPS:
        found["keep"] = str(keep)
    if step.options.get("within"):
        found["within"] = f"documents.{step.options['within']}"
    return found
