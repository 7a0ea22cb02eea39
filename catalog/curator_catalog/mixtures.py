"""How much of each component a mixture takes: weights in tokens, budgets, epochs.

Documents are the wrong unit: half and half by documents was 87 to 13 by tokens on two measured sources. So
shares are of tokens, and a component that is smaller than its share is repeated, up to its cap of epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curator_catalog.errors import CatalogError

WEIGHTINGS = ("explicit", "natural", "temperature", "unimax")
ON_SHORT = ("error", "renormalise", "shrink")
REPEATS_WORTH = 15.4  # R* of Muennighoff et al. 2023


class MixtureError(CatalogError):
    """A mixture that cannot be had from this corpus."""


@dataclass(frozen=True)
class Demand:
    """A component: what there is of it and how much is asked; one of weight, tokens, epochs.

    `used` tokens are taken by other stages already, and count against the cap.
    """

    name: str
    documents: int
    available: float
    max_epochs: float
    weight: float | None = None
    tokens: float | None = None
    epochs: float | None = None
    used: float = 0.0

    @property
    def room(self) -> float:
        """The tokens that may still be taken within max_epochs."""
        return max(0.0, self.available * self.max_epochs - self.used)


@dataclass(frozen=True)
class Share:
    """A component's part of the plan: `target` tokens, `share` of all, `epochs` over what is available."""

    name: str
    documents: int
    available: float
    max_epochs: float
    target: float
    share: float
    capped: bool

    @property
    def epochs(self) -> float:
        return self.target / self.available

    @property
    def unique(self) -> float:
        """The share of the target's tokens that are seen for the first time."""
        return min(1.0, 1 / self.epochs) if self.epochs else 1.0

    @property
    def effective(self) -> float:
        """What the target is worth in tokens never seen: U + U R (1 - exp(-(epochs - 1) / R)), R = 15.4.

        Muennighoff et al. 2023, equation 5: up to 4 epochs are nearly as good as new text, 16 are worth little more.
        """
        if self.epochs <= 1:
            return self.target
        return self.available * (1 + REPEATS_WORTH * (1 - math.exp(-(self.epochs - 1) / REPEATS_WORTH)))


