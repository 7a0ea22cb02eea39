"""Rows of an export: packed from its payloads, put in order, and read back.

    rows-<seq_len>/plan.json        the order of the run (curator.plan), and what it is made of
    rows-<seq_len>/*.rows.npy       int64[rows + 1] into the pieces
    rows-<seq_len>/*.pieces.npy     int64[pieces, 2]: start and stop in the payload (curator.packing)

Every file is mapped, not read: a batch is a look-up in the plan and a copy of its pieces, in one compiled loop.
There is no state to save, and any process may read any row. Cost: 0.5 us a row for the look-up (of thousands
together, which are kept), 1 ns a token for the copy of ids, labels and positions. What was read stays mapped, so
that a process seems as large as the payload; all but 2 MB of it are pages of the page cache, shared, and given up when
memory is short. Rejected: to unmap what was read, which kept that below 64 MB and made reading 1 GB six times slower,
for a page fault maps 2 MiB; a shuffled copy of the payload, which costs the disk again for every seed and length.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from curator.errors import CuratorError, UsageError
from curator.packing import Packed
from curator.plan import Places, Plan, keyed

FORMAT_VERSION = 1
_DRAWS = 2  # the first key of `draws`, apart from those of the order
_AT_ONCE = 1 << 13  # rows that are looked up together

I64 = NDArray[np.int64]


class Batch(NamedTuple):
    """Rows of tokens, int64[rows, seq_len] each; `document` is -1 and `position` counts from 0 on padding."""

    ids: I64
    position: I64
    document: I64


class Causal(NamedTuple):
    """Rows of tokens, int64[rows, seq_len] each; `labels` are -100 on padding and where a document begins."""

    ids: I64
    labels: I64
    position: I64


class Split:
    """The packed rows of a component's training or held-out documents, in the order in which they were packed."""

    def __init__(self, payload: Path, rows: Path, dtype: np.dtype[Any]) -> None:
        name = payload.stem
        mapped = np.memmap(payload, dtype=dtype, mode="r") if payload.stat().st_size else np.empty(0, dtype)
        starts, pieces = (np.load(rows / f"{name}.{kind}.npy", mmap_mode="r") for kind in ("rows", "pieces"))
        # as plain arrays, of which numba finds the type in a tenth of the time
        self._payload = np.asarray(mapped)
        self.packed = Packed(np.asarray(starts), np.asarray(pieces))

    def __len__(self) -> int:
        return len(self.packed)

    @cached_property
    def tokens(self) -> I64:
        """int64[rows]: the tokens in each row."""
        return self.packed.tokens()

    def read(
        self, copy: Callable[..., None], rows: I64, places: I64, end: int, arrays: tuple[I64, ...]
    ) -> None:
        """Copy `rows` into the rows `places` of `arrays`."""
        copy(self._payload, self.packed.row_starts, self.packed.pieces, rows, places, end, *arrays)


