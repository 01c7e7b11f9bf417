"""Where a drill restores is its own for as long as it runs, and left as it was found."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from helpers import places
from helpers.scratch import ScratchServer

from ..servers import Server, Servers
from .drills import await_true, begun, drill, equal, homes, started


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_a_server_that_needs_no_capability_has_none() -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        ScratchServer(Path(place) / "a" / "server", bound=True, confined=True) as started_one,
    ):
        Path(place).chmod(0o711)
        assert capabilities(started_one) != 0, "the way to it was closed when it was started"
        started_one.stop()
        (Path(place) / "a").chmod(0o711)
        started_one.start()
        assert capabilities(started_one) == 0


def capabilities(server: ScratchServer) -> int:
    """The effective capabilities of its postmaster."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("CapEff:")[1].split()[0], 16)


def test_a_server_that_is_named_is_left_as_it_was(backup: Path, server: Server) -> None:
    def state() -> list[tuple[Any, ...]]:
        databases = server.maintenance.query("SELECT datname FROM pg_database ORDER BY 1")
        return databases + server.maintenance.query("SELECT rolname FROM pg_roles ORDER BY 1")

    server.maintenance.execute(f"CREATE DATABASE {places.DATABASE}0123456789ab")
    before = [row for row in state() if row != (f"{places.DATABASE}0123456789ab",)]
    equal(backup, BACKUP_DRILL_URL=server.url())
    others = [row for row in state() if not row[0].startswith("test_")]
    assert others == [row for row in before if not row[0].startswith("test_")]


def test_an_older_server_cannot_judge(backup: Path, servers: Servers) -> None:
    ran = drill(backup, BACKUP_DRILL_URL=servers.get(15).url())
    assert ran.code == 8, ran.said
    assert "older than the source" in ran.json["unjudged"][0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing_and_records_nothing(
    backup: Path, number: signal.Signals
) -> None:
    before = (backup / "verification.json").read_bytes()
    process = started(backup)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not homes(backup)
    assert (backup / "verification.json").read_bytes() == before


def test_what_a_killed_drill_left_is_removed_by_the_next(backup: Path) -> None:
    process = started(backup)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (left,) = homes(backup)
    other = left.with_name("pgbackup-drill-of-someone")
    other.mkdir()
    deadline = time.monotonic() + 10
    # a program that was just being started may hold the lock for a moment more
    while not (swept := places.sweep(left.parent)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert swept == [left.name]
    assert other.exists(), "it is young and may be about to be locked"
    assert not left.exists()


def test_what_a_killed_drill_left_on_a_named_server_is_dropped_by_the_next(
    backup: Path, server: Server
) -> None:
    def left() -> set[str]:
        rows = server.maintenance.query("SELECT datname FROM pg_database")
        return {name for (name,) in rows if name.startswith(places.DATABASE)}

    def busy() -> bool:
        ask = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(datname, %s)"
        return bool(server.maintenance.query(ask, places.DATABASE)[0][0])

    before = left()
    process = begun(backup, BACKUP_DRILL_URL=server.url())
    await_true(lambda: left() - before, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    abandoned = left() - before
    assert len(abandoned) == 1
    deadline = time.monotonic() + 60
    while busy():  # the server has yet to notice that its client is gone
        assert time.monotonic() < deadline
        time.sleep(0.05)
    equal(backup, BACKUP_DRILL_URL=server.url())
    assert left() == before
