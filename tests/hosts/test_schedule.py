"""Backups on schedule: real cron and real timers start them, and what becomes of each run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.receivers import Web, web
from tests.running import SECRET
from tests.servers import Database

from . import deployment
from .deployment import LOGS, STORE, Deployment, wait

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

EVERY_MINUTE = "* * * * *"
METRICS = "/var/lib/prometheus/node-exporter"
TOKEN = "t0ken-Xyzzy"
KEEP_TWO = {"KEEP_LAST": 2, "KEEP_DAILY": 0, "KEEP_WEEKLY": 0, "KEEP_MONTHLY": 0}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Web]:
    """Who is told of the host's runs, on the machine of the tests."""
    with web() as running:
        yield running


@pytest.fixture(scope="module")
def scheduled(deployed: Deployment, chat: Database, receiver: Web) -> Iterator[Deployment]:
    """The host with a backup every minute, of which two are kept, and who hears of them."""
    at = f"127.0.0.1:{receiver.port}/{TOKEN}"
    settings = KEEP_TWO | {"PING_URL": f"http://{at}", "NOTIFY_TIMEOUT": 30}
    entry = deployment.described(chat, SECRET, cron=EVERY_MINUTE, settings=settings)
    telling = {
        "backup_schedule_notify_urls": [f"json://{at}"],
        "backup_schedule_metrics_dir": METRICS,
        "backup_schedule_max_age": "50h",
        "backup_schedule_drill_timer": "*:*:0/20",
    }
    play = deployed.deploy("--diff", backup_schedule_databases=[entry], **telling)
    play.succeeded()
    assert TOKEN not in play.out + play.err
    yield deployed
    for name in telling:
        del deployed.inputs[name]
    # No backup comes by itself during the tests of others.
    deployed.deploy(backup_schedule_databases=[deployment.described(chat, SECRET)]).succeeded()


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
    # The next run may be in the middle of one of its own.
    partials = "find /var/backups/pgbackup -name '.partial-*'"
    wait(lambda: fast.host.said(partials) == "", 30, "moment without a partial directory")


def test_a_failed_run_and_its_recovery_have_reached_a_receiver(
    fast: Deployment, receiver: Web, chat: Database
) -> None:
    """Those of the test before."""
    wait(lambda: {"failure", "success"} <= {m["type"] for m in receiver.messages}, 60, "recovery")
    failure = next(message for message in receiver.messages if message["type"] == "failure")
    assert failure["title"] == f"prod: backup of {chat.name} FAILED"
    assert "Newest good backup: " in failure["message"]
    assert SECRET not in failure["message"]
    assert {f"GET /{TOKEN}/start", f"POST /{TOKEN}/fail", f"POST /{TOKEN}"} <= set(receiver.paths)
    records = [json.loads(line) for line in fast.host.said(f"cat {LOGS}/prod.jsonl").splitlines()]
    assert {("done", 0), ("failed", 3)} <= {(r["outcome"], r["exit_code"]) for r in records}
    assert all(not record["untold"] for record in records)
    assert TOKEN not in fast.host.said(f"cat {LOGS}/prod.jsonl {LOGS}/prod.log")
    assert TOKEN not in fast.host.said("journalctl --no-pager --identifier pgbackup")
    assert '"outcome": "failed"' in fast.host.said("journalctl --no-pager -t pgbackup -p err")
    # Its readers are other users than its writer.
    metrics = fast.host.said(f"runuser -u nobody -- cat {METRICS}/pgbackup_prod.prom")
    assert f'pgbackup_suspect{{database="{chat.name}",environment="prod"}} 0.0' in metrics


def test_logs_are_rotated_and_go_on(fast: Deployment) -> None:
    fast.host.ssh("logrotate --force /etc/logrotate.d/pgbackup-prod")
    fresh = f"test -s {LOGS}/prod.jsonl && test -s {LOGS}/prod.log && echo both || :"
    wait(lambda: fast.host.said(fresh), 60, "record after the rotation")
    owners = fast.host.said(f"stat --format '%a %U' {LOGS}/prod.jsonl {LOGS}/prod.log")
    assert owners.splitlines() == ["600 pgbackup-prod"] * 2
    older = fast.host.said(f"tail -n 1 {LOGS}/prod.jsonl.1")
    assert json.loads(older)["environment"] == "prod"


def test_a_test_message_goes_out_from_the_host(scheduled: Deployment, receiver: Web) -> None:
    ran = scheduled.checkout.invoke("notify", "--env", "prod")
    assert (ran.code, ran.out) == (0, "notification 1 (json): took it\nping: took it\n"), ran.said
    assert "prod: a test message of pgbackup" in {m["title"] for m in receiver.messages}
    assert f"POST /{TOKEN}/log" in receiver.paths


def test_status_asks_for_the_age_that_the_role_says(scheduled: Deployment) -> None:
    (state,) = scheduled.pgbackup("status", "--env", "prod", "--json").json["environments"]
    assert state["max_age"] == 50 * 3600


def test_a_timer_takes_the_place_of_cron(
    scheduled: Deployment, chat: Database, receiver: Web
) -> None:
    entry = deployment.described(chat, SECRET, timer="*:*:0/5", settings={"KEEP_LAST": 3})
    scheduled.deploy(backup_schedule_databases=[entry]).succeeded()
    assert scheduled.host.said("ls /etc/cron.d | grep pgbackup || :") == ""
    before = scheduled.names()
    wait(lambda: scheduled.names() - before, 30, "new backup")
    assert scheduled.host.said("systemctl show --property Result pgbackup-prod") == "Result=success"
    assert "pgbackup-prod.drill.timer" in scheduled.host.said("systemctl list-timers --no-pager")
    drilled = f"grep 'drill of prod ended with 0' {LOGS}/prod.log || :"
    wait(lambda: scheduled.host.said(drilled), 60, "drill")
    assert scheduled.deploy().succeeded().changed == []
    damaged = _damage_the_newest(scheduled)
    title = f"prod: drill of {chat.name} FAILED"

    def told() -> list[str]:
        said = [m["message"] for m in receiver.messages if m["title"] == title]
        return [text for text in said if "exit code 5" in text]

    try:
        (message, *_) = wait(told, 120, "message about the drill")
    finally:
        scheduled.host.ssh(f"rm -r {damaged}")  # the host goes on to serve other tests
    assert "toc.dat" in message


def _damage_the_newest(deployed: Deployment) -> str:
    """Take a byte of the newest backup's data, and let no newer one come; its directory."""
    # A unit that runs once is not active but activating until it has ended.
    deployed.host.ssh(
        "systemctl stop pgbackup-prod.timer;"
        " until systemctl show --property ActiveState --value pgbackup-prod"
        " | grep --quiet --line-regexp --extended-regexp 'inactive|failed'; do sleep 0.2; done"
    )
    newest = deployed.host.said(f"ls -d {STORE}/prod/*_prod_*Z | tail -n 1")
    deployed.host.ssh(f"truncate --size -1 {newest}/toc.dat")
    return newest


def _last_line(deployed: Deployment) -> str:
    return deployed.host.said(f"grep 'backup of prod' {LOGS}/prod.log | tail -n 1")
