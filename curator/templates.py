"""What `curator init` writes."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from curator.errors import UsageError

RECIPE = """\
# A recipe: what to read, what to measure, what to drop. Run it with: curator run recipe.yaml
name: my-corpus                     # names the decisions; several recipes may live over one corpus
corpus: ./corpus
plugins: [./short_lines.py]
sources:
  # one entry a source; `curator plugins` lists the kinds and their options
  - jsonl: {name: web, path: "data/*.jsonl*", text: text, license: CC-BY-4.0}
steps:                              # in order; every rule of every step is stored and can be changed later
  - fix_unicode
  - language: {keep: [en], min_score: 0.65}
  - gopher_quality                  # curator decide recipe.yaml --dry-run --set gopher_quality.min_words=80
  - short_lines
  - exact
  - minhash
"""

SHORT_LINES = '''\
import polars as pl
from curator import hookimpl, Filter

class ShortLines(Filter):
    """Drop documents whose lines are short on average."""
    min_chars: float = 20.0                          # an option: typed, checked, listed by `curator plugins`
    signals = {"mean_line_chars": pl.col("text").str.split("\\n").list.eval(pl.element().str.len_chars()).list.mean()}
    rules = {"short_lines": "mean_line_chars < $min_chars"}   # true drops

@hookimpl
def register_filters(register):
    register(ShortLines)
'''


def published(name: str) -> str:
    """The text of a recipe in examples/recipes, which a wheel holds as curator/recipes.

    Raises UsageError for a name that is none of them.
    """
    from curator.registry import suggest

    installed = files("curator") / "recipes"
    folder = installed if installed.is_dir() else Path(__file__).parents[1] / "examples" / "recipes"
    known = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    if name not in known:
        raise UsageError(f"--recipe {name!r}: there are {', '.join(known)}{suggest(name, known)}")
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")
