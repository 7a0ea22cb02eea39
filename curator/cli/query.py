"""`curator sql`, `curator why` and `curator status`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from curator.cli.output import CorpusOption, JsonOption, as_json, console, count, table

if TYPE_CHECKING:
    import pyarrow as pa


class Format(StrEnum):
    """How a result is written."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"


def sql(
    query: str = typer.Argument(..., help="One SELECT; - reads it from standard input."),
    corpus: Path = CorpusOption,
    format: Format = typer.Option(None, help="table (the default), or that of the -o file's name."),
    output: Path = typer.Option(None, "-o", "--output", help="Write the result to this file."),
    rows: int = typer.Option(40, help="Rows that a table shows; 0 shows all."),
) -> None:
    """Ask the catalog in SQL; read-only.

    Example: curator sql "SELECT domain, count(*), sum(n_words) FROM documents WHERE kept GROUP BY ALL"
    """
    from curator.corpus import Corpus

    result = Corpus.existing(corpus).sql(sys.stdin.read() if query == "-" else query).arrow()
    chosen = format or _format_of(output)
    if output is None and chosen is Format.table:
        return _show(result, rows)
    _write(result, chosen, output)


def _format_of(output: Path | None) -> Format:
    from curator.errors import UsageError

    if output is None:
        return Format.table
    suffix = output.suffix.lstrip(".")
    if suffix not in list(Format):
        raise UsageError(f"-o {output}: name the file .csv, .json, .jsonl or .parquet, or give --format")
    return Format(suffix)


