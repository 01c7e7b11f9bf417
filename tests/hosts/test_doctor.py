"""The doctor on a host that is ill: each ail is found and named."""

from __future__ import annotations

import pytest

from tests.running import SECRET, Ran
from tests.servers import Servers

from . import deployment
from .conftest import DISTRIBUTION_MAJOR
from .deployment import STORE, Deployment

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ENTRY = "/etc/cron.d/pgbackup-prod"
ENV_FILE = "/etc/pgbackup/prod.env"
USER = "pgbackup-prod"
AILS = {
    "the daemon is stopped": (
        "systemctl stop cron",
        "systemctl start cron",
        "cron.service does not run",
    ),
    "the user is locked": (
        f"usermod --lock {USER}",
        f"usermod --password '*' {USER}",
        f"{USER} is locked",
    ),
    "the user has expired": (
        f"usermod --expiredate 1 {USER}",
        f"usermod --expiredate '' {USER}",
        f"{USER} has expired",
    ),
    "there is no entry": (
        f"mv {ENTRY} /tmp/kept",
        f"mv /tmp/kept {ENTRY}",
        "No timer or cron entry of prod",
    ),
    "the entry has a dot": (
        f"mv {ENTRY} {ENTRY}.old",
        f"mv {ENTRY}.old {ENTRY}",
        "a dot in their name",
    ),
    "the entry has a percent sign": (
        f"sed -i '$s/$/ %/' {ENTRY}",
        f"sed -i '$s/ %$//' {ENTRY}",
        "a % ends the command",
    ),
    "the entry is no time": (
        f"sed -i 's/^17 2/17 25/' {ENTRY}",
        f"sed -i 's/^17 25/17 2/' {ENTRY}",
        "is no entry of a crontab",
    ),
    "the job may not read the env file": (
        f"chmod 600 {ENV_FILE}",
        f"chmod 640 {ENV_FILE}",
        f"{ENV_FILE}: cannot be read",
    ),
    "the database is out of reach": (
        f"cp -p {ENV_FILE} /tmp/kept; sed -i 's/^PGPORT=.*/PGPORT=1/' {ENV_FILE}",
        f"mv /tmp/kept {ENV_FILE}",
        "refused",
    ),
    "there is no space": (
        f"mount -t tmpfs -o size=64k,mode=777 none {STORE}/prod",
        f"umount {STORE}/prod",
        "MB free; this backup may take",
    ),
    "the store is another user's": (
        f"chown root {STORE}/prod",
        f"chown {USER} {STORE}/prod",
        "Permission denied",
    ),
}


@pytest.fixture(scope="module")
def well(deployed: Deployment) -> Deployment:
    """The host with a backup that is as fresh as its schedule asks."""
    assert deployed.pgbackup("backup", "--env", "prod").code == 0
    return deployed


def test_a_deployed_host_is_well(well: Deployment) -> None:
    ran = well.checkout.invoke("doctor", "--env", "prod")
    assert ran.code == 0, ran.said
    assert ran.out.count("OK") == len(ran.out.splitlines())


@pytest.mark.parametrize("ail", AILS)
def test_what_would_stop_the_next_run_is_found(well: Deployment, ail: str) -> None:
    infect, cure, found = AILS[ail]
    well.host.ssh(infect)
    try:
        ran = well.pgbackup("doctor", "--env", "prod")
    finally:
        well.host.ssh(cure)
    _assert_found(ran, found)


def test_a_client_that_is_older_than_the_server_is_found(
    well: Deployment, servers: Servers
) -> None:
    with servers.get(18).database() as newer:
        deployment.login(newer, SECRET)
        port = newer.server.scratch.port
        change = f"s/^PGPORT=.*/PGPORT={port}/; s/^PGDATABASE=.*/PGDATABASE={newer.name}/"
        named = f"BACKUP_PG_BIN=/usr/lib/postgresql/{DISTRIBUTION_MAJOR}/bin"
        well.host.ssh(
            f"cp -p {ENV_FILE} /tmp/kept; sed -i '{change}' {ENV_FILE}; echo {named} >>{ENV_FILE}"
        )
        try:
            ran = well.pgbackup("doctor", "--env", "prod")
        finally:
            well.host.ssh(f"mv /tmp/kept {ENV_FILE}")
    _assert_found(ran, "is older than the server")


def test_a_backup_that_is_older_than_the_schedule_allows_is_found(well: Deployment) -> None:
    """The entry of these tests is due once a year."""
    library = well.host.said("find /usr/lib -name libfaketime.so.1 | head -n 1")
    later = "env FAKETIME={} LD_PRELOAD={} pgbackup doctor --env prod"
    in_time = well.host.ssh(later.format("+360d", library), check=False)
    late = well.host.ssh(later.format("+370d", library), check=False)
    assert in_time.returncode == 0, in_time.stdout
    assert late.returncode == 8, late.stdout
    assert "later than scheduled" in late.stdout


def _assert_found(ran: Ran, found: str) -> None:
    assert ran.code == 8, ran.said
    lines = [line for line in ran.out.splitlines() if line.startswith("FAILED")]
    assert found in " ".join(lines), ran.said
