"""Packing: fill, documents cut, tokens lost, rate, and rows beside OLMo-core's packer on the same documents.

    python benchmarks/packing.py [DOCUMENTS.jsonl.gz]

Documents are log-normal lengths as measured on web pages, and where the file is there those of its texts, at 4.3
characters a token. OLMo-core's packer is compared where ai2-olmo-core is installed (`pip install --no-deps
ai2-olmo-core==3.0.0`); its class is taken out of its file, as importing the package wants cloud clients.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from curator.packing import pack


def olmo_packer() -> Any:
    """OLMo-core's InstancePacker, or None."""
    found = importlib.util.find_spec("olmo_core")
    if found is None or not found.submodule_search_locations:
        return None
    source = Path(found.submodule_search_locations[0]) / "data" / "utils.py"
    wanted = {"SegmentTreeNode", "SegmentTree", "InstancePacker"}
    tree = ast.parse(source.read_text(encoding="utf-8"))
    kept = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in wanted]
    names: dict[str, Any] = {}
    exec(
        "from __future__ import annotations\nimport math\nfrom collections import defaultdict, deque\n"
        "from dataclasses import dataclass\nfrom typing import *\nimport numpy as np\n",
        names,
    )
    module = ast.Module([ast.ImportFrom("__future__", [ast.alias("annotations")], 0), *kept], [])
    exec(compile(ast.fix_missing_locations(module), str(source), "exec"), names)
    return names["InstancePacker"]


def measure(what: str, lengths: np.ndarray[Any, Any], packer: Any) -> None:
    ends = np.cumsum(lengths)
    print(f"{what}: {len(lengths):,} documents, {ends[-1]:,} tokens")
    for seq_len in (256, 1024, 2048, 8192):
        pack(ends[:10], seq_len)
        begun = time.process_time()
        repeats = max(1, int(50e6 // ends[-1]))
        for _ in range(repeats):
            packed = pack(ends, seq_len)
        rate = repeats * ends[-1] / (time.process_time() - begun) / 1e6
        pieces = np.bincount(np.searchsorted(ends, packed.pieces[:, 0], side="right"), minlength=len(ends))
        cut = int((pieces[lengths <= seq_len] > 1).sum())
        lost = int(ends[-1] - packed.tokens().sum())
        beside = ""
        if packer is not None:
            full, rest = np.divmod(lengths, seq_len)
            parts = np.concatenate([np.full(full.sum(), seq_len), rest[rest > 0]])
            theirs = packer(max_sequence_length=seq_len)
            instances, *_ = theirs.pack_documents(np.stack([np.zeros_like(parts), parts], axis=1))
            beside = f", OLMo-core {len(instances):,}"
        fill = 100 * ends[-1] / (len(packed) * seq_len)
        print(
            f"  {seq_len:5}: {fill:6.2f} % full, {lost} tokens lost, {cut} documents cut that fit, {rate:7,.0f} Mtok per CPU s, "
            f"{len(packed):,} rows{beside}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="?", default="../shared/data/bench.jsonl.gz")
    options = parser.parse_args()
    packer = olmo_packer()
    if packer is None:
        print("not compared with OLMo-core: ai2-olmo-core is not installed")
    draws = np.random.default_rng(0).lognormal(np.log(555), 1.1, 100_000)
    measure("log-normal", np.maximum(draws, 1).astype(np.int64), packer)
    if Path(options.documents).is_file():
        with gzip.open(options.documents, "rt", encoding="utf-8") as lines:
            chars = np.array([len(json.loads(line)["text"]) for line in lines])
        measure(options.documents, np.maximum(chars / 4.3, 1).astype(np.int64), packer)
    else:
        print(f"{options.documents} is not there")


if __name__ == "__main__":
    main()
