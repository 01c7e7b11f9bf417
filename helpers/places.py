"""Where a drill restores: a server of its own, or a database of its own on a server it is given."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import clients, postgres
from .catalog import major
from .clients import Client
from .errors import BackupError, ConfigError, StorageError, ToolError
from .files import storage_errors
from .manifest import Manifest
from .postgres import Session
from .scratch import UNSAFE_BUT_FAST, ScratchServer
from .sqltext import quoted
from .toc import Toc

PREFIX = "pgbackup-drill-"
DATABASE = "pgbackup_drill_"
_LEFTOVER = re.compile(rf"{DATABASE}[0-9a-f]{{12}}")
_YOUNG_SECONDS = 600.0
"""A directory without a lock yet is left alone for so long: its drill may just have begun."""

_LOCK = "lock"
_ROOM = 256 << 20
"""Bytes that an empty server and its write-ahead log take."""


@dataclass(frozen=True)
class Subject:
    """The backup that is drilled, and how many tables at once."""

    directory: Path
    found: Manifest
    contents: Toc
    jobs: int


@dataclass(frozen=True)
class Place:
    """A new, empty database. `admin` and `loader` are libpq parameters: on the drill's own server
    a superuser, and a role that may write the data but is none.

    `replaced` says that the database's collation is another than the source's.
    """

    admin: Mapping[str, str] = field(repr=False)
    loader: Mapping[str, str] = field(repr=False)
    client: Client
    server_major: int
    own: bool
    owners: bool
    replaced: bool
    memory: int
    notes: tuple[str, ...] = ()


@contextmanager
def own_server(directory: Path | None, subject: Subject) -> Iterator[Place]:
    """A server that lives as long as the drill; it and its directory are gone afterwards.

    Raises StorageError, ConfigError or ToolError.
    """
    found, jobs = subject.found, subject.jobs
    parent = directory or Path(tempfile.gettempdir())
    with storage_errors(parent):
        sweep(parent)
        _check_room(parent, found)
        home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        home.chmod(0o711)
    try:
        with _marked(home):
            admin = f"drill_{secrets.token_hex(8)}"
            memory = _memory()
            server = ScratchServer(
                home / "server",
                bound=True,
                settings=_sizes(memory, jobs, len(found.tables)),
                superuser=admin,
                confined=True,
            )
            with server:
                yield _furnished(server, found, jobs, memory)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def sweep(parent: Path) -> list[str]:
    """Remove what killed drills left in a directory; raises OSError if it cannot be listed."""
    swept = []
    for entry in list(os.scandir(parent)):
        mine = entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
        if mine and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
            home = Path(entry.path)
            with _unless_used(home) as free:
                if free:
                    ScratchServer(home / "server").remove()
                    shutil.rmtree(home, ignore_errors=True)
                    swept.append(entry.name)
    return swept


@contextmanager
def _marked(home: Path) -> Iterator[None]:
    """Hold the lock that tells a drill's directory from what a killed one left."""
    descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _unless_used(home: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        yield time.time() - home.stat().st_mtime > _YOUNG_SECONDS
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
            return
        yield False
    finally:
        os.close(descriptor)


def _check_room(parent: Path, found: Manifest) -> None:
    need = found.database.size + _ROOM
    state = os.statvfs(parent)
    free = state.f_bavail * state.f_frsize
    if free < need:
        raise StorageError(
            f"A drill needs {need / 1e6:,.0f} MB in {parent}, where {free / 1e6:,.0f} MB are free.",
            "Free some space there, or name another place in BACKUP_DRILL_DIR.",
        )


def _memory() -> int:
    """This machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sizes(memory: int, jobs: int, tables: int) -> dict[str, str]:
    """Settings of a server whose data need not outlive it, and that has no one else to serve."""
    return {
        **UNSAFE_BUT_FAST,
        "shared_buffers": f"{max(64, min(memory >> 22, 2048))}MB",
        "max_connections": str(jobs * 2 + 20),
        "max_locks_per_transaction": str(max(256, tables // 4)),
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "1h",
        "autovacuum": "off",
        "max_worker_processes": str(8 + jobs),
        "max_parallel_workers": str(jobs),
    }


def _furnished(server: ScratchServer, found: Manifest, jobs: int, memory: int) -> Place:
    """The server with the archive's roles, and a database like the source's."""
    admin = postgres.parameters(server.url())
    loader, password = f"drill_{secrets.token_hex(8)}", secrets.token_hex(16)
    with postgres.connect(admin) as session:
        session.execute(f"CREATE ROLE {loader} LOGIN BYPASSRLS PASSWORD '{password}'")
        session.execute(f"GRANT pg_read_all_data, pg_write_all_data TO {loader}")
        for role in found.roles:
            if not role.startswith("pg_"):
                session.execute(f"CREATE ROLE {quoted(role)}")
                session.execute(f"GRANT {quoted(role)} TO {loader}")
        notes = _create(session, "drill", found, f" OWNER {loader}")
        server_major = session.facts().major
        client = clients.find(server_major, tls=False, pg_bin=server.bin_dir)
    inside = {**admin, "dbname": "drill"}
    return Place(
        admin=inside,
        loader={**inside, "user": loader, "password": password},
        client=client,
        server_major=server_major,
        own=True,
        owners=True,
        replaced=bool(notes),
        memory=max(64 << 20, min(memory // 4 // jobs, 2 << 30)),
        notes=notes,
    )


def _create(session: Session, name: str, found: Manifest, options: str) -> tuple[str, ...]:
    """Make a database in the source's encoding, and its collation if the server has it."""
    encoding, collation = found.database.encoding, found.database.collation
    if not re.fullmatch(r"\w+", encoding):
        raise ConfigError(f"The manifest names no encoding: {encoding!r}.", "Verify the backup.")
    start = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'{options}"
    text = "'" + collation.replace("'", "''") + "'"
    try:
        session.execute(f"{start} LC_COLLATE {text} LC_CTYPE {text}")
    except ToolError as error:
        if "locale" not in error.what and "encoding" not in error.what:
            raise
    else:
        return ()
    session.execute(f"{start} LC_COLLATE 'C' LC_CTYPE 'C'")
    return (f"the server lacks the collation {collation}: the database was restored with C",)


@contextmanager
def at_url(parameters: Mapping[str, str], subject: Subject, pg_bin: Path | None) -> Iterator[Place]:
    """A database of the drill's own on a server that others may use; it is dropped afterwards.

    What killed drills left there is dropped too. Raises DatabaseError or ToolError.
    """
    name = DATABASE + secrets.token_hex(6)
    with postgres.connect(parameters) as session:
        _drop_leftovers(session)
        session.query(_LOCKS, name)
        try:
            yield _guest({**parameters, "dbname": name}, session, subject, pg_bin)
        finally:
            _drop(session, parameters, name)


_LOCKS = "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended(%s, 0))"
_LEFT = """
SELECT d.datname FROM pg_catalog.pg_database d
WHERE pg_catalog.starts_with(d.datname, %s)
  AND pg_catalog.pg_has_role(current_user, d.datdba, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)
"""


def _guest(
    inside: Mapping[str, str], session: Session, subject: Subject, pg_bin: Path | None
) -> Place:
    found = subject.found
    facts, target = session.facts(), session.target()
    needed = max(facts.major, major(str(subject.contents.header.dump_version)))
    client = clients.find(needed, tls=target.tls, pg_bin=pg_bin)
    notes = _create(session, inside["dbname"], found, "")
    known = {row[0] for row in session.query("SELECT rolname FROM pg_catalog.pg_roles")}
    missing = missing_roles(found.roles, known)
    if missing:
        notes += (
            f"the server lacks the role {', '.join(missing)}: nothing was given its owner, and "
            "neither owners nor privileges were compared",
        )
    return Place(
        admin=inside,
        loader=inside,
        client=client,
        server_major=facts.major,
        own=False,
        owners=not missing,
        replaced=any("collation" in note for note in notes),
        memory=256 << 20,
        notes=notes,
    )


def missing_roles(wanted: Collection[str], known: Collection[str]) -> list[str]:
    """The roles that a server lacks, in their order."""
    return sorted(set(wanted) - set(known))


def _drop_leftovers(session: Session) -> None:
    for (name,) in session.query(_LEFT, DATABASE):
        mine = _LEFTOVER.fullmatch(name)
        if mine and session.query(_LOCKS.replace("_advisory", "_try_advisory"), name)[0][0]:
            session.execute(f"DROP DATABASE IF EXISTS {name}")
            session.query(_LOCKS.replace("_lock(", "_unlock("), name)


def _drop(session: Session, parameters: Mapping[str, str], name: str) -> None:
    """Drop the database; by a new connection where ours was cut off to end a query."""
    statement = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    try:
        session.execute(statement)
    except BackupError:
        with suppress(BackupError), postgres.connect(parameters) as again:
            again.execute(statement)
