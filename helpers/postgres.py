"""The only module that knows psycopg: connect, ask, lock, and share one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import conninfo, sql
from psycopg.pq import PGconn, Ping, TransactionStatus

from . import queries
from .catalog import Column, Facts, Table, Target
from .errors import BackupError, DatabaseError, Interruption, ReplayConflictError, ToolError

LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""libpq's waiting times, in seconds (tcp_user_timeout in milliseconds): by default a dead link
keeps a client waiting for hours."""

_SESSION = """
SET statement_timeout = 0; SET search_path = ''; SET idle_in_transaction_session_timeout = 0;
SET row_security = off; SET client_encoding = 'UTF8'; SET max_parallel_workers_per_gather = 0;
"""
_SNAPSHOT_ATTEMPTS = 10
_CANCEL_SECONDS = 5.0
_COUNTED_AT_ONCE = 50


class Session:
    """A connection to the database that is backed up; errors come out as BackupError."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._reason: str | None = None

    def lost(self) -> str | None:
        """Why the server no longer answers on this connection; None if it does."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # only the first one to ask is told the reason
            self._reason = self._reason or " ".join(str(error).split())
        except psycopg.Error:
            pass  # it answers, if only with an error
        return self._reason

    def query(
        self, statement: str | sql.Composable, *values: object, **named: object
    ) -> list[tuple[Any, ...]]:
        """All rows of one statement, whose %s or %(name)s stand for the values."""
        with _translated():
            given = values or named or None
            cursor = self._connection.execute(statement, given)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description is not None else []

    def execute(self, script: str) -> None:
        """Run a script of our own that answers nothing."""
        with _translated():
            self._connection.execute(script.encode(), None)

    def facts(self) -> Facts:
        """What the server says of itself; the system identifier only where the role may read it."""
        row = self.query(queries.FACTS)[0]
        try:
            identifier: str | None = str(self.query(queries.SYSTEM_IDENTIFIER)[0][0])
        except DatabaseError:
            identifier = None
        return replace(Facts(*row), system_identifier=identifier)

    def text_settings(self) -> dict[str, str]:
        """The settings, by name, that the text of this database's rows depends on."""
        return dict(self.query(queries.TEXT_SETTINGS))

    def tables(self) -> list[Table]:
        """The tables that a dump of this database reads."""
        return [Table(*row) for row in self.query(queries.TABLES)]

    def columns(self, tables: Sequence[Table]) -> dict[int, list[Column]]:
        """Each table's columns by its oid, dropped ones left out."""
        found: dict[int, list[Column]] = {table.oid: [] for table in tables}
        for oid, name, kind, generated in self.query(queries.COLUMNS, list(found)):
            found[oid].append(Column(name, kind, generated))
        return found

    def sizes(self, tables: Sequence[Table]) -> dict[int, int]:
        """Each table's bytes on disk by its oid, TOAST included; the tables must be locked."""
        return dict(self.query(queries.SIZES, [table.oid for table in tables]))

    def count(self, tables: Sequence[Table]) -> dict[int, int]:
        """How many rows the snapshot has in each table by its oid, children left out."""
        found: dict[int, int] = {}
        for start in range(0, len(tables), _COUNTED_AT_ONCE):
            counts = (
                sql.SQL("SELECT {}::int8, pg_catalog.count(*) FROM ONLY {}").format(
                    sql.Literal(table.oid), sql.Identifier(table.schema, table.name)
                )
                for table in tables[start : start + _COUNTED_AT_ONCE]
            )
            found |= dict(self.query(sql.SQL(" UNION ALL ").join(counts)))
        return found

    def rows(self, schema: str, name: str) -> int:
        """How many rows one table has now, children left out."""
        table = sql.Identifier(schema, name)
        return int(self.query(sql.SQL("SELECT count(*) FROM ONLY {}").format(table))[0][0])

    def rows_made_with(self, schema: str, name: str) -> int:
        """How many of a table's rows were written by the transaction that made the table."""
        table = sql.Identifier(schema, name)
        made = sql.SQL("SELECT count(*) FROM ONLY {} AS t WHERE t.xmin = {}").format(
            table,
            sql.SQL(
                "(SELECT c.xmin FROM pg_catalog.pg_class c WHERE c.oid = {}::pg_catalog.regclass)"
            ).format(sql.Literal(table.as_string())),
        )
        return int(self.query(made)[0][0])

    def extensions(self) -> tuple[tuple[str, str, str], ...]:
        """Each extension's name, version and schema."""
        return tuple((row[0], row[1], row[2]) for row in self.query(queries.EXTENSIONS))

    def roles(self) -> tuple[str, ...]:
        """The roles that own, may use or are subject to policies of something in the database."""
        return tuple(str(row[0]) for row in self.query(queries.ROLES))

    def large_objects(self) -> int:
        """How many large objects there are."""
        return int(self.query(queries.LARGE_OBJECTS)[0][0])

    def verifier(self, password: str, user: str) -> str:
        """What a server keeps of a password, made here: the server never sees the password."""
        pgconn = self._connection.pgconn
        return pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()

    @property
    def by_password(self) -> bool:
        """Whether the server asked for the password, so that it is known to be right."""
        return bool(self._connection.pgconn.used_password)

    def copy_out(self, statement: str, encoding: str, sink: Callable[[bytes], None]) -> int:
        """Run a COPY TO STDOUT on the connection that holds the locks: how many rows it gave.

        Text comes in `encoding`, the server's.
        """
        self.execute(f"SET LOCAL client_encoding = '{encoding}'")
        with _translated(), self._connection.cursor() as cursor:
            with cursor.copy(statement.encode()) as copy:
                for block in copy:
                    sink(bytes(block))
            rows = cursor.rowcount
        self.execute("SET LOCAL client_encoding = 'UTF8'")
        return rows

    def abandon(self) -> None:
        """End what the server is doing for us, and the connection, without waiting for an answer.

        A server that waits for a lock, or computes, does not notice that its client is gone.
        """
        if self._connection.info.transaction_status is TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
        self._connection.close()

    def target(self) -> Target:
        """The server that this session reached, as the stock clients shall reach it."""
        info = self._connection.info
        parameters = info.get_parameters()
        for unwanted in ("service", "passfile", "client_encoding", "hostaddr"):
            parameters.pop(unwanted, None)
        if parameters.get("sslcertmode") == "allow":
            del parameters["sslcertmode"]  # the default, which clients before 16 do not know
        parameters |= {"host": info.host, "port": str(info.port), "dbname": info.dbname}
        asked = parameters.get("sslmode", "prefer") in {"require", "verify-ca", "verify-full"}
        target = Target(
            conninfo.make_conninfo(**parameters),
            info.dbname,
            info.password,
            bool(asked or self._connection.pgconn.ssl_in_use),
        )
        # pg_dump lifts it after its first queries, pg_dumpall never; a pooler may take no options
        limited = self.query(queries.STATEMENTS_LIMITED)[0][0]
        return with_settings(target, {"statement_timeout": "0"}) if limited else target

    @contextmanager
    def snapshot(self, lock_timeout: int) -> Iterator[tuple[str, list[Table]]]:
        """Lock every table, then export a snapshot: its name, and the tables it has.

        The locks come first: a snapshot taken before them can read a table that is truncated or
        rewritten in between as empty, without an error. `lock_timeout` in seconds bounds the wait
        for each table. The list is read again under the snapshot; a table that came or went in
        the meantime starts it over.
        """
        self.execute(f"SET lock_timeout = '{lock_timeout}s'")
        for _ in range(_SNAPSHOT_ATTEMPTS):
            taken = self._try_snapshot(lock_timeout)
            if taken:
                break
        else:
            raise ToolError(
                "Tables came and went while they were being locked, ten times in a row.",
                "Run the backup again when the migration is over.",
            )
        try:
            yield taken
        except Interruption:
            raise  # nobody shall wait for the answer: the connection ends
        except BaseException:
            self._roll_back()
            raise
        self._roll_back()

    def _roll_back(self) -> None:
        with suppress(BackupError):
            self.execute("ROLLBACK")

    def _try_snapshot(self, lock_timeout: int) -> tuple[str, list[Table]] | None:
        wanted = self.tables()
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            self._lock(wanted)
            name = str(self.query("SELECT pg_catalog.pg_export_snapshot()")[0][0])
            seen = self.tables()
            if {table.oid for table in seen} <= {table.oid for table in wanted}:
                return name, seen
        except psycopg.errors.LockNotAvailable as error:
            self.execute("ROLLBACK")
            raise self._blocked(wanted, lock_timeout) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            pass  # dropped since it was listed
        except psycopg.Error as error:
            raise translate(error) from error
        self.execute("ROLLBACK")
        return None

    def _lock(self, tables: Sequence[Table]) -> None:
        names = sql.SQL(", ").join(
            sql.SQL("ONLY {}").format(sql.Identifier(table.schema, table.name)) for table in tables
        )
        if tables:
            self._connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))

    def _blocked(self, tables: Sequence[Table], seconds: int) -> ToolError:
        rows = self.query(queries.BLOCKERS, [table.oid for table in tables])
        who = "; ".join(f"{name} by process {pid} of {user} {app}" for name, pid, user, app in rows)
        return ToolError(
            f"A table stayed locked for more than {seconds} s ({who or 'by a session now gone'}).",
            "Run the backup again when that session is done, or raise BACKUP_LOCK_TIMEOUT.",
        )


