"""How much of each component a mixture takes: weights in tokens, budgets, epochs.

Documents are the wrong unit: half and half by documents was 87 to 13 by tokens on two measured sources. So
shares are of tokens, and a component that is smaller than its share is repeated, up to its cap of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator_catalog.errors import CatalogError

WEIGHTINGS = ("explicit", "natural", "temperature", "unimax")
ON_SHORT = ("error", "renormalise", "shrink")


class MixtureError(CatalogError):
    """A mixture that cannot be had from this corpus."""


@dataclass(frozen=True)
class Demand:
    """A component: what there is of it and how much is asked; one of weight, tokens, epochs."""

    name: str
    documents: int
    available: float
    max_epochs: float
    weight: float | None = None
    tokens: float | None = None
    epochs: float | None = None


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


def allocate(
    demands: Sequence[Demand], budget: float, *, weighting: str, temperature: float, on_short: str
) -> list[Share]:
    """The targets of all components, in tokens.

    Absolute demands (tokens, epochs) come first; the rest of the budget is divided by `weighting`:
    `explicit` by the weights, `natural` by size, `temperature` by size ** temperature, `unimax` as evenly as
    the caps allow (Chung et al. 2023: water-filling from the smallest size x cap). Where caps leave the
    budget short, `error` raises MixtureError naming component and figures, `renormalise` gives the rest to
    the others, `shrink` keeps the shares and takes fewer tokens.
    """
    for demand in demands:
        if not demand.documents:
            raise MixtureError(
                f"component {demand.name!r} has no documents: its query gives none; mend it or take it out"
            )
    fixed = {d.name: d.tokens if d.tokens is not None else (d.epochs or 0.0) * d.available
             for d in demands if d.weight is None and (d.tokens is not None or d.epochs is not None)}  # fmt: skip
    for demand in demands:
        if demand.name in fixed and fixed[demand.name] > demand.available * demand.max_epochs * 1.000001:
            raise _short(demand, fixed[demand.name])
    weighted = [d for d in demands if d.name not in fixed]
    left = budget - sum(fixed.values())
    if left < 0:
        raise MixtureError(
            f"tokens and epochs of the components ask for {sum(fixed.values()):,.0f} tokens, the budget is {budget:,.0f}"
        )
    targets = dict(fixed)
    if weighted and weighting == "unimax":
        targets |= _unimax(weighted, left)
    elif weighted:
        targets |= _by_weight(weighted, left, weighting, temperature, on_short)
    total = sum(targets.values())
    if not total:
        raise MixtureError(
            "the weights of all components are 0, so the mixture would be empty; give one a weight"
        )
    if total < budget * 0.999999 and on_short == "error":
        room = sum(d.available * d.max_epochs for d in demands)
        raise MixtureError(
            f"the budget is {budget:,.0f} tokens, the components give at most {room:,.0f} within their max_epochs; "
            "lower tokens:, raise max_epochs:, or set on_short: shrink"
        )
    return [
        Share(d.name, d.documents, d.available, d.max_epochs, targets[d.name], targets[d.name] / total,
              targets[d.name] >= d.available * d.max_epochs * 0.999999)
        for d in demands
    ]  # fmt: skip


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
    caps = {d.name: d.available * d.max_epochs for d in demands}
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
    for place, demand in enumerate(sorted(demands, key=lambda d: (d.available * d.max_epochs, d.name))):
        even = (budget - sum(given.values())) / (len(demands) - place)
        given[demand.name] = min(demand.available * demand.max_epochs, even)
    return given


def _short(demand: Demand, wanted: float) -> MixtureError:
    return MixtureError(
        f"component {demand.name!r} would need {wanted:,.0f} tokens and has {demand.available:,.0f}, which at "
        f"max_epochs {demand.max_epochs:g} gives {demand.available * demand.max_epochs:,.0f}; set max_epochs to "
        f"{wanted / demand.available:.1f}, lower its weight or tokens:, or set on_short: renormalise or shrink"
    )
