"""A dataset's folder: as `datasets` saves it (Arrow), as the hub holds it (Parquet and a card), or the hub's cache.

Read with Arrow alone; `datasets` need not be installed. Which files are the dataset's, and of what split, is told by
`state.json` or by the card's `configs`, else by names, as `datasets` takes them. Of several configurations one must be
chosen, unless the card names its default: their documents are often the same. The licence that the card or
`dataset_info.json` states is each record's that states none; `license:` wins over it.

In the hub's cache (`datasets--org--name`) files are links into `blobs`, and followed within that folder only;
the snapshot is that of `revision`, or of `refs/main`. Keys are below the snapshot, so they outlive a revision.

**Arrow.** A shard is a stream of record batches. A part is a range of its bytes and owns the batches that begin in
it; what lies before is read and dropped (4 GB/s), so a shard has at most 8 parts, of 64 MiB or more. One batch is in
memory at a time: 1,000 rows as `datasets` writes it. Arrow trusts offsets in a file, and would read whatever memory
they lead to, so each batch is checked whole (10 GB/s) before its rows are made. Rejected: mapping the file, as `datasets`
does, because a file that is cut while it is read would kill the worker.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import orjson

from curator import Part, Rejected, UsageError, hookimpl
from curator.files import (
    expand,
    foreign,
    is_remote,
    open_raw,
    relative,
    root_of,
    signature,
    size_of,
    unchanged,
)
from curator.lines import MAX_PARTS, PART
from curator.tables import Rows
from curator_plugins.sources.parquet import SLICE, Parquet, damage

if TYPE_CHECKING:
    import pyarrow as pa

CARD_BYTES = 4 << 20  #: what is read of a card or a JSON file
MESSAGE = 2 << 30  #: bytes of a record batch
NUMBERED = r"-\d{5}-of-(\d{5})"
SHARD = re.compile(rf"(?:^|/)([^/]+?){NUMBERED}[^/]*\.parquet$")
IN_CACHE = re.compile(rf"(?:^|[/-])(\w+(?:\.\w+)*)(?:{NUMBERED})?\.arrow$")
WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}


@dataclass(frozen=True)
class Shard:
    """A file of a dataset, and what is known of all its records."""

    uri: str
    split: str | None
    config: str | None
    license: str | None


class Huggingface(Parquet):
    """A Hugging Face dataset in a folder: Arrow as `datasets` saves it, or Parquet as on the hub."""

    version = 1
    endings = (".arrow", "dataset_dict.json", "dataset_info.json", "state.json")

    split: Annotated[str | list[str] | None, "splits to read; all unless given"] = None
    config: Annotated[str | None, "configuration to read, where there are several"] = None
    revision: Annotated[str | None, "snapshot of the hub's cache; refs/main unless given"] = None

    def files(self) -> list[str]:
        return list(self._shards)

    def parts(self) -> Iterator[Part]:
        for uri in self.files():
            yield from self._arrow_parts(uri) if uri.endswith(".arrow") else self._parts_of(uri)

    def read_rows(self, part: Part) -> Iterator[Rows | Rejected]:
        shard = self._shards.get(part.uri, Shard(part.uri, None, None, None))
        for found in _arrow(part) if part.uri.endswith(".arrow") else super().read_rows(part):
            yield Rows(self._told(found.batch, shard), found.first) if isinstance(found, Rows) else found

    def _told(self, batch: pa.RecordBatch, shard: Shard) -> pa.RecordBatch:
        """The rows with what the dataset says of all of them; what a row says itself stays."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for name, value in (("split", shard.split), ("config", shard.config)):
            if value:
                name = f"dataset_{name}" if name in batch.schema.names else name
                batch = batch.append_column(name, pa.array([value] * batch.num_rows))
        if shard.license and not self.license:
            if self.license_field not in batch.schema.names:
                batch = batch.append_column(self.license_field, pa.array([shard.license] * batch.num_rows))
            elif pa.types.is_string(batch.schema.field(self.license_field).type):
                index = batch.schema.get_field_index(self.license_field)
                own = batch.column(index)
                said = pc.if_else(pc.equal(own, ""), None, own)
                batch = batch.set_column(index, self.license_field, pc.fill_null(said, shard.license))
        return batch

    def _arrow_parts(self, uri: str) -> Iterator[Part]:
        signed, size = signature(uri), size_of(uri)
        with open_raw(uri) as raw:
            try:
                self._check_text(uri, _stream(raw, size).schema.names)
            except damage():
                yield Part(uri, signature=signed)  # reading it says what is wrong
                return
        step = max(PART, size // MAX_PARTS + 1)
        for start in (starts := range(0, size, step)):
            stop = None if start == starts[-1] else start + step
            yield Part(uri, start, stop, signed, min(step, size - start))

    # -- the dataset's files

    @cached_property
    def _roots(self) -> list[str]:
        return [_root(path, self.base, self.revision) for path in self._paths()]

    @cached_property
    def _shards(self) -> dict[str, Shard]:
        """uri -> shard, of the splits and the configuration that are asked for."""
        if not self.path:
            super().files()
        found = [shard for path, root in zip(self._paths(), self._roots, strict=True) for shard in self._of(path, root)]
        wanted = [self.split] if isinstance(self.split, str) else self.split
        for name in wanted or []:
            if not any(shard.split == name for shard in found):
                there = ", ".join(sorted({str(shard.split) for shard in found}))
                raise UsageError(f"source {self.name!r}: there is no split {name!r} in {self.path}; there are: {there}")
        return {shard.uri: shard for shard in found if wanted is None or shard.split in wanted}

    def _of(self, path: str, root: str) -> list[Shard]:
        uris = {relative(uri, [root]): uri for uri in _files(path, self.base, root)}
        shards = [*_saved(uris), *_parquet(uris, default=self.config is None)]
        configs = sorted({str(shard.config) for shard in shards})
        if not shards:
            there = ", ".join(sorted(uris)[:5])
            raise UsageError(
                f"source {self.name!r}: {root} holds no Parquet and no Arrow of a dataset; it has {there}. "
                "JSON lines, tables and texts are read by `jsonl`, `csv` and `text`"
            )
        if self.config is not None and self.config not in configs:
            told = f"there is no configuration {self.config!r} in {root}; there are: {', '.join(configs)}"
            raise UsageError(f"source {self.name!r}: {told}")
        if self.config is None and len(configs) > 1:
            told = f"{root} has configurations {', '.join(configs)}; choose one with `config:`"
            raise UsageError(f"source {self.name!r}: {told}")
        return [shard for shard in shards if self.config in (None, shard.config)]


def _root(path: str, base: str, revision: str | None) -> str:
    """The folder of the dataset's files: of the hub's cache, its snapshot."""
    root = root_of(path, base)
    if is_remote(root) or not os.path.isdir(root):
        return root if is_remote(root) else os.path.dirname(root)
    snapshots = os.path.join(root, "snapshots")
    if not (os.path.basename(root).startswith("datasets--") and os.path.isdir(snapshots)):
        return root
    there = sorted(os.listdir(snapshots))
    main = os.path.join(root, "refs", "main")
    if revision is None and os.path.isfile(main):
        with open(main, encoding="utf-8") as file:
            revision = file.read(200).strip()
    if revision is None and len(there) == 1:
        revision = there[0]
    if revision not in there:
        raise UsageError(f"{root} has no snapshot {revision!r}; name one with `revision:`: {', '.join(there)}")
    return os.path.join(snapshots, str(revision))


def _files(path: str, base: str, root: str) -> list[str]:
    """The files below the dataset's root. Links lead anywhere within the dataset's folder in the hub's cache."""
    cache = os.path.dirname(os.path.dirname(root))
    if is_remote(root) or os.path.basename(os.path.dirname(root)) != "snapshots":
        return expand(path, base)
    return [uri for uri in expand(cache) if uri.startswith(root + "/")]


def _saved(uris: dict[str, str]) -> Iterator[Shard]:
    """The Arrow shards of `save_to_disk`, or of the cache of `datasets`."""
    arrow = [n for n in uris if n.endswith(".arrow") and not n.rpartition("/")[2].startswith(("cache-", "tmp"))]
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in arrow):
        below = f"{folder}/" if folder else ""
        info = _json(uris.get(f"{below}dataset_info.json"))
        license = _text(info.get("license"))
        state = _json(uris.get(f"{below}state.json"))
        if not state:
            for name in (n for n in arrow if n.rpartition("/")[0] == folder):
                found = IN_CACHE.search(name)
                yield Shard(uris[name], found[1] if found else None, _text(info.get("config_name")), license)
            continue
        above, _, last = folder.rpartition("/")
        in_dict = f"{above}/dataset_dict.json".lstrip("/") in uris
        split = last if in_dict else _text(state.get("_split"))
        for listed in state.get("_data_files") or []:
            name = f"{below}{listed['filename']}"
            if name not in uris:
                raise UsageError(f"the dataset is not whole: {uris[f'{below}state.json']} names {name}, which is missing")
            yield Shard(uris[name], split, None, license)


