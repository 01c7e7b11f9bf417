"""Backups on schedule: real cron and real timers start them, and what becomes of each run."""

from __future__ import annotations

import pytest

from tests.running import SECRET
from tests.servers import Database

from . import deployment
from .deployment import LOGS, Deployment, wait

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

EVERY_MINUTE = "* * * * *"
KEEP_TWO = {"KEEP_LAST": 2, "KEEP_DAILY": 0, "KEEP_WEEKLY": 0, "KEEP_MONTHLY": 0}


@pytest.fixture(scope="module")
def scheduled(deployed: Deployment, chat: Database) -> Deployment:
    """The host with a backup every minute, of which two are kept."""
    entry = deployment.described(chat, SECRET, cron=EVERY_MINUTE, settings=KEEP_TWO)
    deployed.deploy(backup_schedule_databases=[entry]).succeeded()
    return deployed


@pytest.fixture
def fast(scheduled: Deployment) -> Deployment:
    """The same with a cron whose minutes last two seconds; its jobs have the true time."""
    library = scheduled.host.said("find /usr/lib -name libfaketime.so.1 | head -n 1")
    drop_in = scheduled.host.files / "etc/systemd/system/cron.service.d/fast.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f'[Service]\nEnvironment=LD_PRELOAD={library} "FAKETIME=+0 x30"\n')
    scheduled.host.ssh("systemctl daemon-reload && systemctl restart cron")
    return scheduled


def test_cron_takes_a_verified_backup_within_a_minute(scheduled: Deployment) -> None:
    before = scheduled.names()
    wait(lambda: scheduled.names() - before, 100, "new backup")
    entries = scheduled.host.said("grep -c ^[0-9*] /etc/cron.d/pgbackup-prod")
    assert entries == "2"  # the backups and the drills
    log = scheduled.host.said(f"cat {LOGS}/prod.log")
    assert "backup of prod ended with 0" in log
    assert SECRET not in log


def test_scheduled_runs_delete_what_retention_does_not_keep(fast: Deployment) -> None:
    first = fast.names()
    wait(lambda: len(fast.names()) >= 2 and not first & fast.names(), 90, "end of the first ones")
    # A look may fall between the publishing of a backup and the pruning after it.
    wait(lambda: len(fast.names()) == 2, 20, "moment with two backups")


def test_a_failed_run_is_logged_and_leaves_earlier_backups(
    fast: Deployment, chat: Database
) -> None:
    wait(lambda: len(fast.names()) >= 2, 60, "second backup")
    chat.server.scratch.stop()
    try:
        wait(lambda: "ended with 3" in _last_line(fast), 30, "log of a failed run")
        kept = fast.names()
        failures = fast.host.said(f"grep -c 'ended with 3' {LOGS}/prod.log")
        more = f"test $(grep -c 'ended with 3' {LOGS}/prod.log) -gt {failures}"
        wait(lambda: fast.host.ssh(more, check=False).returncode == 0, 30, "second failed run")
        assert fast.names() == kept
        assert len(kept) >= 2
    finally:
        chat.server.scratch.start()
    journal = fast.host.said("journalctl --no-pager --identifier pgbackup --priority err")
    assert "backup of prod ended with 3: backup failed: " in journal
    wait(lambda: fast.names() - kept, 60, "backup once the database is back")
    assert fast.host.said("find /var/backups/pgbackup -name '.partial-*'") == ""


def test_a_timer_takes_the_place_of_cron(scheduled: Deployment, chat: Database) -> None:
    entry = deployment.described(chat, SECRET, timer="*:*:0/5", settings={"KEEP_LAST": 3})
    scheduled.deploy(backup_schedule_databases=[entry]).succeeded()
    assert scheduled.host.said("ls /etc/cron.d | grep pgbackup || :") == ""
    before = scheduled.names()
    wait(lambda: scheduled.names() - before, 30, "new backup")
    assert scheduled.host.said("systemctl show --property Result pgbackup-prod") == "Result=success"
    assert "pgbackup-prod.drill.timer" in scheduled.host.said("systemctl list-timers --no-pager")
    scheduled.host.ssh("systemctl start pgbackup-prod.drill.service")
    assert scheduled.host.said(f"grep -o 'drill of prod ended with .*' {LOGS}/prod.log") == (
        "drill of prod ended with 0"
    )
    assert scheduled.deploy().succeeded().changed == []


def _last_line(deployed: Deployment) -> str:
    return deployed.host.said(f"grep 'backup of prod' {LOGS}/prod.log | tail -n 1")
