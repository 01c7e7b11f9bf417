"""Whether a server is ready to take a backup: everything that is missing, at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import queries
from .errors import BackupError
from .manifest import ExtensionPart
from .postgres import Session
from .sqltext import quoted

_SPARE_CONNECTIONS = 2
"""Besides its workers, pg_restore has a leader, and we have a session of our own."""


@dataclass(frozen=True)
class Server:
    """The target's server; sizes in bytes, `role_connections` None where there is no limit."""

    role: str
    superuser: bool
    createdb: bool
    in_recovery: bool
    connections: int
    role_connections: int | None
    shared_buffers: int
    maintenance_work_mem: int
    maintenance_workers: int
    parallel_workers: int
    data_directory: str | None
    started: int
    major: int

    @property
    def index_memory(self) -> int:
        """Bytes of memory that all index builds of a restore may take: the server's cache's size,
        which an administrator has made fit its memory.
        """
        return self.shared_buffers


@dataclass(frozen=True)
class Need:
    """What a backup needs of a server.

    `owners` are the roles that objects are given to, `locales` each with its provider.
    """

    major: int
    roles: frozenset[str]
    owners: frozenset[str]
    extensions: tuple[ExtensionPart, ...]
    locales: tuple[tuple[str, str], ...]
    encoding: str | None
    size: int
    jobs: int
    creates: bool


def server(session: Session) -> Server:
    """What the server says of itself and of our role."""
    return Server(*session.query(queries.RESTORE_SERVER)[0])


def problems(session: Session, found: Server, need: Need) -> list[str]:
    """What keeps the backup from being restored there: a sentence each, with what to do."""
    roles = {str(name): bool(member) for name, member in session.query(queries.ALL_ROLES)}
    offered = {
        str(name): (str(version), bool(untrusted))
        for name, version, untrusted in session.query(queries.AVAILABLE_EXTENSIONS)
    }
    return [
        *_server_problems(found, need),
        *role_problems(need, roles, superuser=found.superuser),
        *extension_problems(need.extensions, offered, superuser=found.superuser),
        *_locale_problems(session, found, need),
        *_space_problems(found, need),
    ]


def _server_problems(found: Server, need: Need) -> Iterable[str]:
    if found.major < need.major:
        yield (
            f"the server is PostgreSQL {found.major}, the backup of {need.major}: "
            f"restore into {need.major} or newer"
        )
    if found.in_recovery:
        yield "the server is a standby, which takes no writes: name the primary"
    if need.creates and not found.createdb:
        yield (
            f"role {found.role} may not make databases: ALTER ROLE {quoted(found.role)} CREATEDB"
        )
    wanted = need.jobs + _SPARE_CONNECTIONS
    limits: list[tuple[int | None, str]] = [(found.connections, "the server")]
    if not found.superuser:
        limits.append((found.role_connections, f"role {found.role}"))
    for free, whose in limits:
        if free is not None and free < wanted:
            yield (
                f"{whose} has {max(free, 0)} connections left, {need.jobs} jobs need {wanted}: "
                "lower BACKUP_JOBS, or end sessions"
            )


def role_problems(need: Need, roles: Mapping[str, bool], *, superuser: bool) -> Iterable[str]:
    """Roles that are missing, or that we may not give objects to; `roles`: are we a member?"""
    missing = sorted(need.roles - set(roles))
    if missing:
        yield (
            f"{_counted(missing, 'role')} missing: {', '.join(missing)}: make them with "
            "--globals or by hand, or restore with --no-owner"
        )
    foreign = sorted(role for role in need.owners & set(roles) if not roles[role])
    if foreign and not superuser:
        yield (
            f"objects cannot be given to {', '.join(foreign)}, since our role is no member of "
            "it: GRANT it, or restore with --no-owner"
        )


def extension_problems(
    wanted: Iterable[ExtensionPart], offered: Mapping[str, tuple[str, bool]], *, superuser: bool
) -> Iterable[str]:
    """Extensions that are missing, older than in the backup, or for superusers only.

    CREATE EXTENSION installs the server's default version, whatever the source had.
    """
    for extension in wanted:
        if extension.name == "plpgsql":
            continue
        version, untrusted = offered.get(extension.name, (None, False))
        if version is None:
            yield (
                f"extension {extension.name} {extension.version} is not installed on the server: "
                "install its package there"
            )
        elif _numbers(version) < _numbers(extension.version):
            yield (
                f"extension {extension.name} is {version} on the server, "
                f"{extension.version} in the backup: update its package there"
            )
        elif untrusted and not superuser:
            yield f"extension {extension.name} takes a superuser to create: restore as one"


def _locale_problems(session: Session, found: Server, need: Need) -> Iterable[str]:
    if not need.creates:
        return
    same_encoding = session.query("SELECT pg_catalog.getdatabaseencoding()") == [(need.encoding,)]
    for provider, locale in need.locales:
        least = {"icu": 15, "builtin": 17}.get(provider, 0)
        if found.major < least:
            yield f"the backup's collation is {provider}'s: restore into {least} or newer"
        elif provider != "builtin":
            why = _refused_locale(session, provider, locale)
            if re.search(r"could not (?:create|open)|not support|no such|does not exist", why):
                yield (
                    f"the server does not know the locale {locale!r} ({provider}): "
                    "generate it in its operating system, then restart it"
                )
            elif same_encoding and "does not match locale" in why:
                yield (
                    f"the server's locale {locale!r} is not of the backup's encoding, "
                    f"{need.encoding}: generate it for that in its operating system"
                )


def _refused_locale(session: Session, provider: str, locale: str) -> str:
    """What the server says against a locale; it is judged for the encoding of our session's
    database only.
    """
    literal = locale.replace("'", "''")
    try:
        session.execute(
            "BEGIN; CREATE COLLATION pg_temp.pgbackup_probe "
            f"(PROVIDER = {provider}, LOCALE = '{literal}'); ROLLBACK"
        )
    except BackupError as error:
        session.execute("ROLLBACK")
        return error.what
    return ""


def _space_problems(found: Server, need: Need) -> Iterable[str]:
    free = _free(found)
    if free is not None and free < need.size:
        yield (
            f"the server's disk has {free / 1e6:,.0f} MB free, the database took "
            f"{need.size / 1e6:,.0f} MB: make room"
        )


def _free(found: Server) -> int | None:
    """Bytes free where the server keeps its data, if that is on this very machine.

    A server elsewhere, or in a container, may have the same path: the time of its start, which
    the third line of its postmaster.pid holds, tells (utils/pidfile.h).
    """
    if not found.data_directory:
        return None
    place = Path(found.data_directory)
    try:
        lines = (place / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        if abs(int(lines[2]) - found.started) > 2:
            return None
        state = os.statvfs(place)
    except (OSError, ValueError, IndexError):
        return None
    return state.f_bavail * state.f_frsize


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _counted(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s are' if len(names) > 1 else ' is'}"
