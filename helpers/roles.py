"""The roles of globals.sql: which of them a server lacks, and what makes only those."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from . import sqltext
from .errors import RefusedError

_DEFAULTS = (
    "NOSUPERUSER",
    "INHERIT",
    "NOCREATEROLE",
    "NOCREATEDB",
    "NOLOGIN",
    "NOREPLICATION",
    "NOBYPASSRLS",
)
"""What a new role is anyway; to say some of it takes a superuser."""

_ATTRIBUTES = (
    "SUPERUSER",
    "NOINHERIT",
    "CREATEROLE",
    "CREATEDB",
    "LOGIN",
    "REPLICATION",
    "BYPASSRLS",
)
_SKIPPED = (
    ("SET",),
    ("CREATE", "TABLESPACE"),
    ("ALTER", "TABLESPACE"),
    ("COMMENT", "ON", "TABLESPACE"),
    ("SECURITY", "LABEL"),
)


@dataclass(frozen=True)
class Plan:
    """The roles to make, the statements that make them, and what of the file is left to people."""

    roles: tuple[str, ...]
    statements: tuple[str, ...]
    skipped: tuple[str, ...]


def plan(text: str, existing: Collection[str]) -> Plan:
    """What to do so that a server with the roles `existing` has all those of globals.sql.

    A role that exists is never changed: no attribute, setting or membership of it. Raises
    RefusedError if there is anything in the text that does not belong there.
    """
    try:
        words = sqltext.statements(text)
        made = {sqltext.name(s[2]) for s in words if s[:2] == ("CREATE", "ROLE") and len(s) == 3}
        missing = made - set(existing)
        known = made | set(existing)
        planned = [
            statement for one in words for role, statement in _about(one, known) if role in missing
        ]
    except ValueError as error:
        raise RefusedError(
            f"globals.sql holds something else than roles: {error}.",
            "Read it, and make the roles by hand.",
        ) from None
    skipped = [" ".join(s[:4]) for s in words if s[0] != "SET" and _is_skipped(s)]
    return Plan(tuple(sorted(missing)), tuple(planned), tuple(skipped))


def _about(words: tuple[str, ...], known: set[str]) -> Iterator[tuple[str, str]]:
    """The role that a statement changes, and the statement as it shall be run."""
    match words:
        case ("CREATE", "ROLE", role):
            yield sqltext.name(role), f"CREATE ROLE {role}"
        case ("ALTER", "ROLE", role, "WITH", *attributes):
            if kept := " ".join(_attributes(attributes)):
                yield sqltext.name(role), f"ALTER ROLE {role} WITH {kept}"
        case ("ALTER", "ROLE", role, "SET", setting, "TO", *values) if values:
            yield sqltext.name(role), f"ALTER ROLE {role} SET {setting} TO {' '.join(values)}"
        case ("COMMENT", "ON", "ROLE", role, "IS", said):
            yield sqltext.name(role), f"COMMENT ON ROLE {role} IS {said}"
        case ("GRANT", role, "TO", member, *rest):
            options = _membership(rest)
            if sqltext.name(role) in known:
                yield sqltext.name(member), f"GRANT {role} TO {member}{options}"
        case _ if not _is_skipped(words):
            raise ValueError(" ".join(words)[:80])


def _is_skipped(words: tuple[str, ...]) -> bool:
    grants_object = words[0] in {"GRANT", "REVOKE"} and "ON" in words
    return grants_object or any(words[: len(start)] == start for start in _SKIPPED)


def _attributes(words: list[str]) -> Iterator[str]:
    """The attributes that a new role does not have by itself; never a password."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _ATTRIBUTES:
            yield word
        elif word == "CONNECTION" and rest[:1] == ["LIMIT"] and rest[1:2]:
            yield f"CONNECTION LIMIT {int(rest[1])}"
            del rest[:2]
        elif word == "VALID" and rest[:1] == ["UNTIL"] and rest[1:2] and rest[1][0] in "'eE":
            yield f"VALID UNTIL {rest[1]}"
            del rest[:2]
        elif word == "PASSWORD" and rest:
            del rest[:1]
        elif word not in _DEFAULTS:
            raise ValueError(f"an attribute {word[:40]!r}")


def _membership(words: list[str]) -> str:
    """The options of a membership; who granted it need not exist here."""
    rest = list(words)
    if rest[-3:-1] == ["GRANTED", "BY"]:
        del rest[-3:]
    if rest and (rest[0] != "WITH" or not all(w.isalpha() or w == "," for w in rest)):
        raise ValueError(f"a membership {' '.join(words)[:60]!r}")
    return f" {' '.join(rest)}" if rest else ""
