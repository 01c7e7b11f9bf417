"""What the program's tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import environment
from ..servers import Database, Server
from . import drills
from .disturbing import take
from .restoring import Restoring, restoring


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    place = tmp_path / "store"
    place.mkdir()
    return place


@pytest.fixture
def small(database: Database) -> Database:
    """A database with one small table."""
    database.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
    return database


@pytest.fixture(scope="module")
def earlier(source: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one backup of the module's own `source`."""
    place = tmp_path_factory.mktemp("earlier")
    take(environment(source.url, place), place.parent)
    return place


@pytest.fixture
def kept(store: Path, earlier: Path) -> Path:
    """A store of a test's own, with that earlier backup."""
    return shutil.copytree(earlier, store, dirs_exist_ok=True)


@pytest.fixture
def chat(database: Database, store: Path, tmp_path: Path) -> Iterator[Restoring]:
    yield from restoring(database, store, tmp_path)


@pytest.fixture
def any_chat(any_database: Database, store: Path, tmp_path: Path) -> Iterator[Restoring]:
    yield from restoring(any_database, store, tmp_path)


@pytest.fixture(scope="module")
def searched(server: Server) -> Iterator[Database]:
    """A database with vectors and one of everything that a drill compares."""
    with server.database() as fresh:
        fresh.execute(f"ALTER DATABASE {fresh.name} SET timezone = 'Asia/Tokyo'")
        fresh.execute(drills.VECTORS)
        yield fresh


@pytest.fixture(scope="module")
def original(searched: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, not to be changed."""
    # small tables as text, whose timestamps are written in the source's time zone
    place = tmp_path_factory.mktemp("drills")
    given = {"BACKUP_PG_BIN": str(searched.server.bin_dir), "BACKUP_BINARY_FROM": "1000000"}
    return place / take(environment(searched.url, place, **given), place.parent)


@pytest.fixture
def backup(original: Path, tmp_path: Path) -> Path:
    """A copy of that backup for a test of its own."""
    return shutil.copytree(original, tmp_path / "store" / original.name)
