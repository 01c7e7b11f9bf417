"""A drill restores a backup and finds it equal, or says by name what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import manifest

from .. import every_type
from ..running import environment, pgbackup
from ..servers import Database, Server, Servers
from .drills import NOWHERE, drill, equal, tampered
from .test_exactness import take
from .test_shapes import OBJECTS


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
    env = environment(NOWHERE, backup.parent)
    ran = pgbackup("list", "--json", env=env, cwd=backup.parent)
    assert [found["depth"] for found in ran.json["backups"]] == [3]


def test_probes_of_vectors_are_in_the_manifest(original: Path) -> None:
    found, _ = manifest.read(original)
    small, half = found.vectors
    assert (small.column, small.dimensions, small.nulls, small.nan) == ("small", (3,), 0, 0)
    assert (half.column, half.rows, half.nulls) == ("half", 300, 100)
    assert [probe.row for probe in small.probes] == [1, 150, 300]
    assert all(probe.nearest[0] == probe.row for probe in small.probes)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed anew", "not sealed anew"])
def test_a_table_whose_hash_in_the_manifest_was_edited_fails_and_is_named(
    backup: Path, sealed: bool
) -> None:
    with tampered(backup, sealed=sealed) as found:
        (notes,) = [table for table in found["tables"] if table["name"] == "notes"]
        notes["sha256"] = notes["sha256"][::-1]
    ran = drill(backup)
    assert ran.code == 5, ran.said
    assert ran.json["outcome"] == "failed"
    assert "the rows of public.notes are not those that were dumped" in ran.json["problems"]
    contradiction = "SHA256SUMS and manifest.json contradict each other"
    assert (contradiction in ran.json["problems"]) is not sealed


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
