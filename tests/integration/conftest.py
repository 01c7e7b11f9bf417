"""What the program's tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import environment
from ..servers import Database
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
