"""Row i of a training run -> (component, epoch, row of the component), as a pure function.

**Shares.** Rows are dealt in blocks of 1,024. By the end of every block each component has the floor or the
ceiling of its share of all rows so far: what it is owed in full is dealt first, and what is left of the block
goes to the components whose next row falls due first (the quota method; unit jobs with release times and
deadlines, where earliest-deadline-first finds a schedule whenever one exists). It is integer arithmetic, so it
is the same on every machine, and a longer plan begins with the same whole blocks.
**Stages.** From given blocks on, other shares; then that holds of the rows since the stage began. What a component was
owed (less than a row) is dropped at the boundary: carried over, it could not always be paid, as when a component that
is owed has no share any more, or more components are owed than the next block has rows. Epochs carry over: a component
goes on where it was, so no row comes twice in an epoch.
**Order.** Inside a block a keyed permutation; of each component's rows one for every epoch, so that a row comes
once an epoch. Both are Feistel networks over splitmix64, walked until they fall in range: nothing is stored and
no library's random stream is relied on, for those change between versions.

Cost: some 20 us a block when the plan is opened, some 0.5 us a row looked up in bulk. Rejected: greedy largest
deficit (Megatron), which may drift by more than a row; independent draws (litdata), which drift by the root of
the rows; a shuffle buffer, which has a state.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.errors import UsageError

#: raised when the same arguments would give other rows; what was trained under another version stays readable
PLAN_VERSION = 1
STAGED_VERSION = 2  # a plan with stages, which version 1 does not know

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 8  # with 6, permutations of fewer than ten rows are visibly uneven
_WHOLE = 1 << 40  # a share of 1, in the integers that shares are counted in


def splitmix64(x: ArrayLike) -> U64:
    """The splitmix64 output for each state `x` (uint64 of any shape)."""
    with np.errstate(over="ignore"):
        z = np.asarray(x, dtype=np.uint64) + _GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def keyed(*parts: ArrayLike) -> U64:
    """One key of several integers, in their order; arrays broadcast."""
    key = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            key = splitmix64(key + np.asarray(part).astype(np.uint64))
    return key


def permute(index: ArrayLike, n: ArrayLike, key: ArrayLike) -> I64:
    """Where the keyed permutation of [0, n) sends `index`; index, n and key broadcast, 0 <= index < n <= 2**62."""
    i, size, keys = np.broadcast_arrays(
        np.asarray(index).astype(np.uint64), np.asarray(n).astype(np.uint64), np.asarray(key, dtype=np.uint64)
    )
    shape, i, size, keys = i.shape, i.ravel(), size.ravel(), keys.ravel()
    # the smallest power of two that holds n, in two halves of one bit at least: less than half is walked over
    bits = np.maximum(np.frexp((size - np.uint64(1)).astype(np.float64))[1], 2).astype(np.uint64)
    out = np.empty(i.shape, dtype=np.uint64)
    left = np.arange(len(i))
    while len(left):
        i = _feistel(i, bits, keys)
        inside = i < size
        out[left[inside]] = i[inside]
        if inside.all():
            break
        outside = ~inside
        left, i, size, bits, keys = left[outside], i[outside], size[outside], bits[outside], keys[outside]
    return out.astype(np.int64).reshape(shape)


def _feistel(x: U64, bits: U64, keys: U64) -> U64:
    low = (bits + np.uint64(1)) >> np.uint64(1)
    low_mask = (np.uint64(1) << low) - np.uint64(1)
    high_mask = (np.uint64(1) << (bits - low)) - np.uint64(1)
    high, rest = x >> low, x & low_mask
    with np.errstate(over="ignore"):
        for number in range(0, _ROUNDS, 2):
            high = high ^ (splitmix64(rest ^ (keys + np.uint64(number) * _GAMMA)) & high_mask)
            rest = rest ^ (splitmix64(high ^ (keys + np.uint64(number + 1) * _GAMMA)) & low_mask)
    joined: U64 = (high << low) | rest
    return joined


class Component(NamedTuple):
    """A component of a plan: how many rows it has, and its share of the run's rows."""

    rows: int
    share: float


class Stage(NamedTuple):
    """From row `start` on, components have these shares of the rows."""

    start: int
    shares: tuple[float, ...]


class Places(NamedTuple):
    """Where rows of the run lie: component (its number), epoch, and row of the component; int64 each."""

    component: I64
    epoch: I64
    row: I64


