"""A backup of a chat database, a way to restore it, and databases that are removed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..running import Ran, environment, pgbackup
from ..servers import Database, Server
from .disturbing import take

CHAT = """
CREATE SCHEMA app;
CREATE TABLE app.conversations (id int PRIMARY KEY, title text);
CREATE TABLE app.messages (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation int NOT NULL REFERENCES app.conversations,
    body text
);
CREATE INDEX messages_body ON app.messages (body);
INSERT INTO app.conversations SELECT n, 'title ' || n FROM generate_series(1, 50) AS n;
INSERT INTO app.messages (conversation, body)
    SELECT 1 + n % 50, 'body ' || n FROM generate_series(1, 2000) AS n;
"""


class Restoring:
    """A backup of a chat database, a way to restore it, and databases that are removed again."""

    def __init__(self, source: Database, store: Path, cwd: Path) -> None:
        self.source, self.store, self.cwd = source, store, cwd
        self.server = source.server
        self.env = environment(source.url, store)
        self.name = take(self.env, cwd)

    def run(self, *words: str, to: str | None = "target", file: str = "", **env: str) -> Ran:
        target = [f"--to={self.place(to)}"] if to else []
        return pgbackup(
            "restore",
            f"--file={file or self.name}",
            *target,
            *words,
            env=self.env | env,
            cwd=self.cwd,
        )

    def place(self, kind: str) -> str:
        return f"{self.source.name}_{kind}"

    def target(self, kind: str = "target") -> Database:
        return Database(self.place(kind), self.server)

    def make(self, kind: str = "target", script: str = "") -> Database:
        self.server.maintenance.execute(f'CREATE DATABASE "{self.place(kind)}"')
        if script:
            self.target(kind).execute(script)
        return self.target(kind)

    def databases(self) -> list[str]:
        """Those that begin with the source's name, without it."""
        rows = self.server.maintenance.query(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
            f"{self.source.name}_",
        )
        return [str(row[0]).removeprefix(f"{self.source.name}_") for row in rows]

    def counts(self, database: Database) -> list[tuple[int, ...]]:
        return database.query(
            "SELECT (SELECT count(*) FROM app.conversations), (SELECT count(*) FROM app.messages)"
        )


def restoring(source: Database, store: Path, cwd: Path) -> Iterator[Restoring]:
    source.execute(CHAT)
    made = Restoring(source, store, cwd)
    yield made
    for name in made.databases():
        source.server.maintenance.execute(f'DROP DATABASE "{source.name}_{name}" WITH (FORCE)')


def described(chat: Restoring, database: str) -> list[tuple[object, ...]]:
    return chat.server.maintenance.query(
        "SELECT pg_get_userbyid(datdba), (SELECT array_agg(a::text ORDER BY a::text) "
        "FROM unnest(datacl) a), shobj_description(oid, 'pg_database'), (SELECT array_agg("
        "setrole::regrole || setconfig::text ORDER BY setrole) FROM pg_db_role_setting "
        "WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = %s",
        database,
    )


def spoil(chat: Restoring) -> None:
    """A backup whose restore fails at its last step: a constraint that its rows do not meet."""
    chat.source.execute(
        "ALTER TABLE app.messages ALTER conversation DROP NOT NULL;"
        "SET session_replication_role = replica;"
        "INSERT INTO app.messages (conversation, body) VALUES (4711, 'orphan')"
    )
    chat.name = take(chat.env, chat.cwd)


def slow(chat: Restoring, rows: int = 15) -> None:
    """A backup whose restore takes a while: an index that is slow to build."""
    function = "CREATE OR REPLACE FUNCTION app.slow(int) RETURNS int LANGUAGE sql IMMUTABLE AS "
    chat.source.execute(
        f"{function} 'SELECT $1'; CREATE TABLE app.few AS SELECT generate_series(1, {rows}) AS id;"
        f"CREATE INDEX slow ON app.few (app.slow(id));"
        f"{function} 'SELECT $1 FROM pg_catalog.pg_sleep(0.2)'"
    )
    chat.name = take(chat.env, chat.cwd)


def sleeping(server: Server) -> bool:
    return bool(
        server.maintenance.query(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_restore' "
            "AND wait_event = 'PgSleep'"
        )
    )