def _show(result: pa.Table, limit: int) -> None:
    shown = result if limit == 0 else result.slice(0, limit)
    numbers = [
        f.name for f in result.schema if str(f.type).startswith(("int", "uint", "float", "double", "decimal"))
    ]
    columns = [column.to_pylist() for column in shown.columns]
    table(
        "",
        result.column_names,
        ([_cell(v) for v in row] for row in zip(*columns, strict=True)),
        right=numbers,
    )
    if shown.num_rows < result.num_rows:
        console(stderr=True).print(
            f"{shown.num_rows} of {result.num_rows:,} rows; --rows 0 shows all, -o writes them"
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _write(result: pa.Table, chosen: Format, output: Path | None) -> None:
    import io

    import polars as pl

    frame = pl.from_arrow(result.rename_columns(_distinct(result.column_names)))
    assert isinstance(frame, pl.DataFrame)
    if chosen in (Format.csv, Format.json, Format.jsonl):  # they have no form for bytes
        frame = frame.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    written = io.BytesIO()
    if chosen is Format.table:
        written.write(str(frame).encode() + b"\n")
    elif chosen is Format.csv:
        nested = [c.name for c in frame if isinstance(c.dtype, pl.List | pl.Array | pl.Struct)]
        as_text = [
            pl.Series(
                n, [None if v is None else json.dumps(v, default=str) for v in frame[n].to_list()], pl.String
            )
            for n in nested
        ]
        frame.with_columns(as_text).write_csv(written)
    elif chosen is Format.json:
        frame.write_json(written)
        written.write(b"\n")
    elif chosen is Format.jsonl:
        frame.write_ndjson(written)
    else:
        frame.write_parquet(written)
    if output is None:
        sys.stdout.buffer.write(written.getbuffer())
        sys.stdout.buffer.flush()
    else:
        output.write_bytes(written.getbuffer())


def _distinct(names: list[str]) -> list[str]:
    """Column names of a join, told apart: n_words, n_words_1."""
    found: list[str] = []
    for name in names:
        tries = (name if i == 0 else f"{name}_{i}" for i in range(len(names)))
        found.append(next(n for n in tries if n not in found))
    return found


def status(corpus: Path = CorpusOption, json: bool = JsonOption) -> None:
    """What is done, left, pending and quarantined.

    Example: curator status -c ./corpus
    """
    from curator.corpus import Corpus

    opened = Corpus.existing(corpus)
    sources = opened.sql(
        "SELECT s.source, count(*) FILTER (state = 'done') AS done, count(*) FILTER (state = 'planned') AS planned, "
        "count(*) FILTER (state = 'failed') AS failed, any_value(documents) AS documents, any_value(kept) AS kept, "
        "any_value(pending) AS pending FROM splits s LEFT JOIN (SELECT source, count(*) AS documents, "
        "count(*) FILTER (decision = 'kept') AS kept, count(*) FILTER (decision IS NULL OR decision = 'pending') AS pending "
        "FROM documents GROUP BY source) USING (source) WHERE state <> 'superseded' GROUP BY s.source ORDER BY s.source"
    ).dicts()
    quarantine = opened.sql(
        "SELECT source, coalesce(step, 'reading') AS step, reason, sum(records)::BIGINT AS records FROM quarantine GROUP BY ALL ORDER BY ALL"
    ).dicts()
    runs = opened.sql(
        "SELECT run_id, recipe, state, started, finished FROM runs ORDER BY run_id DESC LIMIT 5"
    ).dicts()
    gone = opened.sql("SELECT source, uri FROM parts WHERE state = 'vanished' ORDER BY ALL").dicts()
    if json:
        return as_json({"sources": sources, "quarantine": quarantine, "runs": runs, "vanished": gone})
    names = ("done", "planned", "failed", "documents", "kept", "pending")
    table(
        "",
        ("source", *(f"splits {n}" if n in names[:3] else n for n in names)),
        [[s["source"], *(count(s[n] or 0) for n in names)] for s in sources],
        right=("splits done", "splits planned", "splits failed", *names),
    )
    if quarantine:
        table(
            "quarantine",
            ("source", "step", "reason", "records"),
            [[q["source"] or "", q["step"], q["reason"], count(q["records"])] for q in quarantine],
            right=("records",),
        )
    if gone:
        table("vanished files", ("source", "file"), [[g["source"], g["uri"]] for g in gone])
    table(
        "runs",
        ("run", "recipe", "state", "started", "finished"),
        [
            [
                r["run_id"],
                r["recipe"],
                r["state"],
                f"{r['started']:%Y-%m-%d %H:%M:%S}",
                f"{r['finished']:%Y-%m-%d %H:%M:%S}" if r["finished"] else "",
            ]
            for r in runs
        ],
        right=("run",),
    )


def _near(path: str | None) -> str | None:
    """A path relative to here, where it lies below."""
    if path is None or not Path(path).is_relative_to(Path.cwd()):
        return path
    return str(Path(path).relative_to(Path.cwd()))


def _show_exports(exports: list[dict[str, Any]]) -> None:
    rows = [
        (
            e["path"], e["component"], "held out" if e["held_out"] else "trained on", count(e["place"]),
            "" if e["token_start"] is None else f"{e['token_start']:,}-{e['token_stop']:,}",
        )
        for e in exports[:10]
        if e["place"] is not None
    ]  # fmt: skip
    more = len(exports) - len(rows)
    columns = ("export", "component", "for", "place", "tokens")
    table("", columns, [*rows, *([(f"and {count(more)} more", *[""] * 4)] if more else [])], right=columns[3:])


def _show_diff(diff: list[tuple[str, str]]) -> None:
    """In the form of `git diff --word-diff`: [-only in the kept copy-], {+only in this document+}."""
    from rich.text import Text

    if all(kind == "=" for kind, _ in diff):
        console().print("  word for word the kept copy")
        return
    line = Text("  from the kept copy: ")
    for kind, words in diff:
        style = {"=": "dim", "-": "red", "+": "green"}[kind]
        line.append(
            {"=": words, "-": f"[-{words}-]", "+": f"{{+{words}+}}"}[kind][:2000], style=style
        ).append(" ")
    console().print(line)


def _verdict(match: dict[str, Any]) -> str:
    return f"{match['verdict'] or 'too little'}{', reviewed' if match['reviewed'] else ''}"


def why(
    doc: str = typer.Argument(..., help="A doc_id, doc_key, source_key or URL."),
    corpus: Path = CorpusOption,
    unredacted: bool = typer.Option(False, help="Show the text as it is."),
    json: bool = JsonOption,
) -> None:
    """Why a document was kept or dropped: every signal, rule, margin and cluster.

    Example: curator why pubmed-21645374
    """
    from curator.corpus import Corpus
    from curator.redact import redact
    from curator.why import diffs, explain, find, to_dict

    opened = Corpus.existing(corpus)
    found = explain(opened, find(opened, doc))
    shown = str if unredacted else redact
    text = shown(found.text)
    if json:
        return as_json(to_dict(found, shown))
    out = console()
    d = found.document
    out.print(f"[bold]{d['doc_id']}[/bold] {d['source']} ", end="")
    out.print(d["source_key"], markup=False)
    out.print(f"[bold]{d['decision'] or 'undecided'}[/bold]{': ' + d['reason'] if d['reason'] else ''}")
    about = {
        k: d[k]
        for k in (
            "title",
            "url",
            "published",
            "license",
            "language",
            "declared_domain",
            "domain",
            "n_chars",
            "n_words",
        )
    }
    table(
        "",
        ("column", "value"),
        [(k, v) for k, v in (about | {"file": _near(found.file)}).items() if v is not None],
    )
    rows: list[tuple[str, ...]] = []
    step = ""
    for r in found.rules:
        if r.step != step:
            step = r.step
            rows.append((step, "", "", "", ""))
        values = ", ".join(f"{k.rpartition('.')[2]} = {_cell(v) or 'NULL'}" for k, v in r.values.items())
        answer = "not measured" if r.fails is None else "FAILS" if r.fails else "passes"
        if r.options and all(v in (None, []) for v in r.options.values()):
            rows.append((f"  {r.rule}", "off", values, "", ""))
            continue
        rows.append(
            (f"  {r.rule}", answer, values, r.resolved, "" if r.margin is None else f"{r.margin:,.6g}")
        )
    table("", ("rule", "answer", "measured", "drops where", "margin"), rows, right=("margin",))
    for copy, diff in zip(found.copies, diffs(found, shown), strict=True):
        kept = "this one" if copy["is_kept"] else str(copy["kept_copy"] or "none")
        near = copy["similarity_to_kept"]
        out.print(
            f"{copy['step']}: one of {copy['cluster_size']} copies; kept is {kept}"
            + (f", similarity {near:.2f}" if near is not None else "")
        )
        others = [(o["doc_id"], o["source"], o["source_key"]) for o in copy["others"]]
        more = copy["cluster_size"] - 1 - len(others)
        table(
            "",
            ("copy", "source", "source_key"),
            [*others, *([(f"and {more:,} more", "", "")] if more else [])],
        )
        if diff is not None:
            _show_diff(diff)
    if found.contamination:
        listed = found.contamination[:10]
        more = len(found.contamination) - len(listed)
        table(
            "",
            ("benchmark", "item", "field", "overlap", "words", "verdict", "text"),
            [
                *(
                    (
                        *(c[n] for n in ("benchmark", "item", "field")),
                        f"{c['overlap']:.2f}",
                        c["words"],
                        _verdict(c),
                        c["text"] if unredacted else redact(c["text"]),
                    )
                    for c in listed
                ),
                *([(f"and {count(more)} more", *[""] * 6)] if more else []),
            ],
            right=("overlap", "words"),
        )
    if found.exports:
        _show_exports(found.exports)
    for q in found.quarantine:
        out.print(f"quarantine: step {q['step']}: {q['reason']}: {q['detail']}", markup=False)
    out.print("\n" + text[:600] + (" …" if len(text) > 600 else ""), markup=False)
