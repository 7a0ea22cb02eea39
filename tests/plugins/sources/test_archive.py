"""Archives: the same documents as the files unpacked, and what archives do to harm."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curator_plugins.sources.archive
from curator import Part, Rejected, UsageError
from curator.files import FileSource
from curator_plugins.sources.archive import Archive
from curator_plugins.sources.csv import Csv
from curator_plugins.sources.jsonl import Jsonl
from curator_plugins.sources.parquet import Parquet
from curator_plugins.sources.text import Text
from curator_plugins.sources.xml import Xml

FILES = {"a.txt": b"one", "deep/b.txt": b"two", "deep/er/c.md": b"# Three\n\nthree"}


def tar(files: dict[str, bytes], *more: tarfile.TarInfo, **options: Any) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", **options) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return held.getvalue()


def zipped(files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


PACKED = {
    "tar": tar,
    "tar-pax": lambda files: tar(files, format=tarfile.PAX_FORMAT),
    "tar.gz": lambda files: gzip.compress(tar(files)),
    "tar.zst": lambda files: zstandard.compress(tar(files)),
    "tar.bz2": lambda files: bz2.compress(tar(files)),
    "tar.xz": lambda files: lzma.compress(tar(files)),
    "tar.lz4": lambda files: pa.Codec("lz4").compress(tar(files), asbytes=True),
    "zip": zipped,
    "zip-stored": lambda files: zipped(files, zipfile.ZIP_STORED),
    "zip-bz2": lambda files: zipped(files, zipfile.ZIP_BZIP2),
    "zip-lzma": lambda files: zipped(files, zipfile.ZIP_LZMA),
}


def archive(folder: Path, content: bytes, inner: FileSource | None = None, **options: Any) -> Archive:
    (folder / "x.archive").write_bytes(content)
    return Archive(path=str(folder / "x.archive"), read=inner or Text(path=""), **options)


@pytest.mark.parametrize("packed", PACKED)
def test_every_format(tmp_path: Path, read: Any, packed: str) -> None:
    """Known by content; a key is the archive's path as a folder."""
    documents, bad = read(archive(tmp_path, PACKED[packed](FILES)))
    assert bad == []
    assert {d["source_key"]: d["text"] for d in documents} == {
        f"x.archive/{name}": content.decode() for name, content in FILES.items()
    }
    assert [d["title"] for d in documents] == [None, None, "Three"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("**/*.txt", ["a.txt", "deep/b.txt"]),
        ("*.txt", ["a.txt"]),
        ("deep/**", ["deep/b.txt", "deep/er/c.md"]),
        (".git/*", [".git/x"]),
        ("**", ["a.txt", "deep/b.txt", "deep/er/c.md"]),
    ],
)
@pytest.mark.parametrize("packed", ["tar", "zip"])
def test_members_are_chosen_by_a_glob(
    tmp_path: Path, read: Any, packed: str, members: str, expected: list[str]
) -> None:
    """Hidden ones only when it names such."""
    files = FILES | {".git/x": b"hidden", "__MACOSX/._a.txt": b"hidden"}
    documents, bad = read(archive(tmp_path, PACKED[packed](files), members=members))
    assert ([d["source_key"].removeprefix("x.archive/") for d in documents], bad) == (expected, [])


@pytest.mark.parametrize("packed", ["tar", "zip"])
def test_no_member_matches(tmp_path: Path, read: Any, packed: str) -> None:
    """The quarantine says what there is."""
    source = archive(tmp_path, PACKED[packed](FILES), members="*.xml")
    (part,) = source.parts()
    (rejected,) = source.read(part)
    assert rejected == Rejected(
        "0", "no_members", "no file matches members: '*.xml'; there are a.txt, deep/b.txt, deep/er/c.md"
    )


