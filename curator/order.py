"""The order of an export's rows: payloads are packed, and a plan says which row comes when (read by curator.rows)."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from curator.errors import UsageError
from curator.hashing import file_hash
from curator.packing import Packed, pack
from curator.plan import Component, Plan, Stage
from curator.rows import FORMAT_VERSION

_CHOSEN = 8  # boundaries of which both sides are tried
#: a budget is met by estimate; what a named tokenizer then gives may fall short by this share
SAMPLING_ERROR = 0.05
#: of an export that says nothing of packing
PACKING = {"mode": "best_fit", "long_docs": "split", "document_mask": True}


def write_rows(manifest: dict[str, Any], payloads: Path, folder: Path, seq_len: int) -> None:
    """Pack the payloads of an export into rows, and plan their order. Raises UsageError for a budget out of reach."""
    folder.mkdir(exist_ok=True)
    tokens = json.loads((payloads / "tokens.json").read_text(encoding="utf-8"))
    packing = PACKING | manifest.get("packing", {})
    files: dict[str, dict[str, Any]] = {}
    packed: dict[str, Packed] = {}
    for component, splits in tokens["components"].items():
        for split in splits:
            name = f"{split}.{component}"
            rows = packed[name] = pack(
                np.fromfile(payloads / f"{name}.ends", dtype="<u8"), seq_len, mode=packing["mode"]
            )
            for kind, array in (("rows", rows.row_starts), ("pieces", rows.pieces)):
                path = folder / f"{name}.{kind}.npy"
                np.save(path, array)
                files[path.name] = {"bytes": path.stat().st_size, "xxh3_128": file_hash(path)}
    made = [packed.get(f"train.{c['name']}") for c in manifest["components"]]
    available = [(len(p), int(p.tokens().sum())) if p else (0, 0) for p in made]
    plan, limited_by = plan_rows(manifest, available)
    whole = {"plan": plan.to_json(), "tokens": tokens["files"], "rows": files}
    if packing != PACKING:  # rows read as one document are trained on otherwise
        whole["packing"] = packing
    write_json(
        folder / "plan.json",
        {
            "format_version": FORMAT_VERSION,
            "fingerprint": hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32],
            "export": {k: manifest[k] for k in ("mixture", "fingerprint")},
            "seq_len": seq_len,
            "tokens_asked": manifest["tokens"],
            "limited_by": limited_by,
            "packing": packing,
            "plan": plan.to_json(),
            "components": [
                {"name": c["name"], "share": c["share"], "max_epochs": c["max_epochs"], "rows": rows, "tokens": count}
                for c, (rows, count) in zip(manifest["components"], available, strict=True)
            ],
            "files": files,
        },
    )  # fmt: skip


def plan_rows(manifest: dict[str, Any], available: list[tuple[int, int]]) -> tuple[Plan, str | None]:
    """The plan for the budget, and the component whose cap made it smaller, if one did.

    Shares are of tokens, so a component whose rows are less full gets more rows. Where the mixture names no tokenizer
    its budget was an estimate in characters, and gives way to the caps; where it names one, the budget stands.
    """
    budget = float(manifest["tokens"])
    caps: list[int] = []
    for component, (rows, tokens) in zip(manifest["components"], available, strict=True):
        needed = component["share"] * budget
        within = component["max_epochs"] * tokens
        if needed > 0 and (not rows or (manifest["tokenizer"] and within < needed * (1 - SAMPLING_ERROR))):
            raise UsageError(
                f"component {component['name']!r} needs {round(needed):,} tokens ({100 * component['share']:.1f} % of "
                f"{manifest['tokens']:,}) and has {tokens:,}, which may be seen {component['max_epochs']:g} times: lower "
                f"`tokens:` or its weight, widen its query, or raise its max_epochs to {needed / max(tokens, 1):.1f}"
            )
        caps.append(int(component["max_epochs"] * rows))
    stages = _wanted(manifest, available)
    wanted = [sum(column) for column in zip(*stages, strict=True)]
    most, limited_by = 1.0, None
    for component, cap, rows in zip(manifest["components"], caps, wanted, strict=True):
        if rows and cap / rows < most:
            most, limited_by = cap / rows, component["name"]
    count = int(sum(wanted) * most + 1e-6)
    parts = tuple(Component(rows, w / sum(wanted)) for (rows, _), w in zip(available, wanted, strict=True))

    def planned() -> Plan:
        starts = _stages(count, stages, caps) if len(stages) > 1 and count else ()
        return Plan(manifest["seed"], count, parts, stages=starts)

    plan = planned()
    while count and (plan.dealt[-1] > caps).any():  # shares and stages are rounded; a cap holds to the row
        over = min(c / d for c, d in zip(caps, plan.dealt[-1].tolist(), strict=True) if d)
        count = count - 1 if len(stages) == 1 else min(count - 1, int(count * over))
        plan = planned()
    if not count:
        raise UsageError(
            f"a budget of {manifest['tokens']:,} tokens is less than one row; raise `tokens:`, or shorten the rows"
        )
    return plan, limited_by


def _wanted(manifest: dict[str, Any], available: list[tuple[int, int]]) -> list[list[float]]:
    """The rows that each stage asks for of each component: its tokens over the mean of a row of that component."""
    whole = [{"start": 0.0, "shares": {c["name"]: c["share"] for c in manifest["components"]}}]
    stages = manifest["stages"] if len(manifest.get("stages", ())) > 1 else whole
    ends = [s["start"] for s in stages[1:]] + [1.0]
    asked = []
    for stage, end in zip(stages, ends, strict=True):
        budget = float(manifest["tokens"]) * (end - stage["start"])
        needed = [stage["shares"].get(c["name"], 0.0) * budget for c in manifest["components"]]
        asked.append([n / (t / r) if n else 0.0 for n, (r, t) in zip(needed, available, strict=True)])
    return asked


def _stages(count: int, wanted: list[list[float]], caps: list[int]) -> tuple[Stage, ...]:
    """The stages of a plan of `count` rows, from the rows that each wants.

    A boundary goes to the nearer block; to the farther one where that keeps a cap which the nearer breaks.
    Raises UsageError for a stage that rounds to nothing.
    """
    rows = np.array(wanted)
    shares = rows / rows.sum(axis=1, keepdims=True)
    exact = np.cumsum(rows.sum(axis=1))[:-1] / rows.sum() * count / Plan.block
    nearest = np.floor(exact + 0.5)
    if (np.diff([0, *nearest, count / Plan.block]) <= 0).any():
        begin = ", ".join(f"{round(e * Plan.block):,}" for e in [0.0, *exact.tolist()])
        raise UsageError(
            f"the run has {count:,} rows, its {len(rows)} stages begin at rows {begin}, and boundaries are rounded to blocks "
            f"of {Plan.block:,}: a stage would have no rows; raise `tokens:`, shorten the rows, or take a stage out"
        )
    farther = np.where(nearest > exact, np.floor(exact), np.ceil(exact))
    best: tuple[tuple[int, float], list[int]] | None = None
    choices = 2 if len(exact) <= _CHOSEN else 1
    for turned in itertools.product((False, True)[:choices], repeat=len(exact)):
        blocks = np.where(turned, farther, nearest)
        starts = [0, *(blocks * Plan.block).astype(int).tolist()]
        lengths = np.diff([*starts, count])
        if (lengths <= 0).any():
            continue
        over = int(np.maximum(np.ceil(lengths @ shares) - caps, 0).max())
        badness = over, float(np.abs(blocks - exact).sum())
        if best is None or badness < best[0]:
            best = badness, starts
    assert best is not None  # the nearest have rows
    return tuple(Stage(start, tuple(s)) for start, s in zip(best[1], shares.tolist(), strict=True))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")
