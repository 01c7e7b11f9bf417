"""A server that is just starting, as after a power cut: the backup waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import patience, postgres
from helpers.errors import DatabaseError
from helpers.progress import Quiet
from helpers.scratch import ScratchServer

from ..running import environment, start
from ..servers import SETTINGS, Server
from .disturbing import names, soon


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that keeps a start from its end."""
    return tmp_path / "gate"


@pytest.fixture
def recovering(server: Server, gate: Path, tmp_path: Path) -> Iterator[ScratchServer]:
    """A server that is stopped; its next start looks for WAL until the gate is open."""
    looks = f"while test -e {gate}; do sleep 0.1; done; false"
    settings = {**SETTINGS, "hot_standby": "off", "restore_command": looks}
    with ScratchServer(tmp_path / "server", server.bin_dir, bound=True, settings=settings) as own:
        own.stop()
        (own.data / "recovery.signal").touch()
        gate.touch()
        yield own
        gate.unlink(missing_ok=True)


@contextmanager
def starting(server: ScratchServer, gate: Path) -> Iterator[dict[str, str]]:
    """The start goes on meanwhile; the parameters to reach the server with."""
    parameters = postgres.parameters(server.url())
    over = threading.Event()  # a server that is bound to its parent ends with that very thread
    thread = threading.Thread(target=lambda: (server.start(), over.wait()))
    thread.start()
    try:
        soon(lambda: postgres.rejects(parameters), "the server to listen")
        yield parameters
    finally:
        gate.unlink(missing_ok=True)
        over.set()
        thread.join()


def test_a_backup_waits_for_a_server_that_is_starting(
    recovering: ScratchServer, gate: Path, store: Path, tmp_path: Path
) -> None:
    with starting(recovering, gate):
        env = environment(recovering.url(), store)
        process = start("backup", "--json", env=env, cwd=tmp_path)
        assert process.stderr
        told = process.stderr.readline()
        gate.unlink()
        _, errors = process.communicate(timeout=60)
    assert "Waiting up to 300 s" in told
    assert "the database system is" in told
    assert process.returncode == 0, errors
    assert len(names(store)) == 1


def test_a_start_that_ends_while_it_is_looked_at_has_ended(
    recovering: ScratchServer, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejects, asked = postgres.rejects, []

    def slowly(parameters: dict[str, str]) -> bool:
        asked.append(parameters)
        if len(asked) == 1:
            return rejects(parameters)
        gate.unlink(missing_ok=True)
        soon(lambda: not rejects(parameters), "the start to end")
        return False

    with starting(recovering, gate) as parameters:
        monkeypatch.setattr(postgres, "rejects", slowly)
        with patience.connect(parameters, Quiet(silent=True)) as session:
            assert session.facts().database == parameters["dbname"]
    assert len(asked) > 1


def test_a_start_that_does_not_end_is_told(
    recovering: ScratchServer, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "STARTING_SECONDS", 1.0)
    silent = Quiet(silent=True)
    with (
        starting(recovering, gate) as parameters,
        pytest.raises(DatabaseError, match="the database system is"),
        patience.connect(parameters, silent),
    ):
        pytest.fail("the server is not there yet")


def test_a_server_that_runs_or_is_down_does_not_reject(server: Server) -> None:
    parameters = postgres.parameters(server.url())
    assert not postgres.rejects(parameters)
    assert not postgres.rejects({**parameters, "port": "1"})
