"""Backups that are interrupted, killed, or lose their tools: nothing is left, nothing is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import environment, pgbackup
from ..servers import Database, Server
from .disturbing import (
    FORMATS,
    READER,
    begun,
    contents,
    ended,
    fill_with_data,
    held,
    leftovers,
    names,
    soon,
    stop_at_phase,
    take,
    tools,
)

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    """A database of some 100 MB in two tables, read by every test here."""
    with server.database() as database:
        fill_with_data(database, tables=2)
        yield database


@pytest.fixture
def small_env(database: Database, store: Path) -> dict[str, str]:
    database.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
    return environment(database.url, store)


def assert_only_that_backup_was_lost(
    database: Database, env: dict[str, str], store: Path, before: dict[str, str]
) -> None:
    """Earlier backups are as they were, nothing is left over, and the next run succeeds."""
    assert not tools(database)
    assert contents(store) == before
    assert not leftovers(store)
    take(env, store.parent)


@pytest.mark.parametrize(
    ("number", "form"),
    [(INT, "text"), (TERM, "text"), (INT, "binary"), (TERM, "binary"), (HUP, "binary")],
)
def test_a_signal_during_the_dump_ends_it_and_cleans_up(
    source: Database, kept: Path, tmp_path: Path, number: signal.Signals, form: str
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS="2")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process, held(source, READER[form]):
        process.send_signal(number)
        ran = ended(process, tmp_path)
        assert not tools(source)
    assert ran.code == 128 + number
    assert f"Interrupted by {number.name}" in ran.err
    assert_only_that_backup_was_lost(source, env, kept, before)


@pytest.mark.parametrize(("second", "form"), [(TERM, "text"), (INT, "binary")])
def test_a_second_signal_does_not_disturb_the_cleaning_up(
    source: Database, kept: Path, tmp_path: Path, second: signal.Signals, form: str
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS="1")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process, held(source, READER[form]):
        for tool in tools(source):  # these will outlast SIGTERM
            os.kill(tool, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        for _ in range(5):
            time.sleep(0.1)
            process.send_signal(second)
        ran = ended(process, tmp_path)
    assert ran.code == 130
    assert_only_that_backup_was_lost(source, env, kept, before)


def test_a_signal_while_waiting_for_a_locked_table_ends_the_wait(
    database: Database, small_env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    take(small_env, tmp_path)
    before = contents(store)
    with database.connect() as other, begun("backup", env=small_env, cwd=tmp_path) as process:
        other.execute("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        soon(lambda: waiting(database), "the wait for the lock")
        process.send_signal(signal.SIGTERM)
        ran = ended(process, tmp_path)
        soon(lambda: not waiting(database), "the end of the wait on the server, too")
    assert ran.code == 143
    assert len(ran.err.splitlines()) == 2  # what happened, and what to do
    assert_only_that_backup_was_lost(database, small_env, store, before)


def waiting(database: Database) -> bool:
    sql = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    return bool(database.server.maintenance.query(sql, database.name))


@pytest.mark.parametrize("phase", ["hash", "verify"])
def test_a_signal_while_the_dump_is_read_back_ends_the_run(
    source: Database, kept: Path, tmp_path: Path, phase: str
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT="text")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process:
        stop_at_phase(process, tmp_path, phase)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        ran = ended(process, tmp_path)
    assert ran.code == 143
    assert_only_that_backup_was_lost(source, env, kept, before)


def test_a_signal_while_rows_are_counted_ends_the_run_though_the_server_hangs(
    server: Server, store: Path, tmp_path: Path
) -> None:
    with server.database() as database:
        database.execute("CREATE TABLE many AS SELECT generate_series(1, 3000000) AS id")
        env = environment(database.url, store, BACKUP_FORMAT="text")
        counting = "SELECT %count(*) FROM ONLY%"
        with (
            begun("backup", env=env, cwd=tmp_path) as process,
            held(database, "pgbackup", counting),
        ):
            process.send_signal(signal.SIGINT)
            ran = ended(process, tmp_path)
        assert ran.code == 130
        assert_only_that_backup_was_lost(database, env, store, {})


def test_a_signal_while_a_backup_is_verified_leaves_it_as_it_was(
    source: Database, kept: Path, tmp_path: Path
) -> None:
    env = environment(source.url, kept)
    (name,) = names(kept)
    before = contents(kept)
    with begun("verify", "--file", name, env=env, cwd=tmp_path) as process:
        stop_at_phase(process, tmp_path, "verify")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        ran = ended(process, tmp_path)
    assert ran.code == 130, ran.said
    assert contents(kept) == before
    assert not leftovers(kept)
    assert pgbackup("verify", "--file", name, env=env, cwd=tmp_path).code == 0


def test_an_interrupt_while_modules_are_still_being_read_shows_no_traceback(
    tmp_path: Path,
) -> None:
    # A shell starts what runs in the background with SIGINT ignored, these tests perhaps.
    before = signal.signal(INT, signal.default_int_handler)
    try:
        with begun("list", env=environment(None, tmp_path), cwd=tmp_path) as process:
            maps = Path(f"/proc/{process.pid}/maps")
            soon(lambda: "pydantic_core" in maps.read_text(), "one of the modules")
            process.send_signal(INT)
            ran = ended(process, tmp_path)
    finally:
        signal.signal(INT, before)
    assert ran.code in {-INT, 130}, ran.said


def test_a_backup_that_is_pruned_while_it_is_verified_is_gone_and_not_damaged(
    source: Database, kept: Path, tmp_path: Path
) -> None:
    env = environment(source.url, kept)
    (name,) = names(kept)
    with begun("verify", "--file", name, env=env, cwd=tmp_path) as process:
        stop_at_phase(process, tmp_path, "verify")
        (kept / name).rename(kept / f".deleted-{name}")
        shutil.rmtree(kept / f".deleted-{name}")
        process.send_signal(signal.SIGCONT)
        ran = ended(process, tmp_path)
    assert ran.code == 7, ran.said
    assert "was deleted while it was read" in ran.err


@pytest.mark.parametrize("form", FORMATS)
def test_a_dump_tool_that_is_killed_fails_the_backup(
    source: Database, kept: Path, tmp_path: Path, form: str
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS="1")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process:
        with held(source, READER[form]):
            for tool in named(source, READER[form]):
                os.kill(tool, signal.SIGKILL)
        ran = ended(process, tmp_path)
    assert ran.code == 9, ran.said
    assert f"{READER[form]} was killed by signal 9" in ran.err
    assert_only_that_backup_was_lost(source, env, kept, before)


def named(database: Database, program: str) -> list[int]:
    return [p for p in tools(database) if Path(f"/proc/{p}/comm").read_text().strip() == program]


def test_a_backup_is_not_published_without_the_roles_because_pg_dumpall_was_killed(
    database: Database, small_env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    take(small_env, tmp_path)
    before = contents(store)
    with database.connect() as other, begun("backup", env=small_env, cwd=tmp_path) as process:
        # What pg_dumpall reads first, and nobody else.
        other.execute("BEGIN; LOCK TABLE pg_catalog.pg_parameter_acl IN ACCESS EXCLUSIVE MODE")
        soon(lambda: named(database, "pg_dumpall"), "pg_dumpall")
        soon(lambda: waiting(database), "its wait")
        for tool in named(database, "pg_dumpall"):
            os.kill(tool, signal.SIGKILL)
        ran = ended(process, tmp_path)
    assert ran.code == 9, ran.said
    assert "pg_dumpall was killed by signal 9" in ran.err
    assert_only_that_backup_was_lost(database, small_env, store, before)


def test_a_worker_of_pg_dump_that_is_killed_fails_the_backup(
    source: Database, kept: Path, tmp_path: Path
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT="text", BACKUP_JOBS="2")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process, held(source, "pg_dump"):
        workers = [pid for pid in tools(source) if is_worker(pid, source)]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        ran = ended(process, tmp_path)
    assert ran.code == 9, ran.said
    assert "pg_dump failed" in ran.err
    assert_only_that_backup_was_lost(source, env, kept, before)


def is_worker(pid: int, database: Database) -> bool:
    """Whether a pg_dump was forked by another."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return parent in tools(database)


