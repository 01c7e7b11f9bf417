"""Everything that can go wrong, each with its exit code, what happened and what to do."""

from __future__ import annotations

import signal
from typing import ClassVar


class BackupError(Exception):
    """`what` happened, to what, and what to `do` about it: a sentence each, never a secret."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n{self.do}"


class ConfigError(BackupError):
    """A usage or configuration mistake."""

    exit_code = 2


class DatabaseError(BackupError):
    """The database cannot be reached, or refuses access."""

    exit_code = 3


class StorageError(BackupError):
    """The store is missing, not writable or full."""

    exit_code = 4


class VerificationError(BackupError):
    """A backup is not what it should be: do not restore from it."""

    exit_code = 5


class BusyError(BackupError):
    """Another run holds the lock of this database's backups."""

    exit_code = 6


class NotFoundError(BackupError):
    """No backup answers to that name."""

    exit_code = 7


class RefusedError(BackupError):
    """A safety check refused to go on."""

    exit_code = 8


class ToolError(BackupError):
    """pg_dump, pg_restore or another tool failed."""

    exit_code = 9


class ReplayConflictError(ToolError):
    """A standby server ended a query because replay needed what it was reading."""


class RemoteError(BackupError):
    """A backup host could not be used: unreachable, or Ansible failed before the helper ran."""


class Interruption(BackupError):  # noqa: N818 - it is a request, not an error
    """A signal asked the run to end; the exit code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Interrupted by {signal.Signals(number).name}: nothing was published.",
            "Run it again; earlier backups are as they were.",
        )
        self.number = number

    @property
    def code(self) -> int:
        """The exit code: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


def refused_by_system(error: OSError) -> StorageError:
    """What an error of the operating system that nobody expected says."""
    file = f"{error.filename}: " if error.filename else ""
    return StorageError(
        f"The operating system refused: {file}{error.strerror or error}.",
        "Check the disk and the file system.",
    )


def exit_code(error: BackupError) -> int:
    """The process's exit code for `error`."""
    return error.code if isinstance(error, Interruption) else error.exit_code
