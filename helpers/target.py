"""The database that a restore is for: made beside its name, and given the name at the end."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from . import postgres, queries, threads
from .errors import BackupError, BusyError, RefusedError
from .postgres import Session
from .sqltext import quoted

NAME_BYTES = 63
"""A longer name is cut off by the server."""

RESTORING, REPLACED, RESTORED = "restoring", "replaced", "restored"
_MARK = "pgbackup: being restored, of no use"
_STAMP = "%Y%m%dT%H%M%SZ"
_END_SECONDS = 0.05
_LOOKS, _LOOK_SECONDS = 10, 0.1


@dataclass(frozen=True)
class Place:
    """A database's name, and how to reach its server."""

    parameters: Mapping[str, str]
    database: str

    def __repr__(self) -> str:
        return f"Place({self.database})"

    @property
    def shown(self) -> str:
        """The database and its server, for people."""
        server = self.parameters.get("host") or self.parameters.get("hostaddr") or "local socket"
        port = f":{self.parameters['port']}" if "port" in self.parameters else ""
        return f"{self.database} on {server}{port}"

    @property
    def neighbour(self) -> str:
        """The database to stand in while this one is made or renamed."""
        return "postgres" if self.database != "postgres" else "template1"

    def near(self, database: str) -> dict[str, str]:
        """How to reach another database on the same server."""
        return {**self.parameters, "dbname": database}

    def stamped(self, kind: str, now: datetime) -> str:
        """The name of a database that stands beside this one, cut to what a name may have."""
        return f"{self._stem}_{kind}_{now.strftime(_STAMP)}"

    def is_leftover(self, name: str) -> bool:
        """Whether a restore into this place would have called its database so."""
        return bool(re.fullmatch(rf"{re.escape(self._stem)}_{RESTORING}_\d{{8}}T\d{{6}}Z", name))

    @property
    def lock_key(self) -> int:
        """Two places whose databases beside them could bear the same name share it."""
        digest = hashlib.sha256(f"pgbackup restore {self._stem}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def _stem(self) -> str:
        room = NAME_BYTES - len(f"_{RESTORING}_{datetime.now(UTC).strftime(_STAMP)}")
        return self.database.encode()[:room].decode(errors="ignore")


@contextmanager
def standing_beside(place: Place) -> Iterator[Session]:
    """A session on the target's server that holds the lock of its name; BusyError if it is held.

    The lock is the session's, so that it ends with us, however that happens.
    """
    with postgres.connect(place.near(place.neighbour)) as session:
        if not session.query("SELECT pg_catalog.pg_try_advisory_lock(%s)", place.lock_key)[0][0]:
            raise BusyError(
                f"Another restore into {place.database} is running.", "Wait until it has ended."
            )
        yield session


@contextmanager
def beside(place: Place, session: Session, create: str, name: str) -> Iterator[None]:
    """Make the database `name` by the statement `create`; drop it unless all goes well.

    Nobody else may connect to it, and a mark tells the next restore that it may be dropped; until
    it bears that, which takes a second statement, nobody may connect at all, which is a mark too.
    """
    try:
        session.execute(f"{create} ALLOW_CONNECTIONS = false")
        session.execute(
            f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC;"
            f"COMMENT ON DATABASE {quoted(name)} IS '{_MARK}';"
            f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true"
        )
        yield
    except BaseException as error:
        session.abandon()  # which ends what makes the database, and the lock
        try:
            _drop(place, name)
        except BackupError as left:
            error.add_note(left.what)
            if isinstance(error, BackupError):
                error.do += f" {name} may be left there; the next restore removes it."
        raise


def sweep(place: Place, session: Session) -> list[str]:
    """Drop what restores that were killed left; the lock must be held."""
    rows = session.query(queries.UNFINISHED_DATABASES, _MARK)
    swept = [str(row[0]) for row in rows if place.is_leftover(str(row[0]))]
    for name in swept:
        session.execute(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
    return swept


def _drop(place: Place, name: str) -> None:
    """Drop the database beside; waits for the session that made it to be gone."""
    with postgres.connect(place.near(place.neighbour)) as session:
        session.execute("SET lock_timeout = '30s'")
        session.query("SELECT pg_catalog.pg_advisory_lock(%s)", place.lock_key)
        if session.query(queries.DATABASE, name):
            session.execute(f"DROP DATABASE {quoted(name)} WITH (FORCE)")


def definition(session: Session, database: str) -> list[str]:
    """The statements that make another database of that name what this one is to its users:
    owner, grants, connection limit, settings and comment, as the server has them.
    """
    rows = session.query(queries.DATABASE_DEFINITION, database=database)
    return [str(row[0]) for row in rows]


def sessions(session: Session, database: str) -> list[str]:
    """Who is connected to a database: process, role, program and address."""
    for _ in range(_LOOKS):
        found = [str(row[0]) for row in session.query(queries.CONNECTED, database)]
        if not found:
            break
        time.sleep(_LOOK_SECONDS)  # one that has just been closed is listed a moment longer
    return found


def swap(place: Place, session: Session, steps: list[str], end_sessions: bool) -> None:
    """Run the renames and what belongs to them in one transaction.

    The server lets no new session in meanwhile; those that are there are ended if wanted. Raises
    RefusedError if somebody stays.
    """
    script = "BEGIN;" + ";".join(steps) + ";COMMIT"
    done = threading.Event()
    ending = threads.beside(_end_sessions, place, done) if end_sessions else None
    try:
        session.execute(script)
    except BackupError as error:
        with suppress(BackupError):
            session.execute("ROLLBACK")
        if "being accessed by other users" in error.what:
            who = sessions(session, place.database)
            raise RefusedError(
                f"Somebody is connected to {place.database}: {'; '.join(who) or 'now gone'}.",
                "Run it again with --end-sessions, or end them and rename both databases yourself.",
            ) from error
        raise
    finally:
        done.set()
        if ending:
            ending.join()


def _end_sessions(place: Place, done: threading.Event) -> None:
    with suppress(BackupError), postgres.connect(place.near(place.neighbour)) as session:
        while not done.wait(_END_SECONDS):
            session.query(queries.END_SESSIONS, place.database)
