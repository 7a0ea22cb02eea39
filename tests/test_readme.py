"""The README says what happens."""

from __future__ import annotations

import difflib

import pytest

from tests.readme import ROOT, masked, rendered


@pytest.mark.slow
def test_the_readme_is_true() -> None:
    """Every command of the README prints what stands there; `make docs` writes it anew."""
    stands = (ROOT / "README.md").read_text(encoding="utf-8")
    now = rendered(stands)
    assert (
        list(
            difflib.unified_diff(
                masked(stands).splitlines(), masked(now).splitlines(), "README.md", "now", n=0
            )
        )
        == []
    )
