"""Python's character classes as Polars' regexes write them, and the lines of many texts as rows of one frame.

Polars' regexes (Rust's) run at 400-3,000 MB/s where Python's run at 5, but their \\s and \\w are not Python's:
\\s lacks U+001C-U+001F, and \\w has marks and joiners that `str.isalnum` has not. Rates are of one core.
"""

from __future__ import annotations

import polars as pl

#: what `str.isspace` is true of, to stand in a class; as a string, for `strip_chars`
SPACE = r"\s\x1c-\x1f"
WHITESPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
#: `str.isalnum`, and re's \W
ALNUM = r"[\p{L}\p{N}]"
NOT_WORD = r"[^\p{L}\p{N}_]"
#: where `str.splitlines` splits, besides "\n"
OTHER_LINE_END = r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u{2028}\u{2029}]"


def as_lines(texts: pl.Expr) -> pl.Expr:
    """The texts with "\\n" between the lines of `str.splitlines` and at no end; "" has none or an empty one."""
    return texts.str.replace_all(OTHER_LINE_END, "\n").str.strip_suffix("\n")


def drop_lines(texts: pl.Series, dropped: pl.Expr) -> tuple[pl.Series, pl.Series]:
    """The texts without the lines (between "\\n") where `dropped`, over the column `line`, is true; and how many.

    `dropped` may look at `doc`, the row of the line's text, too. A text without lines is "".
    """
    rows = pl.DataFrame({"line": texts.str.split("\n")}).with_row_index("doc")
    lines = rows.explode("line").with_columns(dropped.alias("dropped"))
    counts = lines.filter("dropped").group_by("doc").agg(pl.len().cast(pl.Int64).alias("n"))
    if counts.is_empty():
        return texts, pl.Series([0] * len(texts), dtype=pl.Int64)
    left = lines.join(counts, on="doc", how="semi").filter(~pl.col("dropped")).group_by("doc").agg("line")
    shorter = counts.join(left, on="doc", how="left").with_columns(
        pl.col("line").list.join("\n").fill_null("")
    )
    found = rows.select("doc", text=texts).join(shorter, on="doc", how="left", maintain_order="left")
    return found.select(pl.coalesce("line", "text")).to_series(), found["n"].fill_null(0)
