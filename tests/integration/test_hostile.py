"""Attempts to make it lose data, prune a good backup or call a loss none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..running import environment, pgbackup
from ..servers import Database, Servers
from .test_backup import age, names

ONE_ONLY = {f"KEEP_{rule}": "0" for rule in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")}


@pytest.fixture
def env(database: Database, store: Path) -> dict[str, str]:
    """Environment `test` on a database with one table of 100 rows, of whose backups one stays."""
    database.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
    return environment(database.url, store, KEEP_LAST="1", **ONE_ONLY)


def take(env: dict[str, str], cwd: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The answer of one backup."""
    ran = pgbackup("backup", "--json", *words, env=env, cwd=cwd)
    assert ran.code == code, ran.said
    return ran.json


def test_a_loss_stays_suspect_when_the_backup_before_it_rots(
    env: dict[str, str], database: Database, store: Path, tmp_path: Path
) -> None:
    before = take(env, tmp_path)["backup"]["name"]
    database.execute("DELETE FROM notes WHERE id > 10")
    take(env, tmp_path, code=8)
    data = next((store / before).glob("*.dat*"))
    data.write_bytes(data.read_bytes()[:-1])
    after = take(env, tmp_path, code=8)
    assert before in after["suspect"][0]


def test_a_loss_stays_suspect_when_the_backup_before_it_is_removed(
    env: dict[str, str], database: Database, store: Path, tmp_path: Path
) -> None:
    before = take(env, tmp_path)["backup"]["name"]
    database.execute("DELETE FROM notes WHERE id > 10")
    lossy = take(env, tmp_path, code=8)["backup"]["name"]
    shutil.rmtree(store / before)
    assert lossy in take(env, tmp_path, code=8)["suspect"][0]
    accepted = pgbackup("accept", "--file", lossy, env=env, cwd=tmp_path)
    assert accepted.code == 0, accepted.said
    take(env, tmp_path)


def test_lost_large_objects_make_a_backup_suspect(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    database.execute("SELECT lo_from_bytea(0, 'attachment') FROM generate_series(1, 20)")
    take(env, tmp_path)
    database.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    after = take(env, tmp_path, code=8)
    assert "large objects went from 20 to 0" in after["suspect"][0]


@pytest.mark.parametrize("stamp", ["20700101T000000Z", "20990101T000000Z"])
def test_a_backup_from_the_future_does_not_make_prune_delete_the_one_just_taken(
    env: dict[str, str], store: Path, tmp_path: Path, stamp: str
) -> None:
    first = take(env, tmp_path)["backup"]["name"]
    age(store, first, stamp)
    ahead = f"{first.rsplit('_', 1)[0]}_{stamp}"
    verified = pgbackup("verify", "--file", ahead, env=env, cwd=tmp_path)
    assert verified.code == 0, verified.said
    second = take(env, tmp_path, "--prune")["backup"]["name"]
    applied = pgbackup("prune", "--apply", env=env, cwd=tmp_path)
    assert names(store) == {first, second, ahead}
    assert "from the future" in applied.out


def test_a_directory_whose_name_is_no_text_is_left_alone(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    foreign = store / os.fsdecode(b"\xff_test_20260101T000000Z")
    foreign.mkdir()
    take(env, tmp_path, "--prune")
    assert foreign.is_dir()


@pytest.mark.parametrize("data_format", ["binary", "text"])
def test_a_column_named_by_a_word_that_a_later_major_reserves_is_restored_there(
    servers: Servers, store: Path, tmp_path: Path, data_format: str
) -> None:
    new = servers.get(18)
    with servers.get(15).database() as source, new.database() as target:
        source.execute("CREATE TABLE audit AS SELECT 1 AS id, 'ann' AS \"system_user\"")
        env = environment(
            source.url, store, BACKUP_PG_BIN=str(new.bin_dir), BACKUP_FORMAT=data_format
        )
        backup = take(env, tmp_path)["backup"]["path"]
        argv = [f"{new.bin_dir}/pg_restore", "--exit-on-error", f"--dbname={target.url}", backup]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert target.query('SELECT id, "system_user" FROM audit') == [(1, "ann")]


def test_names_that_mean_something_to_a_pattern_a_script_or_a_shell_are_only_names(
    database: Database, store: Path, tmp_path: Path
) -> None:
    odd = ["a*", "a?", "A", "a", "a|b", "(?i)a", "^a$", "a.b", ":x", ":'x'", "a\\g x", "a\n\\q\n"]
    odd += ['"', "'", "$$", "%", "-a", "stdin", "[a]"]
    for rows, name in enumerate(odd, start=1):
        quoted = '"' + name.replace('"', '""') + '"'
        database.execute(
            f"CREATE TABLE {quoted} AS SELECT g AS {quoted} FROM generate_series(1, {rows}) AS g"
        )
    database.execute('CREATE SCHEMA "a*"; CREATE TABLE "a*".a AS SELECT to_tsquery(\'a\') AS q')
    backup = take(environment(database.url, store), tmp_path)["backup"]["path"]
    with database.server.database() as target:
        tool = f"{database.server.bin_dir}/pg_restore"
        argv = [tool, "--exit-on-error", "--jobs=2", f"--dbname={target.url}", backup]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for rows, name in enumerate(odd, start=1):
            quoted = '"' + name.replace('"', '""') + '"'
            assert target.query(f"SELECT count(*) FROM {quoted}") == [(rows,)]
        assert target.query('SELECT count(*) FROM "a*".a') == [(1,)]


def test_settings_of_the_role_and_of_psql_change_nothing(
    database: Database, store: Path, tmp_path: Path
) -> None:
    role = f"odd_{os.getpid()}"
    settings = {
        "search_path": "nowhere",
        "client_encoding": "LATIN1",
        "datestyle": "German",
        "intervalstyle": "sql_standard",
        "bytea_output": "escape",
        "extra_float_digits": "-3",
        "statement_timeout": "1ms",
        "lock_timeout": "1ms",
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "quote_all_identifiers": "on",
        "standard_conforming_strings": "off",
        "timezone": "Asia/Tokyo",
    }
    database.execute(
        f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'x';"
        "CREATE TABLE copied AS SELECT 'é' AS t, now() AS n, 0.1::float8 AS f, '\\xff'::bytea AS b;"
        "CREATE TABLE dumped AS SELECT c.*, to_tsquery('a') AS q FROM copied AS c"
    )
    for setting, value in settings.items():
        database.execute(f"ALTER ROLE {role} SET {setting} = '{value}'")
    (tmp_path / ".psqlrc").write_text("\\q\n")
    url = database.url.replace(f"postgres:{database.server.scratch.password}", f"{role}:x")
    env = environment(url, store, HOME=str(tmp_path), PSQLRC=str(tmp_path / ".psqlrc"))
    try:
        backup = take(env, tmp_path)["backup"]["path"]
        assert (Path(backup) / "globals.sql").exists()
        with database.server.database() as target:
            tool = f"{database.server.bin_dir}/pg_restore"
            argv = [tool, "--exit-on-error", f"--dbname={target.url}", backup]
            done = subprocess.run(argv, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            for table in ("copied", "dumped"):
                assert target.query(f"TABLE {table}") == database.query(f"TABLE {table}")
    finally:
        database.execute(f"DROP ROLE {role}")
