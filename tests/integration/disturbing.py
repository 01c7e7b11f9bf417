"""Stop a real backup at a known place: hold a server process, fill a disk, find children."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from helpers.names import parse_name

from ..running import Ran, argv, pgbackup
from ..servers import REQUIRE_ALL, Database

FORMATS = ("text", "binary")
READER = {"text": "pg_dump", "binary": "psql"}
"""The tool that reads the large tables."""

PATIENCE = 30.0
"""Seconds to wait for something that is about to happen."""

_T = TypeVar("_T")


def fill_with_data(database: Database, tables: int = 1, rows: int = 20_000) -> None:
    """Tables of 2 kB a row that take long enough to dump for a test to step in."""
    for number in range(1, tables + 1):
        database.execute(
            f"CREATE TABLE big{number} AS SELECT i AS id, (SELECT string_agg("
            "md5(i::text || '-' || j), '') FROM generate_series(1, 60) AS j) AS body "
            f"FROM generate_series(1, {rows}) AS i"
        )


def soon(found: Callable[[], _T], what: str) -> _T:
    """The first answer that is something; fails the test if none comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.001)
    pytest.fail(f"waited in vain for {what}")


@contextmanager
def begun(*words: str, env: Mapping[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A verb that runs meanwhile, what it says going to files; killed at the end if need be."""
    with (cwd / "out").open("w") as out, (cwd / "err").open("w") as err:
        process = subprocess.Popen(
            argv(*words), env=dict(env), cwd=cwd, stdout=out, stderr=err, start_new_session=True
        )
    try:
        yield process  # type: ignore[misc]
    finally:
        if process.poll() is None:
            process.kill()
            process.send_signal(signal.SIGCONT)
            process.wait()


def ended(process: subprocess.Popen[str], cwd: Path, within: float = 60) -> Ran:
    """What a verb that was `begun` said by its end."""
    code = process.wait(within)
    ran = Ran(code, (cwd / "out").read_text(), (cwd / "err").read_text())
    assert "Traceback" not in ran.said, ran.said
    return ran


def stop_at_phase(process: subprocess.Popen[str], cwd: Path, phase: str) -> None:
    """Hold the program itself once it has said that a phase begins."""
    soon(lambda: f"Z {phase}: " in (cwd / "err").read_text(), f"phase {phase}")
    process.send_signal(signal.SIGSTOP)


@contextmanager
def held(database: Database, application: str, query: str = "COPY %big%") -> Iterator[int]:
    """Hold the server process that runs this query for this client: its pid.

    One that copies is stopped where it waits for its client: elsewhere it may hold a lock that
    every other process of the server needs.
    """
    sql = (
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = %s "
        "AND state = 'active' AND query ILIKE %s AND pid <> pg_backend_pid() "
        "AND (query NOT LIKE 'COPY%%' OR wait_event = 'ClientWrite')"
    )
    values = (database.name, application, query)
    with database.server.maintenance.connect() as connection:

        def stopped() -> int | None:
            for (pid,) in connection.execute(sql, values).fetchall():
                os.kill(pid, signal.SIGSTOP)
                if (pid,) in connection.execute(sql, values).fetchall():
                    return int(pid)
                os.kill(pid, signal.SIGCONT)
            return None

        pid = soon(stopped, f"{query} of {application}")
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def running(needle: str) -> list[int]:
    """Living processes, other than a Python's, with these words in their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            if needle in words and "-m helpers" not in words and state not in "ZX":
                found.append(int(place.name))
    return found


def tools(database: Database) -> list[int]:
    """The dump tools that are connected to a database: its name is in their command lines."""
    return [pid for pid in running(f"dbname={database.name} ") if _is_tool(pid)]


def _is_tool(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() in {"pg_dump", "psql", "pg_dumpall"}
    return False


def contents(directory: Path) -> dict[str, str]:
    """Every file below a directory that bears a backup's name, with its hash."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for place in directory.iterdir()
        if parse_name(place.name)
        for path in sorted(place.rglob("*"))
    }


def leftovers(store: Path) -> list[str]:
    """What a run has left in a store beside backups, its lock and its log."""
    own = (".lock-", ".runs-", ".index-")
    return [e.name for e in store.iterdir() if not parse_name(e.name) and e.name[:6] not in own]


def names(store: Path) -> list[str]:
    """The backups in a store, oldest first."""
    return sorted(entry.name for entry in store.iterdir() if parse_name(entry.name))


def take(env: Mapping[str, str], cwd: Path, *words: str) -> str:
    """One backup that must succeed; its name."""
    ran = pgbackup("backup", "--json", *words, env=env, cwd=cwd)
    assert ran.code == 0, ran.said
    return str(ran.json["backup"]["name"])


@contextmanager
def tmpfs(place: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; only root can make one."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "pgbackup-test", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        missing = f"no file system can be mounted here ({done.stderr.strip()})"
        if os.environ.get(REQUIRE_ALL) == "1":
            pytest.fail(f"{missing}, and {REQUIRE_ALL}=1")
        pytest.skip(missing)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(directory: Path, leave: int = 0) -> Path:
    """Take all the room there is in a directory's file system but for `leave` bytes."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while room := shutil.disk_usage(directory).free - leave:
            if room < 0 or not file.write(b"\0" * min(room, 1 << 20)):
                break
    return ballast
