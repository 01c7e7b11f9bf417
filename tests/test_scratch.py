from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from helpers import interrupts, privileges
from helpers.errors import ConfigError, Interruption, ToolError
from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its privileges")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[ScratchServer]:
    """A detached server, not yet started."""
    server = ScratchServer(tmp_path / "server", settings=UNSAFE_BUT_FAST)
    yield server
    server.remove()


def ask(server: ScratchServer, question: str) -> object:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def wait_until(true: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def start_elsewhere_and_kill(server: ScratchServer, *, bound: bool) -> None:
    """Start the server in a process of its own, and end that one by SIGKILL."""
    code = (
        "import sys, time; from pathlib import Path; from helpers.scratch import ScratchServer\n"
        f"ScratchServer(Path(sys.argv[1]), bound={bound}).start()\n"
        "print('started', flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, str(server.directory)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"started\n"
        assert server.running()
        parent.send_signal(signal.SIGKILL)


def test_a_started_server_answers_in_utf8_and_keeps_its_settings(scratch: ScratchServer) -> None:
    scratch.start()
    assert scratch.running()
    assert ask(scratch, "SHOW server_encoding") == "UTF8"
    assert ask(scratch, "SHOW fsync") == "off"
    assert ask(scratch, "SHOW listen_addresses") == "127.0.0.1"


def test_a_second_start_finds_the_same_server(scratch: ScratchServer) -> None:
    scratch.start()
    again = ScratchServer(scratch.directory)
    again.start()
    assert (again.pid, again.url()) == (scratch.pid, scratch.url())


def test_two_starts_at_once_make_one_server(scratch: ScratchServer) -> None:
    others = [ScratchServer(scratch.directory) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(ScratchServer.start, others))
    assert len({other.pid for other in others}) == 1
    assert ask(scratch, "SELECT 1") == 1


def test_a_server_that_is_started_again_has_its_data_and_its_port(scratch: ScratchServer) -> None:
    scratch.start()
    with psycopg.connect(scratch.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before = scratch.url()
    scratch.stop()
    scratch.start()
    assert scratch.url() == before
    assert ask(scratch, "SELECT n FROM kept") == 7


def test_a_wrong_password_is_refused(scratch: ScratchServer) -> None:
    scratch.start()
    url = scratch.url().replace(scratch.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_nobody_else_may_read_the_password(scratch: ScratchServer) -> None:
    scratch.start()
    assert (scratch.directory / "password").stat().st_mode & 0o077 == 0


def test_stopping_ends_the_process_though_a_client_is_connected(scratch: ScratchServer) -> None:
    scratch.start()
    pid = scratch.pid
    assert pid
    with psycopg.connect(scratch.url()):
        scratch.stop()
    assert not scratch.running()
    # Where nothing reaps orphans, a zombie stays: its command line is empty.
    process = Path(f"/proc/{pid}/cmdline")
    assert not process.exists() or not process.read_bytes()


def test_a_server_deaf_to_signals_is_ended_by_force_and_recovers(
    scratch: ScratchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.scratch.STOP_SECONDS", 0.3)
    scratch.start()
    assert scratch.pid
    os.kill(scratch.pid, signal.SIGSTOP)
    scratch.stop()
    assert scratch.pid is None
    monkeypatch.undo()
    scratch.start()
    assert ask(scratch, "SELECT 1") == 1


def test_a_pid_file_from_before_a_crash_names_no_server(scratch: ScratchServer) -> None:
    scratch.start()
    scratch.stop()
    stale = scratch.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{scratch.data}\n0\n1\n\n127.0.0.1\n0 0\nready\n")
    assert not scratch.running()
    scratch.stop()  # were the number believed, this would end the test's own process


def test_a_port_that_someone_took_is_replaced(scratch: ScratchServer) -> None:
    scratch.start()
    port = scratch.port
    scratch.stop()
    with socket.create_server(("127.0.0.1", port)):
        scratch.start()
        assert scratch.port != port
        assert ask(scratch, "SELECT 1") == 1


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    server = ScratchServer(tmp_path / "server", settings={"shared_buffers": "nonsense"})
    with pytest.raises(ToolError, match='invalid value for parameter "shared_buffers"') as caught:
        server.start()
    assert server.password not in str(caught.value)
    assert not server.running()


@pytest.mark.parametrize("bound", [True, False])
def test_leaving_the_block_removes_the_server(tmp_path: Path, bound: bool) -> None:
    with ScratchServer(tmp_path / "server", bound=bound) as server:
        assert ask(server, "SELECT 1") == 1
        pid = server.pid
    assert pid
    assert not (tmp_path / "server").exists()


def test_removing_keeps_what_others_put_in_the_directory(scratch: ScratchServer) -> None:
    scratch.start()
    foreign = scratch.directory / "notes.txt"
    foreign.write_text("mine")
    scratch.remove()
    assert [foreign] == list(scratch.directory.iterdir())
    foreign.unlink()


def test_a_detached_server_outlives_its_starter(scratch: ScratchServer) -> None:
    start_elsewhere_and_kill(scratch, bound=False)
    assert not wait_until(lambda: not scratch.running(), seconds=1)
    assert ask(scratch, "SELECT 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_bound_server_ends_with_its_starter_even_after_sigkill(scratch: ScratchServer) -> None:
    start_elsewhere_and_kill(scratch, bound=True)
    assert wait_until(lambda: scratch.pid is None)
    scratch.start()
    assert ask(scratch, "SELECT 1") == 1


@pytest.mark.timeout(60)
def test_a_server_interrupted_before_its_pid_file_is_there_is_ended(tmp_path: Path) -> None:
    programs, number = tmp_path / "bin", tmp_path / "number"
    programs.mkdir()
    for name, script in {
        "initdb": "exit 0",
        "postgres": f"echo $$ >{number}.new; mv {number}.new {number}; while :; do sleep 0.1; done",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    def interrupt() -> None:
        assert wait_until(number.exists, 30)
        os.kill(os.getpid(), signal.SIGTERM)

    server = ScratchServer(tmp_path / "server", programs, bound=True)
    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(Interruption), interrupts.raised():
        server.start()
    try:
        server.stop()
    finally:
        other.join()
    assert not Path(f"/proc/{int(number.read_text())}").exists()


@pytest.mark.timeout(60)
def test_a_child_without_a_command_line_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line is empty amid exec, in which a signal may find a server that starts."""
    monkeypatch.setattr("helpers.scratch._command_line", lambda _pid: "")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {"initdb": "exit 0", "postgres": "exec sleep 300"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr("helpers.scratch.START_SECONDS", 0.5)
    with pytest.raises(ToolError, match="did not start"):
        ScratchServer(tmp_path / "server", programs, bound=True).start()


@as_root
def test_root_runs_a_server_below_a_directory_that_nobody_may_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    barred = ["setpriv", "--reuid=nobody", "--clear-groups", "ls", str(closed)]
    assert subprocess.run(barred, capture_output=True, check=False).returncode != 0
    with ScratchServer(closed / "server") as server:
        assert ask(server, "SELECT 1") == 1
        status = Path(f"/proc/{server.pid}/status").read_text()
    assert "CapEff:\t0000000000000002\n" in status  # CAP_DAC_OVERRIDE and nothing else
    assert (closed.stat().st_uid, closed.stat().st_mode & 0o777) == (0, 0o700)


@as_root
def test_without_setpriv_root_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        privileges.dropped(["postgres"])
    assert "util-linux" in caught.value.do
