"""Drills of one backup: take it, drill it, change its manifest, catch the drill while it runs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import describe, manifest, places

from ..running import Ran, environment, pgbackup, start

VECTORS = """
CREATE EXTENSION vector;
CREATE TABLE docs (id int PRIMARY KEY, body text, small vector(3), half halfvec(4));
INSERT INTO docs SELECT n, md5(n::text), ARRAY[n, n % 7, n % 11]::vector,
  CASE WHEN n % 3 > 0 THEN ARRAY[n % 5, n % 3, 1, 0]::halfvec END FROM generate_series(1, 500) n;
CREATE INDEX near ON docs USING hnsw (small vector_l2_ops);
CREATE TABLE notes (text text CHECK (text <> 'x'), at timestamptz DEFAULT '2026-01-02 03:04:05+00');
INSERT INTO notes SELECT n::text FROM generate_series(1, 50) n;
CREATE INDEX notes_text ON notes (text);
CREATE SEQUENCE numbers; SELECT nextval('numbers'), nextval('numbers');
CREATE VIEW shown AS SELECT text FROM notes;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
SELECT lo_from_bytea(4711, 'a large object');
"""

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
"""A drill must not need the database that the backup is of."""


def drill(backup: Path, *words: str, **settings: str) -> Ran:
    """One drill of a backup, in a directory of the test's own."""
    given = {"BACKUP_DRILL_DIR": str(backup.parent.parent), **settings}
    env = environment(NOWHERE, backup.parent, **given)
    options = ("--file", str(backup), "--json", *words)
    return pgbackup("drill", *options, env=env, cwd=backup.parent, timeout=300)


def equal(backup: Path, **settings: str) -> dict[str, Any]:
    """What a drill says of a backup that it must find equal."""
    ran = drill(backup, **settings)
    assert ran.code == 0, ran.said
    assert ran.json["outcome"] == "passed"
    assert not list(backup.parent.parent.glob("pgbackup-drill-*"))
    return ran.json


@contextmanager
def tampered(backup: Path, *, sealed: bool = True) -> Iterator[dict[str, Any]]:
    """The manifest, to be changed; `sealed` anew no checksum of it tells."""
    found = json.loads((backup / "manifest.json").read_text())
    yield found
    (backup / "verification.json").unlink()
    if sealed:
        describe.write(backup, manifest.Manifest.model_validate(found))
    else:
        (backup / "manifest.json").write_text(json.dumps(found))


def homes(backup: Path) -> list[Path]:
    """The directories of drills' own servers."""
    return list(backup.parent.parent.glob(f"{places.PREFIX}*"))


def started(backup: Path) -> subprocess.Popen[str]:
    """A drill whose own server is up."""
    process = begun(backup)
    await_true(lambda: any((h / "server" / "data").exists() for h in homes(backup)), process)
    return process


def begun(backup: Path, **settings: str) -> subprocess.Popen[str]:
    """A drill that has just begun."""
    given = {"BACKUP_DRILL_DIR": str(backup.parent.parent), **settings}
    env = environment(NOWHERE, backup.parent, **given)
    return start("drill", "--file", str(backup), env=env, cwd=backup.parent)


def await_true(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that a living drill does."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
