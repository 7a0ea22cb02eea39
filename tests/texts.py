"""Made-up corpora for the tests of runs: English and other texts, damaged ones, copies and near copies."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

ENGLISH = (
    "the of and to in that it with was for his as on be at by had not are but from or have an they which one you "
    "were all her she there would their we him been has when who will no more if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over "
    "man me even most made after also did many before must through back years where much your way well down should "
    "because each just those people how too little state good very make world still own see men work long get here"
)
GERMAN = (
    "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat "
    "dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis"
)


def documents(seed: int, count: int) -> list[dict[str, Any]]:
    """Documents of about 70 words: a tenth each exact copies, near copies, short, mojibake and German ones."""
    draw = random.Random(seed)
    made: list[list[str]] = []
    for i in range(count):
        kind = i % 10
        words = [draw.choice((GERMAN if kind == 1 else ENGLISH).split()) for _ in range(20 if kind == 2 else 70)]
        if kind == 3 and made:
            words = made[draw.randrange(len(made))]
        elif kind == 4 and made:
            words = [*made[draw.randrange(len(made))][:-1], f"other{seed}"]
        elif kind == 5:
            words[7] = "itâ€™s"
        made.append(words)
    return [{"id": f"{seed}-{i:04}", "text": " ".join(words) + ".", "n": i} for i, words in enumerate(made)]


def write_sources(folder: Path, files: int, count: int, *, bad: bool = True) -> list[dict[str, Any]]:
    """A source for each file, so that each is a split of its own; with `bad`, one line of each is no JSON."""
    for i in range(files):
        lines = [json.dumps(d) + "\n" for d in documents(i, count)]
        if bad:
            lines.insert(count // 2, "{broken\n")
        (folder / f"s{i}.jsonl").write_text("".join(lines), encoding="utf-8")
    return [{"jsonl": {"name": f"s{i}", "path": f"s{i}.jsonl"}} for i in range(files)]
