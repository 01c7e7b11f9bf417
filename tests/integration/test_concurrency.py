"""Runs that meet: of one database, of two, of two environments, and prune beside a backup."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..running import environment, pgbackup
from ..servers import Database, Server
from .disturbing import (
    begun,
    contents,
    ended,
    fill_with_data,
    held,
    leftovers,
    names,
    soon,
    take,
)


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    """A database of some 50 MB, read by every test here."""
    with server.database() as database:
        fill_with_data(database)
        yield database


def test_a_second_backup_of_one_database_ends_at_once_and_names_the_first(
    source: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store)
    with begun("backup", env=env, cwd=tmp_path) as first:
        with held(source, "psql"):
            (partial,) = leftovers(store)
            second = pgbackup("backup", env=env, cwd=tmp_path)  # ends while the first cannot
            assert leftovers(store) == [partial]
        assert second.code == 6, second.said
        assert f"process {first.pid} on {socket.gethostname()}" in second.err
        assert ended(first, tmp_path).code == 0
    take(env, tmp_path)
    assert len(names(store)) == 2


def test_a_lock_file_that_is_damaged_does_not_hide_that_it_is_held(
    source: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store)
    with begun("backup", env=env, cwd=tmp_path) as first:
        with held(source, "psql"):
            (lock,) = store.glob(".lock-*")
            lock.write_bytes(b"\xff\xfe\x00")
            second = pgbackup("backup", env=env, cwd=tmp_path)
        assert second.code == 6, second.said
        assert ended(first, tmp_path).code == 0


def test_pruning_and_a_backup_of_one_database_exclude_each_other(
    source: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store, KEEP_LAST="1")
    for _ in range(2):
        take(env, tmp_path)
    before = contents(store)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, "psql"):
            pruned = pgbackup("prune", "--apply", env=env, cwd=tmp_path)
            assert pruned.code == 6, pruned.said
            assert str(process.pid) in pruned.err
            assert contents(store) == before
            assert pgbackup("prune", env=env, cwd=tmp_path).code == 0  # the plan alone is free
        assert ended(process, tmp_path).code == 0
    assert len(names(store)) == 3
    assert pgbackup("prune", "--apply", env=env, cwd=tmp_path).code == 0
    assert len(names(store)) == 1


def test_backups_of_two_databases_run_side_by_side(
    source: Database, small: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, "psql"):
            take(environment(small.url, store), tmp_path)
            assert len(names(store)) == 1
        assert ended(process, tmp_path).code == 0
    assert len(names(store)) == 2
    assert not leftovers(store)


def test_a_starting_backup_sweeps_nothing_of_another_database_that_is_running(
    source: Database, small: Database, store: Path, tmp_path: Path
) -> None:
    (store / f".partial-{small.name}_test_20260101T000000Z").mkdir()
    env = environment(source.url, store)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, "psql"):
            take(environment(small.url, store), tmp_path)
            (partial,) = leftovers(store)
            assert partial.startswith(f".partial-{source.name}_")
        assert ended(process, tmp_path).code == 0


def test_two_environments_in_one_store_never_see_each_other(
    small: Database, store: Path, tmp_path: Path
) -> None:
    test = environment(small.url, store, KEEP_LAST="1")
    stage = {**test, "BACKUP_ENV": "stage"}
    tests = [take(test, tmp_path) for _ in range(2)]
    stages = [take(stage, tmp_path) for _ in range(2)]
    for env, own, others in ((test, tests, stages), (stage, stages, tests)):
        listed = pgbackup("list", "--json", env=env, cwd=tmp_path).out
        assert [name in listed for name in own] == [True, True]
        assert not any(name in listed for name in others)
        latest = pgbackup("verify", "--file", "latest", "--json", env=env, cwd=tmp_path)
        assert own[-1] in latest.out
        asked = ("verify", "--env", env["BACKUP_ENV"], "--file", others[0])
        assert pgbackup(*asked, env=env, cwd=tmp_path).code == 7
    assert pgbackup("prune", "--apply", env=test, cwd=tmp_path).code == 0
    assert names(store) == sorted([tests[-1], *stages])


def test_backups_of_two_environments_run_side_by_side(
    source: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, "psql"):
            take({**env, "BACKUP_ENV": "stage"}, tmp_path)
        assert ended(process, tmp_path).code == 0
    assert len(names(store)) == 2


def test_of_many_backups_started_at_once_each_succeeds_or_says_that_it_is_busy(
    small: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(small.url, store)
    places = [tmp_path / str(number) for number in range(4)]
    with ExitStack() as stack:
        runs = []
        for place in places:
            place.mkdir()
            runs.append(stack.enter_context(begun("backup", env=env, cwd=place)))
        codes = [ended(run, place).code for run, place in zip(runs, places, strict=True)]
    assert set(codes) <= {0, 6}
    assert len(names(store)) == codes.count(0) >= 1
    assert not leftovers(store)


def test_a_backup_in_a_second_that_has_one_gets_a_name_of_its_own(
    small: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(small.url, store)
    now = time.time()
    taken = {
        time.strftime(f"{small.name}_test_%Y%m%dT%H%M%SZ", time.gmtime(now + ahead))
        for ahead in range(15)
    }
    for name in taken:
        (store / name).mkdir()
    assert take(env, tmp_path) not in taken
    assert not any(any((store / name).iterdir()) for name in taken)


def test_listing_and_verifying_are_free_while_a_backup_runs(
    source: Database, store: Path, tmp_path: Path
) -> None:
    env = environment(source.url, store)
    first = take(env, tmp_path)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, "psql"):
            soon(lambda: leftovers(store), "the partial directory")
            listed = pgbackup("list", "--json", env=env, cwd=tmp_path)
            assert listed.code == 0
            assert ".partial" not in listed.out
            assert listed.out.count(f'"{first}"') == 1
            verified = pgbackup("verify", "--file", "latest", env=env, cwd=tmp_path)
            assert verified.code == 0
            assert first in verified.said
        assert ended(process, tmp_path).code == 0
