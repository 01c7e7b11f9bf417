"""A drill restores a backup and finds it equal, or says by name what differs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers import describe, manifest, places, postgres, toc
from helpers import drill as drilling
from helpers.places import Place, Subject
from helpers.progress import Quiet
from helpers.scratch import ScratchServer

from .. import every_type
from ..running import Ran, environment, pgbackup, start
from ..servers import Database, Server, Servers
from .test_exactness import take
from .test_shapes import OBJECTS

VECTORS = """
CREATE EXTENSION vector;
CREATE TABLE docs (id int PRIMARY KEY, body text, small vector(3), half halfvec(4));
INSERT INTO docs SELECT n, md5(n::text), ARRAY[n, n % 7, n % 11]::vector,
  CASE WHEN n % 3 > 0 THEN ARRAY[n % 5, n % 3, 1, 0]::halfvec END FROM generate_series(1, 500) n;
CREATE INDEX near ON docs USING hnsw (small vector_l2_ops);
CREATE TABLE notes (text text CHECK (text <> 'x'), at timestamptz DEFAULT '2026-01-02 03:04:05+00');
INSERT INTO notes SELECT n::text FROM generate_series(1, 50) n;
CREATE INDEX notes_text ON notes (text);
CREATE SEQUENCE numbers; SELECT nextval('numbers'), nextval('numbers');
CREATE VIEW shown AS SELECT text FROM notes;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
SELECT lo_from_bytea(4711, 'a large object');
"""


@pytest.fixture(scope="module")
def chat(server: Server) -> Iterator[Database]:
    """A database with vectors and one of everything that a drill compares."""
    with server.database() as fresh:
        fresh.execute(f"ALTER DATABASE {fresh.name} SET timezone = 'Asia/Tokyo'")
        fresh.execute(VECTORS)
        yield fresh


@pytest.fixture(scope="module")
def original(chat: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, not to be changed."""
    # small tables as text, whose timestamps are written in the source's time zone
    return take(chat, tmp_path_factory.mktemp("drills") / "store", BACKUP_BINARY_FROM="1000000")


@pytest.fixture
def backup(original: Path, tmp_path: Path) -> Path:
    """A copy of the backup for a test of its own."""
    return shutil.copytree(original, tmp_path / "store" / original.name)


def drill(backup: Path, *words: str, **settings: str) -> Ran:
    """One drill of a backup, in a directory of the test's own."""
    given = {"BACKUP_DRILL_DIR": str(backup.parent.parent), **settings}
    env = environment("postgresql://nobody@127.0.0.1:1/none", backup.parent, **given)
    options = ("--file", str(backup), "--json", *words)
    return pgbackup("drill", *options, env=env, cwd=backup.parent, timeout=300)


def equal(backup: Path, **settings: str) -> dict[str, Any]:
    """What a drill says of a backup that it must find equal."""
    ran = drill(backup, **settings)
    assert ran.code == 0, ran.said
    assert ran.json["outcome"] == "passed"
    assert not list(backup.parent.parent.glob("pgbackup-drill-*"))
    return ran.json


def test_every_type_and_every_shape_are_found_equal(any_database: Database, tmp_path: Path) -> None:
    every_type.create(any_database, xml=False)
    any_database.execute(OBJECTS)
    said = equal(take(any_database, tmp_path / "store"))
    phases = {"definitions", "data", "indexes", "constraints", "rest", "analyze"}
    assert set(said["recovery"]["phases"]) == phases


def test_rows_that_restoring_moves_between_partitions_are_found_equal_and_said(
    database: Database, tmp_path: Path
) -> None:
    labels = ", ".join(f"'{n}'" for n in range(40))  # whose hashes are their oids', so others later
    database.execute(f"CREATE TYPE mood AS ENUM ({labels})")
    database.execute(
        "CREATE TABLE he (m mood, n int) PARTITION BY HASH (m);"
        "CREATE TABLE he0 PARTITION OF he FOR VALUES WITH (modulus 2, remainder 0);"
        "CREATE TABLE he1 PARTITION OF he FOR VALUES WITH (modulus 2, remainder 1);"
        "INSERT INTO he SELECT (n % 40)::text::mood, n FROM generate_series(1, 200) n"
    )
    said = equal(take(database, tmp_path / "store"))
    assert "the rows of public.he are the same, in another order" in said["notes"]


