"""Writes and reads an export with mosaicml-streaming; arguments: the exporter's file, files of frames, a folder to export into."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import stubs

stubs.install()

import polars as pl  # noqa: E402
from streaming import StreamingDataset  # noqa: E402

from curator.exporting import Shard  # noqa: E402
from curator.loading import Plugins  # noqa: E402


def main(plugin: str, frames: dict[str, str], out: str) -> dict[str, Any]:
    """The files it wrote, and the samples that StreamingDataset gives."""
    exporter = Plugins((plugin,)).get("exporter", "mds").plugin()
    found = {}
    for place, file in frames.items():
        component, split = place.split("/")
        documents = pl.read_parquet(file).iter_slices(37)
        written = exporter.write(documents, Path(out), Shard(component, split, 0, 1))
        data = StreamingDataset(local=f"{out}/{place}", shuffle=False, batch_size=1)
        samples = [[data[i]["id"], data[i]["tokens"].tolist(), str(data[i]["tokens"].dtype)] for i in range(len(data))]
        found[place] = {"written": written, "samples": samples}
    return found


print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
