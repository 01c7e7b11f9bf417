"""What is measured: ways to back up, to check and to restore the same database."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers import postgres
from helpers.clients import wheel_bin
from helpers.scratch import ScratchServer

from .measuring import Measured, measure

PROJECT = Path(__file__).resolve().parents[2]
JOBS = str(min(4, os.cpu_count() or 1))
CUSTOM, DIRECTORY = "pg_dump -Fc", f"pg_dump -Fd -j{JOBS} -Z1"
BACKUP, VERIFY = "pgbackup backup", "pgbackup verify"
BASE, FLOOR = "pg_basebackup", f"floor: {JOBS} clients to /dev/null"
RESTORE = f"pg_restore -j{JOBS} of "


@dataclass(frozen=True)
class Contest:
    """One database and a place for what the contenders write; `made` is where each wrote last."""

    server: ScratchServer
    database: str
    place: Path
    made: dict[str, Path] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    def contenders(self) -> dict[str, Callable[[], Measured]]:
        """Each contender by its name, in the order of a round."""
        program = f"{wheel_bin()}/pg_dump"
        return {
            CUSTOM: lambda: self._write(CUSTOM, [program, "-Fc", self.url, "-f"]),
            DIRECTORY: lambda: self._write(
                DIRECTORY, [program, "-Fd", f"-j{JOBS}", "-Z1", self.url, "-f"]
            ),
            BASE: lambda: self._write(
                BASE, [f"{wheel_bin()}/pg_basebackup", "-cfast", "-d", self.server.url(), "-D"]
            ),
            FLOOR: lambda: self._measure(
                [sys.executable, "-m", "tests.bench.floor", self.url, JOBS]
            ),
            BACKUP: self.backup,
            VERIFY: lambda: self._verb("verify", "--file", str(self.made[BACKUP])),
            RESTORE + DIRECTORY: lambda: self._restore(DIRECTORY),
            RESTORE + BACKUP: lambda: self._restore(BACKUP),
        }

    def backup(self) -> Measured:
        """One run of ours."""
        store = self._fresh("store")
        store.mkdir(parents=True)
        found = self._verb("backup", "--env", "bench", "--dest", str(store))
        self.made[BACKUP] = next(path for path in store.iterdir() if path.is_dir())
        return found

    def size(self, name: str) -> int | None:
        """Bytes of what a contender wrote; None if it writes nothing."""
        path = self.made.get(name)
        if path is None:
            return None
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())

    def _write(self, name: str, argv: list[str]) -> Measured:
        self.made[name] = self._fresh(name)
        self.made[name].parent.mkdir(parents=True, exist_ok=True)
        return self._measure([*argv, str(self.made[name])])

    def _restore(self, name: str) -> Measured:
        with postgres.connect(postgres.parameters(self.server.url())) as session:
            session.execute("DROP DATABASE IF EXISTS bench_restored WITH (FORCE)")
            session.execute("CREATE DATABASE bench_restored")
        target = f"--dbname={self.server.url('bench_restored')}"
        argv = [f"{wheel_bin()}/pg_restore", f"--jobs={JOBS}", "--exit-on-error", target]
        return self._measure([*argv, str(self.made[name])])

    def _verb(self, *words: str) -> Measured:
        return self._measure([sys.executable, "-m", "helpers", *words, "--quiet"])

    def _measure(self, argv: list[str]) -> Measured:
        given = {"DATABASE_URL": self.url, "BACKUP_JOBS": JOBS, "PYTHONPATH": str(PROJECT)}
        return measure(argv, given, self.server.pid)

    def _fresh(self, name: str) -> Path:
        path = self.place / "".join(letter for letter in name if letter.isalnum())
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return path
