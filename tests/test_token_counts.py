"""Tokens of documents: exact, in parallel, resumed, per final text, checked and forgotten like every measure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.errors import CuratorError, UsageError
from curator.forgetting import choose, forget
from curator.run import Quiet
from curator.token_counts import count_tokens, exact_counts
from curator.tokenizer import load_tokenizer, train
from curator.verify import check, repair
from tests.conftest import Workshop
from tests.texts import documents


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files, so four shards, and a cleaner that changes some texts."""
    workshop = Workshop(tmp_path_factory.mktemp("counted"))
    entries = []
    for number in range(4):
        texts = documents(number, 40)
        texts[3]["text"] = "itâ€™s " + texts[3]["text"]
        workshop.source(f"part{number}", texts)
        entries.append({"jsonl": {"name": f"part{number}", "path": f"part{number}.jsonl"}})
    workshop.curate(["fix_unicode"], sources=entries)
    return workshop.folder


@pytest.fixture
def corpus(workshop: Workshop, made: Path) -> Corpus:
    return workshop.restore(made)


@pytest.fixture
def tokenizer(workshop: Workshop, corpus: Corpus) -> Path:
    path = workshop.folder / "tokenizer.json"
    path.write_text(train((t for (t,) in corpus.sql("SELECT text FROM texts").rows()), 300), encoding="utf-8")
    return path


def everything(corpus: Corpus) -> pl.Series:
    return corpus.sql("SELECT doc_id FROM documents").pl()["doc_id"]


def stored(corpus: Corpus, table: str) -> dict[int, list[int]]:
    """doc_id -> tokens, of all registered files."""
    paths = corpus.sql("SELECT path FROM shards WHERE measure = ?", [table]).rows()
    frames = [pl.read_parquet(corpus.folder / p) for (p,) in paths]
    rows = [row for frame in frames for row in frame.rows()]
    assert len({doc_id for doc_id, _ in rows}) == len(rows)
    return dict(rows)


def expected(corpus: Corpus, tokenizer: Path) -> dict[int, list[int]]:
    read = load_tokenizer(tokenizer)
    end = read.token_to_id("<|endoftext|>")
    return {i: [*read.encode(t, add_special_tokens=False).ids, end] for i, t in corpus.sql("SELECT doc_id, text FROM texts").rows()}


@pytest.mark.parametrize("engine", [InlineEngine(), LocalEngine(2)])
def test_tokens_are_of_the_final_texts(corpus: Corpus, tokenizer: Path, engine: Any) -> None:
    """Every document once, by any engine; the counts are in documents and token_counts."""
    measure = count_tokens(corpus, tokenizer, everything(corpus), engine, Quiet())
    truth = expected(corpus, tokenizer)
    assert stored(corpus, measure.table) == truth
    lengths = {i: len(tokens) for i, tokens in truth.items()}
    assert dict(corpus.sql("SELECT doc_id, n_tokens FROM documents").rows()) == lengths
    assert corpus.sql("SELECT tokenizer, sum(n_tokens) FROM token_counts GROUP BY 1").rows() == [
        ("tokenizer.json", sum(lengths.values()))
    ]
    counts = exact_counts(corpus, tokenizer)
    assert dict(counts.select("doc_id", "n_tokens").rows()) == lengths
    sizes = dict(corpus.sql("SELECT doc_id, strlen(text) FROM texts").rows())
    assert dict(counts.select("doc_id", "n_bytes").rows()) == sizes
    assert check(corpus).ok
    assert corpus.sql("SELECT vocab_size, end_token, end_id FROM tokenizers").rows() == [(300, "<|endoftext|>", 0)]


def test_only_what_is_missing_is_tokenized(corpus: Corpus, tokenizer: Path) -> None:
    """A later call adds files and leaves the earlier ones."""
    ids = everything(corpus)
    measure = count_tokens(corpus, tokenizer, ids.head(50), InlineEngine(), Quiet())
    before = corpus.sql("SELECT path, hash FROM shards WHERE measure = ?", [measure.table]).rows()
    count_tokens(corpus, tokenizer, ids, InlineEngine(), Quiet())
    after = corpus.sql("SELECT path, hash FROM shards WHERE measure = ?", [measure.table]).rows()
    assert set(before) < set(after)
    assert stored(corpus, measure.table) == expected(corpus, tokenizer)


