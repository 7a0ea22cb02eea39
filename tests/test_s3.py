"""Every file source over s3://, against a server on loopback: the same documents as from a folder."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curator import recipe as recipes
from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.errors import CuratorError
from curator.files import SourceChanged, expand, signature
from curator.run import run
from curator_plugins.sources.jsonl import Jsonl

s3fs = pytest.importorskip("s3fs", reason="pip install 'corpus-curator[s3]'")
SERVER = Path(sys.prefix) / "s3-server"
SECRET = "secret/with+slashes"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if not SERVER.is_dir():
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no S3 server in this environment: `make s3-server`")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("s3_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SERVER)},
    )
    assert process.stdin
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A file system whose credentials stand in the environment, as a user's do, with an empty bucket `corpus`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir("corpus")
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()


def rows(first: int, count: int) -> list[dict[str, Any]]:
    return [{"text": f"text {n}", "n": n} for n in range(first, first + count)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of what teams have."""
    folder = tmp_path / "data"
    for name in ("lines", "tables", "texts/deep", "parquet/data"):
        (folder / name).mkdir(parents=True)
    for part in range(3):
        lines = "".join(json.dumps(row) + "\n" for row in rows(100 * part, 50))
        (folder / "lines" / f"{part}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "tables/t.csv").write_text("".join(f'{n},"text, {n}"\n' for n in ["id", *range(9)]).replace('"text, id"', "text"))
    (folder / "texts/deep/a.md").write_text("# A\n\nbody")
    (folder / "texts/b.md").write_text("# B\n\nbody")
    pq.write_table(pa.Table.from_pylist(rows(0, 40)), folder / "parquet/data/test-00000-of-00001.parquet", row_group_size=10)
    (folder / "parquet/README.md").write_text("---\nlicense: mit\n---\n")
    with tarfile.open(folder / "x.tar.gz", "w:gz") as tar, zipfile.ZipFile(folder / "x.zip", "w") as made:
        for n in range(6):
            info = tarfile.TarInfo(f"d/{n}.txt")
            info.size = 6
            tar.addfile(info, io.BytesIO(b"text %d" % n))
            made.writestr(f"d/{n}.txt", f"text {n}")
    (folder / "pages.warc.gz").write_bytes(b"".join(gzip.compress(page(n)) for n in range(4)))
    return folder


def page(number: int) -> bytes:
    """A WARC record of a page."""
    body = f"<html><body><article><p>{'Some words of page ' * 20}{number}.</p></article></body></html>".encode()
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    headers = [
        "WARC/1.0",
        "WARC-Type: response",
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-00000000000{number}>",
        f"WARC-Target-URI: http://example.org/{number}",
        "WARC-Date: 2024-01-31T12:00:00Z",
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(http)}",
    ]
    return "\r\n".join(headers).encode() + b"\r\n\r\n" + http + b"\r\n\r\n"


SOURCES: list[dict[str, Any]] = [
    {"jsonl": {"name": "lines", "path": "lines/*.jsonl.gz"}},
    {"csv": {"name": "tables", "path": "tables/t.csv"}},
    {"text": {"name": "texts", "path": "texts"}},
    {"parquet": {"name": "rows", "path": "parquet/**/*.parquet"}},
    {"huggingface": {"name": "hub", "path": "parquet"}},
    {"archive": {"name": "tar", "path": "x.tar.gz", "read": "text"}},
    {"archive": {"name": "zip", "path": "x.zip", "members": "d/*", "read": "text"}},
    {"warc": {"name": "pages", "path": "*.warc.gz"}},
]


def recipe(folder: Path, root: str, sources: list[dict[str, Any]], name: str) -> recipes.Recipe:
    sources = [{p: {**o, "path": f"{root}/{o['path']}"} for p, o in entry.items()} for entry in sources]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "corpus": f"./{name}", "sources": sources}))
    return recipes.load(str(path))


def documents(folder: Path, name: str) -> list[tuple[Any, ...]]:
    corpus = Corpus.existing(folder / name)
    query = "SELECT source, source_key, title, license, metadata, text FROM documents JOIN texts USING (doc_id) ORDER BY 1, 2"
    return corpus.sql(query).rows()


def test_the_same_documents_as_from_a_folder(bucket: Any, data: Path, tmp_path: Path) -> None:
    """Files, folders and globs, read by workers; a second run finds nothing new, and no secret is stored."""
    bucket.put(str(data), "corpus/", recursive=True)
    run(recipe(tmp_path, str(data), SOURCES, "local"), InlineEngine())
    loaded = recipe(tmp_path, "s3://corpus/data", SOURCES, "remote")
    run(loaded, LocalEngine(2))
    found = documents(tmp_path, "remote")
    assert found == documents(tmp_path, "local")
    assert len(found) == 150 + 9 + 2 + 40 + 40 + 6 + 6 + 4
    assert found[0][1] == "data/test-00000-of-00001.parquet#0"
    shards = sorted((tmp_path / "remote/shards/text").iterdir())
    run(loaded, LocalEngine(2))
    assert sorted((tmp_path / "remote/shards/text").iterdir()) == shards
    stored = [p for p in (tmp_path / "remote").rglob("*") if p.is_file()]
    assert [p for p in stored if SECRET.encode() in p.read_bytes() or b"AKIAEXAMPLE" in p.read_bytes()] == []


