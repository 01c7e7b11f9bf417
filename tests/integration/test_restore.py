"""Restores by the real program: what they refuse, what they leave, and what they give back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ..running import Ran, environment, pgbackup
from ..servers import MAJORS, Database, Server
from .disturbing import begun, soon, take

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


@pytest.fixture
def chat(database: Database, store: Path, tmp_path: Path) -> Iterator[Restoring]:
    yield from restoring(database, store, tmp_path)


@pytest.fixture
def any_chat(any_database: Database, store: Path, tmp_path: Path) -> Iterator[Restoring]:
    yield from restoring(any_database, store, tmp_path)


def test_a_missing_database_is_made_with_everything_in_it(any_chat: Restoring) -> None:
    ran = any_chat.run("--json")
    assert ran.code == 0, ran.said
    assert (ran.json["outcome"], ran.json["tables"], ran.json["rows"]) == ("restored", 2, 2050)
    target = any_chat.target()
    assert any_chat.counts(target) == [(50, 2000)]
    assert target.query("SELECT nextval('app.messages_id_seq')") == [(2001,)]
    assert target.query("SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]
    assert target.query("SELECT reltuples FROM pg_class WHERE relname = 'messages'") == [(2000,)]
    assert any_chat.databases() == ["target"]


def test_an_older_servers_backup_goes_into_a_newer_one(any_chat: Restoring, server: Server) -> None:
    name = any_chat.place("newer")
    ran = any_chat.run(f"--to={server.url(name)}", to=None)
    try:
        assert ran.code == 0, ran.said
        assert any_chat.counts(Database(name, server)) == [(50, 2000)]
    finally:
        server.maintenance.execute(f'DROP DATABASE IF EXISTS "{name}"')


def test_what_the_database_is_to_its_users_comes_with_it(chat: Restoring) -> None:
    name = chat.source.name
    chat.source.execute(
        f'CREATE ROLE "{name}_app"; ALTER DATABASE "{name}" SET search_path = app, public;'
        f"COMMENT ON DATABASE \"{name}\" IS 'it''s; one';"
        f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;'
        f'GRANT CONNECT ON DATABASE "{name}" TO "{name}_app";'
        f'ALTER DATABASE "{name}" OWNER TO "{name}_app";'
        f'ALTER ROLE "{name}_app" IN DATABASE "{name}" SET work_mem = \'7MB\''
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        assert chat.run().code == 0
        first = described(chat, chat.place("target"))
        assert first == described(chat, name)
        assert chat.target().query("SHOW search_path") == [("app, public",)]
        chat.target().execute(f"ALTER DATABASE \"{chat.place('target')}\" SET work_mem = '9MB'")
        kept = described(chat, chat.place("target"))
        assert chat.run("--replace").code == 0
        assert described(chat, chat.place("target")) == kept
    finally:
        for database in [name, *(chat.place(kind) for kind in chat.databases())]:
            chat.server.maintenance.execute(f'ALTER DATABASE "{database}" OWNER TO postgres')
            chat.server.maintenance.execute(
                f'REVOKE ALL ON DATABASE "{database}" FROM "{name}_app"'
            )
            chat.server.maintenance.execute(
                f'ALTER ROLE "{name}_app" IN DATABASE "{database}" RESET ALL'
            )
        chat.server.maintenance.execute(f'DROP ROLE "{name}_app"')


def described(chat: Restoring, database: str) -> list[tuple[object, ...]]:
    return chat.server.maintenance.query(
        "SELECT pg_get_userbyid(datdba), (SELECT array_agg(a::text ORDER BY a::text) "
        "FROM unnest(datacl) a), shobj_description(oid, 'pg_database'), (SELECT array_agg("
        "setrole::regrole || setconfig::text ORDER BY setrole) FROM pg_db_role_setting "
        "WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = %s",
        database,
    )


def test_a_database_that_is_not_empty_is_refused(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    ran = chat.run()
    assert ran.code == 8
    assert "public.mine" in ran.err
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    assert chat.databases() == ["target"]


def test_whatever_somebody_made_counts_as_content(chat: Restoring) -> None:
    target = chat.make()
    for made, dropped in (
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f"),
        ("CREATE SCHEMA mine", "DROP SCHEMA mine"),
        ("CREATE TYPE mine AS ENUM ('a')", "DROP TYPE mine"),
        ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
    ):
        target.execute(made)
        assert chat.run("--dry-run").code == 8, made
        target.execute(dropped)
    assert chat.run("--dry-run").code == 0


def test_an_empty_database_is_taken_with_what_was_set_on_it(chat: Restoring) -> None:
    chat.make(script="CREATE EXTENSION vector" if chat.server.has_vector else "")
    chat.target().execute(f"ALTER DATABASE \"{chat.place('target')}\" SET work_mem = '9MB'")
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]
    assert chat.target().query("SHOW work_mem") == [("9MB",)]
    assert chat.databases() == ["target"]


def test_replace_keeps_the_old_database_under_a_dated_name(any_chat: Restoring) -> None:
    any_chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    ran = any_chat.run("--replace", "--json")
    assert ran.code == 0, ran.said
    kept = ran.json["kept"]
    assert kept.startswith(any_chat.place("target_replaced_2"))
    assert Database(kept, any_chat.server).query("SELECT * FROM mine") == [(1,)]
    assert any_chat.counts(any_chat.target()) == [(50, 2000)]
    assert len(any_chat.databases()) == 2


def test_sessions_on_the_old_database_are_named_and_ended_only_when_told(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    with psycopg.connect(chat.target().url, application_name="the app") as session:
        session.execute("SELECT 1")
        ran = chat.run("--replace")
        assert ran.code == 8
        assert "the app" in ran.err
        assert chat.databases() == ["target"]
        ran = chat.run("--replace", "--end-sessions")
        assert ran.code == 0, ran.said
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_an_application_that_comes_back_at_once_does_not_hinder_the_swap(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    done = threading.Event()

    def insist() -> None:
        while not done.is_set():
            try:
                with psycopg.connect(chat.target().url) as session:
                    session.execute("SELECT pg_sleep(1)")
            except psycopg.OperationalError:
                pass

    threads = [threading.Thread(target=insist) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        ran = chat.run("--replace", "--end-sessions")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_somebody_who_connects_meanwhile_costs_no_restored_database(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", "--replace")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: any("_restoring_" in name for name in chat.databases()), "the restore")
        with psycopg.connect(chat.target().url):
            assert process.wait(60) == 8
    said = (chat.cwd / "err").read_text()
    (ready,) = [name for name in chat.databases() if "_restored_" in name]
    assert ready in said
    assert chat.counts(chat.target(ready)) == [(50, 2000)]
    assert chat.target().query("SELECT * FROM mine") == [(1,)]


@pytest.mark.parametrize("any_server", MAJORS[1:], indirect=True, scope="session")
def test_everything_that_is_missing_is_said_at_once(chat: Restoring, any_server: Server) -> None:
    name = chat.source.name
    chat.source.execute(
        f'CREATE ROLE "{name}_one"; CREATE ROLE "{name}_two"; ALTER TABLE app.messages OWNER TO '
        f'"{name}_one"; GRANT SELECT ON app.conversations TO "{name}_two";'
        + ("CREATE EXTENSION vector" if chat.server.has_vector else "")
    )
    any_server.maintenance.execute(
        f"CREATE ROLE \"{name}_poor\" LOGIN PASSWORD 'x' CONNECTION LIMIT 2"
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        url = any_server.url("nowhere").replace(
            f"//postgres:{any_server.scratch.password}@", f"//{name}_poor:x@"
        )
        ran = chat.run(f"--to={url}", to=None)
        assert ran.code == 8, ran.said
        for part in (
            f"PostgreSQL {any_server.major}, the backup of 18",
            f"{name}_one, {name}_two",
            "CREATEDB",
            "connections left",
            *(["extension vector"] if not any_server.has_vector else []),
        ):
            assert part in ran.err, part
    finally:
        any_server.maintenance.execute(f'DROP ROLE "{name}_poor"')
        chat.source.execute(
            f'ALTER TABLE app.messages OWNER TO postgres; DROP OWNED BY "{name}_one", '
            f'"{name}_two"; DROP ROLE "{name}_one", "{name}_two"'
        )


def test_missing_roles_are_made_from_globals_and_existing_ones_left_alone(
    chat: Restoring,
) -> None:
    name = chat.source.name
    one, two = f'"{name}_one"', f'"{name}_two"'
    server = chat.server.maintenance
    chat.source.execute(
        f"CREATE ROLE {one} LOGIN CREATEDB CONNECTION LIMIT 5; CREATE ROLE {two};"
        f"GRANT {two} TO {one}; ALTER ROLE {one} SET search_path = app, public;"
        f"COMMENT ON ROLE {one} IS 'it''s; one'; ALTER TABLE app.messages OWNER TO {one}"
    )
    try:
        chat.name = take(chat.env, chat.cwd)
        chat.source.execute(
            f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE {one};"
            f"ALTER ROLE {two} SET work_mem = '9MB'"
        )
        assert f"{name}_one" in chat.run().err
        dry = chat.run("--globals", "--dry-run", to=None)
        assert dry.code == 0, dry.said
        assert f"CREATE ROLE {name}_one" in dry.out
        assert server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", f"{name}_one") == []
        ran = chat.run("--globals")
        assert ran.code == 0, ran.said
        assert server.query(
            "SELECT rolcanlogin, rolcreatedb, rolsuper, rolconnlimit, rolconfig, "
            "pg_has_role(oid, %s, 'MEMBER'), shobj_description(oid, 'pg_authid') "
            "FROM pg_roles WHERE rolname = %s",
            f"{name}_two",
            f"{name}_one",
        ) == [(True, True, False, 5, ["search_path=app, public"], True, "it's; one")]
        assert server.query("SELECT rolconfig FROM pg_roles WHERE rolname = %s", f"{name}_two") == [
            (["work_mem=9MB"],)
        ]
        again = chat.run("--globals", to=None)
        assert (again.code, again.out.strip()) == (0, "The server has every role of the backup.")
    finally:
        for kind in chat.databases():
            server.execute(f'DROP DATABASE "{chat.place(kind)}" WITH (FORCE)')
        chat.source.execute(
            f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE IF EXISTS {one};"
            f"DROP ROLE IF EXISTS {two}"
        )


def test_without_owners_missing_roles_are_no_matter(chat: Restoring) -> None:
    role = f'"{chat.source.name}_gone"'
    chat.source.execute(f"CREATE ROLE {role}; ALTER TABLE app.messages OWNER TO {role}")
    chat.name = take(chat.env, chat.cwd)
    chat.source.execute(f"ALTER TABLE app.messages OWNER TO postgres; DROP ROLE {role}")
    ran = chat.run("--no-owner")
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_definitions_alone_have_no_rows(chat: Restoring) -> None:
    assert chat.run("--schema-only").code == 0
    assert chat.counts(chat.target()) == [(0, 0)]


def test_one_table_comes_back_whole_and_is_never_overwritten(chat: Restoring) -> None:
    assert chat.run().code == 0
    chat.target().execute("DELETE FROM app.messages; UPDATE app.conversations SET title = 'new'")
    ran = chat.run("--only-table=app.messages")
    assert ran.code == 8
    assert "is there already" in ran.err
    assert chat.counts(chat.target()) == [(50, 0)]
    chat.target().execute("DROP TABLE app.messages")
    ran = chat.run("--only-table=messages")
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]
    assert chat.target().query("SELECT DISTINCT title FROM app.conversations") == [("new",)]
    assert chat.target().query("SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'") == [
        (2,)
    ]
    assert chat.target().query(
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'app.messages'::regclass "
        "AND contype = 'f'"
    ) == [(1,)]


def test_one_table_that_does_not_fit_leaves_nothing(chat: Restoring) -> None:
    assert chat.run().code == 0
    chat.target().execute("DROP TABLE app.messages; DELETE FROM app.conversations WHERE id = 7")
    ran = chat.run("--only-table=app.messages")
    assert ran.code == 9, ran.said
    assert "messages_conversation_fkey" in ran.err
    assert chat.target().query("SELECT to_regclass('app.messages')") == [(None,)]


def test_production_is_touched_only_when_it_is_named_again(chat: Restoring) -> None:
    env = {**chat.env, "BACKUP_ENV": "prod"}
    name = take(env, chat.cwd)
    for words in ((), ("--confirm=other",)):
        ran = chat.run(*words, file=name, BACKUP_ENV="prod")
        assert ran.code == 8
        assert "--confirm" in ran.err
    assert chat.databases() == []
    ran = chat.run(f"--confirm={chat.place('target')}", file=name, BACKUP_ENV="prod")
    assert ran.code == 0, ran.said


def test_productions_database_is_known_by_its_address_and_by_its_backup(chat: Restoring) -> None:
    url = chat.source.url
    (chat.cwd / ".env.prod").write_text(f"DATABASE_URL={url}\n")
    (chat.cwd / ".env.prod").chmod(0o600)
    by_url = f"--to={url.replace('127.0.0.1', 'localhost')}"
    ran = chat.run(by_url, "--replace", to=None)
    assert ran.code == 8
    assert "environment prod" in ran.err
    (chat.cwd / ".env.prod").unlink()
    name = take({**chat.env, "BACKUP_ENV": "prod"}, chat.cwd)
    ran = chat.run(by_url, "--replace", to=None, file=str(chat.store / name))
    assert ran.code == 8
    assert "very database" in ran.err


def test_a_damaged_backup_is_refused_before_anything_happens(chat: Restoring) -> None:
    data = next(chat.store.glob("*/*.dat*"))
    data.write_bytes(data.read_bytes()[:-1])
    ran = chat.run()
    assert ran.code == 5
    assert chat.databases() == []


def test_a_suspect_backup_is_refused_until_it_is_accepted(chat: Restoring) -> None:
    chat.source.execute("DELETE FROM app.messages")
    ran = pgbackup("backup", "--json", env=chat.env, cwd=chat.cwd)
    assert ran.code == 8
    ran = chat.run(file="latest")
    assert ran.code == 8
    assert "suspect" in ran.err
    assert pgbackup("accept", "--file=latest", env=chat.env, cwd=chat.cwd).code == 0
    assert chat.run(file="latest").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to=chat", "--only-table=a", "--replace"), 2),
        ((), 2),
        (("--to=template1",), 8),
        (("--to=" + "x" * 64,), 2),
        (("--to=postgresql://127.0.0.1/",), 2),
        (("--to=postgresql://127.0.0.1:1/chat",), 3),
        (("--to=postgresql://a@b@c/chat",), 2),
        (("--to=chat", "--only-table=nothing"), 2),
    ],
    ids=["excluding", "no target", "template", "long", "no name", "nobody", "bad url", "no table"],
)
def test_a_wrong_command_line_ends_with_its_code(
    chat: Restoring, words: tuple[str, ...], code: int
) -> None:
    ran = chat.run(*words, to=None)
    assert ran.code == code, ran.said


def test_a_dry_run_says_what_would_be_done_and_does_nothing(chat: Restoring) -> None:
    ran = chat.run("--dry-run")
    assert ran.code == 0
    assert f"name the new database {chat.place('target')}" in ran.out
    assert chat.databases() == []


def spoil(chat: Restoring) -> None:
    """A backup whose restore fails at its last step: a constraint that its rows do not meet."""
    chat.source.execute(
        "ALTER TABLE app.messages ALTER conversation DROP NOT NULL;"
        "SET session_replication_role = replica;"
        "INSERT INTO app.messages (conversation, body) VALUES (4711, 'orphan')"
    )
    chat.name = take(chat.env, chat.cwd)


@pytest.mark.parametrize("state", ["missing", "empty", "full"])
def test_a_restore_that_fails_at_its_end_leaves_the_target_as_it_was(
    chat: Restoring, state: str
) -> None:
    spoil(chat)
    if state != "missing":
        chat.make(script="CREATE TABLE mine AS SELECT 1 AS id" if state == "full" else "")
    before = described(chat, chat.place("target"))
    ran = chat.run("--replace")
    assert ran.code == 9, ran.said
    assert "FK CONSTRAINT messages messages_conversation_fkey" in ran.err
    assert chat.databases() == ([] if state == "missing" else ["target"])
    assert described(chat, chat.place("target")) == before
    if state == "full":
        assert chat.target().query("SELECT * FROM mine") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_the_target_as_it_was(chat: Restoring, number: signal.Signals) -> None:
    slow(chat)
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", "--replace")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat), "pg_restore in the middle")
        os.kill(process.pid, number)
        code = process.wait(60)
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    if number == signal.SIGKILL:
        assert code == -9
        assert len(chat.databases()) == 2
    else:
        assert code == 128 + number
        assert "was not changed" in (chat.cwd / "err").read_text()
        assert chat.databases() == ["target"]


def slow(chat: Restoring) -> None:
    """A backup whose restore takes a while: an index that is slow to build."""
    chat.source.execute(
        "CREATE FUNCTION app.slow(int) RETURNS int LANGUAGE sql IMMUTABLE AS "
        "'SELECT $1 FROM pg_catalog.pg_sleep(0.2)';"
        "CREATE TABLE app.few AS SELECT 1 AS id;"
        "CREATE INDEX slow ON app.few (app.slow(id));"
        "INSERT INTO app.few SELECT generate_series(2, 15)"
    )
    chat.name = take(chat.env, chat.cwd)


def sleeping(chat: Restoring) -> bool:
    return bool(
        chat.server.maintenance.query(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_restore' "
            "AND wait_event = 'PgSleep'"
        )
    )


def test_what_a_kill_left_is_removed_by_the_next_restore(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat), "pg_restore in the middle")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (left,) = chat.databases()
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert f"removed {chat.place(left)}" in ran.err
    assert chat.databases() == ["target"]


def test_a_database_that_was_just_being_made_is_removed_by_the_next_restore(
    chat: Restoring,
) -> None:
    # What a kill leaves between two statements, before the mark: nobody may connect to it.
    unfinished, other = "target_restoring_20260101T000000Z", "target_restoring_20260102T000000Z"
    chat.server.maintenance.execute(
        f'CREATE DATABASE "{chat.place(unfinished)}" ALLOW_CONNECTIONS false'
    )
    chat.make(other)
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert f"removed {chat.place(unfinished)}" in ran.err
    assert chat.databases() == ["target", other]


def test_two_restores_into_one_database_do_not_meet(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat), "pg_restore in the middle")
        assert chat.run().code == 6
        assert process.wait(60) == 0
    assert chat.databases() == ["target"]


def test_sessions_that_the_server_ends_leave_the_target_as_it_was(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat), "pg_restore in the middle")
        chat.server.maintenance.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pg_restore'"
        )
        assert process.wait(60) == 3
    assert chat.databases() == []
