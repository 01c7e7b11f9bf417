"""What is shown of each backup, kept in a file of a large store so that not all is read anew.

It can be deleted at any time. Nothing is deleted, restored or called good by a run because of it.
"""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from . import __version__, checks, listing, streams
from .checks import Check
from .errors import VerificationError
from .listing import Backup
from .manifest import FILE, VERIFICATION, Model
from .names import Name
from .store import Store

WORTHWHILE: Final = 300
"""Backups of an environment from which their index is kept."""

_LIMIT: Final = 256 << 20
_UNSETTLED: Final = 2_000_000_000
"""Nanoseconds in which a file may change again without a new time: what is so young is not kept."""

_Stamp = tuple[int, int, int, int]


class Glance(Model):
    """What is shown of a backup without its tables; counts are None if it has no sound manifest."""

    text: str
    database: str
    environment: str
    time: datetime
    damage: str | None
    tables: int | None = None
    rows: int | None = None
    data_bytes: int | None = None
    files: int | None = None
    file_bytes: int | None = None
    seconds: float | None = None
    checks: tuple[Check, ...] = ()
    depth: int = 0
    suspect: tuple[str, ...] = ()

    @cached_property
    def name(self) -> Name:
        """Its name in parts."""
        return Name(self.database, self.environment, self.time)

    @property
    def verified(self) -> bool:
        """Whether the whole archive has been read and found right."""
        return self.depth >= checks.ARCHIVE

    @property
    def trusted(self) -> bool:
        """Whether retention and the safety gate may build on it."""
        return self.verified and not self.suspect

    @property
    def state(self) -> str:
        """One word or sentence for how it stands."""
        if self.damage:
            return f"damaged: {self.damage}"
        if self.depth == 0 and self.checks:
            return "failed verification"
        if self.suspect:
            return "suspect"
        return "good" if self.verified else "not verified"


class _Entry(Model):
    """A glance, and the files that it was true of: nothing of it holds once one has changed."""

    records: tuple[_Stamp, _Stamp]
    sizes: dict[str, int]
    glance: Glance


class _Index(Model):
    version: str
    entries: dict[str, _Entry]


def glance(backup: Backup) -> Glance:
    """What is shown of a backup that was read."""
    found, name = backup.manifest, backup.name
    counts = found.totals.model_dump() if found else {}
    return Glance(
        text=str(name),
        database=name.database,
        environment=name.environment,
        time=name.time,
        damage=backup.damage,
        seconds=found.backup.seconds if found else None,
        checks=backup.verification.checks if backup.verification else (),
        depth=backup.depth,
        suspect=backup.suspect,
        **counts,
    )


def glances(store: Store, environment: str) -> list[Glance]:
    """Every backup of an environment, newest first; raises StorageError."""
    names = store.names(environment)
    if len(names) < WORTHWHILE:
        return [glance(backup) for backup in listing.backups(store, environment)]
    gc.disable()
    try:
        return _glances(store, environment, names)
    finally:
        # Looking through all of these for garbage, again and again, takes as long as making them.
        gc.freeze()
        gc.enable()


def _glances(store: Store, environment: str, names: Sequence[Name]) -> list[Glance]:
    path = store.path / f".index-{environment}.json"
    known = _read(path)
    entries: dict[str, _Entry] = {}
    found = []
    for name in names:
        text = str(name)
        entry = known.get(text)
        if entry and _holds(store.path / text, entry):
            entries[text] = entry
            found.append(entry.glance)
        else:
            fresh, keep = _looked(store, name)
            found += fresh
            entries |= {text: keep} if keep else {}
    if entries != known:
        _write(path, entries)
    return found


def _looked(store: Store, name: Name) -> tuple[list[Glance], _Entry | None]:
    """A backup read anew, unless it is gone; and what to keep of it, if it lies still."""
    place = store.place(name)
    before = _records(place)
    backup = listing.load(place, name)
    if backup.damage and not os.path.lexists(place):
        return [], None
    shown = glance(backup)
    settled = before and max(before[0][3], before[1][3]) < time.time_ns() - _UNSETTLED
    if not before or not settled or not backup.manifest or backup.damage:
        return [shown], None
    sizes = {part.path: part.size for part in backup.manifest.files}
    return [shown], _Entry(records=before, sizes=sizes, glance=shown)


def _holds(place: Path, entry: _Entry) -> bool:
    """Whether nothing that the glance came from has changed: its records, and each file's size."""
    if _records(place) != entry.records:
        return False
    base = f"{place}/"
    try:
        return all(os.lstat(base + file).st_size == size for file, size in entry.sizes.items())
    except OSError:
        return False


def _records(place: Path) -> tuple[_Stamp, _Stamp] | None:
    """What the file system says of a backup's two records; None unless both are there."""
    try:
        return _stamp(f"{place}/{FILE}"), _stamp(f"{place}/{VERIFICATION}")
    except OSError:
        return None


def _stamp(path: str) -> _Stamp:
    # Not even a program that sets the time of modification back can do so to that of the change.
    found = os.lstat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> dict[str, _Entry]:
    """What was kept; nothing if it is damaged, of another version, or cannot be read."""
    try:
        digest, _, body = streams.read_bounded(path, _LIMIT).partition(b"\n")
        if digest.decode() != hashlib.sha256(body).hexdigest():
            return {}
        index = _Index.model_validate_json(body)
    except (VerificationError, ValidationError, ValueError):
        return {}
    return index.entries if index.version == __version__ else {}


def _write(path: Path, entries: dict[str, _Entry]) -> None:
    """Replace the file, unless it is not ours to write: the store's owner alone keeps one."""
    temporary = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        if path.parent.stat().st_uid != os.geteuid():
            return
        body = _Index(version=__version__, entries=entries).model_dump_json().encode()
        # If two write at once, what they leave does not bear its own digest, and is not read.
        temporary.unlink(missing_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
