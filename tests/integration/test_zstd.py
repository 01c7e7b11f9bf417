"""Backups that zstd compressed: for clients that have it, and refused by name for all others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import sampledata

from .. import comparing
from ..running import environment, pgbackup
from ..servers import Database, Server, Servers


@pytest.fixture(scope="module")
def seventeen(servers: Servers) -> Server:
    """Debian 13's, which was built with zstd."""
    return servers.get(17)


@pytest.fixture(scope="module")
def source(seventeen: Server) -> Iterator[Database]:
    """The sample application, a table that is text, and large objects."""
    with seventeen.database() as database:
        database.execute(sampledata.statements(20, 300))
        database.execute(
            "CREATE TABLE searches (query tsquery);"
            "INSERT INTO searches VALUES (to_tsquery('simple', 'cat & dog')), ('');"
            "SELECT lo_from_bytea(0, convert_to(repeat('large ', 50000), 'UTF8'))"
        )
        yield database


def settings(source: Database, **more: str) -> dict[str, str]:
    tools = str(source.server.bin_dir)
    return {"BACKUP_COMPRESSION": "zstd", "BACKUP_PG_BIN": tools, **more}


def take(source: Database, place: Path, **more: str) -> Path:
    store = place / "store"
    store.mkdir(exist_ok=True)
    env = environment(source.url, store, **settings(source, **more))
    ran = pgbackup("backup", "--json", env=env, cwd=place)
    assert ran.code == 0, ran.said
    return Path(ran.json["backup"]["path"])


@pytest.fixture(scope="module")
def backup(source: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One backup of it, which tests only read."""
    return take(source, tmp_path_factory.mktemp("zstd"))


def manifest(backup: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("form", ["binary", "text"])
def test_every_table_is_compressed_by_zstd_and_stock_pg_restore_restores_it(
    source: Database, tmp_path: Path, form: str
) -> None:
    backup = take(source, tmp_path, BACKUP_FORMAT=form)
    tables = manifest(backup)["tables"]
    assert {table["file"].rpartition(".")[2] for table in tables} == {"zst"}
    assert {table["format"] for table in tables} == ({"text", form})
    assert len(list(backup.glob("blob_*.dat.zst"))) == 1
    tools = source.server.bin_dir
    for options in ([], ["--jobs=3"], ["--single-transaction"]):
        with source.server.database() as target:
            argv = [f"{tools}/pg_restore", "--exit-on-error", *options, f"--dbname={target.url}"]
            done = subprocess.run([*argv, str(backup)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            comparing.same(source, target)


def test_restore_md_says_what_pg_restore_must_have_and_its_words_restore(
    source: Database, backup: Path
) -> None:
    said = (backup / "RESTORE.md").read_text()
    assert "compressed by zstd" in said
    server = source.server
    with (
        comparing.aside(source) as original,
        comparing.restored(backup, source.name, server, server.bin_dir) as target,
    ):
        comparing.same(original, target)


def test_clients_without_zstd_are_refused_before_anything_is_written(
    small: Database, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    wheel = settings(small)
    ran = pgbackup("backup", env=environment(small.url, store, **wheel), cwd=tmp_path)
    assert ran.code == 2, ran.said
    assert "BACKUP_COMPRESSION=zstd: pg_dump and pg_restore 18" in ran.err
    assert "BACKUP_COMPRESSION=auto" in ran.err
    assert not [path for path in store.iterdir() if path.is_dir()]


def test_a_drill_takes_a_pg_restore_that_reads_it_for_its_own_newer_server(
    source: Database, backup: Path, tmp_path: Path
) -> None:
    words = ("drill", "--file", str(backup))
    env = environment(source.url, backup.parent, **settings(source))
    ran = pgbackup(*words, env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said


def test_a_drill_without_such_a_pg_restore_cannot_judge_and_says_why(
    source: Database, server: Server, backup: Path, tmp_path: Path
) -> None:
    tools = {"BACKUP_PG_BIN": str(server.bin_dir), "BACKUP_COMPRESSION": "auto"}
    env = environment(source.url, backup.parent, **tools)
    ran = pgbackup("drill", "--file", str(backup), env=env, cwd=tmp_path)
    assert ran.code == 8, ran.said
    assert "compressed by zstd" in ran.said
    assert "BACKUP_PG_BIN" in ran.said


def test_a_restore_by_clients_that_cannot_read_it_is_refused_before_anything_is_made(
    source: Database, server: Server, backup: Path, tmp_path: Path
) -> None:
    target = f"{source.name}_copy"
    tools = {"BACKUP_PG_BIN": str(server.bin_dir), "BACKUP_COMPRESSION": "auto"}
    env = environment(source.url, backup.parent, **tools)
    ran = pgbackup("restore", "--file", str(backup), "--to", target, env=env, cwd=tmp_path)
    assert ran.code == 8, ran.said
    assert "zstd" in ran.err
    names = source.server.maintenance.query("SELECT datname FROM pg_database")
    assert not [name for (name,) in names if name.startswith(target)]


def test_a_restore_by_clients_that_can_is_compared_and_named(
    source: Database, backup: Path, tmp_path: Path
) -> None:
    target = f"{source.name}_again"
    env = environment(source.url, backup.parent, **settings(source))
    ran = pgbackup("restore", "--file", str(backup), "--to", target, env=env, cwd=tmp_path)
    try:
        assert ran.code == 0, ran.said
        comparing.same_data(source, Database(target, source.server))
    finally:
        comparing.drop(source.server, target)


def cut(directory: Path) -> None:
    """Take away the end of the largest table, which pg_restore does not miss."""
    largest = max(directory.glob("*.dat.zst"), key=lambda path: path.stat().st_size)
    data = largest.read_bytes()
    largest.write_bytes(data[: len(data) // 2])


def test_an_archive_made_elsewhere_is_read_to_its_end_which_pg_restore_does_not(
    source: Database, tmp_path: Path
) -> None:
    place, tools = tmp_path / "elsewhere", source.server.bin_dir
    argv = [f"{tools}/pg_dump", "--format=directory", "--compress=zstd:long", f"--file={place}"]
    subprocess.run([*argv, source.url], check=True)
    env = environment(source.url, tmp_path, **settings(source))
    ran = pgbackup("verify", "--file", str(place), env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    cut(place)
    argv = [f"{tools}/pg_restore", "--file=/dev/null", str(place)]
    assert subprocess.run(argv, capture_output=True).returncode == 0
    ran = pgbackup("verify", "--file", str(place), env=env, cwd=tmp_path)
    assert ran.code == 5, ran.said
    assert "is cut off" in ran.err
