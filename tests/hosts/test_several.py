"""An inventory with several hosts, of which some fail, and a login that is not root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.errors import RemoteError

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
