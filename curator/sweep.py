"""Mixtures drawn around the natural one, to train small models on and to fit a law of mixing to their losses.

    FOLDER/NAME-0000.yaml …  mixture files, as `curator mix`, `export` and `train` take them
    FOLDER/ratios.csv        run_id, then one column a component: its weight; each line sums to 1
    FOLDER/metrics.csv       run_id, and a column for each metric that the runs will have measured

RegMix (Liu et al. 2024) and Olmix (Chen et al. 2026): weights from a Dirichlet distribution around the prior
p ~ size ** 0.5, its strength drawn log-uniformly from 0.1 (a few components have nearly all) to 5 (near the prior);
weights below 2e-4 are 0, and what would need more than a component's max_epochs is drawn again. tokens: and epochs: of
components give way to the weights. The two tables are those that `olmix fit` reads (its loader of 2026-02 joins them
on run_id, which later versions take beside run); it wants the rows of metrics.csv filled in.

The draws are ours, by (seed, run, attempt, component): numpy promises the streams of its bit generators, not those of
its distributions. A run's mixture does not depend on how many there are.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from curator.corpus import Corpus
from curator.errors import UsageError
from curator.mixture import Mixture, plan
from curator.plan import keyed

PRIOR_TEMPERATURE = 0.5
WEAKEST, STRONGEST = 0.1, 5.0
MINIMUM = 2e-4
ATTEMPTS = 20_000
_SWEEP = 0x7377656570  # "sweep": the first key of the draws, apart from those of the order

F64 = NDArray[np.float64]


def write_sweep(corpus: Corpus, mixture: Mixture, runs: int, folder: Path) -> list[dict[str, Any]]:
    """Write `runs` mixtures and the tables of their weights, and return run_id and weights of each.

    Raises UsageError where the folder exists, for a mixture without a budget or with stages, and where no mixture keeps
    the caps.
    """
    model = mixture.model
    if folder.exists():
        raise UsageError(f"{folder} exists; name another folder for the sweep, or remove it")
    if model.budget is None:
        raise UsageError(f"mixture {model.mixture!r}: a sweep needs the budget of its runs, as tokens: 100M")
    if model.stages is not None:
        raise UsageError(
            f"mixture {model.mixture!r}: a sweep varies one set of weights, the mixture has stages:; take them out"
        )
    names = list(model.components)
    natural = plan(corpus, _natural(mixture)).shares
    sizes = np.array([s.available for s in natural])
    most = sizes * np.array([s.max_epochs for s in natural]) / model.budget
    drawn = draw(sizes, most, runs, model.seed, names)
    width = max(4, len(str(runs - 1)))
    folder.mkdir(parents=True)
    found = []
    for number, weights in enumerate(drawn.tolist()):
        run = f"{model.mixture}-{number:0{width}d}"
        by_name = dict(zip(names, weights, strict=True))
        content = _content(mixture, run, by_name, folder)
        (folder / f"{run}.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=110), encoding="utf-8")
        found.append({"run_id": run, **by_name})
    for name, columns, rows in (("ratios.csv", ["run_id", *names], found), ("metrics.csv", ["run_id"], [])):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return found


def draw(sizes: F64, most: F64, runs: int, seed: int, names: list[str]) -> F64:
    """float64[runs, components]: weights of 6 decimals that sum to 1, of which none is more than `most` of its component.

    Raises UsageError where 20,000 attempts find none.
    """
    if most.sum() < 1:
        raise UsageError(
            f"the components give at most {100 * most.sum():.1f} % of the budget within their max_epochs; lower tokens:, or "
            "raise max_epochs:"
        )
    prior = sizes**PRIOR_TEMPERATURE / (sizes**PRIOR_TEMPERATURE).sum()
    return np.array([_one(prior, most, seed, run, names) for run in range(runs)])


def _one(prior: F64, most: F64, seed: int, run: int, names: list[str]) -> F64:
    step = 16
    for first in range(0, ATTEMPTS, step):
        tries = _dirichlet(prior, seed, run, np.arange(first, first + step))
        fits = np.flatnonzero((tries <= most).all(axis=1))
        if len(fits):
            found: F64 = tries[fits[0]]
            return found
    tight = int(np.argmin(most / prior))
    raise UsageError(
        f"run {run} of the sweep: none of {ATTEMPTS:,} draws keeps every max_epochs; {names[tight]!r} may be at most "
        f"{100 * most[tight]:.2f} % of the budget: lower tokens:, or raise its max_epochs"
    )


def _dirichlet(prior: F64, seed: int, run: int, attempts: NDArray[np.int64]) -> F64:
    """float64[attempts, components]: one draw each, small weights cut off, rounded."""
    from scipy.special import gammaincinv

    def uniform(stream: int, parts: int) -> F64:
        bits = keyed(_SWEEP, seed, run, stream, attempts[:, None], np.arange(parts)) >> np.uint64(11)
        return (bits.astype(np.float64) + 0.5) / 2**53

    strength = WEAKEST * (STRONGEST / WEAKEST) ** uniform(0, 1)
    alpha = prior * strength
    # gamma(a) = gamma(a + 1) u^(1/a), in logarithms: for small a nearly all of it would underflow
    logs = np.log(gammaincinv(alpha + 1, uniform(1, len(prior)))) + np.log(uniform(2, len(prior))) / alpha
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < MINIMUM] = 0
    weights = np.round(weights / weights.sum(axis=1, keepdims=True), 6)
    largest = weights.argmax(axis=1)
    each = np.arange(len(weights))
    weights[each, largest] = np.round(weights[each, largest] + 1 - weights.sum(axis=1), 6)
    rounded: F64 = weights
    return rounded


def _natural(mixture: Mixture) -> Mixture:
    """The same components by size, which asks nothing of them that they have not."""
    apart = {"weight": None, "tokens": None, "epochs": None}
    components = {n: c.model_copy(update=apart) for n, c in mixture.model.components.items()}
    changes = {"components": components, "weighting": "natural", "on_short": "shrink"}
    return Mixture(mixture.model.model_copy(update=changes), mixture.file)


def _content(mixture: Mixture, run: str, weights: dict[str, float], folder: Path) -> dict[str, Any]:
    content = mixture.model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content["mixture"] = run
    content.pop("weighting", None)
    content.pop("temperature", None)
    for key in ("tokens", "batch_tokens"):
        if key in content and content[key] == int(content[key]):
            content[key] = int(content[key])
    for name, component in content["components"].items():
        kept = {k: v for k, v in component.items() if k in ("sql", "where", "max_epochs")}
        content["components"][name] = kept | {"weight": weights[name]}
    if mixture.tokenizer is not None and mixture.model.tokenizer is not None:
        path = (Path(mixture.file).parent if mixture.file else Path()) / mixture.model.tokenizer.path
        content["tokenizer"]["path"] = os.path.relpath(path.resolve(), folder.resolve())
    return content
