"""Megatron's indexed datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from curator import Exporter, hookimpl
from curator_plugins.exporters.blends import trained, validated, write_json, write_readme

if TYPE_CHECKING:
    from curator.exporting import Blend, Payload

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
CODES = {2: 8, 4: 4}  # bytes a token -> Megatron's uint16 and int32
README = """# Tokens for Megatron

Start in this folder, since prefixes are relative to it, with one of

    --data-args-path data-args.txt --split 100,0,0
    --per-split-data-args-path per-split-data-args.json

Weights are shares of the tokens: Megatron draws rows of one length. A component that runs short is repeated silently.
Every document ends with `{end_token}`, id {end_id}; the vocabulary has {size:,} tokens.
"""


class Megatron(Exporter):
    """Indexed datasets of Megatron-LM and Core, NeMo, GPT-NeoX and MaxText (Grain).

        <component>/train.bin  heldout.bin   the tokens, by hard link
        <component>/train.idx  heldout.idx   a sequence a document: magic, version, type, counts; int32 lengths in tokens,
                                             int64 offsets in bytes, int64 numbers of each document's first sequence
        data-args.txt                        weights and prefixes of the training data
        per-split-data-args.json             the same for train and valid
        README.md                            which options take them

    Written here, in numpy, as megatron.core's own builder does (the tests compare the bytes): it imports torch, in 5 s.
    Tokens of 4 bytes are its int32.
    """

    version = 1
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "payload"

    def share(self, payload: Payload, folder: Path) -> None:
        prefix = folder / payload.component / payload.split
        payload.link(prefix.with_suffix(".bin"))
        lengths = np.diff(payload.ends, prepend=np.uint64(0))
        count = len(lengths)
        with prefix.with_suffix(".idx").open("wb") as file:
            file.write(MAGIC)
            file.write(np.array([VERSION], "<u8").tobytes())
            file.write(bytes([CODES[payload.dtype.itemsize]]))
            file.write(np.array([count, count + 1], "<u8").tobytes())
            lengths.astype("<i4").tofile(file)
            ((payload.ends - lengths) * np.uint64(payload.dtype.itemsize)).astype("<i8").tofile(file)
            np.arange(count + 1, dtype="<i8").tofile(file)

    def finish(self, folder: Path, blend: Blend) -> None:
        train = _arguments(trained(blend), "train")
        valid = _arguments(validated(blend), "heldout")
        (folder / "data-args.txt").write_text(" ".join(train) + "\n", encoding="utf-8")
        # all three keys are looked up
        splits = {"train": train, "valid": valid or None, "test": None}
        write_json(folder / "per-split-data-args.json", splits)
        assert blend.vocabulary is not None  # there are tokens
        write_readme(folder, README.format_map(vars(blend.vocabulary)), blend)


def _arguments(weights: dict[str, float], split: str) -> list[str]:
    return [word for name, weight in weights.items() for word in (repr(weight), f"{name}/{split}")]


@hookimpl
def register_exporters(register: Any) -> None:
    register(Megatron)
