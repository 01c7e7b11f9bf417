"""Verbs on the control machine do their work on the host and answer as the host does."""

from __future__ import annotations

import pytest

from tests.running import SECRET
from tests.servers import Database

from .deployment import Deployment

pytestmark = [pytest.mark.xdist_group("hosts-deployed"), pytest.mark.timeout(900)]


def test_a_remote_backup_answers_as_the_host_does(deployed: Deployment) -> None:
    before = deployed.names()
    ran = deployed.checkout.invoke("backup", "--env", "prod")
    assert ran.code == 0, ran.said
    assert "2,200 rows" in ran.out
    assert SECRET not in ran.said
    assert len(deployed.names() - before) == 1


def test_a_remote_answer_in_json_is_the_hosts_document(deployed: Deployment) -> None:
    ran = deployed.checkout.invoke("list", "--env", "prod", "--json")
    assert ran.code == 0, ran.said
    assert ran.json["backups"] == deployed.backups()


def test_a_remote_verb_ends_with_the_helpers_exit_code(
    deployed: Deployment, chat: Database
) -> None:
    missing = deployed.checkout.invoke("verify", "--env", "prod", "--file", "nothing")
    assert missing.code == 7, missing.said
    chat.server.scratch.stop()
    try:
        failed = deployed.checkout.invoke("backup", "--env", "prod")
    finally:
        chat.server.scratch.start()
    assert failed.code == 3, failed.said
    assert "backup failed: " in failed.err


def test_a_remote_drill_restores_on_the_host_and_is_recorded_there(deployed: Deployment) -> None:
    assert deployed.pgbackup("backup", "--env", "prod").code == 0
    ran = deployed.checkout.invoke("drill", "--env", "prod", "--file", "latest", "--json")
    assert ran.code == 0, ran.said
    newest = deployed.backups()[0]
    assert ran.json["file"] == newest["path"]
    assert ran.json["outcome"] == "passed"
    assert newest["depth"] == 3


def test_a_password_in_a_url_is_not_sent_to_the_host(deployed: Deployment) -> None:
    url = f"postgresql://ann:{SECRET}@127.0.0.1/chat"
    ran = deployed.checkout.invoke("restore", "--env", "prod", "--file", "latest", "--to", url)
    assert ran.code == 2, ran.said
    assert SECRET not in ran.said


def test_fetch_brings_a_verified_backup_here(deployed: Deployment) -> None:
    newest = deployed.backups()[0]["name"]
    ran = deployed.checkout.invoke("fetch", "--env", "prod", "--file", "latest")
    assert ran.code == 0, ran.said
    fetched = deployed.checkout.path / "backups/prod" / newest
    assert (fetched / "manifest.json").exists()
    assert "verified" in ran.out
