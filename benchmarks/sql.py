"""Reading PostgreSQL: our `sql` source against a bare server-side cursor of psycopg, in CPU seconds of the client.

Both in processes of their own, by turns, against the same server on a socket; the memory is the most that the process
held beyond what it had before the first row. `records` are the dicts that the source gives, `documents` the batches
that the host makes of them (mapping, hashing, frames), which is what a run pays; the keys that it remembers of a
split are here of all the rows.

    python benchmarks/sql.py [--rows 1000000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.databases import Postgres

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests

QUERY = "select id, body as text, changed as published from {}"
TABLES = {"short": 250, "long": 5000}  #: characters of a row's text


def cursor(url: str, query: str, _: str | None) -> int:
    """psycopg's own, 2,000 rows at a time, made into dicts."""
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url) as connection, connection.cursor("bench", row_factory=dict_row) as rows:
        rows.itersize = 2000
        rows.execute(query)
        return sum(len(row["text"]) for row in rows)


def records(url: str, query: str, key: str | None) -> int:
    """What the source gives."""
    from curator_plugins.sources.sql import Sql

    source = Sql(name="bench", url=url, query=query, key=key)
    return sum(len(record["text"]) for part in source.parts() for record in source.read(part) if isinstance(record, dict))


def documents(url: str, query: str, key: str | None) -> int:
    """What the host makes of it."""
    from curator.reading import read_documents
    from curator_plugins.sources.sql import Sql

    source = Sql(name="bench", url=url, query=query, key=key)
    return sum(int(frame["text"].str.len_bytes().sum()) for frame, _ in read_documents(source, source.parts()))


def planning(url: str, query: str, key: str | None) -> int:
    """The parts alone."""
    from curator_plugins.sources.sql import Sql

    return sum(part.size for part in Sql(name="bench", url=url, query=query, key=key).parts())


READERS: dict[str, Callable[[str, str, str | None], int]] = {
    f.__name__: f for f in (cursor, records, documents, planning)
}


def measure(name: str, url: str, query: str, key: str | None) -> None:
    """One reading in this process, as JSON."""
    for module in ("psycopg", "sqlalchemy.dialects.postgresql", "curator.reading", "curator_plugins.sources.sql"):
        importlib.import_module(module)  # before the clock runs
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.monotonic()
    size = READERS[name](url, query, key)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    held = (after.ru_maxrss - before.ru_maxrss) / 1024
    print(json.dumps({"bytes": size, "cpu": cpu, "wall": time.monotonic() - wall, "held": held}))


def compare(server: Postgres, rows: int, repeat: int) -> None:
    """The table."""
    for table, size in TABLES.items():
        count = rows * 250 // size
        server.sql(f"""create table {table} (id int primary key, body text, changed timestamptz);
            insert into {table} select n, repeat(md5(n::text) || ' ', {size // 33 + 1}), now() from generate_series(1, {count}) n;
            vacuum analyze {table}""")
        for name, key in (("cursor", None), ("records", None), ("records", "id"), ("documents", "id"), ("planning", "id")):
            results = []
            for _ in range(repeat):
                command = [sys.executable, __file__, "--measure", name, server.url, QUERY.format(table), key or ""]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
            best = min(results, key=lambda r: r["cpu"])
            print(
                f"{table:<6} {name:<10} key={key or '-':<3} {count / best['cpu']:>10,.0f} rows/s "
                f"{best['bytes'] / 1e6 / best['cpu']:>7.0f} MB/s  {best['cpu']:6.2f} CPU s {best['wall']:6.2f} s  "
                f"{best['held']:6.0f} MB held",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", nargs=4)
    options = parser.parse_args()
    if options.measure:
        name, url, query, key = options.measure
        measure(name, url, query, key or None)
        return
    from tests.databases import postgres

    with postgres() as server:
        compare(server, options.rows, options.repeat)


if __name__ == "__main__":
    main()
