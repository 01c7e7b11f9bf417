"""What stock pg_restore makes of a backup is what was there, and the manifest tells the truth."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.binary import OLDEST_MAJOR

from .. import comparing, every_type
from ..running import environment, pgbackup
from ..servers import UPGRADES, Database, Servers


def take(database: Database, store: Path, **settings: str) -> Path:
    """One backup by the clients of the server's own major."""
    store.mkdir(exist_ok=True)
    given = {"BACKUP_PG_BIN": str(database.server.bin_dir), **settings}
    env = environment(database.url, store, **given)
    ran = pgbackup("backup", "--json", env=env, cwd=store.parent, timeout=600)
    assert ran.code == 0, ran.said
    return Path(ran.json["backup"]["path"])


def manifest(backup: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("form", ["binary", "text"])
def test_every_type_that_postgresql_ships_is_restored_exactly(
    any_database: Database, tmp_path: Path, form: str
) -> None:
    types, values = every_type.create(any_database, xml=every_type.reads_xml(any_database))
    assert types > 80
    assert values > 200
    backup = take(any_database, tmp_path / "store", BACKUP_FORMAT=form)
    formats = {table["format"] for table in manifest(backup)["tables"]}
    own = any_database.server
    text = form == "text" or own.major < OLDEST_MAJOR
    assert formats == ({"text"} if text else {"text", "binary"})
    with (
        comparing.aside(any_database) as source,
        comparing.restored(backup, any_database.name, own, own.bin_dir) as target,
    ):
        comparing.same(source, target)


@pytest.mark.parametrize(("major", "newer"), UPGRADES)
def test_every_type_is_restored_exactly_on_newer_servers_too(
    servers: Servers, tmp_path: Path, major: int, newer: int
) -> None:
    there = servers.get(newer)
    with servers.get(major).database() as source:
        every_type.create(source, xml=False, beside=there.maintenance)
        backup = take(source, tmp_path / "store")
        with comparing.restored(backup, source.name, there, there.bin_dir) as target:
            comparing.same_data(source, target)


@pytest.mark.parametrize("form", ["binary", "text"])
def test_the_manifest_says_what_copy_and_the_catalog_say(
    any_database: Database, tmp_path: Path, form: str
) -> None:
    any_database.execute(
        'CREATE TABLE a (id serial PRIMARY KEY, "B c" numeric(7,2), d text[], e bytea,'
        "  twice int GENERATED ALWAYS AS (2 * 7) STORED, gone int);"
        "ALTER TABLE a DROP gone;"
        "INSERT INTO a (\"B c\", d, e) SELECT n / 3.0, ARRAY[n::text, NULL], decode('00ff', 'hex')"
        "  FROM generate_series(1, 5000) AS n;"
        "DELETE FROM a WHERE id % 7 = 0;"
        "CREATE TABLE empty (x int); CREATE TABLE searches (q tsquery);"
        "INSERT INTO searches VALUES ('a & b'), (NULL);"
        "CREATE SEQUENCE fresh START 5; CREATE SEQUENCE down INCREMENT -3 START -9;"
        "SELECT nextval('down'), nextval('down')"
    )
    backup = take(any_database, tmp_path / "store", BACKUP_FORMAT=form)
    found = manifest(backup)
    tables = {table["name"]: table for table in found["tables"]}
    assert set(tables) == {"a", "empty", "searches"}
    lists = {"a": '(id, "B c", d, e)', "empty": "(x)", "searches": "(q)"}
    with any_database.connect() as connection:
        for name, columns in lists.items():
            options = "(FORMAT binary)" if tables[name]["format"] == "binary" else ""
            stream = comparing.copied(connection, f"COPY {name} {columns}", options)
            assert tables[name]["sha256"] == hashlib.sha256(stream).hexdigest()
            assert tables[name]["bytes"] == len(stream)
            assert tables[name]["rows"] == any_database.query(f"SELECT count(*) FROM {name}")[0][0]
    assert [
        (c["name"], c["type"], c["generated"]) for c in tables["a"]["columns"]
    ] == any_database.query(
        "SELECT column_name, format_type(a.atttypid, a.atttypmod), is_generated = 'ALWAYS'"
        " FROM information_schema.columns c JOIN pg_attribute a ON a.attname = c.column_name"
        " AND a.attrelid = 'a'::regclass WHERE table_name = 'a' ORDER BY ordinal_position"
    )
    assert {
        (s["schema"], s["name"]): (s["value"], s["is_called"]) for s in found["sequences"]
    } == comparing.sequences(any_database)
    assert [(e["name"], e["version"], e["schema"]) for e in found["extensions"]] == (
        comparing.states(any_database)["extensions"]
    )
    for part in found["files"]:
        data = (backup / part["path"]).read_bytes()
        assert (part["size"], part["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert found["totals"]["rows"] == sum(table["rows"] for table in found["tables"])
