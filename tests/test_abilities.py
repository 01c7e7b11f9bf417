"""What clients were built with, asked of real ones: only Debian 13's know zstd."""

from __future__ import annotations

import pytest

from helpers import abilities, clients
from helpers.clients import Client
from helpers.errors import ConfigError

from .servers import Server, Servers


def client(server: Server) -> Client:
    return clients.find(server.major, tls=False, pg_bin=server.bin_dir)


def test_what_both_programs_say_of_zstd_is_what_they_can(any_server: Server) -> None:
    found = client(any_server)
    can = any_server.major == 17
    assert (abilities.writes_zstd(found), abilities.reads_zstd(found)) == (can, can)


def test_clients_without_zstd_are_refused_with_what_to_do(server: Server) -> None:
    with pytest.raises(ConfigError) as caught:
        abilities.check_zstd(client(server))
    assert "pg_dump and pg_restore 18" in caught.value.what
    assert str(server.bin_dir) in caught.value.what
    assert "BACKUP_PG_BIN" in caught.value.do
    assert "BACKUP_COMPRESSION=auto" in caught.value.do


def test_of_several_clients_the_first_that_reads_the_archive_is_taken(servers: Servers) -> None:
    wheel, debian = client(servers.get(18)), client(servers.get(17))
    abilities.check_zstd(debian)
    assert abilities.reader(wheel, [debian], zstd=False) == wheel
    assert abilities.reader(wheel, [wheel, debian], zstd=True) == debian
    assert abilities.reader(wheel, [], zstd=True) is None
