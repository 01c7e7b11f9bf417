"""Which installation of pg_dump is chosen, from real and from made-up ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import clients
from helpers.errors import ConfigError


def _install(
    place: Path, version: str, *, tools: tuple[str, ...] = ("pg_dumpall", "pg_restore", "psql")
) -> Path:
    """A made-up installation: programs that only know their version, which is all that counts."""
    place.mkdir(parents=True)
    for tool in ("pg_dump", *tools):
        program = place / tool
        program.write_text(f"#!/bin/sh\necho '{tool} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return place


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any client on PATH; the wheel's 18 is still there."""
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path


def _debian(machine: Path, version: str) -> Path:
    return _install(
        machine / "usr/lib/postgresql" / version.split(".", maxsplit=1)[0] / "bin", version
    )


def test_the_lowest_major_that_is_not_older_than_the_server_is_chosen(machine: Path) -> None:
    for version in ("14.9", "16.4", "17.2"):
        _debian(machine, version)
    assert clients.find(15, tls=False, pg_bin=None, root=machine).version == "16.4"


def test_of_one_major_the_newest_minor_is_chosen(machine: Path) -> None:
    _debian(machine, "16.4")
    newer = _install(machine / "usr/pgsql-16/bin", "16.10")
    assert clients.find(16, tls=False, pg_bin=None, root=machine).bin_dir == newer


def test_without_any_other_the_wheel_serves(machine: Path) -> None:
    assert clients.find(15, tls=False, pg_bin=None, root=machine).bin_dir == clients.wheel_bin()


def test_the_wheel_is_never_chosen_for_a_connection_with_tls(machine: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        clients.find(15, tls=True, pg_bin=None, root=machine)
    assert "with TLS" in caught.value.what
    assert "postgresql-client-15" in caught.value.do
    _debian(machine, "17.2")
    assert clients.find(15, tls=True, pg_bin=None, root=machine).version == "17.2"


def test_an_installation_without_pg_restore_is_passed_over(machine: Path) -> None:
    _install(machine / "usr/lib/postgresql/16/bin", "16.4", tools=("pg_dumpall", "psql"))
    _debian(machine, "17.2")
    assert clients.find(16, tls=False, pg_bin=None, root=machine).major == 17


def test_a_client_on_path_is_found(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _install(machine / "opt/pg/bin", "16.4")
    monkeypatch.setenv("PATH", f"{place}:/bin:/usr/bin")
    assert clients.find(16, tls=False, pg_bin=None, root=machine).bin_dir == place


def test_a_named_directory_is_taken_even_if_another_fits_better(machine: Path) -> None:
    _debian(machine, "16.4")
    named = _install(machine / "named", "17.2")
    assert clients.find(16, tls=False, pg_bin=named, root=machine).bin_dir == named


def test_a_named_directory_that_is_too_old_is_refused(machine: Path) -> None:
    named = _install(machine / "named", "14.9")
    with pytest.raises(ConfigError, match="older than the server"):
        clients.find(16, tls=False, pg_bin=named, root=machine)


def test_a_named_directory_without_clients_is_refused(machine: Path) -> None:
    with pytest.raises(ConfigError, match="no working pg_dump"):
        clients.find(16, tls=False, pg_bin=machine, root=machine)


def test_no_client_new_enough_names_the_package(machine: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        clients.find(99, tls=False, pg_bin=None, root=machine)
    assert "postgresql-client-99" in caught.value.do


def test_the_newest_client_reads_archives_of_unknown_origin(machine: Path) -> None:
    _debian(machine, "16.4")
    found = clients.newest(None, machine)
    assert found is not None
    assert found.major == 18
