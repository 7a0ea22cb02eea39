"""What lies elsewhere is brought into the corpus's folder before it is planned, and read from there.

So a page of an API is asked for once, whatever is measured of it later; reading needs no network and may be done
by any number of workers, in any order, again; and a killed run goes on from the last piece that is whole.
Rejected: splits of addresses, fetched by the worker that reads them. A cursor's next page is not known before the
last has come, many workers are no friends of a rate limit, and every new step that reads text would fetch again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from curator.errors import CuratorError
from curator.mapping import source_name
from curator.plugin import Part, Source
from curator.reading import skipped_part

if TYPE_CHECKING:
    from curator.loading import Plugins
    from curator.recipe import Used
    from curator.run import Progress


def folder_of(corpus: str | Path, source: str) -> Path:
    """Where a corpus keeps what one of its sources fetched."""
    return Path(corpus) / "fetched" / source


def source_of(
    used: Used, plugins: Plugins, base: str, corpus: str | Path, known: Sequence[Part] = ()
) -> Source:
    """The recipe's source, ready to fetch, to tell its parts and to read."""
    source: Source = used.build(plugins)
    source.base = base  # type: ignore[misc]  # no option, and of each source its own
    source.folder = str(folder_of(corpus, used.name))  # type: ignore[misc]
    source.known = tuple(known)  # type: ignore[misc]
    return source


def parts_of(source: Source) -> list[Part]:
    """What the source has to read, and behind it what it found and left out; raises as its `parts` does."""
    parts = list(source.parts())
    return parts + [skipped_part(uri, why) for uri, why in source.skipped.items()]


def fetches(source: Source) -> bool:
    """Whether the source brings anything from elsewhere."""
    return type(source).fetch is not Source.fetch


def fetch(source: Source, progress: Progress, limit: int | None = None) -> None:
    """Let the source bring what is missing; with a `limit`, until about so many records are there.

    Raises FetchError as the source does, CuratorError where another run fetches into the same folder.
    """
    folder = Path(source.folder)
    if not fetches(source) or (limit is not None and folder.is_dir() and any(folder.iterdir())):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CuratorError(f"source {source_name(source)!r}: another run fetches into {folder}") from None
    try:
        with contextlib.closing(source.fetch()) as pieces:  # type: ignore[type-var]  # most are generators
            progress.stage(f"fetching {source_name(source)}", 0)
            brought = 0
            for so_far in pieces:
                progress.advance(0, so_far - brought)
                brought = so_far
                if limit is not None and brought >= limit:
                    return
    finally:
        lock.release()
