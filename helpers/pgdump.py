"""Run pg_dump and pg_dumpall, and say in a user's words why they failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import processes
from .catalog import Facts, Table, Target
from .clients import Client
from .errors import BackupError, DatabaseError, ReplayConflictError, StorageError, ToolError
from .packing import ZSTD_LEVEL
from .postgres import Session

LEVEL = 1
"""gzip's cheapest level: docs/performance.md has what the others cost. Only gzip and raw files
are read by every pg_restore."""

_COMPRESS = {"none": "0", "zstd": f"zstd:{ZSTD_LEVEL}"}

EXCLUDE_BYTES = 1_000_000
"""Names of excluded tables that fit on a command line, with room for the environment."""

RETRY_LOCK_SECONDS = 5
"""How long the second attempt waits for a table that a migration is still waiting for."""

_CHATTER = re.compile(r"^pg_dump: (?!error:|fatal:|detail:|hint:|warning:).*$", re.MULTILINE)
"""What --verbose adds: it names the catalogues it reads, and must not be taken for errors."""

_REASON = re.compile(r"^pg_dump: detail: Error message from server: (.+)$", re.MULTILINE)
"""pg_dump's error says only which call failed."""

_NOT_LOCKED = "could not obtain lock on relation"
"""A worker of pg_dump's was refused a lock that the server would have made it wait for
(parallel.c: lockTableForWorker)."""

_WAITED = re.compile("due to (lock|statement) timeout")
"""Of pg_dump's --lock-wait-timeout, which is a limit on the statement, and psql's lock_timeout."""

_STARTED = re.compile(r'dumping contents of table "(.*)"$')


@dataclass(frozen=True)
class Order:
    """What to dump and how: `lock_timeout` in seconds, `compression` auto, gzip, zstd or none."""

    client: Client
    facts: Facts
    snapshot: str
    jobs: int
    lock_timeout: int
    compression: str


def dump(
    session: Session,
    order: Order,
    directory: Path,
    *,
    without_data: Collection[Table],
    on_line: Callable[[str], None],
) -> None:
    """Dump the snapshot as a directory archive, but for the data of some tables.

    A parallel pg_dump gives up if anybody waits for an exclusive lock on a table, even in vain: its
    workers ask for theirs without waiting. Then it is run again on its own, which needs none, but
    waits no longer than RETRY_LOCK_SECONDS: whoever queues for that table waits with the migration.

    Raises DatabaseError, StorageError or ToolError.
    """

    def attempt(order: Order) -> processes.Completed:
        argv = _argv(order, directory, session.target(), without_data)
        return processes.run(argv, env=session.target().env, on_error_line=on_line)

    done = attempt(order)
    if done.returncode and order.jobs > 1 and _NOT_LOCKED in done.errors:
        for path in directory.iterdir():
            path.unlink()
        again = attempt(replace(order, jobs=1, lock_timeout=RETRY_LOCK_SECONDS))
        # of the two only the first names the table
        done = done if again.returncode and _WAITED.search(again.errors) else again
    if done.returncode:
        raise failure("pg_dump", done, session, directory.parent)


def _argv(
    order: Order, directory: Path, target: Target, without_data: Collection[Table]
) -> list[str]:
    return [
        order.client.tool("pg_dump"),
        "--format=directory",
        f"--file={directory}",
        f"--jobs={order.jobs}",
        f"--compress={_COMPRESS.get(order.compression, LEVEL)}",
        f"--snapshot={order.snapshot}",
        f"--lock-wait-timeout={order.lock_timeout}s",
        f"--encoding={order.facts.encoding}",
        "--no-password",
        "--no-sync",  # the whole backup is put on the disk at once, before it is published
        "--verbose",
        *(f"--exclude-table-data={pattern(table)}" for table in without_data),
        f"--dbname={target.conninfo}",
    ]


def pattern(table: Table) -> str:
    """A pattern that matches this table alone: between quotes nothing else has a meaning."""
    schema, name = (part.replace('"', '""') for part in (table.schema, table.name))
    return f'"{schema}"."{name}"'


def dump_globals(session: Session, client: Client, path: Path) -> tuple[str, ...]:
    """Roles and tablespaces without passwords; a note where the server refuses to tell them.

    Raises DatabaseError, StorageError or ToolError if anything else went wrong.
    """
    target = session.target()
    done = processes.run(
        [
            client.tool("pg_dumpall"),
            "--globals-only",
            "--no-role-passwords",
            "--no-password",
            f"--file={path}",
            f"--dbname={target.conninfo}",
            # not the bare name, of which it would take one like postgresql://x for a URL
            f"--database={target.conninfo}",
        ],
        env=target.env,
    )
    if not done.returncode:
        return ()
    path.unlink(missing_ok=True)
    # Only a refusal will be the same next time: a tool that was killed has told nothing.
    refused = done.returncode > 0 and "query failed: ERROR:" in done.errors
    if not refused or "conflict with recovery" in done.errors:
        raise failure("pg_dumpall", done, session, path.parent.parent)
    return (f"no {path.name}: {first_error(done.errors)}",)


def watcher(
    tables: Sequence[Table],
    sizes: Mapping[int, int],
    jobs: int,
    advance: Callable[[int, int], None],
) -> Callable[[str], None]:
    """Follow pg_dump's messages: it says when it begins a table, and has `jobs` in hand."""
    by_name = {table.qualified: sizes.get(table.oid, 0) for table in tables}
    begun: list[int] = []

    def watch(line: str) -> None:
        match = _STARTED.search(line)
        if match:
            begun.append(by_name.get(match[1], 0))
            if len(begun) > jobs:
                advance(1, begun[-jobs - 1])

    return watch


def first_error(errors: str) -> str:
    """The first line of a tool's stderr that says what went wrong, and why by the server."""
    lines = [line for line in errors.splitlines() if line.strip()]
    wrong = [line for line in lines if "error:" in line.lower() or "fatal" in line.lower()]
    said = next(iter(wrong or lines[-1:]), "it gave no reason")
    reason = _REASON.search(errors)
    return f"{said} ({reason[1].strip()})" if reason else said


def failure(tool: str, done: processes.Completed, session: Session, directory: Path) -> BackupError:
    """Why a tool that read the snapshot failed, as the error that a user can act on."""
    said, errors = first_error(done.errors), _CHATTER.sub("", done.errors)
    if "No space left on device" in errors or "Disk quota exceeded" in errors:
        return StorageError(
            f"The disk of {directory} filled up during the dump.",
            "Free some space there, run prune with --apply, or name another place with --dest.",
        )
    lost = session.lost()
    if "conflict with recovery" in errors + (lost or ""):
        return ReplayConflictError(
            f"The standby server cancelled the dump in favour of replay: {said}",
            "Set hot_standby_feedback on it, or raise its max_standby_streaming_delay.",
        )
    if lost:
        return DatabaseError(
            f"The database went away during the dump: {lost}", "See the server's log, then retry."
        )
    if "permission denied" in errors or "row-level security" in errors:
        return DatabaseError(
            f"The database refuses access: {said}", "Grant the role what it lacks."
        )
    if _NOT_LOCKED in errors or _WAITED.search(errors):
        return ToolError(
            f"A table was locked by another session during the dump: {said}",
            "Run the backup again when the migration is done.",
        )
    how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
    return ToolError(f"{tool} {how}: {said}", "Run it again; if it stays, see the server's log.")
