"""nanoGPT's train.bin and val.bin."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curator import Exporter, hookimpl
from curator.errors import UsageError
from curator.exporting import BLENDED
from curator_plugins.exporters.blends import trained

if TYPE_CHECKING:
    from curator.exporting import Blend, Payload

FILES = {"train": "train.bin", "heldout": "val.bin"}
README = """# Tokens for nanoGPT

A folder of each component: link one as `data/<name>` and train with `--dataset=<name>`. train.py takes the vocabulary of
{size:,} tokens from meta.pkl. sample.py finds no letters there: encode and decode with the export's tokenizer.
Every document ends with `{end_token}`, id {end_id}.

It trains on one folder and knows no mixture: `curator export --blended` writes the mixture as one, `blended`.
"""
NOTHING_HELD_OUT = "\n`{component}` has no documents held out, and train.py wants a val.bin: export with `holdout:` in the mixture.\n"


class Nanogpt(Exporter):
    """Headerless tokens of 2 bytes, as nanoGPT maps them into memory.

        <component>/train.bin  val.bin   the tokens to train on and those held out, by hard link
        <component>/meta.pkl             {"vocab_size": …}
        README.md                        how to use it, and which component has nothing held out

    `blended` gets what is held out of all components, in one val.bin. Raises UsageError for a vocabulary of more than
    2 bytes, which train.py cannot read.
    """

    version = 1
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "payload"

    def share(self, payload: Payload, folder: Path) -> None:
        if payload.dtype.itemsize != 2:
            raise UsageError(
                f"nanogpt: train.py reads tokens of 2 bytes, and those of {payload.vocabulary.file} have "
                f"{payload.dtype.itemsize} for its {payload.vocabulary.size:,} tokens; take a tokenizer of fewer than "
                "65,500, or another format"
            )
        payload.link(folder / payload.component / FILES[payload.split])

    def finish(self, folder: Path, blend: Blend) -> None:
        assert blend.vocabulary is not None  # there are tokens
        held_out = sorted(folder.glob("*/val.bin"))
        if (folder / BLENDED).is_dir() and held_out:
            with (folder / BLENDED / "val.bin").open("wb") as file:
                for path in held_out:
                    file.write(path.read_bytes())
        text = README.format_map(vars(blend.vocabulary))
        for name in trained(blend):
            meta = pickle.dumps({"vocab_size": blend.vocabulary.size}, protocol=4)
            (folder / name / "meta.pkl").write_bytes(meta)
            if not (folder / name / "val.bin").exists():
                text += NOTHING_HELD_OUT.format(component=name)
        (folder / "README.md").write_text(text, encoding="utf-8")


@hookimpl
def register_exporters(register: Any) -> None:
    register(Nanogpt)