@dataclass(frozen=True)
class Stage:
    """A part of the run from `start` (a share of the budget) on; without `weights`, those of the mixture."""

    start: float
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class StageShares:
    """What a stage takes: it begins at the share `start` of the run's tokens, and `tokens` are each component's."""

    start: float
    tokens: dict[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """Of the stage's tokens; they sum to 1."""
        total = sum(self.tokens.values())
        return {name: tokens / total for name, tokens in self.tokens.items()}


def allocate(
    demands: Sequence[Demand], budget: float, *, weighting: str, temperature: float, on_short: str
) -> list[Share]:
    """The targets of all components, in tokens.

    Absolute demands (tokens, epochs) come first; the rest of the budget is divided by `weighting`:
    `explicit` by the weights, `natural` by size, `temperature` by size ** temperature, `unimax` as evenly as
    the caps allow (Chung et al. 2023: water-filling from the smallest size x cap). Where caps leave the
    budget short, `error` raises MixtureError naming component and figures, `renormalise` gives the rest to
    the others, `shrink` keeps the shares and takes fewer tokens (of an absolute demand, what there is).
    """
    for demand in demands:
        if not demand.documents:
            raise MixtureError(
                f"component {demand.name!r} has no documents: its query gives none; mend it or take it out"
            )
        if not demand.available:
            raise MixtureError(
                f"the {demand.documents:,} documents of component {demand.name!r} have no text; mend its query or take it out"
            )
    asked = {d.name: d.tokens if d.tokens is not None else (d.epochs or 0.0) * d.available
             for d in demands if d.weight is None and (d.tokens is not None or d.epochs is not None)}  # fmt: skip
    if sum(asked.values()) > budget * 1.000001:
        raise MixtureError(
            f"tokens and epochs of the components ask for {sum(asked.values()):,.0f} tokens, the budget is {budget:,.0f}"
        )
    for demand in demands:
        if on_short == "error" and asked.get(demand.name, 0.0) > demand.room * 1.000001:
            raise _short(demand, asked[demand.name])
    fixed = {d.name: min(asked[d.name], d.room) for d in demands if d.name in asked}
    weighted = [d for d in demands if d.name not in fixed]
    left = max(0.0, budget - sum((asked if on_short == "shrink" else fixed).values()))
    targets = dict(fixed)
    if weighted and weighting == "unimax":
        targets |= _unimax(weighted, left)
    elif weighted:
        targets |= _by_weight(weighted, left, weighting, temperature, on_short)
    total = sum(targets.values())
    if not total:
        spent = ", ".join(repr(d.name) for d in demands if not d.room and d.weight != 0)
        raise MixtureError(
            f"nothing is left of {spent} within max_epochs; raise it, or lower tokens: or what other stages take of it"
        )
    if total < budget * 0.999999 and on_short == "error":
        room = sum(d.room for d in demands)
        raise MixtureError(
            f"the budget is {budget:,.0f} tokens, the components give at most {room:,.0f} within their max_epochs; "
            "lower tokens:, raise max_epochs:, or set on_short: shrink"
        )
    return [
        Share(d.name, d.documents, d.available, d.max_epochs, targets[d.name], targets[d.name] / total,
              targets[d.name] >= d.available * d.max_epochs * 0.999999)
        for d in demands
    ]  # fmt: skip


def allocate_stages(
    demands: Sequence[Demand],
    budget: float,
    stages: Sequence[Stage],
    *,
    weighting: str,
    temperature: float,
    on_short: str,
) -> tuple[list[Share], list[StageShares]]:
    """The targets of all components, and of each stage, of which the first starts at 0.

    The stages without weights share one allocation of their part of the budget, as `allocate` makes it; tokens: and
    epochs: of components belong there. Then those with weights, in order, by what is left of every component's cap;
    components that a stage does not name have 0 there. `on_short` holds in each. Where a stage takes fewer tokens than
    its part, it is the shorter for it, and `start` of those after it moves. Errors name the stage.
    """
    ends = [s.start for s in stages[1:]] + [1.0]
    parts = [budget * (end - stage.start) for stage, end in zip(stages, ends, strict=True)]
    common = sum(part for stage, part in zip(stages, parts, strict=True) if stage.weights is None)
    targets = dict.fromkeys((d.name for d in demands), 0.0)
    tokens: list[dict[str, float]] = [{} for _ in stages]
    if common:
        found = allocate(demands, common, weighting=weighting, temperature=temperature, on_short=on_short)
        targets = {s.name: s.target for s in found}
        for number, stage in enumerate(stages):
            if stage.weights is None:
                tokens[number] = {n: t * parts[number] / common for n, t in targets.items()}
    elif absolute := [d.name for d in demands if d.tokens is not None or d.epochs is not None]:
        raise MixtureError(
            f"component {absolute[0]!r} asks for tokens: or epochs:, which are taken in stages without weights:, and every "
            "stage has weights; take it out, or take the weights of one stage out"
        )
    for number, stage in enumerate(stages):
        if stage.weights is None:
            continue
        asked = [
            replace(d, weight=stage.weights.get(d.name, 0.0), tokens=None, epochs=None, used=targets[d.name])
            for d in demands
        ]
        try:
            found = allocate(
                asked, parts[number], weighting="explicit", temperature=temperature, on_short=on_short
            )
        except MixtureError as error:
            raise MixtureError(f"stage {number + 1}, from {100 * stage.start:g} % of the budget: {error}") from None
        tokens[number] = {s.name: s.target for s in found}
        targets = {n: t + tokens[number][n] for n, t in targets.items()}
    total = sum(targets.values())
    starts = [sum(sum(t.values()) for t in tokens[:number]) / total for number in range(len(stages))]
    shares = [
        Share(d.name, d.documents, d.available, d.max_epochs, targets[d.name], targets[d.name] / total,
              targets[d.name] >= d.available * d.max_epochs * 0.999999)
        for d in demands
    ]  # fmt: skip
    return shares, [StageShares(start, given) for start, given in zip(starts, tokens, strict=True)]


def _by_weight(
    demands: list[Demand], budget: float, weighting: str, temperature: float, on_short: str
) -> dict[str, float]:
    alpha = {"natural": 1.0, "temperature": temperature}.get(weighting)
    if alpha is not None:
        demands = [replace(d, weight=d.available**alpha) for d in demands]
    weights = {d.name: d.weight or 0.0 for d in demands}
    if not sum(weights.values()):
        raise MixtureError(
            "the weights of all components are 0, so the mixture would be empty; give one a weight"
        )
    caps = {d.name: d.room for d in demands}
    wanted = {n: budget * w / sum(weights.values()) for n, w in weights.items()}
    over = [d for d in demands if wanted[d.name] > caps[d.name] * 1.000001]
    if not over:
        return wanted
    if on_short == "error":
        raise _short(over[0], wanted[over[0].name])
    if on_short == "shrink":
        factor = min(caps[n] / t for n, t in wanted.items() if t)
        return {n: t * factor for n, t in wanted.items()}
    given: dict[str, float] = {}
    while True:
        rest = {n: w for n, w in weights.items() if n not in given and w}
        left = budget - sum(given.values())
        wanted = {n: left * w / sum(rest.values()) for n, w in rest.items()} if rest else {}
        full = [n for n, t in wanted.items() if t >= caps[n]]
        if not full:
            return dict.fromkeys(weights, 0.0) | given | wanted
        given |= {n: caps[n] for n in full}


def _unimax(demands: list[Demand], budget: float) -> dict[str, float]:
    given: dict[str, float] = {}
    for place, demand in enumerate(sorted(demands, key=lambda d: (d.room, d.name))):
        even = (budget - sum(given.values())) / (len(demands) - place)
        given[demand.name] = min(demand.room, even)
    return given


def _short(demand: Demand, wanted: float) -> MixtureError:
    gone = f", of which other stages take {demand.used:,.0f}" if demand.used else ""
    return MixtureError(
        f"component {demand.name!r} would need {wanted:,.0f} tokens and has {demand.available:,.0f}, which at "
        f"max_epochs {demand.max_epochs:g} gives {demand.available * demand.max_epochs:,.0f}{gone}; set max_epochs to "
        f"{_up((demand.used + wanted) / demand.available)}, lower its weight or tokens:, or set on_short: renormalise or "
        "shrink"
    )


def _up(epochs: float) -> str:
    """Rounded up, so that following the advice is enough."""
    return f"{math.ceil(round(epochs * 10, 6)) / 10:.1f}"
