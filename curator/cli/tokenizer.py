"""`curator tokenizer`."""

from __future__ import annotations

from pathlib import Path

import typer

from curator.cli.output import Bars, CorpusOption, JsonOption, as_json, console, count

app = typer.Typer(
    no_args_is_help=True,
    help="""Train a tokenizer on a mixture, or count tokens with one.

    Example: curator tokenizer count tokenizer.json
    """,
)


@app.command("train")
def train(
    mixture: Path = typer.Argument(..., help="The mixture file; its `tokenizer:` may be the file to be written."),
    output: Path = typer.Option(..., "-o", "--output", help="The tokenizer.json to write."),
    vocab_size: int = typer.Option(8192, min=1, help="Tokens in the vocabulary."),
    force: bool = typer.Option(False, help="Write over an existing file."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Train a byte-level BPE on a mixture: of each component its share, 64 MiB of text at most, nothing held out.

    Example: curator tokenizer train examples/mixture.yaml -o tokenizer.json --vocab-size 16000
    """
    from curator.corpus import Corpus
    from curator.errors import UsageError
    from curator.gathering import training_texts
    from curator.mixture import load, plan
    from curator.tokenizer import describe
    from curator.tokenizer import train as train_on

    if output.exists() and not force:
        raise UsageError(f"{output} exists; --force writes over it, and what was made with it keeps its own copy")
    opened = Corpus.existing(corpus)
    planned = plan(opened, load(mixture, without_tokenizer=True))
    shares = {s.name: s.share for s in planned.shares}
    with Bars(in_bytes=False) as bars:
        made = train_on(training_texts(opened, planned.documents, shares, bars), vocab_size)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(made, encoding="utf-8")
    known = describe(output)
    if json:
        return as_json({"file": str(output), "sha256": known.sha256, "vocab_size": known.size})
    console().print(f"wrote {output}: {count(known.size)} tokens, sha256 {known.sha256[:12]}", soft_wrap=True)


@app.command("count")
def count_(
    tokenizer: Path = typer.Argument(..., help="A tokenizer.json, a checkpoint's folder, or a vocabulary file."),
    where: str = typer.Option("kept", help="SQL over documents: which to count."),
    workers: int = typer.Option(None, "-w", "--workers", min=1, help="Processes; one a core unless given."),
    corpus: Path = CorpusOption,
    json: bool = JsonOption,
) -> None:
    """Tokenize documents, once: exact counts for mixtures and SQL, and the tokens that exports take.

    Example: curator tokenizer count tokenizer.json --where "kept AND domain = 'law'"
    """
    from curator.corpus import Corpus
    from curator.engines.local import LocalEngine
    from curator.token_counts import count_tokens

    opened = Corpus.existing(corpus)
    doc_ids = opened.sql(f"SELECT doc_id FROM documents WHERE ({where}\n)").pl()["doc_id"]
    with Bars(in_bytes=False) as bars:
        measure = count_tokens(opened, tokenizer, doc_ids, LocalEngine(workers), bars)
    ((documents, tokens, chars),) = opened.sql(
        f"SELECT count(n_tokens), sum(n_tokens)::BIGINT, sum(n_chars)::BIGINT FROM documents WHERE ({where}\n)"
    ).rows()
    found = {"tokenizer": measure.tokenizer.name, "documents": documents, "tokens": tokens or 0, "characters": chars or 0}
    if json:
        return as_json(found)
    console().print(
        f"{count(documents)} documents have {count(tokens or 0)} tokens of {measure.tokenizer.name}, "
        f"{(chars or 0) / max(tokens or 0, 1):.2f} characters each",
        soft_wrap=True,
    )
