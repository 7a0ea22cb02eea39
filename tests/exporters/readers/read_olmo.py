"""Reads an export with OLMo-core, as the format's README.md says, in its folder; argument: a folder to work in."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import stubs

stubs.install()

from olmo_core.data import (  # noqa: E402
    LongDocStrategy,
    NumpyDatasetDType,
    NumpyFSLDatasetConfig,
    NumpyPackedFSLDatasetConfig,
    TokenizerConfig,
)
from olmo_core.data.utils import iter_document_indices  # noqa: E402


def main(work: str, seq_len: int, bytes_a_token: int) -> dict[str, Any]:
    """What OLMo-core makes of the folder."""
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("/tmp/olmo", work), names)
    mixed = names["data"].build()
    mixed.prepare()
    tokenizer: TokenizerConfig = names["tokenizer"]
    dtype = {2: NumpyDatasetDType.uint16, 4: NumpyDatasetDType.uint32}[bytes_a_token]
    plain, packed, ends = {}, {}, {}
    for path in sorted(map(str, Path().glob("*/*.npy"))):
        common = {"paths": [path], "tokenizer": tokenizer, "sequence_length": seq_len, "work_dir": work, "dtype": dtype}
        data = NumpyFSLDatasetConfig(**common).build()
        data.prepare()
        plain[path] = [data[i]["input_ids"].tolist() for i in range(len(data))]
        fragments = NumpyPackedFSLDatasetConfig(**common, long_doc_strategy=LongDocStrategy.fragment).build()
        fragments.prepare()
        # without padding: a row is a whole number of documents, or of their parts
        packed[path] = [
            [t for t, real in zip(row["input_ids"].tolist(), row["label_mask"].tolist(), strict=True) if real]
            for row in (fragments[i] for i in range(len(fragments)))
        ]
        ends[path] = [end for _, end in iter_document_indices(path, use_array_if_local=False)]
    outcome = names["mixture"].build(npdtype=dtype.as_np_dtype(), sequence_length=seq_len)
    return {
        "mixed": [mixed[i]["input_ids"].tolist() for i in range(len(mixed))],
        "selected": {s.name: sum(p.tokens for p in s.path_tokens) for s in outcome.sources},
        "plain": plain,
        "packed": packed,
        "ends": ends,
    }


print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