class TokenRows:
    """The rows that an export is trained in: `rows.read([0, 1])` are the first two of the run.

    `plan`, `seq_len`, `names` and `shares` (of tokens) of the components, `counts` (documents, tokens and bytes of each
    component's splits), `vocab_size`, `end` (the token that ends a document), `tokenizer_file`, `fingerprint`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        described = json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))
        tokens = json.loads((self.folder.parent / "tokens.json").read_text(encoding="utf-8"))
        for name, values in (("plan.json", described), ("tokens.json", tokens)):
            if values["format_version"] != FORMAT_VERSION:
                raise UsageError(
                    f"{self.folder}: {name} is of format {values['format_version']}, this curator reads "
                    f"{FORMAT_VERSION}; remove the folder tokens/ to build it again"
                )
        self.plan = Plan.from_json(described["plan"])
        self.fingerprint: str = described["fingerprint"]
        self.document_mask: bool = described["packing"]["document_mask"]
        self.limited_by: str | None = described["limited_by"]
        self.seq_len: int = described["seq_len"]
        self.names: list[str] = [c["name"] for c in described["components"]]
        self.shares: list[float] = [c["share"] for c in described["components"]]
        self.counts: dict[str, dict[str, dict[str, int]]] = tokens["components"]
        self.vocab_size: int = tokens["tokenizer"]["vocab_size"]
        self.end: str = tokens["tokenizer"]["end_token"]
        self.end_id: int = tokens["tokenizer"]["end_id"]
        self.tokenizer_file = self.folder.parent / "tokenizer.json"
        self._dtype = np.dtype(tokens["dtype"])
        self._check(tokens["files"], described["files"])
        self._train = [self._split("train", name) for name in self.names]
        # what was looked up last, and of which rows: batches mostly follow one another
        self._last = (0, 0, self.plan.lookup([]))

    def __reduce__(self) -> tuple[type[TokenRows], tuple[Path]]:
        return TokenRows, (self.folder,)  # a mapped array would be pickled with what it maps

    def __len__(self) -> int:
        return len(self.plan)

    def places(self, rows: ArrayLike) -> Places:
        """Component, epoch and row of rows of the run; raises IndexError outside of it."""
        i = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        if not len(i):
            return self.plan.lookup(i)
        first, last = int(i.min()), int(i.max())
        start, stop, places = self._last
        if first < start or last >= stop:
            start = first // _AT_ONCE * _AT_ONCE
            stop = min(start + _AT_ONCE, len(self.plan))
            if first < 0 or last >= stop:
                return self.plan.lookup(i)
            places = self.plan.lookup(np.arange(start, stop))
            self._last = start, stop, places
        here = i - start
        return Places(places.component[here], places.epoch[here], places.row[here])

    def read(self, rows: ArrayLike) -> Batch:
        """Rows of the run; raises IndexError outside of it."""
        batch = Batch(*self._filled(_copy, rows, 3))
        return batch if self.document_mask else _joined(batch)

    def causal(self, rows: ArrayLike) -> Causal:
        """Rows of the run with what predicts the next token; raises IndexError outside of it."""
        causal = Causal(*self._filled(_copy_causal, rows, 3))
        return causal if self.document_mask else _joined_causal(causal, self.tokens(rows))

    def ids(self, rows: ArrayLike) -> I64:
        """int64[rows, seq_len]: tokens alone; raises IndexError outside of the run."""
        return self._filled(_copy_ids, rows, 1)[0]

    def _filled(self, copy: Callable[..., None], rows: ArrayLike, count: int) -> tuple[I64, ...]:
        component, _, row = self.places(rows)
        arrays = self._empty(len(row), count)
        for number in set(component.tolist()):
            places = np.flatnonzero(component == number)
            split = self._train[number]
            assert split is not None  # a component without rows has no share
            split.read(copy, row[places], places, self.end_id, arrays)
        return arrays

    def tokens(self, rows: ArrayLike) -> I64:
        """int64[rows]: the tokens in each row of the run, padding not counted."""
        component, _, row = self.places(rows)
        each = np.zeros(len(row), dtype=np.int64)
        for number in np.unique(component):
            split = self._train[number]
            assert split is not None
            each[component == number] = split.tokens[row[component == number]]
        return each

    def pieces(self, component: int, row: int) -> I64:
        """int64[pieces, 2]: the tokens of the component's payload, start and stop, that one of its rows is made of."""
        split = self._train[component]
        assert split is not None  # a component without rows has no share
        start, stop = split.packed.row_starts[row : row + 2]
        return split.packed.pieces[start:stop]

    def held_out(self, component: str) -> HeldOut | None:
        """The rows of a component's held-out documents, if it has any."""
        split = self._split("heldout", component)
        return HeldOut(self, component, split) if split and len(split) else None

    def draws(self, stream: int, rows: ArrayLike) -> NDArray[np.uint64]:
        """uint64[rows, seq_len]: a uniform number for each position, by (seed, stream, row, position) alone."""
        row = np.atleast_1d(np.asarray(rows, dtype=np.int64))[:, None]
        return keyed(self.plan.seed, _DRAWS, stream, row, np.arange(self.seq_len))

    def _empty(self, rows: int, count: int) -> tuple[I64, ...]:
        return tuple(np.empty((rows, self.seq_len), np.int64) for _ in range(count))

    def _split(self, split: str, component: str) -> Split | None:
        payload = self.folder.parent / f"{split}.{component}.bin"
        return Split(payload, self.folder, self._dtype) if split in self.counts[component] else None

    def _check(self, tokens: dict[str, Any], rows: dict[str, Any]) -> None:
        for folder, files in ((self.folder.parent, tokens), (self.folder, rows)):
            for name, expected in files.items():
                size = (folder / name).stat().st_size if (folder / name).is_file() else 0
                if size != expected["bytes"]:
                    raise CuratorError(
                        f"{folder / name} has {size:,} bytes, not the {expected['bytes']:,} that were written; remove "
                        "the folder tokens/ to build it again"
                    )


