"""Real database servers for tests: their own, in a folder of their own, on sockets, as another user than root.

Debian's packages are what CI has (`make servers` installs them); elsewhere a test is skipped that finds no server.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from curator import Part
from curator_plugins.sources.sql import Sql

POSTS = "select id, body as text, changed from post"

Server = TypeVar("Server", "Postgres", "MariaDB")


class Postgres:
    """A cluster; `url` names its database `test`, `sql` runs statements through psql."""

    def __init__(self, binaries: str, folder: Path, user: str | None) -> None:
        self.binaries, self.folder, self.user = binaries, folder, user
        self.url = f"postgresql://tester@/test?host={folder}"
        self.server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [f"{self.binaries}/postgres", "-D", self.folder / "data", "-k", self.folder, "-h", "", "-F"],
                user=self.user, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        _wait(lambda: self._run("pg_isready", "-h", self.folder, "-U", "tester", "-d", "postgres"), self.folder / "log")

    def stop(self) -> None:
        """Stop the server at once, as a power cut would."""
        assert self.server is not None
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait()

    def sql(self, statements: str, database: str = "test") -> str:
        """What psql answers, without decoration."""
        options = ["-h", str(self.folder), "-U", "tester", "-d", database, "-qAtX", "-v", "ON_ERROR_STOP=1"]
        asked = subprocess.run([f"{self.binaries}/psql", *options], input=statements, text=True, capture_output=True)
        assert asked.returncode == 0, asked.stderr
        return asked.stdout.strip()

    def _run(self, program: str, *arguments: Any) -> None:
        command = [f"{self.binaries}/{program}", *map(str, arguments)]
        subprocess.run(command, user=self.user, check=True, capture_output=True, cwd=self.folder)


class MariaDB:
    """A server; `url` names its database `test`, `sql` runs statements through its client."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self.user = folder, user
        self.socket = folder / "socket"
        self.url = f"mysql://root@localhost/test?unix_socket={self.socket}"
        self.server: subprocess.Popen[bytes] | None = None
        self.options = ["--no-defaults", f"--datadir={folder / 'data'}", "--innodb-log-file-size=8M"]
        install = ["mariadb-install-db", *self.options, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, user=user, check=True, capture_output=True, cwd=folder)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [*self.options, f"--socket={self.socket}", "--skip-networking", f"--pid-file={self.folder / 'pid'}"]
        server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen([server, *options], user=self.user, stdout=log, stderr=log, cwd=self.folder)
        _wait(lambda: self.sql("select 1", "mysql"), self.folder / "log")

    def stop(self) -> None:
        """Stop the server."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def sql(self, statements: str, database: str = "test") -> str:
        """What the client answers, without decoration."""
        options = ["--no-defaults", f"--socket={self.socket}", "-uroot", "-N", "--default-character-set=utf8mb4"]
        asked = subprocess.run(["mariadb", *options, database], input=statements, text=True, capture_output=True)
        assert asked.returncode == 0, asked.stderr
        return asked.stdout.strip()


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [shutil.which("initdb") or ""]
    binaries = str(Path(found[-1]).parent)
    if not found[-1] or not os.path.exists(f"{binaries}/psql"):
        _missing("PostgreSQL's initdb", "postgresql")
    with _folder("postgres") as (folder, user):
        yield from _running(Postgres(binaries, folder, user), "postgres")


@contextlib.contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB."""
    if not shutil.which("mariadb-install-db"):
        _missing("mariadb-install-db", "mariadb-server")
    with _folder("mysql") as (folder, user):
        yield from _running(MariaDB(folder, user), "mysql")


def source(server: Postgres | MariaDB, query: str = POSTS, known: Sequence[Part] | None = None, **options: Any) -> Sql:
    """The source of a query, by default of a table of posts."""
    found = Sql(name="posts", url=server.url, query=query, **options)
    found.known = known or []  # type: ignore[misc]  # the host sets it so
    return found


def keys(found: Sql, parts: list[Part]) -> list[int]:
    """The ids that the parts give."""
    return [int(record["id"]) for part in parts for record in found.read(part) if isinstance(record, dict)]


def _running(server: Server, database: str) -> Iterator[Server]:
    server.start()
    try:
        server.sql("create database test", database)
        yield server
    finally:
        server.stop()


def _missing(program: str, package: str) -> None:
    """In CI a server that is not there must not pass for a test that passed."""
    reason = f"no {program} on this machine; Debian's package {package} has it (`make servers` as root)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def _folder(owner: str) -> Iterator[tuple[Path, str | None]]:
    """A folder with a short path, as a socket needs, and the user that is to run the server, if not ours."""
    folder = Path(tempfile.mkdtemp(prefix="curator-"))
    try:
        user = None
        if os.getuid() == 0:
            user = owner
            os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(answers: Any, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            answers()
            return
        except (AssertionError, subprocess.CalledProcessError) as error:
            if time.monotonic() > until:
                raise AssertionError(log.read_text(errors="replace")[-2000:]) from error
            time.sleep(0.1)