def test_a_drill_is_recorded_with_the_time_of_each_phase(backup: Path) -> None:
    said = equal(backup)
    assert said["notes"] == []
    record = json.loads((backup / "verification.json").read_text())
    check = record["checks"][2]
    assert (check["depth"], check["outcome"]) == (3, "passed")
    assert check["recovery"] == said["recovery"]
    phases = check["recovery"]["phases"]
    assert {"data", "indexes", "vector indexes"} <= set(phases)
    assert check["recovery"]["seconds"] == pytest.approx(sum(phases.values()), abs=0.01)
    env = environment("postgresql://nobody@127.0.0.1:1/none", backup.parent)
    ran = pgbackup("list", "--json", env=env, cwd=backup.parent)
    assert [found["depth"] for found in ran.json["backups"]] == [3]


def test_probes_of_vectors_are_in_the_manifest(original: Path) -> None:
    found, _ = manifest.read(original)
    small, half = found.vectors
    assert (small.column, small.dimensions, small.nulls, small.nan) == ("small", (3,), 0, 0)
    assert (half.column, half.rows, half.nulls) == ("half", 300, 100)
    assert [probe.row for probe in small.probes] == [1, 150, 300]
    assert all(probe.nearest[0] == probe.row for probe in small.probes)


@contextmanager
def tampered(backup: Path) -> Iterator[dict[str, Any]]:
    """The manifest, to be changed so that no reading of the files can tell."""
    found = json.loads((backup / "manifest.json").read_text())
    yield found
    (backup / "verification.json").unlink()
    describe.write(backup, manifest.Manifest.model_validate(found))


def test_a_damaged_backup_fails_before_anything_is_restored(backup: Path) -> None:
    data = next(backup.glob("*.dat*"))
    data.write_bytes(data.read_bytes()[:-1] + b"!")
    ran = drill(backup)
    assert ran.code == 5, ran.said
    assert ran.json["outcome"] == "failed"
    assert ran.json["recovery"] is None
    checks = json.loads((backup / "verification.json").read_text())["checks"]
    assert checks[2]["outcome"] == "failed"


def test_what_the_server_lacks_cannot_be_judged(backup: Path) -> None:
    with tampered(backup) as found:
        found["extensions"].append({"name": "postgis", "version": "3.5", "schema": "public"})
    ran = drill(backup)
    assert ran.code == 8, ran.said
    assert ran.json["outcome"] == "cannot judge"
    assert ran.json["unjudged"] == ["the server has no extension postgis"]
    checks = json.loads((backup / "verification.json").read_text())["checks"]
    assert checks[2]["outcome"] == "cannot judge"


def test_a_collation_that_is_not_there_is_replaced_and_said(backup: Path) -> None:
    with tampered(backup) as found:
        found["database"]["collation"] = "xx_XX.utf8"
    said = equal(backup)
    assert any("lacks the collation xx_XX.utf8" in note for note in said["notes"])


def test_collations_of_icu_are_replaced_and_said(servers: Servers, tmp_path: Path) -> None:
    with servers.get(15).database() as source:
        source.execute(
            "CREATE SCHEMA s; CREATE COLLATION s.ci (provider = icu, locale = 'und-u-ks-level2',"
            " deterministic = false);"
            'CREATE TABLE words (a text COLLATE s.ci PRIMARY KEY, b text COLLATE "de-x-icu");'
            "INSERT INTO words VALUES ('One', 'Größe'), ('two', 'groß')"
        )
        said = equal(take(source, tmp_path / "store"))
    assert [note for note in said["notes"] if "collation" in note][-2:] == [
        "the server lacks the collation ci: C stands in for it",
        "the server lacks the collation de-x-icu: C stands in for it",
    ]