@dataclass(frozen=True)
class Plan:
    """The order of a run of `rows` rows; where there are `stages`, theirs are the shares that count.

    Raises UsageError for shares that do not sum to 1 or have no rows, and stages that do not begin at a block.
    """

    seed: int
    rows: int
    components: tuple[Component, ...]
    block: int = 1024
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(Component(*c) for c in self.components))
        object.__setattr__(self, "stages", tuple(Stage(start, tuple(s)) for start, s in self.stages))
        if self.rows < 0 or self.block < 1:
            raise UsageError(f"a plan of {self.rows} rows in blocks of {self.block} cannot be")
        for stage in (Stage(0, tuple(c.share for c in self.components)), *self.stages):
            if abs(sum(stage.shares) - 1) > 1e-6 or min(stage.shares) < 0:
                raise UsageError(
                    f"the shares of a plan sum to 1 and are not negative; these sum to {sum(stage.shares):.6f}"
                )
            shares = zip(stage.shares, self.components, strict=True)
            empty = [n for n, (share, c) in enumerate(shares) if share > 0 and c.rows < 1]
            if empty and self.rows:
                raise UsageError(f"component number {empty[0]} of the plan has a share but no rows")
        starts = [stage.start for stage in self.stages]
        if starts and (
            starts[0] != 0
            or any(start % self.block for start in starts)
            or any(a >= b for a, b in zip(starts, [*starts[1:], self.rows], strict=True))
        ):
            raise UsageError(
                f"the stages of a plan begin at row 0, then each later than the one before it, at a multiple of {self.block} "
                f"and before the end at {self.rows}; these begin at {', '.join(map(str, starts))}"
            )

    def __len__(self) -> int:
        return self.rows

    @cached_property
    def dealt(self) -> I64:
        """int64[blocks + 1, components]: rows dealt to each component before each block, and in the end."""
        stages = self.stages or (Stage(0, tuple(c.share for c in self.components)),)
        blocks = -(-self.rows // self.block)
        dealt = np.zeros((blocks + 1, len(self.components)), dtype=np.int64)
        ends = [stage.start // self.block for stage in stages[1:]] + [blocks]
        for stage, end in zip(stages, ends, strict=True):
            weights = _weights(list(stage.shares))
            owed = np.zeros(len(weights), dtype=np.int64)  # in 1/_WHOLE rows; negative once ahead of its share
            for number in range(stage.start // self.block, end):
                size = min(self.block, self.rows - number * self.block)
                owed += weights * size
                counts = np.maximum(owed // _WHOLE, 0)
                owed -= counts * _WHOLE
                if spare := size - int(counts.sum()):
                    due = -(-(_WHOLE - owed) // np.maximum(weights, 1))  # rows until its next row is due
                    order = np.lexsort((-owed, due, owed <= 0))[:spare]
                    counts[order] += 1
                    owed[order] -= _WHOLE
                dealt[number + 1] = dealt[number] + counts
        return dealt

    def lookup(self, rows: ArrayLike) -> Places:
        """Where `rows` (integers in [0, len(plan))) of the run lie.

        Raises IndexError for a row outside the plan.
        """
        i = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        if len(i) and (i.min() < 0 or i.max() >= self.rows):
            raise IndexError(f"the plan has rows 0 to {self.rows - 1}; {i.min()} to {i.max()} were asked for")
        block = i // self.block
        size = np.minimum(self.block, self.rows - block * self.block)
        slot = permute(i % self.block, size, keyed(self.seed, 0, block))
        # inside a block components lie one after the other; the permutation above mixes them
        ends = np.cumsum(self.dealt[block + 1] - self.dealt[block], axis=1)
        component = (slot[:, None] >= ends).sum(axis=1)
        each = np.arange(len(i))
        start = ends[each, component] - (self.dealt[block + 1] - self.dealt[block])[each, component]
        ordinal = self.dealt[block, component] + slot - start
        n = np.array([c.rows for c in self.components], dtype=np.int64)[component]
        epoch = ordinal // n
        return Places(component, epoch, permute(ordinal % n, n, keyed(self.seed, 1, component, epoch)))

    def to_json(self) -> dict[str, Any]:
        """As JSON values: of version 1 without stages, so that its fingerprint stays what it was."""
        values: dict[str, Any] = {
            "plan_version": STAGED_VERSION if self.stages else PLAN_VERSION,
            "seed": self.seed,
            "rows": self.rows,
            "block": self.block,
            "components": [{"rows": c.rows, "share": c.share} for c in self.components],
        }
        if self.stages:
            values["stages"] = [{"start": s.start, "shares": list(s.shares)} for s in self.stages]
        return values

    @staticmethod
    def from_json(values: dict[str, Any]) -> Plan:
        """The plan that `to_json` gave. Raises UsageError where another version of the order made it."""
        if values["plan_version"] not in (PLAN_VERSION, STAGED_VERSION):
            raise UsageError(
                f"the plan was made by version {values['plan_version']} of the row order, this curator has versions "
                f"{PLAN_VERSION} and {STAGED_VERSION}, and would train on other rows: install the curator that made it, or "
                "export again"
            )
        components = tuple(Component(c["rows"], c["share"]) for c in values["components"])
        stages = tuple(Stage(s["start"], tuple(s["shares"])) for s in values.get("stages", ()))
        return Plan(values["seed"], values["rows"], components, values["block"], stages)

    @property
    def fingerprint(self) -> str:
        """32 hex digits: equal fingerprints give equal rows."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:32]


def _weights(shares: list[float]) -> I64:
    """Shares as integers that sum to _WHOLE exactly; what rounding leaves goes to the largest remainders."""
    exact = np.asarray(shares, dtype=np.float64) / max(sum(shares), 1e-300) * _WHOLE
    weights = np.floor(exact).astype(np.int64)
    spare = _WHOLE - int(weights.sum())
    weights[np.argsort(-(exact - weights), kind="stable")[:spare]] += 1
    return weights
