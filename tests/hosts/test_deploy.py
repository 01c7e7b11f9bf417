"""From a bare host to a working one, and again: what the playbook makes and what it changes."""

from __future__ import annotations

import os

import pytest

from tests.running import SECRET

from .deployment import LOGS, STORE, Deployed

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]


def test_one_process_runs_all_that_share_a_host(request: pytest.FixtureRequest) -> None:
    in_parallel = "PYTEST_XDIST_WORKER" in os.environ
    assert request.node.nodeid.endswith("@hosts-deployed") == in_parallel


def test_a_first_run_in_check_mode_passes(deployed: Deployed) -> None:
    assert deployed.checked.succeeded().changes > 0


def test_the_first_run_ends_with_a_working_backup(deployed: Deployed) -> None:
    deployed.first.succeeded()
    ran = deployed.pgbackup("backup", "--env", "prod", "--json")
    assert ran.code == 0, ran.said
    assert ran.json["backup"]["rows"] == 2200
    assert ran.json["backup"]["name"] in deployed.names()


def test_a_second_run_changes_nothing(deployed: Deployed) -> None:
    assert deployed.second.succeeded().changed == []
    assert deployed.second.changes == 0


def test_no_run_shows_the_password(deployed: Deployed) -> None:
    for play in (deployed.checked, deployed.first, deployed.second):
        assert SECRET not in play.said


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/pgbackup", "root root 755"),
        ("/etc/pgbackup/prod.env", "root pgbackup-prod 640"),
        (STORE, "root root 755"),
        (f"{STORE}/prod", "pgbackup-prod pgbackup-prod 700"),
        (LOGS, "root root 755"),
        (f"{LOGS}/prod.log", "pgbackup-prod pgbackup-prod 600"),
        ("/usr/local/bin/pgbackup", "root root 755"),
        ("/opt/pgbackup", "root root 755"),
    ],
)
def test_files_have_their_owner_and_mode(deployed: Deployed, path: str, expected: str) -> None:
    assert deployed.host.said(f"stat --format '%U %G %a' {path}") == expected


def test_nobody_but_root_can_change_the_program(deployed: Deployed) -> None:
    found = deployed.host.said(
        "find /opt/pgbackup /usr/local/bin/pgbackup /etc/pgbackup"
        " ! -type l '(' ! -user root -o -perm /022 ')'"
    )
    assert found == ""


def test_the_user_cannot_log_in(deployed: Deployed) -> None:
    entry = deployed.host.said("getent passwd pgbackup-prod").split(":")
    assert entry[6] == "/usr/sbin/nologin"
    assert int(entry[2]) < 1000
    # Neither a password that matches nor a lock, for which PAM would refuse cron's jobs.
    assert deployed.host.said("getent shadow pgbackup-prod").split(":")[1] == "*"
