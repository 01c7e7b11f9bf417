"""A drill restores a backup and finds it equal, or says by name what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import every_type
from ..running import Ran, environment, pgbackup
from ..servers import Database
from .test_exactness import take
from .test_shapes import OBJECTS


def drill(backup: Path, *words: str, **settings: str) -> Ran:
    """One drill of a backup, in a directory of the test's own."""
    given = {"BACKUP_DRILL_DIR": str(backup.parent.parent), **settings}
    env = environment("postgresql://nobody@127.0.0.1:1/none", backup.parent, **given)
    options = ("--file", str(backup), "--json", *words)
    return pgbackup("drill", *options, env=env, cwd=backup.parent, timeout=300)


def equal(backup: Path, **settings: str) -> dict[str, Any]:
    """What a drill says of a backup that it must find equal."""
    ran = drill(backup, **settings)
    assert ran.code == 0, ran.said
    assert ran.json["outcome"] == "passed"
    assert not list(backup.parent.parent.glob("pgbackup-drill-*"))
    return ran.json


def test_every_type_and_every_shape_are_found_equal(any_database: Database, tmp_path: Path) -> None:
    every_type.create(any_database, xml=False)
    any_database.execute(OBJECTS)
    said = equal(take(any_database, tmp_path / "store"))
    assert "the rows of public.he are the same, in another order" in said["notes"]
    phases = {"definitions", "data", "indexes", "constraints", "rest", "analyze"}
    assert set(said["recovery"]["phases"]) == phases
