"""The directory that holds backups: lock, partial directory, publish, remove, free space."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import mounts
from .errors import BusyError, StorageError
from .files import storage_error, storage_errors, sync_any_file, sync_directory
from .names import Name, parse_name

PARTIAL, DELETED, RECORD = ".partial-", ".deleted-", ".verification-"
"""What stands before a backup's name while it is made, deleted, or its record replaced."""
_MARKS = (PARTIAL, DELETED, RECORD + PARTIAL, RECORD)


class Store:
    """One directory of backups."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise StorageError unless the directory is there, on its disk, and takes a file."""
        with storage_errors(self.path):
            self._entries()
            _probe(self.path / f".probe-{os.getuid()}")

    def free(self) -> int:
        """Bytes that an unprivileged user may still write."""
        with storage_errors(self.path):
            state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def names(self, environment: str | None = None) -> list[Name]:
        """Every published backup's name, newest first; only one environment's if it is given."""
        with storage_errors(self.path):
            entries = [e.name for e in self._entries() if e.is_dir(follow_symlinks=False)]
        names = [name for name in map(parse_name, entries) if name]
        fenced = [n for n in names if environment in {None, n.environment}]
        return sorted(fenced, key=lambda name: (name.time, str(name)), reverse=True)

    def _entries(self) -> list[os.DirEntry[str]]:
        """Everything in the directory; StorageError where its disk is not mounted."""
        with os.scandir(self.path) as found:  # mounts what is mounted when it is looked at
            entries = list(found)
        point = mounts.missing(self.path)
        if point:
            raise StorageError(
                f"The store cannot be used: {self.path}: {point} is not mounted, but in fstab.",
                f"Run mount {point}; if backups belong there without, take it out of /etc/fstab.",
            )
        return entries

    def place(self, name: Name) -> Path:
        """Where a backup of that name is, or would be."""
        return self.path / str(name)

    def new_name(self, database: str, environment: str, now: datetime) -> Name:
        """A name for a backup taken `now` that no other bears."""
        name = Name(database, environment, now.replace(microsecond=0))
        while os.path.lexists(self.place(name)):
            name = Name(database, environment, name.time + timedelta(seconds=1))
        return name

    @contextmanager
    def lock(self, series: str) -> Iterator[None]:
        """Hold the lock of one database and environment; BusyError names who has it.

        It is the kernel's (flock), so that it ends with the process, however that ends.
        """
        path = self.path / f".lock-{series}"
        with storage_errors(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            file = os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _busy(series, file.read(4096)) from None
            except OSError as error:
                raise storage_error(path, error) from error
            with storage_errors(path):
                _sign(file.fileno())
            try:
                yield
            finally:
                os.ftruncate(file.fileno(), 0)

    def sweep(self, series: str) -> list[str]:
        """Remove what a killed run of this database and environment left; the lock must be held."""
        swept = []
        with storage_errors(self.path):
            for entry in self._entries():
                marked = next((m for m in _MARKS if entry.name.startswith(m)), None)
                name = parse_name(entry.name.removeprefix(marked)) if marked else None
                if name and name.series == series and self._swept(entry, name):
                    swept.append(entry.name)
        return swept

    def _swept(self, entry: os.DirEntry[str], name: Name) -> bool:
        """Remove one thing that was left; False if it is none, or somebody is at work on it."""
        if entry.name.startswith(RECORD):
            ours = entry.is_file(follow_symlinks=False) and _idle(self.place(name))
            if ours:
                Path(entry.path).unlink(missing_ok=True)
            return ours
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
            return True
        return False

    @contextmanager
    def partial(self, name: Name) -> Iterator[Path]:
        """A directory to write a backup into; it is removed unless it was published."""
        path = self.path / f"{PARTIAL}{name}"
        with storage_errors(path):
            path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, partial: Path, name: Name) -> Path:
        """Give a directory whose files are on the disk its name, in one rename."""
        target = self.place(name)
        with storage_errors(partial):
            sync_directory(partial)
            partial.rename(target)
            sync_directory(self.path)
            sync_any_file(target)
        return target

    def remove(self, name: Name) -> None:
        """Delete a backup: it loses its name first, so that half of one never bears it."""
        doomed = self.path / f"{DELETED}{name}"
        with storage_errors(self.place(name)):
            self.place(name).rename(doomed)
            sync_directory(self.path)
            shutil.rmtree(doomed)


def _probe(path: Path) -> None:
    """Write a byte and take it back; what a killed run leaves of it the next one takes over."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, b"\0")
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _idle(directory: Path) -> bool:
    """Whether no process is replacing the record of this backup (checks.exclusive)."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sign(descriptor: int) -> None:
    """Write who holds the lock, for the one who finds it taken."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _busy(series: str, signed: str) -> BusyError:
    try:
        holder = json.loads(signed)
        who = f"process {int(holder['pid'])} on {holder['host']!s} since {holder['since']!s}"
    except (ValueError, KeyError, TypeError):
        who = "a process that has not signed it yet"
    return BusyError(
        f"Another run holds the lock of {series}: {who}.",
        "Wait until it has ended, then try again.",
    )
