"""The order of an export's rows: payloads are packed, and a plan says which row comes when (read by curator.rows)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from curator.errors import UsageError
from curator.hashing import file_hash
from curator.packing import Packed, pack
from curator.plan import Component, Plan
from curator.rows import FORMAT_VERSION

#: a budget is met by estimate; what a named tokenizer then gives may fall short by this share
SAMPLING_ERROR = 0.05


def write_rows(manifest: dict[str, Any], payloads: Path, folder: Path, seq_len: int) -> None:
    """Pack the payloads of an export into rows, and plan their order. Raises UsageError for a budget out of reach."""
    folder.mkdir(exist_ok=True)
    tokens = json.loads((payloads / "tokens.json").read_text(encoding="utf-8"))
    files: dict[str, dict[str, Any]] = {}
    packed: dict[str, Packed] = {}
    for component, splits in tokens["components"].items():
        for split in splits:
            name = f"{split}.{component}"
            rows = packed[name] = pack(np.fromfile(payloads / f"{name}.ends", dtype="<u8"), seq_len)
            for kind, array in (("rows", rows.row_starts), ("pieces", rows.pieces)):
                path = folder / f"{name}.{kind}.npy"
                np.save(path, array)
                files[path.name] = {"bytes": path.stat().st_size, "xxh3_128": file_hash(path)}
    made = [packed.get(f"train.{c['name']}") for c in manifest["components"]]
    available = [(len(p), int(p.tokens().sum())) if p else (0, 0) for p in made]
    plan, limited_by = _plan(manifest, available)
    whole = {"plan": plan.to_json(), "tokens": tokens["files"], "rows": files}
    write_json(
        folder / "plan.json",
        {
            "format_version": FORMAT_VERSION,
            "fingerprint": hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32],
            "export": {k: manifest[k] for k in ("mixture", "fingerprint")},
            "seq_len": seq_len,
            "tokens_asked": manifest["tokens"],
            "limited_by": limited_by,
            "plan": plan.to_json(),
            "components": [
                {"name": c["name"], "share": c["share"], "max_epochs": c["max_epochs"], "rows": rows, "tokens": count}
                for c, (rows, count) in zip(manifest["components"], available, strict=True)
            ],
            "files": files,
        },
    )  # fmt: skip


def _plan(manifest: dict[str, Any], available: list[tuple[int, int]]) -> tuple[Plan, str | None]:
    """The plan for the budget, and the component whose cap made it smaller, if one did.

    Shares are of tokens, so a component whose rows are less full gets more rows. Where the mixture names no tokenizer
    its budget was an estimate in characters, and gives way to the caps; where it names one, the budget stands.
    """
    budget = float(manifest["tokens"])
    wanted: list[float] = []  # rows
    caps: list[int] = []
    most, limited_by = 1.0, None
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
        wanted.append(needed / (tokens / rows) if needed else 0.0)
        if wanted[-1] and caps[-1] / wanted[-1] < most:
            most, limited_by = caps[-1] / wanted[-1], component["name"]
    count = int(sum(wanted) * most + 1e-6)
    parts = tuple(Component(rows, w / sum(wanted)) for (rows, _), w in zip(available, wanted, strict=True))
    plan = Plan(manifest["seed"], count, parts)
    while count and (plan.dealt[-1] > caps).any():  # shares are rounded; a cap holds to the row
        count -= 1
        plan = Plan(manifest["seed"], count, parts)
    if not count:
        raise UsageError(
            f"a budget of {manifest['tokens']:,} tokens is less than one row; raise `tokens:`, or shorten the rows"
        )
    return plan, limited_by


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")