def test_two_tokenizers_side_by_side(corpus: Corpus, tokenizer: Path, workshop: Workshop) -> None:
    """n_tokens is of the one that counted last; token_counts has both."""
    other = workshop.folder / "other.json"
    other.write_text(train(iter(["a b c"] * 10), 262), encoding="utf-8")
    for path in (other, tokenizer, other):
        count_tokens(corpus, path, everything(corpus), InlineEngine(), Quiet())
        ((tokens,),) = corpus.sql("SELECT sum(n_tokens) FROM documents").rows()
        assert tokens == sum(map(len, expected(corpus, path).values()))
    assert len(corpus.sql("SELECT DISTINCT tokenizer FROM token_counts").rows()) == 2


def test_another_final_text_is_counted_anew(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """A recipe without the cleaner has other texts; its tokens stand beside those of the first."""
    first = count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    entries = [{"jsonl": {"name": f"part{n}", "path": f"part{n}.jsonl"}} for n in range(4)]
    workshop.curate([], sources=entries, name="plain")
    assert corpus.sql("SELECT count(n_tokens) FROM documents").rows() == [(0,)]
    second = count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    assert first.table != second.table
    assert stored(corpus, second.table) == expected(corpus, tokenizer)


def test_killed_it_goes_on(corpus: Corpus, tokenizer: Path) -> None:
    """What was written before is registered, what was half written is swept, nothing is doubled."""
    command = [
        sys.executable, "-m", "curator", "tokenizer", "count", str(tokenizer), "-c", str(corpus.folder), "-w", "2",
        "--where", "true",
    ]  # fmt: skip
    for delay in (0.0, 0.02, 0.1):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started = time.monotonic()
        while process.poll() is None and time.monotonic() - started < 60:
            if list(corpus.folder.glob("shards/tokens_*")):
                break
            time.sleep(0.005)
        time.sleep(delay)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    truth = expected(corpus, tokenizer)
    assert json.loads(done.stdout)["tokens"] == sum(map(len, truth.values()))
    ((table,),) = corpus.sql("SELECT measure FROM tokenizers").rows()
    assert stored(corpus, table) == truth
    assert check(corpus).orphans == []


def test_a_damaged_file_is_repaired(corpus: Corpus, tokenizer: Path) -> None:
    """check finds it, --repair takes it out, and the next count makes it again."""
    measure = count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    path = next(corpus.folder.glob(f"shards/{measure.table}/*.parquet"))
    path.write_bytes(path.read_bytes()[:-10])
    found = check(corpus)
    assert [m for _, m, _, _ in found.damaged] == [measure.table]
    repair(corpus, found)
    assert len(exact_counts(corpus, tokenizer)) == 120
    count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    assert stored(corpus, measure.table) == expected(corpus, tokenizer)


def test_forgotten_documents_have_no_tokens(corpus: Corpus, tokenizer: Path) -> None:
    """Neither in the table nor in the files."""
    measure = count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    ((gone,),) = corpus.sql("SELECT doc_id FROM documents ORDER BY doc_key LIMIT 1").rows()
    forget(corpus, choose(corpus, where=f"doc_id = {gone}"), "test")
    assert gone not in stored(corpus, measure.table)
    assert gone not in exact_counts(corpus, tokenizer)["doc_id"].to_list()
    assert stored(corpus, measure.table) == expected(corpus, tokenizer)


def test_a_recipe_may_ask_for_counts(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """`tokenizer:` counts the kept documents at the end of a run; one that is none is a mistake in the recipe."""
    entries = [{"jsonl": {"name": "part0", "path": "part0.jsonl"}}]
    rule = {"signal": {"drop": "documents.n_words < 30"}}
    counted = workshop.curate([rule], sources=entries, name="counting", tokenizer="tokenizer.json")
    kept = counted.sql("SELECT kept, count(*), count(n_tokens) FROM documents WHERE source = 'part0' GROUP BY 1 ORDER BY 1").rows()
    assert [(k, n == t, t) for k, n, t in kept if k] == [(True, True, kept[-1][1])]
    assert all(t == 0 for k, _, t in kept if not k)
    with pytest.raises(UsageError, match=r"counting.yaml:\d+: tokenizer: there is no tokenizer .*nowhere.json"):
        workshop.recipe([], entries, name="counting", tokenizer="nowhere.json")


def test_mistakes(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """Nothing decided; another run at work."""
    with corpus.catalog.alone(), pytest.raises(CuratorError, match="another curator run is at work"):
        count_tokens(corpus, tokenizer, everything(corpus), InlineEngine(), Quiet())
    empty = Corpus(workshop.folder / "empty")
    empty.catalog.create()
    with pytest.raises(UsageError, match=r"nothing is decided in .*empty yet"):
        exact_counts(empty, tokenizer)
