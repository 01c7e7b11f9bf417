"""Where the faults happen: a server, a database that changes, a store, and what runs on them."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..running import argv, environment
from . import invariants
from .invariants import Trees

CODES = {0, 3, 4, 5, 6, 7, 8, 9, 130, 143}
"""What a run may end with when it is disturbed: 1 is for what nobody has thought of."""

PATIENCE = 120.0

_TABLES = """
CREATE TABLE notes AS SELECT i AS id, repeat(md5(i::text), 30) AS body
    FROM generate_series(1, 2000) AS i;
CREATE TABLE tags AS SELECT i AS id, ARRAY[md5(i::text)] AS words FROM generate_series(1, 500) AS i;
CREATE TABLE volatile AS SELECT generate_series(1, 100) AS id;
CREATE SEQUENCE numbers;
SELECT lo_from_bytea(0, 'attachment') FROM generate_series(1, 3);
"""

_PUBLISHED = re.compile(r"^Backup (\S+): ", re.MULTILINE)
"""How a backup says its name; what it pruned is named before."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended, by itself or not: its exit code, and what it printed."""

    code: int
    said: str

    @property
    def published(self) -> str | None:
        """The backup that it reported, if it ended well."""
        found = _PUBLISHED.search(self.said) if self.code == 0 else None
        return found[1] if found else None

    def faults(self, allowed: set[int]) -> Iterator[str]:
        """Why no run may end like this."""
        if "Traceback" in self.said:
            yield f"a traceback: {self.said[-600:]}"
        elif self.code >= 0 and self.code not in allowed:
            yield f"exit code {self.code}: {self.said[-400:]}"


@dataclass
class World:
    """One database and one store; `chance` is what the seed makes of it."""

    place: Path
    url: str
    chance: random.Random
    store: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every run here: two are kept, whatever else rules say."""
        rules = {f"KEEP_{rule}": "0" for rule in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
        drills = {"BACKUP_DRILL_DIR": str(self.place)}
        given = {"BACKUP_JOBS": "2", "KEEP_LAST": "2", **rules, **drills, **self.extra}
        return environment(self.url, self.store, **given)

    def execute(self, sql: str) -> None:
        """Change the database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def run(self, *words: str, **extra: str) -> Ended:
        """One verb from its start to its end."""
        with self.begun(*words, **extra) as running:
            return running.end()

    @contextmanager
    def begun(self, *words: str, **extra: str) -> Iterator[Running]:
        """One verb that runs meanwhile."""
        said = self.place / f"said-{self.chance.getrandbits(64):x}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                argv(*words),
                env={**self.env, **extra},
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        running = Running(process, said)
        try:
            yield running
        finally:
            running.kill()
            said.unlink()

    def tools(self) -> list[int]:
        """Living tools that are connected to this world's database."""
        database, port = self.url.rpartition("/")[2], urlsplit(self.url).port
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if (
                    f"dbname={database}" in words
                    and f"port={port}" in words  # the same name may be on a neighbour's server
                    and "-m helpers" not in words
                    and state not in "ZX"
                ):
                    found.append(int(entry.name))
        return found

    def await_tools(self) -> Iterator[str]:
        """The tools of a run that was killed end by themselves."""
        if not wait(lambda: not self.tools(), 20):
            yield "a tool outlives the run that started it"

    def before(self) -> Trees:
        """The backups that there are."""
        return invariants.trees(self.store)

    def told(self, name: str, code: int, before: Trees) -> Iterator[str]:
        """A backup that failed publishes nothing; one that is there was reported."""
        new = set(self.before()) - set(before)
        if name == "backup" and code and new:
            yield f"it ended with {code}, but published {', '.join(new)}"
        if name.startswith("backup") and not code and not new:
            yield "it ended with 0 and published nothing"

    def settled(self, before: Trees, *, may_delete: bool, crashed: bool) -> Iterator[str]:
        """Everything that must hold after a disturbance, then what the next run makes of it."""
        yield from invariants.harmed(self.store, before, may_delete=may_delete)
        yield from invariants.untrue(self.store)
        yield from invariants.stray(self.store, after_a_crash=crashed)
        between = invariants.trees(self.store)
        following = self.run("backup", "--prune")
        if following.code:
            yield f"the next run ended with {following.code}: {following.said[-600:]}"
        yield from invariants.harmed(self.store, between, may_delete=True)
        yield from invariants.untrue(self.store)
        yield from invariants.stray(self.store, after_a_crash=False)
        if not set(invariants.trees(self.store)) - set(between):
            yield "the next run published nothing"


class Running:
    """A run that has begun."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process = process
        self._said = said

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def end(self, within: float = PATIENCE) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return Ended(1, f"it did not end within {within} s: {self.said}")
        return Ended(code, self.said)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self, *, group: bool = False) -> Ended:
        """SIGKILL, to it alone or to its group."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        return Ended(self.process.wait(), self.said)


def wait(found: Callable[[], object], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not found():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def server(place: Path, settings: Mapping[str, str] | None = None) -> Iterator[ScratchServer]:
    """A server of a chaos run's own."""
    given = {**UNSAFE_BUT_FAST, "shared_buffers": "32MB", "max_connections": "100"}
    with ScratchServer(place, bound=True, settings={**given, **(settings or {})}) as running:
        yield running


def create(running: ScratchServer, name: str, sql: str = _TABLES) -> str:
    """A database with tables of each kind that matters here; its URL."""
    with psycopg.connect(running.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    with psycopg.connect(running.url(name), autocommit=True) as connection:
        connection.execute(sql.encode())
    return running.url(name)


def fresh(place: Path, url: str, chance: random.Random, backups: int = 2) -> World:
    """A world whose store holds so many backups."""
    store = place / "store"
    shutil.rmtree(place, ignore_errors=True)
    store.mkdir(parents=True)
    world = World(place, url, chance, store)
    stock(world, backups)
    return world


def stock(world: World, backups: int) -> None:
    """Take so many backups; nothing has gone wrong yet."""
    for _ in range(backups):
        ended = world.run("backup")
        if ended.code:
            raise RuntimeError(ended.said)


def grow(world: World) -> None:
    """The database goes on living between two runs."""
    world.execute("INSERT INTO notes SELECT i, md5(i::text) FROM generate_series(1, 20) AS i")
