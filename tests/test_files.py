"""Which files a path names, and when one counts as changed."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from curator import CuratorError, Part, UsageError
from curator.files import (
    FileSource,
    SourceChanged,
    expand,
    foreign,
    open_raw,
    relative,
    root_of,
    signature,
    unchanged,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/.hidden", ".git/config"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(found: list[str], folder: Path) -> list[str]:
    return [os.path.relpath(path, folder / "data") for path in found]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", ["a.txt", "b.txt", "deep/c.txt"]),
        ("data/", ["a.txt", "b.txt", "deep/c.txt"]),
        ("./data/a.txt", ["a.txt"]),
        ("data/*.txt", ["a.txt", "b.txt"]),
        ("data/**/*.txt", ["a.txt", "b.txt", "deep/c.txt"]),
        ("data/*", ["a.txt", "b.txt"]),
        ("data/deep/.hidden", ["deep/.hidden"]),
        ("dat?/[ab].txt", ["a.txt", "b.txt"]),
    ],
)
def test_a_path_is_a_file_a_folder_or_a_glob(folder: Path, path: str, expected: list[str]) -> None:
    """Paths start from the base folder; files come sorted, hidden ones only when named in full."""
    assert names(expand(path, str(folder)), folder) == expected
    assert names(expand(str(folder / path)), folder) == expected
    assert names(expand(f"file://{folder / path}"), folder) == expected


def test_wildcards_in_real_names_are_names(folder: Path) -> None:
    """A file called [1].txt can be named, and so can files in a base folder called [x]."""
    odd = folder / "[x]"
    odd.mkdir()
    (odd / "[1].txt").write_text("")
    assert [str(odd / "[1].txt")] == expand("[1].txt", str(odd))
    assert [str(odd / "[1].txt")] == expand("*.txt", str(odd))


def test_nothing_found_names_path_and_base(folder: Path) -> None:
    """The error says what was looked for, and from where."""
    with pytest.raises(UsageError, match=r"'nothing/\*.txt'.*start from '" + str(folder)):
        expand("nothing/*.txt", str(folder))


def test_only_regular_files_within_the_folder(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pipes and links that lead out are skipped with a word; links within are followed."""
    outside = folder / "outside.txt"
    outside.write_text("secret")
    data = folder / "data"
    os.mkfifo(data / "pipe.txt")
    (data / "out.txt").symlink_to(outside)
    (data / "dangling.txt").symlink_to(folder / "gone")
    (data / "within.txt").symlink_to(data / "deep" / "c.txt")
    assert names(expand("data/*.txt", str(folder)), folder) == ["a.txt", "b.txt", "within.txt"]
    assert names(expand("data", str(folder)), folder) == ["a.txt", "b.txt", "deep/c.txt", "within.txt"]
    for word in ("a named pipe", "a link out of", "a link to nothing"):
        assert word in caplog.text
    assert expand("data/out.txt", str(folder)) == [str(data / "out.txt")]
    with pytest.raises(UsageError, match="is a named pipe, not a file"):
        expand("data/pipe.txt", str(folder))
    with pytest.raises(UsageError, match=r"out\.txt: it is a link out of"):
        expand("data/o*.txt", str(folder))


def test_a_folder_behind_a_link_is_a_folder(folder: Path) -> None:
    """The folder that the path names may itself be a link."""
    (folder / "link").symlink_to(folder / "data")
    assert len(expand("link", str(folder))) == len(expand("link/**/*.txt", str(folder))) == 3


def test_remote_paths() -> None:
    """A file, folder and glob of any fsspec file system; the found addresses can be opened."""
    fs = fsspec.filesystem("memory")
    for name in ("/remote/b.txt", "/remote/a.txt", "/remote/deep/c.txt"):
        fs.pipe_file(name, name.encode())
    a, b, c = "memory://remote/a.txt", "memory://remote/b.txt", "memory://remote/deep/c.txt"
    assert expand("memory://remote/*.txt") == [a, b]
    assert expand("memory://remote") == [a, b, c]
    assert expand(a) == [a]
    with pytest.raises(UsageError, match="memory://remote/x"):
        expand("memory://remote/x")
    before = signature(a)
    fs.pipe_file("/remote/a.txt", b"other")
    assert before != signature(a)
    assert relative(c, [root_of("memory://remote")]) == "deep/c.txt"
    assert relative(a, [root_of("memory://remote/*.txt")]) == "a.txt"


