"""Stores that are missing, read-only or full, before a backup and in the midst of one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import argv, environment, pgbackup
from ..servers import Database, Server
from .disturbing import (
    FORMATS,
    READER,
    begun,
    contents,
    ended,
    fill,
    fill_with_data,
    held,
    leftovers,
    names,
    stop_at_phase,
    take,
    tmpfs,
    tools,
)


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    """A database of some 50 MB, read by every test here."""
    with server.database() as database:
        fill_with_data(database)
        yield database


def test_a_store_that_is_missing_is_named_and_not_made(small: Database, tmp_path: Path) -> None:
    store = tmp_path / "not" / "mounted"
    ran = pgbackup("backup", env=environment(small.url, store), cwd=tmp_path)
    assert ran.code == 4, ran.said
    assert str(store) in ran.err
    assert "No such file or directory" in ran.err
    assert "mount" in ran.err
    assert not store.parent.exists()


def test_a_store_that_is_a_file_is_refused_and_left_alone(small: Database, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("precious")
    ran = pgbackup("backup", env=environment(small.url, store), cwd=tmp_path)
    assert ran.code == 4, ran.said
    assert "Not a directory" in ran.err
    assert store.read_text() == "precious"


def test_a_link_to_a_store_that_is_gone_is_refused(small: Database, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.symlink_to(tmp_path / "gone")
    ran = pgbackup("backup", env=environment(small.url, store), cwd=tmp_path)
    assert ran.code == 4, ran.said
    assert str(store) in ran.err


def test_a_store_without_write_permission_is_refused(small: Database, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir(mode=0o500)
    command = argv("backup")
    if os.geteuid() == 0:  # root may write everywhere, but for one capability
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *command]
    env = environment(small.url, store)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "Permission denied" in done.stderr
    assert "Let the backup user write to it." in done.stderr


def test_a_store_that_became_read_only_is_refused_until_it_is_writable(
    small: Database, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "store", "size=64m") as store:
        env = environment(small.url, store)
        first = take(env, tmp_path)
        before = contents(store)
        remount(store, "ro")
        ran = pgbackup("backup", env=env, cwd=tmp_path)
        assert ran.code == 4, ran.said
        assert "Read-only file system" in ran.err
        assert "read-write" in ran.err
        assert pgbackup("verify", "--file", first, env=env, cwd=tmp_path).code == 0
        assert pgbackup("list", env=env, cwd=tmp_path).code == 0
        assert contents(store) == before
        remount(store, "rw")
        take(env, tmp_path)


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def test_a_store_too_small_for_the_database_is_refused_before_anything_is_written(
    source: Database, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "store", "size=8m") as store:
        ran = pgbackup("backup", env=environment(source.url, store), cwd=tmp_path)
        assert ran.code == 4, ran.said
        assert "MB free" in ran.err
        assert "prune" in ran.err
        assert not names(store)
        assert not leftovers(store)


def test_another_place_can_be_named_for_once_when_the_store_is_full(
    source: Database, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "store", "size=8m") as store:
        other = tmp_path / "other"
        other.mkdir()
        env = environment(source.url, store)
        name = take(env, tmp_path, "--dest", str(other))
        assert names(other) == [name]
        assert not names(store)
        listed = pgbackup("list", "--json", "--dest", str(other), env=env, cwd=tmp_path)
        assert name in listed.out
        assert name not in pgbackup("list", "--json", env=env, cwd=tmp_path).out


@pytest.mark.parametrize("form", FORMATS)
def test_a_disk_that_fills_up_during_the_dump_costs_only_that_backup(
    source: Database, tmp_path: Path, form: str
) -> None:
    with tmpfs(tmp_path / "store", "size=200m") as store:
        env = environment(source.url, store, BACKUP_FORMAT=form, BACKUP_JOBS="1")
        take(env, tmp_path)
        before = contents(store)
        with begun("backup", env=env, cwd=tmp_path) as process:
            with held(source, READER[form]):
                ballast = fill(store, leave=100_000)
            ran = ended(process, tmp_path)
        assert ran.code == 4, ran.said
        assert "No space left" in ran.err or "filled up" in ran.err
        assert str(store) in ran.err
        assert "Free some space" in ran.err
        assert not tools(source)
        assert contents(store) == before
        assert leftovers(store) == ["ballast"]
        ballast.unlink()
        take(env, tmp_path)
        assert len(names(store)) == 2


@pytest.mark.parametrize("phase", ["hash", "verify"])
def test_no_room_for_the_manifest_or_the_record_costs_only_that_backup(
    source: Database, tmp_path: Path, phase: str
) -> None:
    with tmpfs(tmp_path / "store", "size=200m") as store:
        env = environment(source.url, store, BACKUP_FORMAT="text")
        take(env, tmp_path)
        before = contents(store)
        with begun("backup", env=env, cwd=tmp_path) as process:
            stop_at_phase(process, tmp_path, phase)
            ballast = fill(store)
            process.send_signal(signal.SIGCONT)
            ran = ended(process, tmp_path)
        assert ran.code == 4, ran.said
        assert "No space left on device" in ran.err
        assert contents(store) == before
        assert leftovers(store) == ["ballast"]
        ballast.unlink()
        take(env, tmp_path)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("left", [0, 2, 6])
def test_a_disk_without_inodes_costs_only_that_backup(
    small: Database, tmp_path: Path, form: str, left: int
) -> None:
    with tmpfs(tmp_path / "store", "size=64m,nr_inodes=64") as store:
        env = environment(small.url, store, BACKUP_FORMAT=form)
        take(env, tmp_path)
        before = contents(store)
        ballast = use_inodes(store, left)
        ran = pgbackup("backup", env=env, cwd=tmp_path)
        assert ran.code == 4, ran.said
        assert str(store) in ran.err
        assert contents(store) == before
        assert leftovers(store) == ["ballast"]
        for file in ballast:
            file.unlink()
        take(env, tmp_path)


def use_inodes(store: Path, left: int) -> list[Path]:
    """Create empty files until only so many more can be."""
    place = store / "ballast"
    place.mkdir()
    files = []
    for number in range(os.statvfs(store).f_favail - left):
        files.append(place / str(number))
        files[-1].touch()
    return files
