"""The backups of a store, each with its state; and which one a selector means."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import checks, manifest
from .checks import Verification
from .errors import NotFoundError, RefusedError, VerificationError
from .manifest import Manifest
from .names import Name, parse_name
from .store import Store

SEE_LIST = "See what there is: invoke list, or pgbackup list on a backup host."

CLOCK_TOLERANCE = timedelta(hours=1)
"""A backup further ahead than this shows that the clock is wrong now, or was when it was taken."""


@dataclass(frozen=True)
class Backup:
    """A published backup; `damage` says why it cannot be trusted, None if nothing is known."""

    name: Name
    path: Path
    manifest: Manifest | None
    verification: Verification | None
    damage: str | None

    @property
    def depth(self) -> int:
        """The deepest verification passed; 0 when damaged or never verified."""
        return self.verification.depth if self.verification and not self.damage else 0

    @property
    def verified(self) -> bool:
        """Whether the whole archive has been read and found right."""
        return self.depth >= checks.ARCHIVE

    @property
    def suspect(self) -> tuple[str, ...]:
        """Why it looks as if data were lost; empty once somebody has accepted it."""
        if self.manifest is None or (self.verification and self.verification.accepted):
            return ()
        return self.manifest.suspect

    @property
    def trusted(self) -> bool:
        """Whether retention and the safety gate may build on it."""
        return self.verified and not self.suspect


def backups(store: Store, environment: str | None) -> list[Backup]:
    """Every backup of an environment (of all if None), newest first."""
    found = [load(store.place(name), name) for name in store.names(environment)]
    # One that prune has taken meanwhile is not damaged, but gone.
    return [backup for backup in found if not backup.damage or os.path.lexists(backup.path)]


def from_the_future(names: Iterable[Name]) -> Name | None:
    """A name that lies ahead of the clock: nobody knows then which backup is the newest."""
    latest = datetime.now(UTC) + CLOCK_TOLERANCE
    return next((name for name in names if name.time > latest), None)


def load(path: Path, name: Name) -> Backup:
    """One backup's state, from its own records and the sizes of its files; none is read."""
    try:
        found, data = manifest.read(path)
        record = checks.read(path)
    except VerificationError as error:
        return Backup(name, path, None, None, error.what)
    return Backup(name, path, found, record, _damage(path, name, found, data, record))


def reference(store: Store, name: Name) -> Backup | None:
    """The backup whose manifest says what there was before: the newest that is not suspect.

    Its data may have rotted since, which is no reason to compare with less or with nothing. If
    only suspect ones are left, the newest of these. One from the future is the last to be asked:
    it may be years old.
    """
    suspect = None
    for other in sorted(store.names(name.environment), key=lambda other: other.time > name.time):
        if other.series == name.series and other != name:
            backup = load(store.place(other), other)
            if backup.manifest and not backup.suspect:
                return backup
            suspect = suspect or (backup if backup.manifest else None)
    return suspect


def newest_trusted(store: Store, environment: str) -> Backup | None:
    """The newest good backup of an environment; raises StorageError."""
    found = (load(store.place(name), name) for name in store.names(environment))
    return next((backup for backup in found if backup.trusted), None)


def select(selector: str, store: Store | None, environment: str | None) -> Path:
    """The directory or file that a person means: `latest`, a backup's name, or a path.

    Names and `latest` never cross environments. Raises NotFoundError, and RefusedError where
    nobody can know which is the latest.
    """
    if selector == "latest":
        return _latest(store, environment)
    path = Path(os.path.expanduser(selector))  # noqa: PTH111 - Path's own fails on an unknown user
    name = parse_name(selector)
    if name and store:
        if environment and name.environment != environment:
            raise NotFoundError(
                f"{selector} is a backup of environment {name.environment}, not {environment}.",
                f"Name its environment: --env {name.environment}.",
            )
        if store.place(name).is_dir():
            return store.place(name)
    if not selector or not os.path.exists(path):  # noqa: PTH110 - Path's own fails on long names
        where = f" in {store.path}" if store else ""
        raise NotFoundError(
            f"There is no backup or file {selector!r}{where}.",
            SEE_LIST,
        )
    return _own_directory(path)


def _latest(store: Store | None, environment: str | None) -> Path:
    names = store.names(environment) if store else []
    if not store or not names:
        where = f" of {environment} in {store.path}" if store else ""
        raise NotFoundError(f"There is no backup{where} yet.", "Take one: invoke backup.")
    ahead = from_the_future(names)
    if ahead:
        raise RefusedError(
            f"Nobody knows which backup is the latest: {ahead} is from the future.",
            "Name the backup that you mean; then set the clock, or move that one elsewhere.",
        )
    return store.place(names[0])


def _own_directory(path: Path) -> Path:
    """The backup that a path points into, else the path itself."""
    resolved = path.resolve()
    if resolved.is_dir():
        if parse_name(resolved.name) or os.path.lexists(resolved / manifest.FILE):
            return resolved
        parent = resolved.parent
    else:
        # Of the path as it was named: a link in a backup is part of it, wherever it points.
        parent = path.absolute().parent.resolve()
    # Many directories hold a manifest.json; a dump that lies beside one is not part of a backup.
    ours = all(os.path.lexists(parent / file) for file in (manifest.FILE, "toc.dat"))
    return parent if ours or parse_name(parent.name) else resolved


def _damage(
    path: Path, name: Name, found: Manifest, data: bytes, record: Verification | None
) -> str | None:
    """What speaks against a backup without reading its data."""
    if found.backup.name != str(name) or found.backup.environment != name.environment:
        return f"its manifest is of {found.backup.name}"
    if record and record.manifest_sha256 != hashlib.sha256(data).hexdigest():
        return "its manifest is not the one that was verified"
    for part in found.files:
        try:
            if (path / part.path).lstat().st_size != part.size:
                return f"{part.path} has not the size that the manifest says"
        except OSError:
            return f"{part.path} is missing"
    return None