class HeldOut:
    """The held-out rows of one component: `read` takes numbers in [0, len)."""

    def __init__(self, whole: TokenRows, component: str, split: Split) -> None:
        self._whole, self._split = whole, split
        self.component = component

    def __len__(self) -> int:
        return len(self._split)

    def read(self, rows: ArrayLike) -> Batch:
        """Held-out rows."""
        batch = Batch(*self._filled(_copy, rows))
        return batch if self._whole.document_mask else _joined(batch)

    def causal(self, rows: ArrayLike) -> Causal:
        """Held-out rows with what predicts the next token."""
        causal = Causal(*self._filled(_copy_causal, rows))
        tokens = self._split.tokens[np.atleast_1d(np.asarray(rows, dtype=np.int64))]
        return causal if self._whole.document_mask else _joined_causal(causal, tokens)

    def _filled(self, copy: Callable[..., None], rows: ArrayLike) -> tuple[I64, ...]:
        row = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        arrays = self._whole._empty(len(row), 3)
        self._split.read(copy, row, np.arange(len(row)), self._whole.end_id, arrays)
        return arrays


def _joined(batch: Batch) -> Batch:
    """Each row as one document, as a mixture with document_mask: false asks for."""
    inside = batch.document >= 0
    return Batch(batch.ids, _positions(inside), np.where(inside, 0, -1))


def _joined_causal(causal: Causal, tokens: I64) -> Causal:
    inside = np.arange(causal.ids.shape[1]) < tokens[:, None]
    labels = np.where(inside, causal.ids, -100)
    labels[:, 0] = -100
    return Causal(causal.ids, labels, _positions(inside))


def _positions(inside: NDArray[np.bool_]) -> I64:
    columns = np.arange(inside.shape[1])
    return np.where(inside, columns, columns - inside.sum(axis=1)[:, None])


# Three loops over a piece where one would do: each is one that the compiler makes into vector instructions.


@njit(nogil=True, cache=True)
def _copy(
    payload: NDArray[Any],
    row_starts: I64,
    pieces: I64,
    rows: I64,
    places: I64,
    end: int,
    ids: I64,
    position: I64,
    document: I64,
) -> None:
    for k in range(len(rows)):
        row, first = places[k], row_starts[rows[k]]
        column = _copy_row(payload, row_starts, pieces, rows[k], end, ids[row], position[row])
        document[row, column:] = -1
        column = 0
        for number in range(first, row_starts[rows[k] + 1]):
            stop = column + pieces[number, 1] - pieces[number, 0]
            document[row, column:stop] = number - first
            column = stop


@njit(nogil=True, cache=True)
def _copy_causal(
    payload: NDArray[Any],
    row_starts: I64,
    pieces: I64,
    rows: I64,
    places: I64,
    end: int,
    ids: I64,
    labels: I64,
    position: I64,
) -> None:
    for k in range(len(rows)):
        row = places[k]
        column = _copy_row(payload, row_starts, pieces, rows[k], end, ids[row], position[row])
        labels[row, :column] = ids[row, :column]
        labels[row, column:] = -100
        column = 0
        for number in range(row_starts[rows[k]], row_starts[rows[k] + 1]):
            labels[row, column] = -100
            column += pieces[number, 1] - pieces[number, 0]


@njit(nogil=True, cache=True)
def _copy_ids(
    payload: NDArray[Any], row_starts: I64, pieces: I64, rows: I64, places: I64, end: int, ids: I64
) -> None:
    for k in range(len(rows)):
        row, column = places[k], 0
        for number in range(row_starts[rows[k]], row_starts[rows[k] + 1]):
            start, stop = pieces[number, 0], pieces[number, 1]
            ids[row, column : column + stop - start] = payload[start:stop]
            column += stop - start
        ids[row, column:] = end


@njit(nogil=True, cache=True)
def _copy_row(
    payload: NDArray[Any], row_starts: I64, pieces: I64, row: int, end: int, ids: I64, position: I64
) -> int:
    """Copy one row, padded with `end`; returns how many tokens it has."""
    width, column = len(ids), 0
    for number in range(row_starts[row], row_starts[row + 1]):
        start, stop = pieces[number, 0], pieces[number, 1]
        for token in range(stop - start):
            ids[column + token] = payload[start + token]
        for token in range(stop - start):
            position[column + token] = token
        column += stop - start
    for rest in range(column, width):
        ids[rest] = end
        position[rest] = rest - column
    return column
