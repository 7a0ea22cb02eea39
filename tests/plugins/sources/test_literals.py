"""Secrets that a recipe holds as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator import UsageError
from curator.errors import RecipeError
from curator.recipe import load
from curator_plugins.sources.feed import Feed
from curator_plugins.sources.http_api import HttpApi
from curator_plugins.sources.literals import is_secret

FIX = r"would be stored with the recipe; write \$\{NAME\} in its place, and set NAME in the environment"
DEFAULT = (
    r"headers: the default of \$\{T\}, in the value of Authorization, would be .*; write \$\{T\}, and set it"
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "https://x/?page=1&access_token=hunter2"}, f"url: the value of access_token {FIX}"),
        ({"url": "https://x/?a=1#api%5Fkey=hunter2"}, f"url: the value of api_key {FIX}"),
        ({"url": "https://me:hunter2@x/"}, f"url holds a user or password, and {FIX}"),
        ({"url": "https://${ME}:${PASSWORD:-hunter2}@x/"}, f"url holds a user or password, and {FIX}"),
        ({"url": "${URL:-https://x/?key=hunter2}"}, f"url: the value of key {FIX}"),
        ({"params": {"api_key": "hunter2"}}, f"params: the value of api_key {FIX}"),
        ({"params": {"apikey": 70002}}, f"params: the value of apikey {FIX}"),
        ({"headers": {"Authorization": "Bearer hunter2"}}, f"headers: the value of Authorization {FIX}"),
        ({"headers": {"Authorization": "Bearer ${T:-hunter2}"}}, DEFAULT),
        ({"headers": {"PRIVATE-TOKEN": "hunter2"}}, f"headers: the value of PRIVATE-TOKEN {FIX}"),
        ({"body": {"login": [{"passwd": "hunter2"}]}}, f"body: the value of passwd {FIX}"),
        ({"body": {"auth": {"user": "hunter2"}}}, f"body: the value of auth {FIX}"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as mistake:
        HttpApi.resolve({"url": "https://x/", **options}, str)
    assert "hunter2" not in str(mistake.value)


def test_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from the environment, is empty, or has another name."""
    monkeypatch.delenv("T", raising=False)
    options = {
        "url": "https://${ME}:${P}@x/?token=${T}&q=me@home#key=",
        "params": {
            "max_tokens": 100,
            "author": "me",
            "keyword": "salt",
            "authenticated": True,
            "lang": "${L:-en}",
        },
        "headers": {"Authorization": "Bearer ${T}", "X-Key": "${T:-}", "Accept": "text/plain"},
        "body": {"query": "{a(first: 2)}", "variables": {"keys": ["a"], "token": None}},
    }
    assert HttpApi.resolve(options, str) == options


def test_names() -> None:
    secret = "X-Auth-Token apiKey APIKey key subscription-key client_secret sig X-Amz-Signature Cookie accesstoken pwd"
    other = (
        "keyword monkey tokens tokenizer author authority signal design page sort per_page keyboard hotkey"
    )
    assert [name for name in secret.split() if not is_secret(name)] == []
    assert [name for name in other.split() if is_secret(name)] == []


def test_feeds() -> None:
    for urls in ("https://x/feed?token=hunter2", ["https://x/", "https://x/feed?token=hunter2"]):
        with pytest.raises(UsageError, match=f"urls: the value of token {FIX}"):
            Feed.resolve({"urls": urls}, str)


def test_a_recipe_says_where(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: r\ncorpus: corpus\nsources:\n"
        '  - http_api: {name: posts, url: "https://x/", text: body, params: {api_key: hunter2}}\n'
    )
    with pytest.raises(RecipeError, match=f"params: the value of api_key {FIX}") as mistake:
        load(str(recipe))
    assert "recipe.yaml:4" in str(mistake.value)
    assert "hunter2" not in str(mistake.value)
