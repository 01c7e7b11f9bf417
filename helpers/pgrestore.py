"""Run pg_restore on a directory archive, follow it, and say in a user's words why it failed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import processes
from .catalog import Target
from .clients import Client
from .errors import BackupError, ConfigError, DatabaseError, StorageError, ToolError
from .postgres import with_settings

_DATA = re.compile(r'^pg_restore: processing data for table "(.*)"$')
_ENTRY = re.compile(r"^pg_restore: from TOC entry \d+; \d+ \d+ (.*)$")
_IGNORED = re.compile(r"^pg_restore: warning: errors ignored on restore: (\d+)$")
_ERROR = re.compile(r"^pg_restore: (?:error|fatal): (.*)$")
_SERVER = re.compile(r"^.*?\b(?:ERROR|FATAL|PANIC):\s+")
_LOST = re.compile(
    r"server closed the connection|terminating connection|connection to server .* failed"
    r"|could not (?:connect|send)|shutting down|starting up|in recovery mode|no connection to"
    r"|could not receive data|SSL SYSCALL|Connection (?:timed out|reset)",
    re.IGNORECASE,
)
_NOISE = 'unrecognized configuration parameter "transaction_timeout"'
"""What pg_restore 17 and later runs into on every connection to an older server."""

_FULL = re.compile(r"No space left on device|Disk quota exceeded")


@dataclass(frozen=True)
class Order:
    """What of an archive to restore, and how.

    `server_major` is the target's; `only` are numbers of TOC entries, in the archive's order;
    `settings` are of each session that pg_restore opens; `owners` False leaves owners and
    privileges out, `tablespaces` False puts everything into the database's own. `one_transaction`
    has one job, and so has a pg_restore of 17 or later on an older server.
    """

    client: Client
    directory: Path
    target: Target
    server_major: int
    jobs: int = 2
    section: Literal["pre-data", "data", "post-data"] | None = None
    only: tuple[int, ...] | None = None
    owners: bool = True
    tablespaces: bool = True
    schema_only: bool = False
    one_transaction: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def restore(order: Order, on_line: Callable[[str], None] = lambda line: None) -> None:
    """Restore into a database that is there; the first error ends it.

    Raises DatabaseError (the database went away, or refuses), StorageError (the server's disk is
    full) or ToolError, each naming the object that could not be restored.
    """
    told = _Told()
    noisy = order.server_major < 17 <= order.client.major
    if noisy and order.one_transaction:
        raise ConfigError(
            f"pg_restore {order.client.version} cannot restore into PostgreSQL "
            f"{order.server_major} in one transaction: it begins with a setting unknown there.",
            "Restore the whole backup into a database of its own, and copy the table from there.",
        )

    def hear(line: str) -> None:
        told.hear(line)
        if noisy and told.why:
            raise failure(0, told.what, told.why)
        on_line(line)

    target = with_settings(order.target, order.settings)
    with tempfile.NamedTemporaryFile("w", prefix="pgbackup-") as listed:
        listed.writelines(f"{number};\n" for number in order.only or ())
        listed.flush()
        chosen = listed.name if order.only is not None else None
        argv = [*_words(order, target, chosen, noisy=noisy), "--", str(order.directory)]
        done = processes.run(argv, env=target.env, on_error_line=hear)
    if done.returncode and not (noisy and done.returncode == 1 and told.only_noise):
        raise failure(done.returncode, told.what, told.why)


def _words(order: Order, target: Target, listed: str | None, *, noisy: bool) -> list[str]:
    # The lines of several workers run into each other, and no error may hide behind the noise.
    jobs = 1 if noisy else order.jobs
    return [
        order.client.tool("pg_restore"),
        f"--dbname={target.conninfo}",
        *(["--single-transaction"] if order.one_transaction else [f"--jobs={jobs}"]),
        "--no-password",
        "--verbose",
        *([] if noisy else ["--exit-on-error"]),
        *([f"--section={order.section}"] if order.section else []),
        *([f"--use-list={listed}"] if listed else []),
        *([] if order.owners else ["--no-owner", "--no-acl"]),
        *([] if order.tablespaces else ["--no-tablespaces"]),
        *(["--schema-only"] if order.schema_only else []),
    ]


def watcher(
    sizes: Mapping[str, int], jobs: int, advance: Callable[[int, int], None]
) -> Callable[[str], None]:
    """Follow the tables (schema.name, bytes): `advance` is told how many and how much are done.

    pg_restore says when it begins one, and has `jobs` in hand.
    """
    begun: list[int] = []

    def watch(line: str) -> None:
        if match := _DATA.match(line):
            begun.append(sizes.get(match[1], 0))
            done = begun[: max(0, len(begun) - jobs)]
            advance(len(done), sum(done))

    return watch


def index_settings(memory: int, workers: int) -> dict[str, str]:
    """Session settings to build indexes with, vector ones above all.

    `memory` in bytes is for one build: HNSW slows down by far once its graph no longer fits in
    maintenance_work_mem (pgvector's README, "Index Build Time").
    """
    return {
        "maintenance_work_mem": f"{max(memory >> 10, 1024)}kB",
        "max_parallel_maintenance_workers": str(workers),
    }


def failure(returncode: int, what: str | None, why: str | None) -> BackupError:
    """The error for pg_restore's end; `what` could not be restored, `why` as the server says."""
    said = f"{what}: {why}" if what and why else why or "it gave no reason"
    if why and _FULL.search(why):
        return StorageError(
            f"The disk of the target server filled up: {said}", "Free some space there, then retry."
        )
    if why and _LOST.search(why):
        return DatabaseError(
            f"The target database went away during the restore: {said}",
            "See the server's log, then retry.",
        )
    if why and re.search(r"(?:database|role) .* does not exist$", why) and not what:
        return DatabaseError(
            f"The target cannot be reached: {why}", "Check the database and the role it names."
        )
    if returncode < 0:
        return ToolError(f"pg_restore was killed by signal {-returncode}.", "Run it again.")
    if why and re.search(r"permission denied|must be (?:owner|superuser|able|member)", why):
        return DatabaseError(
            f"The target database refuses: {said}",
            "Restore as a role that may do it, or without owners: --no-owner.",
        )
    return ToolError(f"pg_restore failed: {said}", "Mend what it names on the server, then retry.")


class _Told:
    """The first error among pg_restore's lines, and the entry that it is about.

    Its details are left out: they may hold rows.
    """

    def __init__(self) -> None:
        self.what: str | None = None
        self.why: str | None = None
        self.only_noise = False
        self._entry: str | None = None
        self._noise = 0

    def hear(self, line: str) -> None:
        if match := _ENTRY.match(line):
            self._entry = match[1]
        elif match := _ERROR.match(line):
            if _NOISE in line:
                self._noise += 1
            elif self.why is None or _is_consequence(self.why):
                # the server's own sentence where pg_restore quotes it
                self.what, self.why = self._entry, _SERVER.sub("", match[1])
        elif match := _IGNORED.match(line):
            # of its workers' errors pg_restore counts only some
            self.only_noise = int(match[1]) <= self._noise


def _is_consequence(why: str) -> bool:
    """Whether it only says that a worker ended, whose own error may come later."""
    return why.startswith(("a worker process died", "worker process failed"))
