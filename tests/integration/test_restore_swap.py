"""A restore into the place of a database: what is kept, and who is in the way."""

from __future__ import annotations

import threading

import psycopg
import pytest

from ..comparing import drop
from ..servers import Database
from .disturbing import begun, soon
from .restoring import Restoring


def test_a_database_that_is_not_empty_is_refused(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    ran = chat.run()
    assert ran.code == 8
    assert "public.mine" in ran.err
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    assert chat.databases() == ["target"]


def test_whatever_somebody_made_counts_as_content(chat: Restoring) -> None:
    target = chat.make()
    for made, dropped in (
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f"),
        ("CREATE SCHEMA mine", "DROP SCHEMA mine"),
        ("CREATE TYPE mine AS ENUM ('a')", "DROP TYPE mine"),
        ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
        ('CREATE COLLATION mine FROM "C"', "DROP COLLATION mine"),
        ("CREATE PUBLICATION mine", "DROP PUBLICATION mine"),
        (
            "CREATE FOREIGN DATA WRAPPER mine; CREATE SERVER mine FOREIGN DATA WRAPPER mine",
            "DROP FOREIGN DATA WRAPPER mine CASCADE",
        ),
    ):
        target.execute(made)
        assert chat.run("--dry-run").code == 8, made
        target.execute(dropped)
    assert chat.run("--dry-run").code == 0


def test_an_empty_database_is_taken_with_what_was_set_on_it(chat: Restoring) -> None:
    chat.make(script="CREATE EXTENSION vector" if chat.server.has_vector else "")
    chat.target().execute(f"ALTER DATABASE \"{chat.place('target')}\" SET work_mem = '9MB'")
    ran = chat.run()
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]
    assert chat.target().query("SHOW work_mem") == [("9MB",)]
    assert chat.databases() == ["target"]


def test_replace_keeps_the_old_database_under_a_dated_name(any_chat: Restoring) -> None:
    any_chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    ran = any_chat.run("--replace", "--json")
    assert ran.code == 0, ran.said
    kept = ran.json["kept"]
    assert kept.startswith(any_chat.place("target_replaced_2"))
    assert Database(kept, any_chat.server).query("SELECT * FROM mine") == [(1,)]
    assert any_chat.counts(any_chat.target()) == [(50, 2000)]
    assert len(any_chat.databases()) == 2


def test_sessions_on_the_old_database_are_named_and_ended_only_when_told(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    with psycopg.connect(chat.target().url, application_name="the app") as session:
        session.execute("SELECT 1")
        ran = chat.run("--replace")
        assert ran.code == 8
        assert "the app" in ran.err
        assert chat.databases() == ["target"]
        ran = chat.run("--replace", "--end-sessions")
        assert ran.code == 0, ran.said
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_an_application_that_comes_back_at_once_does_not_hinder_the_swap(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    done = threading.Event()

    def insist() -> None:
        while not done.is_set():
            try:
                with psycopg.connect(chat.target().url) as session:
                    session.execute("SELECT pg_sleep(1)")
            except psycopg.OperationalError:
                pass

    threads = [threading.Thread(target=insist) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        ran = chat.run("--replace", "--end-sessions")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_somebody_who_connects_meanwhile_costs_no_restored_database(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", "--replace")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: any("_restoring_" in name for name in chat.databases()), "the restore")
        with psycopg.connect(chat.target().url):
            assert process.wait(60) == 8
    said = (chat.cwd / "err").read_text()
    (ready,) = [name for name in chat.databases() if "_restored_" in name]
    assert ready in said
    assert chat.counts(chat.target(ready)) == [(50, 2000)]
    assert chat.target().query("SELECT * FROM mine") == [(1,)]


def test_a_role_that_may_only_make_databases_restores_and_replaces(any_chat: Restoring) -> None:
    role = f"{any_chat.source.name}_maker"
    any_chat.source.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'maker'")
    admin = any_chat.server.url(any_chat.place("target"))
    url = admin.replace(f"//postgres:{any_chat.server.scratch.password}@", f"//{role}:maker@")
    try:
        ran = any_chat.run(f"--to={url}", "--no-owner", to=None)
        assert ran.code == 0, ran.said
        ran = any_chat.run(f"--to={url}", "--no-owner", "--replace", "--json", to=None)
        assert ran.code == 0, ran.said
        for name in (any_chat.place("target"), ran.json["kept"]):
            assert any_chat.counts(Database(name, any_chat.server)) == [(50, 2000)]
    finally:
        for name in any_chat.databases():
            drop(any_chat.server, any_chat.place(name))
        any_chat.source.execute(f"DROP ROLE {role}")
