"""An inventory with several hosts, of which some fail, and a login that is not root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.errors import RefusedError, RemoteError

from .deployment import Deployment
from .host import Host

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]

ABSENT = "absent"


@pytest.fixture
def three(deployed: Deployment, host: Host) -> Iterator[Deployment]:
    """The inventory names a deployed host, one that is bare, and one that is not there."""
    hosts: dict[str, dict[str, object]] = {
        deployed.host.name: {**deployed.host.variables()},
        host.name: {**host.variables()},
        ABSENT: {**host.variables(), "ansible_host": "127.0.8.1"},
    }
    deployed.checkout.describe("prod", hosts, **deployed.inputs)
    yield deployed
    _alone(deployed)


def test_every_host_answers_and_the_summary_says_which_failed(
    three: Deployment, host: Host
) -> None:
    ran = three.checkout.invoke("list", "--env", "prod")
    assert ran.code == RemoteError.exit_code, ran.said
    assert f"== {three.host.name}\n" in ran.out
    assert three.backups()[0]["name"] in ran.out
    failed = f"{host.name} ({ran.code}), {ABSENT} ({ran.code})"
    assert f"1 of 3 hosts did it. Failed: {failed}." in ran.out
    assert f"{host.name}: pgbackup is not installed there" in ran.err
    assert f"{ABSENT}: the host cannot be used: " in ran.err
    assert "Failed to connect to the host" in ran.err


def test_several_answers_in_json_are_one_document(three: Deployment, host: Host) -> None:
    ran = three.checkout.invoke("list", "--env", "prod", "--json")
    assert ran.code == RemoteError.exit_code, ran.said
    answers = ran.json["hosts"]
    assert {name: answer["code"] for name, answer in answers.items()} == {
        three.host.name: 0,
        host.name: RemoteError.exit_code,
        ABSENT: RemoteError.exit_code,
    }
    assert answers[three.host.name]["answer"]["backups"] == three.backups()
    assert "connect" in answers[ABSENT]["trouble"]


def test_status_says_of_every_host_how_it_stands(three: Deployment, host: Host) -> None:
    assert three.pgbackup("backup", "--env", "prod").code == 0
    ran = three.checkout.invoke("status", "--env", "prod")
    assert ran.code == RefusedError.exit_code, ran.said
    assert f"prod on {three.host.name}: PROTECTED" in ran.out
    assert "/etc/cron.d/pgbackup-prod" in ran.out
    for other, why in ((host.name, "pgbackup is not installed"), (ABSENT, "cannot be used")):
        assert f"prod on {other}: UNKNOWN" in ran.out
        assert why in ran.out
    assert f"1 of 3 are protected. Not: prod on {host.name}, prod on {ABSENT}." in ran.out
    monitored = three.checkout.invoke("status", "--env", "prod", "--nagios")
    assert (monitored.code, len(monitored.out.splitlines())) == (3, 1), monitored.said


def test_a_report_of_remote_hosts_arrives_here(three: Deployment, host: Host) -> None:
    assert three.pgbackup("backup", "--env", "prod").code == 0
    ran = three.checkout.invoke("report", "--env", "prod")
    assert ran.code == 0, ran.said
    file = three.checkout.path / "report-prod.html"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert three.backups()[0]["name"] in text
    assert text.count("<h2 ") == 3
    assert "pgbackup is not installed there" in text


def test_a_host_that_is_not_there_stops_no_deployment_to_another(three: Deployment) -> None:
    host = three.host.name
    three.host.ssh("rm /etc/cron.d/pgbackup-prod")
    ran = three.checkout.deploy("prod", "--limit", f"{host},{ABSENT}")
    assert ran.code == 4, ran.said
    assert f"{ABSENT}" in ran.out
    assert "unreachable=1" in ran.out
    assert three.host.said("ls /etc/cron.d/pgbackup-prod")


def test_a_login_that_gives_sudo_its_password_deploys_and_asks(deployed: Deployment) -> None:
    deployed.host.ssh(
        "useradd --create-home --groups sudo admin; echo admin:pass | chpasswd;"
        " cp -r /root/.ssh /home/admin/; chown -R admin: /home/admin/.ssh"
    )
    login: dict[str, object] = {**deployed.host.variables(), "ansible_user": "admin"}
    deployed.checkout.describe("prod", {deployed.host.name: login}, **deployed.inputs)
    try:
        play = deployed.checkout.deploy("prod", "--ask-become-pass", typed="pass\n")
        login["ansible_become_password"] = "pass"
        deployed.checkout.describe("prod", {deployed.host.name: login}, **deployed.inputs)
        listed = deployed.checkout.invoke("list", "--env", "prod", "--json")
        fetched = deployed.checkout.invoke("fetch", "--env", "prod", "--dest", "by-admin")
    finally:
        _alone(deployed)
    assert play.succeeded().changed == []
    assert listed.code == 0, listed.said
    assert listed.json["backups"] == deployed.backups()
    assert fetched.code == 0, fetched.said
    assert deployed.host.said("ls -d /var/tmp/pgbackup-* 2>/dev/null || :") == ""


def _alone(deployed: Deployment) -> None:
    """Let the inventory name the deployed host only, as all other tests want it."""
    variables = deployed.host.variables()
    deployed.checkout.describe("prod", {deployed.host.name: variables}, **deployed.inputs)