@contextmanager
def connect(parameters: Mapping[str, str]) -> Iterator[Session]:
    """A session on the database that libpq's `parameters` name; DatabaseError if there is none."""
    with _translated():
        connection = psycopg.connect(
            conninfo.make_conninfo(**{"fallback_application_name": "pgbackup", **LIMITS}),
            autocommit=True,
            **dict(parameters),  # type: ignore[arg-type]
        )
    with connection:
        session = Session(connection)
        session.execute(_SESSION)
        if connection.info.server_version >= 170000:
            session.execute("SET transaction_timeout = 0")
        try:
            yield session
        except Interruption:
            session.abandon()
            raise


def rejects(parameters: Mapping[str, str]) -> bool:
    """Whether a server is there, but takes no connections yet, or no more (libpq's PQping)."""
    quick = {**parameters, "connect_timeout": "2"}  # one that rejects says so at once
    return PGconn.ping(conninfo.make_conninfo(**quick).encode()) == Ping.REJECT


def parameters(url: str) -> dict[str, str]:
    """The libpq keywords in a connection URL."""
    return {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()}


def with_settings(target: Target, settings: Mapping[str, str]) -> Target:
    """The same target, whose sessions begin with these server settings besides its own.

    A value must not have blanks.
    """
    if not settings:
        return target
    given = conninfo.conninfo_to_dict(target.conninfo).get("options") or ""
    added = (f"-c {name}={value}" for name, value in settings.items())
    options = " ".join(filter(None, (str(given), *added)))
    return replace(target, conninfo=conninfo.make_conninfo(target.conninfo, options=options))


def translate(error: psycopg.Error) -> DatabaseError | ToolError:
    """A driver's error in our own words; the server's sentence is kept, on one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return DatabaseError(
            f"The database refuses access: {said}.", "Grant the role pg_read_all_data (14+)."
        )
    if "conflict with recovery" in said:
        return ReplayConflictError(
            f"The standby server cancelled a query in favour of replay: {said}",
            "Set hot_standby_feedback on it, or raise its max_standby_streaming_delay.",
        )
    if isinstance(error, psycopg.errors.OutOfMemory):
        return DatabaseError(
            f"The server cannot lock so many tables: {said}.",
            "Raise max_locks_per_transaction on the server.",
        )
    if isinstance(error, psycopg.OperationalError):
        return DatabaseError(
            f"The database cannot be reached: {said}",
            "Check host, port, database, user, password and sslmode, and that the server runs.",
        )
    return ToolError(f"The server answered with an error: {said}", "See the server's log.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error
