"""Tables of tab-separated values: as `csv`, with another delimiter.

Quoted fields are read as there, since most programs write them; a file that does not quote needs `quote: ""`.
"""

from __future__ import annotations

from typing import Any

from curator import hookimpl
from curator_plugins.sources.csv import Csv


class Tsv(Csv):
    """Files of tab-separated values with a header, plain or compressed."""

    endings = (".tsv",)
    delimiter: str = "\t"


@hookimpl
def register_sources(register: Any) -> None:
    register(Tsv)
