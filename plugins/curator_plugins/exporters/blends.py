"""What the files of an export say of its blend: which components, in what shares, and how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator.exporting import Blend

#: of the training as a whole, for readers that know no stages
STAGES = "The mixture has {count} stages; the shares here are those of the whole training."
INTERLEAVE = '''
`blend.json` has the probabilities of `interleave_datasets`. It draws documents, while the mixture's shares are of the
tokens, so a component's probability is its share of the tokens divided by the mean tokens of its documents: the same as
its documents times the epochs that the mixture takes of it, as parts of 1. `documents` of them make up the budget of
the mixture. In this folder:

```python
import json
import os

from datasets import interleave_datasets, load_dataset

blend = json.load(open("blend.json"))
parts = [load_dataset(os.getcwd(), name, split="train", streaming=True).repeat(None) for name in blend["probabilities"]]
data = interleave_datasets(parts, list(blend["probabilities"].values()), seed=blend["seed"]).take(blend["documents"])
```
'''


def trained(blend: Blend) -> dict[str, float]:
    """The components to train on, and their shares of the tokens."""
    return {c.name: c.share for c in blend.components if c.documents and c.share > 0}


def validated(blend: Blend) -> dict[str, float]:
    """The components with documents held out, weighted as in training; by documents where no share is known."""
    held = {c.name: c for c in blend.components if c.heldout_documents}
    shares = {name: c.share for name, c in held.items() if c.share > 0}
    return shares or {name: float(c.heldout_documents) for name, c in held.items()}


def write_readme(folder: Path, text: str, blend: Blend) -> None:
    """Say in README.md how the format is read."""
    if len(blend.stages) > 1:
        text = f"{text.rstrip()}\n\n{STAGES.format(count=len(blend.stages))}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def write_card(
    folder: Path, suffix: str, text: str, blend: Blend, features: list[dict[str, Any]] | None = None
) -> None:
    """README.md with a configuration a component, as `datasets` reads it, and blend.json of the documents to draw.

    `features` are the types of the columns, for files that do not say them.
    """
    import yaml

    configs = []
    for component in sorted(p.name for p in folder.iterdir() if p.is_dir()):
        splits = [s for s in ("train", "heldout") if any((folder / component).glob(f"{s}-*{suffix}"))]
        files = [{"split": s, "path": f"{component}/{s}-*{suffix}"} for s in splits]
        configs.append({"config_name": component, "data_files": files})
    front: dict[str, Any] = {"configs": configs}
    if features:
        front["dataset_info"] = [{"config_name": c["config_name"], "features": features} for c in configs]
    head = yaml.dump(front, Dumper=_plain_dumper(), sort_keys=False, allow_unicode=True)
    write_readme(folder, f"---\n{head}---\n\n{text}{INTERLEAVE}", blend)
    drawn = {c.name: c.epochs * c.documents for c in blend.components if c.name in trained(blend)}
    whole = sum(drawn.values())
    values = {
        "mixture": blend.mixture,
        "seed": blend.seed,
        "documents": round(whole),
        "probabilities": {name: documents / whole for name, documents in drawn.items()},
    }
    write_json(folder / "blend.json", values)


def _plain_dumper() -> Any:
    """YAML without &anchors, which a card's reader takes but people do not."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return Dumper


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
