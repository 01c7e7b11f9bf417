"""The everyday life of backups: taken, listed, judged, accepted and pruned by the real program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import sampledata
from helpers.names import parse_name

from ..running import SECRET, Ran, environment, pgbackup
from ..servers import Database


@pytest.fixture
def env(database: Database, store: Path) -> dict[str, str]:
    """Environment `test` on a database with one table of 100 rows."""
    database.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, body text);"
        "INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 100) AS n"
    )
    return environment(database.url, store)


def take(env: dict[str, str], cwd: Path, *words: str, code: int = 0) -> str:
    """One backup; its name."""
    ran = pgbackup("backup", "--json", *words, env=env, cwd=cwd)
    assert ran.code == code, ran.said
    return str(ran.json["backup"]["name"])


def names(store: Path) -> set[str]:
    return {entry.name for entry in store.iterdir() if parse_name(entry.name)}


def age(store: Path, name: str, stamp: str) -> str:
    """The same backup as if it had been taken at another time: name, manifest and seals agree."""
    series = name.rsplit("_", 1)[0]
    older = f"{series}_{stamp}"
    shutil.copytree(store / name, store / older)
    place = store / older
    manifest = (place / "manifest.json").read_text().replace(name, older)
    (place / "manifest.json").write_text(manifest)
    (place / "RESTORE.md").write_text((place / "RESTORE.md").read_text())
    (place / "verification.json").unlink()
    sums = place / "SHA256SUMS"
    listed = [line.split("  ")[1] for line in sums.read_text().splitlines()]
    done = subprocess.run(["sha256sum", *listed], cwd=place, capture_output=True, text=True)
    sums.write_text(done.stdout)
    return older


def test_a_backup_is_verified_private_and_says_what_it_holds(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert "1 tables, 100 rows" in ran.out
    (name,) = names(store)
    place = store / name
    assert place.stat().st_mode & 0o777 == 0o700
    assert {entry.stat().st_mode & 0o777 for entry in place.iterdir()} == {0o600}
    check = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=place)
    assert check.returncode == 0
    checks = json.loads((place / "verification.json").read_text())["checks"]
    assert [(check["depth"], check["outcome"]) for check in checks] == [
        (1, "passed"),
        (2, "passed"),
    ]


def test_list_shows_the_newest_first_and_only_its_environment(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    first = take(env, tmp_path)
    other = take({**env, "BACKUP_ENV": "other"}, tmp_path)
    second = take(env, tmp_path)
    listed = pgbackup("list", "--json", env=env, cwd=tmp_path).json["backups"]
    assert [backup["name"] for backup in listed] == [second, first]
    assert {backup["state"] for backup in listed} == {"good"}
    shown = pgbackup("list", env=env, cwd=tmp_path).out
    assert first in shown
    assert other not in shown


def test_a_dry_run_checks_and_writes_nothing(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    ran = pgbackup("backup", "--dry-run", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert list(store.iterdir()) == []


def test_another_place_for_once(env: dict[str, str], store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    take(env, tmp_path, "--dest", str(elsewhere))
    assert names(store) == set()
    assert len(names(elsewhere)) == 1


def suspect_run(env: dict[str, str], cwd: Path) -> Ran:
    ran = pgbackup("backup", "--prune", "--json", env=env, cwd=cwd)
    assert ran.code == 8, ran.said
    assert ran.json["outcome"] == "suspect"
    return ran


def test_a_table_that_is_gone_makes_the_backup_suspect(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    take(env, tmp_path)
    database.execute("DROP TABLE notes; CREATE TABLE others (id int)")
    assert "public.notes is gone" in suspect_run(env, tmp_path).json["suspect"][0]


def test_rows_lost_beyond_the_limit_make_the_backup_suspect(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    take(env, tmp_path)
    database.execute("DELETE FROM notes WHERE id > 50")
    take(env, tmp_path)  # exactly half is not more than half
    database.execute("DELETE FROM notes WHERE id > 24")
    assert "from 50 to 24" in suspect_run(env, tmp_path).json["suspect"][0]
    take({**env, "BACKUP_MAX_SHRINK": "60"}, tmp_path)


def test_a_column_that_was_emptied_makes_the_backup_suspect(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE said (id int, content text);"
        "INSERT INTO said SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 1000) AS n"
    )
    take(env, tmp_path)
    database.execute("UPDATE said SET content = ''")
    assert "bytes of data" in suspect_run(env, tmp_path).json["suspect"][0]


def test_a_second_look_does_not_make_a_suspect_backup_good(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    take(env, tmp_path)
    database.execute("TRUNCATE notes")
    suspect_run(env, tmp_path)
    suspect_run(env, tmp_path)


def test_dropping_an_old_partition_is_everyday_work(
    env: dict[str, str], database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE log (day int, line text) PARTITION BY RANGE (day);"
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (2);"
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (2) TO (3);"
        "INSERT INTO log SELECT 1 + n % 2, n FROM generate_series(1, 100) AS n"
    )
    take(env, tmp_path)
    database.execute("DROP TABLE log_1")
    take(env, tmp_path)


def test_while_a_suspect_backup_is_the_newest_nothing_older_is_deleted(
    env: dict[str, str], database: Database, store: Path, tmp_path: Path
) -> None:
    keep = {**env, "KEEP_DAILY": "0", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0", "KEEP_LAST": "1"}
    first, second = take(env, tmp_path), take(env, tmp_path)
    database.execute("TRUNCATE notes")
    suspect = str(suspect_run(keep, tmp_path).json["backup"]["name"])
    ran = pgbackup("prune", "--apply", env=keep, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert "older than a suspect backup" in ran.out
    assert names(store) == {first, second, suspect}
    accepted = pgbackup("accept", "--file", suspect, env=keep, cwd=tmp_path)
    assert accepted.code == 0, accepted.said
    assert pgbackup("prune", "--apply", env=keep, cwd=tmp_path).code == 0
    assert names(store) == {suspect}


def test_only_a_suspect_backup_can_be_accepted(env: dict[str, str], tmp_path: Path) -> None:
    take(env, tmp_path)
    ran = pgbackup("accept", "--file", "latest", env=env, cwd=tmp_path)
    assert ran.code == 8
    assert "not suspect" in ran.err


def test_prune_shows_its_plan_and_deletes_only_when_told_to(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    keep = {**env, "KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0"}
    newest = take(env, tmp_path)
    old = age(store, newest, "20250101T000000Z")
    unverified = age(store, newest, "20250102T000000Z")
    assert pgbackup("verify", "--file", old, env=env, cwd=tmp_path).code == 0
    stranger = store / "holiday pictures"
    stranger.mkdir()
    plan = pgbackup("prune", "--json", env=keep, cwd=tmp_path).json
    decided = {one["name"]: one["keep"] for one in plan["plans"][0]["decisions"]}
    assert decided == {newest: True, unverified: True, old: False}
    assert all(one["reasons"] for one in plan["plans"][0]["decisions"])
    assert names(store) == {newest, old, unverified}
    assert "--apply" in pgbackup("prune", env=keep, cwd=tmp_path).out
    assert pgbackup("prune", "--apply", "--dry-run", env=keep, cwd=tmp_path).code == 0
    assert names(store) == {newest, old, unverified}
    assert pgbackup("prune", "--apply", env=keep, cwd=tmp_path).code == 0
    assert names(store) == {newest, unverified}
    assert stranger.exists()


def test_a_backup_prunes_behind_itself_when_asked(
    env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    keep = {**env, "KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0"}
    first = take(keep, tmp_path)
    second = take(keep, tmp_path, "--prune")
    assert first != second
    assert names(store) == {second}


def test_a_backup_of_the_sample_application_restores_with_stock_tools(
    database: Database, store: Path, tmp_path: Path
) -> None:
    database.execute(sampledata.statements(20, 30))
    name = take(environment(database.url, store), tmp_path)
    tools = database.server.bin_dir
    with database.server.database() as target:
        argv = [f"{tools}/pg_restore", "--jobs=2", "--exit-on-error", f"--dbname={target.url}"]
        done = subprocess.run([*argv, str(store / name)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for table in ("conversations", "messages", "project_knowledge", "conversation_index"):
            contents = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
            assert target.query(contents) == database.query(contents)


def test_the_environment_of_other_programs_does_not_reach_the_dump(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".psqlrc").write_text("\\echo noise\n\\set ON_ERROR_STOP off\n")
    confused = {**env, "HOME": str(tmp_path), "PGCLIENTENCODING": "LATIN1", "LC_ALL": "de_DE.UTF-8"}
    confused["PSQLRC"] = os.fspath(tmp_path / ".psqlrc")
    take(confused, tmp_path)


def test_a_role_that_may_not_read_the_roles_backs_up_without_them(
    database: Database, store: Path, tmp_path: Path
) -> None:
    role = f"reader_of_{database.name}"
    database.execute(
        f"CREATE TABLE notes AS SELECT 1 AS n; CREATE ROLE {role} LOGIN PASSWORD '{SECRET}';"
        f"GRANT SELECT ON notes TO {role}; REVOKE SELECT ON pg_catalog.pg_auth_members FROM PUBLIC"
    )
    admin = database.server.scratch
    url = f"postgresql://{role}:{SECRET}@127.0.0.1:{admin.port}/{database.name}"
    ran = pgbackup("backup", "--json", env=environment(url, store), cwd=tmp_path)
    assert ran.code == 0, ran.said
    (note,) = ran.json["notes"]
    assert note.startswith("no globals.sql: ")
    place = Path(ran.json["backup"]["path"])
    assert not (place / "globals.sql").exists()
    assert "create them by hand" in (place / "RESTORE.md").read_text()
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
