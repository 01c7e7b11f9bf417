"""Many tables, large tables under fire, and tables that an extension dumps a part of."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from helpers.privileges import give_to_server
from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..running import environment, pgbackup
from ..servers import Database

MEGABYTES = int(os.environ.get("PGBACKUP_TEST_MEGABYTES", "60"))
"""How large the table under concurrent writers is; 1000 is for an idle machine."""

WRITERS = (
    "INSERT INTO parent (body) SELECT repeat(md5(random()::text), 10) FROM generate_series(1, 20)",
    "WITH one AS (INSERT INTO parent (body) VALUES ('late') RETURNING id)"
    " INSERT INTO child (parent) SELECT id FROM one",
    "UPDATE parent SET body = body || '.' WHERE id = (random() * 1000)::int",
    "DELETE FROM parent WHERE id = (random() * 100000)::int",
    "VACUUM parent",
)


def restore(source: Path, target: Database) -> None:
    argv = [f"{target.server.bin_dir}/pg_restore", "--jobs=2", "--exit-on-error"]
    done = subprocess.run(
        [*argv, f"--dbname={target.url}", str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def take(url: str, tmp_path: Path, **settings: str) -> Path:
    store = tmp_path / "store"
    store.mkdir(exist_ok=True)
    env = environment(url, store, **settings)
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path, timeout=600)
    assert ran.code == 0, ran.said
    return Path(ran.json["backup"]["path"])


def counts(backup: Path) -> dict[str, int]:
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    return {table["name"]: table["rows"] for table in tables}


@contextmanager
def under_fire(database: Database) -> Iterator[None]:
    """One connection for each kind of change, each as fast as it is answered."""
    over = threading.Event()

    def write(statement: str) -> None:
        with database.connect() as connection:
            while not over.is_set():
                connection.execute(statement.encode())

    threads = [threading.Thread(target=write, args=(statement,)) for statement in WRITERS]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_under_concurrent_writers_rows_counted_are_rows_dumped(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text);"
        "CREATE TABLE child (parent bigint NOT NULL REFERENCES parent ON DELETE CASCADE);"
        "INSERT INTO parent (body) SELECT repeat(md5(n::text), 10)"
        f" FROM generate_series(1, {MEGABYTES} * 2700) AS n;"
        "INSERT INTO child SELECT id FROM parent WHERE id % 10 = 0"
    )
    with under_fire(database):
        backups = [take(database.url, tmp_path, BACKUP_FORMAT=kind) for kind in ("binary", "text")]
    for backup in backups:
        with database.server.database() as target:
            restore(backup, target)  # which validates the foreign key
            for table, rows in counts(backup).items():
                assert target.query(f"SELECT count(*) FROM {table}") == [(rows,)]


def test_two_thousand_tables_fit_into_a_server_with_default_settings(tmp_path: Path) -> None:
    with ScratchServer(tmp_path / "server", bound=True, settings=UNSAFE_BUT_FAST) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            for schema in range(4):
                connection.execute(
                    f"DO $$ BEGIN CREATE SCHEMA s{schema}; FOR n IN 1 .. 500 LOOP"
                    f" EXECUTE format('CREATE TABLE s{schema}.t%s (id int PRIMARY KEY)', n);"
                    f" EXECUTE format('INSERT INTO s{schema}.t%s VALUES (%s)', n, n);"
                    " END LOOP; END $$".encode()
                )
        backup = take(server.url(), tmp_path, BACKUP_BINARY_FROM="1048576")
        assert len(json.loads((backup / "manifest.json").read_text())["tables"]) == 2000
        assert sum(counts(backup).values()) > 0


def test_an_extensions_own_rows_are_left_to_it_and_its_users_rows_are_dumped(
    database: Database, tmp_path: Path
) -> None:
    place = tmp_path / "extension"
    place.mkdir()
    (place / "notebook.control").write_text("default_version = '1'\nrelocatable = false\n")
    (place / "notebook--1.sql").write_text(
        "CREATE TABLE pages (title text, built_in boolean);"
        "INSERT INTO pages VALUES ('preface', true);"
        "SELECT pg_extension_config_dump('pages', 'WHERE NOT built_in');"
        "CREATE TABLE drafts (title text); INSERT INTO drafts VALUES ('scrap');"
    )
    give_to_server(place)
    for path in (tmp_path, place):
        path.chmod(0o755)
    where = f"SET extension_control_path = '{tmp_path}:$system'"
    database.execute(f"{where}; CREATE EXTENSION notebook")
    database.execute("INSERT INTO pages VALUES ('mine', false), ('yours', false)")
    backup = take(database.url, tmp_path)
    assert counts(backup) == {"pages": 2}
    with database.server.database() as target:
        target.execute(
            f"ALTER DATABASE \"{target.name}\" SET extension_control_path = '{tmp_path}:$system'"
        )
        restore(backup, target)
        assert target.query("SELECT title FROM pages ORDER BY 1") == [
            ("mine",),
            ("preface",),
            ("yours",),
        ]
