"""`curator run` and `curator init`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from curator.cli.output import Bars, as_json, characters, console, count, share, size, table

if TYPE_CHECKING:
    from curator.clusters import Clusters
    from curator.recipe import Recipe
    from curator.run import Report


def run(
    recipe: Path = typer.Argument(None, help="The recipe file (YAML)."),
    engine: str = typer.Option("local", help="Where the work is done: local."),
    workers: int = typer.Option(
        None,
        "--workers",
        "-w",
        min=0,
        help="Processes; one a core unless given. 0 works in this one, for debugging.",
    ),
    limit: int = typer.Option(
        None, min=1, help="Try out: only the first N documents of each source, in a scratch corpus."
    ),
    sample: str = typer.Option(
        None, help="Try out: only this share of the documents, as 1%, in a scratch corpus."
    ),
    prune: bool = typer.Option(False, help="Take out the documents of files that vanished."),
    retry: list[str] = typer.Option(
        [], help="Read files again that have records in quarantine for this reason."
    ),
    accept: bool = typer.Option(False, help="Go on where a guard would stop."),
    plugin: list[Path] = typer.Option([], help="A .py file with plugins, beside the recipe's own."),
    word_memory: str = typer.Option(
        "256MiB", help="Memory for the word table of each worker; less is slower, the results are the same."
    ),
    corpus: Path = typer.Option(None, "--corpus", "-c", help="The corpus folder, instead of the recipe's."),
    unredacted: bool = typer.Option(False, help="Show sampled text as it is."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
    print_schema: bool = typer.Option(
        False, "--print-schema", help="Print the JSON Schema of recipes and exit."
    ),
) -> None:
    """Do everything that is missing of a recipe: read, measure, find copies, decide.

    Example: curator run examples/quickstart.yaml --workers 2
    """
    from curator import recipe as recipes
    from curator.errors import UsageError

    if print_schema:
        from curator.recipe_file import schema

        return as_json(schema())
    if recipe is None:
        raise UsageError("name a recipe: curator run RECIPE; `curator init` writes one")
    if engine != "local":
        raise UsageError(f"--engine {engine!r}: there is local")
    if limit is not None and sample is not None:
        raise UsageError("--limit and --sample exclude each other; give one")
    loaded = recipes.load(str(recipe), extra_plugins=tuple(str(p) for p in plugin))
    if corpus is not None:
        loaded = replace(loaded, corpus=str(corpus.absolute()))
    fraction, memory = _fraction(sample), _bytes(word_memory)

    from curator import run as runs
    from curator.engines.local import InlineEngine, LocalEngine

    folder = Path(loaded.corpus)
    trial = limit is not None or fraction is not None
    if trial:
        from curator.tombstones import carry

        folder, real = _scratch(folder), folder
        carry(real, folder)
    with Bars() as bars:
        report = runs.run(
            loaded,
            InlineEngine() if workers == 0 else LocalEngine(workers),
            bars,
            corpus=folder,
            sample=fraction,
            limit=limit,
            prune=prune,
            retry=retry,
            word_memory=memory,
            accept=accept,
        )
    if json:
        as_json(
            {
                "corpus": str(report.corpus),
                "run_id": report.run_id,
                "seconds": round(report.wall, 2),
                "counts": {**report.counts, **report.funnel.counts},
                "failed": report.failed,
            }
        )
    else:
        unreadable, left_out = _quarantined(report)
        _print(report, unreadable, left_out)
        if any(step.kind == "classifier" for step in loaded.steps):
            _print_domains(report.corpus)
        if trial:
            _print_trial(report, unredacted)
        _suggest(report, loaded, recipe, look=bool(unreadable))
    lost = report.counts["failed"] and report.funnel.pending == report.funnel.documents
    if lost:
        console(stderr=True).print(
            "a step failed on every document, so none is decided: curator sql "
            f'-c {report.corpus} "SELECT step, reason, detail, count(*) FROM quarantine GROUP BY ALL"',
            soft_wrap=True,
            markup=False,
        )
    if report.failed or lost:
        raise typer.Exit(1)


def _fraction(sample: str | None) -> float | None:
    from curator.errors import UsageError

    if sample is None:
        return None
    try:
        value = float(sample.rstrip("%")) / (100 if sample.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise UsageError(f"--sample {sample!r}: give a share of the documents, as 1% or 0.01")
    return value


def _bytes(size: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    from curator.errors import UsageError

    try:
        return TypeAdapter(ByteSize).validate_python(size)
    except ValidationError:
        raise UsageError(f"--word-memory {size!r}: give a size, as 64MiB or 1GB") from None


def _scratch(folder: Path) -> Path:
    """A fresh corpus beside the real one, for trying out."""
    import shutil

    scratch = folder.with_name(folder.name + ".sample")
    shutil.rmtree(scratch, ignore_errors=True)
    return scratch


def _print(report: Report, unreadable: dict[str, int], left_out: dict[str, int]) -> None:
    funnel = report.funnel
    rows: list[tuple[str, ...]] = [("read", count(funnel.documents), "", "", characters(funnel.chars))]
    for stage in funnel.stages:
        rows.append(
            (
                stage.step,
                count(stage.reached - stage.dropped),
                count(stage.dropped),
                share(stage.dropped, stage.reached),
                characters(stage.chars_left),
            )
        )
        rows += [
            (f"  {rule}", "", count(n), share(n, stage.reached), "")
            for rule, n in stage.by_rule.items()
            if n and (len(stage.by_rule) > 1)
        ]
    rows.append(
        ("kept", count(funnel.kept), "", share(funnel.kept, funnel.documents), characters(funnel.kept_chars))
    )
    if funnel.pending:
        rows.append(("pending", count(funnel.pending), "", share(funnel.pending, funnel.documents), ""))
    right = ("documents", "dropped", "share", "characters")
    table("", ("step", "documents", "dropped", "share", "characters"), rows, right=right)
    for copies in funnel.copies:
        _print_copies(copies)
    for (step, note), documents in funnel.notes.items():
        said = "1 document is" if documents == 1 else f"{count(documents)} documents are"
        console().print(f"{step}: {said} {note}", soft_wrap=True, markup=False)
    read = report.counts.get("documents", 0)
    cpu = sum(report.seconds.values())
    rate = f", {report.counts['bytes'] / 1e6 / cpu:.1f} MB/s of text per CPU second" if cpu and read else ""
    done = (
        f"{count(read)} documents read in {report.wall:.1f} s{rate}"
        if report.seconds
        else "nothing was read"
        if report.failed
        else "nothing was missing"
    )
    more = f"; left out by their sources: {_listed(left_out)}" if left_out else ""
    console().print(
        f"{done}; {count(sum(unreadable.values()))} new records in quarantine"
        + (f": {_listed(unreadable)}" if unreadable else "")
        + more,
        soft_wrap=True,
        markup=False,
    )
    for source in report.empty:
        console().print(f"source {source} has given no document", soft_wrap=True, markup=False, style="red")
    if report.failed:
        console().print(
            f"{len(report.failed)} failed and are tried again by the next run, first: {report.failed[0]}",
            soft_wrap=True,
            markup=False,
            style="red",
        )


def _quarantined(report: Report) -> tuple[dict[str, int], dict[str, int]]:
    """reason -> records that this run put into quarantine, and those that sources left out on purpose."""
    from curator.corpus import Corpus

    rows = Corpus.existing(report.corpus).sql(
        "SELECT position IS NOT DISTINCT FROM '*', reason, sum(records)::BIGINT FROM quarantine "
        "WHERE seen >= (SELECT started FROM runs WHERE run_id = ?) GROUP BY ALL ORDER BY 3 DESC, 2",
        [report.run_id],
    ).rows()
    unreadable, left_out = ({reason: n for by, reason, n in rows if by is which} for which in (False, True))
    return unreadable, left_out


def _listed(reasons: dict[str, int]) -> str:
    named = [f"{count(n)} {reason}" for reason, n in reasons.items()]
    return ", ".join(named[:6]) + (", …" if named[6:] else "")


def _of(n: int, what: str) -> str:
    return f"{count(n)} {what}{'s' * (n != 1)}"


def _print_copies(found: Clusters) -> None:
    """What a dedup found, in a line or two."""
    said = f"{found.step}: {count(found.documents)} documents in {_of(found.clusters, 'cluster')}" + (
        f", the largest of {count(found.largest)}" if found.clusters else ""
    )
    if found.edges is not None and found.measured:
        said += f"; {_of(found.edges, 'edge')} between {count(found.groups or 0)} distinct, {found.edges / found.measured:.2f} a document"
        if found.truncated:
            said += f", {share(found.truncated, found.buckets or 0)} of buckets truncated"
    pairs = [
        f"{source} -> {kept or 'none'} {share(n, found.dropped)}" for source, kept, n in found.by_source[:5]
    ]
    if any(source != kept for source, kept, _ in found.by_source):
        said += f"\n  dropped -> kept instead, by source: {', '.join(pairs)}" + (
            ", …" if len(found.by_source) > 5 else ""
        )
    console().print(said, soft_wrap=True, markup=False)


def _print_domains(folder: Path) -> None:
    from curator.corpus import Corpus

    rows = Corpus.existing(folder).sql(
        "SELECT coalesce(domain, '-'), count(*), count(*) FILTER (kept), coalesce(sum(n_words) FILTER (kept), 0)::BIGINT "
        "FROM documents GROUP BY domain ORDER BY 4 DESC, 1"
    )
    columns = ("domain", "documents", "kept", "words kept")
    table("", columns, [(d, count(n), count(k), count(w)) for d, n, k, w in rows.rows()], right=columns[1:])


def _print_trial(report: Report, unredacted: bool) -> None:
    console().print(f"a trial, in {report.corpus}; the corpus itself is as it was", soft_wrap=True)
    from curator.corpus import Corpus
    from curator.redact import redact

    corpus = Corpus.existing(report.corpus)
    rows = corpus.sql(
        "SELECT reason, doc_id, text FROM (SELECT reason, doc_id, row_number() OVER (PARTITION BY reason ORDER BY doc_key) AS n "
        "FROM documents WHERE decision = 'dropped') JOIN (SELECT doc_id, text[:300] AS text FROM texts) USING (doc_id) "
        "WHERE n <= 10 ORDER BY reason, n"
    ).rows()
    table(
        "sampled drops, ten a rule",
        ("reason", "document", "text"),
        [(r, d, " ".join((t if unredacted else redact(t)).split())[:120]) for r, d, t in rows],
    )
    whole = sum(n for (n,) in corpus.sql("SELECT coalesce(sum(size), 0)::BIGINT FROM splits").rows())
    seen = report.counts.get("bytes_seen") or report.counts.get("bytes", 0)
    part = min(1.0, report.counts.get("bytes", 0) / whole) if whole else 1.0
    if seen and part:
        cpu = sum(report.seconds.values())
        steps = cpu - report.seconds.get("read", 0.0)
        full = steps / part + report.seconds.get("read", 0.0) * max(1.0, whole / seen)
        disk = sum(f.stat().st_size for f in report.corpus.rglob("*") if f.is_file()) / part
        console().print(
            f"the full run: about {size(whole)} of text, {full / 3600:.2f} core hours, {size(disk)} of disk, "
            "under 1 GB of memory a worker",
            soft_wrap=True,
        )


def _suggest(report: Report, recipe: Recipe, path: Path, *, look: bool) -> None:
    """Three commands to go on with, about this very corpus."""
    from curator.corpus import Corpus

    corpus = report.corpus
    near = corpus.relative_to(Path.cwd()) if corpus.is_relative_to(Path.cwd()) else corpus
    dropped = Corpus.existing(corpus).sql(
        "SELECT doc_id FROM documents WHERE decision = 'dropped' ORDER BY doc_key LIMIT 1"
    )
    lines = [
        f'curator sql -c {near} "SELECT source, reason, count(*) FROM documents GROUP BY ALL ORDER BY ALL"'
    ]
    if look:
        why = "SELECT source, reason, sum(records) AS records, any_value(detail) AS detail FROM quarantine GROUP BY ALL"
        lines.append(f'curator sql -c {near} "{why}"')
    lines += [f"curator why -c {near} {doc_id}" for (doc_id,) in dropped.rows()]
    changes = [
        f"{step.name}.{name}={value * 2}"
        for step in recipe.steps
        for name in step.rule_options
        if isinstance(value := step.options[name], int) and not isinstance(value, bool) and value
    ]
    lines += [f"curator decide {path} -c {near} --dry-run --set {change}" for change in changes[:1]]
    print("\nnext:", *(f"  {line}" for line in lines), sep="\n")


def init(
    folder: Path = typer.Argument(Path("."), help="Where to write."),
    recipe: str = typer.Option(
        None, help="A published recipe instead: c4, dclm, fineweb, fineweb2, gopher or refinedweb."
    ),
) -> None:
    """Write a commented recipe to start from: a small one with a sample plugin, or a published one.

    Example: curator init my-corpus --recipe fineweb
    """
    from curator.errors import UsageError
    from curator.templates import RECIPE, SHORT_LINES, published

    written = {"recipe.yaml": RECIPE, "short_lines.py": SHORT_LINES}
    if recipe is not None:
        written = {f"{recipe}.yaml": published(recipe)}
    for name in written:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists already; name another folder, or remove it")
    for name, content in written.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    names = " and ".join(str(folder / name) for name in written)
    first = folder / next(iter(written))
    console().print(
        f"wrote {names}; name your files under sources, then: curator run {first}", soft_wrap=True
    )
