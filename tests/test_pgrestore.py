"""pg_restore as the restore and the drill run it: what it reports, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from helpers import clients, pgrestore, postgres, processes, toc
from helpers.clients import Client
from helpers.errors import DatabaseError, StorageError, ToolError
from helpers.pgrestore import Order

from .servers import Database, Server

TABLES = (
    "CREATE TABLE parent (id int PRIMARY KEY, body text);"
    "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);"
    "CREATE INDEX child_parent ON child (parent);"
    "INSERT INTO parent SELECT n, 'body ' || n FROM generate_series(1, 1000) AS n;"
    "INSERT INTO child SELECT n, n FROM generate_series(1, 1000) AS n"
)


@pytest.fixture(scope="module")
def client() -> Client:
    return clients.find(18, tls=False, pg_bin=None)


@pytest.fixture(scope="module")
def archive(server: Server, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("archive") / "archive"
    with server.database() as source:
        source.execute(TABLES)
        processes.run(
            [client.tool("pg_dump"), "-Fd", f"--file={place}", f"--dbname={source.url}"],
        )
    return place


@contextmanager
def reached(database: Database) -> Iterator[postgres.Session]:
    with postgres.connect(postgres.parameters(database.url)) as session:
        yield session


def order(database: Database, client: Client, archive: Path, **changes: object) -> Order:
    with reached(database) as session:
        return Order(client, archive, session.target(), database.server.major, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_archive_is_restored_and_followed(
    any_database: Database, client: Client, archive: Path, jobs: int
) -> None:
    seen: list[tuple[int, int]] = []
    watch = pgrestore.watcher(
        {"public.parent": 10, "public.child": 5}, jobs, lambda done, size: seen.append((done, size))
    )
    pgrestore.restore(order(any_database, client, archive, jobs=jobs), watch)
    assert any_database.query("SELECT count(*) FROM child JOIN parent ON parent = parent.id") == [
        (1000,)
    ]
    # In parallel both tables are in hand to the end, if their lines come apart at all.
    assert seen[-1:] == [(1, 5)] if jobs == 1 else set(seen) <= {(0, 0)}


def test_sections_and_entries_are_restored_one_by_one(
    database: Database, client: Client, archive: Path
) -> None:
    contents = toc.parse((archive / "toc.dat").read_bytes())
    data = [e.dump_id for e in toc.table_data(contents) if e.tag == "parent"]
    pgrestore.restore(order(database, client, archive, section="pre-data"))
    pgrestore.restore(order(database, client, archive, section="data", only=tuple(data)))
    counted = database.query("SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)")
    assert counted == [(1000, 0)]
    assert database.query("SELECT 1 FROM pg_indexes WHERE indexname = 'child_parent'") == []


def test_a_session_has_the_settings_that_it_shall_have(
    server: Server, client: Client, archive: Path
) -> None:
    with server.database() as source, server.database() as target:
        source.execute(
            "CREATE TABLE seen (memory text, timeout text);"
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.memory = "
            "current_setting('maintenance_work_mem'); NEW.timeout = "
            "current_setting('deadlock_timeout'); RETURN NEW; END $$;"
            "INSERT INTO seen VALUES (''); CREATE TRIGGER note BEFORE INSERT ON seen "
            "FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE seen ENABLE ALWAYS TRIGGER note"
        )
        place = archive.with_name("settings")
        processes.run([client.tool("pg_dump"), "-Fd", f"--file={place}", f"--dbname={source.url}"])
        pgrestore.restore(order(target, client, place, section="pre-data"))
        target.execute(
            "CREATE TRIGGER note BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION note()"
        )
        settings = pgrestore.index_settings(96 << 20, 3)
        with postgres.connect(
            {**postgres.parameters(target.url), "options": "-c deadlock_timeout=7s"}
        ) as session:
            given = Order(client, place, session.target(), 18, section="data", settings=settings)
        pgrestore.restore(given)
        assert target.query("SELECT * FROM seen") == [("96MB", "7s")]


def test_what_could_not_be_restored_is_named_without_its_rows(
    database: Database, client: Client, archive: Path
) -> None:
    database.execute("CREATE TABLE public.parent (other int)")
    with pytest.raises(ToolError, match=r'TABLE parent .*: relation "parent" already exists'):
        pgrestore.restore(order(database, client, archive))


def test_a_constraint_that_does_not_hold_is_named_without_the_row(
    database: Database, client: Client, archive: Path
) -> None:
    pgrestore.restore(order(database, client, archive, section="pre-data"))
    pgrestore.restore(order(database, client, archive, section="data"))
    database.execute("INSERT INTO child VALUES (-1, 424242)")
    with pytest.raises(ToolError, match="FK CONSTRAINT child child_parent_fkey") as caught:
        pgrestore.restore(order(database, client, archive, section="post-data"))
    assert "424242" not in str(caught.value)


def test_a_database_that_is_not_there_is_a_matter_of_the_database(
    server: Server, client: Client, archive: Path
) -> None:
    with server.database() as gone:
        lost = order(gone, client, archive)
    with pytest.raises(DatabaseError, match="does not exist"):
        pgrestore.restore(lost)


def test_a_server_that_ends_the_sessions_is_a_matter_of_the_database(
    database: Database, client: Client, archive: Path
) -> None:
    def end(line: str) -> None:
        if "processing data for table" in line:
            database.server.maintenance.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{database.name}' AND application_name = 'pg_restore'"
            )

    pgrestore.restore(order(database, client, archive, section="pre-data"))
    data = order(database, client, archive, section="data")
    with psycopg.connect(database.url) as blocker:
        blocker.execute("LOCK TABLE parent")
        with pytest.raises(DatabaseError, match="went away"):
            pgrestore.restore(data, end)


def test_a_full_disk_of_the_server_is_a_matter_of_storage() -> None:
    why = 'could not extend file "base/5/16384": No space left on device'
    found = pgrestore.failure(1, "TABLE DATA parent", why)
    assert isinstance(found, StorageError)
    assert "target server" in found.what
