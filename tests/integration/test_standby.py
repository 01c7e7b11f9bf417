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

from ..running import environment, pgbackup
from ..servers import SETTINGS, Database, Server
from .disturbing import begun, ended, held, soon


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
    assert replayed(database, standby, 10), "the standby did not catch up"


def replayed(database: Database, standby: ScratchServer, seconds: float) -> bool:
    """Whether the standby replays in that time what the primary has written so far."""
    target = database.query("SELECT pg_current_wal_lsn()")[0][0]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with psycopg.connect(standby.url()) as connection:
            sql = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            row = connection.execute(sql, (target,)).fetchone()
        if row and row[0]:
            return True
        time.sleep(0.05)
    return False


def conflict(database: Database, standby: ScratchServer) -> bool:
    """Remove rows that a snapshot on the standby sees; whether that keeps it from replaying."""
    database.execute("DELETE FROM busy WHERE n % 1000 = (random() * 999)::int")
    database.execute("VACUUM busy")
    return not replayed(database, standby, 2)


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
    there = Database(database.name, Server(database.server.major, standby))
    with begun("backup", env=env, cwd=tmp_path) as process:
        for _ in range(2):
            with held(there, "psql", "COPY %busy%"):  # or it may be quicker than the replay
                soon(lambda: conflict(database, standby), "a conflict with replay")
        ran = ended(process, tmp_path)
    assert ran.code == 9, ran.said
    assert "Trying once more" in ran.err
    assert "in favour of replay" in ran.err
    assert "hot_standby_feedback" in ran.err
    assert list(store.glob("[!.]*")) == []
    assert list(store.glob(".partial-*")) == []
