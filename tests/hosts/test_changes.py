"""A host in use is deployed to again: another password, another version, another database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import SECRET
from tests.servers import Database, Servers

from . import deployment
from .conftest import DISTRIBUTION_MAJOR
from .deployment import STORE, Deployment, wait

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ROTATED = 'r0tated-Pa55 \'and "odd" $x %y \\z #1'


@pytest.fixture(scope="module")
def other(servers: Servers) -> Iterator[Database]:
    """A second database on the same server."""
    with servers.get(DISTRIBUTION_MAJOR).database() as database:
        database.execute("CREATE TABLE invoices (id int); INSERT INTO invoices VALUES (1), (2)")
        yield database


def test_a_second_deployment_rotates_the_password(deployed: Deployment, chat: Database) -> None:
    deployed.deploy(backup_schedule_databases=[deployment.described(chat, SECRET)]).succeeded()
    deployment.login(chat, ROTATED)
    try:
        assert deployed.pgbackup("backup", "--env", "prod").code == 3
        entry = deployment.described(chat, ROTATED)
        play = deployed.deploy("--diff", backup_schedule_databases=[entry]).succeeded()
        assert len(play.changed) == 1
        assert "r0tated" not in play.said
        ran = deployed.pgbackup("backup", "--env", "prod")
        assert ran.code == 0, ran.said
    finally:
        deployment.login(chat, SECRET)
    deployed.deploy(backup_schedule_databases=[deployment.described(chat, SECRET)]).succeeded()


def test_settings_that_do_not_hold_never_reach_the_host(
    deployed: Deployment, chat: Database
) -> None:
    before = deployed.host.said("cat /etc/pgbackup/prod.env")
    entry = deployment.described(chat, SECRET, settings={"KEEP_DALY": 3})
    good = deployed.inputs["backup_schedule_databases"]
    play = deployed.deploy(backup_schedule_databases=[entry])
    deployed.inputs["backup_schedule_databases"] = good
    assert play.code == 2
    assert "KEEP_DAILY" in play.said
    assert SECRET not in play.said
    assert deployed.host.said("cat /etc/pgbackup/prod.env") == before


def test_a_backup_that_runs_during_an_upgrade_ends_well(
    deployed: Deployment, chat: Database
) -> None:
    source = deployed.checkout.path / "helpers/__init__.py"
    version = deployed.pgbackup("--version").out
    with chat.connect() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        deployed.host.ssh(
            "systemd-run --unit=upgraded --property=RemainAfterExit=yes"
            " pgbackup backup --env prod --quiet"
        )
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass"
        wait(lambda: chat.query(waiting), 30, "backup that waits for a lock")
        source.write_text(source.read_text() + '\n__version__ = "9.9.9"\n')
        # The check at its end would wait for the same lock.
        play = deployed.deploy(backup_schedule_check=False)
        blocker.execute("ROLLBACK")
    play.succeeded()
    result = "systemctl show --value --property SubState upgraded"
    wait(lambda: deployed.host.said(result) != "running", 60, "end of the backup")
    assert deployed.host.said("systemctl show --value --property ExecMainStatus upgraded") == "0"
    assert deployed.host.said("systemctl show --value --property Result upgraded") == "success"
    assert "9.9.9" in deployed.pgbackup("--version").out != version
    ran = deployed.pgbackup("verify", "--env", "prod", "--file", "latest")
    assert ran.code == 0, ran.said


def test_two_environments_on_one_host_keep_apart(
    deployed: Deployment, chat: Database, other: Database
) -> None:
    both = [
        deployment.described(chat, SECRET),
        deployment.described(other, SECRET, "billing"),
    ]
    deployed.deploy(backup_schedule_databases=both, backup_schedule_check=True).succeeded()
    for environment, table in (("prod", "messages"), ("billing", "invoices")):
        ran = deployed.pgbackup("backup", "--env", environment, "--json")
        assert ran.code == 0, ran.said
        manifest = deployed.host.said(f"cat {ran.json['backup']['path']}/manifest.json")
        assert table in manifest
        assert {found["environment"] for found in deployed.backups(environment)} == {environment}
    names = deployed.names("billing")
    assert deployed.pgbackup("verify", "--env", "prod", "--file", names.pop()).code == 7
    entries = deployed.host.said("ls /etc/cron.d /etc/pgbackup").split()
    assert {"pgbackup-prod", "pgbackup-billing", "prod.env", "billing.env"} <= set(entries)
    # Neither is for anybody but the user of the backups, and no environment is in the other's file.
    assert deployed.host.ssh(f"runuser -u nobody ls {STORE}", check=False).returncode
    assert deployed.host.ssh("runuser -u nobody cat /etc/pgbackup/prod.env", check=False).returncode
    assert other.name not in deployed.host.said("cat /etc/pgbackup/prod.env")


def test_a_database_that_is_no_longer_listed_is_no_longer_scheduled(
    deployed: Deployment, chat: Database
) -> None:
    kept = deployed.names("billing")
    deployed.deploy(backup_schedule_databases=[deployment.described(chat, SECRET)]).succeeded()
    assert "billing" not in deployed.host.said("ls /etc/cron.d /etc/systemd/system")
    assert len(deployed.host.said(f"ls {STORE}/billing").split()) == len(kept)
