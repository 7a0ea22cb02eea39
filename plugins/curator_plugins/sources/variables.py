"""`${NAME}` in a recipe's addresses and headers: a variable of the environment.

What it stands for is never stored or shown: it is taken out of everything that is written, so `${NAME}`
stands where the value was. A value of fewer than 8 characters is no secret, and stays in what servers answer
(it would take common words out of texts), but not in messages.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import quote, quote_plus

from curator import UsageError
from curator.variables import VARIABLE, filled

SECRET = 8  #: characters that a value must have to be taken out of what servers answer


class Variables:
    """The variables that one source's options name. `source` is what messages call it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.values: dict[str, str] = {}

    def fill(self, value: Any) -> Any:
        """The value, or a mapping or list of values, with its variables filled in; raises UsageError."""
        return filled(value, self._value)

    def _value(self, match: re.Match[str]) -> str:
        name, default = match[1], match[3]
        found = os.environ.get(name)
        if found:
            self.values[name] = found
        elif default is None:
            raise UsageError(
                f"source {self.source!r}: {match[0]}: this environment variable is not set, or is empty"
            )
        return found or default or ""

    def hide(self, text: str, shortest: int = 1) -> str:
        """The text with the variables' names where their values were."""
        for name, value in sorted(self.values.items(), key=lambda item: -len(item[1])):
            if len(value) >= shortest:
                forms = {
                    value,
                    quote(value, safe=""),
                    quote(value),
                    quote_plus(value),
                    json.dumps(value)[1:-1],
                }
                for form in sorted(forms, key=len, reverse=True):
                    text = text.replace(form, f"${{{name}}}")
        return text

    def stored(self, text: str) -> str:
        """What may be kept of what a server answered."""
        return self.hide(text, SECRET) if self.values else text

    def stored_url(self, url: str) -> str:
        """A URL of a server, as it may be kept; what looks like a variable in it is none."""
        return self.hide(url.replace("${", "%24%7B"))

    def restored_url(self, url: str) -> str:
        """What `stored_url` was given."""
        return VARIABLE.sub(lambda match: quote(self.values.get(match[1], match[0]), safe=""), url)
