"""The exporter in the documentation of the hook, as a third party would ship it."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

import numpy as np

from curator import hookspecs
from tests.exporters.conftest import Reader
from tests.exporters.driver import World


def test_the_documented_exporter_writes_what_its_reader_reads(
    made: World, tmp_path: Path, read: Reader
) -> None:
    """The code of register_exporters' docstring writes MDS, and mosaicml-streaming gives every document's tokens."""
    doc = inspect.getdoc(hookspecs.register_exporters) or ""
    code = textwrap.dedent(doc[doc.index("    import json") :])
    plugin = tmp_path / "curator_mds.py"
    plugin.write_text(code, encoding="utf-8")
    frames = {}
    for (component, split), frame in made.frames.items():
        file = tmp_path / f"{component}-{split}.parquet"
        frame.write_parquet(file)
        frames[f"{component}/{split}"] = str(file)
    found = read("mds", Path(__file__).parents[2], str(plugin), frames, str(tmp_path / "out"))
    for (component, split), frame in made.frames.items():
        place = f"{component}/{split}"
        expected = [[i, t, "uint16"] for i, t in frame.select("id", "tokens").iter_rows()]
        assert found[place]["samples"] == expected
        assert found[place]["written"] == [[f"{place}/shard.00000.mds", frame.height]]
    assert np.sum([len(s) for p in found.values() for s in p["samples"]]) == 3 * 200


def test_the_documented_exporter_is_short() -> None:
    """What a third party writes is some twenty lines."""
    doc = inspect.getdoc(hookspecs.register_exporters) or ""
    lines = [line for line in doc[doc.index("    import json") :].splitlines() if line.strip()]
    assert len(lines) <= 25
