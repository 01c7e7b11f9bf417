"""Where a restore goes: the database that --to means, and whether it is production."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from . import conninfo, postgres
from .errors import BackupError, ConfigError, RefusedError
from .manifest import Manifest
from .settings import Settings
from .target import NAME_BYTES, Place

NAMES = frozenset({"prod", "production"})


@dataclass(frozen=True)
class Production:
    """The settings of every environment of production that has an env file here.

    Those of `unknown` cannot be read, or are wrong.
    """

    known: tuple[Settings, ...] = ()
    unknown: tuple[str, ...] = ()


def is_connection(to: str) -> bool:
    """Whether --to is a URL or conninfo rather than a database's name."""
    return "://" in to or "=" in to


def place(to: str | None, own: Settings | None) -> Place:
    """The database that --to means: a name is one on the environment's server.

    Without --to it is the environment's own database. Raises ConfigError, RefusedError.
    """
    if to is not None and is_connection(to):
        try:
            found = conninfo.parse(to)
        except ValueError as error:
            raise ConfigError(f"--to cannot be read: {error}.", "Correct it.") from None
    else:
        found = dict(own.connection.parameters) if own else {}
        found |= {"dbname": to} if to is not None else {}
    database = found.get("dbname", "")
    if not database or len(database.encode()) > NAME_BYTES:
        raise ConfigError(
            "--to names no database, or one whose name is too long.",
            "Write a database's name, or a URL that ends with one.",
        )
    if database in {"template0", "template1"}:
        raise RefusedError(f"{database} is a template of the server's.", "Name another database.")
    return Place(found, database)


def warnings(to: str | None) -> tuple[str, ...]:
    """What a person should know of how they said --to."""
    if to is None or not is_connection(to) or "password" not in conninfo.parse(to):
        return ()
    return (
        "every user of this machine can see the password in --to while it runs: leave it out, "
        "and use PGPASSWORD or ~/.pgpass",
    )


def refuse_password(to: object) -> None:
    """ConfigError if a --to that goes to another machine, word by word, holds a password."""
    if isinstance(to, str) and warnings(to):
        raise ConfigError(
            "--to holds a password, which every user of both machines could see.",
            "Leave it out: give the host's user a ~/.pgpass, or name a database of the "
            "environment's own server.",
        )


def pinned(place: Place) -> tuple[Place, str | None]:
    """The same place on the very server that answers, and that server's system identifier.

    A list of hosts might lead to another one later.
    """
    with postgres.connect(place.near(place.neighbour)) as session:
        target, identifier = session.target(), session.facts().system_identifier
    reached = postgres.parameters(target.conninfo) | {"dbname": place.database}
    reached |= {"password": target.password} if target.password else {}
    return Place(reached, place.database), identifier


def production(
    place: Place,
    own: Settings | None,
    described: Production,
    source: Manifest,
    system_identifier: str | None,
) -> str | None:
    """Why the target is taken for production; None if nothing says so.

    `own` are the settings whose server it is on, None where a URL names it.
    """
    if own and own.environment in NAMES:
        return f"the environment is {own.environment}"
    for other in described.known:
        parameters = other.connection.parameters
        if other.environment in NAMES and (
            _same(place, parameters) or _leads_there(place, parameters, system_identifier)
        ):
            return f"it is the database of environment {other.environment}"
    if (
        source.backup.environment in NAMES
        and source.database.name == place.database
        and system_identifier is not None
        and source.database.system_identifier == system_identifier
    ):
        return "it is the very database that the backup was made of"
    return None


def doubt(place: Place, own: Settings | None, described: Production) -> str | None:
    """Why nobody can tell that the target is not production; None if it can be told."""
    if own and own.connection.parameters.get("dbname") == place.database:
        return None
    if not described.unknown:
        return None
    return f"the env file of {' and '.join(described.unknown)} cannot be read, or is wrong"


def _same(place: Place, parameters: Mapping[str, str]) -> bool:
    """Whether two connections lead to one database, by one of their addresses."""
    if parameters.get("dbname") != place.database:
        return False
    return bool(_addresses(place.parameters) & _addresses(parameters))


def _leads_there(
    place: Place, parameters: Mapping[str, str], system_identifier: str | None
) -> bool:
    """Whether a connection leads to the database by an address that does not tell: through a
    tunnel, a proxy, another name of the server, or a connection service.
    """
    if parameters.get("dbname", place.database) != place.database:
        return False
    try:
        with postgres.connect(parameters) as session:
            facts, reached = session.facts(), postgres.parameters(session.target().conninfo)
    except BackupError:
        return False  # what cannot be reached is not what has just answered
    same_server = None not in {system_identifier, facts.system_identifier} and (
        system_identifier == facts.system_identifier
    )
    return facts.database == place.database and (same_server or _same(place, reached))


def _addresses(parameters: Mapping[str, str]) -> set[tuple[str, str]]:
    hosts = [*parameters.get("hostaddr", "").split(","), *parameters.get("host", "").split(",")]
    ports = parameters.get("port", "5432").split(",")
    found = set()
    for host in filter(None, hosts) if any(hosts) else [""]:
        for address in _resolved(host):
            found |= {(address, port or "5432") for port in ports}
    return found


def _resolved(host: str) -> set[str]:
    """The addresses of a host; a socket directory and every loopback address are this machine."""
    if not host or host.startswith(("/", "@")):
        return {"here"}
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return {host}
    local = any(a.startswith("127.") or a == "::1" for a in addresses)
    return addresses | {host} | ({"here"} if local else set())
