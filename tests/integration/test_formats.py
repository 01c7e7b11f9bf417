"""How table data is kept: binary or text, compressed or not; stock pg_restore takes each."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from helpers import sampledata

from ..running import environment, pgbackup
from ..servers import Database


def take(database: Database, tmp_path: Path, **settings: str) -> Path:
    store = tmp_path / "store"
    store.mkdir(exist_ok=True)
    env = environment(database.url, store, **settings)
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    return Path(ran.json["backup"]["path"])


def formats(backup: Path) -> dict[str, str]:
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    return {table["name"]: table["format"] for table in tables}


def files(backup: Path) -> dict[str, str]:
    """Each table's data file."""
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    return {table["name"]: table["file"] for table in tables}


def restored_equal(backup: Path, source: Database, *options: str) -> None:
    tools = source.server.bin_dir
    with source.server.database() as target:
        argv = [f"{tools}/pg_restore", "--exit-on-error", *options, f"--dbname={target.url}"]
        done = subprocess.run([*argv, str(backup)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for table in files(backup):
            contents = (
                f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
            )
            assert target.query(contents) == source.query(contents)


@pytest.fixture
def application(database: Database) -> Database:
    """The sample application, and a table that must not be copied in binary."""
    database.execute(sampledata.statements(20, 300))
    database.execute(
        "CREATE TABLE searches (query tsquery, kind regclass);"
        "INSERT INTO searches VALUES (to_tsquery('simple', 'cat & dog'), 'messages'), ('', NULL)"
    )
    return database


@pytest.mark.parametrize("options", [(), ("--jobs=3",), ("--single-transaction",)])
def test_by_default_safe_tables_are_binary_and_the_rest_is_text(
    application: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    backup = take(application, tmp_path)
    assert formats(backup).pop("searches") == "text"
    assert {kind for table, kind in formats(backup).items() if table != "searches"} == {"binary"}
    restored_equal(backup, application, *options)


def test_small_tables_are_left_to_pg_dump(application: Database, tmp_path: Path) -> None:
    found = formats(take(application, tmp_path, BACKUP_BINARY_FROM="1048576"))
    assert found["project_knowledge"] == "binary"
    assert found["conversations"] == "text"


def test_text_is_what_pg_dump_writes(application: Database, tmp_path: Path) -> None:
    backup = take(application, tmp_path, BACKUP_FORMAT="text")
    assert set(formats(backup).values()) == {"text"}
    restored_equal(backup, application)
    script = tmp_path / "script.sql"
    tools = application.server.bin_dir
    subprocess.run([f"{tools}/pg_restore", f"--file={script}", str(backup)], check=True)
    assert "FROM stdin;" in script.read_text()


def test_what_shrinks_is_compressed_and_embeddings_are_not(
    application: Database, tmp_path: Path
) -> None:
    found = files(take(application, tmp_path))
    assert found["messages"].endswith(".dat.gz")
    assert found["project_knowledge"].endswith(".dat")


@pytest.mark.parametrize(("compression", "suffix"), [("gzip", ".gz"), ("none", ".dat")])
def test_compression_can_be_asked_for_or_refused(
    application: Database, tmp_path: Path, compression: str, suffix: str
) -> None:
    backup = take(application, tmp_path, BACKUP_COMPRESSION=compression)
    assert {Path(file).suffix for file in files(backup).values()} == {suffix}
    restored_equal(backup, application, "--jobs=2")


def test_an_unknown_format_is_a_configuration_error(database: Database, tmp_path: Path) -> None:
    env = environment(database.url, tmp_path, BACKUP_FORMAT="xml")
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 2
    assert "BACKUP_FORMAT" in ran.err


def test_a_compression_that_is_not_written_is_refused_by_its_name(
    database: Database, tmp_path: Path
) -> None:
    env = environment(database.url, tmp_path, BACKUP_COMPRESSION="lz4")
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 2
    assert "BACKUP_COMPRESSION: lz4 is not written" in ran.err


NOISE = """(SELECT decode(string_agg(md5(random()::text || i || n), ''), 'hex')
  FROM generate_series(1, 6000) AS i)"""
WORDS = "convert_to(repeat(md5(n::text), 4000), 'UTF8')"


def test_data_that_changes_its_kind_midway_is_compressed_where_it_shrinks(
    any_database: Database, tmp_path: Path
) -> None:
    for name, first, second in (("later", NOISE, WORDS), ("sooner", WORDS, NOISE)):
        any_database.execute(
            f"CREATE TABLE {name} AS SELECT n, CASE WHEN n <= 30 THEN {first} ELSE {second} END"
            " AS body FROM generate_series(1, 60) AS n"
        )
    tools = str(any_database.server.bin_dir)
    backup = take(any_database, tmp_path, BACKUP_PG_BIN=tools)
    tables = json.loads((backup / "manifest.json").read_text())["tables"]
    for table in tables:
        assert table["file"].endswith(".gz"), table
        assert (backup / table["file"]).stat().st_size < 0.6 * table["bytes"]
    restored_equal(backup, any_database)
    restored_equal(backup, any_database, "--jobs=2")
