"""One run: lock, preflight, dump, verify, safety gate, publish, prune."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import (
    abilities,
    clients,
    describe,
    listing,
    losses,
    patience,
    postgres,
    preflight,
    prune,
    verify,
)
from . import dump as dumping
from .clients import Client
from .errors import BackupError, ReplayConflictError, StorageError, VerificationError
from .files import private_files, storage_error, sync_tree
from .listing import Backup
from .manifest import Manifest
from .names import Name
from .postgres import Session
from .progress import Progress
from .prune import Plan
from .settings import Settings
from .store import Store


@dataclass(frozen=True)
class Outcome:
    """A published backup; `pruned` only where pruning was asked for and allowed."""

    path: Path
    manifest: Manifest
    pruned: Plan | None


@private_files()
def run(settings: Settings, progress: Progress, *, then_prune: bool) -> Outcome:
    """Take one backup and publish it, verified; every earlier backup is as it was if it fails.

    Raises any BackupError. A backup that looks as if data were lost is published as suspect.
    """
    store = _open_store(settings)
    with patience.connect(settings.connection.parameters, progress) as session:
        database = session.facts().database
        series = Name(database, settings.environment, datetime.now(UTC)).series
        with store.lock(series):
            for swept in store.sweep(series):
                progress.note(f"removed {swept}, left by a run that was killed")
            name = store.new_name(database, settings.environment, datetime.now(UTC))
            outcome = _take_twice(session, settings, store, name, progress)
            if then_prune and not outcome.manifest.suspect:
                plan = prune.apply_locked(
                    store, settings.environment, series, settings.keep, progress
                )
                outcome = Outcome(outcome.path, outcome.manifest, plan)
    return outcome


def check(settings: Settings) -> Client:
    """Everything that is asked before a backup writes, and nothing more: for a dry run."""
    store = _open_store(settings)
    with postgres.connect(settings.connection.parameters) as session:
        now = datetime.now(UTC)
        name = Name(session.facts().database, settings.environment, now)
        return _preflight(session, settings, store, listing.reference(store, name))


def _open_store(settings: Settings) -> Store:
    store = Store(settings.store)
    if settings.store_is_default:
        try:
            settings.store.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(settings.store, error) from error
    store.check()
    return store


def _preflight(
    session: Session, settings: Settings, store: Store, earlier: Backup | None
) -> Client:
    facts = session.facts()
    preflight.check(session.tables(), settings.required_tables, facts.user)
    preflight.check_space(store, facts, earlier)
    client = clients.find(facts.major, tls=session.target().tls, pg_bin=settings.pg_bin)
    if settings.compression == "zstd":
        abilities.check_zstd(client)
    return client


def _take_twice(
    session: Session, settings: Settings, store: Store, name: Name, progress: Progress
) -> Outcome:
    """Take the backup; once more where a standby server had to break it off."""
    try:
        return _take(session, settings, store, name, progress)
    except ReplayConflictError as error:
        progress.note(f"{error.what} Trying once more.")
    with postgres.connect(settings.connection.parameters) as again:
        return _take(again, settings, store, name, progress)


def _take(
    session: Session, settings: Settings, store: Store, name: Name, progress: Progress
) -> Outcome:
    started = datetime.now(UTC)
    earlier = listing.reference(store, name)
    client = _preflight(session, settings, store, earlier)
    with store.partial(name) as partial:
        try:
            dumped = dumping.dump(session, client, settings, partial, progress)
            found = describe.describe(
                partial,
                name,
                dumped,
                client,
                started=started,
                jobs=settings.jobs,
                progress=progress,
            )
            lost = _losses(earlier, found, settings.max_shrink)
            found = found.model_copy(update={"suspect": lost})
            describe.write(partial, found)
            _prove(partial, name, settings.jobs, progress)
            return Outcome(store.publish(partial, name), found, None)
        except OSError as error:
            raise storage_error(partial, error) from error
        except BackupError as error:
            raise _full_disk(partial, error) from error


def _losses(earlier: Backup | None, found: Manifest, max_shrink: int) -> tuple[str, ...]:
    """Why the new backup is suspect: against one that is suspect itself, whatever it holds."""
    if earlier is None or earlier.manifest is None:
        return ()
    lost = losses.between(earlier.manifest, found, max_shrink)
    if earlier.suspect and not lost:
        return (f"{earlier.name} is suspect, and no earlier backup is left to compare with",)
    return lost


def _prove(partial: Path, name: Name, jobs: int, progress: Progress) -> None:
    """Read the whole backup again, from the disk; only what passes may bear its name."""
    sync_tree(partial)
    result = verify.verify(partial, str(name), jobs, progress)
    if not result.passed:
        raise VerificationError(
            f"The new backup does not verify: {'; '.join(result.all_problems[:3])}.",
            "Nothing was published. Check the disk, then run it again.",
        )
    verify.record(partial, result)


def _full_disk(partial: Path, error: BackupError) -> BackupError:
    """An error on a disk that has no byte left is about the disk, whatever a tool made of it."""
    if isinstance(error, StorageError) or shutil.disk_usage(partial).free:
        return error
    return StorageError(
        f"The disk of {partial.parent} filled up during the backup ({error.what})",
        "Free some space there, run prune with --apply, or name another place with --dest.",
    )
