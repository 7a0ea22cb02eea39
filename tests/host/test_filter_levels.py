"""The three levels of filter plugin, and cleaners, each through a real run."""

from __future__ import annotations

from tests.host.conftest import LONG, Shop

KEPT = ("kept",)
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


def test_the_designs_fifteen_lines_run_unchanged(shop: Shop) -> None:
    """The ShortLines example of DESIGN.md measures, drops and stores from a file beside the recipe."""
    shop.write("short_lines.py", SHORT_LINES)
    report = shop.run("short_lines", plugins=("./short_lines.py",))
    assert shop.fates() == {"long": KEPT, "short": ("dropped", "short_lines.short_lines")}
    assert shop.sql("SELECT mean_line_chars FROM signals.short_lines ORDER BY doc_id") == [
        (len(LONG),),
        (5.0,),
    ]
    assert report.funnel.counts["dropped"] == {"short_lines.short_lines": 1}


def test_init_writes_the_designs_example() -> None:
    """The sample plugin of `curator init` is the example that the test above runs."""
    from curator.templates import SHORT_LINES as template

    assert template == SHORT_LINES


def test_a_function_that_answers_bool(shop: Shop) -> None:
    """True keeps; its name is plugin, signal and rule; its keyword-only parameters are options."""
    shop.write(
        "plugin.py",
        """
        from curator import hookimpl

        def min_words(doc, *, n: int = 50) -> bool:
            return len(doc.text.split()) >= n

        @hookimpl
        def register_filters(register):
            register(min_words)
        """,
    )
    shop.run({"min_words": {"n": 11}}, plugins=("plugin.py",))
    assert shop.fates() == {"long": KEPT, "short": ("dropped", "min_words.min_words")}
    assert shop.sql("SELECT min_words FROM signals.min_words ORDER BY doc_id") == [(True,), (False,)]


def test_a_function_that_answers_a_number_and_its_rule(shop: Shop) -> None:
    """The number is stored, the rule beside register() drops; fields of the document are attributes."""
    shop.write(
        "plugin.py",
        """
        from curator import hookimpl

        def key_chars(doc) -> int:
            return len(doc.source_key) + len(doc.metadata)

        @hookimpl
        def register_filters(register):
            register(key_chars, rule="key_chars >= 5 AND documents.source = 'web'")
        """,
    )
    shop.run("key_chars", plugins=("plugin.py",))
    assert shop.fates() == {"long": KEPT, "short": ("dropped", "key_chars.key_chars")}
    assert shop.sql("SELECT key_chars FROM signals.key_chars ORDER BY doc_id") == [(4,), (5,)]


def test_measure_over_the_whole_batch(shop: Shop) -> None:
    """measure() answers arrays; expressions and types stand side by side; None is undefined and keeps."""
    shop.texts({"a": "one two three", "b": "one", "c": "none"})
    shop.write(
        "plugin.py",
        """
        import numpy as np
        import polars as pl
        from curator import Filter, hookimpl

        class Counted(Filter):
            least: int = 2
            signals = {
                "words": int, "chars": pl.col("text").str.len_chars(), "half": float, "loud": bool,
                "first": str, "parts": pl.List(pl.String),
            }
            rules = {"few": "words < $least", "quiet": "len(parts) = 1 AND NOT loud"}

            def measure(self, docs):
                words = [t.split() for t in docs.text]
                count = np.diff(docs.words("whitespace").doc_offsets)
                assert count.tolist() == [len(w) for w in words]
                return {
                    "words": [None if "none" in w else len(w) for w in words],
                    "half": np.asarray(count) / 2,
                    "loud": [t.isupper() for t in docs.text],
                    "first": [w[0] for w in words],
                    "parts": words,
                }

        @hookimpl
        def register_filters(register):
            register(Counted)
        """,
    )
    shop.run("counted", plugins=("plugin.py",))
    assert shop.fates() == {"a": KEPT, "b": ("dropped", "counted.few"), "c": ("dropped", "counted.quiet")}
    assert shop.sql("SELECT * EXCLUDE (doc_id) FROM signals.counted ORDER BY doc_id") == [
        (3, 13, 1.5, False, "one", ["one", "two", "three"]),
        (1, 3, 0.5, False, "one", ["one"]),
        (None, 4, 0.5, False, "none", ["none"]),
    ]
    assert shop.sql("SELECT reasons FROM documents WHERE source_key = 'b'") == [
        (["counted.few", "counted.quiet"],)
    ]


def test_cleaners_change_what_later_steps_see(shop: Shop) -> None:
    """A function cleaner and a class cleaner that also measures; the text as read stays beside theirs."""
    shop.texts({"a": "LOUD  TEXT", "b": "quiet"})
    shop.write(
        "plugin.py",
        """
        import polars as pl
        from curator import Cleaner, hookimpl

        def lower(text: str, *, only: str = "") -> str:
            return text.lower() if only in text else text

        class Squeeze(Cleaner):
            signals = {"removed": int}
            rules = {"squeezed": "removed > 5"}

            def clean(self, docs):
                texts = docs.text.str.replace_all(" +", " ")
                removed = docs.text.str.len_chars() - texts.str.len_chars()
                return pl.select(pl.when(removed > 0).then(texts)).to_series(), {"removed": removed}

        def shouts(doc) -> bool:
            return not doc.text.isupper()

        @hookimpl
        def register_cleaners(register):
            register(lower)
            register(Squeeze)

        @hookimpl
        def register_filters(register):
            register(shouts)
        """,
    )
    steps = [{"shouts": {"as": "before"}}, {"lower": {"only": "L"}}, "squeeze", "shouts"]
    shop.run(*steps, plugins=("plugin.py",))
    assert shop.fates() == {"a": ("dropped", "before.shouts"), "b": KEPT}
    assert shop.sql("SELECT shouts FROM signals.shouts ORDER BY doc_id") == [(True,), (True,)]
    assert shop.sql("SELECT removed FROM signals.squeeze ORDER BY doc_id") == [(1,), (0,)]
    assert shop.sql("SELECT text_read, text FROM texts ORDER BY doc_id") == [
        ("LOUD  TEXT", "loud text"),
        ("quiet", "quiet"),
    ]
