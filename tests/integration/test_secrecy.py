"""What others on the machine could see of a secret while a backup runs, and afterwards."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..running import argv, environment
from ..servers import Database
from .restoring import Restoring, slow

SECRET = f"s3cr3t-{uuid.uuid4()}"
"""Nobody else's: the whole machine is watched, and other tests run beside these."""


@contextmanager
def watched() -> Iterator[set[str]]:
    """What `ps` shows everybody, and processes of other users hold in their environment."""
    leaks: set[str] = set()
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            for place in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    leaks.update(_leaks(place))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield leaks
    finally:
        end.set()
        thread.join()


def _leaks(process: Path) -> Iterator[str]:
    command = (process / "cmdline").read_bytes()
    if SECRET.encode() in command:
        yield f"command line: {command!r}"
    foreign = process.stat().st_uid != os.getuid()
    if foreign and SECRET.encode() in (process / "environ").read_bytes():
        yield f"another user's environment: {command!r}"


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_a_password_shows_nowhere_while_a_backup_runs_nor_in_what_it_leaves(
    small: Database, store: Path, tmp_path: Path
) -> None:
    role = f"secretive_{small.name}"
    small.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'")
    url = f"postgresql://{role}:{SECRET}@127.0.0.1:{small.server.scratch.port}/{small.name}"
    # Nothing may depend on what the caller's mask happens to be.
    command = ["sh", "-c", 'umask 0; exec "$@"', "sh", *argv("backup", "--prune")]
    try:
        with watched() as leaks:
            done = subprocess.run(
                command, env=environment(url, store), cwd=tmp_path, capture_output=True, text=True
            )
    finally:
        small.execute(f"DROP ROLE {role}")
    assert done.returncode == 0, done.stderr
    assert not leaks
    assert SECRET not in done.stdout + done.stderr
    left = [path for path in store.rglob("*") if path.is_file()]
    assert any(path.name == "globals.sql" for path in left)
    for path in left:
        assert SECRET.encode() not in content(path), path
        assert b"SCRAM-SHA-256" not in content(path), path
    for path in store.rglob("*"):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_password_shows_nowhere_while_a_restore_runs(chat: Restoring, tmp_path: Path) -> None:
    slow(chat, 5)
    role = f"secretive_{chat.source.name}"
    chat.source.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'")
    url = f"postgresql://{role}:{SECRET}@127.0.0.1:{chat.server.scratch.port}/{chat.source.name}"
    try:
        with watched() as leaks:
            ran = chat.run(DATABASE_URL=url)
            other = f"--to={url.replace(f':{SECRET}', '')}_other"
            again = chat.run(other, to=None, DATABASE_URL=url, PGPASSWORD=SECRET)
        globals_alone = chat.run("--globals", to=None, DATABASE_URL=url)
    finally:
        chat.source.execute(f"DROP ROLE {role}")
    for one in (ran, again, globals_alone):
        assert one.code == 0, one.said
        assert SECRET not in one.said
    assert not leaks


def test_a_scratch_server_that_runs_as_another_user_knows_no_setting_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "POSTGRES_PASSWORD", "BACKUP_ANYTHING"):
        monkeypatch.setenv(name, SECRET)
    with watched() as leaks, ScratchServer(tmp_path / "s", settings=UNSAFE_BUT_FAST) as server:
        assert SECRET.encode() not in Path(f"/proc/{server.pid}/environ").read_bytes()
    assert not leaks
