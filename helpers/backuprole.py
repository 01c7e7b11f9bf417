"""Make the least role that can back up a database, or bring it up to date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from . import conninfo, grants, postgres, rolesql, scram
from .errors import ConfigError, DatabaseError, RefusedError, ToolError
from .grants import Role, State, Wish
from .postgres import Session

_POWERS = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION")
_OF_THE_ADMINISTRATOR = ("passfile", "sslcert", "sslkey", "service")


def _name(value: str) -> str:
    if conninfo.flaw(value) or not 0 < len(value.encode()) <= 63:
        raise ValueError("is no name: 1 to 63 bytes, without control characters")
    if value.startswith("pg_") or value in {"public", "none"}:
        raise ValueError("is a name that PostgreSQL keeps for itself")
    return value


def _connection(value: str) -> str:
    if complaints := list(conninfo.flaws(conninfo.parse(value))):
        raise ValueError("; ".join(complaints))
    return value


class Request(BaseModel):
    """What is asked for: the administrator's connection (a URL or keyword=value pairs), and the
    role. Without a password the role's stays as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    admin: Annotated[str, AfterValidator(_connection)] = Field(repr=False)
    database: str = Field(min_length=1)
    name: Annotated[str, AfterValidator(_name)] = "pgbackup"
    password: str = Field(default="", repr=False)
    bypassrls: bool = False
    grants: bool = False
    makers: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, str]:
        """Where the administrator connects: to the very database."""
        return {**conninfo.parse(self.admin), "dbname": self.database}


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be, and what the administrator should know."""

    name: str
    database: str
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def read(text: str) -> Request:
    """A request from its JSON; ConfigError without a word of what it holds."""
    try:
        return Request.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        said = [f"{'.'.join(map(str, one['loc'])) or 'request'}: {one['msg']}" for one in found]
        raise ConfigError(
            f"The request for a role is not right: {'; '.join(said)}.",
            "It is one JSON object on standard input: see playbooks/roles/backup_role/README.md.",
        ) from None


def ensure(request: Request, *, dry_run: bool) -> Outcome:
    """See that the role is there and can back up the database; with `dry_run` only say how.

    RefusedError if a role of that name may do more than read, and nothing is changed then.
    """
    with postgres.connect(request.parameters) as session:
        wish, state = _state(session, request)
        _refuse(wish, state)
        state = replace(state, verifier=_verifier(session, request, state.role))
        todo = grants.steps(wish, state)
        if todo and not dry_run:
            _apply(session, request, [step.statement for step in todo])
        said = grants.warnings(wish, state)
    return Outcome(request.name, request.database, tuple(step.said for step in todo), tuple(said))


def _state(session: Session, request: Request) -> tuple[Wish, State]:
    facts = session.facts()
    if facts.in_recovery:
        raise ConfigError(
            f"The server of {facts.database} is a standby: no role can be made there.",
            "Connect to the primary; the standby gets the role from it.",
        )
    major = facts.major
    read_all = major >= grants.READ_ALL_DATA and not request.grants
    role = _role(session, request.name)
    named = {
        "role": request.name,
        "holder": request.name if role else "public",
        "oid": role.oid if role else 0,
        "read_all": read_all,
        "makers": list(request.makers),
    }
    if unknown := [row[0] for row in session.query(rolesql.UNKNOWN_ROLES, **named)]:
        raise ConfigError(f"There is no role {grants.some(unknown)}.", "Check `makers`.")
    large_objects = bool(session.query(rolesql.LARGE_OBJECTS)[0][0])
    kinds = grants.default_kinds(major, read_all=read_all, large_objects=large_objects)
    newer = major >= grants.LARGE_OBJECT_DEFAULTS
    of_objects = rolesql.UNREADABLE_LARGE_OBJECTS_18 if newer else rolesql.UNREADABLE_LARGE_OBJECTS
    covered = read_all and major >= grants.LARGE_OBJECTS_READ
    state = State(
        major=major,
        role=role,
        connects=bool(session.query(rolesql.CONNECTS, **named)[0][0]),
        reads_all=bool(role and read_all and session.query(rolesql.READS_ALL, **named)[0][0]),
        unreadable=[
            *([] if read_all else session.query(rolesql.UNREADABLE, **named)),
            *([] if covered else session.query(of_objects, **named)),
        ],
        uncovered=session.query(rolesql.UNCOVERED, **named, kinds=kinds) if kinds else [],
        filtered=[row[0] for row in session.query(rolesql.ROW_SECURITY, **named)],
        excess=[row[0] for row in session.query(rolesql.EXCESS, **named)] if role else [],
        public=[row[0] for row in session.query(rolesql.PUBLIC, **named)],
        large_objects=large_objects,
    )
    return Wish(request.name, request.database, request.bypassrls, read_all), state


def _role(session: Session, name: str) -> Role | None:
    for oid, login, inherits, bypasses, expired, *powers in session.query(rolesql.ROLE, role=name):
        held = tuple(power for power, has in zip(_POWERS, powers, strict=True) if has)
        return Role(oid, login, inherits, bypasses, expired, held)
    return None


def _refuse(wish: Wish, state: State) -> None:
    if found := grants.excess(wish, state):
        raise RefusedError(
            f"Role {wish.name} is there and may do more than a backup needs: "
            f"it {'; it '.join(found[:10])}{f'; and {len(found) - 10} more' * (len(found) > 10)}.",
            "Take that from it, or name another role. Nothing was changed.",
        )


def _verifier(session: Session, request: Request, role: Role | None) -> str | None:
    """The hash to set, made here so that the password itself is in no server's log; or None."""
    if not request.password or (role and _password_fits(session, request)):
        return None
    return session.verifier(request.password, request.name)


def _password_fits(session: Session, request: Request) -> bool:
    """Whether the role has this password: by its hash for a superuser, else by logging in."""
    if session.query(rolesql.READS_PASSWORDS)[0][0]:
        stored = session.query(rolesql.PASSWORD, role=request.name)[0][0]
        if (answer := scram.fits(stored, request.password)) is not None:
            return answer
    wanted = {key: v for key, v in request.parameters.items() if key not in _OF_THE_ADMINISTRATOR}
    try:
        with postgres.connect(
            {**wanted, "user": request.name, "password": request.password}
        ) as login:
            return login.by_password
    except DatabaseError:
        return False


def _apply(session: Session, request: Request, statements: list[str]) -> None:
    """Do it in one transaction, which is committed only if the role then lacks nothing.

    A GRANT by somebody who has no right to it is a mere warning of the server.
    """
    do = (
        "Connect as a superuser; or as a role with CREATEROLE that owns the database's objects "
        "and, from PostgreSQL 16 on, has ADMIN OPTION on pg_read_all_data. Nothing was changed."
    )
    try:
        session.execute("BEGIN; SET LOCAL lock_timeout = '10s'")
        session.execute("; ".join(statements))
        left = grants.steps(*_state(session, request))
    except (DatabaseError, ToolError) as error:
        raise type(error)(error.what, do) from error
    if left:
        what = grants.some([step.said for step in left])
        raise DatabaseError(f"The administrator could not {what}.", do)
    session.execute("COMMIT")
