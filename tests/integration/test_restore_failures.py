"""Restores that fail, are interrupted or killed: the target stays as it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..servers import Database, Server
from .disturbing import begun, ended, running, soon
from .restoring import Restoring, described, sleeping, slow, spoil


@pytest.mark.parametrize("state", ["missing", "empty", "full"])
def test_a_restore_that_fails_at_its_end_leaves_the_target_as_it_was(
    chat: Restoring, state: str
) -> None:
    spoil(chat)
    if state != "missing":
        chat.make(script="CREATE TABLE mine AS SELECT 1 AS id" if state == "full" else "")
    before = described(chat, chat.place("target"))
    ran = chat.run("--replace")
    assert ran.code == 9, ran.said
    assert "FK CONSTRAINT messages messages_conversation_fkey" in ran.err
    assert chat.databases() == ([] if state == "missing" else ["target"])
    assert described(chat, chat.place("target")) == before
    if state == "full":
        assert chat.target().query("SELECT * FROM mine") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_the_target_as_it_was(chat: Restoring, number: signal.Signals) -> None:
    slow(chat)
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", "--replace")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        os.kill(process.pid, number)
        code = process.wait(60)
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    if number == signal.SIGKILL:
        assert code == -9
        assert len(chat.databases()) == 2
    else:
        assert code == 128 + number
        assert "was not changed" in (chat.cwd / "err").read_text()
        assert chat.databases() == ["target"]


def test_what_a_kill_left_is_removed_by_the_next_restore(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (left,) = chat.databases()
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert f"removed {chat.place(left)}" in ran.err
    assert chat.databases() == ["target"]


def test_a_database_that_was_just_being_made_is_removed_by_the_next_restore(
    chat: Restoring,
) -> None:
    # What a kill leaves between two statements, before the mark: nobody may connect to it.
    unfinished, other = "target_restoring_20260101T000000Z", "target_restoring_20260102T000000Z"
    chat.server.maintenance.execute(
        f'CREATE DATABASE "{chat.place(unfinished)}" ALLOW_CONNECTIONS false'
    )
    chat.make(other)
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert f"removed {chat.place(unfinished)}" in ran.err
    assert chat.databases() == ["target", other]


def test_two_restores_into_one_database_do_not_meet(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        assert chat.run().code == 6
        assert process.wait(60) == 0
    assert chat.databases() == ["target"]


def test_sessions_that_the_server_ends_leave_the_target_as_it_was(chat: Restoring) -> None:
    slow(chat)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        chat.server.maintenance.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pg_restore'"
        )
        assert process.wait(60) == 3
    assert chat.databases() == []


@pytest.mark.parametrize("words", [(), ("--replace",)], ids=["new", "replace"])
def test_a_pg_restore_that_is_killed_leaves_the_target_as_it_was(
    chat: Restoring, words: tuple[str, ...]
) -> None:
    slow(chat, 100)
    if words:
        chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    before = chat.databases()
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", *words)
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        # the first one is the leader, whose worker works on without it
        os.kill(min(running(f"dbname={chat.place('target')}_restoring_")), signal.SIGKILL)
        ran = ended(process, chat.cwd, within=10)
    assert ran.code == 9, ran.said
    assert "pg_restore was killed by signal 9" in ran.err
    assert chat.databases() == before
    if before:
        assert chat.target().query("SELECT * FROM mine") == [(1,)]


@pytest.mark.parametrize("words", [(), ("--replace",)], ids=["new", "replace"])
def test_a_server_that_dies_keeps_the_target_as_it_was(
    chat: Restoring, tmp_path: Path, words: tuple[str, ...]
) -> None:
    slow(chat)
    with ScratchServer(tmp_path / "dies", bound=True, settings=UNSAFE_BUT_FAST) as scratch:
        server = Server(18, scratch)
        target = Database("target", server)
        if words:
            server.maintenance.execute("CREATE DATABASE target")
            target.execute("CREATE TABLE mine AS SELECT 1 AS id")
        words = (f"--to={target.url}", *words)
        command = ("restore", f"--file={chat.name}", *words)
        with begun(*command, env=chat.env, cwd=chat.cwd) as process:
            soon(lambda: sleeping(server), "pg_restore in the middle")
            assert scratch.pid
            os.kill(scratch.pid, signal.SIGQUIT)
            ran = ended(process, chat.cwd, within=30)
        assert ran.code == 3, ran.said
        assert "the next restore removes it" in ran.err
        scratch.stop()
        scratch.start()
        names = "SELECT datname FROM pg_database WHERE starts_with(datname, 'target') ORDER BY 1"
        left = [name for (name,) in server.maintenance.query(names)]
        assert [name for name in left if "_restoring_" not in name] == (["target"] * len(words))[1:]
        if len(words) > 1:
            assert target.query("SELECT * FROM mine") == [(1,)]
        ran = chat.run(*words, to=None)
        assert ran.code == 0, ran.said
        assert chat.counts(target) == [(50, 2000)]
        left = [name for (name,) in server.maintenance.query(names)]
        assert len(left) == len(words)
        assert not any("_restoring_" in name for name in left)
