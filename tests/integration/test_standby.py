"""A standby server as the source."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from helpers.privileges import dropped
from helpers.scratch import ScratchServer

from ..running import environment, pgbackup, start
from ..servers import SETTINGS, Database, Server


@pytest.fixture(scope="module")
def standby(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchServer]:
    """A standby of the shared server, with replay that waits for nobody."""
    place = tmp_path_factory.mktemp("standby")
    argv = [f"{server.bin_dir}/pg_basebackup", "--write-recovery-conf", "--checkpoint=fast"]
    argv += [f"--pgdata={place}/data", f"--dbname={server.url()}"]
    subprocess.run(dropped(argv), check=True)
    (place / "password").write_text(server.scratch.password)
    settings = {**SETTINGS, "max_standby_streaming_delay": "0"}
    with ScratchServer(place, server.bin_dir, bound=True, settings=settings) as running:
        yield running


def caught_up(database: Database, standby: ScratchServer) -> None:
    """Wait until the standby has replayed what the primary has written so far."""
    target = database.query("SELECT pg_current_wal_lsn()")[0][0]
    for _ in range(200):
        with psycopg.connect(standby.url()) as connection:
            sql = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            row = connection.execute(sql, (target,)).fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
    pytest.fail("the standby did not catch up")


def test_a_standby_is_backed_up_without_its_unlogged_tables(
    database: Database, standby: ScratchServer, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) AS n;"
        "CREATE UNLOGGED TABLE passing AS SELECT 1 AS n"
    )
    caught_up(database, standby)
    store = tmp_path / "store"
    store.mkdir()
    env = environment(standby.url(database.name), store)
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["rows"] == 1000
    with database.server.database() as target:
        argv = [
            f"{database.server.bin_dir}/pg_restore",
            "--exit-on-error",
            f"--dbname={target.url}",
        ]
        subprocess.run([*argv, ran.json["backup"]["path"]], check=True)
        assert target.query("SELECT count(*), sum(n) FROM kept") == [(1000, 500500)]


def test_a_conflict_with_replay_is_tried_once_more_then_reported(
    database: Database, standby: ScratchServer, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE busy AS SELECT n, repeat(md5(n::text), 30) AS t"
        " FROM generate_series(1, 300000) AS n"
    )
    caught_up(database, standby)
    store = tmp_path / "store"
    store.mkdir()
    env = environment(standby.url(database.name), store, BACKUP_JOBS="1")
    process = start("backup", env=env, cwd=tmp_path)
    while process.poll() is None:  # rows that the snapshot sees are removed, again and again
        database.execute("DELETE FROM busy WHERE n % 1000 = (random() * 999)::int")
        database.execute("VACUUM busy")
    _, errors = process.communicate()
    assert process.returncode == 9, errors
    assert "Trying once more" in errors
    assert "in favour of replay" in errors
    assert "hot_standby_feedback" in errors
    assert list(store.glob("[!.]*")) == []
    assert list(store.glob(".partial-*")) == []