def _parquet(uris: dict[str, str], *, default: bool) -> Iterator[Shard]:
    """The Parquet shards of a folder as on the hub; with `default`, of the configuration that the card prefers."""
    card = _card(uris.get("README.md"))
    stated = card.get("license_name") if card.get("license") == "other" else card.get("license")
    license = _text(", ".join(map(str, stated)) if isinstance(stated, list) else stated)
    names = [name for name in uris if name.endswith(".parquet")]
    configs = [c for c in card.get("configs") or [] if isinstance(c, dict) and c.get("data_files")]
    if default:
        configs = [c for c in configs if c.get("default") or c.get("config_name") == "default"] or configs
    for config in configs:
        for split, patterns in _data_files(config["data_files"]):
            for name in names:
                if any(_matches(name, str(pattern), str(config.get("data_dir") or "")) for pattern in patterns):
                    yield Shard(uris[name], split, _text(config.get("config_name")), license)
    if not configs:
        for name in names:
            found = SHARD.search(name)
            yield Shard(uris[name], found[1] if found else _split_of(name), _config_of(name), license)


def _data_files(stated: Any) -> Iterator[tuple[str, list[Any]]]:
    """(split, patterns) of a card's data_files: one pattern, a list, a mapping, or a list of {split, path}."""
    if isinstance(stated, dict):
        stated = [{"split": split, "path": path} for split, path in stated.items()]
    for entry in stated if isinstance(stated, list) else [stated]:
        split, path = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        yield str(split), path if isinstance(path, list) else [path]


