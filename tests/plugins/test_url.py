"""url: each rule, its order, and agreement with datatrove's URLFilter on the same lists."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import UsageError
from curator.measuring import StepRunner
from curator.testing import documents
from curator_plugins.filters.url import Url
from tests.conftest import Workshop, reasons
from tests.plugins import peers

LISTS = {
    "domains": "# a comment\nbad.com\nsub.fine.org\nbad.co.uk\n10.0.0.1\nxn--bcher-kva.example\n\n",
    "urls": "fine.org/casino/\nother.net/a/b.html?id=1\nhttps://exact.net/Page\n",
    "hard_words": "porn\nXXX\nfoo-bar\n",
    "soft_words": "hot\nfree\nlive\n",
    "subwords": "evilsub\n",
}
RULES = ("domain", "subdomain", "url", "hard_blacklisted", "soft_blacklisted", "blacklisted_subword")


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("lists")
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in LISTS}


def measured(asked: Sequence[str | None], /, **options: Any) -> pl.DataFrame:
    return (
        StepRunner("url", Url(**options)).run(documents(*["x"] * len(asked), url=asked)).rows.drop("doc_id")
    )


def failing(asked: Sequence[str | None], /, **options: Any) -> list[list[str]]:
    """The rules that are true of each URL, with a threshold of 2."""
    rows = measured(asked, **options).rows()
    return [
        [rule for rule, (value, least) in zip(RULES, zip(row, (0, 0, 0, 1, 2, 1), strict=True), strict=True)
         if value is not None and (isinstance(value, str) or value >= least)]
        for row in rows
    ]  # fmt: skip


CASES: dict[str, list[str]] = {
    "https://bad.com/": ["domain", "subdomain"],
    "http://www.BAD.com:8080/x": ["domain"],
    "//bad.com": ["domain", "subdomain"],
    "bad.com./x": ["domain", "subdomain"],
    "https://user:pw@a.b.bad.com?q": ["domain"],
    "https://notbad.com/bad.com": [],
    "https://sub.fine.org/": ["subdomain"],
    "https://deep.sub.fine.org/": ["domain"],
    "https://fine.org/": [],
    "https://bad.co.uk/": ["subdomain"],
    "https://www.bad.co.uk/": ["domain"],
    "http://10.0.0.1/x": ["subdomain"],
    "https://fine.org/casino": ["url"],
    "http://www.fine.org/casino/win.html#top": ["url"],
    "https://fine.org/casino2": [],
    "http://other.net/a/b.html?id=1": ["url"],
    "http://other.net/a/b.html": [],
    "https://exact.net/Page": ["url"],
    "http://exact.net/Page": [],  # the list names the scheme
    "https://ok.net/porn/1": ["hard_blacklisted"],
    "https://ok.net/PORN/1": [],
    "https://ok.net/xxx-foobar": ["hard_blacklisted"],
    "https://ok.net/free-stuff": [],
    "https://ok.net/free-free-live": ["soft_blacklisted"],
    "https://ok.net/Evil-sub.html": ["blacklisted_subword"],
    "https://bad.com/casino/porn-free-live/evil_sub": ["domain", "subdomain", "hard_blacklisted", "soft_blacklisted", "blacklisted_subword"],
    "not a url": [],
}  # fmt: skip


@pytest.mark.parametrize("url", CASES)
def test_rules(url: str, lists: dict[str, str]) -> None:
    """Which are true of a URL; the first is the reason."""
    assert failing([url], **lists) == [CASES[url]]


def test_signals_say_what_was_listed(lists: dict[str, str]) -> None:
    """The entry for `curator why`, and how many words."""
    (row,) = measured(["http://deep.sub.fine.org/hot/porn/XXX?evilsub"], **lists).rows()
    assert row == ("sub.fine.org", None, None, 1, 1, 1)
    assert measured(["https://ok.net/XXX"], **lists, lower_case=True)["hard_words"].to_list() == [1]


def test_without_a_url(lists: dict[str, str]) -> None:
    """Everything is NULL; others of the batch are measured."""
    assert measured([None, "", "https://ok.net"], **lists).rows() == [
        (None,) * 6,
        (None,) * 6,
        (None, None, None, 0, 0, 0),
    ]


def test_row_wise(lists: dict[str, str]) -> None:
    """A batch, its reversal and one at a time are the same."""
    urls = [*CASES, None]
    together = measured(urls, **lists)
    assert measured(urls[::-1], **lists).reverse().equals(together)
    assert pl.concat([measured([url], **lists) for url in urls]).equals(together)


def test_several_files(lists: dict[str, str], tmp_path: Path) -> None:
    """Files of one kind add up."""
    (tmp_path / "more").write_text("worse.com\n")
    urls = ["https://worse.com", "https://bad.com"]
    assert measured(urls, domains=[lists["domains"], str(tmp_path / "more")])["blocked_domain"].to_list() == [
        "worse.com",
        "bad.com",
    ]


def test_in_a_run(workshop: Workshop) -> None:
    """Lists lie beside the recipe; the threshold is a rule option; a changed list is measured anew."""
    (workshop.folder / "domains").write_text("bad.com\n")
    (workshop.folder / "soft").write_text("free\nlive\n")
    texts = [
        {"id": u, "url": u, "text": "x"}
        for u in ("https://bad.com/", "https://b.com/free/live", "https://b.com/")
    ]
    steps = [{"url": {"domains": "domains", "soft_words": "soft"}}]
    corpus = workshop.curate(steps, texts)
    assert list(reasons(corpus).values()) == ["url.domain", "url.soft_blacklisted", None]
    recipe = workshop.recipe(steps, [workshop.source("web", texts)])
    assert set(recipe.steps[0].rule_options) == {"soft_word_threshold"}
    (workshop.folder / "domains").write_text("b.com\n")
    assert (
        workshop.recipe(steps, [workshop.source("web", texts)]).steps[0].fingerprint
        != recipe.steps[0].fingerprint
    )


def test_no_list_is_a_mistake() -> None:
    """The step would drop nothing, which nobody asks for."""
    with pytest.raises(UsageError, match="url needs a list: name a file as domains"):
        Url().versions()


@functools.cache
def reference(**lists: str) -> Any:
    """datatrove's filter with our lists, and the suffix list that tldextract comes with."""
    for module in ("tldextract", "ahocorasick", "fasteners"):
        pytest.importorskip(module, reason=f"datatrove's URLFilter needs {module}")
    import tldextract

    entries = {name: Path(path).read_text().splitlines() for name, path in lists.items()}
    step = peers.datatrove(
        "filters.url_filter",
        "URLFilter",
        use_integrated_lists=False,
        extra_domains=[e for e in entries["domains"] if e],
        extra_urls=entries["urls"],
        banned_words=entries["hard_words"],
        soft_banned_words=entries["soft_words"],
        banned_subwords=entries["subwords"],
    )
    step.tldextractor = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return step