names = st.text(st.sampled_from("ab./é "), min_size=1, max_size=8).filter(
    lambda name: (
        not name.startswith("/")
        and not name.endswith("/")
        and not any(part.startswith(".") or part == "" for part in name.split("/"))
    )
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.binary(max_size=30) | st.text(max_size=30).map(str.encode), max_size=6))
def test_the_same_as_the_files_unpacked(tmp_path_factory: Any, read: Any, files: dict[str, bytes]) -> None:
    """Documents, keys and reasons, in any archive."""
    folder = tmp_path_factory.mktemp("unpacked")
    files = {
        n: c for n, c in files.items() if not any(o.startswith(f"{n}/") for o in files)
    }  # no file is a folder
    if not files:
        return
    for name, content in files.items():
        (folder / "x.archive" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "x.archive" / name).write_bytes(content)
    expected, refused = read(Text(path=str(folder)))
    told = sorted((d["source_key"], d["text"], d["title"]) for d in expected)
    for packed in ("tar", "tar.gz", "zip"):
        found, bad = read(archive(tmp_path_factory.mktemp("packed"), PACKED[packed](files)))
        assert sorted((d["source_key"], d["text"], d["title"]) for d in found) == told
        assert sorted(reason for _, reason in bad) == sorted(reason for _, reason in refused)


def test_any_source_that_reads_files(tmp_path: Path, read: Any) -> None:
    """Lines, tables that seek, and a source of someone else's that knows nothing of archives."""
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["p", "q"]}), tmp_path / "p")
    content = PACKED["zip"]({"d/p": (tmp_path / "p").read_bytes()})
    documents, bad = read(archive(tmp_path, content, Parquet(path="")))
    assert [d["source_key"] for d in documents] == ["x.archive/d/p#0", "x.archive/d/p#1"]
    lines = gzip.compress(b'{"text": "a", "id": 7}\n{"text": "b"}\n{')
    documents, bad = read(archive(tmp_path, PACKED["tar.zst"]({"l": lines}), Jsonl(path="")))
    assert [d["source_key"] for d in documents] == ["7", "x.archive/l#23"]
    assert bad == [("x.archive/l#37", "bad_json")]

    class Names(FileSource):
        def parts(self) -> Any:
            return (Part(uri) for uri in self.files())

        def read(self, part: Part) -> Any:
            yield {"text": self.relative(part.uri)}

    documents, bad = read(archive(tmp_path, PACKED["tar"](FILES), Names(path="")))
    assert [(d["source_key"], d["text"]) for d in documents] == [
        (f"x.archive/{name}#0", f"x.archive/{name}") for name in FILES
    ]


def test_archives_in_archives(tmp_path: Path, read: Any) -> None:
    """As deep as `read:` says and no deeper: what lies deeper is no text."""
    inner = PACKED["tar.gz"]({"t.txt": b"deep"})
    content = PACKED["zip"]({"one.tgz": inner, "two.tgz": PACKED["tar.gz"]({"u.zip": zipped({"v": b"deeper"})})})
    documents, bad = read(archive(tmp_path, content, Archive(path="", read=Text(path=""))))
    assert [(d["source_key"], d["text"]) for d in documents] == [("x.archive/one.tgz/t.txt", "deep")]
    assert bad == [("x.archive/two.tgz/u.zip", "wrong_format")]


