"""What psycopg makes of values that Python does not have: text, where it would raise.

It loads whole batches of rows, so one value would end the query. `infinity`, years BC and 24:00 come as the text that
PostgreSQL has for them, intervals too (psycopg takes a month for 30 days), JSON that is none to Python unparsed, and
text that is no UTF-8 with surrogates, which makes it one quarantined record.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import orjson
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads


class Text(Loader):
    """As it comes."""

    def load(self, data: Buffer) -> Any:
        return bytes(data).decode(errors="surrogateescape")


class Moment(Text):
    """A timestamp, written by `DateStyle = ISO`."""

    def load(self, data: Buffer) -> Any:
        text = bytes(data).decode()
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return text


class Day(Text):
    """A date, written by `DateStyle = ISO`."""

    def load(self, data: Buffer) -> Any:
        text = bytes(data).decode()
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text


LOADERS = {"date": Day, "timestamp": Moment, "timestamptz": Moment, "time": Text, "timetz": Text, "interval": Text}
TEXTS = ("text", "varchar", "bpchar", "name")


def load_leniently(connection: Any) -> None:
    """Let a connection of psycopg's load so."""
    for name, loader in LOADERS.items():
        connection.adapters.register_loader(name, loader)
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":  # which holds any bytes
        for name in TEXTS:
            connection.adapters.register_loader(name, Text)
    set_json_loads(_json, connection)


def _json(raw: str | bytes) -> Any:
    try:
        return orjson.loads(raw)
    except ValueError:  # lone surrogates, endless nesting
        return raw if isinstance(raw, str) else raw.decode(errors="surrogateescape")
