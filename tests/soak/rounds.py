"""Rounds of the small case: back up under fire, restore with the stock tools, check."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from helpers import backup, progress, settings
from helpers.errors import BackupError
from helpers.scratch import ScratchServer

from . import case

_BINARY = {"BACKUP_BINARY_FROM": "0"}
WAYS = (
    {**_BINARY, "BACKUP_JOBS": "2"},
    {"BACKUP_FORMAT": "text", "BACKUP_JOBS": "2"},
    {**_BINARY, "BACKUP_JOBS": "1", "BACKUP_COMPRESSION": "none"},
    {"BACKUP_BINARY_FROM": "20000", "BACKUP_JOBS": "3"},
)
"""Settings that take turns: all in binary, all in text, and a part of each."""


@dataclass
class Result:
    """What came of some rounds: how many were restored and right, refused, or wrong."""

    right: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(server: ScratchServer, rounds: int, place: Path, seed: int = 1) -> Result:
    """Rounds on one server whose database changes all the while; the first wrong one ends it."""
    result = Result()
    chance = random.Random(seed)
    with _database(server, "soak"):
        url = server.url("soak")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(case.SCHEMA.encode())
        with case.under_fire(url, seed):
            for ways in itertools.islice(itertools.cycle(WAYS), rounds):
                try:
                    found = _round(server, place, ways, chance.choice(("--jobs=2", "--jobs=1")))
                except BackupError as error:
                    result.refused[f"{type(error).__name__}: {error.what}"] += 1
                    continue
                if found:
                    result.wrong.append(f"{ways}: {', '.join(found)}")
                    break
                result.right += 1
    return result


def _round(server: ScratchServer, place: Path, ways: dict[str, str], jobs: str) -> list[str]:
    """One backup of the database as it changes, restored: what is wrong with it."""
    store = place / "store"
    store.mkdir(parents=True, exist_ok=True)
    given = {
        "DATABASE_URL": server.url("soak"),
        "BACKUP_DIR": str(store),
        "BACKUP_PG_BIN": str(server.bin_dir),
        **ways,
    }
    found = settings.load("test", root=place, environ=given)
    taken = backup.run(found, progress.Quiet(silent=True), then_prune=False).path
    with _database(server, "restored"):
        argv = [f"{server.bin_dir}/pg_restore", "--exit-on-error", jobs]
        done = subprocess.run(
            [*argv, f"--dbname={server.url('restored')}", str(taken)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return [f"pg_restore: {done.stderr}"]
        with psycopg.connect(server.url("restored"), autocommit=True) as connection:
            said = [*case.wrong(connection), *_miscounted(taken, connection)]
    shutil.rmtree(taken)
    return said


def _miscounted(taken: Path, connection: case.Connection) -> list[str]:
    """The tables of which the manifest says another number of rows than were restored."""
    tables = json.loads((taken / "manifest.json").read_text())["tables"]
    return [
        f"the manifest's rows of {table['name']}"
        for table in tables
        if connection.execute(f"SELECT count(*) FROM {table['name']}".encode()).fetchall()
        != [(table["rows"],)]
    ]


@contextmanager
def _database(server: ScratchServer, name: str) -> Iterator[None]:
    """An empty database, dropped afterwards; it is kept if something is wrong."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