def test_an_object_that_is_overwritten(bucket: Any, tmp_path: Path) -> None:
    """Between plan and reading, and while it is read: refused by its ETag; the next run reads it anew."""
    bucket.pipe_file("corpus/x.jsonl", b'{"text": "one"}\n')
    source = Jsonl(path="s3://corpus/x.jsonl")
    (part,) = source.parts()
    assert signature(part.uri) == part.signature
    other = s3fs.S3FileSystem(skip_instance_cache=True)  # as from elsewhere: nothing tells the one that reads
    other.pipe_file("corpus/x.jsonl", b'{"text": "two"}\n')
    with pytest.raises(SourceChanged, match="changed after it was planned; run again"):
        list(source.read(part))
    (part,) = source.parts()
    reading = source.read(part)
    assert next(reading) == {"text": "two", "#position": 0}
    other.pipe_file("corpus/x.jsonl", b'{"text": "thr"}\n')
    with pytest.raises(SourceChanged, match="changed while it was read"):
        list(reading)
    other.rm("corpus/x.jsonl")
    with pytest.raises(SourceChanged, match="vanished"):
        list(source.read(part))


def test_a_run_reads_what_changed(bucket: Any, tmp_path: Path) -> None:
    """Only the object that was overwritten is read again."""
    for name in "ab":
        bucket.pipe_file(f"corpus/d/{name}.txt", name.encode())
    loaded = recipe(tmp_path, "s3://corpus", [{"text": {"name": "t", "path": "d"}}], "corpus")
    run(loaded, InlineEngine())
    bucket.pipe_file("corpus/d/a.txt", b"A")
    run(loaded, InlineEngine())
    assert [row[-1] for row in documents(tmp_path, "corpus")] == ["A", "b"]


def test_a_server_that_is_down_is_no_empty_folder(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read stays; only files that are known to be gone count as vanished."""
    bucket.pipe_file("corpus/d/a.txt", b"a")
    loaded = recipe(tmp_path, "s3://corpus", [{"text": {"name": "t", "path": "d"}}], "corpus")
    run(loaded, InlineEngine())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    (failed,) = run(loaded, InlineEngine(), prune=True).failed
    assert failed.startswith("source t: path 's3://corpus/d' cannot be listed: ")
    assert Corpus.existing(tmp_path / "corpus").sql("SELECT state FROM parts").rows() == [("present",)]


def planned(folder: Path, path: str) -> str:
    """What planning says of a source that cannot be read."""
    loaded = recipe(folder, "s3:/", [{"text": {"name": "t", "path": path}}], "bad")
    with pytest.raises(CuratorError) as error:
        run(loaded, InlineEngine())
    return str(error.value)


@pytest.mark.parametrize("path", ["nosuch/x.txt", "nosuch", "nosuch/*.txt", "corpus/x.txt", "corpus/*.txt"])
def test_a_bucket_or_object_that_is_not_there(bucket: Any, tmp_path: Path, path: str) -> None:
    """The error names file, line, source and path."""
    told = planned(tmp_path, path)
    assert told.startswith(f"{tmp_path}/bad.yaml:4: source t: path 's3://{path}' ")


def test_wrong_credentials(bucket: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told as such, without what is secret; and so are none at all."""
    bucket.pipe_file("corpus/x.txt", b"x")
    request = urllib.request.Request(f"{server}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urllib.request.urlopen(request).close()
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        told = planned(tmp_path, "corpus/*.txt")
        assert "path 's3://corpus/*.txt' cannot be listed: " in told
        assert SECRET not in told
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        s3fs.S3FileSystem.clear_instance_cache()
        assert "cannot be listed: " in planned(tmp_path, "corpus/*.txt")
    finally:
        request.data = b"1000000000"
        urllib.request.urlopen(request).close()


def test_a_secret_in_an_address_is_refused(tmp_path: Path) -> None:
    """And not shown, also where it has slashes; a port is none."""
    told = planned(tmp_path, f"AKIAEXAMPLE:{SECRET}@corpus/x.txt")
    assert "path 's3://AKIAEXAMPLE:***@corpus/x.txt' holds a password" in told
    assert SECRET not in told
    with pytest.raises(Exception, match=r"cannot be listed|names no file"):
        expand("http://127.0.0.1:1/a@b.txt")