@pytest.mark.parametrize("packed", ["tar", "tar.gz", "zip"])
def test_any_cutting_reads_the_same(
    tmp_path: Path, read: Any, packed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a zip are ranges of its directory, of a tar ranges of its bytes."""
    files = {f"{n:03}.txt": b"%d " % n * 400 for n in range(60)}
    source = archive(tmp_path, PACKED[packed](files))
    whole, _ = read(source)
    assert len(whole) == 60
    uri, size = source.path, len(tar(files))
    cuts = [0, 7, 8, 31, 200] if packed == "zip" else [0, 1, 1024, size // 3, size // 2 + 7]
    parts = [Part(str(uri), a, b) for a, b in zip(cuts, [*cuts[1:], None], strict=True)]
    found = [r for part in parts for r in source.read(part)]
    assert [r["id"] for r in found] == [d["source_key"] for d in whole]  # type: ignore[index]
    monkeypatch.setattr(curator_plugins.sources.archive, "PART", 20_000)
    if packed == "zip":
        assert len(list(source.parts())) == 4
        found, _ = read(source)
        assert [d | {"part": 0} for d in found] == whole


# -- harm


def odd(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_what_a_tar_may_hold(tmp_path: Path, read: Any) -> None:
    """Links, devices and names that lead out are quarantined, each with its reason; the rest is read."""
    files = {"../up.txt": b"x", "/etc/passwd": b"x", "a/../../b.txt": b"x", "ok.txt": b"fine", "./ok.txt": b"again"}
    content = tar(
        files,
        odd("soft", tarfile.SYMTYPE, "/etc/passwd"),
        odd("hard", tarfile.LNKTYPE, "ok.txt"),
        odd("null", tarfile.CHRTYPE),
        odd("pipe", tarfile.FIFOTYPE),
        odd("folder", tarfile.DIRTYPE),
    )
    documents, bad = read(archive(tmp_path, content))
    assert [d["text"] for d in documents] == ["fine"]
    assert [reason for _, reason in bad] == [
        "unsafe_name", "unsafe_name", "unsafe_name", "duplicate_name", "link", "link", "not_a_file", "not_a_file",
    ]  # fmt: skip


def test_what_a_zip_may_hold(tmp_path: Path, read: Any) -> None:
    """As a tar, and encrypted files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        for name in ("../up.txt", "/up.txt", "C:\\x.txt", "..\\up.txt", "ok.txt"):
            made.writestr(name, name)
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("ok.txt", "again")
        link = zipfile.ZipInfo("soft")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        made.writestr(link, "/etc/passwd")
        secret = zipfile.ZipInfo("secret.txt")
        made.writestr(secret, "secret")
    content = bytearray(held.getvalue().replace(b"../up.txt", b"\0../p.txt"))  # NUL ends a name: it is empty
    content[content.rindex(b"PK\1\2", 0, content.rindex(b"secret.txt")) + 8] |= 1
    documents, bad = read(archive(tmp_path, bytes(content)))
    assert [d["text"] for d in documents] == ["ok.txt"]
    assert [reason for _, reason in bad] == [
        "unsafe_name", "unsafe_name", "unsafe_name", "unsafe_name", "duplicate_name", "link", "encrypted",
    ]  # fmt: skip


def test_a_wrong_crc_costs_its_member(tmp_path: Path, read: Any) -> None:
    """Nothing of it becomes a document."""
    content = zipped({"a.txt": b"right " * 50, "b.txt": b"WRONG " * 50, "c.txt": b"right too"}, zipfile.ZIP_STORED)
    documents, bad = read(archive(tmp_path, content.replace(b"WRONG WRONG", b"WRONG wrong")))
    assert [d["source_key"] for d in documents] == ["x.archive/a.txt", "x.archive/c.txt"]
    assert bad == [("x.archive/b.txt", "damaged_file")]


def overlapping(count: int) -> bytes:
    """Many names for one stretch of data, as the quoted overlap of zip bombs."""
    content = zipped({"kernel": b"0" * 20_000})
    start = content.index(b"PK\1\2")
    directory = content[start : content.index(b"PK\5\6")]
    names = [b"kernel", *(b"k%05d" % n for n in range(1, count))]
    entries = b"".join(directory.replace(b"kernel", name) for name in names)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)
    return content[:start] + entries + end


def test_overlapping_files_of_a_zip_are_a_bomb(tmp_path: Path, read: Any) -> None:
    """At most one name for each stretch of data is read."""
    documents, bad = read(archive(tmp_path, overlapping(100)))
    assert len(documents) == 1
    assert {reason for _, reason in bad} == {"bomb"}
    assert len(bad) == 99


