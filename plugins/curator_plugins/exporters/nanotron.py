"""Datatrove's tokenized files, for nanotron."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import write_json

if TYPE_CHECKING:
    from curator.exporting import Blend, BlendStage, Payload, Vocabulary

TOKENIZER = "tokenizer"
PREFIXES = " kMGTPEZY"
README = """# Tokens for nanotron

`data_stages.yaml` is that part of nanotron's configuration. Start in this folder, since paths are relative to it.
Weights are shares of the tokens: nanotron draws rows of one length. Stages start at steps, of {batch:,} rows of {seq_len:,} tokens
(the exporter's option `batch_rows`); step 1 + t / (rows * tokens a row) is at token t. An older nanotron takes
`dataset_folder: {{path: weight}}` instead of the two lists.
Every document ends with `{end_token}`, id {end_id}; the vocabulary has {size:,} tokens.
"""


class Nanotron(Exporter):
    """Tokenized files of datatrove, which nanotron trains from.

        <component>/train/train.ds             the tokens, by hard link; readers take whole folders
        <component>/train/train.ds.index       u64 a document: where it ends, in tokens
        <component>/train/train.ds.metadata    tokenizer|bytes a token, tokens, tokens for people
        <component>/heldout/heldout.ds …       the same of what is held out
        tokenizer/                             the tokenizer as transformers loads it, named in the metadata
        data_stages.yaml                       datasets, weights and stages of nanotron's configuration
        README.md                              how to use it

    Written here as datatrove's TokenizedFile does (the tests compare the bytes), which is no dependency of curator.
    """

    version = 1
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "payload"

    batch_rows: Annotated[int, "rows a training step; stages start at steps"] = 512

    def share(self, payload: Payload, folder: Path) -> None:
        target = folder / payload.component / payload.split / f"{payload.split}.ds"
        payload.link(target)
        payload.ends.astype("<u8").tofile(target.with_name(f"{target.name}.index"))
        tokens = int(payload.ends[-1])
        lines = (f"{TOKENIZER}|{payload.dtype.itemsize}", str(tokens), metric(tokens))
        target.with_name(f"{target.name}.metadata").write_text("\n".join(lines), encoding="utf-8")

    def finish(self, folder: Path, blend: Blend) -> None:
        import yaml

        assert blend.vocabulary is not None  # there are tokens
        _write_tokenizer(folder / TOKENIZER, blend.vocabulary)
        stages = [
            self._stage(blend, number, stage, blend.vocabulary)
            for number, stage in enumerate(blend.stages, start=1)
        ]
        (folder / "data_stages.yaml").write_text(
            yaml.safe_dump({"data_stages": stages}, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        values = vars(blend.vocabulary) | {"batch": self.batch_rows, "seq_len": blend.seq_len}
        (folder / "README.md").write_text(README.format_map(values), encoding="utf-8")

    def _stage(
        self, blend: Blend, number: int, stage: BlendStage, vocabulary: Vocabulary
    ) -> dict[str, Any]:
        there = {c.name for c in blend.components if c.documents}
        shares = {name: share for name, share in stage.shares.items() if share > 0 and name in there}
        return {
            "name": f"stage {number}",
            "start_training_step": round(stage.start / (self.batch_rows * blend.seq_len)) + 1,
            "data": {
                "seed": blend.seed,
                "num_loading_workers": 1,
                "dataset": {
                    "dataset_folder": [f"{name}/train" for name in shares],
                    "dataset_weights": list(shares.values()),
                    "tokenizer_name": TOKENIZER,
                    "vocab_size": vocabulary.size,
                    "token_size_in_bytes": vocabulary.dtype.itemsize,
                },
            },
        }


def metric(tokens: int) -> str:
    """1.23 MT, as humanize.metric(tokens, unit="T") says it: three significant digits."""
    exponent = len(str(tokens)) - 1
    if round(tokens / 1000 ** (exponent // 3), 2 - exponent % 3) >= 10 ** (exponent % 3 + 1):
        exponent += 1  # 999,999 is 1.00 M
    scaled = tokens / 1000 ** (exponent // 3)
    return f"{scaled:.{2 - exponent % 3}f} {PREFIXES[exponent // 3].strip()}T"


def _write_tokenizer(folder: Path, vocabulary: Vocabulary) -> None:
    """AutoTokenizer wants its class beside tokenizer.json."""
    folder.mkdir()
    shutil.copyfile(vocabulary.file, folder / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": vocabulary.end_token}
    write_json(folder / "tokenizer_config.json", config)


@hookimpl
def register_exporters(register: Any) -> None:
    register(Nanotron)