def test_a_feature_that_the_server_was_built_without_cannot_be_judged(
    servers: Servers, tmp_path: Path
) -> None:
    with servers.get(15).database() as source:
        source.execute("CREATE TABLE documents (x xml); INSERT INTO documents VALUES ('<a/>')")
        ran = drill(take(source, tmp_path / "store"))
    assert ran.code == 8, ran.said
    assert "unsupported XML feature" in ran.json["unjudged"][0]


def test_a_check_of_the_databases_users_does_not_run_as_a_superuser(
    server: Server, tmp_path: Path
) -> None:
    with server.database() as source:
        body = "RETURNS bool LANGUAGE sql AS $$ SELECT"
        source.execute(
            f"CREATE FUNCTION powerless() {body} true $$;"
            "CREATE TABLE checked (n int CHECK (powerless())); INSERT INTO checked VALUES (1);"
            f"CREATE OR REPLACE FUNCTION powerless() {body} NOT rolsuper"
            " FROM pg_catalog.pg_roles WHERE rolname = current_user $$"
        )
        equal(take(source, tmp_path / "store"))


@pytest.fixture(scope="module")
def restored(original: Path, server: Server) -> Iterator[tuple[Place, Subject]]:
    """The backup restored on a server that stays, to be changed statement by statement."""
    found, _ = manifest.read(original)
    contents = toc.parse((original / "toc.dat").read_bytes())
    subject = Subject(original, found, contents, 2)
    with places.at_url(postgres.parameters(server.url()), subject, server.bin_dir) as place:
        drilling.rehearsal.restore(subject, place, place.client, Quiet(silent=True))
        yield place, subject


def compared(place: Place, subject: Subject, statement: str) -> tuple[str, ...]:
    """What differs after a statement, which is undone."""
    with postgres.connect(place.admin) as session:
        session.execute(statement)
        findings = drilling.compare(session, subject, place, frozenset(), Quiet(silent=True))
        assert not findings.unjudged
        return findings.problems


