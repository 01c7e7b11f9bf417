"""Databases that are down, refuse, are locked or go away: each told, and no backup is the worse."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from helpers.scratch import ScratchServer

from ..running import SECRET, Ran, environment, pgbackup
from ..servers import SETTINGS, Database, Server
from .disturbing import (
    FORMATS,
    READER,
    begun,
    contents,
    ended,
    fill_with_data,
    held,
    leftovers,
    names,
    soon,
    take,
)


def assert_told(ran: Ran, env: Mapping[str, str], code: int, *says: str) -> None:
    """The contract of a failure: exit code, what happened, what to do, and no secret."""
    assert ran.code == code, ran.said
    assert ran.json["schema_version"] == 1
    error = ran.json["error"]
    assert error["code"] == code
    assert error["what"]
    assert error["do"]
    assert error["what"] in ran.err
    assert error["do"] in ran.err
    told = f"{error['what']} {error['do']}"
    assert [word for word in says if word not in told] == []
    passwords = {SECRET, urlsplit(env.get("DATABASE_URL", "")).password or SECRET}
    assert not any(password in ran.said for password in passwords)


@contextmanager
def untouched(store: Path) -> Iterator[None]:
    """Earlier backups stay byte for byte as they were, and nothing else is left."""
    before = contents(store)
    assert before
    yield
    assert contents(store) == before
    assert not leftovers(store)


def fails(env: Mapping[str, str], cwd: Path, store: Path, code: int, *says: str) -> None:
    """A backup that must fail as `assert_told` and `untouched` say."""
    with untouched(store):
        assert_told(pgbackup("backup", "--json", env=env, cwd=cwd), env, code, *says)


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may read the 100 rows of `notes`, and nothing else; SECRET is its password."""
    name = f"reader_{database.name}"
    database.execute(
        "CREATE TABLE notes AS SELECT generate_series(1, 100) AS id;"
        f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'; GRANT SELECT ON notes TO {name}"
    )
    yield name
    database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def env(database: Database, role: str, store: Path, tmp_path: Path) -> dict[str, str]:
    """Environment `test` as that role, with one backup taken."""
    port = database.server.scratch.port
    env = environment(f"postgresql://{role}:{SECRET}@127.0.0.1:{port}/{database.name}", store)
    take(env, tmp_path)
    return env


