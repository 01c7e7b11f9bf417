"""Files and what the system says of them: errors in words, who may read, what is on the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about files into StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """What went wrong with `path`, and what to do about it."""
    advice = {
        errno.ENOENT: "Create the directory, or mount the disk it lives on.",
        errno.ENOTDIR: "Name a directory in BACKUP_DIR.",
        errno.EACCES: "Let the backup user write to it.",
        errno.EPERM: "Let the backup user write to it.",
        errno.EROFS: "Mount it read-write.",
        errno.ENOSPC: "Free some space there, or run prune with --apply.",
        errno.EDQUOT: "Free some space there, or raise the quota.",
    }
    reason = error.strerror or str(error)
    return StorageError(
        f"The store cannot be used: {path}: {reason}.",
        advice.get(error.errno or 0, "Check the disk and the file system."),
    )


@contextmanager
def private_files() -> Iterator[None]:
    """Let nobody else read what we and our tools write meanwhile."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def sync_tree(directory: Path) -> None:
    """Put every file in a directory on the disk, then the directory; raises OSError."""
    for entry in list(os.scandir(directory)):
        if entry.is_file(follow_symlinks=False):
            _sync(entry.path)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Put a directory on the disk, so that renames in it survive a power cut; raises OSError."""
    _sync(directory, os.O_DIRECTORY)


def sync_any_file(directory: Path) -> None:
    """Put one file of a directory on the disk, if it has any; raises OSError.

    A file system that died says so here: of a directory whose last change it had to drop, XFS says
    that it is on the disk (xfs_dir_fsync, xfs_log_force_inode).
    """
    with os.scandir(directory) as entries:
        first = next((e.path for e in entries if e.is_file(follow_symlinks=False)), None)
    if first:
        _sync(first)


def _sync(path: str | Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