def agree(urls: list[str], lists: dict[str, str]) -> set[str | None]:
    """What datatrove drops is dropped for the same reason, and what we drop besides is what the docstring says."""
    step, ours, seen = reference(**lists), failing(urls, **lists), set()
    for url, rules in zip(urls, ours, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of tldextract's, in datatrove's call
            (theirs,) = peers.reasons(step, ["x"], url=url)
            info = step.tldextractor(url)
        first = rules[0] if rules else None
        seen.add(theirs)
        if theirs == "domain" and first == "subdomain":
            assert info.suffix.count(".")
            assert info.top_domain_under_public_suffix == info.fqdn
        elif first in ("domain", "subdomain", "url") and first != theirs:
            assert theirs is None or RULES.index(theirs) > RULES.index(first)
            beyond = not info.suffix or url != url.lower()  # an address, or in capitals
            assert first != "domain" or beyond or info.fqdn.count(".") > 2
            assert first != "subdomain" or beyond
        else:
            assert first == theirs
    return seen


labels = st.lists(st.sampled_from(["www", "a", "bad", "fine", "sub", "exact", "ok", "porn", "evil"]), min_size=1, max_size=4)
ends = st.sampled_from([".com", ".org", ".co.uk", ".net", ".com:80", ".COM"])
paths = st.sampled_from(["/", "/casino/", "/Page", "/page", "?id=1", "#x", "-", "porn", "xxx", "hot", "free", "live", "evil", "sub"])
urls = st.builds(
    lambda scheme, names, end, path: f"{scheme}{'.'.join(names)}{end}{'/' if path else ''}{''.join(path)}",
    st.sampled_from(["https://", "http://", "HTTPS://"]),
    labels,
    ends,
    st.lists(paths, max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(urls)
def test_as_datatrove(lists: dict[str, str], url: str) -> None:
    """URLs strung together of what is listed and what is not."""
    agree([url], lists)


def test_as_datatrove_on_ut1(lists: dict[str, str]) -> None:
    """Thousands of domains and URLs of the UT1 lists, listed and under www."""
    ut1 = peers.DATA / "fixtures" / "lists" / "ut1"
    if not ut1.exists():
        pytest.skip(f"no UT1 lists at {ut1}")
    domains = [
        d for name in ("press", "warez", "agressif") for d in (ut1 / f"{name}.domains").read_text().split()
    ]
    urls = (ut1 / "drogue.urls").read_text().split()
    named = {**lists, "domains": str(ut1 / "press.domains"), "urls": str(ut1 / "drogue.urls")}
    asked = [f"{prefix}{name}" for name in domains[::4] + urls for prefix in ("https://", "https://www.")]
    assert {None, "domain", "subdomain"} <= agree(asked, named)
    assert all("url" in rules for rules in failing([f"https://www.{url}/more?x" for url in urls], **named))
