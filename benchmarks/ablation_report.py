"""What the runs of benchmarks/ablation.py show: differences with their spread over seeds, and tables of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DRAWS = 10_000
Floats = NDArray[np.float64]


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation, and Student's 95 % interval of the mean; None where there is one seed."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "sd": None, "interval": None}
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return {"mean": mean, "sd": sd, "interval": [mean - half, mean + half]}


def over_documents(before: Floats, after: Floats, sizes: NDArray[Any]) -> list[float]:
    """The 95 % interval of a difference in bits per byte when the holdout's documents are drawn anew."""
    drawn = np.random.default_rng(0).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), DRAWS)
    difference = (drawn @ (after - before)) / (drawn @ sizes)
    return [float(v) for v in np.quantile(difference, [0.025, 0.975])]


def compared(
    arms: Sequence[str],
    seeds: int,
    bits: Mapping[tuple[str, int, str], Floats],
    sizes: Mapping[str, NDArray[Any]],
) -> list[dict[str, Any]]:
    """Each arm with the first, on each holdout. `bits` are of (arm, seed, holdout), each document's."""
    found = []
    for holdout, size in sizes.items():
        first = [float(bits[arms[0], seed, holdout].sum() / size.sum()) for seed in range(seeds)]
        for arm in arms[1:]:
            other = [float(bits[arm, seed, holdout].sum() / size.sum()) for seed in range(seeds)]
            each = [b - a for a, b in zip(first, other, strict=True)]
            found.append(
                {
                    "holdout": holdout,
                    "arm": arm,
                    "against": arms[0],
                    "per_seed": each,
                    **over_seeds(each),
                    "percent": 100 * float(np.mean(each)) / float(np.mean(first)),
                    "documents_of_seed_0": over_documents(
                        bits[arms[0], 0, holdout], bits[arm, 0, holdout], size
                    ),
                }
            )
    return found


def verdict(difference: Mapping[str, Any], control: str | None) -> str:
    """In words, what the seeds say."""
    low, high = difference["interval"] or (-math.inf, math.inf)
    arm, against = difference["arm"], difference["against"]
    shown = f"{arm} is better" if high < 0 else f"{against} is better" if low > 0 else "no difference shown"
    if difference["holdout"] == control:
        shown += (
            ", as it should be here" if low > 0 else ": THE CONTROL FAILS, the measure is not to be trusted"
        )
    return shown


def _spread(values: Sequence[float]) -> str:
    of = over_seeds(values)
    return f"{of['mean']:.3f}" + ("" if of["sd"] is None else f" ± {of['sd']:.3f}")


def _interval(values: Sequence[float] | None) -> str:
    return "one seed: none" if values is None else f"[{values[0]:+.3f}, {values[1]:+.3f}]"


def tables(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    runs, control = results["runs"], results["control"]
    lines = [
        "| arm | documents | MB | cut out: documents, characters | tokens a run | epochs | train loss, end | CPU s a run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in results["arms"].items():
        own = [r for r in runs if r["arm"] == name]
        mean = {
            k: float(np.mean([r[k] for r in own])) for k in ("tokens", "epochs", "loss_end", "cpu_seconds")
        }
        lines.append(
            f"| {name} | {arm['documents']:,} | {arm['bytes'] / 1e6:.1f} | {arm['cut']['documents']:,}, {arm['cut']['characters']:,} "
            f"| {mean['tokens']:,.0f} | {mean['epochs']:.2f} | {mean['loss_end']:.2f} | {mean['cpu_seconds']:.0f} |"
        )
    arms = list(results["arms"])
    lines += ["", f"| holdout, bits per byte | {' | '.join(arms)} |", f"|---|{'---|' * len(arms)}"]
    for holdout, of in results["holdouts"].items():
        values = [_spread([r["bits_per_byte"][holdout] for r in runs if r["arm"] == a]) for a in arms]
        title = f"{holdout} ({of['documents']:,} documents, {of['bytes'] / 1e3:,.0f} kB)"
        lines.append(f"| {title}{', the control' if holdout == control else ''} | {' | '.join(values)} |")
    lines += [
        "",
        f"| holdout | arm less {arms[0]} | each seed | mean | 95 % over seeds | 95 % over documents of seed 0 (overconfident) | |",
        "|---|---|---|---|---|---|---|",
    ]
    for d in results["differences"]:
        lines.append(
            f"| {d['holdout']} | {d['arm']} | {' / '.join(f'{v:+.3f}' for v in d['per_seed'])} | {d['mean']:+.3f} ({d['percent']:+.1f} %) "
            f"| {_interval(d['interval'])} | {_interval(d['documents_of_seed_0'])} | {verdict(d, control)} |"
        )
    return "\n".join(lines)
