"""What a role still lacks to back up a database, and what it has too much of (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

LARGE_OBJECT_DEFAULTS: Final = 18
"""The first major that knows default privileges on large objects (release notes 18)."""

LARGE_OBJECTS_READ: Final = 19
"""The first major whose pg_read_all_data reads large objects (release notes 19)."""

READ_ALL_DATA: Final = 14
"""The first major that has pg_read_all_data."""

KINDS: Final = {"r": "TABLES", "S": "SEQUENCES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
"""What default privileges are of, by pg_default_acl.defaclobjtype."""

_CHUNK = 1000
_NAMED = 5


@dataclass(frozen=True)
class Role:
    """A role as pg_roles shows it; `powers` are attributes that no backup needs."""

    oid: int
    login: bool
    inherits: bool
    bypasses: bool
    expired: bool
    powers: tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """What the role shall be; `read_all` is by pg_read_all_data, else by grants."""

    name: str
    database: str
    bypass: bool
    read_all: bool


@dataclass(frozen=True)
class State:
    """What there is. `verifier` is the hash that the role's password shall have, None if it has.

    `unreadable`: kind and quoted name of what it cannot read; `uncovered`: quoted owner, kind and
    whether the administrator may speak for that owner, of what it could not read once it is made.
    """

    major: int
    role: Role | None
    connects: bool
    reads_all: bool
    verifier: str | None = field(default=None, repr=False)
    unreadable: Sequence[tuple[str, str]] = ()
    uncovered: Sequence[tuple[str, str, bool]] = ()
    filtered: Sequence[str] = ()
    excess: Sequence[str] = ()
    public: Sequence[str] = ()
    large_objects: bool = False


@dataclass(frozen=True)
class Step:
    """One change: what is said of it, and its SQL."""

    said: str
    statement: str = field(repr=False)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def default_kinds(major: int, *, read_all: bool, large_objects: bool) -> list[str]:
    """Of which kinds new objects need default privileges for the role to read them.

    Where pg_read_all_data does the rest, default privileges are only for databases that have
    large objects: they name the role, in every dump too.
    """
    kinds = [] if read_all else ["r", "S", "n"]
    uncovered = major < LARGE_OBJECTS_READ or not read_all
    if major >= LARGE_OBJECT_DEFAULTS and uncovered and large_objects:
        kinds.append("L")
    return kinds


def excess(wish: Wish, state: State) -> list[str]:
    """What an existing role may do beyond reading: reasons not to make it the backups' role."""
    if state.role is None:
        return []
    found = [f"has {power}" for power in state.role.powers]
    if state.role.bypasses and not wish.bypass:
        found.append("has BYPASSRLS, which was not asked for")
    return found + list(state.excess)


def steps(wish: Wish, state: State) -> list[Step]:
    """What is to be done, in this order; nothing if the role is as it shall be."""
    return [*_role(wish, state), *_reading(wish, state), *_future(wish, state)]


def _role(wish: Wish, state: State) -> Iterator[Step]:
    name, role = quoted(wish.name), state.role
    if role is None:
        yield Step(
            f"create role {name}",
            f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT",
        )
    else:
        if not role.login:
            yield Step(f"let {name} log in", f"ALTER ROLE {name} LOGIN")
        if not role.inherits:
            yield Step(f"let {name} inherit what it is granted", f"ALTER ROLE {name} INHERIT")
        if role.expired:
            yield Step(f"end the expiry of {name}", f"ALTER ROLE {name} VALID UNTIL 'infinity'")
    if state.verifier is not None:
        yield Step(f"set the password of {name}", f"ALTER ROLE {name} PASSWORD '{state.verifier}'")
    if wish.bypass and not (role and role.bypasses):
        yield Step(f"let {name} bypass row-level security", f"ALTER ROLE {name} BYPASSRLS")
    if not state.connects:
        place = quoted(wish.database)
        yield Step(f"let {name} connect to {place}", f"GRANT CONNECT ON DATABASE {place} TO {name}")


def _reading(wish: Wish, state: State) -> Iterator[Step]:
    name = quoted(wish.name)
    if wish.read_all and not state.reads_all:
        # From 16 on it is the grant, not the role, that says whether it is inherited.
        how = " WITH INHERIT TRUE" if state.major >= 16 else ""
        yield Step(f"grant pg_read_all_data to {name}", f"GRANT pg_read_all_data TO {name}{how}")
    for kind, rows in groupby(state.unreadable, key=lambda row: row[0]):
        if wish.read_all and kind != "LARGE OBJECT":
            continue
        names = [row[1] for row in rows]
        right = "USAGE" if kind == "SCHEMA" else "SELECT"
        for start in range(0, len(names), _CHUNK):
            part = names[start : start + _CHUNK]
            yield Step(
                f"grant {right} on {kind.lower()} {some(part)} to {name}",
                f"GRANT {right} ON {kind} {', '.join(part)} TO {name}",
            )


def _future(wish: Wish, state: State) -> Iterator[Step]:
    name = quoted(wish.name)
    for owner, kind, may in state.uncovered:
        if may:
            right = "USAGE" if kind == "n" else "SELECT"
            yield Step(
                f"grant {right} on {KINDS[kind].lower()} that {owner} will make to {name}",
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT {right} ON {KINDS[kind]} "
                f"TO {name}",
            )


def warnings(wish: Wish, state: State) -> list[str]:
    """What the administrator should know, though nothing is refused."""
    said = []
    name = quoted(wish.name)
    if state.filtered and not wish.bypass:
        said.append(
            f"Row-level security may hide rows of {some(state.filtered)} from {name}, and backups "
            "will refuse to run: ask for BYPASSRLS."
        )
    if state.large_objects and state.major < LARGE_OBJECT_DEFAULTS:
        said.append(
            f"PostgreSQL {state.major} has no default privileges on large objects, and "
            f"pg_read_all_data does not read them: {name} may read those there are now. "
            "A backup fails on the first one made later, until this is run again."
        )
    if owners := sorted({owner for owner, _, may in state.uncovered if not may}):
        said.append(
            f"This administrator cannot speak for {some(owners)}: what they make later, {name} "
            "may not read, and backups will refuse to run until this is run again."
        )
    if state.public:
        said.append(f"Every role, {name} too, may {some(state.public)}: granted to PUBLIC.")
    return said


def some(names: Sequence[str]) -> str:
    """A few names for a sentence; the rest is counted."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
