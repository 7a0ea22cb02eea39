"""Exports: complete, hashed, immutable, resumed, and nothing half written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xxhash

from curator.corpus import Corpus
from curator.errors import CuratorError, PluginError, UsageError
from curator.export import cached_export, export
from curator.mixture import Mixture, load, of_query
from curator.tokenizer import load_tokenizer, train
from curator.tokens import open_tokens
from curator_plugins.exporters.parquet import Parquet
from tests.conftest import Workshop
from tests.test_mixture import BOTH, corpus, made, mixture

__all__ = ["corpus", "made"]


@pytest.fixture
def tokenizer(workshop: Workshop, corpus: Corpus) -> Path:
    """Trained on the corpus."""
    path = workshop.folder / "tokenizer.json"
    path.write_text(train((t for (t,) in corpus.sql("SELECT text FROM texts").rows()), 300), encoding="utf-8")
    return path


def both(workshop: Workshop, **top: Any) -> Mixture:
    return load(mixture(workshop, BOTH, **{"tokens": 4000, "holdout": {"per_component": "10%"}, **top}))


def on_disk(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_an_export_is_complete(workshop: Workshop, corpus: Corpus, format: str) -> None:
    """Texts, index, licences and hashes agree with each other and with the catalog."""
    out = workshop.folder / "export"
    _, manifest = export(corpus, both(workshop), {format: {}}, out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    assert set(manifest["files"]) == set(on_disk(out)) - {"manifest.json"}
    for name, about in manifest["files"].items():
        assert xxhash.xxh3_128_hexdigest((out / name).read_bytes()) == about["xxh3_128"]
    index = pl.read_parquet(out / "documents.parquet")
    expected = dict(corpus.sql("SELECT doc_id, text FROM texts").rows())
    seen = 0
    for file, about in manifest["files"].items():
        if "documents" not in about:
            continue
        read = pl.read_parquet(out / file) if format == "parquet" else pl.read_ndjson(out / file)
        rows = index.filter(
            (pl.col("component") == about["dataset"]) & (pl.col("held_out") == (about["split"] == "heldout"))
            & pl.col("place").is_between(about["start"], about["start"] + about["documents"] - 1)
        )  # fmt: skip
        assert read["text"].to_list() == [expected[i] for i in rows["doc_id"]]
        assert read["id"].to_list() == rows["doc_key"].to_list()
        assert rows["place"].to_list() == list(range(read.height))
        seen += read.height
    assert seen == index.height > 30
    licences = pl.read_csv(out / "licences.csv")
    assert licences["documents"].sum() == index.height
    assert licences["license"].unique().to_list() == ["CC0-1.0"]
    rows = corpus.sql("SELECT component, held_out, count(*) FROM export_documents GROUP BY ALL ORDER BY ALL").rows()
    assert rows == index.group_by("component", "held_out").len().sort("component", "held_out").rows()
    assert corpus.sql("SELECT mixture, format, documents FROM exports").rows() == [("m", format, index.height)]


def test_a_named_tokenizer_gives_exact_tokens(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """Payloads are the texts tokenized; token ranges, counts in the catalog and the plan agree with them."""
    out = workshop.folder / "export"
    planned, manifest = export(corpus, both(workshop, tokenizer="tokenizer.json"), {"parquet": {}}, out)
    index = pl.read_parquet(out / "documents.parquet")
    rows = open_tokens(out)
    read = load_tokenizer(tokenizer)
    texts = dict(corpus.sql("SELECT doc_id, text FROM texts").rows())
    for (component, held_out), of in index.group_by("component", "held_out", maintain_order=True):
        split = "heldout" if held_out else "train"
        payload = np.fromfile(rows.folder.parent / f"{split}.{component}.bin", dtype="<u2")
        for about in of.iter_rows(named=True):
            ids = payload[about["token_start"] : about["token_stop"]].tolist()
            assert ids == [*read.encode(texts[about["doc_id"]]).ids, rows.end_id]
            assert about["n_bytes"] == len(texts[about["doc_id"]].encode())
        assert of["token_stop"][-1] == len(payload) == rows.counts[str(component)][split]["tokens"]
    counted = dict(corpus.sql("SELECT doc_id, n_tokens FROM documents WHERE n_tokens IS NOT NULL").rows())
    stored = dict(corpus.sql("SELECT doc_id, n_tokens FROM token_counts WHERE tokenizer = 'tokenizer.json'").rows())
    ranges = {i: stop - start for i, start, stop in index.select("doc_id", "token_start", "token_stop").rows()}
    assert stored == counted
    assert ranges.items() <= counted.items()
    training = {s.name: s.target for s in planned.shares}
    assert {c["name"]: c["target_tokens"] for c in manifest["components"]} == {n: round(t) for n, t in training.items()}
    assert sum(rows.tokens(range(len(rows)))) == pytest.approx(4000, abs=rows.seq_len)


def test_tokens_are_counted_once(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """A second export of other weights tokenizes only what it takes more."""
    export(corpus, both(workshop, tokenizer="tokenizer.json"), {"parquet": {}}, workshop.folder / "one")
    files = {p: p.stat().st_mtime_ns for p in corpus.folder.rglob("shards/tokens_*/*")}
    before = corpus.sql("SELECT count(n_tokens) FROM documents").rows()
    export(corpus, both(workshop, tokenizer="tokenizer.json"), {"jsonl": {}}, workshop.folder / "two")
    assert {p: p.stat().st_mtime_ns for p in corpus.folder.rglob("shards/tokens_*/*")} == files
    export(corpus, both(workshop, tokenizer="tokenizer.json", tokens=6000), {"jsonl": {}}, workshop.folder / "three")
    assert corpus.sql("SELECT count(n_tokens) FROM documents").rows() > before
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in files.items())


def test_the_same_mixture_gives_the_same_bytes(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """Two exports of one mixture are equal, manifests included."""
    for name in ("one", "two"):
        export(corpus, both(workshop, tokenizer="tokenizer.json"), {"parquet": {}, "nanogpt": {}}, workshop.folder / name)
    assert on_disk(workshop.folder / "one") == on_disk(workshop.folder / "two")


def test_files_are_cut_by_characters(workshop: Workshop, corpus: Corpus) -> None:
    """Numbered and in order; one shard is what the option says, give or take a document."""
    out = workshop.folder / "export"
    _, manifest = export(corpus, both(workshop), {"parquet": {"shard_chars": 2000}}, out)
    names = [n for n in manifest["files"] if "parquet/law/train" in n]
    assert len(names) > 2
    assert names[0].endswith(f"train-00000-of-{len(names):05d}.parquet")
    starts = [(manifest["files"][n]["start"], manifest["files"][n]["documents"]) for n in names]
    assert [s for s, _ in starts] == [0, *np.cumsum([n for _, n in starts])[:-1].tolist()]
    sizes = [pl.read_parquet(out / n)["text"].str.len_chars().sum() for n in names]
    assert max(sizes) < 2000 + 200
    assert min(sizes[:-1]) > 2000 - 200


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupted_export_goes_on(
    workshop: Workshop, corpus: Corpus, tokenizer: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """What was finished is not written again, and the result is that of an export in one go."""
    asked = both(workshop, tokenizer="tokenizer.json")
    formats = {"parquet": {"shard_chars": 2000}, "nanogpt": {}}
    export(corpus, asked, formats, workshop.folder / "whole")
    written: list[str] = []
    plain = Parquet.write

    def write(self: Parquet, documents: Iterator[pl.DataFrame], folder: Path, shard: Any) -> Any:
        if len(written) == at:
            written.append("killed")
            raise KeyboardInterrupt
        written.append(f"{shard.component} {shard.name}")
        return plain(self, documents, folder, shard)

    monkeypatch.setattr(Parquet, "write", write)
    with pytest.raises(KeyboardInterrupt):
        export(corpus, asked, formats, workshop.folder / "export")
    assert not (workshop.folder / "export").exists()
    export(corpus, asked, formats, workshop.folder / "export")
    assert len(set(written)) == len(written)
    assert on_disk(workshop.folder / "export") == on_disk(workshop.folder / "whole")
    assert [p.name for p in workshop.folder.glob(".tmp-*")] == []


def test_a_blended_export(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """One stream with repeats, in which every stretch has the shares of the whole."""
    out = workshop.folder / "export"
    asked = both(workshop, tokenizer="tokenizer.json", tokens=20_000)
    _, manifest = export(corpus, asked, {"jsonl": {"compression": "none"}, "megatron": {}}, out, blended=True)
    index = pl.read_parquet(out / "documents.parquet")
    stream = index.filter(~pl.col("held_out"))
    assert stream["place"].to_list() == list(range(stream.height))
    read = pl.read_ndjson(out / "jsonl" / "blended" / "train-00000-of-00001.jsonl")
    assert read["id"].to_list() == stream["doc_key"].to_list()
    tokens = stream["token_stop"] - stream["token_start"]
    assert tokens.sum() == pytest.approx(20_000, abs=200)
    law = tokens.to_numpy() * (stream["component"] == "law").to_numpy()
    for stop in range(2000, 20_000, 2000):
        inside = stream["token_stop"].to_numpy() <= stop
        assert law[inside].sum() / stop == pytest.approx(0.75, abs=0.06)
    for (component,), of in stream.group_by("component"):
        counts = of["doc_key"].value_counts()["count"]
        assert counts.max() - counts.min() <= 1, component
        assert (of["epoch"] == of["epoch"].sort()).all()
    assert stream["epoch"].max() == 3
    heldout = set(index.filter("held_out")["doc_key"])
    assert heldout
    assert not heldout & set(stream["doc_key"])
    payload = np.fromfile(out / "megatron" / "blended" / "train.bin", dtype="<u2")
    assert len(payload) == tokens.sum()
    assert (out / "megatron" / "data-args.txt").read_text().split() == ["1.0", "blended/train"]
    assert manifest["blended"]
    with pytest.raises(UsageError, match="is one blended stream, for other trainers"):
        open_tokens(out)


def test_formats_share_one_payload(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """Four readers of tokens take the disk of one, 3 % for what they have beside it and the text aside."""
    asked = both(workshop, tokenizer="tokenizer.json", tokens=20_000)
    formats: dict[str, Any] = {n: {} for n in ("megatron", "nanotron", "olmo", "nanogpt")}
    export(corpus, asked, formats, workshop.folder / "export")
    for component in ("law", "med"):
        payload = next((workshop.folder / "export" / "tokens").glob(f"*/train.{component}.bin"))
        names = ("megatron/{}/train.bin", "nanotron/{}/train/train.ds", "olmo/{}/train.npy", "nanogpt/{}/train.bin")
        for name in names:
            assert (workshop.folder / "export" / name.format(component)).samefile(payload)


def test_an_export_is_never_changed(workshop: Workshop, corpus: Corpus) -> None:
    """A folder that exists is refused."""
    export(corpus, of_query("kind = 'law'"), {"parquet": {}}, workshop.folder / "export")
    with pytest.raises(UsageError, match="an export is never changed"):
        export(corpus, of_query("kind = 'law'"), {"jsonl": {}}, workshop.folder / "export")


def test_a_cached_export_is_made_once(workshop: Workshop, corpus: Corpus) -> None:
    """The same mixture over the same corpus is exported once."""
    path = mixture(workshop, BOTH)
    first = cached_export(workshop.corpus_folder, path)
    made = (first / "manifest.json").stat().st_mtime_ns
    assert cached_export(workshop.corpus_folder, path) == first
    assert (first / "manifest.json").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ({"parket": {}}, "there is no exporter 'parket'.*did you mean 'parquet'"),
        ({"parquet": {"shard_char": 1}}, "format 'parquet' has no option 'shard_char'.*did you mean 'shard_chars'"),
        ({"jsonl": {"compression": "rar"}}, "jsonl.compression = 'rar': expected"),
        ({"megatron": {}}, "megatron is a format of tokens: name a tokenizer"),
    ],
)
def test_mistakes(workshop: Workshop, corpus: Corpus, formats: Any, message: str) -> None:
    """Found before anything is written."""
    with pytest.raises(UsageError, match=message):
        export(corpus, both(workshop), formats, workshop.folder / "export")
    assert not (workshop.folder / "export").exists()


def test_an_id_out_of_range_is_refused(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """A damaged file of tokens does not get into an export."""
    asked = both(workshop, tokenizer="tokenizer.json")
    export(corpus, asked, {"parquet": {}}, workshop.folder / "one")
    for path in corpus.folder.rglob("shards/tokens_*/*.parquet"):
        frame = pl.read_parquet(path)
        frame.with_columns(tokens=pl.col("tokens").list.eval(pl.element() * 0 + 300)).write_parquet(path)
    with pytest.raises(CuratorError, match=r"has a token 300, the vocabulary of tokenizer.json ends at 299"):
        export(corpus, asked, {"parquet": {}}, workshop.folder / "two")
    assert [p.name for p in workshop.folder.iterdir() if "two" in p.name] == []


def test_a_full_disk_leaves_nothing(workshop: Workshop, corpus: Corpus) -> None:
    """When the disk is full in the middle, the error says so and no folder is left."""
    out = workshop.folder / "out" / "export"
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from curator.corpus import Corpus; from curator import export, mixture, cli;"
        "opened = Corpus.existing(sys.argv[1]);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from curator.cli.output import errors\n"
        "with errors(): export.export(opened, mixture.of_query('true'), {'jsonl': {}}, __import__('pathlib').Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", script, str(workshop.corpus_folder), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"curator: no space left for {out}" in done.stderr
    assert list(Path(out.parent).iterdir()) == []
    assert corpus.sql("SELECT count(*) FROM exports").rows() == [(0,)]


def test_new_weights_rewrite_only_what_says_so(workshop: Workshop, corpus: Corpus, tokenizer: Path) -> None:
    """With all documents of each component, files of documents are linked from the earlier export."""
    formats: dict[str, Any] = {"parquet": {"shard_chars": 5000}, "megatron": {}}
    one, two = (both(workshop, tokenizer="tokenizer.json", tokens=n) for n in (4000, 8000))
    export(corpus, one, formats, workshop.folder / "one", whole=True)
    _, manifest = export(corpus, two, formats, workshop.folder / "two", whole=True, reuse=workshop.folder / "one")
    export(corpus, two, formats, workshop.folder / "plain", whole=True)
    assert on_disk(workshop.folder / "two") == on_disk(workshop.folder / "plain")
    inodes = {p.stat().st_ino for p in (workshop.folder / "one").rglob("*") if p.is_file()}
    anew = {n for n in manifest["files"] if (workshop.folder / "two" / n).stat().st_ino not in inodes}
    data = {n for n in manifest["files"] if Path(n).suffix in (".bin", ".ends", ".parquet") and "/" in n}
    assert len(data) > 10
    assert not anew & data
    index = pl.read_parquet(workshop.folder / "two" / "documents.parquet")
    assert index.height == 200
    path = next((workshop.folder / "one" / "parquet" / "law").glob("train-00000*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CuratorError, match=r"train-00000.* is not what was exported; `curator export --verify .*one`"):
        export(corpus, two, formats, workshop.folder / "three", whole=True, reuse=workshop.folder / "one")
    assert not (workshop.folder / "three").exists()


def test_an_exporter_of_ones_own(workshop: Workshop, corpus: Corpus) -> None:
    """From a file, with its files in the manifest; one that loses documents is told so."""
    code = """
from pathlib import Path
from curator import Exporter, hookimpl

class Lines(Exporter):
    '''A line a document.'''
    lose: int = 0

    def write(self, documents, folder, shard):
        lines = [text.replace('\\\\n', ' ') for frame in documents for text in frame['text']]
        (folder / f'{shard.component}-{shard.name}.txt').write_text('\\\\n'.join(lines))
        return [(f'{shard.component}-{shard.name}.txt', len(lines) - self.lose)]

@hookimpl
def register_exporters(register):
    register(Lines)
"""
    plugin = workshop.folder / "lines.py"
    plugin.write_text(code.replace("\\\\n", "\\n"))
    out = workshop.folder / "export"
    _, manifest = export(corpus, both(workshop), {"lines": {}}, out, plugins=[str(plugin)])
    about = manifest["files"]["lines/law-train-00000-of-00001.txt"]
    assert about["documents"] == len((out / "lines" / "law-train-00000-of-00001.txt").read_text().splitlines()) > 10
    with pytest.raises(PluginError, match=r"exporter lines was given \d+ documents and says that it wrote \[\('law"):
        export(corpus, both(workshop), {"lines": {"lose": 1}}, workshop.folder / "two", plugins=[str(plugin)])
