"""Two environments on one host: each has a user of its own, and the system keeps them apart."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import CompletedProcess

import pytest

from tests.running import SECRET
from tests.servers import Database, Servers

from . import deployment
from .conftest import DISTRIBUTION_MAJOR
from .deployment import LOGS, STORE, Deployment, wait
from .host import Host

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ONE_USER = f"""
useradd --system --user-group --home-dir {STORE} --shell /usr/sbin/nologin --password '*' pgbackup
chown --recursive pgbackup: {STORE} {LOGS}
chmod 700 {STORE} {LOGS}
echo one who is gone >{LOGS}/gone.log
chmod 644 {LOGS}/*.log
chgrp pgbackup /etc/pgbackup/*.env
sed -i 's/ pgbackup-[a-z]* / pgbackup /' /etc/cron.d/pgbackup-*
cat /etc/logrotate.d/pgbackup-* | sed 's/pgbackup-[a-z]*/pgbackup/g' >/etc/logrotate.d/pgbackup
rm /etc/logrotate.d/pgbackup-*
userdel pgbackup-prod
userdel pgbackup-billing
"""
"""Makes a host what deployments left behind when all environments ran as one user."""


@pytest.fixture(scope="module")
def billing(servers: Servers) -> Iterator[Database]:
    """A second database on the same server."""
    with servers.get(DISTRIBUTION_MAJOR).database() as database:
        database.execute("CREATE TABLE invoices (id int); INSERT INTO invoices VALUES (1), (2)")
        yield database


@pytest.fixture(scope="module")
def both(deployed: Deployment, chat: Database, billing: Database) -> Deployment:
    """The host with a second environment, and a backup of each."""
    entries = [
        deployment.described(chat, SECRET),
        deployment.described(billing, SECRET, "billing"),
    ]
    deployed.deploy(backup_schedule_databases=entries).succeeded()
    for environment in ("prod", "billing"):
        ran = deployed.pgbackup("backup", "--env", environment)
        assert ran.code == 0, ran.said
        deployed.host.ssh(f"runuser -u pgbackup-{environment} pgbackup-scheduled {environment}")
    return deployed


def test_each_environment_has_files_and_backups_of_its_own(
    both: Deployment, billing: Database
) -> None:
    for environment, table in (("prod", "messages"), ("billing", "invoices")):
        found = both.backups(environment)
        assert {one["environment"] for one in found} == {environment}
        assert table in both.host.said(f"cat {found[0]['path']}/manifest.json")
    name = both.names("billing").pop()
    assert both.pgbackup("verify", "--env", "prod", "--file", name).code == 7
    entries = both.host.said("ls /etc/cron.d /etc/pgbackup").split()
    assert {"pgbackup-prod", "pgbackup-billing", "prod.env", "billing.env"} <= set(entries)
    assert billing.name not in both.host.said("cat /etc/pgbackup/prod.env")


def test_what_root_starts_leaves_nothing_that_is_not_the_users(both: Deployment) -> None:
    name = both.names("billing").pop()
    assert both.pgbackup("verify", "--file", f"{STORE}/billing/{name}").code == 0
    for environment in ("prod", "billing"):
        foreign = f"find {STORE}/{environment} ! -user pgbackup-{environment}"
        assert both.host.said(foreign) == ""


READS = (
    "cat /etc/pgbackup/billing.env",
    f"ls {STORE}/billing",
    f"cat {LOGS}/billing.log",
    "pgbackup list --env billing",
)
WRITES = (
    f"touch {STORE}/billing/mine",
    f"touch {LOGS}/mine",
    "touch /etc/pgbackup/mine",
    f"pgbackup list --env prod --dest {STORE}/billing",
    "pgbackup-scheduled billing",
)


@pytest.mark.parametrize("command", READS + WRITES)
def test_a_user_has_no_way_to_what_is_anothers(both: Deployment, command: str) -> None:
    refused = _as(both.host, "prod", command)
    assert refused.returncode, refused.stdout
    assert "denied" in refused.stdout + refused.stderr


@pytest.mark.parametrize("command", READS)
def test_a_user_reads_what_is_its_own(both: Deployment, command: str) -> None:
    assert _as(both.host, "billing", command).stdout


def test_a_user_lists_only_what_is_its_own(both: Deployment) -> None:
    for environment in ("prod", "billing"):
        listed = _as(both.host, environment, "pgbackup list --json")
        assert listed.returncode == 0, listed.stderr
        assert f'"environment": "{environment}"' in listed.stdout
        assert listed.stdout.count('"environment"') == len(both.names(environment))
    assert "_billing_" in both.pgbackup("list").out
    assert "_prod_" in both.pgbackup("list").out


def test_a_user_sees_no_password_of_anothers_running_backup(both: Deployment) -> None:
    both.host.ssh(
        "systemd-run --unit=watched --property=RemainAfterExit=yes pgbackup backup --env billing"
    )
    pid = both.host.said(
        "until pid=$(pgrep -f -u pgbackup-billing 'bin/pg_dump .*--file' | head -n 1) && [ $pid ];"
        " do :; done;"
        " kill -STOP $pid; echo $pid"
    )
    try:
        look = f"cat /proc/{pid}/cmdline /proc/{pid}/environ | tr '\\0' ' '"
        told, seen = both.host.said(look), _as(both.host, "prod", look)
    finally:
        both.host.ssh(f"kill -CONT {pid}")
    assert f"PGPASSWORD={SECRET}" in told
    assert "pg_dump" in seen.stdout
    assert "Permission denied" in seen.stderr
    assert SECRET not in seen.stdout
    ended = "systemctl show --value --property SubState watched"
    wait(lambda: both.host.said(ended) != "running", 60, "end of the backup")
    assert both.host.said("systemctl show --value --property ExecMainStatus watched") == "0"


def test_a_host_with_one_user_for_all_is_handed_over_without_losing_a_backup(
    both: Deployment, chat: Database
) -> None:
    both.host.ssh(ONE_USER)
    before = {environment: both.names(environment) for environment in ("prod", "billing")}
    with chat.connect() as blocker, ThreadPoolExecutor() as pool:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        both.host.ssh(
            "systemd-run --unit=handed --property=RemainAfterExit=yes"
            " --setenv=BACKUP_LOCK_TIMEOUT=600 pgbackup backup --env prod"
        )
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass"
        wait(lambda: chat.query(waiting), 30, "backup that waits for a lock")
        playing = pool.submit(both.deploy)
        entry = both.host.files / "etc/cron.d/pgbackup-prod"
        wait(lambda: not entry.exists(), 300, "deployment that waits for the backup")
        assert both.host.said(f"stat --format %U {STORE}/prod") == "pgbackup"
        blocker.execute("ROLLBACK")
        playing.result().succeeded()
    assert both.host.said("systemctl show --value --property ExecMainStatus handed") == "0"
    assert len(both.names("prod") - before["prod"]) == 1
    for environment, names in before.items():
        assert names <= both.names(environment)
        assert both.host.said(f"find {STORE}/{environment} ! -user pgbackup-{environment}") == ""
        assert both.pgbackup("backup", "--env", environment, "--prune").code == 0
        assert both.host.said(f"stat --format '%U %a' {LOGS}/{environment}.log") == (
            f"pgbackup-{environment} 600"
        )
    assert both.host.said(f"stat --format %a {LOGS}/gone.log") == "600"
    both.host.ssh("logrotate --debug /etc/logrotate.conf")
    assert both.deploy().succeeded().changed == []


def test_a_database_that_is_no_longer_listed_is_no_longer_scheduled(
    both: Deployment, chat: Database
) -> None:
    kept = both.names("billing")
    both.deploy(backup_schedule_databases=[deployment.described(chat, SECRET)]).succeeded()
    assert "billing" not in both.host.said("ls /etc/cron.d /etc/systemd/system")
    assert len(both.host.said(f"ls {STORE}/billing").split()) == len(kept)


def _as(host: Host, environment: str, command: str) -> CompletedProcess[str]:
    """Run a shell command as an environment's user."""
    words = ["runuser", "-u", f"pgbackup-{environment}", "--", "sh", "-c", command]
    return host.ssh(shlex.join(words), check=False)
