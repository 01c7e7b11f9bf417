"""Restores that others come across: writers, rivals, odd names, other ways to production."""

from __future__ import annotations

import hashlib
import json
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from ..comparing import drop
from ..servers import Database
from .disturbing import begun, ended, soon
from .restoring import Restoring, sleeping, slow


def test_a_target_that_is_filled_meanwhile_is_left_alone(chat: Restoring) -> None:
    slow(chat, 5)
    chat.make()
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}")
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        chat.target().execute("CREATE TABLE mine AS SELECT 1 AS id")
        ran = ended(process, chat.cwd)
    assert ran.code == 8, ran.said
    assert "is no longer empty (it has public.mine)" in ran.err
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    (ready,) = [name for name in chat.databases() if "_restored_" in name]
    assert chat.counts(chat.target(ready)) == [(50, 2000)]


@pytest.mark.parametrize("words", [(), ("--replace",)], ids=["new", "replace"])
def test_a_target_that_is_made_meanwhile_is_left_alone(
    chat: Restoring, words: tuple[str, ...]
) -> None:
    slow(chat, 5)
    words = ("restore", f"--file={chat.name}", f"--to={chat.place('target')}", *words)
    with begun(*words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
        ran = ended(process, chat.cwd)
    assert ran.code == 8, ran.said
    assert "has been made by somebody else" in ran.err
    assert chat.target().query("SELECT * FROM mine") == [(1,)]
    (ready,) = [name for name in chat.databases() if "_restored_" in name]
    assert chat.counts(chat.target(ready)) == [(50, 2000)]


def test_whatever_was_committed_before_the_swap_is_in_the_kept_database(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine (id int)")
    committed = []
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            with suppress(psycopg.Error), chat.target().connect() as session:
                while not done.is_set():
                    number = len(committed) + 1
                    session.execute("INSERT INTO public.mine VALUES (%s)", (number,))
                    committed.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        soon(lambda: len(committed) > 10, "writes")
        ran = chat.run("--replace", "--end-sessions", "--json")
    finally:
        done.set()
        writer.join()
    assert ran.code == 0, ran.said
    kept = Database(ran.json["kept"], chat.server)
    there = {number for (number,) in kept.query("SELECT id FROM mine")}
    assert set(committed) <= there
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_rows_that_others_write_to_one_table_at_once_are_not_taken_for_a_fault(
    chat: Restoring,
) -> None:
    assert chat.run().code == 0
    target = chat.target()
    target.execute("DROP TABLE app.messages")
    done = threading.Event()

    def write() -> None:
        with target.connect() as session:
            while not done.is_set():
                with suppress(psycopg.errors.UndefinedTable):
                    session.execute(
                        "INSERT INTO app.messages (conversation, body) VALUES (1, 'at once')"
                    )
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ran = chat.run("--only-table=app.messages")
    finally:
        done.set()
        writer.join()
    assert ran.code == 0, ran.said
    assert chat.counts(target) == [(50, 2001)]


def test_an_empty_database_that_cannot_be_dropped_is_kept(chat: Restoring) -> None:
    chat.make()
    chat.server.maintenance.execute(f'ALTER DATABASE "{chat.place("target")}" IS_TEMPLATE true')
    ran = chat.run("--json")
    kept = ran.json["kept"]
    chat.server.maintenance.execute(f'ALTER DATABASE "{kept}" IS_TEMPLATE false')
    assert ran.code == 0, ran.said
    assert kept.startswith(chat.place("target_replaced_"))
    assert chat.counts(chat.target()) == [(50, 2000)]


def test_prepared_transactions_of_the_old_database_are_said_before_the_work(
    chat: Restoring,
) -> None:
    name = chat.place("target")
    chat.make(script="CREATE TABLE mine (id int)")
    with chat.target().connect() as session:
        session.execute(f"BEGIN; INSERT INTO mine VALUES (1); PREPARE TRANSACTION '{name}'")
    try:
        ran = chat.run("--replace", "--end-sessions")
        assert ran.code == 8, ran.said
        assert f"1 prepared transactions wait in {name}" in ran.err
    finally:
        chat.target().execute(f"COMMIT PREPARED '{name}'")
    assert chat.run("--replace").code == 0


def test_names_of_any_kind_are_restored_into_and_replaced(chat: Restoring) -> None:
    start = f"{chat.source.name} we\"ird 'n\u00e4me; DROP\\x \u20ac"
    names = [(start + "-" * (62 - len(start.encode()))) + end for end in "ab"]
    assert {len(name.encode()) for name in names} == {63}
    kept = []
    try:
        for name in names:
            assert chat.run(f"--to={name}", to=None).code == 0
            Database(name, chat.server)
        for name in names:
            ran = chat.run(f"--to={name}", "--replace", "--json", to=None)
            assert ran.code == 0, ran.said
            kept.append(ran.json["kept"])
        assert len(set(kept)) == 2
        for name in [*names, *kept]:
            with psycopg.connect(chat.server.url(name)) as session:
                counted = session.execute("SELECT count(*) FROM app.messages").fetchall()
            assert counted == [(2000,)]
    finally:
        for name in [*names, *kept]:
            drop(chat.server, name)


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """Another port that leads to this one, as a tunnel's or a proxy's does."""

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as far:
                ends = {self.request: far, far: self.request}
                while ready := select.select(list(ends), [], [])[0]:
                    data = ready[0].recv(65536)
                    if not data:
                        break
                    ends[ready[0]].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def described(chat: Restoring, text: str) -> None:
    file = chat.cwd / ".env.prod"
    file.write_text(text)
    file.chmod(0o600)


def test_production_is_known_through_a_tunnel(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    url = chat.target().url
    with forwarded(chat.server.scratch.port) as port:
        described(chat, f"DATABASE_URL={url.replace(str(chat.server.scratch.port), str(port))}\n")
        ran = chat.run("--replace", f"--to={url}", to=None)
        assert ran.code == 8, ran.said
        assert "it is the database of environment prod" in ran.err
        assert chat.run("--replace", f"--to={url}", "--confirm=target", to=None).code == 8
        ran = chat.run("--replace", f"--to={url}", f"--confirm={chat.place('target')}", to=None)
        assert ran.code == 0, ran.said


def test_what_might_be_production_is_named_again_too(chat: Restoring) -> None:
    (chat.cwd / ".env.prod").mkdir()  # nobody can read it, not even root
    to = f"--to={chat.target().url}"
    assert chat.run(to, to=None).code == 0  # nothing is there that it could harm
    ran = chat.run("--replace", to, to=None)
    assert ran.code == 8, ran.said
    assert f"say --confirm {chat.place('target')}" in ran.err
    own = chat.source.url.rpartition("/")[2]
    assert "--confirm" not in chat.run("--replace", to=own).err
    ran = chat.run("--replace", to, f"--confirm={chat.place('target')}", to=None)
    assert ran.code == 0, ran.said


def test_production_is_known_by_its_connection_service(chat: Restoring) -> None:
    chat.make(script="CREATE TABLE mine AS SELECT 1 AS id")
    scratch = chat.server.scratch
    services = chat.cwd / ".pg_service.conf"
    services.write_text(
        f"[live]\nhost=localhost\nport={scratch.port}\nuser=postgres\n"
        f"password={scratch.password}\ndbname={chat.place('target')}\n"
    )
    services.chmod(0o600)
    described(chat, "PGSERVICE=live\n")
    ran = chat.run("--replace", f"--to={chat.target().url}", to=None, HOME=str(chat.cwd))
    assert ran.code == 8, ran.said
    assert "it is the database of environment prod" in ran.err
    to = "--to=service=live"
    ran = chat.run("--replace", to, to=None, HOME=str(chat.cwd))
    assert ran.code in {2, 8}, ran.said
    assert chat.target().query("SELECT * FROM mine") == [(1,)]


@pytest.mark.parametrize("sealed", [False, True], ids=["changed", "and signed anew"])
def test_a_manifest_that_was_edited_makes_nothing(chat: Restoring, sealed: bool) -> None:
    backup = chat.store / chat.name
    manifest, sums = backup / "manifest.json", backup / "SHA256SUMS"
    before = hashlib.sha256(manifest.read_bytes()).hexdigest()
    document = json.loads(manifest.read_text())
    for table in document["tables"]:
        table["rows"] += 1
    manifest.write_text(json.dumps(document))
    if sealed:
        after = hashlib.sha256(manifest.read_bytes()).hexdigest()
        sums.write_text(sums.read_text().replace(before, after))
    ran = chat.run()
    assert ran.code == 5, ran.said
    assert chat.databases() == []