def _matches(name: str, pattern: str, folder: str) -> bool:
    from fsspec.utils import glob_translate

    pattern = f"{folder.strip('./')}/{pattern}".removeprefix("/").removeprefix("./")
    return name == pattern or re.match(glob_translate(pattern), name) is not None


def _split_of(name: str) -> str:
    """The split whose word stands in a path, as `datasets` takes it."""
    for split, words in WORDS.items():
        if re.search(rf"(?:^|[^a-z])(?:{'|'.join(words)})(?:[^a-z]|$)", name):
            return split
    return "train"


def _config_of(name: str) -> str | None:
    """The first folder, unless that says no configuration."""
    first = name.partition("/")[0] if "/" in name else ""
    return first if first and first != "data" and not any(first in words for words in WORDS.values()) else None


def _json(uri: str | None) -> dict[str, Any]:
    if uri is None:
        return {}
    with open_raw(uri) as file:
        try:
            found = orjson.loads(file.read(CARD_BYTES))
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{uri} is no JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _card(uri: str | None) -> dict[str, Any]:
    """The YAML at the beginning of a card."""
    from curator_plugins.sources.text import front_matter

    if uri is None:
        return {}
    with open_raw(uri) as file:
        return front_matter(file.read(CARD_BYTES).decode(errors="replace"), CARD_BYTES)[0]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.lower() not in ("", "unknown", "none") else None


# -- Arrow streams


class _Bounded:
    """A file that never reads more than it has, or MESSAGE: a length in it may say anything."""

    closed = False

    def __init__(self, raw: Any, size: int) -> None:
        self._raw, self._size = raw, size or 1 << 62  # a server may not say
        self.tell = raw.tell

    def read(self, size: int = -1) -> bytes:
        left = min(self._size - self._raw.tell(), MESSAGE)
        return bytes(self._raw.read(left if size < 0 else min(size, left)))


def _stream(raw: Any, size: int) -> pa.RecordBatchStreamReader:
    """Raises pa.ArrowInvalid for what is no stream."""
    import pyarrow as pa

    stream = pa.ipc.open_stream(pa.PythonFile(_Bounded(raw, size), "r"))
    try:
        stream.schema.names  # noqa: B018  # they are decoded when asked for
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a column's name: {error}") from None
    return stream


def _arrow(part: Part) -> Iterator[Rows | Rejected]:
    with unchanged(part), open_raw(part.uri) as raw:
        try:
            stream = _stream(raw, size_of(part.uri))
        except damage() as error:
            is_other = foreign(part.uri) or raw.seek(0) or raw.read(6) == b"ARROW1"
            yield Rejected("0", "wrong_format" if is_other else "damaged_file", str(error))
            return
        row = 0
        while part.stop is None or raw.tell() < part.stop:
            at = raw.tell()
            try:
                batch = stream.read_next_batch()
            except StopIteration:
                if raw.tell() == at:
                    yield Rejected(str(row), "damaged_file", f"the stream ends without its end mark, after row {row}")
                return
            except damage() as error:
                if getattr(error, "errno", None) is not None:
                    raise
                if at >= (part.start or 0):
                    yield Rejected(str(row), "damaged_file", f"the record batch from row {row}: {error}")
                return
            if at >= (part.start or 0):
                yield from _rows(batch, row)
            row += batch.num_rows


def _rows(batch: pa.RecordBatch, row: int) -> Iterator[Rows | Rejected]:
    wrong = _unsound(batch)
    if wrong:
        yield Rejected(str(row), "damaged_file", f"rows {row} to {row + batch.num_rows - 1}: {wrong}")
        return
    step = max(1, SLICE * batch.num_rows // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, step):
        yield Rows(batch.slice(start, step), row + start)


def _unsound(batch: pa.RecordBatch) -> str | None:
    """What is wrong with a batch, but for text that is not UTF-8, which costs its own record only."""
    import pyarrow as pa

    bytes_of = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            try:
                column.view(bytes_of[column.type]).validate(full=True)
            except (KeyError, pa.ArrowException):
                return f"column {name!r}: {error}"
    return None


@hookimpl
def register_sources(register: Any) -> None:
    register(Huggingface)