@pytest.mark.parametrize("form", FORMATS)
def test_a_backup_that_is_killed_takes_its_tools_along_and_the_next_run_sweeps(
    source: Database, kept: Path, tmp_path: Path, form: str
) -> None:
    env = environment(source.url, kept, BACKUP_FORMAT=form, BACKUP_JOBS="2")
    before = contents(kept)
    with begun("backup", env=env, cwd=tmp_path) as process, held(source, READER[form]):
        process.kill()
        process.wait()
        soon(lambda: not tools(source), "the end of every tool")
    (partial,) = leftovers(kept)
    assert partial.startswith(".partial-")
    assert contents(kept) == before
    listed = pgbackup("list", "--json", env=env, cwd=tmp_path)
    assert partial.removeprefix(".partial-") not in listed.out
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert f"removed {partial}" in ran.err
    assert not leftovers(kept)
    assert len(names(kept)) == 2


def test_backups_killed_at_any_moment_leave_only_whole_ones(
    database: Database, store: Path, tmp_path: Path
) -> None:
    fill_with_data(database, tables=2, rows=4_000)
    env = environment(database.url, store, KEEP_LAST="3")
    began = time.monotonic()
    take(env, tmp_path)
    usual = time.monotonic() - began
    moments = random.Random(7)
    for number in range(15):
        form = FORMATS[number % 2]
        disturbed = {**env, "BACKUP_FORMAT": form}
        with begun("backup", "--prune", env=disturbed, cwd=tmp_path) as process:
            time.sleep(usual * moments.uniform(0.3, 1.05))
            process.kill()
            process.wait()
    soon(lambda: not tools(database), "the end of every tool")
    for name in names(store):
        ran = pgbackup("verify", "--file", name, "--quiet", env=env, cwd=tmp_path)
        assert ran.code == 0, ran.said
    listed = pgbackup("list", "--json", env=env, cwd=tmp_path)
    assert ".partial" not in listed.out
    take(env, tmp_path, "--prune")
    assert not leftovers(store)
    assert len(names(store)) <= 3


def test_prune_removes_what_killed_runs_left_since_a_full_disk_lets_no_backup_do_it(
    small_env: dict[str, str], store: Path, tmp_path: Path
) -> None:
    name = take(small_env, tmp_path)
    left = [f".deleted-{name[:-16]}20260101T000000Z", f".partial-{name[:-16]}20260102T000000Z"]
    for directory in left:
        (store / directory).mkdir()
    assert pgbackup("prune", env=small_env, cwd=tmp_path).code == 0  # the plan changes nothing
    assert sorted(leftovers(store)) == left
    ran = pgbackup("prune", "--apply", env=small_env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert all(f"removed {directory}" in ran.err for directory in left)
    assert not leftovers(store)
