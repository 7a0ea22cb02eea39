import polars as pl

from curator import Filter, hookimpl


class ShortLines(Filter):
    """Drop documents whose lines are short on average."""
    min_chars: float = 20.0                          # an option: typed, checked, listed by `curator plugins`
    signals = {"mean_line_chars": pl.col("text").str.split("\n").list.eval(pl.element().str.len_chars()).list.mean()}
    rules = {"short_lines": "mean_line_chars < $min_chars"}   # true drops

@hookimpl
def register_filters(register):
    register(ShortLines)
