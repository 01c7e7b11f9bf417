"""Servers that stop, crash, end a session or hand over to their standby while they are read."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg

from helpers.privileges import dropped
from helpers.scratch import ScratchServer

from .world import World, grow, server, wait

_CODES = {0, 3, 9}

_BUSY = (
    "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() "
    "ORDER BY random() LIMIT 1"
)


def outage(world: World, running: ScratchServer) -> tuple[str, Iterator[str]]:
    """The server is shut down immediately, or crashes, and comes back."""
    number = world.chance.choice((signal.SIGQUIT, signal.SIGKILL))
    return f"{number.name} to the server during backup", _stopped(world, running, number)


def _stopped(world: World, running: ScratchServer, number: signal.Signals) -> Iterator[str]:
    before = world.before()
    with world.begun("backup", "--prune") as run:
        time.sleep(world.chance.uniform(0.5, 1.6))
        os.kill(running.pid, number)
        ended = run.end()
    running.stop()
    running.start()
    yield from ended.faults(_CODES)
    yield from world.settled(before, may_delete=ended.code == 0, crashed=False)
    grow(world)


def session(world: World, running: ScratchServer) -> tuple[str, Iterator[str]]:
    """One of the server's processes is ended, or killed, upon which all others restart."""
    number = world.chance.choice((signal.SIGTERM, signal.SIGKILL))
    return f"{number.name} to a session's process during backup", _robbed(world, running, number)


def _robbed(world: World, running: ScratchServer, number: signal.Signals) -> Iterator[str]:
    before = world.before()
    with world.begun("backup", "--prune") as run:
        time.sleep(world.chance.uniform(0.5, 1.5))
        with psycopg.connect(running.url(), autocommit=True) as connection:
            rows = connection.execute(_BUSY, (world.url.rpartition("/")[2],)).fetchall()
            for (pid,) in rows:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        ended = run.end()
    wait(lambda: _answers(running), 30)
    yield from ended.faults(_CODES)
    yield from world.settled(before, may_delete=ended.code == 0, crashed=False)
    grow(world)


def _answers(running: ScratchServer) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(running.url()):
        return True
    return False


def failover(world: World, running: ScratchServer) -> tuple[str, Iterator[str]]:
    """The server is lost and its standby promoted; both stand in the connection string."""
    return "a failover to the standby during backup", _promoted(world, running)


def _promoted(world: World, running: ScratchServer) -> Iterator[str]:
    place = world.place / "standby"
    _follow(running, place)
    with server(place) as standby:
        name = world.url.rpartition("/")[2]
        hosts = f"127.0.0.1:{running.port},127.0.0.1:{standby.port}"
        both = f"postgresql://postgres:{running.password}@{hosts}/{name}"
        pair = World(
            world.place, f"{both}?target_session_attrs=read-write", world.chance, world.store
        )
        before = world.before()
        with pair.begun("backup", "--prune") as run:
            time.sleep(world.chance.uniform(0.5, 1.5))
            os.kill(running.pid, signal.SIGQUIT)
            with psycopg.connect(standby.url(), autocommit=True) as connection:
                connection.execute("SELECT pg_promote()")
            ended = run.end()
        yield from ended.faults(_CODES)
        yield from pair.settled(before, may_delete=ended.code == 0, crashed=False)
        running.stop()
        running.start()
    grow(world)


def _follow(running: ScratchServer, place: Path) -> None:
    """The data directory of a new standby."""
    place.mkdir()
    words = [f"{running.bin_dir}/pg_basebackup", "--write-recovery-conf", "--checkpoint=fast"]
    words += [f"--pgdata={place}/data", f"--dbname={running.url()}"]
    subprocess.run(dropped(words), check=True)
    (place / "password").write_text(running.password, encoding="utf-8")