@pytest.mark.parametrize(
    ("change", "undo", "named"),
    [
        ("SELECT 1", "SELECT 1", []),
        (
            "INSERT INTO public.notes VALUES ('more')",
            "DELETE FROM public.notes WHERE text = 'more'",
            ["table public.notes has 51 rows instead of 50"],
        ),
        (
            "UPDATE public.notes SET text = '050' WHERE text = '50'",
            "UPDATE public.notes SET text = '50' WHERE text = '050'",
            ["the rows of public.notes are not those of the backup"],
        ),
        (
            "SELECT pg_catalog.setval('public.numbers', 9)",
            "SELECT pg_catalog.setval('public.numbers', 2)",
            ["sequence public.numbers stands at 9 instead of 2"],
        ),
        (
            "DROP INDEX public.notes_text",
            "CREATE INDEX notes_text ON public.notes USING btree (text)",
            ["index public.notes_text is missing from the restored database"],
        ),
        (
            "DROP VIEW public.shown",
            "CREATE VIEW public.shown AS SELECT text FROM public.notes",
            ["view public.shown is missing from the restored database"],
        ),
        (
            "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE sql"
            " AS 'SELECT 3 * n'",
            "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE sql"
            " AS 'SELECT 2 * n'",
            ["function public.twice(integer) is defined differently in the restored database"],
        ),
        (
            "SELECT pg_catalog.lo_put(4711, 0, 'A')",
            "SELECT pg_catalog.lo_put(4711, 0, 'a')",
            ["large object 4711 is not that of the backup"],
        ),
        (
            "UPDATE pg_catalog.pg_index SET indisvalid = false"
            " WHERE indexrelid = 'public.notes_text'::pg_catalog.regclass",
            "UPDATE pg_catalog.pg_index SET indisvalid = true"
            " WHERE indexrelid = 'public.notes_text'::pg_catalog.regclass",
            [
                "index public.notes_text is missing from the restored database",
                "index public.notes_text is not valid",
            ],
        ),
        (
            "UPDATE pg_catalog.pg_constraint SET convalidated = false WHERE contype = 'c'"
            " AND conname = 'notes_text_check'",
            "UPDATE pg_catalog.pg_constraint SET convalidated = true WHERE contype = 'c'"
            " AND conname = 'notes_text_check'",
            [
                "check constraint public.notes notes_text_check is in the restored database, but"
                " not in the backup",
                "constraint notes_text_check of notes is not validated",
                "table public.notes is defined differently in the restored database",
            ],
        ),
        (
            "UPDATE public.docs SET small = '[0,0,99]' WHERE id = 2",
            "UPDATE public.docs SET small = '[2,2,2]' WHERE id = 2",
            [
                "the rows of public.docs are not those of the backup",
                "vectors public.docs.small: the nearest neighbours of the probes are others",
            ],
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_each_difference_is_found_and_named(
    restored: tuple[Place, Subject], change: str, undo: str, named: list[str]
) -> None:
    place, subject = restored
    changing = f"SET allow_system_table_mods = on; SET search_path = public; {change}"
    try:
        assert sorted(compared(place, subject, changing)) == named
    finally:
        with postgres.connect(place.admin) as session:
            session.execute(f"SET allow_system_table_mods = on; SET search_path = public; {undo}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_a_server_that_needs_no_capability_has_none() -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        ScratchServer(Path(place) / "a" / "server", bound=True, confined=True) as started_one,
    ):
        Path(place).chmod(0o711)
        assert capabilities(started_one) != 0, "the way to it was closed when it was started"
        started_one.stop()
        (Path(place) / "a").chmod(0o711)
        started_one.start()
        assert capabilities(started_one) == 0


def capabilities(server: ScratchServer) -> int:
    """The effective capabilities of its postmaster."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("CapEff:")[1].split()[0], 16)


def test_a_server_that_is_named_is_left_as_it_was(backup: Path, server: Server) -> None:
    def state() -> list[tuple[Any, ...]]:
        databases = server.maintenance.query("SELECT datname FROM pg_database ORDER BY 1")
        return databases + server.maintenance.query("SELECT rolname FROM pg_roles ORDER BY 1")

    server.maintenance.execute(f"CREATE DATABASE {places.DATABASE}0123456789ab")
    before = [row for row in state() if row != (f"{places.DATABASE}0123456789ab",)]
    equal(backup, BACKUP_DRILL_URL=server.url())
    others = [row for row in state() if not row[0].startswith("test_")]
    assert others == [row for row in before if not row[0].startswith("test_")]


def test_an_older_server_cannot_judge(backup: Path, servers: Servers) -> None:
    ran = drill(backup, BACKUP_DRILL_URL=servers.get(15).url())
    assert ran.code == 8, ran.said
    assert "older than the source" in ran.json["unjudged"][0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing_and_records_nothing(
    backup: Path, number: signal.Signals
) -> None:
    before = (backup / "verification.json").read_bytes()
    process = started(backup)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not homes(backup)
    assert (backup / "verification.json").read_bytes() == before


def test_what_a_killed_drill_left_is_removed_by_the_next(backup: Path) -> None:
    process = started(backup)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (left,) = homes(backup)
    other = left.with_name("pgbackup-drill-of-someone")
    other.mkdir()
    assert places.sweep(left.parent) == [left.name]
    assert other.exists(), "it is young and may be about to be locked"
    assert not left.exists()


def homes(backup: Path) -> list[Path]:
    return list(backup.parent.parent.glob(f"{places.PREFIX}*"))


def started(backup: Path) -> Any:
    """A drill whose own server is up."""
    env = environment(None, backup.parent, BACKUP_DRILL_DIR=str(backup.parent.parent))
    env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    process = start("drill", "--file", str(backup), env=env, cwd=backup.parent)
    deadline = time.monotonic() + 60
    while not any((home / "server" / "data").exists() for home in homes(backup)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process
