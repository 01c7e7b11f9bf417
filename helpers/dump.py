"""Snapshot in, archive out: pg_dump and pg_dumpall on one exported snapshot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import processes
from .clients import Client
from .errors import BackupError, DatabaseError, StorageError, ToolError
from .manifest import GLOBALS
from .postgres import Column, Facts, Session, Table, Target
from .progress import Progress
from .settings import Settings

COMPRESSION = "1"
"""gzip's cheapest level: docs/performance.md has what the others cost. Only gzip and raw files
are read by every pg_restore."""

_STARTED = re.compile(r'dumping contents of table "(.*)"$')


@dataclass(frozen=True)
class Dumped:
    """What was in the snapshot that now lies in the archive; `rows` by each table's oid."""

    facts: Facts
    taken: datetime
    tables: tuple[Table, ...]
    columns: Mapping[int, Sequence[Column]]
    rows: Mapping[int, int]
    extensions: tuple[tuple[str, str, str], ...]
    roles: tuple[str, ...]
    large_objects: int
    notes: tuple[str, ...]


def dump(
    session: Session, client: Client, settings: Settings, directory: Path, progress: Progress
) -> Dumped:
    """Dump the session's database into an empty directory, and say what was in it.

    Raises DatabaseError (unreachable, refused), StorageError (disk full) or ToolError.
    """
    facts = session.facts()
    with session.snapshot(settings.lock_timeout) as (snapshot, tables):
        taken = datetime.now(UTC)
        data = [table for table in tables if not table.parent]
        sizes = session.sizes(data)
        progress.begin("dump", len(data), sum(sizes.values()))
        watch = _watcher(data, sizes, settings.jobs, progress)
        archive(session, client, settings, directory, snapshot=snapshot, facts=facts, on_line=watch)
        progress.begin("count", len(data), sum(sizes.values()))
        return Dumped(
            facts,
            taken,
            tuple(tables),
            session.columns(data),
            _count(session, data, sizes, progress),
            session.extensions(),
            session.roles(),
            session.large_objects(),
            _dump_globals(client, session.target(), directory / GLOBALS),
        )


def archive(
    session: Session,
    client: Client,
    settings: Settings,
    directory: Path,
    *,
    snapshot: str,
    facts: Facts,
    on_line: Callable[[str], None],
) -> None:
    """The data path: one directory archive of the snapshot, complete or an error."""
    target = session.target()
    done = processes.run(
        [
            client.tool("pg_dump"),
            "--format=directory",
            f"--file={directory}",
            f"--jobs={settings.jobs}",
            f"--compress={COMPRESSION}",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={settings.lock_timeout}s",
            f"--encoding={facts.encoding}",
            "--no-password",
            "--no-sync",  # the whole backup is put on the disk at once, before it is published
            "--verbose",
            f"--dbname={target.conninfo}",
        ],
        env=target.env,
        on_error_line=on_line,
    )
    if done.returncode:
        raise _failure(done, session, directory)


def _count(
    session: Session, tables: Sequence[Table], sizes: Mapping[int, int], progress: Progress
) -> dict[int, int]:
    """Each table's rows in the snapshot; an extension's are not all dumped, so not counted."""
    rows, size = {}, 0
    for number, table in enumerate(tables, start=1):
        if not table.extension:
            rows[table.oid] = session.count(table)
        size += sizes.get(table.oid, 0)
        progress.reach(number, size)
    return rows


def _watcher(
    tables: Sequence[Table], sizes: Mapping[int, int], jobs: int, progress: Progress
) -> Callable[[str], None]:
    """Follow pg_dump's messages: it says when it begins a table, and has `jobs` in hand."""
    by_name = {table.qualified: sizes.get(table.oid, 0) for table in tables}
    begun: list[int] = []

    def watch(line: str) -> None:
        match = _STARTED.search(line)
        if match:
            begun.append(by_name.get(match[1], 0))
            done = begun[:-jobs]
            progress.reach(len(done), sum(done))

    return watch


def _dump_globals(client: Client, target: Target, path: Path) -> tuple[str, ...]:
    """Roles and tablespaces without passwords; a note where the role may not read them."""
    done = processes.run(
        [
            client.tool("pg_dumpall"),
            "--globals-only",
            "--no-role-passwords",
            "--no-password",
            f"--file={path}",
            f"--dbname={target.conninfo}",
            f"--database={target.database}",
        ],
        env=target.env,
    )
    if not done.returncode:
        return ()
    path.unlink(missing_ok=True)
    return (f"no {GLOBALS}: {_first_error(done.errors)}",)


def _failure(done: processes.Completed, session: Session, directory: Path) -> BackupError:
    """Why pg_dump failed, as the error that a user can act on."""
    said = _first_error(done.errors)
    if "No space left on device" in done.errors or "Disk quota exceeded" in done.errors:
        return StorageError(
            f"The disk of {directory.parent} filled up during the dump.",
            "Free some space there, run prune with --apply, or name another place with --dest.",
        )
    if not session.alive:
        return DatabaseError(
            f"The database went away during the dump: {said}", "See the server's log, then retry."
        )
    if "permission denied" in done.errors or "row-level security" in done.errors:
        return DatabaseError(
            f"The database refuses access: {said}", "Grant the role what it lacks."
        )
    if "obtain lock on relation" in done.errors or "lock timeout" in done.errors:
        return ToolError(
            f"A table was locked by another session during the dump: {said}",
            "Run the backup again when the migration is done.",
        )
    how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
    return ToolError(f"pg_dump {how}: {said}", "Run it again; if it stays, see the server's log.")


def _first_error(errors: str) -> str:
    """The first line of a tool's stderr that says what went wrong."""
    lines = [line for line in errors.splitlines() if line.strip()]
    wrong = [line for line in lines if "error:" in line or "fatal" in line.lower()]
    return next(iter(wrong or lines[-1:]), "it gave no reason")
