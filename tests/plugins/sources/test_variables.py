"""Variables of the environment in addresses: what is kept of them."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from curator_plugins.sources.variables import Variables


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=8, max_size=20))
def test_addresses_as_they_are_stored(secret: str) -> None:
    """Without the secret, and with it again when they are asked for."""
    variables = Variables("api")
    variables.values = {"TOKEN": secret}
    url = f"http://x/?key={quote(secret, safe='')}&other=${{OTHER}}"
    kept = variables.stored_url(url)
    assert kept == "http://x/?key=${TOKEN}&other=%24%7BOTHER}"
    assert variables.restored_url(kept) == url.replace("${", "%24%7B")