@pytest.mark.parametrize("path", ["nosuch://bucket/x", []])
def test_paths_that_name_nothing_at_all(path: str | list[str]) -> None:
    """An unknown protocol and an empty list are errors of usage."""
    with pytest.raises(UsageError, match=r"nosuch|path is empty"):
        FileSource(path=path).files()


def test_files_in_an_archive(folder: Path) -> None:
    """Chained addresses work, and their local part starts from the base folder too."""
    import zipfile

    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("x/one.txt", "1")
    (found,) = expand("zip://**/*.txt::data.zip", str(folder))
    assert found == f"zip://x/one.txt::{folder}/data.zip"
    assert signature(found) == signature(found)


@pytest.fixture
def web(folder: Path) -> Iterator[str]:
    """The folder's data on a server, where `/broken` is an error of the server's own."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            return self.send_error(503) if self.path == "/broken" else super().send_head()

        def log_message(self, *_: Any) -> None:
            pass

    serve = functools.partial(Handler, directory=str(folder / "data"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_of_a_web_server(folder: Path, web: str) -> None:
    """One is read by its address; one that is missing is another matter than a server that is down or broken."""
    pytest.importorskip("aiohttp", reason="fsspec reads http with it; s3fs brings it")
    (found,) = expand(f"{web}/deep/c.txt")
    before = signature(found)
    with open_raw(found) as file:
        assert file.read() == b"deep/c.txt"
    (folder / "data/deep/c.txt").write_text("other")
    assert signature(found, fresh=True) != before
    with pytest.raises(UsageError, match=r"/none\.txt' names no file or folder"):
        expand(f"{web}/none.txt")
    for path in (f"{web}/broken", "http://127.0.0.1:1/x.txt"):
        with pytest.raises(CuratorError, match="cannot be listed") as error:
            expand(path)
        assert not isinstance(error.value, UsageError)  # or a source that was read would count as gone


def test_no_password_in_an_address() -> None:
    """It would be stored with every document, so it is refused, and not shown."""
    with pytest.raises(UsageError, match="configuration") as refused:
        expand("ftp://me:hunter2@host/data/*.txt")
    assert "hunter2" not in str(refused.value)


def test_keys_do_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    """A key is the path below what the path names, or below what several paths have in common."""

    def keys(base: Path, path: str | list[str]) -> list[str]:
        source = FileSource(path=path)
        source.base = str(base)  # type: ignore[misc]  # the host sets it so
        return [source.key_of(Part(uri), "0") for uri in source.files()]

    for base in (tmp_path / "here", tmp_path / "far" / "there"):
        for name in ("x/1.txt", "y/1.txt", "y/deep/2.txt"):
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text(name)
        assert keys(base, "x/1.txt") == keys(base, "x") == keys(base, "x/*.txt") == ["1.txt#0"]
        assert keys(base, "y/**/*.txt") == ["1.txt#0", "deep/2.txt#0"]
        assert keys(base, ["x", "y"]) == ["x/1.txt#0", "y/1.txt#0", "y/deep/2.txt#0"]
        assert keys(base, ["x", "x/*.txt"]) == ["1.txt#0"]


def test_signature_sees_size_head_and_tail(tmp_path: Path) -> None:
    """Any change in the first or last MiB changes it; touching the file does not."""
    path = tmp_path / "file"
    content = bytearray(3 << 20)
    seen = set()
    for change in (None, 0, -1):
        if change is not None:
            content[change] ^= 1
        path.write_bytes(content)
        os.utime(path, (1, 1))
        assert signature(str(path)) == signature(str(path))
        seen.add(signature(str(path)))
    path.write_bytes(content + b"\0")
    seen.add(signature(str(path)))
    assert len(seen) == 4


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    """Changed since it was planned, changed while it is read, or gone: each fails, and says what to do."""
    path = tmp_path / "file"
    path.write_text("one")
    part = Part(str(path), signature=signature(str(path)))
    with unchanged(part):
        pass
    with pytest.raises(SourceChanged, match="changed while it was read; run again"), unchanged(part):
        path.write_text("two, longer")
    with pytest.raises(SourceChanged, match="changed after it was planned"), unchanged(part):
        pass
    path.unlink()
    with pytest.raises(SourceChanged, match="vanished"), unchanged(part):
        pass


def test_what_is_no_text_is_known_by_its_content(tmp_path: Path) -> None:
    """The name does not matter."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"PAR1....")
    assert foreign(str(path)) == "Parquet"
    path.write_bytes(b"{}")
    assert foreign(str(path)) is None