def nobody_listens(url: str) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return url.replace(f":{urlsplit(url).port}/", f":{free.getsockname()[1]}/")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (nobody_listens, "Connection refused"),
        (lambda url: url.replace("127.0.0.1", "no-such-host.invalid"), "no-such-host.invalid"),
        (lambda url: url.replace(SECRET, f"not-{SECRET}"), "password authentication failed"),
        (lambda url: url.replace(f":{SECRET}@", "@"), "no password supplied"),
        (lambda url: url.replace("//reader", "//stranger"), "stranger"),
        (lambda url: f"{url}_gone", '_gone" does not exist'),
        (lambda url: f"{url}?sslmode=require", "SSL"),
    ],
    ids=["down", "host", "password", "no password", "role", "database", "tls"],
)
def test_a_database_that_cannot_be_reached_is_told_with_what_to_check(
    env: dict[str, str],
    store: Path,
    tmp_path: Path,
    change: Callable[[str], str],
    says: str,
) -> None:
    broken = {**env, "DATABASE_URL": change(env["DATABASE_URL"])}
    fails(broken, tmp_path, store, 3, says, "Check host, port, database, user, password")
    take(env, tmp_path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_password_is_in_no_command_line_while_a_backup_runs(
    env: dict[str, str], database: Database, role: str, tmp_path: Path, form: str
) -> None:
    fill_with_data(database)
    database.execute(f"GRANT SELECT ON big1 TO {role}")
    with begun("backup", env={**env, "BACKUP_FORMAT": form}, cwd=tmp_path) as process:
        with held(database, READER[form]):
            lines = command_lines()
        ran = ended(process, tmp_path)
    assert ran.code == 0, ran.said
    assert any(database.name in line and READER[form] in line for line in lines)
    assert not any(SECRET in line for line in lines)
    assert SECRET not in ran.said


def command_lines() -> list[str]:
    """What `ps` shows everybody."""
    lines = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # ended since it was listed
    return lines


@pytest.mark.parametrize(
    ("refuse", "allow", "table"),
    [
        ("CREATE TABLE later AS SELECT 1 AS id", "GRANT SELECT ON later TO {role}", "public.later"),
        ("REVOKE SELECT ON notes FROM {role}", "GRANT SELECT ON notes TO {role}", "public.notes"),
        (
            "CREATE SCHEMA vault CREATE TABLE keys (id int); GRANT SELECT ON vault.keys TO {role}",
            "GRANT USAGE ON SCHEMA vault TO {role}",
            "vault.keys",
        ),
    ],
    ids=["created after the grant", "revoked", "schema"],
)
def test_a_table_that_the_role_may_not_read_is_named_with_the_grant(
    env: dict[str, str],
    database: Database,
    role: str,
    store: Path,
    tmp_path: Path,
    refuse: str,
    allow: str,
    table: str,
) -> None:
    database.execute(refuse.format(role=role))
    fails(env, tmp_path, store, 3, table, role, "GRANT")
    database.execute(allow.format(role=role))
    take(env, tmp_path)


def test_rows_that_a_policy_hides_are_never_left_out(
    env: dict[str, str], database: Database, role: str, store: Path, tmp_path: Path
) -> None:
    database.execute(
        "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY few ON notes FOR SELECT TO {role} USING (id <= 60)"
    )
    fails(env, tmp_path, store, 3, "public.notes", role, "BYPASSRLS")
    database.execute(f"ALTER ROLE {role} BYPASSRLS")
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert '"rows": 100' in (Path(ran.json["backup"]["path"]) / "manifest.json").read_text()


def test_a_required_table_that_is_missing_is_named_as_if_it_were_the_wrong_database(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    wanting = {**env, "BACKUP_REQUIRED_TABLES": "notes,public.messages"}
    fails(wanting, tmp_path, store, 8, "public.messages", "right database")
    take({**env, "BACKUP_REQUIRED_TABLES": "notes,public.notes"}, tmp_path)


@pytest.mark.parametrize(
    "statement",
    ["LOCK TABLE notes IN ACCESS EXCLUSIVE MODE", "ALTER TABLE notes ADD COLUMN more int"],
)
def test_a_table_that_is_locked_is_named_with_who_holds_it_within_seconds(
    env: dict[str, str], database: Database, store: Path, tmp_path: Path, statement: str
) -> None:
    with psycopg.connect(database.url, application_name="migration") as other:
        other.execute(statement.encode())
        pid = other.info.backend_pid
        began = time.monotonic()
        impatient = {**env, "BACKUP_LOCK_TIMEOUT": "1"}
        fails(impatient, tmp_path, store, 9, "public.notes", str(pid), "BACKUP_LOCK_TIMEOUT")
        assert time.monotonic() - began < 30
        other.rollback()
    take(impatient, tmp_path)


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    """A database of some 100 MB in two tables, read by every test below."""
    with server.database() as database:
        fill_with_data(database, tables=2)
        yield database


@pytest.fixture
def last(source: Database) -> Iterator[str]:
    """A small table, which is read after the large ones."""
    source.execute("CREATE TABLE last AS SELECT generate_series(1, 100) AS id")
    yield "last"
    source.execute("DROP TABLE IF EXISTS last")


@contextmanager
def both_held(source: Database, form: str, jobs: int, store: Path) -> Iterator[None]:
    """Hold whoever reads the large tables, once every table is locked."""
    with ExitStack() as stack:
        if jobs == 1:
            stack.enter_context(held(source, READER[form]))
        else:
            for number in (1, 2):
                stack.enter_context(held(source, READER[form], f"COPY %big{number}%"))
        if form == "binary":  # pg_dump runs beside the copies, and locks the tables itself
            soon(lambda: list(store.glob(".partial-*/.archive/toc.dat")), "the end of pg_dump")
        yield


@contextmanager
def queued(database: Database, statement: str) -> Iterator[None]:
    """A statement of another session that waits for a lock; it is done at the end."""
    thread = threading.Thread(target=database.execute, args=(statement,))
    thread.start()
    try:
        sql = (
            "SELECT 1 FROM pg_stat_activity "
            "WHERE datname = %s AND query = %s AND wait_event_type = 'Lock'"
        )
        asked = (sql, database.name, statement)
        soon(lambda: database.server.maintenance.query(*asked), f"{statement} to wait")
        yield
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("form", "jobs", "statement"),
    [
        ("binary", 2, "ALTER TABLE last ADD COLUMN more int"),
        ("binary", 2, "DROP TABLE last"),
        ("binary", 2, "TRUNCATE last"),
        ("text", 1, "DROP TABLE last"),
    ],
)
def test_a_table_changed_midway_waits_for_the_backup_which_has_it_as_it_was(
    source: Database,
    last: str,
    kept: Path,
    tmp_path: Path,
    form: str,
    jobs: int,
    statement: str,
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS=str(jobs))
    with begun("backup", "--json", env=env, cwd=tmp_path) as process, ExitStack() as stack:
        with both_held(source, form, jobs, kept):
            stack.enter_context(queued(source, statement))
        ran = ended(process, tmp_path)
    assert ran.code == 0, ran.said
    tables = manifest_tables(ran)
    assert tables[last] == 100
    assert tables["big1"] == tables["big2"] == 20_000


def manifest_tables(ran: Ran) -> dict[str, int]:
    """The rows of each table by its name."""
    return {t["name"]: t["rows"] for t in Ran(0, read_manifest(ran), "").json["tables"]}


def read_manifest(ran: Ran) -> str:
    return (Path(ran.json["backup"]["path"]) / "manifest.json").read_text()


def test_a_migration_that_pg_dumps_workers_meet_midway_fails_only_that_backup(
    source: Database, last: str, kept: Path, tmp_path: Path
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT="text", BACKUP_JOBS="2")
    with untouched(kept):
        with begun("backup", "--json", env=env, cwd=tmp_path) as process, ExitStack() as stack:
            with both_held(source, "text", 2, kept):
                stack.enter_context(queued(source, f"ALTER TABLE {last} ADD COLUMN more int"))
            ran = ended(process, tmp_path)
        assert_told(ran, env, 9, last, "migration is done")
    take(env, tmp_path)


def test_a_migration_that_gives_up_waiting_does_not_fail_the_backup(
    source: Database, last: str, kept: Path, tmp_path: Path
) -> None:
    statement = (
        f"SET lock_timeout = '3s'; DO $$ BEGIN ALTER TABLE {last} ADD COLUMN more int;"
        " EXCEPTION WHEN lock_not_available THEN NULL; END $$"
    )
    env = environment(source.url, kept, BACKUP_FORMAT="text", BACKUP_JOBS="2")
    with begun("backup", "--json", env=env, cwd=tmp_path) as process, ExitStack() as stack:
        with both_held(source, "text", 2, kept):
            stack.enter_context(queued(source, statement))
        ran = ended(process, tmp_path)
    assert ran.code == 0, ran.said


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("victim", "code"), [("leader", 3), ("reader", 9)])
def test_a_connection_that_is_terminated_midway_fails_only_that_backup(
    source: Database, kept: Path, tmp_path: Path, form: str, victim: str, code: int
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS="1")
    with untouched(kept):
        with begun("backup", "--json", env=env, cwd=tmp_path) as process:
            with held(source, READER[form]) as pid:
                doomed = leader(source) if victim == "leader" else pid
                source.server.maintenance.query("SELECT pg_terminate_backend(%s)", doomed)
            ran = ended(process, tmp_path)
        # The server's last words do not always reach a tool that is busy reading rows.
        ends = ("server closed the connection unexpectedly", "connection to server was lost")
        lost = victim == "reader" and any(end in ran.err for end in ends)
        why = () if lost else ("terminating connection due to administrator command",)
        assert_told(ran, env, code, *why)
    take(env, tmp_path)


def leader(database: Database) -> int:
    """The server process of the connection that holds the snapshot."""
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'pgbackup'"
    return int(database.server.maintenance.query(sql, database.name)[0][0])


@pytest.fixture(scope="module")
def own(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The same data on a server that may be stopped."""
    place = tmp_path_factory.mktemp("own") / "server"
    with ScratchServer(place, server.bin_dir, bound=True, settings=SETTINGS) as scratch:
        database = Database("postgres", Server(server.major, scratch))
        fill_with_data(database)
        database.execute("CHECKPOINT")
        yield database


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_a_server_that_is_stopped_midway_fails_only_that_backup(
    own: Database, store: Path, tmp_path: Path, form: str, how: signal.Signals
) -> None:
    env = environment(own.url, store, BACKUP_FORMAT=form)
    take(env, tmp_path)
    with untouched(store):
        with begun("backup", "--json", env=env, cwd=tmp_path) as process:
            with held(own, READER[form]):
                postmaster = own.server.scratch.pid
                assert postmaster
                os.kill(postmaster, how)
            ran = ended(process, tmp_path)
        own.server.scratch.stop()
        assert_told(ran, env, 3, "database")
    own.server.scratch.start()
    take(env, tmp_path)
    assert len(names(store)) == 2