def test_limits(tmp_path: Path, read: Any) -> None:
    """Size of one and of all, ratio and number: each with its reason, and what came before is read."""
    zeros = {"a.txt": b"first", "z.txt": bytes(40 << 20)}
    for packed in ("zip", "tar.gz"):
        documents, bad = read(archive(tmp_path, PACKED[packed](zeros)))
        assert [d["text"] for d in documents] == ["first"]
        assert [reason for _, reason in bad] == ["bomb"]
        documents, bad = read(archive(tmp_path, PACKED[packed](zeros), max_ratio=1e6, max_member_bytes=1000))
        assert ([d["text"] for d in documents], bad) == (["first"], [("x.archive/z.txt", "too_large")])
        documents, bad = read(archive(tmp_path, PACKED[packed](zeros), max_ratio=1e6, max_bytes=1 << 20))
        assert ([d["text"] for d in documents], [r for _, r in bad]) == (["first"], ["bomb"])
        _, bad = read(archive(tmp_path, PACKED[packed](FILES), max_members=2))
        assert bad == [("x.archive", "too_many_members")]


def test_a_header_may_not_be_large(tmp_path: Path, read: Any) -> None:
    """A name of 30 MB, which the library would hold."""
    content = tar({"a.txt": b"first", "n" * (30 << 20): b"x"}, format=tarfile.GNU_FORMAT)
    documents, bad = read(archive(tmp_path, content))
    assert [d["text"] for d in documents] == ["first"]
    assert bad == [("x.archive", "damaged_file")]


@pytest.mark.parametrize("packed", ["tar", "tar.gz", "zip"])
def test_a_cut_archive(tmp_path: Path, read: Any, packed: str) -> None:
    """A tar is read up to the cut; a zip without its directory is not read. One reason a file, and no crash."""
    files = {f"{n}.txt": b"ABCDEFGH"[n : n + 1] + random.Random(n).randbytes(30_000).hex().encode() for n in range(8)}
    content = PACKED[packed](files)
    documents, bad = read(archive(tmp_path, content[: len(content) * 2 // 3]))
    assert [r for _, r in bad] == ["damaged_file"]
    assert [d["text"][0] for d in documents] == ([] if packed == "zip" else list("ABCDEFGH")[: len(documents)])
    assert len(documents) in ({0} if packed == "zip" else range(3, 7))


def test_a_damaged_header_is_not_the_end(tmp_path: Path, read: Any) -> None:
    """The library would stop in silence."""
    content = bytearray(tar({"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"}))
    content[1024 + 5] ^= 0xFF
    documents, bad = read(archive(tmp_path, bytes(content)))
    assert ([d["text"] for d in documents], bad) == (["a"], [("x.archive", "damaged_file")])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["tar", "tar.gz", "zip", "zip-lzma"]), st.data())
def test_mutations_never_crash(tmp_path: Path, read: Any, packed: str, data: Any) -> None:
    """Any bytes changed: documents and reasons, and no exception."""
    content = bytearray(PACKED[packed](FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    documents, bad = read(archive(tmp_path, bytes(content)))
    assert len(documents) <= 3
    assert all(reason for _, reason in bad)


def test_what_is_no_archive(tmp_path: Path, read: Any) -> None:
    """A gzipped text file is one for another source."""
    assert read(archive(tmp_path, gzip.compress(b"text" * 1000))) == ([], [("x.archive", "wrong_format")])
    assert read(archive(tmp_path, b"")) == ([], [("x.archive", "wrong_format")])


def test_a_mistake_in_the_inner_options_is_found_in_the_plan(tmp_path: Path) -> None:
    """By the first member, and named as lying in the archive."""
    source = archive(tmp_path, zipped({"t.csv": b"a,b\n1,2\n"}), Csv(path=""))
    with pytest.raises(UsageError, match=r"x\.archive/t\.csv has no column 'text'; it has a, b"):
        list(source.parts())


def test_the_developers_corpus(dev: Path, read: Any) -> None:
    """Every act of the law is a member, and two tables of contents."""
    law = str(dev / "legal/dc-law-xml.tar.gz")
    documents, bad = read(Archive(path=law, members="**/*.xml", read=Xml(path="", fields={"text": "."})))
    assert (len(documents), bad) == (900, [])
    acts, bad = read(Archive(path=law, read=Xml(path="", fields={"text": "."}, record="document")))
    assert (len(acts), [reason for _, reason in bad]) == (898, ["no_record", "no_record"])
