"""An archive of a version that is not known here is left to pg_dump, and nothing is guessed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.binary import OLDEST_MAJOR

from .. import comparing, future
from ..running import Ran, environment, pgbackup
from ..servers import Database

CONTENTS = """
CREATE TABLE plain AS SELECT n, md5(n::text) AS t FROM generate_series(1, 500) AS n;
CREATE TABLE empty (id serial PRIMARY KEY);
CREATE SCHEMA "odd ""one"" here"; CREATE TABLE "odd ""one"" here"."TABLE DATA" AS SELECT 1 AS a;
CREATE SEQUENCE "odd ""one"" here"."it's.called";
SELECT setval('"odd ""one"" here"."it''s.called"', 42);
CREATE SEQUENCE down INCREMENT -3; SELECT nextval('down'), nextval('down');
SELECT lo_from_bytea(4711, 'one');
"""


def take(database: Database, tmp_path: Path, **settings: str) -> Ran:
    server = database.server
    tools = future.clients(server.bin_dir, server.major, tmp_path / "clients")
    store = tmp_path / "store"
    store.mkdir()
    env = environment(database.url, store, BACKUP_PG_BIN=str(tools), **settings)
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    return ran


def manifest(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("form", ["binary", "text"])
def test_a_backup_is_all_pg_dumps_own_and_says_why(
    any_database: Database, tmp_path: Path, form: str
) -> None:
    any_database.execute(CONTENTS)
    ran = take(any_database, tmp_path, BACKUP_FORMAT=form)
    found = manifest(Path(ran.json["backup"]["path"]))
    assert {table["format"] for table in found["tables"]} == {"text"}
    assert {table["name"]: table["rows"] for table in found["tables"]} == {
        "plain": 500,
        "empty": 0,
        "TABLE DATA": 1,
    }
    assert future.VERSION in found["toc_unknown"]
    if form == "binary" and any_database.server.major >= OLDEST_MAJOR:
        assert any("left to pg_dump" in note for note in ran.json["notes"])
    assert {
        (s["schema"], s["name"]): (s["value"], s["is_called"]) for s in found["sequences"]
    } == comparing.sequences(any_database)


def test_it_is_restored_by_the_client_that_wrote_it(database: Database, tmp_path: Path) -> None:
    database.execute(CONTENTS)
    place = take(database, tmp_path).json["backup"]["path"]
    with database.server.database() as target:
        argv = [str(tmp_path / "clients" / "pg_restore"), "--exit-on-error"]
        subprocess.run([*argv, f"--dbname={target.url}", place], check=True)
        comparing.same(database, target)


def test_verify_reads_every_row_and_says_what_it_cannot_judge(
    database: Database, tmp_path: Path
) -> None:
    database.execute(CONTENTS)
    place = Path(take(database, tmp_path).json["backup"]["path"])
    env = environment(None, None)
    ran = pgbackup("verify", "--file", str(place), "--json", env=env, cwd=tmp_path)
    assert (ran.code, ran.json["outcome"], ran.json["depth"]) == (0, "cannot judge", 1)
    assert future.VERSION in ran.json["problems"][0]
    said = pgbackup("verify", "--file", str(place), env=env, cwd=tmp_path)
    assert future.VERSION in said.out
    record = json.loads((place / "verification.json").read_text())
    assert [check["outcome"] for check in record["checks"]] == ["passed", "cannot judge"]
    (data,) = (t["file"] for t in manifest(place)["tables"] if t["name"] == "plain")
    (place / data).write_bytes((place / data).read_bytes()[:-1])
    assert pgbackup("verify", "--file", str(place), env=env, cwd=tmp_path).code == 5


def test_a_version_that_became_unknown_since_is_damage(database: Database, tmp_path: Path) -> None:
    database.execute(CONTENTS)
    store = tmp_path / "store"
    store.mkdir()
    ran = pgbackup("backup", "--json", env=environment(database.url, store), cwd=tmp_path)
    place = Path(ran.json["backup"]["path"])
    assert "toc_unknown" not in manifest(place)
    data = bytearray((place / "toc.dat").read_bytes())
    data[6] = 99
    (place / "toc.dat").write_bytes(data)
    verified = pgbackup("verify", "--file", str(place), env=environment(None, None), cwd=tmp_path)
    assert verified.code == 5
