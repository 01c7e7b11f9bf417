"""Each running host has a number, claimed by a lock; a claim without a lock is a dead run's."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

RUN = Path("/run/pgbackup-hosts")
NUMBERS = range(10, 60)


@dataclass(frozen=True)
class Claim:
    """A number that no other host on this machine has, as long as its lock is held."""

    number: int
    lock: TextIOWrapper

    @property
    def directory(self) -> Path:
        return RUN / str(self.number)

    def release(self) -> None:
        """Remove what is kept of the host, and let the number go."""
        remove(self.number)
        self.lock.close()


def claim() -> Claim:
    """The first free number, with an empty directory."""
    RUN.mkdir(mode=0o700, exist_ok=True)
    for number in NUMBERS:
        if lock := _locked(number):
            remove(number)
            (RUN / str(number)).mkdir(mode=0o700)
            return Claim(number, lock)
    raise RuntimeError(f"every host from {NUMBERS[0]} to {NUMBERS[-1]} is in use")


def sweep(also: Callable[[int], None]) -> None:
    """Remove what dead runs left behind; `also` is called with each of their numbers."""
    for directory in RUN.glob("[0-9]*/"):
        if lock := _locked(int(directory.name)):
            also(int(directory.name))
            remove(int(directory.name))
            lock.close()


def remove(number: int) -> None:
    """Remove a host's directory and control groups; nobody may be using them."""
    shutil.rmtree(RUN / str(number), ignore_errors=True)
    for mounted in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        for group, _, _ in os.walk(mounted / f"pgbackup-host-{number}", topdown=False):
            with suppress(OSError):
                Path(group).rmdir()


def _locked(number: int) -> TextIOWrapper | None:
    lock = (RUN / f"{number}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
