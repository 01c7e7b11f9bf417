"""A host in use is deployed to again: another password, other settings, another version."""

from __future__ import annotations

import pytest

from tests.running import SECRET
from tests.servers import Database

from . import deployment
from .deployment import Deployment, wait

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ROTATED = 'r0tated-Pa55 \'and "odd" $x %y \\z #1'


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
