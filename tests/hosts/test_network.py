"""A host with a network of its own: the newest client from a mirror, and a cable that is cut."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer
from tests.running import PROJECT, SECRET
from tests.servers import Database, Server

from . import archive, deployment
from .archive import Archive
from .checkout import Checkout
from .deployment import STORE, Deployment, wait
from .host import Host
from .rootfs import Rootfs
from .shell import run

pytestmark = [pytest.mark.xdist_group("hosts-network"), pytest.mark.timeout(900)]

ROWS = 4000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("network")


@pytest.fixture(scope="module")
def wired(rootfs: Rootfs) -> Iterator[Host]:
    with Host(rootfs, cable=True) as running:
        yield running


@pytest.fixture(scope="module")
def newest(wired: Host, place: Path) -> Iterator[Database]:
    """A database of the newest PostgreSQL, at this machine's end of the cable."""
    assert wired.cable
    addresses = f"127.0.0.1,{wired.cable.machine}"
    settings = {**UNSAFE_BUT_FAST, "listen_addresses": addresses}
    with ScratchServer(place / "server", bound=True, settings=settings) as scratch:
        with (scratch.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {wired.cable.host}/32 scram-sha-256\n")
        server = Server(archive.MAJOR, scratch)
        server.maintenance.execute("SELECT pg_reload_conf()")
        with server.database() as database:
            database.execute(
                "CREATE TABLE messages AS SELECT n AS id, string_agg(md5(random()::text), '') AS"
                f" body FROM generate_series(1, {ROWS}) n, generate_series(1, 30) GROUP BY n"
            )
            deployment.login(database, SECRET)
            yield database


@pytest.fixture(scope="module")
def mirror(place: Path) -> Archive:
    suite = f"{platform.freedesktop_os_release()['VERSION_CODENAME']}-pgdg"
    made = Archive(place / "mirror", suite)
    made.fill()
    made.sign("archive", publish=True)
    return made


@pytest.fixture(scope="module")
def wheels(wired: Host, place: Path) -> Path:
    """What the README of the role says to fill, for the host's Python."""
    version = wired.said("python3 -c 'import sys; print(*sys.version_info[:2], sep=str(\".\"))'")
    target = place / "wheels"
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--require-hashes", "--only-binary=:all:", "--python-version", version),
        *("--requirement", PROJECT / "requirements-host.txt", "--dest", target),
    )
    return target


@pytest.fixture(scope="module")
def asked(
    wired: Host, newest: Database, mirror: Archive, wheels: Path, place: Path
) -> Iterator[Deployment]:
    """The host, still bare, without an index of Python packages, with its inventory.

    It asks for the newest client from the mirror, and for wheels from the control machine.
    """
    (wired.files / "etc/pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/\n")
    assert wired.cable
    database = deployment.described(newest, SECRET, address=wired.cable.machine)
    with archive.served(mirror.root, wired.cable.machine) as url:
        inputs: dict[str, object] = {
            "postgresql_client_major": str(archive.MAJOR),
            "postgresql_client_server_major": str(archive.MAJOR),
            "postgresql_client_repository_url": url,
            "postgresql_client_repository_key_url": f"{url}/media/keys/ACCC4CF8.asc",
            "backup_schedule_databases": [database],
            "backup_host_wheels": str(wheels),
        }
        yield Deployment(wired, Checkout(place / "control/pgbackup", wired.state), inputs)


@pytest.fixture(scope="module")
def backed_up(asked: Deployment, mirror: Archive) -> Deployment:
    """The host after its deployment from the rightly signed mirror."""
    mirror.sign("archive")
    asked.deploy().succeeded()
    return asked


def test_a_client_older_than_the_server_is_refused(asked: Deployment) -> None:
    older = Deployment(asked.host, asked.checkout, dict(asked.inputs))
    play = older.deploy(postgresql_client_major="15")
    assert play.code == 2
    assert f"cannot dump a server of version {archive.MAJOR}" in play.said


def test_a_mirror_that_a_stranger_signed_is_refused(asked: Deployment, mirror: Archive) -> None:
    mirror.sign("stranger")
    play = asked.deploy()
    assert play.code == 2
    assert "NO_PUBKEY" in play.said or "not signed" in play.said
    assert asked.host.ssh("dpkg -s postgresql-client-18", check=False).returncode


def test_the_newest_client_comes_from_the_mirror(backed_up: Deployment) -> None:
    said = backed_up.host.said("/usr/lib/postgresql/18/bin/pg_dump --version")
    assert "(PostgreSQL) 18" in said
    ran = backed_up.pgbackup("backup", "--env", "prod", "--json")
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["rows"] == ROWS


def test_the_helpers_come_from_wheels_where_there_is_no_index(backed_up: Deployment) -> None:
    environment = backed_up.host.said("readlink -f /opt/pgbackup/current/venv")
    index = f"{environment}/bin/pip download --retries 0 --no-deps --dest /tmp rich"
    assert backed_up.host.ssh(index, check=False).returncode
    assert backed_up.host.said(f"{environment}/bin/python -c 'import rich, psycopg; print(1)'")
    assert backed_up.host.ssh(f"ls {environment}/wheels", check=False).returncode


def test_a_second_deployment_from_the_mirror_changes_nothing(backed_up: Deployment) -> None:
    assert backed_up.deploy().succeeded().changed == []


@pytest.mark.parametrize("form", ["binary", "text"])
def test_a_cable_cut_midway_ends_the_backup_and_leaves_nothing(
    backed_up: Deployment, form: str
) -> None:
    host = backed_up.host
    assert host.cable
    before = backed_up.names()
    ended = host.files / f"root/{form}.code"
    host.cable.slow_down("1mbit")
    # 4 MB at 1 Mbit/s are half a minute.
    host.ssh(
        "systemd-run bash -c '"
        f" BACKUP_FORMAT={form} pgbackup backup --env prod --quiet >/root/{form}.said 2>&1;"
        f" echo $? >/root/{form}.new; mv /root/{form}.new /root/{form}.code'"
    )
    store = host.files / STORE.lstrip("/") / "prod"
    try:
        wait(lambda: any(_data(store)), 60, "data in a partial directory")
        host.cable.cut()
        started = time.monotonic()
        wait(ended.exists, 90, "end of the backup")
        seconds = time.monotonic() - started
    finally:
        host.cable.mend()
    said = (host.files / f"root/{form}.said").read_text()
    assert int(ended.read_text()) in {3, 9}, said
    assert seconds < 60
    assert "Traceback" not in said
    assert list(store.glob(".partial-*")) == []
    assert backed_up.names() == before
    ran = backed_up.pgbackup("backup", "--env", "prod")
    assert ran.code == 0, ran.said


def _data(store: Path) -> Iterator[Path]:
    """What a running backup has written of the table's data."""
    files = store.glob(".partial-*/**/*.dat*")
    return (file for file in files if file.stat().st_size > 50_000)
