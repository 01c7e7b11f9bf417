"""Connections with TLS: asked for, they are made with TLS or not at all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.scratch import ScratchServer

from ..running import environment, pgbackup
from ..servers import Database, Server, Servers


@pytest.fixture(scope="module")
def tls_server(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScratchServer]:
    """Debian's server, since the wheels' are built without TLS."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.crt"),
        ],
        cwd=place,
        check=True,
        capture_output=True,
    )
    settings = {
        "ssl": "on",
        "fsync": "off",
        "ssl_cert_file": "server.crt",
        "ssl_key_file": "server.key",
    }
    server = ScratchServer(place / "server", servers.get(15).bin_dir, bound=True)
    server.start()
    server.stop()
    owner = server.data.stat()
    for name in ("server.key", "server.crt"):
        (server.data / name).write_bytes((place / name).read_bytes())
        (server.data / name).chmod(0o600)
        os.chown(server.data / name, owner.st_uid, owner.st_gid)
    with ScratchServer(
        place / "server", servers.get(15).bin_dir, bound=True, settings=settings
    ) as running:
        yield running


def test_a_backup_over_tls_uses_clients_that_have_it(
    tls_server: ScratchServer, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    env = environment(f"{tls_server.url()}?sslmode=require", tmp_path / "store")
    ran = pgbackup("backup", "--json", env=env, cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert "15." in (Path(ran.json["backup"]["path"]) / "manifest.json").read_text()


def test_a_certificate_that_cannot_be_checked_is_refused(
    tls_server: ScratchServer, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    env = environment(
        f"{tls_server.url()}?sslmode=verify-full&sslrootcert=/nonexistent", tmp_path / "store"
    )
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 3, ran.said


def test_tls_that_is_required_and_not_offered_is_refused(
    database: Database, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    env = environment(f"{database.url}?sslmode=require", tmp_path / "store")
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 3, ran.said
    assert "SSL" in ran.err
