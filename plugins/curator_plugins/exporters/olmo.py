"""Dolma's token arrays, for OLMo-core."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import trained, write_readme

if TYPE_CHECKING:
    from curator.exporting import Blend, Payload

BATCH = 100_000  # documents whose lines are made at once
LEVEL = 3  # of gzip: 9 takes six times as long and saves a twentieth
README = """# Tokens for OLMo-core

Start in this folder, since paths are relative to it:

```python
from olmo_core.data import NumpyDatasetDType, NumpyFSLDatasetConfig, TokenizerConfig
from olmo_core.data.source_mixture import SourceMixtureDatasetConfig

mixture = SourceMixtureDatasetConfig.from_yaml("source-mixture.yaml")
tokenizer = TokenizerConfig(vocab_size={size}, eos_token_id={end_id}, pad_token_id={end_id})
data = NumpyFSLDatasetConfig.from_src_mix(
    mixture, tokenizer=tokenizer, sequence_length={seq_len}, dtype=NumpyDatasetDType.{dtype}, work_dir="/tmp/olmo"
)
```

`global_batch_size` is of {batch:,} rows (the exporter's option `batch_rows`): set it to yours. Every document ends with
`{end_token}`. To pack whole documents take `NumpyPackedFSLDatasetConfig` with `long_doc_strategy="fragment"`: its default cuts
off what is longer than a row.
"""


class Olmo(Exporter):
    """Token arrays of dolma, which OLMo-core trains from.

        <component>/train.npy  heldout.npy         the tokens, by hard link: no numpy header, despite the name
        <component>/train.csv.gz  heldout.csv.gz   a document a line: first token, end, doc_key, source, source_key
        source-mixture.yaml                        a SourceMixtureDatasetConfig: shares, budget and largest repetition
        README.md                                  how to load it

    Of the lines OLMo-core reads the first two fields; line breaks in a source_key are made spaces.
    """

    version = 1
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "payload"

    batch_rows: Annotated[int, "rows a training step"] = 512

    def share(self, payload: Payload, folder: Path) -> None:
        import polars as pl

        prefix = folder / payload.component / payload.split
        payload.link(prefix.with_suffix(".npy"))
        ends = pl.Series("end", payload.ends)
        lines = payload.documents.select(
            start=ends.shift(1, fill_value=0),
            end=ends,
            id=pl.col("doc_key").cast(pl.String),
            src="source",
            loc=pl.col("source_key").str.replace_all(r"[\r\n]", " "),
        )
        # no name and no time in the header: the same documents give the same bytes
        with (
            prefix.with_suffix(".csv.gz").open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=raw, mtime=0) as file,
        ):
            for batch in lines.iter_slices(BATCH):
                file.write(batch.write_csv(include_header=False).encode())

    def finish(self, folder: Path, blend: Blend) -> None:
        import yaml

        assert blend.vocabulary is not None  # there are tokens
        tokens = {c.name: c.tokens or 0 for c in blend.components}
        sources = [
            {
                "source_name": name,
                "target_ratio": share,
                "paths": [f"{name}/train.npy"],
                "max_repetition_ratio": max(1.0, math.ceil(100 * share * blend.tokens / tokens[name]) / 100),
            }
            for name, share in trained(blend).items()
        ]
        mixture = {
            "source_list": {"sources": sources},
            "requested_tokens": blend.tokens,
            "global_batch_size": self.batch_rows * blend.seq_len,
            "seed": blend.seed,
        }
        (folder / "source-mixture.yaml").write_text(
            yaml.safe_dump(mixture, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        values = vars(blend.vocabulary) | {"batch": self.batch_rows, "seq_len": blend.seq_len}
        write_readme(folder, README.format_map(values), blend)


@hookimpl
def register_exporters(register: Any) -> None:
    register(Olmo)
